//! What the playout buffer says of itself.

/// What a block of 10 ms mostly consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Decoded as sent.
    Decoded,
    /// Decoded from the copy in the following packet.
    Repaired,
    /// Made up.
    Concealed,
    /// The sender pauses, or nothing has come yet.
    Silence,
}

/// Counters since the beginning, and the state now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayoutStats {
    /// Packets taken in.
    pub received_packets: u64,
    /// Packets that came after their time was over.
    pub late_packets: u64,
    /// Packets that came twice.
    pub duplicate_packets: u64,
    /// Packets thrown away because there were too many, or too long, or out of an older time.
    pub discarded_packets: u64,
    /// Frames whose packet was not there though a later one was.
    pub lost_frames: u64,
    /// Lost frames decoded from the copy in the following packet.
    pub repaired_frames: u64,
    /// Sound made up, ms.
    pub concealed_ms: f64,
    /// Sound handed out, ms, silence included.
    pub played_ms: f64,
    /// Time saved by shortening, ms.
    pub accelerated_ms: f64,
    /// Time gained by lengthening, ms.
    pub expanded_ms: f64,
    /// How long sound waits now, compared with the quickest packet, ms.
    pub delay_ms: f64,
    /// How long it should wait, ms.
    pub target_ms: f64,
    /// Sound that lies ready, in packets and decoded, ms.
    pub buffered_ms: f64,
    /// Interarrival jitter (RFC 3550 §6.4.1), ms.
    pub jitter_ms: f64,
}
