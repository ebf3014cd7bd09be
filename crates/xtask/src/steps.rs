//! Named, timed steps with a summary at the end, so that a slow or broken one is seen at a glance.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Runs steps and remembers how they went.
pub(crate) struct Steps {
    keep_going: bool,
    done: Vec<Done>,
}

struct Done {
    name: &'static str,
    took: Duration,
    failure: Option<String>,
}

impl Steps {
    /// With `keep_going`, a failed step does not stop the ones after it; the whole fails all the same.
    pub(crate) fn new(keep_going: bool) -> Self {
        Self { keep_going, done: Vec::new() }
    }

    /// Runs one step. Returns an error only when the rest must not run.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("\n==> {name}");
        let begun = Instant::now();
        let failure = work().err().map(|error| format!("{error:#}"));
        if let Some(failure) = &failure {
            eprintln!("{failure}");
        }
        let failed = failure.is_some();
        self.done.push(Done { name, took: begun.elapsed(), failure });
        if failed && !self.keep_going {
            bail!("{}", self.summary());
        }
        Ok(())
    }

    /// Prints how long each step took; an error when one of them failed.
    pub(crate) fn finish(self) -> Result<()> {
        let summary = self.summary();
        if self.done.iter().any(|done| done.failure.is_some()) {
            bail!("{summary}");
        }
        eprintln!("\n{summary}");
        Ok(())
    }

    fn summary(&self) -> String {
        let mut lines = String::new();
        for done in &self.done {
            let mark = if done.failure.is_some() { "FAILED" } else { "ok" };
            lines.push_str(&format!("{:>8.1} s  {mark:<6}  {}\n", done.took.as_secs_f64(), done.name));
        }
        let total: Duration = self.done.iter().map(|done| done.took).sum();
        let failed: Vec<&str> =
            self.done.iter().filter(|done| done.failure.is_some()).map(|done| done.name).collect();
        lines.push_str(&format!("{:>8.1} s  in all", total.as_secs_f64()));
        if !failed.is_empty() {
            lines.push_str(&format!("\nFailed: {}", failed.join(", ")));
        }
        lines
    }
}
