//! A store that speaks S3 and that nobody here wrote: moto's server in Python, and the hand of whoever runs it.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};

use bedside_protocol::Secret;
use bedside_server::config;
use serde_json::Value;

use crate::process::{Process, script};

/// The script that is the store.
const SCRIPT: &str = "tests/src/python/bucket.py";

/// A store with one bucket, which takes nothing without a key and a right signature.
#[derive(Debug)]
pub struct Bucket {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    told: Value,
    _store: Process,
}

impl Bucket {
    /// Starts it.
    ///
    /// # Panics
    /// When the Python environment is missing.
    #[must_use]
    pub fn start() -> Self {
        let (store, input, output) = script(SCRIPT);
        let mut bucket = Self { input, output, told: Value::Null, _store: store };
        bucket.told = bucket.answer();
        bucket
    }

    /// What the server has to know to use it.
    ///
    /// # Panics
    /// When the script says something else.
    #[must_use]
    pub fn settings(&self) -> config::Bucket {
        let text = |name: &str| self.told[name].as_str().expect("text").to_owned();
        config::Bucket {
            name: text("bucket"),
            region: "us-east-1".to_owned(),
            key: text("key"),
            secret: Secret::new(text("secret")),
            endpoint: Some(text("endpoint")),
        }
    }

    /// Names and lengths of all objects. An upload of several requests that was begun and not ended has the length -1.
    ///
    /// # Panics
    /// When the script says something else.
    pub fn objects(&mut self) -> Vec<(String, i64)> {
        serde_json::from_value(self.ask("objects")).expect("names and lengths")
    }

    /// Removes the bucket with everything in it.
    pub fn remove(&mut self) {
        self.ask("remove");
    }

    /// Makes it again, empty.
    pub fn make(&mut self) {
        self.ask("make");
    }

    fn ask(&mut self, wish: &str) -> Value {
        writeln!(self.input, "{wish}").and_then(|()| self.input.flush()).expect("the store runs");
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("its answer");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the store in Python said: {line}"))
    }
}
