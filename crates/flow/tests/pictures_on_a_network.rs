//! Pictures from packetizer to assembler over a lossy link, with retransmission and keyframe requests: which
//! pictures a person sees, and for how long none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bedside_flow::freeze::FreezeDetector;
use bedside_flow::keyframe::KeyframeLimiter;
use bedside_flow::nack::{Generator, History};
use bedside_flow::rtp::RtpMeta;
use bedside_flow::video::{Assembler, Packetizer};
use bedside_netem::{Link, Loss, Shape};

#[derive(Clone)]
enum Message {
    Packet(RtpMeta, Vec<u8>),
    Nack(Vec<u16>),
    Pli,
}

struct Outcome {
    sent: u32,
    shown: Vec<u32>,
    keyframes: u64,
    plis: u32,
    freezes: u64,
    frozen: Duration,
    retransmitted: u32,
    worst_age_ms: u64,
}

/// An access unit of about `size` bytes that says its number.
fn picture(number: u32, keyframe: bool, size: usize) -> Vec<u8> {
    let mut data = Vec::new();
    if keyframe {
        data.extend_from_slice(&[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0x38, 0x80]);
    }
    data.extend_from_slice(&[0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }, 0x9a]);
    data.extend(number.to_be_bytes().map(|byte| byte | 0x80));
    data.extend((0..28).step_by(7).map(|shift| (number >> shift) as u8 & 0x7f | 0x80));
    data.resize(data.len() + size, 0xaa);
    data
}

fn number_of(data: &[u8]) -> u32 {
    let at = data.windows(5).rposition(|window| window[..4] == [0, 0, 0, 1]).unwrap_or(0) + 4 + 2 + 4;
    (0..4).map(|index| u32::from(data[at + index] & 0x7f) << (7 * index)).sum()
}

#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; the test only adds to it")]
fn watch(shape: Shape, seed: u64, seconds: u64) -> Outcome {
    let start = Instant::now();
    // Few packets go back, so bursts hit them one at a time.
    let (mut there, mut back) = (
        Link::new(shape, seed),
        Link::new(Shape { loss: Loss::independent(shape.loss.share()), ..shape }, seed + 1000),
    );
    let rtt = Duration::from_secs_f64((2.0 * shape.delay_ms + shape.jitter_ms) / 1e3);
    // (microsecond, tie-break) → message.
    let mut wire: BTreeMap<(u64, u64), Message> = BTreeMap::new();
    let mut serial = 0;
    let mut post = |wire: &mut BTreeMap<_, _>, link: &mut Link, ms: u64, message: Message| {
        let size = if let Message::Packet(_, payload) = &message { payload.len() + 40 } else { 60 };
        if let Some(arrival) = link.send(ms as f64, size) {
            serial += 1;
            wire.insert(((arrival.at_ms * 1e3) as u64, serial), message);
        }
    };
    let (mut packetizer, mut history, mut limiter) =
        (Packetizer::new(), History::new(), KeyframeLimiter::new());
    let (mut assembler, mut generator, mut freezes) =
        (Assembler::new(), Generator::new(), FreezeDetector::new());
    let (mut seq, mut number) = (65_000u16, 0);
    let mut outcome = Outcome {
        sent: 0,
        shown: Vec::new(),
        keyframes: 0,
        plis: 0,
        freezes: 0,
        frozen: Duration::ZERO,
        retransmitted: 0,
        worst_age_ms: 0,
    };
    limiter.request();
    for ms in 0..seconds * 1000 {
        let now = start + Duration::from_millis(ms);
        if ms % 33 == 0 {
            let keyframe = limiter.take(now);
            let unit = picture(number, keyframe, if keyframe { 40_000 } else { 5_000 });
            let payloads = packetizer.packetize(&unit, 1180);
            let last = payloads.len() - 1;
            for (at, payload) in payloads.into_iter().enumerate() {
                let meta = RtpMeta { seq, timestamp: number.wrapping_mul(2970), marker: at == last };
                history.remember(seq, (meta, payload.clone()), now);
                post(&mut wire, &mut there, ms, Message::Packet(meta, payload));
                seq = seq.wrapping_add(1);
            }
            number += 1;
        }
        let later = wire.split_off(&(ms * 1000 + 1, 0));
        for message in std::mem::replace(&mut wire, later).into_values() {
            match message {
                Message::Packet(meta, payload) => {
                    generator.on_packet(now, meta.seq);
                    assembler.insert(now, meta, &payload);
                }
                Message::Nack(seqs) => {
                    for seq in seqs {
                        if let Some((meta, payload)) = history.lookup(seq, now, rtt).cloned() {
                            outcome.retransmitted += 1;
                            post(&mut wire, &mut there, ms, Message::Packet(meta, payload));
                        }
                    }
                }
                Message::Pli => limiter.request(),
            }
        }
        while let Some(frame) = assembler.next_frame() {
            let shown = number_of(&frame.data);
            outcome.keyframes += u64::from(frame.keyframe);
            outcome.worst_age_ms = outcome.worst_age_ms.max(ms - u64::from(shown) * 33);
            freezes.on_frame(now);
            outcome.shown.push(shown);
        }
        if let Some(needed) = assembler.needed_from() {
            generator.forget_before(needed);
        }
        let seqs = generator.poll(now, rtt);
        if !seqs.is_empty() {
            post(&mut wire, &mut back, ms, Message::Nack(seqs));
        }
        for seq in generator.take_given_up() {
            assembler.abandon(seq);
        }
        if assembler.poll_keyframe(now, rtt) {
            outcome.plis += 1;
            post(&mut wire, &mut back, ms, Message::Pli);
        }
    }
    outcome.sent = number;
    outcome.freezes = freezes.stats().count;
    outcome.frozen = freezes.stats().total;
    println!(
        "shown {} of {}, {} keyframes, {} PLI, {} freezes of {:?}, {} retransmitted, oldest {} ms, {:?}",
        outcome.shown.len(),
        outcome.sent,
        outcome.keyframes,
        outcome.plis,
        outcome.freezes,
        outcome.frozen,
        outcome.retransmitted,
        outcome.worst_age_ms,
        generator.stats(),
    );
    assert!(outcome.shown.is_sorted_by(|a, b| a < b), "pictures in order, each once");
    outcome
}

#[test]
fn on_a_perfect_link_every_picture_is_shown() {
    let outcome = watch(Shape::PERFECT, 1, 20);
    assert!(outcome.shown.len() as u32 >= outcome.sent - 1);
    assert_eq!((outcome.keyframes, outcome.plis, outcome.retransmitted), (1, 0, 0));
}

#[test]
fn five_per_cent_of_loss_is_repaired_without_a_keyframe() {
    for seed in 0..5 {
        let outcome = watch(Shape { loss: Loss::independent(0.05), ..Shape::PERFECT }, seed, 30);
        assert!(outcome.shown.len() as u32 >= outcome.sent - 8, "seed {seed}");
        assert!(outcome.keyframes <= 2 && outcome.freezes <= 3, "seed {seed}");
        assert!(outcome.worst_age_ms < 500, "seed {seed}");
    }
}

#[test]
fn reordering_is_not_taken_for_loss() {
    // About one packet in two comes after a later one; a few hundredths of those are asked for.
    for seed in 0..5 {
        let outcome = watch(Shape { jitter_ms: 15.0, reorder: true, ..Shape::PERFECT }, seed, 20);
        assert!(outcome.shown.len() as u32 >= outcome.sent - 2, "seed {seed}");
        let copies = outcome.retransmitted;
        assert!(copies < outcome.sent / 6, "seed {seed}: {copies} needless copies");
    }
}

#[test]
fn long_bursts_on_a_slow_path_end_with_a_keyframe_and_the_picture_goes_on() {
    for seed in 0..5 {
        let shape =
            Shape { loss: Loss::bursts(0.04, 12.0), delay_ms: 100.0, jitter_ms: 20.0, ..Shape::PERFECT };
        let outcome = watch(shape, seed, 30);
        assert!(outcome.shown.len() as u32 > outcome.sent * 8 / 10, "seed {seed}");
        assert!(outcome.frozen < Duration::from_secs(7), "seed {seed}: {:?}", outcome.frozen);
    }
}
