//! How well a call goes: what is measured every second and sent to the server every five.

use serde::{Deserialize, Deserializer, Serialize, de};

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
    #[serde(rename = "rtt", deserialize_with = "finite")]
    pub rtt_ms: f32,
    /// Share of packets lost, 0..=1.
    #[serde(deserialize_with = "finite")]
    pub packet_loss: f32,
    /// Interarrival jitter (RFC 3550 §6.4.1), ms.
    #[serde(rename = "jitter", deserialize_with = "finite")]
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
    #[serde(deserialize_with = "finite")]
    pub frame_rate: f32,
    /// Pictures that stood still for longer than they may, in this second.
    pub freezes: u16,
    /// Sound made up for what did not arrive, ms.
    pub concealed_ms: u16,
    /// Delay of the audio playout buffer, ms.
    pub jitter_buffer_ms: u16,
    /// Mean time to encode a frame, ms.
    #[serde(deserialize_with = "finite")]
    pub encode_ms: f32,
    /// Mean time to decode a frame, ms.
    #[serde(deserialize_with = "finite")]
    pub decode_ms: f32,
    /// This process, in per cent of one core.
    #[serde(rename = "cpu_usage", deserialize_with = "finite")]
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

/// A number that there is as `f32`. What is larger would be read as infinite, and JSON could not say that again.
fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let value = f32::deserialize(deserializer)?;
    let beyond = || de::Error::invalid_value(de::Unexpected::Float(value.into()), &"a number below 3.4e38");
    value.is_finite().then_some(value).ok_or_else(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_all_measure_is_refused_in_every_field() {
        let fine = serde_json::json!({
            "at": 0, "rtt": 1.0, "packet_loss": 0.5, "jitter": 1.0, "available_bandwidth_bps": 1, "audio_bitrate": 1,
            "video_bitrate": 1, "video_width": 1, "video_height": 1, "frame_rate": 1.0, "freezes": 0,
            "concealed_ms": 0, "jitter_buffer_ms": 0, "encode_ms": 1.0, "decode_ms": 1.0, "cpu_usage": 1.0,
            "memory_bytes": 0
        });
        assert!(QualityMetrics::deserialize(&fine).is_ok());
        for (field, _) in fine.as_object().unwrap().iter().filter(|(_, value)| value.is_f64()) {
            let mut absurd = fine.clone();
            absurd[field] = 5.8e59.into();
            let refused = QualityMetrics::deserialize(&absurd).expect_err(field).to_string();
            assert!(refused.contains("a number below 3.4e38"), "{field}: {refused}");
        }
    }
}
