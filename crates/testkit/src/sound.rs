//! A private PulseAudio: a real sound server with null sinks instead of hardware.
//!
//! It runs in a folder of its own and is reached through the environment
//! ([`SoundServer::environment`]); the user's sound server is never touched.
//! It offers a speaker `spk`, and a microphone `mic` that hears whatever is
//! played into the sink `micfeed`; both are the defaults.
//!
//! cpal finds its server by the process's environment, so code under test runs
//! in a child process: [`within`] starts the running test again in one.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Set in the child process of [`within`].
const INSIDE: &str = "BEDSIDE_INSIDE_SOUND_SERVER";

/// With this set, a missing sound server fails tests instead of skipping them.
const REQUIRE_ALL: &str = "BEDSIDE_REQUIRE_ALL";

/// The server is up or broken within this time.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running private sound server; dropping it stops it.
pub struct SoundServer {
    folder: PathBuf,
    /// Its process, and what goes with it.
    own: Option<(Child, TempDir)>,
}

impl SoundServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when `pulseaudio` is not installed; anything else is a broken server.
    pub fn start() -> io::Result<Self> {
        // PulseAudio insists that nobody else can enter it, which is so.
        let folder = tempfile::tempdir()?;
        let mut server = Self { folder: folder.path().to_owned(), own: None };
        let child = server
            .command("pulseaudio")
            .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"])
            .args(["--log-target=stderr", "--log-level=error", "-L"])
            .arg(format!("module-native-protocol-unix auth-anonymous=1 socket={}", server.socket().display()))
            .args(["-L", &null_sink("spk", "Speaker", 2)])
            .args(["-L", &null_sink("micfeed", "Feed", 1)])
            .args(["-L", "module-remap-source master=micfeed.monitor source_name=mic"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        server.own = Some((child, folder));
        server.wait_until_ready()?;
        server.pactl(&["set-default-sink", "spk"])?;
        server.pactl(&["set-default-source", "mic"])?;
        Ok(server)
    }

    /// The server this process was started for by [`within`], to control with `pactl`.
    ///
    /// # Panics
    /// When this process has no such server.
    pub fn inherited() -> Self {
        let folder = std::env::var_os("XDG_RUNTIME_DIR").expect("runs within a sound server");
        Self { folder: folder.into(), own: None }
    }

    /// What a process needs in its environment to use this server.
    pub fn environment(&self) -> [(&'static str, OsString); 3] {
        let mut address = OsString::from("unix:");
        address.push(self.socket());
        [
            ("PULSE_SERVER", address),
            ("XDG_RUNTIME_DIR", self.folder.clone().into()),
            ("PULSE_COOKIE", self.folder.join("cookie").into()),
        ]
    }

    /// Lets the microphone `mic` hear what a sink plays, about `latency_ms` later: air, or a cable.
    ///
    /// Never use a sink's monitor itself as a microphone: it speaks in blocks of half a millisecond,
    /// and cpal asks the server for the time after each.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn connect(&self, sink: &str, latency_ms: u32) -> io::Result<String> {
        let source = format!("source={sink}.monitor");
        let latency = format!("latency_msec={latency_ms}");
        let still = ["source_dont_move=true", "sink_dont_move=true"];
        self.load("module-loopback", &[&source, "sink=micfeed", &latency, still[0], still[1]])
    }

    /// Loads a module and returns its number.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn load(&self, module: &str, arguments: &[&str]) -> io::Result<String> {
        let mut all = vec!["load-module", module];
        all.extend_from_slice(arguments);
        Ok(self.pactl(&all)?.trim().to_owned())
    }

    /// Unloads the module with this number: unplugs the device it made.
    ///
    /// # Errors
    /// When the server does not know it.
    pub fn unload(&self, number: &str) -> io::Result<()> {
        self.pactl(&["unload-module", number]).map(drop)
    }

    /// Runs `pactl` against this server and returns what it printed.
    ///
    /// # Errors
    /// When it cannot run, or says no.
    pub fn pactl(&self, arguments: &[&str]) -> io::Result<String> {
        let Output { status, stdout, stderr } = self.command("pactl").args(arguments).output()?;
        if status.success() {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&stderr);
            Err(io::Error::other(format!("pactl {arguments:?}: {said}")))
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment());
        command
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("native")
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(Some(status)) = self.own.as_mut().map(|(child, _)| child.try_wait()).transpose()? {
                return Err(io::Error::other(format!("pulseaudio ended: {status}")));
            }
            match self.pactl(&["info"]) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.own {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A sink that plays to nobody. Without `norewinds` its monitor speaks in blocks of 2 s.
fn null_sink(name: &str, description: &str, channels: u32) -> String {
    format!(
        "module-null-sink sink_name={name} rate=48000 channels={channels} norewinds=1 \
         sink_properties=device.description={description}"
    )
}

/// Runs `body` in a process whose sound server is a fresh private one.
///
/// `test` is the calling test's own path, as `cargo test -- --exact` wants it. Where PulseAudio is not
/// installed the test says so and is skipped, unless `BEDSIDE_REQUIRE_ALL` is set.
///
/// # Panics
/// When the server does not start, or `body` fails.
pub fn within(test: &str, body: impl FnOnce(&SoundServer)) {
    if std::env::var_os(INSIDE).is_some() {
        return body(&SoundServer::inherited());
    }
    let server = match SoundServer::start() {
        Ok(server) => server,
        Err(error) if error.kind() == io::ErrorKind::NotFound && std::env::var_os(REQUIRE_ALL).is_none() => {
            eprintln!("SKIPPED {test}: PulseAudio (pulseaudio, pactl) is not installed");
            return;
        }
        Err(error) => panic!("no sound server for {test}: {error}"),
    };
    let status = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .envs(server.environment())
        .env(INSIDE, "1")
        .status()
        .expect("this test's program runs");
    assert!(status.success(), "{test} failed inside its sound server (see above)");
}
