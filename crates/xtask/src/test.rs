//! Everything that CI checks, quick failures first, each step timed.

use anyhow::{Result, bail};

use crate::{
    bindings, lint,
    options::Options,
    package,
    setup::{self, Purpose, apt},
    shell,
    steps::Steps,
    ui,
};

type Work = fn() -> Result<()>;

/// In this order: what fails within seconds, then what needs the compiler, then what needs everything.
const STEPS: &[(&str, Work)] = &[
    ("setup", || setup::ready(Purpose::Test)),
    ("words", lint::words::check),
    ("formatting", lint::formatting),
    ("front-end", lint::front_end),
    ("front-end-units", || ui::script("test:unit")),
    ("front-end-build", ui::build),
    ("clippy", lint::clippy),
    ("purity", lint::purity::check),
    ("build", build),
    ("bindings", bindings::check),
    ("tests", tests),
    ("screens", || ui::script("test:screens")),
    ("package", package::test),
];

/// `cargo xtask test`.
pub(crate) fn main(options: Options) -> Result<()> {
    if options.flag("list") {
        for (name, _) in STEPS {
            println!("{name}");
        }
        return Ok(());
    }
    let only = options.all("only");
    let skip = options.all("skip");
    if let Some(unknown) = only.iter().chain(&skip).find(|name| !STEPS.iter().any(|(step, _)| step == *name))
    {
        bail!("There is no step called `{unknown}`; `cargo xtask test --list` names them all.");
    }
    let mut steps = Steps::new(options.flag("keep-going"));
    for (name, work) in STEPS {
        if (only.is_empty() || only.contains(name)) && !skip.contains(name) {
            steps.step(name, work)?;
        }
    }
    steps.finish()
}

/// Compiles every test and binary with one selection of packages, so that nothing is built twice.
fn build() -> Result<()> {
    shell::run(shell::cargo().args(["build", "--workspace", "--all-targets", "--locked"]))
}

/// Every Rust test. Nextest where it is installed (a process per test), cargo's own runner elsewhere.
fn tests() -> Result<()> {
    let nextest = shell::read(shell::cargo().args(["nextest", "--version"])).is_ok();
    let mut cargo = shell::cargo();
    if nextest {
        cargo.args(["nextest", "run", "--workspace", "--all-targets", "--locked", "--no-fail-fast"]);
    } else {
        cargo.args(["test", "--workspace", "--all-targets", "--locked", "--no-fail-fast"]);
        // It knows no groups: real media, browsers and windows beside one another would measure each other.
        cargo.env("RUST_TEST_THREADS", "1");
    }
    if apt::brings_everything()? {
        cargo.env("BEDSIDE_REQUIRE_ALL", "1");
    }
    // What failed and where is in the message; a trace of the runtime below each test hides it.
    shell::run(cargo.env("RUST_BACKTRACE", "0"))
}
