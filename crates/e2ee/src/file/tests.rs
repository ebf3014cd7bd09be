//! What can go wrong with a file under way, and that it is noticed.

use proptest::prelude::*;

use super::*;

fn seal(key: &FileKey, content: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks: Vec<_> = content.chunks(CHUNK_BYTES).map(<[u8]>::to_vec).collect();
    if chunks.is_empty() {
        chunks.push(Vec::new());
    }
    let last = chunks.len() - 1;
    for (position, chunk) in chunks.iter_mut().enumerate() {
        key.seal_chunk(u32::try_from(position).unwrap(), position == last, chunk).unwrap();
    }
    chunks
}

/// As a receiver does that was told no length.
fn open(key: &FileKey, sealed: &[u8]) -> Result<Vec<u8>, FileError> {
    let chunks = sealed.len().div_ceil(SEALED_CHUNK_BYTES);
    let mut content = Vec::new();
    for position in 0..chunks.max(1) {
        let mut chunk: Vec<u8> = sealed.chunks(SEALED_CHUNK_BYTES).nth(position).unwrap_or_default().to_vec();
        key.open_chunk(u32::try_from(position).unwrap(), position + 1 >= chunks, &mut chunk)?;
        content.extend_from_slice(&chunk);
    }
    Ok(content)
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

#[test]
fn lengths_round_a_chunk_boundary_come_back_whole() {
    let key = FileKey::generate().unwrap();
    for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7] {
        let content = content(bytes);
        let sealed = seal(&key, &content).concat();
        assert_eq!(sealed.len() as u64, sealed_bytes(bytes as u64).unwrap());
        assert!(open(&key, &sealed).unwrap() == content, "{bytes} bytes");
    }
}

#[test]
fn a_file_cut_at_a_chunk_boundary_does_not_open() {
    let key = FileKey::generate().unwrap();
    let chunks = seal(&key, &content(2 * CHUNK_BYTES + 5));
    for kept in 0..3 {
        let result = open(&key, &chunks[..kept].concat());
        let last = u32::try_from(kept).unwrap().saturating_sub(1);
        assert!(matches!(result, Err(FileError::Damaged { position }) if position == last), "{kept} kept");
    }
}

#[test]
fn chunks_in_another_order_twice_or_appended_do_not_open() {
    let key = FileKey::generate().unwrap();
    let chunks = seal(&key, &content(3 * CHUNK_BYTES + 5));
    for order in
        [&[1, 0, 2, 3][..], &[0, 0, 1, 2, 3], &[0, 2, 3], &[0, 1, 2, 3, 3], &[0, 1, 2, 3, 0], &[0, 3]]
    {
        let sealed: Vec<u8> = order.iter().flat_map(|at| chunks[*at].iter().copied()).collect();
        assert!(open(&key, &sealed).is_err(), "{order:?}");
    }
}

#[test]
fn chunks_of_another_file_do_not_fit() {
    let (one, two) = (FileKey::generate().unwrap(), FileKey::generate().unwrap());
    let same = content(CHUNK_BYTES + 5);
    let mut chunks = seal(&one, &same);
    chunks[1] = seal(&two, &same).remove(1);
    assert!(matches!(open(&one, &chunks.concat()), Err(FileError::Damaged { position: 1 })));
}

#[test]
fn a_chunk_sealed_again_after_a_restart_is_the_same() {
    let key = FileKey::generate().unwrap();
    let content = content(2 * CHUNK_BYTES + 123);
    let imported = FileKey::import(&key.export()).unwrap();
    assert!(seal(&key, &content) == seal(&imported, &content));
}

#[test]
fn a_chunk_of_another_length_is_neither_sealed_nor_opened() {
    let key = FileKey::generate().unwrap();
    let chunk = |bytes| vec![0; bytes];
    assert!(key.seal_chunk(0, true, &mut chunk(CHUNK_BYTES + 1)).is_err());
    assert!(key.seal_chunk(0, false, &mut chunk(CHUNK_BYTES - 1)).is_err());
    assert!(key.open_chunk(0, true, &mut chunk(SEALED_CHUNK_BYTES + 1)).is_err());
    assert!(key.open_chunk(0, false, &mut chunk(SEALED_CHUNK_BYTES - 1)).is_err());
}

#[test]
fn the_digest_tells_one_sealed_file_from_another() {
    let sealed = seal(&FileKey::generate().unwrap(), b"x").concat();
    let mut announced = FileDigest::default();
    announced.update(&sealed);
    let announced = announced.finish();
    let mut digest = FileDigest::default();
    digest.update(&sealed[..3]);
    digest.update(&sealed[3..]);
    assert!(digest.clone().check(&announced).is_ok());
    digest.update(b"more");
    assert!(matches!(digest.check(&announced), Err(FileError::WrongDigest)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_changed_bit_anywhere_is_noticed(bytes in 0..3 * CHUNK_BYTES, at: prop::sample::Index, bit in 0..8) {
        let key = FileKey::generate().unwrap();
        let mut sealed = seal(&key, &content(bytes)).concat();
        let at = at.index(sealed.len());
        sealed[at] ^= 1_u8 << bit;
        prop_assert!(open(&key, &sealed).is_err());
    }

    #[test]
    fn a_file_cut_anywhere_is_noticed(bytes in 0..3 * CHUNK_BYTES, at: prop::sample::Index) {
        let key = FileKey::generate().unwrap();
        let sealed = seal(&key, &content(bytes)).concat();
        prop_assert!(open(&key, &sealed[..at.index(sealed.len())]).is_err());
    }

    #[test]
    fn random_bytes_are_no_file_and_no_key(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&FileKey::generate().unwrap(), &bytes).is_err());
        prop_assert_eq!(FileKey::import(&bytes).is_ok(), bytes.len() == 52 && bytes[0] == VERSION);
    }
}
