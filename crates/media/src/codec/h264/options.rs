//! The few settings of OpenH264 that its safe wrapper can't change while a stream runs. All `unsafe` of the
//! video path is here.
#![expect(unsafe_code, reason = "the wrapper offers these options only through the C interface")]

use std::ffi::c_int;
use std::ptr::from_mut;

use openh264::encoder;
use openh264_sys2::{
    ENCODER_OPTION, ENCODER_OPTION_BITRATE, ENCODER_OPTION_FRAME_RATE, ENCODER_OPTION_MAX_BITRATE, LAYER_NUM,
    SBitrateInfo, SPATIAL_LAYER_0, SPATIAL_LAYER_ALL,
};

use crate::codec::CodecError;

/// Changes target and peak of an encoder that has encoded at least one frame, in bits per second.
pub(super) fn set_bitrate(
    encoder: &mut encoder::Encoder,
    old_target_bps: u32,
    target_bps: u32,
    peak_bps: u32,
) -> Result<(), CodecError> {
    // At no moment may the target be above the peak: the library refuses that and is left half changed.
    let peak = (ENCODER_OPTION_MAX_BITRATE, SPATIAL_LAYER_0, peak_bps);
    let target = (ENCODER_OPTION_BITRATE, SPATIAL_LAYER_ALL, target_bps);
    let steps = if target_bps >= old_target_bps { [peak, target] } else { [target, peak] };
    steps.into_iter().try_for_each(|(option, layer, bps)| set_rate(encoder, option, layer, bps))
}

/// Changes the frame rate of an encoder that has encoded at least one frame, in frames per second.
pub(super) fn set_frame_rate(encoder: &mut encoder::Encoder, fps: f32) -> Result<(), CodecError> {
    let mut value = fps;
    // SAFETY: the option takes a pointer to a C float, read during the call only and not kept
    // (`CWelsH264SVCEncoder::SetOption`); `value` lives across the call. Before initialisation the library
    // answers with an error code.
    let code =
        unsafe { encoder.raw_api().set_option(ENCODER_OPTION_FRAME_RATE, from_mut(&mut value).cast()) };
    check("frame rate", code)
}

fn set_rate(
    encoder: &mut encoder::Encoder,
    option: ENCODER_OPTION,
    layer: LAYER_NUM,
    bps: u32,
) -> Result<(), CodecError> {
    let mut info = SBitrateInfo { iLayer: layer, iBitrate: c_int::try_from(bps).unwrap_or(c_int::MAX) };
    // SAFETY: both rate options take a pointer to an `SBitrateInfo`, read during the call only and not kept
    // (`CWelsH264SVCEncoder::SetOption`); `info` lives across the call and has the C layout.
    let code = unsafe { encoder.raw_api().set_option(option, from_mut(&mut info).cast()) };
    check("bitrate", code)
}

fn check(what: &str, code: c_int) -> Result<(), CodecError> {
    if code == 0 { Ok(()) } else { Err(CodecError::Setup(format!("{what} refused with code {code}"))) }
}
