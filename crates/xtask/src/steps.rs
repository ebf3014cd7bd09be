//! Named, timed steps, some of them side by side, with a summary at the end, so that a slow or broken one is seen at a
//! glance.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// A step's name and what it does.
pub(crate) type Step = (&'static str, fn() -> Result<()>);

/// Runs steps and remembers how they went.
pub(crate) struct Steps {
    keep_going: bool,
    begun: Instant,
    done: Mutex<Vec<Done>>,
}

struct Done {
    name: &'static str,
    took: Duration,
    failed: bool,
}

impl Steps {
    /// With `keep_going`, a failed step does not stop the ones after it; the whole fails all the same.
    pub(crate) fn new(keep_going: bool) -> Self {
        Self { keep_going, begun: Instant::now(), done: Mutex::default() }
    }

    /// Runs one step, unless one has failed before that is not to be passed over.
    pub(crate) fn step(&self, name: &'static str, work: impl FnOnce() -> Result<()>) {
        if !self.keep_going && self.done().iter().any(|done| done.failed) {
            return;
        }
        eprintln!("\n==> {name}");
        let begun = Instant::now();
        let outcome = work();
        if let Err(error) = &outcome {
            eprintln!("\n{name}: {error:#}");
        }
        self.done().push(Done { name, took: begun.elapsed(), failed: outcome.is_err() });
    }

    /// Runs lanes side by side, the steps of each one after the other, and waits for all of them. A lane ends before its
    /// next step when one of another has failed.
    pub(crate) fn side_by_side(&self, lanes: &[Vec<Step>]) {
        thread::scope(|scope| {
            for lane in lanes {
                scope.spawn(move || lane.iter().for_each(|(name, work)| self.step(name, work)));
            }
        });
    }

    /// Prints how long each step took; an error when one of them failed.
    pub(crate) fn finish(self) -> Result<()> {
        let summary = self.summary();
        if self.done().iter().any(|done| done.failed) {
            bail!("{summary}");
        }
        eprintln!("\n{summary}");
        Ok(())
    }

    fn done(&self) -> MutexGuard<'_, Vec<Done>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn summary(&self) -> String {
        let done = self.done();
        let mut lines = String::new();
        for Done { name, took, failed } in done.iter() {
            let mark = if *failed { "FAILED" } else { "ok" };
            lines.push_str(&format!("{:>8.1} s  {mark:<6}  {name}\n", took.as_secs_f64()));
        }
        let failed: Vec<&str> = done.iter().filter(|done| done.failed).map(|done| done.name).collect();
        lines.push_str(&format!("{:>8.1} s  in all", self.begun.elapsed().as_secs_f64()));
        if !failed.is_empty() {
            lines.push_str(&format!("\nFailed: {}", failed.join(", ")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn names(steps: &Steps) -> Vec<&'static str> {
        let mut names: Vec<_> = steps.done().iter().map(|done| done.name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn lanes_run_at_the_same_time_and_all_of_their_steps_are_done_afterwards() {
        static BOTH: Barrier = Barrier::new(2);
        let meet: Step = ("meet", || {
            BOTH.wait();
            Ok(())
        });
        let steps = Steps::new(false);
        steps.side_by_side(&[vec![meet, ("one", || Ok(()))], vec![meet, ("other", || Ok(()))]]);
        assert_eq!(names(&steps), ["meet", "meet", "one", "other"]);
        assert!(steps.finish().is_ok());
    }

    #[test]
    fn nothing_begins_after_a_failure_unless_told_to_keep_going_and_the_whole_fails_either_way() {
        for (keep_going, expected) in [(false, vec!["broken"]), (true, vec!["after", "broken"])] {
            let steps = Steps::new(keep_going);
            steps.side_by_side(&[vec![("broken", || bail!("it broke")), ("after", || Ok(()))]]);
            assert_eq!(names(&steps), expected);
            assert!(steps.finish().unwrap_err().to_string().ends_with("Failed: broken"));
        }
    }
}
