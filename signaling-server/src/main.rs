//! Bedside's signaling server, as a process.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match bedside_server::cli::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bedside-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
