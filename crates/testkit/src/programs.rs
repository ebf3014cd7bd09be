//! The workspace's own programs, as they were built beside the running test.

use std::path::{Path, PathBuf};

/// Where the program `name` is.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("the test's own path");
    let folder = here.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let program = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.exists(), "{} is not built: `cargo build --workspace` first", program.display());
    program
}
