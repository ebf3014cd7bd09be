//! What a reviewer should not have to say: formatting, clippy, pure crates kept pure, slips in the text.

use anyhow::Result;

use crate::{bindings, fuzz, options::Options, shell, steps::Steps, ui};

pub(crate) mod purity;
pub(crate) mod words;

/// `cargo xtask lint`.
pub(crate) fn main(_options: Options) -> Result<()> {
    let steps = Steps::new(true);
    steps.step("Words", words::check);
    steps.step("Formatting", formatting);
    steps.step("Front end", front_end);
    steps.step("Clippy", || {
        ui::build()?;
        clippy()
    });
    steps.step("Fuzz targets", fuzz::check);
    steps.step("Purity", purity::check);
    steps.step("Bindings", || bindings::main(Options::parse(vec!["--check".to_owned()], &["check"], &[])?));
    steps.finish()
}

/// Rust as rustfmt writes it; the fuzz targets are a workspace of their own.
pub(crate) fn formatting() -> Result<()> {
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    shell::run(shell::cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

/// TypeScript and Svelte: formatting and types.
pub(crate) fn front_end() -> Result<()> {
    ui::packages()?;
    ui::script("lint")?;
    ui::script("check")
}

/// The workspace's lints, every warning an error. The front end must have been built: the app embeds it.
pub(crate) fn clippy() -> Result<()> {
    shell::run(shell::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}
