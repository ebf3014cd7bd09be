//! aiortc, a WebRTC stack in Python, as a peer that nobody here wrote: a script that reads and writes lines of JSON.

use std::io::{BufRead, Write};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::outside::Outside;
use crate::process::script;

/// The script that is the peer.
const SCRIPT: &str = "tests/src/python/peer.py";

/// Starts it.
///
/// # Panics
/// When the Python environment is missing.
#[must_use]
pub fn start() -> Outside {
    let (process, mut input, output) = script(SCRIPT);
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
        for line in output.lines().map_while(Result::ok) {
            let message = serde_json::from_str(&line)
                .unwrap_or_else(|_| json!({"type": "failure", "what": format!("it wrote: {line}")}));
            if from_script.send(message).is_err() {
                return;
            }
        }
    });
    Outside::new("aiortc", say, told, Box::new(process))
}
