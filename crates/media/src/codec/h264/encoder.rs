//! The encoder's settings for live camera pictures, all of them explicit (the library's own defaults are
//! 120 kbit/s and constant quality), and their change while the stream runs.

use bytes::Bytes;
use openh264::Timestamp;
use openh264::encoder::{
    BitRate, Complexity, Encoder as Library, EncoderConfig as LibraryConfig, FrameRate, FrameType,
    IntraFramePeriod, Profile, QpRange, RateControlMode, SpsPpsStrategy, UsageType, VuiConfig,
};
use openh264::formats::YUVSource;

use super::{cut::Cuts, library, options};
use crate::codec::{CodecError, EncodedFrame, VideoEncoder};
use crate::frame::I420;

/// Finest quantiser: below it, bits buy nothing that anybody sees.
const MIN_QP: u8 = 10;
/// Coarsest quantiser of the standard.
const MAX_QP: u8 = 51;
/// Bitrates that the library accepts.
const BITRATES_BPS: std::ops::RangeInclusive<u32> = 10_000..=100_000_000;
/// Peak over target, in percent. The library drops frames for as long as the last second is above the peak;
/// with the peak at the target itself a change of rate freezes the picture.
const PEAK_PERCENT: u64 = 150;

/// What an encoder is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderConfig {
    /// Width of the images, in pixels, even, 16 to 3840.
    pub width: u32,
    /// Height of the images, in pixels, even, 16 to 2160.
    pub height: u32,
    /// Frames per second that will be offered, 1 to 60.
    pub fps: u32,
    /// Target bitrate in bits per second, from 10 kbit/s.
    pub bitrate_bps: u32,
}

/// An H.264 encoder for one stream.
pub struct Encoder {
    config: EncoderConfig,
    library: Library,
    cuts: Cuts,
    started: bool,
    reserve: usize,
}

impl Encoder {
    /// An encoder for images of exactly the given size. Its first frame is a keyframe.
    ///
    /// # Errors
    /// [`CodecError::Setup`] when the library can't be loaded or the size is out of range.
    pub fn new(config: &EncoderConfig) -> Result<Self, CodecError> {
        let EncoderConfig { width, height, fps, bitrate_bps } = *config;
        let (longer, shorter) = (width.max(height), width.min(height));
        if shorter < 16 || longer > 3840 || shorter > 2160 || width % 2 + height % 2 != 0 {
            return Err(CodecError::Setup(format!("{width}×{height} can't be encoded")));
        }
        let config =
            EncoderConfig { width, height, fps: clamp_fps(fps), bitrate_bps: clamp_bitrate(bitrate_bps) };
        Ok(Self { config, library: start(&config)?, cuts: Cuts::default(), started: false, reserve: 0 })
    }

    /// What the encoder is set to now.
    #[must_use]
    pub fn config(&self) -> EncoderConfig {
        self.config
    }

    fn check_size(&self, image: &I420) -> Result<(), CodecError> {
        let EncoderConfig { width, height, .. } = self.config;
        if (image.width(), image.height()) == (width, height) {
            return Ok(());
        }
        Err(CodecError::Size {
            expected_width: width,
            expected_height: height,
            width: image.width(),
            height: image.height(),
        })
    }
}

impl VideoEncoder for Encoder {
    fn encode(
        &mut self,
        image: &I420,
        pts_ms: u64,
        force_keyframe: bool,
    ) -> Result<Option<EncodedFrame>, CodecError> {
        self.check_size(image)?;
        let cut = self.cuts.is_before(image, pts_ms);
        if (force_keyframe || cut) && self.started {
            self.library.force_intra_frame();
        }
        let pts = Timestamp::from_millis(pts_ms.min(i64::MAX as u64));
        let stream = self
            .library
            .encode_at(&Planes(image), pts)
            .map_err(|error| CodecError::Encode(format!("code {}", error.native_code())))?;
        let keyframe = match stream.frame_type() {
            FrameType::IDR => true,
            FrameType::P | FrameType::I | FrameType::IPMixed => false,
            FrameType::Skip | FrameType::Invalid => return Ok(None),
        };
        let mut data = Vec::with_capacity(self.reserve);
        stream.write_vec(&mut data);
        // Room for the next frame without growing, following the stream's own frame size.
        self.reserve = data.len() + data.len() / 4;
        if !self.started {
            self.started = true;
            let target = self.config.bitrate_bps;
            options::set_bitrate(&mut self.library, target, target, peak(target))?;
        }
        Ok((!data.is_empty()).then(|| EncodedFrame { data: Bytes::from(data), keyframe }))
    }

    fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), CodecError> {
        let bitrate_bps = clamp_bitrate(bitrate_bps);
        if bitrate_bps == self.config.bitrate_bps {
            return Ok(());
        }
        let config = EncoderConfig { bitrate_bps, ..self.config };
        if self.started {
            let old = self.config.bitrate_bps;
            options::set_bitrate(&mut self.library, old, bitrate_bps, peak(bitrate_bps))?;
        } else {
            self.library = start(&config)?;
        }
        self.config = config;
        Ok(())
    }

    fn set_frame_rate(&mut self, fps: u32) -> Result<(), CodecError> {
        let fps = clamp_fps(fps);
        if fps == self.config.fps {
            return Ok(());
        }
        let config = EncoderConfig { fps, ..self.config };
        if self.started {
            options::set_frame_rate(&mut self.library, fps as f32)?;
        } else {
            self.library = start(&config)?;
        }
        self.config = config;
        Ok(())
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("config", &self.config).finish_non_exhaustive()
    }
}

fn clamp_fps(fps: u32) -> u32 {
    fps.clamp(1, 60)
}

fn clamp_bitrate(bitrate_bps: u32) -> u32 {
    bitrate_bps.clamp(*BITRATES_BPS.start(), *BITRATES_BPS.end())
}

fn peak(bitrate_bps: u32) -> u32 {
    u32::try_from(u64::from(bitrate_bps) * PEAK_PERCENT / 100).unwrap_or(u32::MAX)
}

fn start(config: &EncoderConfig) -> Result<Library, CodecError> {
    let settings = LibraryConfig::new()
        .usage_type(UsageType::CameraVideoRealTime)
        .profile(Profile::Baseline)
        .max_frame_rate(FrameRate::from_hz(config.fps as f32))
        .bitrate(BitRate::from_bps(config.bitrate_bps))
        .rate_control_mode(RateControlMode::Bitrate)
        // Without leave to skip, the library's rate control does nothing.
        .skip_frames(true)
        .qp(QpRange::new(MIN_QP, MAX_QP))
        // A sixth less work than the next level, for film at 0.6 to 2 Mbit/s of the same quality (PSNR within 0.2 dB).
        .complexity(Complexity::Low)
        .adaptive_quantization(true)
        .background_detection(true)
        // That is `Cuts`' work.
        .scene_change_detect(false)
        .intra_frame_period(IntraFramePeriod::auto())
        .long_term_reference(false)
        .sps_pps_strategy(SpsPpsStrategy::ConstantId)
        .num_threads(1)
        .vui(VuiConfig::bt601());
    Library::with_api_config(library::load()?, settings).map_err(|error| CodecError::Setup(error.to_string()))
}

struct Planes<'a>(&'a I420);

impl YUVSource for Planes<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.width() as usize, self.0.height() as usize)
    }

    fn strides(&self) -> (usize, usize, usize) {
        let width = self.0.width() as usize;
        (width, width / 2, width / 2)
    }

    fn y(&self) -> &[u8] {
        self.0.y()
    }

    fn u(&self) -> &[u8] {
        self.0.u()
    }

    fn v(&self) -> &[u8] {
        self.0.v()
    }
}
