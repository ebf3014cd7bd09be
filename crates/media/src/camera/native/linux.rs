//! Cameras on Linux: what has to be asked of V4L2 itself because nokhwa asks wrongly. It lists every video
//! node (metadata nodes of webcams included), and refuses to open a device that another program left in a
//! format or at a rate that it has no name for.

use std::io;

use v4l::capability::Flags;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device as Node, Format, FourCC};

use super::choice::{Coding, Offer, choose};
use super::{Device, open_exactly, trouble};
use crate::camera::{CameraTrouble, CaptureFormat};

const CODINGS: [(&[u8; 4], Coding); 3] =
    [(b"YUYV", Coding::Yuyv), (b"NV12", Coding::Nv12), (b"MJPG", Coding::Mjpeg)];

/// Rates tried within a range of rates, frames per second.
const COMMON_RATES: [u32; 8] = [5, 10, 15, 20, 24, 25, 30, 60];

/// Sizes tried within a range of sizes.
const COMMON_SIZES: [(u32, u32); 7] =
    [(320, 180), (320, 240), (640, 360), (640, 480), (960, 540), (1280, 720), (1920, 1080)];

pub(super) fn devices() -> Vec<Device> {
    let nodes = v4l::context::enum_devices();
    let cameras = nodes.iter().filter(|node| takes_pictures(node.index()));
    let device = |node: &v4l::context::Node| {
        let index = u32::try_from(node.index()).ok()?;
        Some(Device { name: node.name().unwrap_or_else(|| format!("Camera {index}")), index })
    };
    cameras.filter_map(device).collect()
}

/// Whether a node gives pictures. One that we may not open is taken for a camera: opening it says why not.
fn takes_pictures(index: usize) -> bool {
    match Node::new(index) {
        Ok(node) => node
            .query_caps()
            .is_ok_and(|caps| caps.capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING)),
        Err(error) => trouble_of(&error) != CameraTrouble::Unplugged,
    }
}

/// Opens a device in the format nearest to the wish and starts it.
pub(super) fn open(index: u32, wish: CaptureFormat) -> Result<(nokhwa::Camera, Offer), CameraTrouble> {
    let offer = prepare(index, wish)?;
    Ok((open_exactly(index, offer)?, offer))
}

/// Puts the device into the chosen format, so that nokhwa finds it in one that it knows.
fn prepare(index: u32, wish: CaptureFormat) -> Result<Offer, CameraTrouble> {
    let node = Node::new(index as usize).map_err(|error| told(&error))?;
    let offer = choose(&offers(&node).map_err(|error| told(&error))?, wish).ok_or_else(|| {
        tracing::warn!("the camera has no format that we know");
        CameraTrouble::Failed
    })?;
    let code = CODINGS.iter().find(|(_, coding)| *coding == offer.coding).map_or(b"YUYV", |(code, _)| *code);
    let format = Format::new(offer.width, offer.height, FourCC::new(code));
    Capture::set_format(&node, &format).map_err(|error| told(&error))?;
    // Refused by drivers with one fixed rate; then it is the one that they listed.
    if let Err(error) = Capture::set_params(&node, &Parameters::with_fps(offer.fps))
        && trouble_of(&error) != CameraTrouble::Failed
    {
        return Err(told(&error));
    }
    Ok(offer)
}

fn offers(node: &Node) -> io::Result<Vec<Offer>> {
    let mut offers = Vec::new();
    for description in Capture::enum_formats(node)? {
        let known = CODINGS.iter().find(|(code, _)| FourCC::new(code) == description.fourcc);
        let Some(&(_, coding)) = known else {
            continue;
        };
        for (width, height) in sizes(node, description.fourcc) {
            let rates = rates(node, description.fourcc, width, height);
            offers.extend(rates.into_iter().map(|fps| Offer { width, height, fps, coding }));
        }
    }
    Ok(offers)
}

fn sizes(node: &Node, code: FourCC) -> Vec<(u32, u32)> {
    let listed = Capture::enum_framesizes(node, code).unwrap_or_default().into_iter();
    let sizes = listed.flat_map(|listed| match listed.size {
        FrameSizeEnum::Discrete(size) => vec![(size.width, size.height)],
        FrameSizeEnum::Stepwise(range) => {
            let within = |side: u32, min: u32, max: u32, step: u32| {
                (min..=max).contains(&side) && (side - min).is_multiple_of(step.max(1))
            };
            let fits = |&(width, height): &(u32, u32)| {
                within(width, range.min_width, range.max_width, range.step_width)
                    && within(height, range.min_height, range.max_height, range.step_height)
            };
            COMMON_SIZES.into_iter().filter(fits).collect()
        }
    });
    sizes.collect()
}

/// Whole frames per second, the only ones that nokhwa accepts.
fn rates(node: &Node, code: FourCC, width: u32, height: u32) -> Vec<u32> {
    let listed = Capture::enum_frameintervals(node, code, width, height).unwrap_or_default();
    let whole = |numerator: u32, denominator: u32| {
        (numerator > 0 && denominator.is_multiple_of(numerator)).then(|| denominator / numerator)
    };
    if listed.is_empty() {
        let current = Capture::params(node).ok().map(|params| params.interval);
        return current
            .and_then(|interval| whole(interval.numerator, interval.denominator))
            .into_iter()
            .collect();
    }
    let rates = listed.into_iter().flat_map(|listed| match listed.interval {
        FrameIntervalEnum::Discrete(interval) => {
            whole(interval.numerator, interval.denominator).into_iter().collect::<Vec<_>>()
        }
        FrameIntervalEnum::Stepwise(range) => {
            let seconds =
                |part: v4l::Fraction| f64::from(part.numerator) / f64::from(part.denominator.max(1));
            let (shortest, longest) = (seconds(range.min) - 1e-9, seconds(range.max) + 1e-9);
            COMMON_RATES
                .into_iter()
                .filter(|&fps| (shortest..=longest).contains(&(1.0 / f64::from(fps))))
                .collect()
        }
    });
    rates.collect()
}

fn trouble_of(error: &io::Error) -> CameraTrouble {
    error.raw_os_error().map_or(CameraTrouble::Failed, trouble::of_errno)
}

fn told(error: &io::Error) -> CameraTrouble {
    let trouble = trouble_of(error);
    if trouble == CameraTrouble::Failed {
        tracing::warn!(%error, "the camera could not be set up");
    }
    trouble
}
