//! Measures what the audio engine adds: delay, gaps and CPU time.
//!
//! ```text
//! cargo run -p bedside-media --example audio_latency                         # virtual devices
//! cargo run -p bedside-media --example audio_latency -- MICROPHONE SPEAKER   # through the sound server
//! ```
//!
//! Plays the test tone through the speaker and looks for it in the microphone, so the two must be
//! connected: a cable, air, or a null sink's monitor. With no arguments the tone itself is the
//! microphone, and the figures are the engine's own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bedside_media::audio::{
    AudioConfig, AudioEngine, BLOCK, InputId, OutputId, ProcessingConfig, SAMPLE_RATE, compare, tone_sample,
};

const SECOND: usize = SAMPLE_RATE as usize;

#[derive(Default)]
struct Heard {
    samples: Vec<f32>,
    latest: Duration,
    total: Duration,
    blocks: u32,
}

fn main() {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, output) = match arguments.as_slice() {
        [microphone, speaker, ..] => (InputId::Native(microphone.clone()), OutputId::Native(speaker.clone())),
        _ => (InputId::Tone, OutputId::Null),
    };
    let seconds = arguments.get(2).and_then(|text| text.parse().ok()).unwrap_or(12);
    for (name, processing) in [("off", ProcessingConfig::NONE), ("on", ProcessingConfig::ALL)] {
        run(name, &input, &output, processing, seconds);
    }
}

fn run(name: &str, input: &InputId, output: &OutputId, processing: ProcessingConfig, seconds: u64) {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let sink = Arc::clone(&heard);
    let mut played = 0u64;
    let silent = *output == OutputId::Null;
    let cpu_before = cpu_seconds();
    let engine = AudioEngine::start(
        AudioConfig { input: input.clone(), output: output.clone(), processing },
        Box::new(move |block, captured_at| {
            let mut heard = sink.lock().unwrap_or_else(PoisonError::into_inner);
            let age = Instant::now().saturating_duration_since(captured_at);
            heard.latest = heard.latest.max(age);
            heard.total += age;
            heard.blocks += 1;
            heard.samples.extend_from_slice(block);
        }),
        Box::new(move |block| {
            // The tone in a virtual microphone would be taken for an echo of this one.
            if silent {
                return;
            }
            for sample in block {
                *sample = tone_sample(played);
                played += 1;
            }
        }),
        Box::new(|event| println!("  {event:?}")),
    );
    std::thread::sleep(Duration::from_secs(seconds));
    drop(engine);
    let cpu = cpu_seconds() - cpu_before;
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    println!(
        "processing {name}: capture age {:.1} ms mean, {:.1} ms most; CPU {:.2} s per minute",
        heard.total.as_secs_f64() * 1000.0 / f64::from(heard.blocks.max(1)),
        heard.latest.as_secs_f64() * 1000.0,
        cpu * 60.0 / seconds as f64,
    );
    // A fifth of each second of the tone, found in what was heard since then.
    let reference: Vec<f32> = (20_000..29_600).map(tone_sample).collect();
    for (second, part) in heard.samples[20_000..].windows(SECOND).step_by(SECOND).enumerate() {
        if let Some(found) = compare::find(&reference, part, SECOND - reference.len()) {
            println!(
                "  second {second}: {:.1} ms late, correlation {:.4}",
                found.lag as f64 * 1000.0 / SECOND as f64,
                found.correlation
            );
        }
    }
    println!("  {} blocks of {BLOCK} samples", heard.blocks);
}

/// CPU time of this process so far.
#[cfg(target_os = "linux")]
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // Fields 14 and 15 of the whole line, in hundredths of a second: user and system time.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// CPU time is only read on Linux.
#[cfg(not(target_os = "linux"))]
fn cpu_seconds() -> f64 {
    0.0
}
