//! Everything that CI checks, quick failures first, what does not disturb one another side by side, each step timed.

use std::{num::NonZeroUsize, process::Command, thread};

use anyhow::{Result, bail};

use crate::{
    bindings, fuzz, lint,
    options::Options,
    package,
    setup::{self, Purpose, apt},
    shell,
    steps::{Step, Steps},
    ui,
};

/// One after the other: what fails within seconds, then what needs the compiler, then what needs everything. The lanes
/// of a stage run side by side, the steps of a lane one after the other.
const STAGES: &[&[&[Step]]] = &[
    &[&[
        ("setup", || setup::ready(Purpose::Test)),
        ("words", lint::words::check),
        ("formatting", lint::formatting),
        ("front-end-build", ui::build),
    ]],
    &[
        &[("front-end", lint::front_end), ("front-end-units", || ui::script("test:unit"))],
        &[
            ("clippy", lint::clippy),
            ("fuzz-targets", fuzz::check),
            ("purity", lint::purity::check),
            ("build", build),
            ("bindings", bindings::check),
        ],
    ],
    &[&[("tests", tests)], &[("screens", || ui::script("test:screens")), ("package", package::test)]],
    &[&[("real-time", real_time)]],
];

/// `cargo xtask test`.
pub(crate) fn main(options: Options) -> Result<()> {
    let names: Vec<&str> =
        STAGES.iter().copied().flatten().copied().flatten().map(|(name, _)| *name).collect();
    if options.flag("list") {
        println!("{}", names.join("\n"));
        return Ok(());
    }
    let (only, skip) = (options.all("only"), options.all("skip"));
    if let Some(unknown) = only.iter().chain(&skip).find(|name| !names.contains(name)) {
        bail!("There is no step called `{unknown}`; `cargo xtask test --list` names them all.");
    }
    let wanted = |(name, _): &Step| (only.is_empty() || only.contains(name)) && !skip.contains(name);
    let steps = Steps::new(options.flag("keep-going"));
    for stage in STAGES {
        let lanes: Vec<Vec<Step>> =
            stage.iter().map(|lane| lane.iter().copied().filter(wanted).collect()).collect();
        steps.side_by_side(&lanes);
    }
    steps.finish()
}

/// Compiles every test and binary with one selection of packages, so that nothing is built twice.
fn build() -> Result<()> {
    shell::run(shell::cargo().args(["build", "--workspace", "--all-targets", "--locked"]))
}

/// Every Rust test but those of [`real_time`].
fn tests() -> Result<()> {
    if !has_nextest() {
        return Ok(());
    }
    // Most of them wait for something nearly all the time.
    nextest(3, "not group(real-time)")
}

/// The Rust tests that would measure what runs beside them; `.config/nextest.toml` names them. Cargo's own runner, where
/// nextest is not installed, knows no such group and runs every test here, one after the other.
fn real_time() -> Result<()> {
    if has_nextest() {
        // Most of them count as two.
        return nextest(2, "group(real-time)");
    }
    let every = ["test", "--workspace", "--all-targets", "--locked", "--no-fail-fast"];
    run_tests(shell::cargo().args(every).env("RUST_TEST_THREADS", "1"))
}

/// A process for each test, so many at once for each core.
fn nextest(per_core: usize, which: &str) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let at_once = (cores * per_core).to_string();
    let every = ["nextest", "run", "--workspace", "--all-targets", "--locked", "--no-fail-fast"];
    run_tests(shell::cargo().args(every).args(["--test-threads", &at_once, "-E", which]))
}

fn has_nextest() -> bool {
    shell::read(shell::cargo().args(["nextest", "--version"])).is_ok()
}

fn run_tests(cargo: &mut Command) -> Result<()> {
    if apt::brings_everything()? {
        cargo.env("BEDSIDE_REQUIRE_ALL", "1");
    }
    // What failed and where is in the message; a trace of the runtime below each test hides it.
    shell::run(cargo.env("RUST_BACKTRACE", "0"))
}
