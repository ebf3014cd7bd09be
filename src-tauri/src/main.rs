//! The desktop app's binary: reads the command line and starts the app.

#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = bedside::Cli::parse();
    bedside::rendering::prepare();
    bedside_session::logging::start();
    match bedside::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
