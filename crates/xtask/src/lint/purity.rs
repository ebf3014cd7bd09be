//! The pure crates stay pure: no runtime, no clock, no randomness of their own.
//!
//! Two checks: what they depend on, and what they call (clippy's disallowed methods, with the reason in each crate's
//! `clippy.toml`). Tests may read the clock to have a moment to begin with; the libraries may not.

use anyhow::{Result, bail};

use crate::shell;

/// Crates that are told the time; all but `e2ee` are handed their randomness, too.
const TIMELESS: &[&str] = &["bedside-call", "bedside-e2ee", "bedside-flow", "bedside-netem"];
/// Crates that do no input or output.
const PURE: &[&str] = &[
    "bedside-call",
    "bedside-e2ee",
    "bedside-flow",
    "bedside-netem",
    "bedside-protocol",
    "bedside-ui-contract",
];
/// What none of [`PURE`] may depend on, directly or not.
const IMPURE: &[&str] =
    &["async-std", "hyper", "mio", "reqwest", "smol", "socket2", "sqlx", "tokio", "webrtc"];

/// Both checks.
pub(crate) fn check() -> Result<()> {
    for name in PURE {
        let tree = shell::read(shell::cargo().args([
            "tree",
            "--locked",
            "--package",
            name,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]))?;
        if let Some(impure) = dependency(&tree) {
            bail!(
                "{name} must stay pure, but it depends on {impure}. See `cargo tree --package {name} --invert {impure}`."
            );
        }
    }
    let mut clippy = shell::cargo();
    clippy.args(["clippy", "--locked", "--lib"]);
    for name in TIMELESS {
        clippy.args(["--package", name]);
    }
    shell::run(clippy.args(["--", "-D", "clippy::disallowed_methods"]))
}

fn dependency(tree: &str) -> Option<&str> {
    tree.lines().filter_map(|line| line.split(' ').next()).find(|name| IMPURE.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_deep_in_the_tree_is_found() {
        assert_eq!(dependency("bedside-call v0.1.0\nserde v1.0.0\ntokio v1.54.1\nmio v1.0.0"), Some("tokio"));
        assert_eq!(dependency("bedside-call v0.1.0\ntokio-like v1.0.0"), None);
    }
}
