//! TypeScript from the window's contract: written by the contract crate itself, compared or put in place here.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::{
    options::Options,
    shell,
    workspace::{self, Profile},
};

/// `cargo xtask bindings`.
pub(crate) fn main(options: Options) -> Result<()> {
    shell::run(shell::cargo().args([
        "build",
        "--quiet",
        "--package",
        "bedside-ui-contract",
        "--example",
        "bindings",
    ]))?;
    if options.flag("check") { check() } else { write() }
}

/// Compares what the contract says with what is committed. The example must have been built.
pub(crate) fn check() -> Result<()> {
    let fresh = generate()?;
    let committed = read_folder(&folder())?;
    let mut differing: Vec<&str> = fresh.keys().chain(committed.keys()).map(String::as_str).collect();
    differing.retain(|name| fresh.get(*name) != committed.get(*name));
    differing.sort_unstable();
    differing.dedup();
    if !differing.is_empty() {
        bail!(
            "The window's contract and ui/src/lib/contract differ in {}. Run `cargo xtask bindings` and commit the result.",
            differing.join(", ")
        );
    }
    Ok(())
}

fn write() -> Result<()> {
    let fresh = generate()?;
    let folder = folder();
    fs::create_dir_all(&folder)?;
    for name in read_folder(&folder)?.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(folder.join(name))?;
    }
    for (name, text) in &fresh {
        fs::write(folder.join(name), text)?;
    }
    eprintln!("{} files in ui/src/lib/contract.", fresh.len());
    Ok(())
}

fn folder() -> std::path::PathBuf {
    workspace::root().join("ui/src/lib/contract")
}

fn generate() -> Result<BTreeMap<String, String>> {
    let scratch = workspace::target().join("xtask/bindings");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch)?;
    let example = Profile::Dev.folder().join(format!("examples/bindings{}", std::env::consts::EXE_SUFFIX));
    shell::quietly(shell::program(example).arg(&scratch))?;
    read_folder(&scratch)
}

fn read_folder(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(files) };
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(".ts") {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            files.insert(name.to_owned(), tidy(&text));
        }
    }
    Ok(files)
}

/// The generator leaves blanks at line ends and Windows' git may add carriage returns; neither is a difference.
fn tidy(text: &str) -> String {
    let mut tidied: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    tidied.truncate(tidied.trim_end().len());
    tidied.push('\n');
    tidied
}
