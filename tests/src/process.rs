//! Programs that tests start: found or asked for, and ended with the test.

use std::io::BufReader;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

/// Finds a program.
///
/// # Panics
/// When none of the names is installed; the message says how to install it.
#[must_use]
pub fn program(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(system).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{} is not installed: {}", names.join(" or "), HOW_TO_INSTALL))
}

/// What to do when something that tests need is missing.
pub const HOW_TO_INSTALL: &str = "`cargo xtask setup test` installs what the tests need";

/// The top of the work tree.
#[must_use]
pub fn work_tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A UDP port of 127.0.0.1 that was free a moment ago.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").port()
}

/// A program that runs as long as this lives, with whatever it starts and a folder of its own.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Goes with it.
    _folder: Option<TempDir>,
}

impl Process {
    /// Starts it; `folder` is its own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command, folder: Option<TempDir>) -> Self {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(Stdio::piped()).spawn();
        Self {
            child: child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}")),
            _folder: folder,
        }
    }

    /// The process, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

/// A script in Python with the packages that tests need, what it reads, and what it writes.
///
/// # Panics
/// When the environment with those packages is missing.
pub(crate) fn script(path: &str) -> (Process, ChildStdin, BufReader<ChildStdout>) {
    let python = work_tree().join(".cache/python/bin/python");
    assert!(python.exists(), "there is no Python environment for {path}: {HOW_TO_INSTALL}");
    let mut command = Command::new(python);
    command.arg(work_tree().join(path)).stdout(Stdio::piped());
    let mut script = Process::start(command, None);
    let input = script.child().stdin.take().expect("its input");
    let output = script.child().stdout.take().expect("its output");
    (script, input, BufReader::new(output))
}

impl Drop for Process {
    fn drop(&mut self) {
        // What it started itself would go on for a moment, and write.
        #[cfg(unix)]
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
