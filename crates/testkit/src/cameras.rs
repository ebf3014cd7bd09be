//! Cameras that do what a test says: plugged in and out, refused, taken by another program, silent.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bedside_media::{
    camera::{CameraSource, CameraSystem, CameraTrouble, Cameras, Capture, CaptureFormat, Stop},
    frame::I420,
};

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(33);

/// What a camera does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Gives pictures.
    Works,
    /// Can't be used.
    Refuses(CameraTrouble),
    /// Is open and gives nothing, whatever is asked of it.
    Silent,
}

/// The cameras of a computer, under a test's control. Clones are the same cameras.
#[derive(Clone, Default)]
pub struct TestCameras(Arc<Mutex<Vec<(String, Manner)>>>);

impl TestCameras {
    /// These are plugged in, and work.
    #[must_use]
    pub fn plugged(names: &[&str]) -> Self {
        let cameras = Self::default();
        for name in names {
            cameras.set(name, Manner::Works);
        }
        cameras
    }

    /// For a computer.
    #[must_use]
    pub fn cameras(&self) -> Cameras {
        Cameras::from(self.clone())
    }

    /// From now on it does this; it is plugged in, if it was not.
    pub fn set(&self, name: &str, manner: Manner) {
        let mut cameras = self.lock();
        match cameras.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = manner,
            None => cameras.push((name.to_owned(), manner)),
        }
    }

    /// It is pulled out.
    pub fn unplug(&self, name: &str) {
        self.lock().retain(|(known, _)| known != name);
    }

    fn manner(&self, name: &str) -> Manner {
        let cameras = self.lock();
        let found = cameras.iter().find(|(known, _)| known == name);
        found.map_or(Manner::Refuses(CameraTrouble::Unplugged), |(_, manner)| *manner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Manner)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CameraSystem for TestCameras {
    fn list(&self) -> Vec<String> {
        self.lock().iter().map(|(name, _)| name.clone()).collect()
    }

    fn open(&self, name: &str, _wish: CaptureFormat) -> Result<Box<dyn CameraSource>, CameraTrouble> {
        match self.manner(name) {
            Manner::Refuses(trouble) => Err(trouble),
            Manner::Works | Manner::Silent => {
                Ok(Box::new(Source { cameras: self.clone(), name: name.to_owned() }))
            }
        }
    }
}

struct Source {
    cameras: TestCameras,
    name: String,
}

impl CameraSource for Source {
    fn next_frame(&mut self, stop: &Stop) -> Result<Option<Capture>, CameraTrouble> {
        while !stop.wait_until(Instant::now() + FRAME) {
            match self.cameras.manner(&self.name) {
                Manner::Works => {
                    let image = I420::new(640, 360);
                    return Ok(Some(Capture { image, captured_at: Instant::now() }));
                }
                Manner::Refuses(trouble) => return Err(trouble),
                Manner::Silent => {}
            }
        }
        Ok(None)
    }
}
