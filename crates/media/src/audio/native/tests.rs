//! Callbacks of any size, rate and channel count become whole 10 ms blocks, and back.
//!
//! Time is simulated: a device calls back when enough samples have passed on its own crystal,
//! the engine beats every 10 ms. And devices that hang when they are opened.

use std::f64::consts::TAU;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Openers, input, output};
use crate::audio::device::{AudioInput, AudioOutput};
use crate::audio::{AudioTrouble, BLOCK, Block, Side};

const HZ: f64 = 440.0;

/// Blocks before the cushion has settled.
const SETTLE: usize = 300;

/// Blocks listened to in all.
const BLOCKS: usize = 1_200;

/// The share of a block's power that is a tone of `HZ`, give or take the crystal: 1 for a whole
/// one, less with every gap, click or doubled sample.
fn purity(block: &[f32], rate: f64) -> f64 {
    let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
    let window = |n: usize| 1.0 - (TAU * (n as f64 + 0.5) / block.len() as f64).cos();
    let mut weights = 0.0;
    for (n, sample) in block.iter().enumerate() {
        let angle = TAU * HZ * n as f64 / rate;
        let weight = window(n);
        sine += weight * f64::from(*sample) * angle.sin();
        cosine += weight * f64::from(*sample) * angle.cos();
        power += weight * f64::from(*sample).powi(2);
        weights += weight;
    }
    2.0 * (sine * sine + cosine * cosine) / (weights * power).max(1e-12)
}

fn rates() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![8_000u32, 16_000, 22_050, 44_100, 48_000, 96_000])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_microphone_becomes_blocks_without_gaps(
        rate in rates(),
        channels in 1usize..=3,
        callback_ms in 1.0f64..60.0,
        drift_ppm in -150.0f64..150.0,
    ) {
        let callback = ((f64::from(rate) * callback_ms / 1000.0) as usize).max(16);
        let opened = Instant::now();
        let (mut capture, mut microphone) = input::pair(rate, channels, opened).expect("a pair");
        let crystal = f64::from(rate) * (1.0 + drift_ppm * 1e-6);
        let (mut sent, mut impure) = (0usize, 0);
        let mut last = opened;
        for beat in 1..=BLOCKS {
            let now = beat as f64 * 0.01;
            while (sent + callback) as f64 <= now * crystal {
                let samples: Vec<i16> = (sent..sent + callback)
                    .flat_map(|n| {
                        let value = 16_000.0 * (TAU * HZ * n as f64 / f64::from(rate)).sin();
                        std::iter::repeat_n(value as i16, channels)
                    })
                    .collect();
                capture.take(&samples, Duration::from_secs_f64(sent as f64 / crystal));
                sent += callback;
            }
            let mut block: Block = [0.0; BLOCK];
            let tick = opened + Duration::from_secs_f64(now);
            let captured_at = microphone.pull(&mut block, tick);
            if beat > SETTLE {
                impure += usize::from(purity(&block, 48_000.0) < 0.99);
                prop_assert!(captured_at > last, "capture times go forward");
                prop_assert!(tick > captured_at);
                let age = tick - captured_at;
                let most = Duration::from_secs_f64(0.045 + 2.0 * callback_ms / 1000.0);
                prop_assert!(age < most, "a block is {age:?} old");
            }
            last = captured_at;
        }
        // A cut of surplus delay may fall into a block or two.
        prop_assert!(impure <= 4, "{impure} of {} blocks are broken", BLOCKS - SETTLE);
    }

    #[test]
    fn blocks_become_a_speaker_without_gaps(
        rate in rates(),
        channels in 1usize..=3,
        callback_ms in 1.0f64..60.0,
        drift_ppm in -150.0f64..150.0,
    ) {
        let callback = ((f64::from(rate) * callback_ms / 1000.0) as usize).max(16);
        let (mut speaker, mut playback) = output::pair(rate, channels).expect("a pair");
        let crystal = f64::from(rate) * (1.0 + drift_ppm * 1e-6);
        let (mut played, mut heard) = (0usize, Vec::new());
        for beat in 1..=BLOCKS {
            let now = beat as f64 * 0.01;
            let block: Block = std::array::from_fn(|n| {
                let at = (beat * BLOCK + n) as f64 / 48_000.0;
                (0.5 * (TAU * HZ * at).sin()) as f32
            });
            speaker.push(&block);
            while (played + callback) as f64 <= now * crystal {
                let mut samples = vec![0i16; callback * channels];
                playback.fill(&mut samples);
                for frame in samples.chunks_exact(channels) {
                    prop_assert!(frame.iter().all(|sample| *sample == frame[0]));
                    heard.push(f32::from(frame[0]) / 32_768.0);
                }
                played += callback;
            }
        }
        let part = rate as usize / 100;
        let settled = &heard[SETTLE * part..];
        let impure = settled.chunks_exact(part).filter(|part| purity(part, f64::from(rate)) < 0.99).count();
        prop_assert!(impure <= 4, "{impure} of {} blocks are broken", settled.len() / part);
    }
}

#[test]
fn a_device_whose_opening_hangs_is_not_opened_again_until_that_is_over() {
    const LIMIT: Duration = Duration::from_secs(60);
    let mut openers = Openers::default();
    let (release, held) = mpsc::channel::<()>();
    let hang = move || Ok(_ = held.recv());
    assert_eq!(openers.open(Side::Input, "one", Duration::ZERO, hang), Err(AudioTrouble::Stalled));
    let second = || -> Result<(), _> { unreachable!("a second opener") };
    assert_eq!(openers.open(Side::Input, "one", LIMIT, second), Err(AudioTrouble::Stalled));
    assert_eq!(openers.open(Side::Output, "one", LIMIT, || Ok(2)), Ok(2));
    assert_eq!(openers.open(Side::Input, "other", LIMIT, || Ok(3)), Ok(3));
    drop(release);
    while !openers.left_behind.iter().all(|(_, _, opener)| opener.is_finished()) {
        thread::yield_now();
    }
    assert_eq!(openers.open(Side::Input, "one", LIMIT, || Ok(4)), Ok(4));
}
