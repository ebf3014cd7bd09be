//! What this process uses of the machine.

use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Processor time and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since the process began, all threads.
    pub cpu: Duration,
    /// Resident memory now, bytes.
    pub rss_bytes: u64,
    /// The most there ever was, bytes; where the system does not tell, what there is now.
    pub peak_rss_bytes: u64,
}

impl Usage {
    /// Asks the system.
    #[must_use]
    pub fn of_this_process() -> Self {
        let pid = Pid::from_u32(std::process::id());
        let Ok(mut system) = System::new() else { return Self::default() };
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
        let Some(process) = system.process(pid) else { return Self::default() };
        let rss_bytes = process.memory();
        Self {
            cpu: Duration::from_millis(process.accumulated_cpu_time()),
            rss_bytes,
            peak_rss_bytes: peak_rss_bytes().unwrap_or(rss_bytes).max(rss_bytes),
        }
    }
}

/// The high-water mark of resident memory.
#[cfg(target_os = "linux")]
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The high-water mark of resident memory.
#[cfg(not(target_os = "linux"))]
const fn peak_rss_bytes() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of_this_process();
        assert!(usage.rss_bytes > 0);
        assert!(usage.peak_rss_bytes >= usage.rss_bytes);
    }
}
