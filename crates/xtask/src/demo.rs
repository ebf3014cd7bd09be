//! The whole of it on one machine: a server with a sample clinic, a doctor's and a patient's app, one call.

use std::{
    env,
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    clinic::{Clinic, Person},
    options::Options,
    processes::{Running, interrupted, wait_until},
    setup::{self, Purpose, media},
    shell, ui,
    workspace::Profile,
};

/// How long setting up a call, and ending it, may take beside its own length.
const SLACK: Duration = Duration::from_secs(90);

/// `cargo xtask demo`.
pub(crate) fn main(options: Options) -> Result<()> {
    let windows = !options.flag("headless") && display();
    let profile = if options.flag("release") { Profile::Release } else { Profile::Dev };
    let seconds = options.number("seconds")?;
    eprintln!("Setting up.");
    setup::ready(Purpose::Demo)?;
    build(profile)?;

    // From here on Ctrl-C ends the call instead of this program.
    interrupted();
    let clinic = Clinic::open(profile)?;
    eprintln!("\nThe sample clinic's server listens on {}.", clinic.url);
    for person in [&clinic.doctor, &clinic.patient] {
        eprintln!("  {} · login {} · password {}", person.name, person.login, person.password);
    }
    if windows && Path::new("/dev/video0").exists() {
        eprintln!("Doctor's camera: this machine's. Patient's: virtual, playing film.");
    } else {
        eprintln!("Cameras: virtual, playing film ({}).", media::film().display());
    }
    if windows && sound_card("capture") {
        eprintln!("Doctor's microphone: this machine's. Patient's: virtual, playing speech.");
    } else {
        let [doctors, patients] = media::speech();
        eprintln!("Microphones: virtual, playing speech ({}, {}).", doctors.display(), patients.display());
    }
    let sides =
        if windows { in_windows(&clinic, profile, seconds)? } else { headless(&clinic, profile, seconds)? };
    let met = |side: &Value| {
        side["phases"].as_array().into_iter().flatten().any(|phase| phase["phase"] == "connected")
    };
    let both_met = sides.len() == 2 && sides.iter().all(met);
    let report = json!({ "sides": sides });
    say(&report);
    match options.value("json") {
        Some("-") => println!("{report:#}"),
        Some(file) => fs::write(file, format!("{report:#}\n")).with_context(|| format!("writing {file}"))?,
        None => {}
    }
    ensure!(both_met, "There was no conversation: the report says how far each side came.");
    Ok(())
}

/// Whether a window could be shown.
fn display() -> bool {
    cfg!(any(windows, target_os = "macos"))
        || ["WAYLAND_DISPLAY", "DISPLAY"]
            .iter()
            .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Builds every program, with the selection of packages that the tests have, so that nothing is built twice.
pub(crate) fn build(profile: Profile) -> Result<()> {
    eprintln!("Building; the first time takes some minutes.");
    ui::build()?;
    shell::run(shell::cargo().args(["build", "--workspace", "--bins", "--locked"]).args(profile.flags()))
}

/// Two clients without windows; returns their reports, the caller's first.
fn headless(clinic: &Clinic, profile: Profile, seconds: Option<u64>) -> Result<Vec<Value>> {
    let seconds = seconds.unwrap_or(20);
    eprintln!("\n{} calls {} for {seconds} s.", clinic.doctor.name, clinic.patient.name);
    let (caller, callee) = start_headless(clinic, profile, Devices::made_up(), &[], seconds)?;
    reports(clinic, caller, callee, seconds)
}

/// Starts the doctor's client, which calls, and the patient's, which answers, with these variables in their environment.
pub(crate) fn start_headless(
    clinic: &Clinic,
    profile: Profile,
    devices: [Devices; 2],
    environment: &[(&'static str, OsString)],
    seconds: u64,
) -> Result<(Running, Running)> {
    let folder = clinic.folder();
    let [doctors, patients] = devices;
    let side = |role: &str, other: &str, person: &Person, devices: Devices| {
        let mut command = shell::program(profile.binary("bedside-headless"));
        command.args([role, "--server", &clinic.url, "--login", &person.login, "--password-file"]);
        command.arg(&person.password_file).arg("--profile").arg(folder.join(role));
        measure(&mut command, folder, role, other);
        devices.pass(&mut command);
        command.envs(environment.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    let mut answering = side("answer", "call", &clinic.patient, patients);
    let mut calling = side("call", "answer", &clinic.doctor, doctors);
    calling.args(["--to", &clinic.patient.name, "--once-online", "--seconds", &seconds.to_string()]);
    let callee = Running::start("the patient's client", &mut answering)?;
    let caller = Running::start("the doctor's client", &mut calling)?;
    Ok((caller, callee))
}

/// Has one side's report written, for which each notes the sound it sends and compares what arrives with the other's.
fn measure(command: &mut Command, folder: &Path, role: &str, other: &str) {
    command.arg("--report").arg(folder.join(format!("{role}.json")));
    command.arg("--sent-audio").arg(folder.join(format!("{role}.wav")));
    command.arg("--reference-audio").arg(folder.join(format!("{other}.wav")));
}

/// Waits until sound flows from both sides.
pub(crate) fn wait_for_conversation(clinic: &Clinic, clients: [&mut Running; 2]) -> Result<()> {
    let [caller, callee] = clients;
    wait_until("the conversation to begin", SLACK, || {
        ensure!(
            caller.ended()?.is_none() && callee.ended()?.is_none(),
            "a client ended before the conversation began"
        );
        Ok(["call", "answer"].iter().all(|role| clinic.folder().join(format!("{role}.wav.start")).exists()))
    })
}

/// Waits for the call to end and returns both reports, the caller's first.
pub(crate) fn reports(
    clinic: &Clinic,
    mut caller: Running,
    mut callee: Running,
    seconds: u64,
) -> Result<Vec<Value>> {
    wait_until("the call to end", Duration::from_secs(seconds) + SLACK, || {
        Ok(caller.ended()?.is_some() && callee.ended()?.is_some())
    })?;
    ["call", "answer"].iter().map(|role| read_report(&clinic.folder().join(format!("{role}.json")))).collect()
}

fn read_report(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).context("a client ended without a report")?;
    Ok(serde_json::from_str(&text)?)
}

fn prefixed(prefix: &str, file: &Path) -> OsString {
    let mut word = OsString::from(prefix);
    word.push(file);
    word
}

/// What a side's camera, microphone and speaker are.
pub(crate) struct Devices {
    video: OsString,
    pub(crate) audio: OsString,
    /// Absent for what the program takes by itself.
    pub(crate) speaker: Option<OsString>,
    stamp: bool,
}

impl Devices {
    /// The doctor's and the patient's: film and speech, with the time burned into the picture.
    pub(crate) fn made_up() -> [Self; 2] {
        media::speech().map(|speech| Self {
            video: prefixed("film:", &media::film()),
            audio: prefixed("speech:", &speech),
            speaker: None,
            stamp: true,
        })
    }

    /// Tells a program of ours.
    fn pass(self, command: &mut Command) {
        command.arg("--video").arg(self.video).arg("--audio").arg(self.audio);
        if let Some(speaker) = self.speaker {
            command.arg("--speaker").arg(speaker);
        }
        if self.stamp {
            command.arg("--stamp");
        }
    }

    /// Real ones where there are any.
    fn or_of_this_machine(mut self) -> Self {
        if Path::new("/dev/video0").exists() {
            (self.video, self.stamp) = ("camera".into(), false);
        }
        if sound_card("capture") {
            self.audio = "mic".into();
        }
        self
    }
}

/// Whether this machine has a sound device for that direction, as Linux lists them.
fn sound_card(direction: &str) -> bool {
    cfg!(not(target_os = "linux"))
        || fs::read_to_string("/proc/asound/pcm").is_ok_and(|devices| devices.contains(direction))
}

/// Two windows; they stay until `seconds` have passed, one of them is closed or Ctrl-C is pressed.
fn in_windows(clinic: &Clinic, profile: Profile, seconds: Option<u64>) -> Result<Vec<Value>> {
    eprintln!(
        "\n{} calls {}; close a window or press Ctrl-C to end.",
        clinic.doctor.name, clinic.patient.name
    );
    let [doctors, patients] = Devices::made_up();
    let devices = [doctors.or_of_this_machine(), patients];
    let mut windows = Windows::open(clinic, profile, devices, &[], [0, 0])?;
    let begun = Instant::now();
    while !interrupted() && !windows.one_is_closed()? {
        if seconds.is_some_and(|seconds| begun.elapsed() > Duration::from_secs(seconds)) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    windows.close(clinic)
}

/// The doctor's window, which calls, and the patient's, which answers.
pub(crate) struct Windows([Running; 2]);

impl Windows {
    /// Opens both, with these variables in their environment; `devices` are the doctor's and the patient's. The doctor
    /// calls, and the patient answers, `after` so many seconds.
    pub(crate) fn open(
        clinic: &Clinic,
        profile: Profile,
        devices: [Devices; 2],
        environment: &[(&'static str, OsString)],
        after: [u64; 2],
    ) -> Result<Self> {
        let folder = clinic.folder();
        let window = |role: &str, other: &str, person: &Person, mut devices: Devices| {
            if !sound_card("playback") {
                devices.speaker = Some("null".into());
            }
            let mut command = shell::program(profile.binary("bedside"));
            command.args(["--server", &clinic.url, "--login", &person.login, "--password-file"]);
            command.arg(&person.password_file).arg("--profile").arg(folder.join(role)).arg("--no-keyring");
            measure(&mut command, folder, role, other);
            devices.pass(&mut command);
            command.envs(environment.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let [doctors, patients] = devices;
        let mut answering = window("answer", "call", &clinic.patient, patients);
        let mut calling = window("call", "answer", &clinic.doctor, doctors);
        let [calls_after, answers_after] = after.map(|seconds| seconds.to_string());
        answering.args(["--answer", "--after", &answers_after]);
        calling.args(["--call", &clinic.patient.name, "--after", &calls_after]);
        let callee = Running::start("the patient's window", &mut answering)?;
        let caller = Running::start("the doctor's window", &mut calling)?;
        Ok(Self([caller, callee]))
    }

    /// Their processes, the doctor's first.
    pub(crate) fn ids(&self) -> [u32; 2] {
        [self.0[0].id(), self.0[1].id()]
    }

    fn one_is_closed(&mut self) -> Result<bool> {
        let [caller, callee] = &mut self.0;
        Ok(caller.ended()?.is_some() || callee.ended()?.is_some())
    }

    /// Closes both and returns what reports there are, the caller's first.
    pub(crate) fn close(mut self, clinic: &Clinic) -> Result<Vec<Value>> {
        for window in &mut self.0 {
            window.stop()?;
        }
        Ok(["call", "answer"]
            .iter()
            .filter_map(|role| read_report(&clinic.folder().join(format!("{role}.json"))).ok())
            .collect())
    }
}

/// The report in a few lines for a person; what a side did not measure is left out.
fn say(report: &Value) {
    for (who, side) in ["Caller", "Callee"].iter().zip(report["sides"].as_array().into_iter().flatten()) {
        let figure = |path: &str| side.pointer(path).and_then(Value::as_f64);
        let facts = [
            ("first frame after", "/setup_ms/accept_to_first_frame", " ms", 0),
            ("", "/video/width", " ×", 0),
            ("", "/video/height", " pixels", 0),
            ("", "/video/fps_decoded", " frames per second", 1),
            ("", "/video/freezes", " freezes", 0),
            ("decoded after", "/video/latency_ms/p50", " ms", 0),
            ("drawn after", "/video/drawn_ms/p50", " ms", 0),
            ("heard after", "/audio/latency_ms", " ms", 0),
            ("audio correlation", "/audio/correlation", "", 2),
        ]
        .map(|(before, path, unit, decimals)| {
            figure(path).map(|number| format!("{before} {number:.decimals$}{unit}").trim().to_owned())
        });
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        eprintln!("{who}: {}.", facts.join(", ").replace("×, ", "× "));
    }
}
