//! aiortc, a WebRTC stack in Python, as a peer that nobody here wrote: a script that reads and writes lines of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::outside::Outside;
use crate::process::{HOW_TO_INSTALL, Process, work_tree};

/// The script that is the peer.
const SCRIPT: &str = "tests/src/python/peer.py";

/// Starts it.
///
/// # Panics
/// When the Python environment is missing.
#[must_use]
pub fn start() -> Outside {
    let python = work_tree().join(".cache/python/bin/python");
    assert!(python.exists(), "there is no Python environment with aiortc: {HOW_TO_INSTALL}");
    let mut command = Command::new(python);
    command.arg(work_tree().join(SCRIPT)).stdout(Stdio::piped());
    let mut script = Process::start(command, None);
    let mut input = script.child().stdin.take().expect("its input");
    let output = script.child().stdout.take().expect("its output");
    let (say, mut to_script) = mpsc::unbounded_channel::<Value>();
    let (from_script, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Some(message) = to_script.blocking_recv() {
            if writeln!(input, "{message}").and_then(|()| input.flush()).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let message = serde_json::from_str(&line)
                .unwrap_or_else(|_| json!({"type": "failure", "what": format!("it wrote: {line}")}));
            if from_script.send(message).is_err() {
                return;
            }
        }
    });
    Outside::new("aiortc", say, told, Box::new(script))
}
