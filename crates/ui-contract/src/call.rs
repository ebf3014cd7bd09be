//! A call as the window shows it.

use bedside_protocol::{CallPhase, CallType, EndReason, Timestamp, quality::QualityClass};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Which way the call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// This person called.
    Outgoing,
    /// This person was called.
    Incoming,
}

/// The one call this device is in, rings for, or has just left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct CallView {
    /// The call.
    pub call_id: String,
    /// Which way it went.
    pub direction: Direction,
    /// The other person's id.
    pub peer_id: String,
    /// The other person's name.
    pub peer_name: String,
    /// Sound alone or with picture.
    pub call_type: CallType,
    /// Where it stands.
    pub phase: CallPhase,
    /// Why it is over.
    pub end_reason: Option<EndReason>,
    /// It was answered here, and the server has not confirmed that yet.
    pub answering: bool,
    /// It was ended because the other end could not prove to be the other person: the certificate of the connection is
    /// not the one that their device named.
    pub not_authentic: bool,
    /// When it was answered.
    pub accepted_at: Option<Timestamp>,
    /// When media first flowed; the window counts the seconds itself.
    pub connected_at: Option<Timestamp>,
    /// Whole seconds of conversation, once over.
    pub duration_s: u64,
    /// The microphone is off.
    pub muted: bool,
    /// The camera is on and its picture is sent.
    pub camera_on: bool,
    /// The other side's microphone is off.
    pub peer_muted: bool,
    /// The other side's picture is on.
    pub peer_camera_on: bool,
    /// It is on, and nothing is sent of it: their line has no room for more than their voice.
    pub peer_video_paused: bool,
    /// When the call will be given up unless it recovers.
    pub reconnect_until: Option<Timestamp>,
    /// When the longest permitted duration is reached, once near.
    pub expires_at: Option<Timestamp>,
    /// By how much this person may put that off, s; absent where they may not.
    pub extendable_by_s: Option<u32>,
    /// The connection in a word: as it is now, and once the call is over, as it was. Absent until there is something to
    /// say.
    pub quality: Option<QualityClass>,
    /// Picture is paused to keep the sound clear.
    pub video_paused: bool,
    /// Each frame of sound and picture is sealed once more (RFC 9605): both sides want it.
    pub frames_sealed: bool,
    /// How this call is protected.
    pub protection: Protection,
    /// The conversation of the two, once it is known: its members, its code, its messages.
    pub conversation_id: Option<String>,
}

/// How a call or a conversation is protected. Only what is true is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Not protected: no keys have been agreed on, or this device lost them. Nothing is sent until there are some.
    #[default]
    Unprotected,
    /// Encrypted end to end, and every key in it was compared.
    Verified,
    /// Encrypted end to end; who is at the other end rests on the server's word until the code is compared.
    Encrypted,
}

/// One second of a call, for the details panel and its plots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct StatsSample {
    /// When the second ended.
    pub at: Timestamp,
    /// Round-trip time, ms.
    pub rtt_ms: f32,
    /// Share of packets from the peer that were lost, 0..=1.
    pub loss_in: f32,
    /// Share of our packets that were lost, 0..=1, as the peer reports.
    pub loss_out: f32,
    /// Interarrival jitter, ms.
    pub jitter_ms: f32,
    /// Estimated bandwidth towards the peer, bit/s.
    pub estimate_bps: u32,
    /// Audio received, bit/s.
    pub audio_in_bps: u32,
    /// Audio sent, bit/s.
    pub audio_out_bps: u32,
    /// Video received, bit/s.
    pub video_in_bps: u32,
    /// Video sent, bit/s.
    pub video_out_bps: u32,
    /// Received picture.
    pub width_in: u16,
    /// Received picture.
    pub height_in: u16,
    /// Sent picture.
    pub width_out: u16,
    /// Sent picture.
    pub height_out: u16,
    /// Frames decoded per second.
    pub fps_in: f32,
    /// Frames encoded per second.
    pub fps_out: f32,
    /// Freezes that began in this second.
    pub freezes: u16,
    /// How long the picture stood still, ms: of a freeze that begins, from its last picture on.
    pub freeze_ms: u16,
    /// Audio packets received.
    pub audio_packets_in: u16,
    /// Sound made up, ms.
    pub concealed_ms: u16,
    /// Audio playout delay, ms.
    pub playout_ms: u16,
    /// Mean time to encode a frame, ms.
    pub encode_ms: f32,
    /// Mean time to decode a frame, ms.
    pub decode_ms: f32,
    /// This process, per cent of one core.
    pub cpu_percent: f32,
    /// This process's resident memory, bytes.
    #[ts(type = "number")]
    pub memory_bytes: u64,
    /// How long ICE took to find a path, ms; absent until it has.
    pub ice_ms: Option<f32>,
    /// How long the DTLS handshake took after it, ms; absent until it is over.
    pub dtls_ms: Option<f32>,
    /// "host ↔ host, UDP": kinds only, never an address.
    pub path: String,
    /// Sound, in a word; absent while none has come.
    pub audio_quality: Option<QualityClass>,
    /// Picture, in a word; absent while the other side sends none, and poor where it should and none comes.
    pub video_quality: Option<QualityClass>,
}
