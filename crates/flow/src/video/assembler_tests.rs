//! The assembler's behaviour, packet by packet.

use proptest::prelude::*;

use super::*;
use crate::testing;
use crate::video::Packetizer;

const RTT: Duration = Duration::from_millis(50);

/// An encoder's output in miniature: keyframes are 3 packets, others 2; the byte tells the frames apart.
fn access_unit(index: u8, keyframe: bool) -> Vec<u8> {
    let mut data = Vec::new();
    if keyframe {
        data.extend_from_slice(&[0, 0, 0, 1, 0x67, 0x42, index | 1, 0, 0, 0, 1, 0x68, 0xce]);
        data.extend_from_slice(&[0, 0, 0, 1, 0x65, 0x88]);
    } else {
        data.extend_from_slice(&[0, 0, 0, 1, 0x41, 0x9a]);
    }
    data.extend(std::iter::repeat_n(index | 1, 1500));
    data
}

struct Stream {
    packetizer: Packetizer,
    seq: u16,
    timestamp: u32,
}

impl Stream {
    fn new(seq: u16) -> Self {
        Self { packetizer: Packetizer::new(), seq, timestamp: u32::MAX - 5000 }
    }

    fn frame(&mut self, index: u8, keyframe: bool) -> Vec<(RtpMeta, Vec<u8>)> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        let payloads = self.packetizer.packetize(&access_unit(index, keyframe), 1000);
        let last = payloads.len() - 1;
        let packets = payloads.into_iter().enumerate().map(|(at, payload)| {
            let seq = self.seq.wrapping_add(at as u16);
            (RtpMeta { seq, timestamp: self.timestamp, marker: at == last }, payload)
        });
        let packets: Vec<_> = packets.collect();
        self.seq = self.seq.wrapping_add(packets.len() as u16);
        packets
    }
}

fn feed(assembler: &mut Assembler, now: Instant, packets: &[(RtpMeta, Vec<u8>)]) -> Vec<AssembledFrame> {
    for (meta, payload) in packets {
        assembler.insert(now, *meta, payload);
    }
    std::iter::from_fn(|| assembler.next_frame()).collect()
}

#[test]
fn pictures_come_out_as_they_went_in_across_the_wrap() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(65_530), Assembler::new());
    for index in 0..20 {
        let frames = feed(&mut assembler, now, &stream.frame(index, index == 0));
        assert_eq!(frames.len(), 1, "frame {index}");
        assert_eq!(frames[0].data, access_unit(index, index == 0));
        assert_eq!(frames[0].keyframe, index == 0);
    }
    assert!(!assembler.poll_keyframe(now, RTT));
}

#[test]
fn a_hole_holds_everything_back_until_the_retransmission_fills_it() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    feed(&mut assembler, now, &stream.frame(0, true));
    let mut second = stream.frame(1, false);
    let lost = second.remove(0);
    assert!(feed(&mut assembler, now, &second).is_empty());
    assert!(feed(&mut assembler, now, &stream.frame(2, false)).is_empty());
    let frames = feed(&mut assembler, now, &[lost]);
    assert_eq!(frames.iter().map(|frame| frame.data[10]).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn reordered_and_doubled_packets_change_nothing() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    feed(&mut assembler, now, &stream.frame(0, true));
    let mut packets = [stream.frame(1, false), stream.frame(2, false)].concat();
    packets.reverse();
    let doubled: Vec<_> = packets.iter().cloned().flat_map(|packet| [packet.clone(), packet]).collect();
    assert_eq!(feed(&mut assembler, now, &doubled).len(), 2);
    assert_eq!(assembler.stats().late_packets, 4);
}

#[test]
fn after_a_hole_is_given_up_nothing_comes_before_the_next_keyframe() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    feed(&mut assembler, now, &stream.frame(0, true));
    let mut second = stream.frame(1, false);
    let (lost, _) = second.remove(0);
    feed(&mut assembler, now, &second);
    assembler.abandon(lost.seq);
    assert!(assembler.needs_keyframe());
    assert!(assembler.poll_keyframe(now, RTT), "asked at once");
    assert!(!assembler.poll_keyframe(now, RTT), "and not twice");
    assert!(feed(&mut assembler, now, &stream.frame(2, false)).is_empty());
    let frames = feed(&mut assembler, now, &stream.frame(3, true));
    assert!(frames[0].keyframe && !assembler.needs_keyframe());
    assert_eq!(feed(&mut assembler, now, &stream.frame(4, false)).len(), 1);
}

#[test]
fn giving_up_a_packet_of_a_picture_that_has_left_changes_nothing() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    feed(&mut assembler, now, &stream.frame(0, true));
    assembler.abandon(1);
    assert!(!assembler.needs_keyframe());
}

#[test]
fn a_newer_whole_keyframe_ends_the_wait_for_an_old_hole() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    feed(&mut assembler, now, &stream.frame(0, true));
    let mut second = stream.frame(1, false);
    let lost = second.remove(1);
    feed(&mut assembler, now, &second);
    let frames = feed(&mut assembler, now, &stream.frame(2, true));
    assert_eq!(frames.len(), 1);
    assert!(frames[0].keyframe);
    assert!(feed(&mut assembler, now, &[lost]).is_empty(), "the old picture is history");
}

#[test]
fn a_keyframe_with_any_packet_missing_never_leaves() {
    let now = testing::start();
    let count = Stream::new(0).frame(0, true).len();
    for missing in 0..count {
        let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
        let mut packets = stream.frame(0, true);
        let lost = packets.remove(missing);
        packets.extend(stream.frame(1, false));
        assert!(feed(&mut assembler, now, &packets).is_empty(), "without packet {missing}");
        assert_eq!(feed(&mut assembler, now, &[lost]).len(), 2, "repaired packet {missing}");
    }
}

#[test]
fn a_stream_joined_in_the_middle_asks_for_a_keyframe() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    assert!(!assembler.poll_keyframe(now, RTT), "nothing to ask for before the first packet");
    assert!(feed(&mut assembler, now, &stream.frame(0, false)).is_empty());
    assert!(assembler.poll_keyframe(now, RTT));
    let mut keyframe = stream.frame(1, true);
    let rest = keyframe.split_off(1);
    feed(&mut assembler, now, &keyframe);
    let later = now + Duration::from_millis(250);
    assert!(!assembler.poll_keyframe(later, RTT), "one is on its way in");
    assert!(assembler.poll_keyframe(later + RTT, RTT), "but it takes too long");
    assert_eq!(feed(&mut assembler, now, &rest).len(), 1);
}

#[test]
fn a_bare_keyframe_gets_the_parameter_sets_that_came_before() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    feed(&mut assembler, now, &stream.frame(0, true));
    let meta = RtpMeta { seq: stream.seq, timestamp: 9, marker: true };
    let frames = feed(&mut assembler, now, &[(meta, vec![0x65, 0x88, 7])]);
    let mut expected = access_unit(0, true)[..13].to_vec();
    expected.extend_from_slice(&[0, 0, 0, 1, 0x65, 0x88, 7]);
    assert_eq!(frames[0].data, expected);
}

#[test]
fn a_picture_whose_fragments_contradict_themselves_is_not_decoded() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    feed(&mut assembler, now, &stream.frame(0, true));
    let mut packets = stream.frame(1, false);
    packets[0].1[1] &= 0x7f;
    assert!(feed(&mut assembler, now, &packets).is_empty());
    assert_eq!(assembler.stats().damaged, 1);
    assert!(assembler.poll_keyframe(now, RTT));
}

#[test]
fn a_hole_that_nobody_gives_up_is_given_up_in_the_end() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    feed(&mut assembler, now, &stream.frame(0, true));
    let packets = stream.frame(1, false);
    feed(&mut assembler, now, &packets[1..]);
    assert!(!assembler.poll_keyframe(now + MAX_WAIT, RTT));
    assert_eq!(assembler.poll_timeout(RTT), Some(now + MAX_WAIT + 2 * RTT));
    assert!(assembler.poll_keyframe(now + MAX_WAIT + 2 * RTT, RTT));
}

#[test]
fn a_decoder_in_trouble_gets_nothing_but_a_keyframe() {
    let now = testing::start();
    let (mut stream, mut assembler) = (Stream::new(0), Assembler::new());
    feed(&mut assembler, now, &stream.frame(0, true));
    assembler.require_keyframe();
    assert!(feed(&mut assembler, now, &stream.frame(1, false)).is_empty());
    assert!(assembler.poll_keyframe(now, RTT));
    assert_eq!(feed(&mut assembler, now, &stream.frame(2, true)).len(), 1);
}

fn hostile_payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (
            prop_oneof![Just(0x67u8), Just(0x68), Just(0x65), Just(0x41), Just(0x78), Just(0x7c), Just(0x09)],
            proptest::collection::vec(
                prop_oneof![Just(0u8), Just(1), Just(0x85), Just(0x45), Just(0x80)],
                0..30
            )
        )
            .prop_map(|(head, tail)| [vec![head], tail].concat()),
    ]
}

proptest! {
    #[test]
    fn any_packets_in_any_order_are_survived_within_bounds(
        packets in proptest::collection::vec(
            (prop_oneof![0u16..60, any::<u16>()], 0u32..8, any::<bool>(), hostile_payload(), 0u64..400), 0..300),
        abandoned in proptest::collection::vec(any::<u16>(), 0..5),
    ) {
        let mut assembler = Assembler::new();
        let mut now = testing::start();
        let mut decodable = false;
        for (seq, timestamp, marker, payload, wait) in packets {
            now += Duration::from_millis(wait);
            assembler.insert(now, RtpMeta { seq, timestamp, marker }, &payload);
            while let Some(frame) = assembler.next_frame() {
                decodable |= frame.keyframe;
                prop_assert!(decodable, "a picture before the first keyframe");
            }
            assembler.poll_keyframe(now, RTT);
            prop_assert!(assembler.packets.len() <= MAX_PACKETS && assembler.bytes <= MAX_BYTES);
        }
        for seq in abandoned {
            assembler.abandon(seq);
        }
        let held: usize = assembler.packets.values().map(|packet| packet.payload.len()).sum();
        prop_assert_eq!(held, assembler.bytes);
    }

    #[test]
    fn with_every_packet_delivered_once_in_any_near_order_every_picture_arrives(
        swaps in proptest::collection::vec((0usize..60, 1usize..6), 0..40), start in any::<u16>(),
    ) {
        let now = testing::start();
        let (mut stream, mut assembler) = (Stream::new(start), Assembler::new());
        let mut frames = feed(&mut assembler, now, &stream.frame(0, true));
        let mut packets: Vec<_> = (1..30).flat_map(|index| stream.frame(index, false)).collect();
        for (at, distance) in swaps {
            let last = packets.len() - 1;
            packets.swap(at.min(last), (at + distance).min(last));
        }
        frames.extend(feed(&mut assembler, now, &packets));
        let expected: Vec<Vec<u8>> = (0..30).map(|index| access_unit(index, index == 0)).collect();
        prop_assert_eq!(frames.into_iter().map(|frame| frame.data).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_flood_without_any_keyframe_keeps_memory_bounded() {
    let now = testing::start();
    let mut assembler = Assembler::new();
    for seq in 0..20_000u32 {
        let meta = RtpMeta { seq: seq as u16, timestamp: 1, marker: false };
        assembler.insert(now, meta, &[0x41; 1400]);
    }
    assert!(assembler.packets.len() <= MAX_PACKETS && assembler.bytes <= MAX_BYTES);
}
