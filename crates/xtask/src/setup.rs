//! Installs what a chore needs, telling what and why; quick and silent when everything is there.

use anyhow::{Result, bail};

use crate::options::Options;

pub(crate) mod apt;
pub(crate) mod media;
pub(crate) mod node;
pub(crate) mod python;

/// What the machine is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To compile everything.
    Build,
    /// To play film and speech through virtual devices in a call.
    Demo,
    /// To run every test.
    Test,
    /// To measure against Chromium.
    Bench,
    /// To try packages in a clean root.
    Package,
}

/// `cargo xtask setup`.
pub(crate) fn main(options: Options) -> Result<()> {
    let purposes = match options.words() {
        [] => vec![Purpose::Test],
        words => words.iter().map(|word| purpose(word)).collect::<Result<_>>()?,
    };
    for purpose in purposes {
        ready(purpose)?;
    }
    eprintln!("Everything needed is here.");
    Ok(())
}

fn purpose(word: &str) -> Result<Purpose> {
    Ok(match word {
        "build" => Purpose::Build,
        "demo" => Purpose::Demo,
        "test" => Purpose::Test,
        "bench" => Purpose::Bench,
        "package" => Purpose::Package,
        other => bail!("Set-up is for build, demo, test, bench or package; `{other}` is none of them."),
    })
}

/// Makes the machine ready for `purpose`.
pub(crate) fn ready(purpose: Purpose) -> Result<()> {
    apt::install(purpose)?;
    match purpose {
        Purpose::Build => node::ready(),
        Purpose::Demo | Purpose::Bench => {
            node::ready()?;
            media::ready()
        }
        Purpose::Test => {
            node::ready()?;
            media::ready()?;
            python::interop()
        }
        Purpose::Package => node::ready(),
    }
}
