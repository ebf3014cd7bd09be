//! The engine with virtual devices: which samples arrive, in which order. Never when.

#[path = "audio_support/bench.rs"]
mod bench;

use std::path::PathBuf;

use bedside_media::audio::{
    AudioEvent, AudioTrouble, BLOCK, InputId, OutputId, ProcessingConfig, Side, compare, tone_sample,
};
use bench::Bench;
use tempfile::TempDir;

/// Samples at the start of a new microphone that are faded in.
const FADE_IN: usize = BLOCK / 2;

/// A file that goes away with the test.
struct Scratch {
    path: PathBuf,
    _folder: TempDir,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { path: folder.path().join(name), _folder: folder }
    }

    fn write(name: &str, rate: u32, channels: u16, samples: impl Iterator<Item = i16>) -> Self {
        let scratch = Self::new(name);
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = hound::WavWriter::create(&scratch.path, spec).expect("a file");
        for sample in samples {
            for _ in 0..channels {
                file.write_sample(sample).expect("written");
            }
        }
        file.finalize().expect("finished");
        scratch
    }

    fn read(&self) -> Vec<i16> {
        let file = hound::WavReader::open(&self.path).expect("a WAV file");
        file.into_samples::<i16>().map(|sample| sample.expect("a sample")).collect()
    }
}

/// Never zero, so that the first sample of the file is found in the capture.
fn saw(n: usize) -> i16 {
    (n % 997) as i16 * 13 + 500
}

#[test]
fn every_sample_of_the_tone_arrives_once_and_in_order() {
    let bench = Bench::start(InputId::Tone, OutputId::Null, |_| 0.0);
    let heard = bench.listen_from_sound(150);
    for (n, sample) in heard.iter().enumerate().skip(FADE_IN) {
        assert_eq!(*sample, tone_sample(n as u64), "sample {n}");
    }
}

#[test]
fn capture_times_go_forward_with_the_samples() {
    let bench = Bench::start(InputId::Tone, OutputId::Null, |_| 0.0);
    let mut last = bench.block().1;
    for _ in 0..50 {
        let (_, captured_at) = bench.block();
        assert!(captured_at > last);
        last = captured_at;
    }
}

#[test]
fn a_file_is_played_over_and_over_without_a_seam() {
    let length = 1_234;
    let file = Scratch::write("loop.wav", 48_000, 1, (0..length).map(saw));
    let bench = Bench::start(InputId::File(file.path.clone()), OutputId::Null, |_| 0.0);
    let heard = bench.listen_from_sound(20);
    for (n, sample) in heard.iter().enumerate().skip(FADE_IN) {
        assert_eq!(*sample, f32::from(saw(n % length)) / 32_768.0, "sample {n}");
    }
}

#[test]
fn a_stereo_file_of_another_rate_sounds_the_same() {
    let tone_at =
        |rate: u32| move |n: usize| (tone_sample(n as u64 * 48_000 / u64::from(rate)) * 32_000.0) as i16;
    for rate in [16_000, 96_000] {
        let name = format!("rate-{rate}.wav");
        let file = Scratch::write(&name, rate, 2, (0..rate as usize).map(tone_at(rate)));
        let bench = Bench::start(InputId::File(file.path.clone()), OutputId::Null, |_| 0.0);
        let heard = bench.listen_from_sound(140);
        let reference: Vec<f32> = (4_800..52_800).map(tone_sample).collect();
        let found = compare::find(&reference, &heard, 9_600).expect("found");
        assert!(found.correlation > 0.98, "{rate} Hz: {found:?}");
        assert!(found.lag.abs_diff(4_800) <= 16, "{rate} Hz: {found:?}");
    }
}

#[test]
fn the_speaker_file_holds_what_was_rendered_whole_and_in_order() {
    let file = Scratch::new("speaker.wav");
    let ramp = |n: u64| (n % 30_000) as f32 / 32_768.0;
    let bench = Bench::start(InputId::Silence, OutputId::File(file.path.clone()), ramp);
    bench.listen(100);
    drop(bench);
    let written = file.read();
    assert!(written.len() >= 80 * BLOCK, "{} samples", written.len());
    for pair in written.windows(2) {
        assert_eq!((i32::from(pair[0]) + 1) % 30_000, i32::from(pair[1]));
    }
}

#[test]
fn microphones_are_switched_while_running() {
    let file = Scratch::write("switch.wav", 48_000, 1, (0..48_000).map(saw));
    let bench = Bench::start(InputId::Tone, OutputId::Null, |_| 0.0);
    bench.using("Test tone");
    bench.listen_from_sound(5);
    bench.engine.set_input(InputId::Silence);
    bench.using("Silence");
    while bench.block().0 != [0.0; BLOCK] {}
    bench.engine.set_input(InputId::File(file.path.clone()));
    bench.using("switch.wav");
    let heard = bench.listen_from_sound(20);
    for (n, sample) in heard.iter().enumerate().skip(FADE_IN) {
        assert_eq!(*sample, f32::from(saw(n)) / 32_768.0, "sample {n}");
    }
}

#[test]
fn speakers_are_switched_while_running_and_files_completed() {
    let (first, second) = (Scratch::new("first.wav"), Scratch::new("second.wav"));
    let ramp = |n: u64| (n % 30_000) as f32 / 32_768.0;
    let bench = Bench::start(InputId::Silence, OutputId::File(first.path.clone()), ramp);
    bench.using("first.wav");
    bench.listen(30);
    bench.engine.set_output(OutputId::File(second.path.clone()));
    bench.using("second.wav");
    bench.listen(30);
    // The first file is complete as soon as the next speaker has been announced and used.
    bench.engine.set_output(OutputId::Null);
    bench.using("No speaker");
    drop(bench);
    let (first, second) = (first.read(), second.read());
    assert!(first.len() >= 20 * BLOCK && second.len() >= 20 * BLOCK);
    assert_eq!(
        (i32::from(first[first.len() - 1]) + 1) % 30_000,
        i32::from(second[0]),
        "nothing lost between"
    );
}

#[test]
fn processing_is_switched_while_running() {
    // A constant is what a high-pass filter removes and nothing else does.
    let file = Scratch::write("constant.wav", 48_000, 1, std::iter::repeat_n(8_192, 4_800));
    let bench = Bench::start(InputId::File(file.path.clone()), OutputId::Null, |_| 0.0);
    bench.listen_from_sound(5);
    assert_eq!(bench.block().0, [0.25; BLOCK]);
    let filtered = ProcessingConfig { high_pass: true, ..ProcessingConfig::NONE };
    bench.engine.set_processing(filtered);
    while bench.block().0.iter().any(|sample| sample.abs() > 0.01) {}
    bench.engine.set_processing(ProcessingConfig::NONE);
    while bench.block().0 != [0.25; BLOCK] {}
}

#[test]
fn the_test_sound_is_mixed_into_what_plays_and_shown_by_the_meter() {
    let file = Scratch::new("chime.wav");
    let bench = Bench::start(InputId::Tone, OutputId::File(file.path.clone()), |_| 0.1);
    bench.using("chime.wav");
    bench.engine.play_test_sound();
    bench.listen(50);
    let (microphone, speaker) = bench.engine.levels();
    assert!((0.2..1.0).contains(&microphone), "microphone at {microphone}");
    assert!((0.2..1.0).contains(&speaker), "speaker at {speaker}");
    drop(bench);
    let loudest = file.read().into_iter().max().expect("samples");
    assert!(f32::from(loudest) / 32_768.0 > 0.2, "the chime is not in the file");
}

#[test]
fn a_missing_file_is_trouble_and_the_call_goes_on_in_silence() {
    let bench = Bench::start(InputId::File("/nonexistent/speech.wav".into()), OutputId::Null, |_| 0.0);
    bench.event(|event| {
        *event == AudioEvent::Trouble { side: Side::Input, trouble: AudioTrouble::Failed, replaced_by: None }
    });
    assert_eq!(bench.listen(10), vec![0.0; 10 * BLOCK]);
}

#[test]
fn whatever_the_system_has_the_engine_beats_and_says_what_it_uses() {
    let bench = Bench::start(InputId::Default, OutputId::Default, |_| 0.0);
    bench.listen(20);
    // The speaker is opened first.
    for side in [Side::Output, Side::Input] {
        bench.event(|event| match event {
            AudioEvent::Using { side: about, .. } | AudioEvent::Trouble { side: about, .. } => *about == side,
        });
    }
}

#[test]
fn a_speaker_file_is_complete_once_the_systems_speaker_was_chosen_whether_or_not_there_is_one() {
    let file = Scratch::new("former.wav");
    let bench = Bench::start(InputId::Silence, OutputId::File(file.path.clone()), |_| 0.25);
    bench.using("former.wav");
    bench.listen(30);
    bench.engine.set_output(OutputId::Default);
    bench.event(|event| match event {
        AudioEvent::Using { side, name } => *side == Side::Output && name != "former.wav",
        AudioEvent::Trouble { side, .. } => *side == Side::Output,
    });
    // The thread that looks after the devices is there for the next choice.
    bench.engine.set_output(OutputId::Null);
    bench.using("No speaker");
    assert!(file.read().len() >= 20 * BLOCK);
}

#[test]
fn engines_start_and_stop_as_often_as_one_likes() {
    for _ in 0..20 {
        let bench = Bench::start(InputId::Tone, OutputId::Null, |_| 0.0);
        bench.block();
    }
}
