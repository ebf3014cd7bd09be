//! A Python environment of the project's own: downloads from PyPI, the WebRTC peer that tests call, and the store that
//! they keep files in.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{shell, workspace};

/// The WebRTC stack in Python that a test calls.
const INTEROP: &[&str] = &["aiortc==1.16.0"];
/// The S3-compatible store that a test keeps files in.
const STORE: &[&str] = &["moto[server]==5.2.5"];

/// The environment's folder.
pub(crate) fn folder() -> PathBuf {
    workspace::cache().join("python")
}

/// A program of the environment.
pub(crate) fn program(name: &str) -> Command {
    shell::program(folder().join("bin").join(name))
}

/// Makes the environment, once.
pub(crate) fn ready() -> Result<()> {
    if folder().join("bin/pip").exists() {
        return Ok(());
    }
    fs::create_dir_all(workspace::cache())?;
    let system = if PathBuf::from("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" };
    shell::quietly(shell::program(system).args(["-m", "venv"]).arg(folder()))
}

/// The packages that the interoperability tests import.
pub(crate) fn interop() -> Result<()> {
    install(INTEROP)?;
    install(STORE)
}

/// Installs exact versions, once.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    ready()?;
    let stamp = folder().join(format!("installed-{}", packages.join("-").replace("==", "-")));
    if stamp.exists() {
        return Ok(());
    }
    eprintln!("  From PyPI: {}", packages.join(" "));
    shell::quietly(
        program("pip").args(["install", "--quiet", "--disable-pip-version-check"]).args(packages),
    )?;
    fs::write(stamp, "")?;
    Ok(())
}
