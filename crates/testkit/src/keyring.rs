//! A private session bus with an unlocked keyring on it, as a person has after logging in to a desktop.
//!
//! The keyring is found by the process's environment and opened once per process, so code under test runs in a child
//! process: [`within`] starts the running test again in one. Programs are wrapped with [`unlocked`].

use std::{ffi::OsStr, io, path::Path, process::Command};

/// Set in the child process of [`within`], [`beside_locked`] and [`without`].
const INSIDE: &str = "BEDSIDE_INSIDE_KEYRING";

/// Unlocks the login keyring with an empty password, making it the first time, waits until it answers on the bus (the
/// bus would start a second one, locked, for whoever asks earlier), and becomes the program it is given.
const UNLOCK: &str = r#"
eval "$(printf '\n' | gnome-keyring-daemon --unlock --components=secrets)"
tries=0
until dbus-send --session --print-reply --dest=org.freedesktop.DBus / \
    org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets | grep -q 'boolean true'
do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo 'the keyring does not answer' >&2; exit 1; }
    sleep 0.05
done
exec "$@""#;

/// `program` on a session bus of its own with an unlocked keyring, which is stored in `folder` and the same at the
/// next start.
///
/// # Errors
/// When the folder can't be prepared.
pub fn unlocked(program: &OsStr, folder: &Path) -> io::Result<Command> {
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", UNLOCK, "sh"]).arg(program);
    settle(&mut command, folder)?;
    Ok(command)
}

/// `program` on a session bus of its own with a keyring that nobody has unlocked and nobody can be asked to.
///
/// # Errors
/// When the folder can't be prepared.
pub fn locked(program: &OsStr, folder: &Path) -> io::Result<Command> {
    let mut command = Command::new("dbus-run-session");
    command.arg("--").arg(program);
    settle(&mut command, folder)?;
    Ok(command)
}

/// `program` beside the keyring that this process has, as within [`within`].
///
/// # Errors
/// When the folder can't be prepared.
pub fn shared(program: &OsStr, folder: &Path) -> io::Result<Command> {
    let mut command = Command::new(program);
    settle(&mut command, folder)?;
    Ok(command)
}

/// `program` where there is no keyring and no way to start one.
///
/// # Errors
/// When the folder can't be prepared.
pub fn missing(program: &OsStr, folder: &Path) -> io::Result<Command> {
    on_bus(program, folder, "unix:path=/nowhere/at/all")
}

/// `program` on the session bus of this address, and whatever keyring is there.
///
/// # Errors
/// When the folder can't be prepared.
pub fn on_bus(program: &OsStr, folder: &Path, address: &str) -> io::Result<Command> {
    let mut command = shared(program, folder)?;
    command.env("DBUS_SESSION_BUS_ADDRESS", address);
    Ok(command)
}

/// Folders of its own in place of the person's.
fn settle(command: &mut Command, folder: &Path) -> io::Result<()> {
    for (variable, name) in [
        ("XDG_DATA_HOME", "data"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_RUNTIME_DIR", "run"),
    ] {
        let place = folder.join(name);
        std::fs::create_dir_all(&place)?;
        #[cfg(unix)]
        std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        command.env(variable, place);
    }
    Ok(())
}

/// Runs `body` in a process with an unlocked keyring of its own. `test` is the calling test's own path, as
/// `cargo test -- --exact` wants it.
///
/// # Panics
/// When the keyring does not start, or `body` fails.
pub fn within(test: &str, body: impl FnOnce()) {
    again(test, unlocked, body);
}

/// Runs `body` in a process beside a locked keyring.
///
/// # Panics
/// When `body` fails.
pub fn beside_locked(test: &str, body: impl FnOnce()) {
    again(test, locked, body);
}

/// Runs `body` in a process without a keyring.
///
/// # Panics
/// When `body` fails.
pub fn without(test: &str, body: impl FnOnce()) {
    again(test, missing, body);
}

fn again(test: &str, place: fn(&OsStr, &Path) -> io::Result<Command>, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = std::env::current_exe().expect("this test's program");
    let status = place(program.as_os_str(), folder.path())
        .expect("a folder")
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .expect("dbus-run-session and gnome-keyring-daemon, which `cargo xtask setup test` installs");
    assert!(status.success(), "{test} failed beside its keyring (see above)");
}
