//! What happens to the stream where one picture has nothing to do with the one before: a hand before the camera,
//! another camera, a cut in a film.

use bedside_media::codec::VideoEncoder;
use bedside_media::codec::h264::{Encoder, EncoderConfig};
use bedside_media::frame::I420;

const HD: EncoderConfig = EncoderConfig { width: 1280, height: 720, fps: 30, bitrate_bps: 2_000_000 };

/// A detailed picture that drifts by a pixel a frame; another `scene` has nothing in common with it.
fn picture(scene: u64, n: u64) -> I420 {
    let mut image = I420::new(HD.width, HD.height);
    let (width, shift) = (HD.width as usize, n as usize);
    let cell = |x: usize, y: usize| {
        let mut state = (scene << 40) ^ ((x as u64) << 20) ^ y as u64;
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (state >> 40) as f64 % 120.0
    };
    let (y, _, _) = image.planes_mut();
    for (at, sample) in y.iter_mut().enumerate() {
        let (x, y) = (at % width + shift, at / width);
        // Smooth between random points 12 pixels apart: edges and texture as in a room, not noise.
        let (cx, cy, fx, fy) = (x / 12, y / 12, (x % 12) as f64 / 12.0, (y % 12) as f64 / 12.0);
        let top = cell(cx, cy) * (1.0 - fx) + cell(cx + 1, cy) * fx;
        let bottom = cell(cx, cy + 1) * (1.0 - fx) + cell(cx + 1, cy + 1) * fx;
        *sample = (50.0 + top * (1.0 - fy) + bottom * fy) as u8;
    }
    image
}

#[test]
fn a_cut_starts_anew_and_holds_the_picture_up_for_a_moment_only() {
    let mut encoder = Encoder::new(&HD).unwrap();
    let (mut keyframes, mut missing, mut largest) = (Vec::new(), 0, 0);
    for n in 0..180 {
        let encoded = encoder.encode(&picture(n / 60, n % 60), n * 1000 / 30, false).unwrap();
        let Some(frame) = encoded else {
            missing += 1;
            continue;
        };
        if frame.keyframe {
            keyframes.push(n);
        }
        largest = largest.max(frame.data.len());
    }
    assert_eq!(keyframes, [0, 60, 120]);
    assert!(missing <= 3, "{missing} frames are missing");
    // What the pacer sends in three frames' time.
    assert!(largest <= 60_000, "a frame of {largest} bytes");
}
