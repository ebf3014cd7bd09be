//! A display without a screen, and what a person's eyes and hands do at it: whatever program a window is of.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::picture::Pixels;

/// Nothing in a window takes longer, even on a busy machine, unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const POLL: Duration = Duration::from_millis(100);

/// Waits for something, and returns it.
pub(crate) fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "never saw {what}");
        std::thread::sleep(POLL);
    }
}

/// A process group that ends with its owner.
pub(crate) struct Group(pub(crate) Child);

impl Group {
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        match command.process_group(0).spawn() {
            Ok(child) => Self(child),
            Err(error) => {
                panic!("{name} could not be started: {error}; `cargo xtask setup test` installs it")
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for signal in ["-TERM", "-KILL"] {
            let group = format!("-{}", self.0.id());
            let _ = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
            let deadline = Instant::now() + Duration::from_secs(3);
            while Instant::now() < deadline {
                if self.0.try_wait().is_ok_and(|status| status.is_some()) {
                    return;
                }
                std::thread::sleep(POLL);
            }
        }
    }
}

/// A window of any program, as the display names it.
pub(crate) struct XWindow(String);

/// A display without a screen, whose picture is kept in a file.
pub(crate) struct Display {
    name: String,
    _server: Group,
    /// After the server, which writes into it.
    folder: TempDir,
}

impl Display {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Group::start(
            Command::new("Xvfb")
                .arg("-fbdir")
                .arg(folder.path())
                .args(["-displayfd", "1", "-screen", "0", "1400x1000x24", "-nolisten", "tcp"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let mut line = String::new();
        let output = server.0.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("Xvfb says its number");
        Self { name: format!(":{}", line.trim()), folder, _server: server }
    }

    /// What programs find it by.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Moves the pointer a little, as a hand would that wants to see the controls.
    pub(crate) fn stir_pointer(&self) {
        for place in [(400, 300), (420, 320)] {
            self.point_at(place);
        }
    }

    /// Moves the pointer to a place.
    pub(crate) fn point_at(&self, (x, y): (i32, i32)) {
        self.hand(&["mousemove", &x.to_string(), &y.to_string()]);
    }

    /// Presses the pointer's first button down, or lets it go.
    pub(crate) fn hold(&self, down: bool) {
        self.hand(&[if down { "mousedown" } else { "mouseup" }, "1"]);
    }

    /// Presses a key, by its name in X.
    pub(crate) fn key(&self, name: &str) {
        self.hand(&["key", name]);
    }

    /// Types this on the keyboard.
    pub(crate) fn type_text(&self, text: &str) {
        self.hand(&["type", "--delay", "20", "--", text]);
    }

    /// The window of exactly this title, while it can be seen.
    pub(crate) fn window(&self, title: &str) -> Option<XWindow> {
        let found = self.xdotool(&["search", "--onlyvisible", "--name", &format!("^{title}$")])?;
        found.lines().next().map(|id| XWindow(id.to_owned()))
    }

    /// Waits for the window of this title.
    pub(crate) fn appears(&self, title: &str) -> XWindow {
        wait(&format!("a window “{title}”"), || self.window(title))
    }

    /// Waits until there is no window of this title.
    pub(crate) fn disappears(&self, title: &str) {
        wait(&format!("the window “{title}” gone"), || self.window(title).is_none().then_some(()));
    }

    /// Drags a window's corner until it is of this width and height.
    pub(crate) fn resize(&self, window: &XWindow, (width, height): (usize, usize)) {
        self.hand(&["windowsize", "--sync", &window.0, &width.to_string(), &height.to_string()]);
    }

    /// Gives the keyboard to a window, which brings it to the front for its program.
    pub(crate) fn focus(&self, window: &XWindow) {
        self.hand(&["windowfocus", "--sync", &window.0]);
    }

    /// Whether this window has the keyboard.
    pub(crate) fn has_focus(&self, window: &XWindow) -> bool {
        self.xdotool(&["getwindowfocus"]).is_some_and(|id| id.trim() == window.0)
    }

    /// Where a window is: left, top, width, height.
    pub(crate) fn place(&self, window: &XWindow) -> Option<[usize; 4]> {
        let said = self.xdotool(&["getwindowgeometry", "--shell", &window.0])?;
        let number = |name: &str| {
            said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.trim().parse().ok())
        };
        Some([number("X")?, number("Y")?, number("WIDTH")?, number("HEIGHT")?])
    }

    fn hand(&self, doing: &[&str]) {
        assert!(self.xdotool(doing).is_some(), "xdotool can't do {doing:?}");
    }

    /// What xdotool says, if it could do it.
    fn xdotool(&self, doing: &[&str]) -> Option<String> {
        let output = Command::new("xdotool").args(doing).env("DISPLAY", &self.name).output();
        let output = output.expect("xdotool, which `cargo xtask setup test` installs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What stands on it now.
    pub(crate) fn screen(&self) -> Pixels {
        let dump = std::fs::read(self.folder.path().join("Xvfb_screen0")).expect("a dump of the screen");
        Pixels::of_dump(dump).expect("a dump that can be read")
    }
}
