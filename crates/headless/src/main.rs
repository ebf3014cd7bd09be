//! `bedside-headless`: the client engine without a window, for scripts, kiosks, load and network tests.
//!
//! Places or answers one call with chosen sources and sinks, writes messages or sends files, and reports it as JSON.
//! `docs/headless.md` tells how.

mod cli;
mod run;
mod talk;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    bedside_session::logging::start();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bedside-headless: no threads could be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run::run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bedside-headless: {error:#}");
            ExitCode::FAILURE
        }
    }
}
