//! What a program and everything it started cost: processor time and memory, as Linux counts them.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::shell;

/// A moment's sum over a program and its descendants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Processor time since each process began, s.
    pub(crate) cpu_s: f64,
    /// Proportional set size: shared pages count by their share, bytes.
    pub(crate) pss_bytes: u64,
    /// Resident set size, bytes.
    pub(crate) rss_bytes: u64,
    /// How many processes.
    pub(crate) processes: usize,
}

impl Cost {
    /// Of the process `root` and all that descends from it, now.
    pub(crate) fn of_tree(root: u32) -> Result<Self> {
        let ticks_per_second: f64 = shell::read(shell::program("getconf").arg("CLK_TCK"))?.trim().parse()?;
        let mut all = BTreeMap::new();
        for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end between the listing and the reading.
            if let Some(facts) =
                fs::read_to_string(entry.path().join("stat")).ok().and_then(|line| stat(&line))
            {
                all.insert(id, facts);
            }
        }
        let mut cost = Self::default();
        let mut pending = vec![root];
        while let Some(id) = pending.pop() {
            let Some((_, ticks)) = all.get(&id) else { continue };
            cost.cpu_s += *ticks as f64 / ticks_per_second;
            let memory = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            cost.pss_bytes += kilobytes(&memory, "Pss:") * 1024;
            cost.rss_bytes += kilobytes(&memory, "Rss:") * 1024;
            cost.processes += 1;
            pending.extend(all.iter().filter(|(_, (parent, _))| *parent == id).map(|(child, _)| *child));
        }
        (cost.processes > 0).then_some(cost).context("the measured program has ended")
    }

    /// What was spent since `begin`, per minute of `seconds`, with the memory of now.
    pub(crate) fn since(self, begin: Self, seconds: f64) -> Value {
        json!({
            "cpu_s_per_minute": (self.cpu_s - begin.cpu_s) * 60.0 / seconds,
            "pss_bytes": self.pss_bytes,
            "rss_bytes": self.rss_bytes,
            "processes": self.processes,
        })
    }
}

/// Parent and ticks of processor time from a line of /proc/PID/stat (proc(5)); the name may hold anything.
fn stat(line: &str) -> Option<(u32, u64)> {
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let user: u64 = fields.nth(9)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((parent, user + system))
}

fn kilobytes(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let line = "42 (a ) b) S 7 42 42 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 4 0 1000";
        assert_eq!(stat(line), Some((7, 300)));
    }

    #[test]
    fn memory_is_read_in_kilobytes() {
        assert_eq!(kilobytes("Rss:     10 kB\nPss:      4 kB\n", "Pss:"), 4);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_very_process_costs_something() {
        let cost = Cost::of_tree(std::process::id()).expect("this process runs");
        assert!(cost.pss_bytes > 0 && cost.processes >= 1);
    }
}
