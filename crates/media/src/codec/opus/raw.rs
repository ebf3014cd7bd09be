//! The unsafe edge to libopus's decoder: one owned pointer, six calls.
//!
//! It exists for the decoder complexity control and for asking whether a packet
//! carries a copy of the one before, which the `opus` crate does not offer. It
//! never exposes the pointer.

#![expect(
    unsafe_code,
    reason = "libopus is a C library and its decoder complexity control has no safe wrapper"
)]

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

use opusic_sys as sys;

use super::{FRAME, OpusError};

/// An owned mono 48 kHz `OpusDecoder`.
pub(super) struct RawDecoder {
    state: NonNull<sys::OpusDecoder>,
}

// SAFETY: libopus keeps no thread-local or global mutable state; a decoder may be used from any
// thread as long as one uses it at a time, which `&mut self` on every method guarantees.
unsafe impl Send for RawDecoder {}

impl RawDecoder {
    pub(super) fn new() -> Result<Self, OpusError> {
        let mut code: c_int = sys::OPUS_OK;
        // SAFETY: `code` outlives the call; the returned pointer is checked before use.
        let state = unsafe { sys::opus_decoder_create(48_000, 1, &mut code) };
        match NonNull::new(state) {
            Some(state) if code == sys::OPUS_OK => Ok(Self { state }),
            _ => Err(refused("create a decoder", code)),
        }
    }

    pub(super) fn set_complexity(&mut self, complexity: c_int) -> Result<(), OpusError> {
        // SAFETY: `state` is a live decoder; OPUS_SET_COMPLEXITY takes one `opus_int32` by value.
        let code = unsafe {
            sys::opus_decoder_ctl(self.state.as_ptr(), sys::OPUS_SET_COMPLEXITY_REQUEST, complexity)
        };
        if code == sys::OPUS_OK { Ok(()) } else { Err(refused("set the decoder's complexity", code)) }
    }

    pub(super) fn decode(
        &mut self,
        packet: &[u8],
        out: &mut [f32; FRAME],
        fec: bool,
    ) -> Result<(), OpusError> {
        let Ok(length) = sys::opus_int32::try_from(packet.len()) else {
            return Err(refused("decode", sys::OPUS_BAD_ARG));
        };
        if length == 0 {
            // A null or empty packet means "lost" to libopus; say so by name instead.
            return Err(refused("decode", sys::OPUS_INVALID_PACKET));
        }
        // SAFETY: `packet` is readable for `length` bytes and `out` writable for FRAME mono
        // samples, the frame size passed; both outlive the call.
        let samples = unsafe {
            sys::opus_decode_float(
                self.state.as_ptr(),
                packet.as_ptr(),
                length,
                out.as_mut_ptr(),
                FRAME as c_int,
                c_int::from(fec),
            )
        };
        checked("decode", samples)
    }

    pub(super) fn conceal(&mut self, out: &mut [f32; FRAME]) -> Result<(), OpusError> {
        // SAFETY: a null packet of length 0 is libopus's way to ask for concealment; `out` is
        // writable for FRAME mono samples.
        let samples = unsafe {
            sys::opus_decode_float(self.state.as_ptr(), ptr::null(), 0, out.as_mut_ptr(), FRAME as c_int, 0)
        };
        checked("conceal", samples)
    }
}

/// Whether a packet also carries the frame before its own, coarsely. Damaged packets do not.
pub(super) fn carries_a_copy(packet: &[u8]) -> bool {
    let Ok(length) = sys::opus_int32::try_from(packet.len()) else { return false };
    // SAFETY: `packet` is readable for `length` bytes, and read only; an empty one is refused with a code.
    length > 0 && unsafe { sys::opus_packet_has_lbrr(packet.as_ptr(), length) } == 1
}

impl Drop for RawDecoder {
    fn drop(&mut self) {
        // SAFETY: `state` came from opus_decoder_create and is destroyed exactly once.
        unsafe { sys::opus_decoder_destroy(self.state.as_ptr()) };
    }
}

fn checked(operation: &'static str, samples: c_int) -> Result<(), OpusError> {
    match usize::try_from(samples) {
        Ok(FRAME) => Ok(()),
        Ok(samples) => Err(OpusError::Duration { samples }),
        Err(_) => Err(refused(operation, samples)),
    }
}

fn refused(operation: &'static str, code: c_int) -> OpusError {
    // SAFETY: opus_strerror returns a pointer to a static NUL-terminated string for any code.
    let reason = unsafe { CStr::from_ptr(sys::opus_strerror(code)) };
    OpusError::Codec { operation, reason: reason.to_string_lossy().into_owned() }
}
