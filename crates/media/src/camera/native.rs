//! This machine's cameras, by nokhwa. What the systems do differently (listing, formats, error numbers) is in
//! one small module each; here is what they share: a device found by its name, opened in the nearest format,
//! its raw pictures brought to I420.
//!
//! nokhwa's own conveniences are not used: its RGB path costs ten times the conversion to I420, and its
//! callback camera spins when the device disappears.

mod choice;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
mod trouble;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use other as platform;

use std::panic::catch_unwind;
use std::time::Instant;

use nokhwa::utils::{CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};

use self::choice::{Coding, Offer};
use super::source::{CameraSource, CameraSystem, Capture, Stop};
use super::{CameraTrouble, CaptureFormat};
use crate::frame::FramePool;
use crate::pixels::{self, JpegDecoder};

/// Damaged pictures in a row that are passed over; webcams give a few when they start.
const MAX_DAMAGED: u32 = 30;

/// A device as the system lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    name: String,
    index: u32,
}

fn devices() -> Vec<Device> {
    // The listing underneath panics over device files with unusual names.
    let mut devices = catch_unwind(platform::devices).unwrap_or_default();
    devices.sort_by_key(|device| device.index);
    number_namesakes(&mut devices);
    devices
}

fn number_namesakes(devices: &mut [Device]) {
    let plain: Vec<String> = devices.iter().map(|device| device.name.clone()).collect();
    for (place, device) in devices.iter_mut().enumerate() {
        let before = plain[..place].iter().filter(|name| **name == device.name).count();
        if before > 0 {
            device.name = format!("{} ({})", device.name, before + 1);
        }
    }
}

/// The cameras of this machine. Those of the same name are told apart by a number.
pub(super) struct NativeCameras;

impl CameraSystem for NativeCameras {
    fn list(&self) -> Vec<String> {
        devices().into_iter().map(|device| device.name).collect()
    }

    fn open(&self, name: &str, wish: CaptureFormat) -> Result<Box<dyn CameraSource>, CameraTrouble> {
        let device = devices().into_iter().find(|device| device.name == name);
        let device = device.ok_or(CameraTrouble::Unplugged)?;
        let (camera, offer) = platform::open(device.index, wish)?;
        tracing::info!(width = offer.width, height = offer.height, fps = offer.fps, coding = ?offer.coding, "camera open");
        let (pool, jpeg) = (FramePool::new(), JpegDecoder::new());
        Ok(Box::new(NativeSource { camera, name: device.name, offer, pool, jpeg }))
    }
}

struct NativeSource {
    camera: nokhwa::Camera,
    name: String,
    offer: Offer,
    pool: FramePool,
    jpeg: JpegDecoder,
}

impl CameraSource for NativeSource {
    fn next_frame(&mut self, stop: &Stop) -> Result<Option<Capture>, CameraTrouble> {
        let mut damaged = 0;
        while !stop.is_set() {
            let raw = match self.camera.frame_raw() {
                Ok(raw) => raw,
                Err(error) => return Err(why(&error, &self.name)),
            };
            let captured_at = Instant::now();
            let Offer { width, height, coding, .. } = self.offer;
            let mut image = self.pool.take(width, height);
            let converted = match coding {
                // Some systems call two-plane pictures YUYV: the length tells them apart.
                Coding::Yuyv if raw.len() >= width as usize * height as usize * 2 => {
                    pixels::yuyv_to_i420(&raw, width, height, &mut image)
                }
                Coding::Yuyv | Coding::Nv12 => pixels::nv12_to_i420(&raw, width, height, &mut image),
                Coding::Mjpeg => self.jpeg.decode(&raw, &mut image),
            };
            match converted {
                Ok(()) => return Ok(Some(Capture { image, captured_at })),
                Err(error) => {
                    damaged += 1;
                    if damaged > MAX_DAMAGED {
                        tracing::warn!(%error, "the camera gives only damaged pictures");
                        return Err(CameraTrouble::Failed);
                    }
                }
            }
        }
        Ok(None)
    }
}

/// What a failed call means; an unclear error of a device that is no longer listed means that it is gone.
fn why(error: &nokhwa::NokhwaError, name: &str) -> CameraTrouble {
    let trouble = trouble::of_message(&error.to_string());
    if trouble == CameraTrouble::Failed {
        if devices().iter().all(|device| device.name != name) {
            return CameraTrouble::Unplugged;
        }
        tracing::warn!(%error, "the camera failed");
    }
    trouble
}

/// Opens a device through nokhwa in a format that the device has offered.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems choose after opening"))]
fn open_exactly(index: u32, offer: Offer) -> Result<nokhwa::Camera, CameraTrouble> {
    let format = offer.to_nokhwa();
    let formats = [format.format()];
    let request = RequestedFormat::with_formats(RequestedFormatType::Exact(format), &formats);
    let mut camera =
        nokhwa::Camera::new(CameraIndex::Index(index), request).map_err(|error| failed(&error))?;
    camera.open_stream().map_err(|error| failed(&error))?;
    Ok(camera)
}

fn failed(error: &nokhwa::NokhwaError) -> CameraTrouble {
    let trouble = trouble::of_message(&error.to_string());
    if trouble == CameraTrouble::Failed {
        tracing::warn!(%error, "the camera could not be opened");
    }
    trouble
}

impl Coding {
    fn to_nokhwa(self) -> FrameFormat {
        match self {
            Self::Yuyv => FrameFormat::YUYV,
            Self::Nv12 => FrameFormat::NV12,
            Self::Mjpeg => FrameFormat::MJPEG,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namesakes_are_numbered() {
        let device = |name: &str, index| Device { name: name.into(), index };
        let mut devices = [device("Cam", 0), device("Other", 2), device("Cam", 4), device("Cam", 6)];
        number_namesakes(&mut devices);
        assert_eq!(devices.map(|device| device.name), ["Cam", "Other", "Cam (2)", "Cam (3)"]);
    }

    #[test]
    fn a_camera_that_is_not_there_is_unplugged() {
        let opened = NativeCameras.open("no such camera, surely", CaptureFormat::default());
        assert_eq!(opened.err(), Some(CameraTrouble::Unplugged));
    }
}
