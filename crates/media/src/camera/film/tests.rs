use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use tempfile::{NamedTempFile, TempPath};

use super::super::{Camera, CameraEvent, CameraId, Cameras, CaptureFormat, SourceOptions};
use super::*;

/// A film of uniform pictures, the luma of picture `n` being `20 + n`, without its last `cut` bytes.
fn record(header: &str, samples: usize, pictures: u8, cut: usize) -> TempPath {
    let mut bytes = format!("{header}\n").into_bytes();
    for n in 0..pictures {
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend(std::iter::repeat_n(20 + n, samples));
    }
    bytes.truncate(bytes.len() - cut);
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(&bytes).expect("room for it");
    file.into_temp_path()
}

const HEADER: &str = "YUV4MPEG2 W32 H16 F25:1 Ip C420jpeg";

#[test]
fn a_film_starts_again_after_its_end() {
    let file = record(HEADER, 768, 5, 0);
    let mut film = Film::open(&file).unwrap();
    assert_eq!((film.width(), film.height(), film.frame_rate(), film.frames()), (32, 16, (25, 1), 5));
    for (n, luma) in [(0, 20), (4, 24), (5, 20), (1_000_003, 23)] {
        assert_eq!(film.frame(n).unwrap().y()[0], luma, "picture {n}");
    }
}

#[test]
fn odd_sizes_lose_their_last_row_and_column() {
    let file = record("YUV4MPEG2 W33 H17 F25:1", 33 * 17 + 2 * 17 * 9, 2, 0);
    let mut film = Film::open(&file).unwrap();
    let image = film.frame(1).unwrap();
    assert_eq!((image.width(), image.height()), (32, 16));
    assert!(image.as_bytes().iter().all(|&sample| sample == 21));
}

#[test]
fn full_range_films_are_brought_to_limited_range() {
    let file = record("YUV4MPEG2 W32 H16 F25:1 XCOLORRANGE=FULL", 768, 1, 0);
    let image = Film::open(&file).unwrap().frame(0).unwrap();
    assert_eq!(image.y()[0], 33, "20 of 255 is 33 between 16 and 235");
}

#[test]
fn a_film_cut_short_is_refused() {
    for cut in [1, 700, 768, 770] {
        let file = record(HEADER, 768, 3, cut);
        assert!(matches!(Film::open(&file), Err(FilmError::Truncated(2))), "{cut} bytes missing");
    }
}

#[test]
fn a_film_with_something_else_in_it_is_refused() {
    let file = record(HEADER, 760, 3, 0);
    assert!(matches!(Film::open(&file), Err(FilmError::Format(_))));
    let empty = record(HEADER, 768, 0, 0);
    assert!(matches!(Film::open(&empty), Err(FilmError::Format(_))));
    assert!(matches!(Film::open(Path::new("no/such/film.y4m")), Err(FilmError::Io(_))));
}

#[test]
fn a_film_comes_through_a_camera_in_order_and_stamped() {
    let samples = 320 * 180 * 3 / 2;
    let file = record("YUV4MPEG2 W320 H180 F100:1", samples, 9, 0);
    let (sender, events) = mpsc::sync_channel(64);
    let sink = Box::new(move |event| _ = sender.try_send(event));
    let id = CameraId::Film(file.to_path_buf());
    let camera =
        Camera::open(id, &Cameras::default(), CaptureFormat::default(), SourceOptions { stamp: true }, sink);
    let begins = events.recv_timeout(Duration::from_secs(20)).expect("an event");
    assert!(matches!(begins, CameraEvent::Using { .. }));
    let mut last = None;
    for _ in 0..20 {
        let CameraEvent::Frame(frame) = events.recv_timeout(Duration::from_secs(20)).expect("a picture")
        else {
            panic!("trouble with a good film");
        };
        let stamp = crate::stamp::read(&frame.image).expect("a stamp");
        assert_eq!(stamp.counter, last.map_or(0, |last| last + 1));
        last = Some(stamp.counter);
        assert!((20..29).contains(frame.image.y().last().unwrap()));
    }
    drop(camera);
}

#[test]
fn a_bad_film_is_a_failed_camera() {
    let (sender, events) = mpsc::channel();
    let sink = Box::new(move |event| _ = sender.send(event));
    let id = CameraId::Film("no/such/film.y4m".into());
    let camera =
        Camera::open(id, &Cameras::default(), CaptureFormat::default(), SourceOptions::default(), sink);
    let event = events.recv_timeout(Duration::from_secs(20)).expect("an event");
    assert!(matches!(event, CameraEvent::Trouble { trouble: CameraTrouble::Failed, replaced_by: None }));
    drop(camera);
}
