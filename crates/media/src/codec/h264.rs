//! H.264, constrained baseline, by OpenH264: one layer, one slice, no reordering, keyframes only where asked
//! for. Streams are Annex B. The encoder never decides about rates, the decoder never invents pictures: after
//! a loss it reports an error until a keyframe arrives.

mod cut;
mod decoder;
mod encoder;
mod library;
mod options;

pub use decoder::Decoder;
pub use encoder::{Encoder, EncoderConfig};
