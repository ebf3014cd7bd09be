//! The playout buffer on bad networks: how much of what a person hears is made up, and how late it comes.

use std::f32::consts::TAU;
use std::time::{Duration, Instant};

use bedside_flow::audio::{BLOCK, DecodeFailed, FRAME, FrameDecoder, Playout, PlayoutStats};
use bedside_netem::{Link, Loss, Shape};

/// "Decodes" a packet that holds its frame's number to that stretch of a voice-like tone.
struct Tone {
    last: u32,
}

fn voice(sample: u64) -> f32 {
    let seconds = sample as f32 / 48_000.0;
    (1..5).map(|n| (TAU * 140.0 * n as f32 * seconds).sin() * 0.3 / n as f32).sum()
}

impl Tone {
    fn frame(number: u32, out: &mut [f32; FRAME]) {
        for (at, sample) in out.iter_mut().enumerate() {
            *sample = voice((u64::from(number) * FRAME as u64 + at as u64) % 48_000);
        }
    }
}

impl FrameDecoder for Tone {
    fn decode(&mut self, packet: &[u8], out: &mut [f32; FRAME]) -> Result<(), DecodeFailed> {
        let number = packet.get(..4).and_then(|bytes| bytes.try_into().ok()).ok_or(DecodeFailed)?;
        self.last = u32::from_be_bytes(number);
        Self::frame(self.last, out);
        Ok(())
    }

    fn decode_fec(&mut self, next: &[u8], out: &mut [f32; FRAME]) -> Result<(), DecodeFailed> {
        self.decode(next, out)?;
        self.last -= 1;
        Self::frame(self.last, out);
        Ok(())
    }

    fn conceal(&mut self, out: &mut [f32; FRAME]) {
        self.last += 1;
        Self::frame(self.last, out);
    }
}

struct Outcome {
    stats: PlayoutStats,
    /// Delay over the second half, ms.
    mean_delay: f64,
    lost_ms: f64,
    /// Steepest step between two samples that were handed out.
    steepest: f32,
}

/// A minute of speech over a link. `drift`: how much faster the sender's clock runs.
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; the test only adds to it")]
fn minute(shape: Shape, seed: u64, drift: f64) -> Outcome {
    let start = Instant::now();
    let mut link = Link::new(shape, seed);
    let mut arrivals: Vec<(f64, u32)> = Vec::new();
    let mut lost_ms = 0.0;
    for number in 0..3000u32 {
        match link.send(f64::from(number) * 20.0 / (1.0 + drift), 120) {
            Some(arrival) => arrivals.push((arrival.at_ms, number)),
            None => lost_ms += 20.0,
        }
    }
    arrivals.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut arrivals = arrivals.into_iter().peekable();
    let mut playout = Playout::new();
    let mut decoder = Tone { last: 0 };
    let mut block = [0.0; BLOCK];
    let (mut delays, mut previous, mut steepest) = (Vec::new(), 0.0f32, 0.0f32);
    for tick in 0..5990u32 {
        let now_ms = f64::from(tick) * 10.0;
        while let Some((at, number)) = arrivals.next_if(|(at, _)| *at <= now_ms) {
            let mut payload = number.to_be_bytes().to_vec();
            payload.resize(80, 0);
            let now = start + Duration::from_secs_f64(at / 1e3);
            playout.insert(now, (number as u16).wrapping_add(65_000), number.wrapping_mul(960), payload);
        }
        playout.pull_block(start + Duration::from_secs_f64(now_ms / 1e3), &mut decoder, &mut block);
        for sample in block {
            steepest = steepest.max((sample - previous).abs());
            previous = sample;
        }
        if tick > 3000 {
            delays.push(playout.stats().delay_ms);
        }
    }
    let outcome = Outcome {
        stats: playout.stats(),
        mean_delay: delays.iter().sum::<f64>() / delays.len() as f64,
        lost_ms,
        steepest,
    };
    println!(
        "lost {:.0} ms, steepest {:.3}, mean delay {:.1} ms, {:?}",
        outcome.lost_ms, outcome.steepest, outcome.mean_delay, outcome.stats
    );
    outcome
}

#[test]
fn on_a_good_network_nothing_is_made_up_and_the_delay_is_the_least() {
    let outcome = minute(Shape { jitter_ms: 3.0, ..Shape::PERFECT }, 1, 0.0);
    assert_eq!(outcome.stats.concealed_ms, 0.0);
    assert!(outcome.mean_delay < 32.0, "{}", outcome.mean_delay);
}

#[test]
fn loss_is_mostly_repaired_from_the_following_packet() {
    for seed in 0..5 {
        let outcome =
            minute(Shape { loss: Loss::independent(0.05), jitter_ms: 5.0, ..Shape::PERFECT }, seed, 0.0);
        assert!(outcome.stats.concealed_ms < 0.35 * outcome.lost_ms, "seed {seed}");
        assert!(outcome.mean_delay < 50.0, "seed {seed}: {}", outcome.mean_delay);
    }
}

#[test]
fn with_five_per_cent_loss_and_80_ms_of_jitter_little_more_is_made_up_than_was_lost() {
    for seed in 0..5 {
        let shape = Shape { loss: Loss::independent(0.05), jitter_ms: 80.0, reorder: true, ..Shape::PERFECT };
        let outcome = minute(shape, seed, 0.0);
        assert!(outcome.stats.concealed_ms < 0.5 * outcome.lost_ms, "seed {seed}");
        assert!(outcome.mean_delay < 110.0, "seed {seed}: {}", outcome.mean_delay);
    }
}

#[test]
fn bursts_of_loss_cost_no_more_than_they_last() {
    for seed in 0..5 {
        let shape = Shape { loss: Loss::bursts(0.10, 4.0), jitter_ms: 20.0, ..Shape::PERFECT };
        let outcome = minute(shape, seed, 0.0);
        assert!(outcome.stats.concealed_ms < 1.15 * outcome.lost_ms, "seed {seed}");
    }
}

#[test]
fn clocks_that_run_apart_are_followed_without_a_gap() {
    for drift in [-300e-6, 300e-6] {
        let outcome = minute(Shape { jitter_ms: 2.0, ..Shape::PERFECT }, 7, drift);
        assert!(outcome.stats.concealed_ms <= 40.0, "drift {drift}");
        assert!(outcome.mean_delay < 36.0, "drift {drift}: {}", outcome.mean_delay);
    }
}

#[test]
fn stretching_makes_no_clicks() {
    let natural = (1..48_000).map(|at| (voice(at) - voice(at - 1)).abs()).fold(0.0, f32::max);
    let outcome = minute(Shape { jitter_ms: 60.0, ..Shape::PERFECT }, 3, 0.0);
    assert!(outcome.stats.accelerated_ms + outcome.stats.expanded_ms > 20.0);
    assert!(outcome.steepest < 2.5 * natural, "{} against {natural}", outcome.steepest);
}
