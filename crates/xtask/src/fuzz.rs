//! Fuzzing: every parser of bytes from a peer or the server, each for a while, from the seeds in the tree.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{options::Options, shell, workspace};

/// Minutes for each target when nothing else is said.
const MINUTES: u64 = 10;
/// The most memory a target may take, MiB: bounded parsers stay far below it.
const MEMORY_MIB: u32 = 1024;
/// The same under a sanitizer, which keeps what was freed for a while.
const SANITIZED_MIB: u32 = 4096;
/// Targets of this name run C and C++ code on a peer's bytes.
const FOREIGN: &str = "media_";
/// With what that is compiled, so that the fuzzer sees its branches and the sanitizer its memory.
const FOREIGN_FLAGS: &str = "-fsanitize=address -fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp -fno-omit-frame-pointer -g1";
/// The longest a single input may take, seconds.
const PATIENCE_S: u32 = 20;
/// The longest input, bytes: some more than the longest message of a kind.
const LONGEST: u32 = 70_000;

/// `cargo xtask fuzz`.
pub(crate) fn main(options: Options) -> Result<()> {
    let seconds = match options.number("seconds")? {
        Some(seconds) => seconds,
        None => options.number("minutes")?.unwrap_or(MINUTES) * 60,
    };
    let known = targets()?;
    let wanted = match options.words() {
        [] => known,
        words => {
            if let Some(word) = words.iter().find(|word| !known.contains(word)) {
                bail!("There is no fuzz target `{word}`. There are: {}", known.join(" "));
            }
            words.to_vec()
        }
    };
    if shell::find("cargo-fuzz").is_none() {
        shell::run(shell::cargo().args(["install", "cargo-fuzz", "--locked"]))?;
    }
    // Built before any runs, which says at once whether everything compiles.
    let sanitized = can_sanitize();
    if wanted.iter().any(|target| !(sanitized && is_foreign(target))) {
        shell::run(&mut fuzz("build", false))?;
    }
    for target in wanted.iter().filter(|target| sanitized && is_foreign(target)) {
        shell::run(fuzz("build", true).arg(target))?;
    }
    let mut found = Vec::new();
    for target in &wanted {
        let sanitized = sanitized && is_foreign(target);
        if is_foreign(target) && !sanitized {
            eprintln!("{target} runs without a sanitizer: that takes clang and a nightly toolchain.");
        }
        let memory = if sanitized { SANITIZED_MIB } else { MEMORY_MIB };
        let corpus = folder().join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("{} can't be made", corpus.display()))?;
        let run = [
            target.clone(),
            format!("fuzz/corpus/{target}"),
            format!("fuzz/seeds/{target}"),
            "--".to_owned(),
            format!("-max_total_time={seconds}"),
            format!("-rss_limit_mb={memory}"),
            format!("-timeout={PATIENCE_S}"),
            format!("-max_len={LONGEST}"),
            "-print_final_stats=1".to_owned(),
        ];
        if let Err(error) = shell::run(fuzz("run", sanitized).args(&run)) {
            eprintln!("{error:#}");
            found.push(target.as_str());
        }
    }
    if found.is_empty() {
        println!("{} fuzz targets, {seconds} s each: nothing found.", wanted.len());
        return Ok(());
    }
    bail!("Findings in {}: the inputs are in fuzz/artifacts.", found.join(", "))
}

/// Compiles the targets that need neither the transport stack nor the codecs, which takes under a minute from nothing. All
/// of them are built when they run.
pub(crate) fn check() -> Result<()> {
    let mut command = shell::cargo();
    command.args(["check", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--no-default-features"]);
    command.args(["--target-dir", "target/fuzz"]).env("RUSTFLAGS", "--cfg fuzzing -D warnings");
    shell::run(&mut command)
}

/// `cargo fuzz`. Instrumenting for coverage needs no nightly compiler; what runs is safe Rust, so that panics, memory
/// and time are what there is to find, and a sanitizer would only make it slower. It is the codecs, in C and C++, that are
/// `sanitized`. `--release` leaves assertions to the profile in `fuzz/Cargo.toml`.
fn fuzz(verb: &str, sanitized: bool) -> std::process::Command {
    if !sanitized {
        let mut command = shell::cargo();
        command.args(["fuzz", verb, "--fuzz-dir", "fuzz", "--sanitizer", "none", "--release"]);
        return command;
    }
    let mut command = shell::program("rustup");
    command.args(["run", "nightly", "cargo", "fuzz", verb, "--fuzz-dir", "fuzz", "--sanitizer", "address"]);
    command.args(["--release", "--no-default-features", "--features", "media"]);
    command.args(["--target-dir", "fuzz/target/sanitized"]);
    command.env_remove("CARGO").envs([("CC", "clang"), ("CXX", "clang++")]);
    command.envs([("CFLAGS", FOREIGN_FLAGS), ("CXXFLAGS", FOREIGN_FLAGS)]);
    // What the libraries leave behind at the end of a process is nobody's loss.
    command.env("ASAN_OPTIONS", "detect_leaks=0");
    command
}

fn is_foreign(target: &str) -> bool {
    target.starts_with(FOREIGN)
}

fn can_sanitize() -> bool {
    let mut nightly = shell::program("rustup");
    nightly.args(["run", "nightly", "rustc", "--version"]);
    shell::find("clang").is_some() && shell::read(&mut nightly).is_ok()
}

/// Every target, by the files there are.
fn targets() -> Result<Vec<String>> {
    let mut targets = Vec::new();
    let sources = folder().join("fuzz_targets");
    for entry in fs::read_dir(&sources).with_context(|| format!("{} can't be read", sources.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            targets.push(name.to_owned());
        }
    }
    targets.sort_unstable();
    Ok(targets)
}

fn folder() -> PathBuf {
    workspace::root().join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_built_and_has_seeds() {
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        for target in targets().unwrap() {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not in fuzz/Cargo.toml");
            let seeds = fs::read_dir(folder().join("seeds").join(&target));
            assert!(seeds.is_ok_and(|seeds| seeds.count() > 0), "{target} has no seeds");
        }
    }
}
