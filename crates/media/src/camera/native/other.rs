//! Cameras on Windows (Media Foundation) and macOS (AVFoundation): nokhwa lists devices and formats itself
//! there; macOS asks the user first.

use nokhwa::utils::{ApiBackend, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};

use super::choice::{Coding, Offer, choose};
use super::{Device, failed};
use crate::camera::{CameraTrouble, CaptureFormat};

const FORMATS: [FrameFormat; 3] = [FrameFormat::YUYV, FrameFormat::NV12, FrameFormat::MJPEG];

pub(super) fn devices() -> Vec<Device> {
    let listed =
        nokhwa::query(ApiBackend::Auto).inspect_err(|error| tracing::warn!(%error, "no list of cameras"));
    let devices = listed.unwrap_or_default().into_iter();
    devices
        .filter_map(|info| Some(Device { name: info.human_name(), index: info.index().as_index().ok()? }))
        .collect()
}

/// Opens a device in the format nearest to the wish and starts it.
pub(super) fn open(index: u32, wish: CaptureFormat) -> Result<(nokhwa::Camera, Offer), CameraTrouble> {
    if !nokhwa::nokhwa_check() {
        // Asks the user the first time; we are called again every second and see the answer then.
        nokhwa::nokhwa_initialize(|_| {});
        return Err(CameraTrouble::PermissionDenied);
    }
    let any = RequestedFormat::with_formats(RequestedFormatType::AbsoluteHighestFrameRate, &FORMATS);
    let mut camera = nokhwa::Camera::new(CameraIndex::Index(index), any).map_err(|error| failed(&error))?;
    let listed = camera.compatible_camera_formats().map_err(|error| failed(&error))?;
    let offers: Vec<Offer> = listed
        .into_iter()
        .filter_map(|format| {
            let coding = coding(format.format())?;
            Some(Offer { width: format.width(), height: format.height(), fps: format.frame_rate(), coding })
        })
        .collect();
    let offer = choose(&offers, wish).ok_or(CameraTrouble::Failed)?;
    let exactly = RequestedFormat::with_formats(RequestedFormatType::Exact(offer.to_nokhwa()), &FORMATS);
    camera.set_camera_requset(exactly).map_err(|error| failed(&error))?;
    camera.open_stream().map_err(|error| failed(&error))?;
    Ok((camera, offer))
}

fn coding(format: FrameFormat) -> Option<Coding> {
    match format {
        FrameFormat::YUYV => Some(Coding::Yuyv),
        FrameFormat::NV12 => Some(Coding::Nv12),
        FrameFormat::MJPEG => Some(Coding::Mjpeg),
        FrameFormat::GRAY | FrameFormat::RAWRGB | FrameFormat::RAWBGR => None,
    }
}
