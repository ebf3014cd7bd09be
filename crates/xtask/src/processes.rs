//! Programs that run beside this one and end with it, and what they cost.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

pub(crate) mod cost;

/// How long a program may take to end when asked.
const PATIENCE: Duration = Duration::from_secs(8);

/// A program that is ended when its owner goes.
pub(crate) struct Running {
    name: String,
    child: Child,
}

impl Running {
    /// Starts `command` in a process group of its own, so that Ctrl-C reaches it through this program only.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.spawn().with_context(|| format!("{name} could not be started"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// The system's number of it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output, when it was asked for at the start.
    pub(crate) fn output(&mut self) -> Result<std::process::ChildStdout> {
        self.child.stdout.take().with_context(|| format!("the output of {} is taken", self.name))
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it to end and waits; ends it by force when it does not.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        self.signal("TERM")?;
        let deadline = Instant::now() + PATIENCE;
        while self.ended()?.is_none() {
            if Instant::now() > deadline {
                eprintln!("  {} did not end when asked; it is ended by force.", self.name);
                self.signal("KILL")?;
                self.child.wait()?;
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    #[cfg(unix)]
    fn signal(&self, signal: &str) -> Result<()> {
        let group = format!("-{}", self.child.id());
        let status = Command::new("kill").args([&format!("-{signal}"), "--", &group]).status()?;
        if !status.success() {
            bail!("{} could not be signalled", self.name);
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn signal(&mut self, _signal: &str) -> Result<()> {
        self.child.kill().with_context(|| format!("{} could not be ended", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("  {error:#}");
        }
    }
}

/// A display without a screen (Xvfb) that ends with its owner.
pub(crate) struct Display {
    /// What a program finds in `DISPLAY`.
    pub(crate) name: String,
    _server: Running,
}

impl Display {
    /// Starts one on a number that is free.
    pub(crate) fn open() -> Result<Self> {
        let mut xvfb = crate::shell::program("Xvfb");
        xvfb.args(["-displayfd", "1", "-screen", "0", "1400x1000x24", "-nolisten", "tcp"]);
        xvfb.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Running::start("a display without a screen", &mut xvfb)?;
        let mut number = String::new();
        BufReader::new(server.output()?).read_line(&mut number)?;
        Ok(Self { name: format!(":{}", number.trim()), _server: server })
    }
}

/// Whether the person has pressed Ctrl-C. From the first call on, Ctrl-C sets this instead of ending the program.
pub(crate) fn interrupted() -> bool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&flag)) {
                eprintln!("Ctrl-C will not clean up: {error}");
            }
        }
        flag
    })
    .load(Ordering::Relaxed)
}

/// Waits until `done` says so. Ctrl-C and the passing of `patience` are errors.
pub(crate) fn wait_until(
    what: &str,
    patience: Duration,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !done()? {
        if interrupted() {
            bail!("Stopped by Ctrl-C.");
        }
        if Instant::now() > deadline {
            bail!("Waited {} s for {what}.", patience.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
