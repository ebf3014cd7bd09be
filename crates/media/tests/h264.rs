//! The H.264 codec as a call uses it: quality at a rate, rates and keyframes on demand, and whatever a network
//! can do to a stream.

use std::path::PathBuf;

use bedside_media::camera::{CaptureFormat, Pattern};
use bedside_media::codec::h264::{Decoder, Encoder, EncoderConfig};
use bedside_media::codec::{CodecError, EncodedFrame, VideoEncoder};
use bedside_media::frame::I420;
use bedside_media::scale::scale;
use bedside_media::stamp::{self, Stamp};
use proptest::prelude::*;

const HD: EncoderConfig = EncoderConfig { width: 1280, height: 720, fps: 30, bitrate_bps: 1_500_000 };
const SMALL: EncoderConfig = EncoderConfig { width: 640, height: 360, fps: 30, bitrate_bps: 500_000 };

fn pattern(config: &EncoderConfig) -> Pattern {
    Pattern::new(CaptureFormat { width: config.width, height: config.height, fps: config.fps })
}

/// Encodes frames `range` of the pattern, one every `1/fps` second.
fn encode(
    encoder: &mut Encoder,
    pattern: &Pattern,
    range: std::ops::Range<u64>,
) -> Vec<Option<EncodedFrame>> {
    let fps = u64::from(encoder.config().fps);
    range.map(|n| encoder.encode(&pattern.frame(n), n * 1000 / fps, false).expect("encoded")).collect()
}

/// As `encode`, of pictures that cost bits: the pattern under the noise of a cheap camera in a dim room.
fn encode_noisy(
    encoder: &mut Encoder,
    pattern: &Pattern,
    range: std::ops::Range<u64>,
) -> Vec<Option<EncodedFrame>> {
    let fps = u64::from(encoder.config().fps);
    let noisy = |n: u64| {
        let mut image = pattern.frame(n);
        let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for sample in image.planes_mut().0 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *sample = sample.saturating_add((state % 13) as u8).saturating_sub(6).clamp(16, 235);
        }
        image
    };
    range.map(|n| encoder.encode(&noisy(n), n * 1000 / fps, false).expect("encoded")).collect()
}

/// Bits per second of frames at the given rate.
fn bitrate(frames: &[Option<EncodedFrame>], fps: u32) -> f64 {
    let bytes: usize = frames.iter().flatten().map(|frame| frame.data.len()).sum();
    bytes as f64 * 8.0 * f64::from(fps) / frames.len() as f64
}

fn psnr(a: &I420, b: &I420) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let squares: f64 = a.y().iter().zip(b.y()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.y().len() as f64 / squares.max(1e-9)).log10()
}

/// Types of the NAL units of an Annex B access unit.
fn nal_types(data: &[u8]) -> Vec<u8> {
    data.windows(4).filter(|window| window[..3] == [0, 0, 1]).map(|window| window[3] & 0x1f).collect()
}

#[test]
fn hd_at_one_and_a_half_megabits_looks_like_the_original() {
    let (mut encoder, mut decoder, pattern) =
        (Encoder::new(&HD).unwrap(), Decoder::new().unwrap(), pattern(&HD));
    let mut frames = 0;
    let mut worst = f64::MAX;
    for n in 0..90 {
        let image = pattern.frame(n);
        let Some(encoded) = encoder.encode(&image, n * 1000 / 30, false).unwrap() else {
            continue;
        };
        let decoded = decoder.decode(&encoded.data).unwrap().expect("a picture at once, without delay");
        frames += 1;
        worst = worst.min(psnr(&image, &decoded));
    }
    assert!(frames >= 89, "{frames} of 90 frames were encoded");
    assert!(worst > 30.0, "a frame of {worst:.1} dB");
}

#[test]
fn the_stream_is_constrained_baseline_in_one_slice() {
    let mut encoder = Encoder::new(&HD).unwrap();
    let frames = encode(&mut encoder, &pattern(&HD), 0..5);
    let first = frames[0].as_ref().expect("the first frame");
    assert!(first.keyframe);
    assert_eq!(nal_types(&first.data), [7, 8, 5], "SPS, PPS, one IDR slice");
    let sps = first.data.windows(4).position(|window| window == [0, 0, 1, 0x67]).expect("an SPS") + 4;
    let (profile, constraints, level) = (first.data[sps], first.data[sps + 1], first.data[sps + 2]);
    assert_eq!((profile, constraints & 0xc0, level), (66, 0xc0, 31), "42e01f is what the SDP promises");
    for frame in frames[1..].iter().flatten() {
        assert_eq!((nal_types(&frame.data), frame.keyframe), (vec![1], false));
    }
}

#[test]
fn keyframes_come_when_asked_for_and_only_then() {
    let (mut encoder, pattern) = (Encoder::new(&SMALL).unwrap(), pattern(&SMALL));
    let mut keyframes = Vec::new();
    for n in 0..400 {
        let encoded = encoder.encode(&pattern.frame(n), n * 1000 / 30, n == 150).unwrap();
        if encoded.is_some_and(|frame| frame.keyframe) {
            keyframes.push(n);
        }
    }
    assert_eq!(keyframes, [0, 150]);
}

#[test]
fn a_decoder_can_start_at_any_keyframe() {
    let (mut encoder, pattern) = (Encoder::new(&SMALL).unwrap(), pattern(&SMALL));
    encode(&mut encoder, &pattern, 0..10);
    let encoded = encoder.encode(&pattern.frame(10), 333, true).unwrap().expect("a keyframe");
    let decoded = Decoder::new().unwrap().decode(&encoded.data).unwrap().expect("a picture");
    assert!(psnr(&pattern.frame(10), &decoded) > 30.0);
}

#[test]
fn the_bitrate_follows_what_is_set_down_and_up() {
    let (mut encoder, pattern) = (Encoder::new(&HD).unwrap(), pattern(&HD));
    let mut n = 0;
    for target in [1_500_000, 400_000, 2_000_000, 800_000] {
        encoder.set_bitrate(target).unwrap();
        // A second to get there, then three to measure.
        let settling = encode_noisy(&mut encoder, &pattern, n..n + 30);
        let frames = encode_noisy(&mut encoder, &pattern, n + 30..n + 120);
        n += 120;
        let (rate, target) = (bitrate(&frames, 30), f64::from(target));
        assert!((0.7..1.15).contains(&(rate / target)), "{rate:.0} bit/s where {target} was asked for");
        let dropped = settling.iter().chain(&frames).filter(|frame| frame.is_none()).count();
        let longest = settling.split(Option::is_some).map(<[_]>::len).max().unwrap_or(0);
        println!("{target}: {rate:.0} bit/s, {dropped} of 120 dropped, at most {longest} in a row");
        assert!(dropped <= 12 && longest <= 8, "{dropped} dropped, {longest} in a row, at {target}");
    }
}

#[test]
fn bitrate_and_frame_rate_can_be_set_before_the_first_frame() {
    let mut encoder = Encoder::new(&SMALL).unwrap();
    encoder.set_bitrate(150_000).unwrap();
    encoder.set_frame_rate(15).unwrap();
    let pattern = Pattern::new(CaptureFormat { width: 640, height: 360, fps: 15 });
    encode_noisy(&mut encoder, &pattern, 0..15);
    let rate = bitrate(&encode_noisy(&mut encoder, &pattern, 15..75), 15);
    assert!((60_000.0..180_000.0).contains(&rate), "{rate:.0} bit/s");
    assert_eq!((encoder.config().bitrate_bps, encoder.config().fps), (150_000, 15));
}

#[test]
fn a_lower_frame_rate_shares_the_bits_among_fewer_frames() {
    let (mut encoder, pattern) = (Encoder::new(&SMALL).unwrap(), pattern(&SMALL));
    let bytes = |frames: &[Option<EncodedFrame>]| {
        let sizes: Vec<usize> = frames.iter().flatten().map(|frame| frame.data.len()).collect();
        sizes.iter().sum::<usize>() as f64 / sizes.len().max(1) as f64
    };
    let at_30 = bytes(&encode_noisy(&mut encoder, &pattern, 30..90));
    encoder.set_frame_rate(10).unwrap();
    let at_10 = bytes(&encode_noisy(&mut encoder, &pattern, 30..90)[20..]);
    assert!(at_10 > 1.7 * at_30, "{at_30:.0} bytes a frame at 30 fps, {at_10:.0} at 10");
}

#[test]
fn a_new_size_starts_with_a_keyframe_and_decodes() {
    let mut decoder = Decoder::new().unwrap();
    for config in [HD, SMALL, EncoderConfig { width: 320, height: 180, fps: 10, bitrate_bps: 100_000 }, HD] {
        let mut encoder = Encoder::new(&config).unwrap();
        let frames = encode(&mut encoder, &pattern(&config), 0..4);
        for (n, frame) in frames.iter().enumerate() {
            let frame = frame.as_ref().expect("nothing to drop in four frames");
            assert_eq!(frame.keyframe, n == 0);
            let decoded = decoder.decode(&frame.data).unwrap().expect("a picture");
            assert_eq!((decoded.width(), decoded.height()), (config.width, config.height));
        }
    }
}

#[test]
fn images_of_another_size_and_impossible_sizes_are_refused() {
    let mut encoder = Encoder::new(&SMALL).unwrap();
    assert!(matches!(encoder.encode(&I420::new(1280, 720), 0, false), Err(CodecError::Size { .. })));
    for (width, height) in [(0, 0), (15, 15), (641, 360), (4096, 2304), (u32::MAX, 16)] {
        let config = EncoderConfig { width, height, ..SMALL };
        assert!(Encoder::new(&config).is_err(), "{width}×{height}");
    }
    encoder.set_bitrate(0).unwrap();
    encoder.set_frame_rate(0).unwrap();
    assert_eq!((encoder.config().bitrate_bps, encoder.config().fps), (10_000, 1), "nonsense is bounded");
}

#[test]
fn stamps_survive_h264_at_300_kilobits_and_scaling_down() {
    let config = EncoderConfig { bitrate_bps: 300_000, ..SMALL };
    let (mut encoder, mut decoder) = (Encoder::new(&config).unwrap(), Decoder::new().unwrap());
    let pattern = Pattern::new(CaptureFormat::default());
    let mut seen = 0;
    for n in 0..120_u32 {
        let stamp = Stamp { counter: n, time_us: 1_795_000_000_000_000 + u64::from(n) * 33_333 };
        let mut image = pattern.frame(u64::from(n));
        stamp::burn(&mut image, stamp);
        let image = scale(&image, 640, 360);
        if let Some(encoded) = encoder.encode(&image, u64::from(n) * 1000 / 30, false).unwrap() {
            let decoded = decoder.decode(&encoded.data).unwrap().expect("a picture");
            assert_eq!(stamp::read(&decoded), Some(stamp), "frame {n}");
            assert_eq!(stamp::read(&scale(&decoded, 480, 270)), Some(stamp), "frame {n} at three quarters");
            assert_eq!(stamp::read(&scale(&decoded, 320, 180)), Some(stamp), "frame {n} at half size");
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} of 120 frames were sent");
}

#[test]
fn a_lost_frame_is_an_error_until_the_next_keyframe() {
    let (mut encoder, pattern) = (Encoder::new(&SMALL).unwrap(), pattern(&SMALL));
    let mut decoder = Decoder::new().unwrap();
    for n in 0..30 {
        let Some(encoded) = encoder.encode(&pattern.frame(n), n * 33, n == 20).unwrap() else {
            continue;
        };
        let result = if n == 10 { continue } else { decoder.decode(&encoded.data) };
        match n {
            0..10 | 20.. => {
                assert!(psnr(&pattern.frame(n), &result.unwrap().expect("a picture")) > 28.0, "frame {n}")
            }
            _ => assert!(!matches!(result, Ok(Some(_))), "frame {n} was shown although it is damaged"),
        }
    }
}

/// Streams that nobody here made: `$BEDSIDE_VECTORS/h264`, or `../shared/vectors/h264` beside the workspace.
fn vector(name: &str) -> Option<Vec<u8>> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("BEDSIDE_VECTORS").map_or(beside, PathBuf::from);
    let bytes = std::fs::read(folder.join("h264").join(name)).ok();
    if bytes.is_none() {
        println!("skipped: {name} is not here (set BEDSIDE_VECTORS to the folder of test vectors)");
        assert!(std::env::var_os("BEDSIDE_VECTORS").is_none(), "{name} is not where it was said to be");
    }
    bytes
}

/// Cuts a stream into access units: a new one at each SPS, and at each slice that starts a picture.
fn access_units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = (0..stream.len().saturating_sub(4))
        .filter(|&at| stream[at..at + 3] == [0, 0, 1])
        .map(|at| if at > 0 && stream[at - 1] == 0 { at - 1 } else { at })
        .collect();
    let header = |at: usize| if stream[at..].starts_with(&[0, 0, 0, 1]) { at + 4 } else { at + 3 };
    let mut units = Vec::new();
    let mut begin = None;
    let mut has_slice = false;
    for &at in &starts {
        let kind = stream[header(at)] & 0x1f;
        let slice = matches!(kind, 1 | 5);
        let first_macroblock = slice && stream.get(header(at) + 1).is_some_and(|byte| byte & 0x80 != 0);
        if has_slice && (first_macroblock || matches!(kind, 6..=9)) {
            units.extend(begin.map(|begin: usize| &stream[begin..at]));
            (begin, has_slice) = (None, false);
        }
        begin.get_or_insert(at);
        has_slice |= slice;
    }
    units.extend(begin.map(|begin| &stream[begin..]));
    units
}

/// Decodes a stream; answers its pictures and how many access units were errors.
fn play(stream: &[u8]) -> (Vec<I420>, usize) {
    let mut decoder = Decoder::new().expect("a decoder");
    let (mut pictures, mut errors) = (Vec::new(), 0);
    for unit in access_units(stream) {
        match decoder.decode(unit) {
            Ok(picture) => pictures.extend(picture),
            Err(_) => errors += 1,
        }
    }
    (pictures, errors)
}

#[test]
fn a_foreign_stream_decodes_whole() {
    if let Some(stream) = vector("BA_MW_D.264") {
        let (pictures, errors) = play(&stream);
        assert_eq!((pictures.len(), errors), (100, 0));
        assert!(pictures.iter().all(|picture| (picture.width(), picture.height()) == (176, 144)));
    }
}

#[test]
fn foreign_streams_with_losses_neither_panic_nor_stay_broken() {
    for name in ["BA_MW_D_IDR_LOST.264", "BA_MW_D_P_LOST.264", "Error_I_P.264"] {
        let (Some(damaged), Some(whole)) = (vector(name), vector("BA_MW_D.264")) else {
            continue;
        };
        let (pictures, errors) = play(&damaged);
        println!("{name}: {} pictures, {errors} errors", pictures.len());
        // The same decoder goes on with a good stream as if nothing had been.
        let mut decoder = Decoder::new().unwrap();
        for unit in access_units(&damaged) {
            _ = decoder.decode(unit);
        }
        let good =
            access_units(&whole).into_iter().filter(|unit| matches!(decoder.decode(unit), Ok(Some(_))));
        assert!(good.count() >= 99, "{name}: the decoder did not recover");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_garbage_makes_the_decoder_panic(
        chunks in proptest::collection::vec(
            (prop_oneof![Just(0x67_u8), Just(0x68), Just(0x65), Just(0x41), any::<u8>()],
             proptest::collection::vec(any::<u8>(), 0..300)),
            0..6,
        ),
    ) {
        let mut data = Vec::new();
        for (header, payload) in chunks {
            data.extend_from_slice(&[0, 0, 0, 1, header]);
            data.extend(payload);
        }
        let mut decoder = Decoder::new().unwrap();
        _ = decoder.decode(&data);
        _ = decoder.decode(&data);
    }

    #[test]
    fn no_damage_to_a_stream_makes_the_decoder_panic_and_it_recovers(
        damage in proptest::collection::vec((0_usize..8, any::<prop::sample::Index>(), any::<u8>()), 1..12),
        lost in 0_usize..8,
        cut in any::<prop::sample::Index>(),
    ) {
        let config = EncoderConfig { width: 160, height: 90, fps: 30, bitrate_bps: 200_000 };
        let mut encoder = Encoder::new(&config).unwrap();
        let pattern = pattern(&config);
        let mut frames: Vec<Vec<u8>> =
            encode(&mut encoder, &pattern, 0..8).into_iter().flatten().map(|frame| frame.data.to_vec()).collect();
        for (frame, place, value) in damage {
            let count = frames.len();
            let bytes = &mut frames[frame % count];
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let count = frames.len();
        let bytes = &mut frames[lost % count];
        bytes.truncate(cut.index(bytes.len()));
        let mut decoder = Decoder::new().unwrap();
        for frame in &frames {
            _ = decoder.decode(frame);
        }
        let mut fresh = Encoder::new(&config).unwrap();
        let recovered = encode(&mut fresh, &pattern, 0..3).into_iter().flatten();
        let shown = recovered.filter(|frame| matches!(decoder.decode(&frame.data), Ok(Some(_)))).count();
        prop_assert!(shown >= 2, "{shown} of 3 pictures after a keyframe");
    }
}
