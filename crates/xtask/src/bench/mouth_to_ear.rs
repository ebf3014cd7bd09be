//! From mouth to ear through a real sound server: a call whose microphones and speakers are those of a private
//! PulseAudio.
//!
//! Speech is played into the sinks that the microphones hear. Each of them and the speaker at the other end are recorded
//! beside one another, on one clock; how much later the same speech comes out there is the whole way: server, engine,
//! network, engine, server. Null sinks have no cables and no converters, which add a few milliseconds.

use std::{
    ffi::OsString,
    io::Read as _,
    path::Path,
    process::{ChildStdout, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    clinic::Clinic,
    demo::{self, Devices},
    processes::Running,
    setup::media,
    shell,
    workspace::Profile,
};

#[expect(unreachable_pub, reason = "the media crate's own file; chores compile without its codecs")]
#[path = "../../../media/src/audio/compare.rs"]
mod compare;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the test kit's own file; chores compile without the rest of it"
)]
#[path = "../../../testkit/src/sound.rs"]
mod sound;

use sound::SoundServer;

/// What is listened to.
const SPEAKING: Duration = Duration::from_secs(20);
/// Samples a second of everything here.
const RATE: usize = 48_000;
/// How much speech is looked for at a time.
const PART: usize = RATE / 2;
/// Nobody would call it a conversation with more.
const LONGEST: usize = RATE / 2;
/// What comes out is alike and not the same: the engine takes noise away, evens loudness and follows clocks that drift.
/// Other speech reaches a third of this.
const ALIKE: f32 = 0.4;
/// Parts that have to be found.
const ENOUGH: usize = 10;

/// One person's devices: the sink that their microphone hears, the microphone, the speaker.
const DOCTOR: [&str; 3] = ["micfeed", "mic", "spk"];
const PATIENT: [&str; 3] = ["micfeed2", "mic2", "spk2"];

/// How late each hears the other, ms: the doctor, who calls, and the patient.
pub(super) fn measure() -> Result<[f64; 2]> {
    let server = SoundServer::start().context("no sound server")?;
    second_person(&server)?;
    let clinic = Clinic::open(Profile::Release)?;
    let mut devices = Devices::made_up();
    for (person, [_, microphone, speaker]) in devices.iter_mut().zip([DOCTOR, PATIENT]) {
        person.audio = format!("mic:pulseaudio:{microphone}").into();
        person.speaker = Some(format!("pulseaudio:{speaker}").into());
    }
    let environment = server.environment();
    let seconds = SPEAKING.as_secs() + 5;
    let (mut caller, mut callee) =
        demo::start_headless(&clinic, Profile::Release, devices, &environment, seconds)?;
    demo::wait_for_conversation(&clinic, [&mut caller, &mut callee])?;

    let people = [DOCTOR, PATIENT];
    let mut voices = Vec::new();
    for ([mouth, ..], speech) in people.iter().zip(media::speech()) {
        voices.push(speak(mouth, &speech, &environment)?);
    }
    let begin = Instant::now();
    let record = |[mouth, _, ear]: [&str; 3]| {
        anyhow::Ok([Recorder::start(mouth, begin, &environment)?, Recorder::start(ear, begin, &environment)?])
    };
    let [doctor, patient] = [record(DOCTOR)?, record(PATIENT)?];
    thread::sleep(SPEAKING);
    let [doctors_mouth, doctors_ear] = doctor.map(Recorder::stop);
    let [patients_mouth, patients_ear] = patient.map(Recorder::stop);
    drop(voices);
    demo::reports(&clinic, caller, callee, seconds)?;
    Ok([late(&patients_mouth?, &doctors_ear?)?, late(&doctors_mouth?, &patients_ear?)?])
}

/// The private server has a speaker and a microphone; here are two people.
fn second_person(server: &SoundServer) -> Result<()> {
    let [mouth, microphone, speaker] = PATIENT;
    for sink in [mouth, speaker] {
        let name = format!("sink_name={sink}");
        server.load("module-null-sink", &[&name, "rate=48000", "channels=1", "norewinds=1"])?;
    }
    let (master, name) = (format!("master={mouth}.monitor"), format!("source_name={microphone}"));
    server.load("module-remap-source", &[&master, &name])?;
    Ok(())
}

/// Says the same again and again into what a microphone hears.
fn speak(mouth: &str, speech: &Path, environment: &[(&'static str, OsString)]) -> Result<Running> {
    let mut voice = shell::program("sh");
    voice.args(["-c", "while paplay --device=\"$0\" \"$1\"; do :; done", mouth]).arg(speech);
    voice.envs(environment.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::null());
    Running::start("a voice", &mut voice)
}

/// What a sink played, mono.
struct Recording {
    samples: Vec<f32>,
    /// When the first of them was played, seconds; the same small delay later in every recording.
    begin: f64,
}

/// Records a sink's monitor.
struct Recorder {
    program: Running,
    reading: JoinHandle<Result<Recording>>,
}

impl Recorder {
    /// Starts to; times are counted from `origin`.
    fn start(sink: &str, origin: Instant, environment: &[(&'static str, OsString)]) -> Result<Self> {
        let mut command = shell::program("parec");
        command.args(["--format=float32le", "--channels=1", "--latency-msec=5"]);
        command.arg(format!("--rate={RATE}")).arg(format!("--device={sink}.monitor"));
        command.envs(environment.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut program = Running::start("a recorder", &mut command)?;
        let output = program.output()?;
        let reading =
            thread::Builder::new().name(format!("record-{sink}")).spawn(move || read(output, origin))?;
        Ok(Self { program, reading })
    }

    fn stop(mut self) -> Result<Recording> {
        self.program.stop()?;
        self.reading.join().ok().context("a recording was not finished")?
    }
}

/// Each block arrives a moment after its last sample was played; the quickest one tells when the first was.
fn read(mut output: ChildStdout, origin: Instant) -> Result<Recording> {
    let mut bytes = Vec::new();
    let mut block = [0; 4096];
    let mut begin = f64::INFINITY;
    loop {
        let count = output.read(&mut block)?;
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&block[..count]);
        begin = begin.min(origin.elapsed().as_secs_f64() - (bytes.len() / 4) as f64 / RATE as f64);
    }
    let samples = bytes.chunks_exact(4).map(|part| f32::from_le_bytes([part[0], part[1], part[2], part[3]]));
    Ok(Recording { samples: samples.collect(), begin })
}

/// How much later the speech is played in `ear` than in `mouth`, ms: the median of its parts.
fn late(mouth: &Recording, ear: &Recording) -> Result<f64> {
    let ahead = ear.begin - mouth.begin;
    let mut all: Vec<f64> = (0..mouth.samples.len() / PART)
        .filter_map(|part| {
            let from = part * PART;
            // Where the same moment is in the other recording.
            let at = (from as f64 / RATE as f64 - ahead) * RATE as f64;
            let at = (at >= 0.0).then_some(at as usize)?;
            let heard = ear.samples.get(at..at + PART + LONGEST)?;
            let found = compare::find(mouth.samples.get(from..from + PART)?, heard, LONGEST)?;
            (found.correlation > ALIKE).then_some(found.lag as f64 * 1000.0 / RATE as f64)
        })
        .collect();
    ensure!(all.len() >= ENOUGH, "only {} parts of the speech came out at the other end", all.len());
    all.sort_by(f64::total_cmp);
    Ok(all[all.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that is the same in every run.
    fn noise(count: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 16) as u16) / 65_536.0 - 0.5
        };
        // Speech is low: each value stays for a while.
        (0..count / 24).flat_map(|_| [next(); 24]).collect()
    }

    #[test]
    fn it_is_told_how_late_sound_is_whenever_the_recordings_began() {
        let said = noise(10 * RATE);
        for (mouth_skips, ear_skips) in [(0, 0), (4_800, 0), (0, 9_600)] {
            // Played 100 ms later, and more quietly.
            let heard = [vec![0.0; RATE / 10], said.iter().map(|sample| sample / 2.0).collect()].concat();
            let recording = |samples: &[f32], skips: usize| Recording {
                samples: samples[skips..].to_vec(),
                begin: 7.0 + skips as f64 / RATE as f64,
            };
            let late = late(&recording(&said, mouth_skips), &recording(&heard, ear_skips)).expect("heard");
            assert!((late - 100.0).abs() < 0.1, "{late}");
        }
    }

    #[test]
    fn other_sound_is_not_taken_for_the_speech() {
        let all = noise(20 * RATE);
        let recording = |samples: &[f32]| Recording { samples: samples.to_vec(), begin: 0.0 };
        let (said, other) = all.split_at(10 * RATE);
        assert!(late(&recording(said), &recording(other)).is_err());
    }
}
