//! The window's front end: its packages, its build, its checks. Built before anything that embeds it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Result;

use crate::{setup::node, shell, workspace};

fn folder() -> PathBuf {
    workspace::root().join("ui")
}

fn npm() -> Result<std::process::Command> {
    let mut npm = node::program("npm")?;
    npm.current_dir(folder());
    Ok(npm)
}

/// Runs one of the front end's scripts.
pub(crate) fn script(name: &str) -> Result<()> {
    shell::run(npm()?.args(["run", "--silent", name]))
}

/// Installs exactly what the lock file names, unless that is already there.
pub(crate) fn packages() -> Result<()> {
    let lock = folder().join("package-lock.json");
    let installed = folder().join("node_modules/.package-lock.json");
    if changed(&installed) >= changed(&lock) && installed.exists() {
        return Ok(());
    }
    shell::run(npm()?.args(["ci", "--no-audit", "--no-fund"]))
}

/// Builds what the app embeds, unless nothing changed since the last time.
pub(crate) fn build() -> Result<()> {
    packages()?;
    let built = folder().join("dist/index.html");
    let sounds = workspace::root().join("assets");
    if built.exists() && changed(&built) > newest(&folder()).max(newest(&sounds)) {
        return Ok(());
    }
    script("build")
}

fn changed(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|facts| facts.modified()).ok()
}

/// When anything under `folder` last changed, but for what is generated there.
fn newest(folder: &Path) -> Option<SystemTime> {
    let mut newest = None;
    for entry in fs::read_dir(folder).ok()?.filter_map(Result::ok) {
        let name = entry.file_name();
        if name == "node_modules" || name == "dist" || name == "test-results" {
            continue;
        }
        let path = entry.path();
        let when = if path.is_dir() { self::newest(&path) } else { changed(&path) };
        newest = newest.max(when);
    }
    newest
}
