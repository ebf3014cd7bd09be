//! Debian packages for the app, the server and the client without a window, and a trial of them in a clean system.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{
    options::Options,
    setup::{self, Purpose},
    shell, ui,
    workspace::{self, Profile},
};

mod deb;
mod notices;
mod root;
mod trial;

use deb::Deb;

/// `cargo xtask package`.
pub(crate) fn main(options: Options) -> Result<()> {
    if options.flag("notices") {
        ui::packages()?;
        println!("{}", notices()?.display());
        return Ok(());
    }
    setup::ready(Purpose::Package)?;
    let profile = if options.flag("dev") { Profile::Dev } else { Profile::Release };
    ui::build()?;
    let mut build = shell::cargo();
    build.args(["build", "--locked", "--package", "bedside", "--package", "bedside-server"]);
    shell::run(build.args(["--package", "bedside-headless"]).args(profile.flags()))?;
    let made = make(profile)?;
    for file in &made {
        println!("{}", file.display());
    }
    if options.flag("no-trial") { Ok(()) } else { trial::run(&made) }
}

/// Packages the development build and tries it: what `cargo xtask test` does. Everything must have been built.
pub(crate) fn test() -> Result<()> {
    trial::run(&make(Profile::Dev)?)
}

/// Packages what has been built and returns the files.
fn make(profile: Profile) -> Result<Vec<PathBuf>> {
    let out = match profile {
        Profile::Release => workspace::dist(),
        Profile::Dev => workspace::target().join("xtask/packages"),
    };
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("clearing {}", out.display()))?;
    }
    fs::create_dir_all(&out)?;
    let notices = notices()?;
    [server(profile), app(profile), headless(profile)]
        .into_iter()
        .map(|deb| deb.file(&notices, "usr/share/doc/{name}/THIRD-PARTY.txt").build(profile, &out))
        .collect()
}

/// Writes the notices of what is compiled in, for every kind of installer.
fn notices() -> Result<PathBuf> {
    notices::write(&workspace::target().join("xtask/THIRD-PARTY.txt"))
}

fn packaging(file: &str) -> PathBuf {
    workspace::root().join("packaging").join(file)
}

fn server(profile: Profile) -> Deb {
    Deb::new("bedside-server", "net", "signaling server for Bedside video consultations")
        .about("Knows who may talk to whom, brings their calls together and relays media where it must; it never sees \
                what is said, shown or written. Listens on this machine only until it is given a certificate.")
        .depends("adduser")
        .binary(profile.binary("bedside-server"))
        .file(packaging("server/bedside-server.service"), "usr/lib/systemd/system/bedside-server.service")
        .configuration(packaging("server/server.toml"), "etc/bedside/server.toml")
        .script(packaging("server/postinst"), "postinst")
        .script(packaging("server/prerm"), "prerm")
        .script(packaging("server/postrm"), "postrm")
}

fn app(profile: Profile) -> Deb {
    let mut deb = Deb::new("bedside", "net", "video consultations between doctors and patients")
        .about("Camera, sound, codecs and encryption run natively; the window only shows the result.")
        .recommends("gnome-keyring | kwalletmanager, pulseaudio | pipewire-pulse, fonts-noto-color-emoji")
        .binary(profile.binary("bedside"))
        .file(packaging("app/bedside.desktop"), "usr/share/applications/bedside.desktop");
    for (name, size) in [("32x32.png", "32x32"), ("128x128.png", "128x128"), ("128x128@2x.png", "256x256")] {
        let icon = workspace::root().join("src-tauri/icons").join(name);
        deb = deb.file(icon, &format!("usr/share/icons/hicolor/{size}/apps/bedside.png"));
    }
    deb
}

fn headless(profile: Profile) -> Deb {
    Deb::new("bedside-headless", "net", "Bedside's client without a window")
        .about("The same engine as the app's, for scripts, kiosks and tests of a network.")
        .binary(profile.binary("bedside-headless"))
}
