//! The engine through a real sound server: cpal, PulseAudio, null sinks.
#![cfg(target_os = "linux")]

#[path = "audio_support/bench.rs"]
mod bench;
#[expect(unreachable_pub, reason = "the test kit's own file, used here without the rest of the kit")]
#[path = "../../testkit/src/sound.rs"]
mod sound;

use bedside_media::audio::{
    self, AudioEvent, AudioTrouble, BLOCK, InputId, OutputId, Side, compare, tone_sample,
};
use bench::Bench;
use sound::within;

/// The share of two seconds that must match.
const ENOUGH: f32 = 0.8;

/// Listens two seconds at a time until they hold the tone: on a busy machine the sound server itself
/// stutters at first.
fn expect_the_tone(bench: &Bench) {
    bench.listen_from_sound(100);
    let mut best = 0f32;
    for _ in 0..10 {
        best = best.max(share_heard(&bench.listen(200)));
        if best >= ENOUGH {
            let (microphone, speaker) = bench.engine.levels();
            assert!(microphone > 0.1 && speaker > 0.1, "the meters show {microphone} and {speaker}");
            return;
        }
    }
    panic!("at best {best} of the tone came back");
}

/// Correlates what was heard with the tone, a fifth of a second at a time because the engine
/// steers against clock drift; returns the share of the parts that match.
fn share_heard(heard: &[f32]) -> f32 {
    const PART: usize = 9_600;
    // The tone repeats every second, so each part is somewhere in two of them.
    let tone: Vec<f32> = (0..2 * 48_000).map(tone_sample).collect();
    let parts: Vec<f32> = heard
        .chunks_exact(PART)
        .filter_map(|part| compare::find(part, &tone, 48_000))
        .map(|found| found.correlation)
        .collect();
    println!("correlations {parts:.3?}");
    parts.iter().filter(|correlation| **correlation > 0.95).count() as f32 / parts.len() as f32
}

#[test]
fn the_server_s_devices_are_listed_without_monitors() {
    within("the_server_s_devices_are_listed_without_monitors", |_| {
        let inputs = audio::inputs();
        let outputs = audio::outputs();
        println!("{inputs:?}\n{outputs:?}");
        assert_eq!(inputs.len(), 1, "mic, and no speaker's monitor");
        assert!(inputs[0].is_default);
        assert_eq!(outputs.len(), 2);
        assert!(outputs[0].is_default);
        assert_eq!(outputs.iter().filter(|device| device.is_default).count(), 1);
    });
}

#[test]
fn a_tone_comes_back_through_speaker_and_microphone() {
    within("a_tone_comes_back_through_speaker_and_microphone", |server| {
        server.connect("spk", 30).expect("a cable");
        let bench = Bench::start(InputId::Default, OutputId::Default, tone_sample);
        expect_the_tone(&bench);
    });
}

#[test]
fn a_speaker_of_another_rate_plays_the_same() {
    within("a_speaker_of_another_rate_plays_the_same", |server| {
        let sink = ["sink_name=odd", "rate=44100", "channels=2", "norewinds=1"];
        server.load("module-null-sink", &sink).expect("a sink");
        server.connect("odd", 30).expect("a cable");
        let odd = OutputId::Native("pulseaudio:odd".into());
        let bench = Bench::start(InputId::Default, odd, tone_sample);
        expect_the_tone(&bench);
    });
}

#[test]
fn a_pulled_speaker_is_replaced_and_returned_to() {
    within("a_pulled_speaker_is_replaced_and_returned_to", |server| {
        let sink = ["sink_name=headset", "sink_properties=device.description=Headset", "norewinds=1"];
        let plugged = server.load("module-null-sink", &sink).expect("a sink");
        let bench =
            Bench::start(InputId::Silence, OutputId::Native("pulseaudio:headset".into()), tone_sample);
        bench.using("Headset");
        bench.listen(50);
        server.unload(&plugged).expect("unplugged");
        let event = bench.event(|event| matches!(event, AudioEvent::Trouble { .. }));
        let AudioEvent::Trouble { side, trouble, replaced_by } = event else { unreachable!() };
        assert_eq!((side, trouble), (Side::Output, AudioTrouble::Unplugged));
        assert!(replaced_by.is_some(), "another speaker took over");
        assert_eq!(bench.listen(20).len(), 20 * BLOCK);
        server.load("module-null-sink", &sink).expect("replugged");
        bench.using("Headset");
    });
}

#[test]
fn a_pulled_microphone_is_replaced_by_silence_and_a_new_one_is_used() {
    within("a_pulled_microphone_is_replaced_by_silence_and_a_new_one_is_used", |server| {
        let bench = Bench::start(InputId::Default, OutputId::Null, |_| 0.0);
        bench.event(|event| matches!(event, AudioEvent::Using { side: Side::Input, .. }));
        server.pactl(&["unload-module", "module-remap-source"]).expect("unplugged");
        bench.event(|event| {
            *event
                == AudioEvent::Trouble {
                    side: Side::Input,
                    trouble: AudioTrouble::NoneFound,
                    replaced_by: None,
                }
        });
        assert_eq!(bench.listen(20).len(), 20 * BLOCK, "the call goes on");
        server
            .load("module-remap-source", &["master=micfeed.monitor", "source_name=another"])
            .expect("plugged in");
        bench.event(|event| matches!(event, AudioEvent::Using { side: Side::Input, .. }));
    });
}

#[test]
fn a_changed_default_is_followed() {
    within("a_changed_default_is_followed", |server| {
        let bench = Bench::start(InputId::Silence, OutputId::Default, |_| 0.0);
        bench.event(|event| matches!(event, AudioEvent::Using { side: Side::Output, .. }));
        server.pactl(&["set-default-sink", "micfeed"]).expect("changed");
        bench.using("Feed");
    });
}
