//! What effort in the Opus encoder is worth, and what is spent on the frame before: work, likeness, frames that carry a copy
//! and what DTX saves, for each complexity and expected loss.
//!
//! ```text
//! cargo run --release -p bedside-media --example voice_cost -- SPEECH.wav
//! ```
//!
//! Speech is mono, 48 kHz, 16 bits. Likeness is the segmental signal-to-noise ratio, and the log-spectral distance up to
//! 8 kHz, over frames above −50 dB. Copies: of the frames sent, how many carry the one before for in-band FEC. DTX: of 500 frames of noise at −45 dB, how many need not be sent.

use std::error::Error;
use std::f32::consts::TAU;
use std::time::{Duration, Instant};

use opus::{Application, Bitrate, Channels, Decoder, Encoder};

const FRAME: usize = 960;

/// 50 Hz apart, 100 Hz to 8 kHz.
const BINS: std::ops::Range<usize> = 2..160;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which speech?")?;
    let samples: Result<Vec<i16>, _> = hound::WavReader::open(path)?.into_samples().collect();
    let speech: Vec<f32> = samples?.into_iter().map(|sample| f32::from(sample) / 32_768.0).collect();
    for bitrate in [12_000, 20_000, 32_000] {
        for complexity in [10, 9, 8, 7, 6, 5, 3] {
            for loss in [0, 1, 5, 10, 20] {
                let encoder = || encoder(bitrate, complexity, loss);
                let Trip { decoded, work, bytes, copies } = round_trip(&speech, encoder()?)?;
                let (ratio, distance) = likeness(&speech, &decoded);
                let unsent = unsent_noise(&speech, encoder()?)?;
                let frames = (speech.len() / FRAME) as f64;
                println!(
                    "{bitrate} bit/s, complexity {complexity:2}, {loss:2} % loss: {:.3} ms a frame, {:.1} kbit/s, {ratio:.2} dB \
                     like, {distance:.2} dB apart, {:3.0} % copies, {unsent} of 500 frames of noise unsent",
                    work.as_secs_f64() * 1e3 / frames,
                    bytes as f64 * 0.4 / frames,
                    copies as f64 * 100.0 / frames,
                );
            }
        }
    }
    Ok(())
}

fn encoder(bitrate: i32, complexity: i32, loss: i32) -> Result<Encoder, opus::Error> {
    let mut encoder = Encoder::new(48_000, Channels::Mono, Application::Voip)?;
    encoder.set_complexity(complexity)?;
    encoder.set_bitrate(Bitrate::Bits(bitrate))?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(loss)?;
    encoder.set_dtx(true)?;
    Ok(encoder)
}

/// What became of the speech.
struct Trip {
    /// In step with it.
    decoded: Vec<f32>,
    /// Of encoding.
    work: Duration,
    bytes: usize,
    /// Frames that carry the one before.
    copies: usize,
}

fn round_trip(speech: &[f32], mut encoder: Encoder) -> Result<Trip, opus::Error> {
    let ahead = usize::try_from(encoder.get_lookahead()?).unwrap_or_default();
    let mut decoder = Decoder::new(48_000, Channels::Mono)?;
    let (mut decoded, mut work, mut packet) = (Vec::new(), Duration::ZERO, [0; 1500]);
    let (mut bytes, mut copies) = (0, 0);
    for frame in speech.chunks_exact(FRAME) {
        let began = Instant::now();
        let length = encoder.encode_float(frame, &mut packet)?;
        work += began.elapsed();
        bytes += length;
        copies += usize::from(carries_a_copy(&packet[..length]));
        let mut out = [0.0; FRAME];
        decoder.decode_float(&packet[..length], &mut out, false)?;
        decoded.extend(out);
    }
    decoded.drain(..ahead.min(decoded.len()));
    Ok(Trip { decoded, work, bytes, copies })
}

/// RFC 6716 §3.1: configurations below 16 hold SILK frames, which begin with a bit for voice and one for a copy (§4.2.3).
const fn carries_a_copy(packet: &[u8]) -> bool {
    matches!(packet, [toc, first, ..] if *toc >> 3 < 16 && *first & 0x40 != 0)
}

fn likeness(speech: &[f32], decoded: &[f32]) -> (f32, f32) {
    let power = |frame: &[f32]| frame.iter().map(|sample| sample * sample).sum::<f32>();
    let (mut ratio, mut distance, mut count) = (0.0, 0.0, 0.0);
    for (said, heard) in speech.chunks_exact(FRAME).zip(decoded.chunks_exact(FRAME)) {
        if power(said) / (FRAME as f32) < 1e-5 {
            continue;
        }
        let wrong: Vec<f32> = said.iter().zip(heard).map(|(said, heard)| said - heard).collect();
        ratio += (10.0 * (power(said) / (power(&wrong) + 1e-9)).log10()).clamp(-10.0, 35.0);
        let squares = BINS.map(|bin| (level(said, bin) - level(heard, bin)).powi(2)).sum::<f32>();
        distance += (squares / BINS.len() as f32).sqrt();
        count += 1.0;
    }
    (ratio / count, distance / count)
}

/// A bin of the discrete Fourier transform of a Hann-windowed frame, in dB.
fn level(frame: &[f32], bin: usize) -> f32 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in frame.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * n as f32 / FRAME as f32).cos();
        let (sine, cosine) = (TAU * ((n * bin) % FRAME) as f32 / FRAME as f32).sin_cos();
        real += sample * window * cosine;
        imaginary += sample * window * sine;
    }
    10.0 * (real * real + imaginary * imaginary + 1e-4).log10()
}

/// Of 500 frames of noise after a second of speech, how many DTX leaves out.
fn unsent_noise(speech: &[f32], mut encoder: Encoder) -> Result<usize, opus::Error> {
    let mut packet = [0; 1500];
    for frame in speech.chunks_exact(FRAME).skip(50).take(50) {
        encoder.encode_float(frame, &mut packet)?;
    }
    let (mut unsent, mut state) = (0, 1u32);
    for _ in 0..500 {
        let noise: [f32; FRAME] = std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / 8_388_608.0 - 1.0) * 0.01
        });
        unsent += usize::from(encoder.encode_float(&noise, &mut packet)? <= 2);
    }
    Ok(unsent)
}
