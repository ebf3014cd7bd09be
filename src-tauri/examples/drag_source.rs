//! A window that files can be dragged out of, as out of a file manager's: another program, for tests of dropping.
//!
//! Arguments: its title, where it stands (x, y), the files. It runs until it is ended.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use anyhow::Context as _;
    use gtk::{gdk::DragAction, gdk::ModifierType, glib, prelude::*};

    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("give a title, x, y and files");
    let (title, x, y) = (next()?, next()?.parse()?, next()?.parse()?);
    let addresses = arguments
        .map(|path| Ok(glib::filename_to_uri(path, None)?.to_string()))
        .collect::<anyhow::Result<Vec<String>>>()?;

    gtk::init()?;
    let window = gtk::Window::new(gtk::WindowType::Toplevel);
    window.set_title(&title);
    window.set_default_size(150, 150);
    let files = gtk::EventBox::new();
    files.add(&gtk::Label::new(Some("files")));
    files.drag_source_set(ModifierType::BUTTON1_MASK, &[], DragAction::COPY);
    files.drag_source_add_uri_targets();
    files.connect_drag_data_get(move |_, _, data, _, _| {
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        data.set_uris(&addresses);
    });
    window.add(&files);
    window.move_(x, y);
    window.show_all();
    gtk::main();
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {}
