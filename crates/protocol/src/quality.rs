//! How well a call goes: what is measured every second and sent to the server every five.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, UserId};

/// How good sound or picture is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum QualityClass {
    /// Hard to follow.
    Poor,
    /// Usable, with effort.
    Fair,
    /// Small flaws.
    Good,
    /// Nothing to notice.
    Excellent,
}

/// One second of one side of a call. Rates are of what this side receives unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QualityMetrics {
    /// When the second ended, by the sender's clock.
    pub at: Timestamp,
    /// Round-trip time, ms.
    #[serde(rename = "rtt")]
    pub rtt_ms: f32,
    /// Share of packets lost, 0..=1.
    pub packet_loss: f32,
    /// Interarrival jitter (RFC 3550 §6.4.1), ms.
    #[serde(rename = "jitter")]
    pub jitter_ms: f32,
    /// Estimated bandwidth towards the peer, bit/s.
    pub available_bandwidth_bps: u32,
    /// Audio received, bit/s.
    #[serde(rename = "audio_bitrate")]
    pub audio_bitrate_bps: u32,
    /// Video received, bit/s.
    #[serde(rename = "video_bitrate")]
    pub video_bitrate_bps: u32,
    /// Received picture, pixels; 0 × 0 without video.
    pub video_width: u16,
    /// See `video_width`.
    pub video_height: u16,
    /// Frames decoded per second.
    pub frame_rate: f32,
    /// Pictures that stood still for longer than they may, in this second.
    pub freezes: u16,
    /// Sound made up for what did not arrive, ms.
    pub concealed_ms: u16,
    /// Delay of the audio playout buffer, ms.
    pub jitter_buffer_ms: u16,
    /// Mean time to encode a frame, ms.
    pub encode_ms: f32,
    /// Mean time to decode a frame, ms.
    pub decode_ms: f32,
    /// This process, in per cent of one core.
    #[serde(rename = "cpu_usage")]
    pub cpu_percent: f32,
    /// This process's resident memory, bytes.
    pub memory_bytes: u64,
    /// Sound, in a word; absent while none has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_quality: Option<QualityClass>,
    /// Picture, in a word; absent while the other side sends none, and poor where it should and none comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_quality: Option<QualityClass>,
}

/// Quality metrics as stored: who measured them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredQualityMetrics {
    /// Who measured.
    pub user_id: UserId,
    /// What was measured.
    #[serde(flatten)]
    pub metrics: QualityMetrics,
}
