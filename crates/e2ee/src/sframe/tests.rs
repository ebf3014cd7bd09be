//! Behaviour, and the vectors of the working group where they are at hand.

use proptest::prelude::*;
use sframe::{frame::SingleUseCounter, header::SframeHeader};

use super::*;
use crate::mls::vectors;

fn secret(epoch: u64) -> EpochSecret {
    EpochSecret::new(epoch, Zeroizing::new(vec![7; BASE_KEY_BYTES])).unwrap()
}

fn sealed(sealer: &mut FrameSealer, frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(frame, b"rtp header", &mut out).unwrap();
    out
}

#[test]
fn a_frame_says_which_member_stream_and_epoch_it_came_from() {
    let mut sealer = FrameSealer::new(&secret(300), 40_000, 2).unwrap();
    let mut opener = FrameOpener::default();
    opener.enter(secret(300)).unwrap();
    let mut frame = Vec::new();
    let origin = opener.open(&sealed(&mut sealer, b"picture"), b"rtp header", &mut frame).unwrap();
    assert_eq!(origin, FrameOrigin { leaf: 40_000, stream: 2, epoch: 300 });
    assert_eq!(frame, b"picture");
}

#[test]
fn a_frame_is_opened_once_and_reordering_is_harmless() {
    let mut sealer = FrameSealer::new(&secret(1), 0, 0).unwrap();
    let mut opener = FrameOpener::default();
    opener.enter(secret(1)).unwrap();
    let frames: Vec<_> = (0..40_u8).map(|number| sealed(&mut sealer, &[number])).collect();
    let mut out = Vec::new();
    for number in (0..40).rev() {
        opener.open(&frames[number], b"rtp header", &mut out).unwrap();
        assert_eq!(out, [u8::try_from(number).unwrap()]);
    }
    for frame in &frames {
        assert_eq!(opener.open(frame, b"rtp header", &mut out), Err(FrameError::Replayed));
        assert!(out.is_empty(), "nothing of a refused frame is handed out");
    }
}

#[test]
fn frames_of_the_last_three_epochs_open_and_older_ones_do_not() {
    let mut opener = FrameOpener::default();
    let mut frames = Vec::new();
    for epoch in 250..260 {
        opener.enter(secret(epoch)).unwrap();
        frames.push(sealed(&mut FrameSealer::new(&secret(epoch), 3, 0).unwrap(), b"x"));
    }
    let mut out = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let opened = opener.open(frame, b"rtp header", &mut out);
        assert_eq!(opened.is_ok(), number >= 7, "epoch {}: {opened:?}", 250 + number);
    }
    assert_eq!(opener.enter(secret(259)), Err(FrameError::BadKey));
}

#[test]
fn a_frame_of_another_group_or_with_other_metadata_does_not_open() {
    let mut opener = FrameOpener::default();
    opener.enter(secret(1)).unwrap();
    let other = EpochSecret::new(1, Zeroizing::new(vec![8; BASE_KEY_BYTES])).unwrap();
    let mut out = Vec::new();
    let foreign = sealed(&mut FrameSealer::new(&other, 0, 0).unwrap(), b"x");
    assert_eq!(opener.open(&foreign, b"rtp header", &mut out), Err(FrameError::Unreadable));
    let own = sealed(&mut FrameSealer::new(&secret(1), 0, 0).unwrap(), b"x");
    assert_eq!(opener.open(&own, b"rtp headed", &mut out), Err(FrameError::Unreadable));
    assert!(opener.open(&own, b"rtp header", &mut out).is_ok(), "a forgery must not block the real frame");
}

proptest! {
    #[test]
    fn random_bytes_are_no_frame(bytes: Vec<u8>, metadata: Vec<u8>) {
        let mut opener = FrameOpener::default();
        for epoch in [1, 2, 3] {
            opener.enter(secret(epoch)).unwrap();
        }
        prop_assert!(opener.open(&bytes, &metadata, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_changed_frame_does_not_open(frame: Vec<u8>, at: prop::sample::Index, bit in 0..8) {
        let mut bytes = sealed(&mut FrameSealer::new(&secret(1), 5, 1).unwrap(), &frame);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let mut opener = FrameOpener::default();
        opener.enter(secret(1)).unwrap();
        prop_assert!(opener.open(&bytes, b"rtp header", &mut Vec::new()).is_err());
    }
}

#[test]
fn headers_are_written_and_read_as_the_working_group_says() {
    let Some(file) = vectors::read("sframe/test-vectors.json") else { return };
    let cases = file["header"].as_array().unwrap();
    for case in cases {
        let (kid, ctr) = (case["kid"].as_u64().unwrap(), case["ctr"].as_u64().unwrap());
        let encoded = vectors::hex(&case["encoded"]);
        assert_eq!(Vec::from(&SframeHeader::new(kid, ctr)), encoded);
        let read = SframeHeader::deserialize(&encoded).unwrap();
        assert_eq!((read.key_id(), read.counter()), (kid, ctr));
    }
    assert_eq!(cases.len(), 289);
}

#[test]
fn frames_are_sealed_and_opened_as_the_working_group_says() {
    let Some(file) = vectors::read("sframe/test-vectors.json") else { return };
    let mut passed = Vec::new();
    for case in file["sframe"].as_array().unwrap() {
        let number = case["cipher_suite"].as_u64().unwrap();
        let suite = match number {
            1 => CipherSuite::AesCtr128HmacSha256_80,
            2 => CipherSuite::AesCtr128HmacSha256_64,
            3 => CipherSuite::AesCtr128HmacSha256_32,
            4 => CipherSuite::AesGcm128Sha256,
            5 => CipherSuite::AesGcm256Sha512,
            other => panic!("RFC 9605 has no cipher suite {other}"),
        };
        let of = |field: &str| vectors::hex(&case[field]);
        let (kid, ctr) = (case["kid"].as_u64().unwrap(), case["ctr"].as_u64().unwrap());
        let metadata = of("metadata");
        let key = EncryptionKey::derive_from(suite, kid, of("base_key")).unwrap();
        let mut counter = SingleUseCounter::new(ctr);
        let text = of("pt");
        let mut sealed = Vec::new();
        MediaFrameView::try_with_meta_data(&mut counter, &text, &metadata)
            .unwrap()
            .encrypt_into(&key, &mut sealed)
            .unwrap();
        assert_eq!(sealed.split_off(metadata.len()), of("ct"));
        let key = DecryptionKey::derive_from(suite, kid, of("base_key")).unwrap();
        let opened =
            EncryptedFrameView::try_with_meta_data(&of("ct"), &metadata).unwrap().decrypt(&key).unwrap();
        assert_eq!(opened.payload(), text);
        passed.push(number);
    }
    assert_eq!(passed, [1, 2, 3, 4, 5]);
}

/// The one case that is of the app's own cipher suite, through what the app uses.
#[test]
fn the_apps_own_sealer_and_opener_do_as_the_working_group_says() {
    let Some(file) = vectors::read("sframe/test-vectors.json") else { return };
    let case = file["sframe"].as_array().unwrap().iter().find(|case| case["cipher_suite"] == 4).unwrap();
    let of = |field: &str| vectors::hex(&case[field]);
    let (kid, ctr) = (case["kid"].as_u64().unwrap(), case["ctr"].as_u64().unwrap());
    let epoch = kid & 0xff;
    let leaf = u32::try_from(kid >> EPOCH_BITS).unwrap();
    let secret = EpochSecret::new(epoch, Zeroizing::new(of("base_key"))).unwrap();
    let mut sealer = FrameSealer::new(&secret, leaf, 0).unwrap();
    let mut sealed = Vec::new();
    // It counts from 0.
    for _ in 0..ctr {
        sealer.seal(&[], &[], &mut sealed).unwrap();
    }
    sealer.seal(&of("pt"), &of("metadata"), &mut sealed).unwrap();
    assert_eq!(sealed, of("ct"));
    let mut opener = FrameOpener::default();
    opener.enter(secret).unwrap();
    let mut frame = Vec::new();
    let origin = opener.open(&of("ct"), &of("metadata"), &mut frame).unwrap();
    assert_eq!(frame, of("pt"));
    assert_eq!(origin, FrameOrigin { leaf, stream: 0, epoch });
}

/// AES-256 in counter mode (cipher suites 6 to 8) came after RFC 9605: the header is the same, and the rest is refused.
#[test]
fn frames_of_later_cipher_suites_are_recognised_and_do_not_open() {
    let Some(file) = vectors::read("sframe/test-vectors-aes256.json") else { return };
    let cases = file["sframe_aes_256_ctr_hmac"].as_array().unwrap();
    for case in cases {
        let of = |field: &str| vectors::hex(&case[field]);
        let (kid, ctr) = (case["kid"].as_u64().unwrap(), case["ctr"].as_u64().unwrap());
        let header = SframeHeader::deserialize(of("ct")).unwrap();
        assert_eq!((header.key_id(), header.counter()), (kid, ctr));
        let mut opener = FrameOpener::default();
        opener.enter(EpochSecret::new(kid & 0xff, Zeroizing::new(of("base_key"))).unwrap()).unwrap();
        let opened = opener.open(&of("ct"), &of("metadata"), &mut Vec::new());
        assert!(matches!(opened, Err(FrameError::Unreadable | FrameError::Malformed)), "{opened:?}");
    }
    assert_eq!(cases.len(), 3);
}
