//! Opus as a call uses it: what goes in comes out, losses are repaired, silence is cheap.

use bedside_media::audio::compare;
use bedside_media::codec::opus::{Decoder, Encoder, FRAME, OpusConfig, OpusError};

/// A voice of sorts: a pulse train through three resonances, another vowel and pitch every 180 ms.
fn voice(frames: usize) -> Vec<f32> {
    const VOWELS: [[f32; 3]; 4] =
        [[730.0, 1090.0, 2440.0], [270.0, 2290.0, 3010.0], [300.0, 870.0, 2240.0], [530.0, 1840.0, 2480.0]];
    let mut filters = [[0f32; 2]; 3];
    let mut phase = 0f32;
    (0..frames * FRAME)
        .map(|n| {
            let syllable = n / 8_640;
            let within = (n % 8_640) as f32 / 8_640.0;
            let pitch = [118.0, 140.0, 104.0][syllable % 3] * (1.0 + 0.1 * within);
            phase += pitch / 48_000.0;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase = phase.fract();
            let mut sum = 0.0;
            for (filter, hz) in filters.iter_mut().zip(VOWELS[syllable % 4]) {
                let radius = 0.995f32;
                let angle = std::f32::consts::TAU * hz / 48_000.0;
                let out = pulse + 2.0 * radius * angle.cos() * filter[0] - radius * radius * filter[1];
                *filter = [out, filter[0]];
                sum += out;
            }
            0.015 * sum * (std::f32::consts::PI * within).sin()
        })
        .collect()
}

fn frames(samples: &[f32]) -> impl Iterator<Item = &[f32; FRAME]> {
    samples.chunks_exact(FRAME).map(|chunk| chunk.try_into().expect("a whole frame"))
}

fn encode(samples: &[f32], config: OpusConfig) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(config).expect("an encoder");
    frames(samples)
        .map(|frame| {
            let mut packet = Vec::new();
            let length = encoder.encode(frame, &mut packet).expect("encoded");
            assert_eq!(length, packet.len());
            packet
        })
        .collect()
}

#[test]
fn a_voice_survives_the_codec() {
    let source = voice(150);
    let packets = encode(&source, OpusConfig::default());
    let bytes: usize = packets.iter().map(Vec::len).sum();
    let rate = bytes as f32 * 8.0 / 3.0;
    assert!((20_000.0..44_000.0).contains(&rate), "32 kbit/s asked for, {rate} bit/s sent");
    let mut decoder = Decoder::new().expect("a decoder");
    let mut heard = Vec::new();
    for packet in &packets {
        let mut frame = [0.0; FRAME];
        decoder.decode(packet, &mut frame).expect("decoded");
        heard.extend_from_slice(&frame);
    }
    let reference = &source[48_000..96_000];
    let found = compare::find(reference, &heard[48_000..], 2_400).expect("found");
    // Waveforms are not what Opus keeps: from the least effort to the most they are 0.91 to 0.90 alike.
    assert!(found.correlation > 0.85, "{found:?}");
    assert!(found.lag <= 480, "the codec delays by {} samples", found.lag);
}

#[test]
fn a_lost_packet_is_rebuilt_better_from_the_next_one_than_guessed() {
    let source = voice(200);
    let config = OpusConfig { expected_loss_percent: 20, ..OpusConfig::default() };
    let packets = encode(&source, config);
    let lost = |index: usize| index % 5 == 3;
    let decode = |repair: Option<bool>| {
        let mut decoder = Decoder::new().expect("a decoder");
        let mut heard = Vec::new();
        for (index, packet) in packets.iter().enumerate() {
            let mut frame = [0.0; FRAME];
            match (repair, packets.get(index + 1)) {
                (Some(true), Some(next)) if lost(index) => match decoder.decode_fec(next, &mut frame) {
                    // Pauses are not copied.
                    Err(OpusError::NoCopy) => decoder.conceal(&mut frame),
                    repaired => repaired,
                },
                (Some(_), _) if lost(index) => decoder.conceal(&mut frame),
                _ => decoder.decode(packet, &mut frame),
            }
            .expect("a frame");
            heard.push(frame);
        }
        heard
    };
    let whole = decode(None);
    let error = |heard: &[[f32; FRAME]]| -> f32 {
        (0..heard.len())
            .filter(|index| lost(*index))
            .flat_map(|index| whole[index].iter().zip(&heard[index]))
            .map(|(a, b)| (a - b) * (a - b))
            .sum()
    };
    let guessed = error(&decode(Some(false)));
    let rebuilt = error(&decode(Some(true)));
    assert!(rebuilt < guessed / 2.0, "FEC leaves an error of {rebuilt}, concealment {guessed}");
}

#[test]
fn a_short_gap_is_bridged_and_a_long_one_fades() {
    let source = voice(60);
    let packets = encode(&source, OpusConfig::default());
    let mut decoder = Decoder::new().expect("a decoder");
    let mut frame = [0.0; FRAME];
    for packet in &packets[..31] {
        decoder.decode(packet, &mut frame).expect("decoded");
    }
    let power = |frame: &[f32; FRAME]| frame.iter().map(|s| s * s).sum::<f32>();
    let before = power(&frame);
    decoder.conceal(&mut frame).expect("concealed");
    assert!(power(&frame) > before / 20.0, "the gap is heard");
    for _ in 0..100 {
        decoder.conceal(&mut frame).expect("concealed");
    }
    assert!(power(&frame) < before / 100.0, "two seconds of loss still drone");
}

#[test]
fn copies_are_carried_where_loss_is_expected_and_what_is_not_there_is_not_repaired() {
    let source = voice(100);
    for (expected_loss_percent, carried) in [(0, false), (6, true), (10, true), (40, true)] {
        let config = OpusConfig { expected_loss_percent, ..OpusConfig::default() };
        let (mut decoder, mut frame) = (Decoder::new().expect("a decoder"), [0.0; FRAME]);
        let mut copies = 0;
        for packet in encode(&source, config) {
            match decoder.decode_fec(&packet, &mut frame) {
                Ok(()) => copies += 1,
                Err(error) => assert_eq!(error, OpusError::NoCopy),
            }
            decoder.decode(&packet, &mut frame).expect("decoded");
        }
        assert_eq!(copies > 80, carried, "{copies} of 100 with {expected_loss_percent} % expected");
        assert!(carried || copies == 0, "{copies} copies that nobody asked for");
    }
}

#[test]
fn silence_costs_almost_nothing_with_dtx() {
    let silence = vec![0.0; 200 * FRAME];
    let bytes = |dtx| {
        let packets = encode(&silence, OpusConfig { dtx, ..OpusConfig::default() });
        packets[100..].iter().filter(|packet| packet.len() > 2).count()
    };
    let sent = bytes(true);
    assert!(sent <= 10, "{sent} of 100 packets of silence were worth sending");
    assert_eq!(bytes(false), 100);
}

#[test]
fn the_rate_follows_while_talking() {
    let source = voice(200);
    let mut encoder = Encoder::new(OpusConfig::default()).expect("an encoder");
    let mut packet = Vec::new();
    let mut halves = [0usize; 2];
    for (index, frame) in frames(&source).enumerate() {
        if index == 100 {
            encoder.set_bitrate(12_000).expect("set");
            encoder.set_expected_loss(0).expect("set");
        }
        halves[index / 100] += encoder.encode(frame, &mut packet).expect("encoded");
    }
    assert!(halves[1] * 3 < halves[0] * 2, "{halves:?} bytes before and after");
}

#[test]
fn hostile_packets_are_refused_and_forgotten() {
    let mut decoder = Decoder::new().expect("a decoder");
    let mut frame = [0.0; FRAME];
    for packet in [&[][..], &[0xff], &[0x03, 0xff, 0xff], &[0x7f; 2000]] {
        assert!(decoder.decode(packet, &mut frame).is_err(), "{packet:?}");
    }
    // A valid packet of 10 ms: code 0, CELT fullband 10 ms.
    assert!(matches!(
        decoder.decode(&[30 << 3, 0, 0, 0], &mut frame),
        Err(OpusError::Duration { samples: 480 })
    ));
    let packets = encode(&voice(5), OpusConfig::default());
    for packet in &packets {
        decoder.decode(packet, &mut frame).expect("it goes on");
    }
}
