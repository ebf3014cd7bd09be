//! Bedside's signaling server, as a process.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match bedside_server::cli::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bedside-server: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// What went wrong and why. Some libraries say what their causes say as well: once is enough.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !told.contains(&cause) {
            let colon = if told.is_empty() { "" } else { ": " };
            told = format!("{told}{colon}{cause}");
        }
    }
    told
}
