//! The playout buffer's behaviour, packet by packet.

use proptest::prelude::*;

use super::super::DecodeFailed;
use super::*;
use crate::testing;

/// Decodes to a constant that tells where it comes from: a packet's own number over 1,000 for a decoded frame, the
/// same but negative for a repaired one, 0.5 for what is made up.
#[derive(Default)]
struct Numbers {
    fec: bool,
    decoded: Vec<u8>,
}

impl FrameDecoder for Numbers {
    fn decode(&mut self, packet: &[u8], out: &mut [f32; FRAME]) -> Result<(), DecodeFailed> {
        if packet[0] == 255 {
            return Err(DecodeFailed);
        }
        self.decoded.push(packet[0]);
        out.fill(f32::from(packet[0]) / 1000.0);
        Ok(())
    }

    fn decode_fec(&mut self, next: &[u8], out: &mut [f32; FRAME]) -> Result<(), DecodeFailed> {
        out.fill(-f32::from(next[0] - 1) / 1000.0);
        if self.fec { Ok(()) } else { Err(DecodeFailed) }
    }

    fn conceal(&mut self, out: &mut [f32; FRAME]) {
        out.fill(0.5);
    }
}

struct Line {
    start: Instant,
    /// Milliseconds since the start.
    time: u64,
    playout: Playout,
    decoder: Numbers,
    last: [f32; BLOCK],
}

impl Line {
    fn new() -> Self {
        let decoder = Numbers { fec: true, ..Numbers::default() };
        Self { start: testing::start(), time: 0, playout: Playout::new(), decoder, last: [0.0; BLOCK] }
    }

    fn packet(&mut self, number: u8) {
        self.packet_of(number, vec![number; 40]);
    }

    fn packet_of(&mut self, number: u8, payload: Vec<u8>) {
        let now = self.start + Duration::from_millis(self.time);
        let timestamp = u32::from(number).wrapping_mul(960).wrapping_sub(4000);
        self.playout.insert(now, 65_530u16.wrapping_add(u16::from(number)), timestamp, payload);
    }

    fn pull(&mut self) -> BlockKind {
        let now = self.start + Duration::from_millis(self.time);
        let kind = self.playout.pull_block(now, &mut self.decoder, &mut self.last);
        self.time += 10;
        kind
    }

    /// Runs an even stream: the packets `numbers`, one each 20 ms.
    fn run(&mut self, numbers: std::ops::Range<u8>) {
        for number in numbers {
            self.packet(number);
            self.pull();
            self.pull();
        }
    }
}

#[test]
fn an_even_stream_is_played_whole_after_a_short_wait() {
    let mut line = Line::new();
    line.run(0..200);
    let stats = line.playout.stats();
    assert_eq!(line.decoder.decoded, (0..=198).collect::<Vec<_>>());
    assert_eq!((stats.concealed_ms, stats.late_packets, stats.lost_frames), (0.0, 0, 0));
    assert!((19.0..29.0).contains(&stats.delay_ms), "{stats:?}");
    assert!(line.playout.playing_timestamp().is_some());
}

#[test]
fn before_the_first_packet_there_is_silence() {
    let mut line = Line::new();
    line.last.fill(9.0);
    assert_eq!(line.pull(), BlockKind::Silence);
    assert_eq!(line.last, [0.0; BLOCK]);
    assert_eq!(line.playout.playing_timestamp(), None);
}

#[test]
fn a_lost_packet_is_repaired_from_the_one_after_it() {
    let mut line = Line::new();
    line.run(0..50);
    line.pull();
    line.pull();
    // 50 is lost; 51 comes while 49 still plays.
    line.packet(51);
    let kinds: Vec<BlockKind> = (0..6).map(|_| line.pull()).collect();
    assert!(kinds.contains(&BlockKind::Repaired), "{kinds:?}");
    let stats = line.playout.stats();
    assert_eq!((stats.lost_frames, stats.repaired_frames), (1, 1));
}

#[test]
fn without_a_copy_the_frame_is_made_up() {
    let mut line = Line::new();
    line.decoder.fec = false;
    line.run(0..50);
    for number in 51..60 {
        line.packet(number);
    }
    for _ in 0..8 {
        line.pull();
    }
    let stats = line.playout.stats();
    assert_eq!((stats.lost_frames, stats.repaired_frames, stats.concealed_ms), (1, 0, 20.0));
}

#[test]
fn a_packet_that_comes_late_while_nothing_else_is_there_is_still_played() {
    let mut line = Line::new();
    line.run(0..50);
    for _ in 0..5 {
        line.pull();
    }
    line.packet(50);
    line.run(51..60);
    let stats = line.playout.stats();
    assert_eq!(line.decoder.decoded[..55], (0..55).collect::<Vec<_>>());
    assert_eq!((stats.late_packets, stats.lost_frames), (0, 0));
    assert!((10.0..=40.0).contains(&stats.concealed_ms), "{stats:?}");
}

#[test]
fn a_long_loss_fades_to_silence_and_what_comes_then_starts_over() {
    let mut line = Line::new();
    line.run(0..50);
    let mut loud = 0;
    for _ in 0..50 {
        line.pull();
        loud += usize::from(line.last.iter().any(|sample| sample.abs() > 0.0));
    }
    assert!((20..30).contains(&loud), "{loud} blocks until silence");
    let concealed = line.playout.stats().concealed_ms;
    assert!((230.0..=260.0).contains(&concealed), "{concealed}");
    line.run(75..95);
    assert_eq!(line.decoder.decoded.last(), Some(&93));
    assert!(line.playout.stats().delay_ms < 35.0);
}

#[test]
fn a_burst_after_an_outage_is_not_played_in_full() {
    let mut line = Line::new();
    line.run(0..50);
    for _ in 0..100 {
        line.pull();
    }
    for number in 50..101 {
        line.packet(number);
    }
    line.run(101..150);
    let stats = line.playout.stats();
    assert!(stats.discarded_packets > 40, "{stats:?}");
    assert!(stats.delay_ms < 60.0, "{stats:?}");
}

#[test]
fn a_pause_of_the_sender_is_silence_and_not_loss() {
    let mut line = Line::new();
    line.run(0..50);
    line.packet_of(50, vec![50]);
    for _ in 0..44 {
        line.pull();
    }
    assert_eq!(line.pull(), BlockKind::Silence);
    line.run(73..100);
    let stats = line.playout.stats();
    assert_eq!((stats.concealed_ms, stats.lost_frames), (0.0, 0));
    assert_eq!(line.decoder.decoded.len(), 51 + 26);
}

#[test]
fn a_pause_without_a_word_is_no_loss_either() {
    let mut line = Line::new();
    line.run(0..50);
    for _ in 0..40 {
        line.pull();
    }
    // 20 frames of silence later the numbers go on without a gap.
    for number in 50..70u8 {
        let now = line.start + Duration::from_millis(line.time);
        let timestamp = (u32::from(number) + 20).wrapping_mul(960).wrapping_sub(4000);
        line.playout.insert(now, 65_530u16.wrapping_add(u16::from(number)), timestamp, vec![number; 40]);
        line.pull();
        line.pull();
    }
    let stats = line.playout.stats();
    assert_eq!((stats.concealed_ms, stats.lost_frames), (0.0, 0));
    assert_eq!(line.decoder.decoded.len(), 69);
}

#[test]
fn a_packet_that_cannot_be_decoded_is_made_up() {
    let mut line = Line::new();
    line.run(0..30);
    line.packet_of(30, vec![255; 40]);
    line.pull();
    line.pull();
    line.run(31..40);
    assert_eq!(line.playout.stats().concealed_ms, 20.0);
}

#[test]
fn a_sender_that_starts_over_is_heard_again() {
    let mut line = Line::new();
    line.run(100..200);
    line.run(0..90);
    assert!(matches!(line.decoder.decoded.last(), Some(88 | 89)));
}

#[test]
fn duplicates_are_played_once() {
    let mut line = Line::new();
    for number in 0..50 {
        line.packet(number);
        line.packet(number);
        line.pull();
        line.pull();
    }
    let stats = line.playout.stats();
    assert_eq!(line.decoder.decoded.len(), 49);
    assert!(stats.duplicate_packets + stats.late_packets == 50, "{stats:?}");
}

#[test]
fn waiting_for_the_picture_raises_the_delay_without_a_gap() {
    let mut line = Line::new();
    line.run(0..50);
    line.playout.set_extra_delay(Duration::from_millis(70));
    line.run(50..150);
    let stats = line.playout.stats();
    assert!((75.0..100.0).contains(&stats.delay_ms), "{stats:?}");
    assert_eq!(stats.concealed_ms, 0.0);
    line.playout.set_extra_delay(Duration::ZERO);
    line.run(150..250);
    assert!(line.playout.stats().accelerated_ms > 10.0);
}

proptest! {
    #[test]
    fn any_packets_are_survived_within_bounds(
        steps in proptest::collection::vec(
            (any::<u16>(), prop_oneof![0u32..200_000, any::<u32>()], 0usize..4, 0u64..60, 0u8..4), 0..200),
    ) {
        let mut line = Line::new();
        line.decoder.fec = false;
        for (seq, timestamp, length, wait, pulls) in steps {
            let now = line.start + Duration::from_millis(line.time);
            let (seq, payload) = if seq % 3 == 0 { (seq, vec![1; length]) } else { (seq % 50, vec![7; 30]) };
            line.playout.insert(now, seq, timestamp, payload);
            for _ in 0..pulls {
                line.pull();
                prop_assert!(line.last.iter().all(|sample| sample.is_finite()));
            }
            line.time += wait;
            prop_assert!(line.playout.pending.len() <= 4 * FRAME);
            prop_assert!(line.playout.queue.len() <= 100);
        }
    }
}
