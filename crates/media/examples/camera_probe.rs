//! Opens a camera of this machine and tells what it does, one JSON object a line: what stands in the camera
//! test's virtual machine, and a first aid when a camera makes trouble.
//!
//! `camera_probe list` names the cameras. `camera_probe watch SECONDS` opens the first one (or waits for one)
//! and reports pictures, once a second, and troubles. `camera_probe once` ends with the first event.
//! `camera_probe as UID …` does the rest as another user.

use std::error::Error;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use bedside_media::camera::{Camera, CameraEvent, CameraId, Cameras, CaptureFormat, SourceOptions};
use bedside_media::frame::I420;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            tell(&json!({ "event": "list", "cameras": Cameras::default().list() }));
        }
        ["watch", seconds] => watch(Duration::from_secs(seconds.parse()?), false),
        ["once"] => watch(Duration::from_secs(60), true),
        ["as", uid, ref rest @ ..] => {
            run_as(uid.parse()?, rest)?;
        }
        _ => return Err("usage: camera_probe [as UID] list | watch SECONDS | once".into()),
    }
    Ok(())
}

/// Becomes the same program as another user.
#[cfg(unix)]
fn run_as(uid: u32, words: &[&str]) -> Result<(), Box<dyn Error>> {
    use std::os::unix::process::CommandExt;
    Err(std::process::Command::new(std::env::current_exe()?).args(words).uid(uid).exec().into())
}

#[cfg(not(unix))]
fn run_as(_uid: u32, _words: &[&str]) -> Result<(), Box<dyn Error>> {
    Err("users have no numbers on this system".into())
}

fn watch(time: Duration, once: bool) {
    let (sender, events) = mpsc::sync_channel(4);
    let format = CaptureFormat { width: 640, height: 360, fps: 30 };
    let sink = Box::new(move |event| _ = sender.try_send(event));
    let _camera =
        Camera::open(CameraId::Default, &Cameras::default(), format, SourceOptions::default(), sink);
    let end = Instant::now() + time;
    let mut second = Second::default();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(CameraEvent::Frame(frame)) => second.count(&frame.image),
            Ok(CameraEvent::Using { .. }) => continue,
            Ok(CameraEvent::Trouble { trouble, .. }) => {
                second = Second::default();
                tell(&json!({ "event": "trouble", "trouble": format!("{trouble:?}") }));
                if once {
                    return;
                }
                continue;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
        if once {
            tell(&json!({ "event": "picture" }));
            return;
        }
    }
}

/// Pictures of one second.
#[derive(Default)]
struct Second {
    began: Option<Instant>,
    pictures: u32,
    moved: u32,
    last: Vec<u8>,
}

impl Second {
    fn count(&mut self, image: &I420) {
        let began = *self.began.get_or_insert_with(Instant::now);
        self.moved += u32::from(!self.last.is_empty() && self.last != image.y());
        self.last = image.y().to_vec();
        let elapsed = began.elapsed();
        if elapsed >= Duration::from_secs(1) {
            let (low, high) = (image.y().iter().min(), image.y().iter().max());
            tell(&json!({
                "event": "pictures",
                "width": image.width(),
                "height": image.height(),
                "fps": f64::from(self.pictures) / elapsed.as_secs_f64(),
                "pictures": self.pictures,
                "moved": self.moved,
                "luma": [low, high],
            }));
            *self =
                Self { began: Some(Instant::now()), last: std::mem::take(&mut self.last), ..Self::default() };
        }
        self.pictures += 1;
    }
}

fn tell(event: &Value) {
    println!("{event}");
}
