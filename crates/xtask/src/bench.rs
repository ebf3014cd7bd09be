//! Measurements of whole programs, written to `docs/benchmarks.md` and, as JSON, beside it.

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{options::Options, shell, workspace};

mod call;
mod e2ee;
mod mouth_to_ear;
mod server;

/// `cargo xtask bench`.
pub(crate) fn main(options: Options) -> Result<()> {
    match options.words() {
        [word] if word == "call" => call::run(options.number("seconds")?.unwrap_or(60)),
        [word] if word == "server" => server::run(),
        [word] if word == "e2ee" => e2ee::run(),
        _ => bail!(
            "`cargo xtask bench call [--seconds N]`, `cargo xtask bench server` or `cargo xtask bench e2ee`."
        ),
    }
}

/// The machine and the moment, without which a figure says little.
fn machine() -> Result<String> {
    let processor = fs::read_to_string("/proc/cpuinfo")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism()?;
    let day = shell::read(shell::program("date").args(["-u", "+%Y-%m-%d"]))?;
    Ok(format!("{}, {cores} cores, {processor}", day.trim()))
}

/// Puts `text` between the markers called `name` in `docs/benchmarks.md`, and `figures` beside it.
fn publish(name: &str, text: &str, figures: &Value) -> Result<()> {
    let docs = workspace::root().join("docs");
    let page = docs.join("benchmarks.md");
    let old = fs::read_to_string(&page).context("docs/benchmarks.md is not there")?;
    fs::write(&page, replace(&old, name, text)?)?;
    let folder = docs.join("benchmarks");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{name}.json")), format!("{figures:#}\n"))?;
    eprintln!("\n{text}\nWritten to docs/benchmarks.md and docs/benchmarks/{name}.json.");
    Ok(())
}

fn replace(page: &str, name: &str, text: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (head, rest) =
        page.split_once(&begin).with_context(|| format!("docs/benchmarks.md has no {begin}"))?;
    let (_, tail) = rest.split_once(&end).with_context(|| format!("docs/benchmarks.md has no {end}"))?;
    Ok(format!("{head}{begin}\n{}\n{end}{tail}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = "before\n<!-- call -->\nold\n<!-- /call -->\nafter\n";
        assert_eq!(replace(page, "call", "new").expect("has markers"), page.replace("old", "new"));
        assert!(replace(page, "server", "new").is_err());
    }
}
