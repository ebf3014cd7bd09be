//! What can go wrong with a file under way, and that it is noticed.

use proptest::prelude::*;

use super::*;

fn seal(key: &FileKey, content: &[u8]) -> Vec<Vec<u8>> {
    let mut sealer = FileSealer::new(key.clone(), content, 0);
    let (mut chunks, mut chunk) = (Vec::new(), Vec::new());
    while sealer.next_chunk(&mut chunk).unwrap() {
        chunks.push(chunk.clone());
    }
    chunks
}

fn open(key: &FileKey, sealed: &[u8], piece: usize) -> Result<Vec<u8>, FileError> {
    let mut opener = FileOpener::new(key.clone(), Vec::new(), 0);
    for piece in sealed.chunks(piece) {
        opener.update(piece)?;
    }
    opener.finish()
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
        for piece in [777, SEALED_CHUNK_BYTES, SEALED_CHUNK_BYTES + 1, usize::MAX] {
            assert!(open(&key, &sealed, piece).unwrap() == content, "{bytes} bytes in pieces of {piece}");
        }
    }
}

#[test]
fn a_file_cut_at_a_chunk_boundary_is_called_truncated() {
    let key = FileKey::generate().unwrap();
    let chunks = seal(&key, &content(2 * CHUNK_BYTES + 5));
    for kept in 0..3 {
        let result = open(&key, &chunks[..kept].concat(), 5000);
        assert!(matches!(result, Err(FileError::Truncated)), "{kept} chunks kept: {result:?}");
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
        assert!(open(&key, &sealed, 9999).is_err(), "{order:?}");
    }
}

#[test]
fn chunks_of_another_file_do_not_fit() {
    let (one, two) = (FileKey::generate().unwrap(), FileKey::generate().unwrap());
    let same = content(CHUNK_BYTES + 5);
    let mut chunks = seal(&one, &same);
    chunks[1] = seal(&two, &same).remove(1);
    assert!(matches!(open(&one, &chunks.concat(), 4096), Err(FileError::Damaged { position: 1 })));
}

#[test]
fn both_sides_go_on_at_a_chunk_boundary_after_a_restart() {
    let key = FileKey::generate().unwrap();
    let content = content(5 * CHUNK_BYTES + 123);
    let whole = seal(&key, &content).concat();
    // The receiver has two and a half chunks when it is killed; two of them are on its disk.
    let mut opener = FileOpener::new(key.clone(), Vec::new(), 0);
    opener.update(&whole[..SEALED_CHUNK_BYTES * 5 / 2]).unwrap();
    let written = opener.position();
    let (position, from) = resume_point(u64::from(written) * CHUNK_BYTES as u64).unwrap();
    assert_eq!((position, from), (2, 2 * SEALED_CHUNK_BYTES as u64));
    // The sender, restarted too, begins with that chunk.
    let imported = FileKey::import(&key.export()).unwrap();
    let mut sealer = FileSealer::new(imported.clone(), &content[2 * CHUNK_BYTES..], position);
    let (mut rest, mut chunk) = (Vec::new(), Vec::new());
    while sealer.next_chunk(&mut chunk).unwrap() {
        rest.extend_from_slice(&chunk);
    }
    assert!(rest == whole[usize::try_from(from).unwrap()..], "sealed again, the same bytes");
    let mut opener = FileOpener::new(imported, content[..2 * CHUNK_BYTES].to_vec(), position);
    opener.update(&rest).unwrap();
    assert!(opener.finish().unwrap() == content);
}

#[test]
fn memory_stays_flat_whatever_the_length() {
    struct Counted(u64);
    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bytes = 64 * 1024 * 1024 + 1;
    let key = FileKey::generate().unwrap();
    let mut sealer = FileSealer::new(key.clone(), io::repeat(7).take(bytes), 0);
    let mut opener = FileOpener::new(key, Counted(0), 0);
    let mut chunk = Vec::new();
    while sealer.next_chunk(&mut chunk).unwrap() {
        opener.update(&chunk).unwrap();
        let held = chunk.capacity() + sealer.ahead.capacity() + opener.held.capacity();
        assert!(held < 8 * SEALED_CHUNK_BYTES, "{held} bytes held");
    }
    assert_eq!(opener.finish().unwrap().0, bytes);
}

#[test]
fn a_full_disk_is_told_as_such() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let key = FileKey::generate().unwrap();
    let sealed = seal(&key, &content(10)).concat();
    let mut opener = FileOpener::new(key, Full, 0);
    opener.update(&sealed).unwrap();
    match opener.finish().err() {
        Some(FileError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
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
        prop_assert!(open(&key, &sealed, 10_000).is_err());
    }

    #[test]
    fn a_file_cut_anywhere_is_noticed(bytes in 0..3 * CHUNK_BYTES, at: prop::sample::Index) {
        let key = FileKey::generate().unwrap();
        let sealed = seal(&key, &content(bytes)).concat();
        prop_assert!(open(&key, &sealed[..at.index(sealed.len())], 10_000).is_err());
    }

    #[test]
    fn random_bytes_are_no_file_and_no_key(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&FileKey::generate().unwrap(), &bytes, 50).is_err());
        prop_assert_eq!(FileKey::import(&bytes).is_ok(), bytes.len() == 52 && bytes[0] == VERSION);
    }
}
