//! A file on its way to the disk: genuine, cut, longer, changed, or of other bytes.

#![no_main]

use bedside_e2ee::file::{CHUNK_BYTES, FileDigest, FileKey};
use bedside_session::transfer::fuzzing::receive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // How it is altered, where, how long it is said to be, in which pieces it comes; then what is in it.
    let [how, at, length, piece, rest @ ..] = bytes else { return };
    let key = FileKey::import(&[[1].as_slice(), &[7; 51]].concat()).expect("a key");
    // The content is what there is, three chunks of it at most.
    let content: Vec<u8> = match how >> 4 {
        0 => rest.to_vec(),
        times => rest.iter().cycle().take(rest.len() * usize::from(times) * 64).copied().collect(),
    };
    let content = &content[..content.len().min(3 * CHUNK_BYTES)];
    let chunks = content.len().div_ceil(CHUNK_BYTES).max(1);
    let (mut sealed, mut digest) = (Vec::new(), FileDigest::default());
    for position in 0..chunks {
        let mut chunk = content.chunks(CHUNK_BYTES).nth(position).unwrap_or_default().to_vec();
        key.seal_chunk(position as u32, position + 1 == chunks, &mut chunk).expect("it is sealed");
        sealed.extend_from_slice(&chunk);
    }
    digest.update(&sealed);
    let (digest, piece) = (digest.finish(), usize::from(*piece) * 300);
    let mut said = content.len() as u64;
    let place = usize::from(*at) * sealed.len() / 256;
    match how & 7 {
        0 => {
            let received = receive(&key, said, digest, &sealed, piece);
            assert_eq!(received.as_deref(), Some(content), "a genuine file did not arrive");
            return;
        }
        1 => sealed[place] ^= 1,
        2 => sealed.truncate(place),
        3 => sealed.extend_from_slice(&bytes[..4]),
        4 => said += u64::from(*length) + 1,
        5 => said = u64::MAX - u64::from(*length),
        6 if sealed != rest => sealed = rest.to_vec(),
        _ => {
            let digest = [*length; 32];
            assert!(receive(&key, said, digest, &sealed, piece).is_none(), "another file than was announced");
            return;
        }
    }
    assert!(receive(&key, said, digest, &sealed, piece).is_none(), "an altered file was saved");
});
