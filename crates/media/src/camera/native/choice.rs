//! Which of a camera's formats to take for a wish. Enough frames a second come first (speech needs lips),
//! then enough pixels, then the shape, then what is cheap to decode.

use nokhwa::utils::{CameraFormat, Resolution};

use crate::camera::CaptureFormat;

/// How a camera packs its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Packed 4:2:2.
    Yuyv,
    /// Two planes, 4:2:0.
    Nv12,
    /// A JPEG each.
    Mjpeg,
}

/// One format that a camera has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fps: u32,
    pub(super) coding: Coding,
}

impl Offer {
    pub(super) fn to_nokhwa(self) -> CameraFormat {
        CameraFormat::new(Resolution::new(self.width, self.height), self.coding.to_nokhwa(), self.fps)
    }
}

/// The offer nearest to the wish.
pub(super) fn choose(offers: &[Offer], wish: CaptureFormat) -> Option<Offer> {
    offers
        .iter()
        .copied()
        .filter(|offer| offer.width >= 16 && offer.height >= 16 && offer.fps > 0)
        .min_by(|a, b| cost(*a, wish).total_cmp(&cost(*b, wish)))
}

/// How far an offer is from the wish; only the order matters. A third of the frames missing weighs as much as
/// two thirds of the pixels missing; more than was wished costs processing, not quality.
fn cost(offer: Offer, wish: CaptureFormat) -> f64 {
    let ratio = |have: f64, want: f64| have / want.max(1.0);
    let fps = ratio(f64::from(offer.fps), f64::from(wish.fps));
    let pixels = ratio(
        f64::from(offer.width) * f64::from(offer.height),
        f64::from(wish.width) * f64::from(wish.height),
    );
    let shape = |width: u32, height: u32| f64::from(width.max(1)) / f64::from(height.max(1));
    let distortion = (shape(offer.width, offer.height) / shape(wish.width, wish.height)).ln().abs();
    let decoding = match offer.coding {
        Coding::Yuyv => 0.0,
        Coding::Nv12 => 0.01,
        Coding::Mjpeg => 0.05,
    };
    4.0 * (1.0 - fps).max(0.0)
        + 2.0 * (1.0 - pixels).max(0.0)
        + 0.3 * pixels.max(1.0).ln()
        + 0.1 * fps.max(1.0).ln()
        + 0.5 * distortion
        + decoding
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: CaptureFormat = CaptureFormat { width: 1280, height: 720, fps: 30 };

    fn offer(coding: Coding, width: u32, height: u32, fps: u32) -> Offer {
        Offer { width, height, fps, coding }
    }

    fn best(offers: &[Offer]) -> Offer {
        choose(offers, WISH).expect("an offer")
    }

    #[test]
    fn a_usb_webcam_is_taken_at_720p_by_mjpeg_rather_than_at_ten_frames() {
        let jpeg = offer(Coding::Mjpeg, 1280, 720, 30);
        let offers = [
            offer(Coding::Yuyv, 1280, 720, 10),
            offer(Coding::Yuyv, 640, 480, 30),
            jpeg,
            offer(Coding::Mjpeg, 1920, 1080, 30),
        ];
        assert_eq!(best(&offers), jpeg);
    }

    #[test]
    fn the_cheaper_of_two_equal_formats_is_taken() {
        let raw = offer(Coding::Yuyv, 1280, 720, 30);
        assert_eq!(best(&[offer(Coding::Mjpeg, 1280, 720, 30), raw]), raw);
    }

    #[test]
    fn smooth_and_small_beats_large_and_jerky() {
        let smooth = offer(Coding::Yuyv, 640, 480, 30);
        assert_eq!(best(&[offer(Coding::Yuyv, 1280, 720, 10), smooth]), smooth);
    }

    #[test]
    fn too_large_beats_too_small() {
        let large = offer(Coding::Mjpeg, 1920, 1080, 30);
        assert_eq!(best(&[offer(Coding::Yuyv, 320, 240, 30), large]), large);
    }

    #[test]
    fn the_shape_that_was_wished_for_is_kept() {
        let wide = offer(Coding::Yuyv, 640, 360, 30);
        assert_eq!(
            best(&[offer(Coding::Yuyv, 640, 480, 30), wide, offer(Coding::Yuyv, 320, 180, 30)]).height,
            480
        );
        let wish = CaptureFormat { width: 640, height: 360, fps: 30 };
        assert_eq!(choose(&[offer(Coding::Yuyv, 640, 480, 30), wide], wish), Some(wide));
    }

    #[test]
    fn no_usable_offer_is_no_choice() {
        assert_eq!(choose(&[], WISH), None);
        assert_eq!(choose(&[offer(Coding::Yuyv, 0, 0, 30), offer(Coding::Yuyv, 640, 480, 0)], WISH), None);
        let odd = CaptureFormat { width: 0, height: 0, fps: 0 };
        assert!(choose(&[offer(Coding::Yuyv, 640, 480, 30)], odd).is_some());
    }
}
