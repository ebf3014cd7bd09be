//! Bedside's chores: `cargo xtask demo`, `test`, `lint`, `bindings`, `bench`, `fuzz`, `package`,
//! `setup`.
//!
//! Few, light dependencies, so that the first command on a fresh machine starts within seconds. It only
//! arranges other programs; nothing of the product lives here, and nothing here is shipped.

use std::process::ExitCode;

mod bench;
mod bindings;
mod clinic;
mod demo;
mod fuzz;
mod lint;
mod options;
mod package;
mod processes;
mod setup;
mod shell;
mod steps;
mod test;
mod ui;
mod workspace;

use options::Options;

const HELP: &str = "\
Bedside's chores.

  cargo xtask demo [--headless] [--seconds N] [--json FILE|-] [--release]
        A sample clinic on this machine: the server, a doctor's and a patient's app, in one call. It lasts N seconds,
        in windows from their opening on.
  cargo xtask test [--only STEP] [--skip STEP] [--keep-going] [--list]
        Everything that CI checks, set-up included.
  cargo xtask lint
        Formatting, clippy, purity of the pure crates, words that must not be committed.
  cargo xtask bindings [--check]
        TypeScript from the window's contract into ui/src/lib/contract.
  cargo xtask bench call [--seconds N] | e2ee | server
        A call beside Chromium's, messages and files, or the server's memory; for docs/benchmarks.md.
  cargo xtask fuzz [--minutes N | --seconds N] [TARGET…]
        Everything that reads bytes of a peer or the server, 10 minutes each from fuzz/seeds.
  cargo xtask package [--dev] [--no-trial] | --notices
        Debian packages of app, server and headless client into dist/, tried in a clean system; or only the notices of
        what is compiled in, for this system's installers.
  cargo xtask setup [build|demo|test|bench|package]
        Installs what the named chore needs on Debian and Ubuntu, saying what and why.
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(chore) = arguments.next() else {
        println!("{HELP}");
        return Ok(());
    };
    let rest: Vec<String> = arguments.collect();
    match chore.as_str() {
        "demo" => demo::main(Options::parse(rest, &["headless", "release"], &["seconds", "json"])?),
        "bench" => bench::main(Options::parse(rest, &[], &["seconds"])?),
        "setup" => setup::main(Options::parse(rest, &[], &[])?),
        "test" => test::main(Options::parse(rest, &["keep-going", "list"], &["only", "skip"])?),
        "lint" => lint::main(Options::parse(rest, &[], &[])?),
        "bindings" => bindings::main(Options::parse(rest, &["check"], &[])?),
        "fuzz" => fuzz::main(Options::parse(rest, &[], &["minutes", "seconds"])?),
        "package" => package::main(Options::parse(rest, &["dev", "no-trial", "notices"], &[])?),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => anyhow::bail!("There is no chore called `{other}`.\n\n{HELP}"),
    }
}
