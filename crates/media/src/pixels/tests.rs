use proptest::prelude::*;

use super::*;

/// 16 × 16, uniform, baseline 4:2:0, without Huffman tables (as webcams send it), full-range luma 76,
/// Cb 85, Cr 255 (red).
const RED_SQUARE: &[u8] = include_bytes!("red-square.jpg");

#[test]
fn yuyv_keeps_luma_and_averages_or_takes_chroma() {
    let yuyv: Vec<u8> = (0..8 * 4 / 2).flat_map(|n| [2 * n as u8, 100, 2 * n as u8 + 1, 150]).collect();
    let mut image = I420::new(8, 4);
    yuyv_to_i420(&yuyv, 8, 4, &mut image).unwrap();
    assert_eq!(image.y(), (0..32).collect::<Vec<u8>>());
    assert!(image.u().iter().all(|&s| s == 100) && image.v().iter().all(|&s| s == 150));
}

#[test]
fn nv12_is_taken_apart() {
    let mut nv12: Vec<u8> = (0..32).collect();
    nv12.extend((0..8).flat_map(|n| [100 + n, 200 + n]));
    let mut image = I420::new(8, 4);
    nv12_to_i420(&nv12, 8, 4, &mut image).unwrap();
    assert_eq!(image.y(), (0..32).collect::<Vec<u8>>());
    assert_eq!(image.u(), (100..108).collect::<Vec<u8>>());
    assert_eq!(image.v(), (200..208).collect::<Vec<u8>>());
}

#[test]
fn a_webcams_jpeg_becomes_limited_range() {
    let mut image = I420::new(16, 16);
    JpegDecoder::new().decode(RED_SQUARE, &mut image).unwrap();
    for (plane, expected) in [(image.y(), 81), (image.u(), 90), (image.v(), 240)] {
        assert!(
            plane.iter().all(|sample| sample.abs_diff(expected) <= 1),
            "{:?} is not {expected}",
            plane[0]
        );
    }
}

#[test]
fn a_jpeg_without_tables_and_without_a_word_about_it_is_decoded_too() {
    let plain = [&RED_SQUARE[..2], &RED_SQUARE[20..]].concat();
    let mut image = I420::new(16, 16);
    JpegDecoder::new().decode(&plain, &mut image).unwrap();
    assert!(image.y()[0].abs_diff(81) <= 1);
}

#[test]
fn ranges_meet_at_their_ends() {
    assert_eq!((LUMA[0], LUMA[255], CHROMA[0], CHROMA[128], CHROMA[255]), (16, 235, 16, 128, 240));
}

#[test]
fn short_and_wrong_sizes_are_errors() {
    let mut image = I420::new(8, 4);
    assert!(matches!(yuyv_to_i420(&[0; 63], 8, 4, &mut image), Err(PixelError::Short { .. })));
    assert!(matches!(nv12_to_i420(&[0; 47], 8, 4, &mut image), Err(PixelError::Short { .. })));
    assert!(matches!(yuyv_to_i420(&[0; 640], 8, 8, &mut image), Err(PixelError::Size)));
    assert!(JpegDecoder::new().decode(RED_SQUARE, &mut image).is_err());
    assert!(JpegDecoder::new().decode(&[], &mut image).is_err());
}

proptest! {
    #[test]
    fn no_input_makes_a_conversion_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        (width, height) in (0_u32..40, 0_u32..40),
    ) {
        let mut image = I420::new(width, height);
        _ = yuyv_to_i420(&bytes, width, height, &mut image);
        _ = nv12_to_i420(&bytes, width, height, &mut image);
        _ = JpegDecoder::new().decode(&bytes, &mut image);
    }

    #[test]
    fn no_damaged_jpeg_makes_the_decoder_panic(place in 0..RED_SQUARE.len(), value: u8, cut in 0..RED_SQUARE.len()) {
        let mut jpeg = RED_SQUARE.to_vec();
        jpeg[place] = value;
        let mut image = I420::new(16, 16);
        _ = JpegDecoder::new().decode(&jpeg, &mut image);
        _ = JpegDecoder::new().decode(&jpeg[..cut], &mut image);
    }
}
