//! The playout buffer: 10 ms of sound whenever asked, whatever the network did.
//!
//! In the manner of NetEq: a packet is played a target delay after the quickest it could have come. What is
//! missing is decoded from the packet after it (FEC) or made up (concealment), which fades to silence. When
//! nothing at all is there, time stands still and what comes late is still played. Where the delay strays from
//! its target, decoded sound is stretched by whole pitch periods. A pause of the sender is silence, not loss.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::queue::{Inserted, Queue, Waiting};
use super::regulator::{Regulator, Verdict};
use super::report::{BlockKind, PlayoutStats};
use super::{BLOCK, DelayEstimator, FRAME, FrameDecoder, Stretcher, ms_to_samples, samples_to_ms};
use crate::rtp::{MAX_DROPOUT, SequenceUnwrapper, TimestampUnwrapper};

/// Least and largest delay.
const DELAY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Concealment fades from here …
const FADE_FROM: usize = ms(60);
/// … to silence here, and the buffer starts over with the next packet.
const FADE_TO: usize = ms(240);
/// Joint between what was made up and what was decoded.
const JOINT: usize = ms(5);
/// So many packets in a row behind the playing position are a sender that started over.
const STARTED_OVER: u32 = 50;

const fn ms(ms: usize) -> usize {
    ms * super::SAMPLE_RATE as usize / 1000
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing plays; the first packet starts when it has waited long enough.
    Waiting,
    /// Sound runs.
    Playing,
}

/// One received stream of 20 ms packets. [`insert`](Self::insert) when a packet comes,
/// [`pull_block`](Self::pull_block) every 10 ms.
#[derive(Debug)]
pub struct Playout {
    sequence: SequenceUnwrapper,
    timestamps: TimestampUnwrapper,
    queue: Queue,
    estimator: DelayEstimator,
    stretcher: Stretcher,
    state: State,
    /// Decoded and not yet played.
    pending: Vec<f32>,
    /// Time stamp of the frame to decode next; what came before it is too late.
    next: Option<i64>,
    /// Samples made up while nothing was there, during which `next` stood still …
    stalled: usize,
    /// … and how many of them still lie at the end of `pending`.
    stall_tail: usize,
    /// Unplayed concealment to blend the next piece with.
    joint: Vec<f32>,
    /// Samples made up in a row.
    concealed_run: usize,
    /// The last packet said that the sender pauses.
    paused: bool,
    /// The last packet decoded: its index, and the time stamp after it.
    decoded: Option<(i64, i64)>,
    /// Made up since then, ms.
    made_up_ms: f64,
    kind: BlockKind,
    regulator: Regulator,
    late_run: u32,
    stats: PlayoutStats,
    frame: Box<[f32; FRAME]>,
}

impl Default for Playout {
    fn default() -> Self {
        Self::new()
    }
}

impl Playout {
    /// A buffer that waits for its first packet.
    pub fn new() -> Self {
        Self {
            sequence: SequenceUnwrapper::new(),
            timestamps: TimestampUnwrapper::new(),
            queue: Queue::default(),
            estimator: DelayEstimator::new(DELAY.0, DELAY.1),
            stretcher: Stretcher::new(),
            state: State::Waiting,
            pending: Vec::with_capacity(4 * FRAME),
            next: None,
            stalled: 0,
            stall_tail: 0,
            joint: Vec::new(),
            concealed_run: 0,
            paused: false,
            decoded: None,
            made_up_ms: 0.0,
            kind: BlockKind::Silence,
            regulator: Regulator::default(),
            late_run: 0,
            stats: PlayoutStats::default(),
            frame: Box::new([0.0; FRAME]),
        }
    }

    /// Takes a packet: RTP sequence number, time stamp (48 kHz), Opus payload of 20 ms. In any order.
    pub fn insert(&mut self, now: Instant, seq: u16, timestamp: u32, payload: Vec<u8>) {
        self.stats.received_packets += 1;
        let newest = self.sequence.highest();
        let Some(index) = self.sequence.unwrap(seq) else {
            self.stats.discarded_packets += 1;
            return;
        };
        let extended = self.timestamps.unwrap(timestamp);
        let restarted = newest.is_some_and(|newest| index > newest + MAX_DROPOUT);
        if !self.estimator.on_packet(now, extended) || restarted {
            self.start_over();
        }
        if self.next.is_some_and(|next| extended < next) {
            self.stats.late_packets += 1;
            self.late_run += 1;
            if self.late_run >= STARTED_OVER {
                self.start_over();
            }
            return;
        }
        self.late_run = 0;
        match self.queue.insert(extended, Waiting { seq: index, payload }) {
            Inserted::Yes => {}
            Inserted::Duplicate => self.stats.duplicate_packets += 1,
            Inserted::Displaced | Inserted::Refused => self.stats.discarded_packets += 1,
        }
    }

    /// Fills the next 10 ms. To be called every 10 ms; several calls at once are borne.
    pub fn pull_block(
        &mut self,
        now: Instant,
        decoder: &mut dyn FrameDecoder,
        out: &mut [f32; BLOCK],
    ) -> BlockKind {
        self.stats.played_ms += samples_to_ms(BLOCK);
        self.end_stall();
        self.start_if_due(now);
        while self.state == State::Playing && self.pending.len() < BLOCK {
            self.produce(decoder);
        }
        if self.state == State::Playing {
            self.regulate(now, decoder);
        }
        let ready = self.pending.len().min(BLOCK);
        out[..ready].copy_from_slice(&self.pending[..ready]);
        out[ready..].fill(0.0);
        self.pending.drain(..ready);
        self.stall_tail = self.stall_tail.min(self.pending.len());
        if ready == 0 {
            self.kind = BlockKind::Silence;
        }
        self.kind
    }

    /// The RTP time stamp of the next sample to be handed out, while sound runs.
    pub fn playing_timestamp(&self) -> Option<u32> {
        self.position().filter(|_| self.state == State::Playing).map(|position| position as u32)
    }

    /// Plays this much later than the network makes necessary, so that sound does not run ahead of the picture
    /// (see `clock::LipSync::audio_delay`). The delay is reached by stretching, without a gap.
    pub fn set_extra_delay(&mut self, extra: Duration) {
        self.estimator.set_extra(extra);
    }

    /// Counters and state.
    pub fn stats(&self) -> PlayoutStats {
        PlayoutStats {
            delay_ms: self.regulator.delay_ms().max(0.0),
            target_ms: self.estimator.target_ms(),
            buffered_ms: samples_to_ms(self.pending.len() + self.queue.len() * FRAME),
            jitter_ms: self.estimator.jitter_ms(),
            ..self.stats
        }
    }

    /// Time stamp of the next sample to be handed out.
    fn position(&self) -> Option<i64> {
        self.next.map(|next| next - self.pending.len() as i64)
    }

    fn start_over(&mut self) {
        self.stats.discarded_packets += self.queue.len() as u64;
        self.queue.clear();
        self.next = None;
        self.late_run = 0;
        self.wait();
    }

    fn wait(&mut self) {
        self.state = State::Waiting;
        self.stalled = 0;
        self.stall_tail = 0;
        self.joint.clear();
        self.regulator.reset();
    }

    /// Starts with the first packet once it has waited as long as it should; skips what has waited far longer.
    fn start_if_due(&mut self, now: Instant) {
        if self.state == State::Playing {
            return;
        }
        let target = self.estimator.target_ms();
        while let Some(second) = self.queue.second_timestamp() {
            if self.estimator.delay_at(now, second) < target {
                break;
            }
            self.stats.discarded_packets += self.queue.drop_before(second) as u64;
        }
        let Some((first, _)) = self.queue.first() else { return };
        if self.estimator.delay_at(now, first) + samples_to_ms(BLOCK) / 2.0 >= target {
            self.state = State::Playing;
            self.next = Some(first);
            self.concealed_run = self.concealed_run.max(FADE_TO);
        }
    }

    /// If packets came while concealment ran on, unplayed concealment gives way to them.
    fn end_stall(&mut self) {
        if self.stall_tail == 0 || self.queue.is_empty() {
            return;
        }
        let keep = self.pending.len() - self.stall_tail;
        self.joint = self.pending.split_off(keep);
        self.joint.truncate(JOINT);
        self.stalled -= self.stall_tail;
        self.stats.concealed_ms -= samples_to_ms(self.stall_tail);
        self.made_up_ms -= samples_to_ms(self.stall_tail);
        self.concealed_run = self.concealed_run.saturating_sub(self.stall_tail);
        self.stall_tail = 0;
    }

    /// Appends the next piece of sound to `pending`, or changes to waiting.
    fn produce(&mut self, decoder: &mut dyn FrameDecoder) {
        let Some(mut next) = self.next else { return self.wait() };
        let Some((first, _)) = self.queue.first() else {
            return self.produce_from_nothing(decoder);
        };
        if first > next && self.stalled > 0 {
            // Time stood still while the missing frame would have been played: that much of it is over.
            let over = (first - next).min(self.stalled as i64);
            self.stalled -= over as usize;
            next += over;
            self.next = Some(next);
            if first == next {
                let frames = (over as usize + FRAME / 2) / FRAME;
                (0..frames.max(1)).for_each(|_| self.note_lost());
            }
        }
        if first <= next {
            return self.produce_decoded(decoder);
        }
        if self.paused {
            return self.fade_out(decoder);
        }
        if self.concealed_run >= FADE_TO {
            return self.wait();
        }
        let missing = usize::try_from(first - next).unwrap_or(FRAME).min(FRAME);
        let repaired = first - next <= FRAME as i64
            && self
                .queue
                .first()
                .is_some_and(|(_, after)| decoder.decode_fec(&after.payload, &mut self.frame).is_ok());
        self.note_lost();
        self.next = Some(next + missing as i64);
        if repaired {
            self.stats.repaired_frames += 1;
            self.append_decoded(FRAME - missing, BlockKind::Repaired);
        } else {
            self.append_concealed(decoder, missing);
        }
    }

    fn note_lost(&mut self) {
        self.stats.lost_frames += 1;
        self.estimator.on_played(true);
    }

    fn produce_decoded(&mut self, decoder: &mut dyn FrameDecoder) {
        let Some((timestamp, packet)) = self.queue.pop() else { return };
        self.stalled = 0;
        if self.decoded.is_some_and(|(seq, after)| packet.seq == seq + 1 && timestamp > after) {
            // No packet is missing: the sender paused without a word, and nothing was lost.
            self.stats.concealed_ms -= self.made_up_ms;
        }
        self.decoded = Some((packet.seq, timestamp + FRAME as i64));
        self.made_up_ms = 0.0;
        self.paused = packet.is_pause();
        self.next = Some(timestamp + FRAME as i64);
        self.estimator.on_played(false);
        if decoder.decode(&packet.payload, &mut self.frame).is_ok() {
            let kind = if self.paused { BlockKind::Silence } else { BlockKind::Decoded };
            self.append_decoded(0, kind);
        } else {
            self.append_concealed(decoder, FRAME);
        }
    }

    fn produce_from_nothing(&mut self, decoder: &mut dyn FrameDecoder) {
        if self.paused {
            return self.fade_out(decoder);
        }
        if self.concealed_run >= FADE_TO {
            return self.wait();
        }
        self.append_concealed(decoder, FRAME);
        self.stalled += FRAME;
        self.stall_tail = FRAME;
    }

    /// The sender pauses: one more frame that dies away, then silence until it speaks again.
    fn fade_out(&mut self, decoder: &mut dyn FrameDecoder) {
        decoder.conceal(&mut self.frame);
        fade(&mut *self.frame);
        self.pending.extend_from_slice(&*self.frame);
        self.kind = BlockKind::Silence;
        self.concealed_run = FADE_TO;
        self.wait();
    }

    /// Appends the decoded frame from sample `from` on; after a fade it rises again.
    fn append_decoded(&mut self, from: usize, kind: BlockKind) {
        let gain = gain_after(self.concealed_run);
        if gain < 1.0 {
            for (at, sample) in self.frame[from..].iter_mut().take(JOINT).enumerate() {
                *sample *= gain + (1.0 - gain) * at as f32 / JOINT as f32;
            }
        }
        self.append(from..FRAME);
        self.concealed_run = 0;
        self.kind = kind;
    }

    /// Makes up `count` samples (at most a frame), quieter and quieter.
    fn append_concealed(&mut self, decoder: &mut dyn FrameDecoder, count: usize) {
        decoder.conceal(&mut self.frame);
        for (at, sample) in self.frame.iter_mut().enumerate() {
            *sample *= gain_after(self.concealed_run + at);
        }
        self.append(0..count);
        // What follows does not know that only part of this was used.
        self.joint.extend(self.frame[count..].iter().take(JOINT));
        self.concealed_run += count;
        self.stats.concealed_ms += samples_to_ms(count);
        self.made_up_ms += samples_to_ms(count);
        self.kind = BlockKind::Concealed;
    }

    /// Appends a part of the frame, blended with the unplayed concealment before it.
    fn append(&mut self, part: Range<usize>) {
        let start = self.pending.len();
        self.pending.extend_from_slice(&self.frame[part]);
        let joint = self.joint.len() as f32;
        for ((at, made_up), sample) in self.joint.iter().enumerate().zip(&mut self.pending[start..]) {
            let rise = (at as f32 + 0.5) / joint;
            *sample = made_up * (1.0 - rise) + *sample * rise;
        }
        self.joint.clear();
    }

    /// Brings the delay back to its target.
    fn regulate(&mut self, now: Instant, decoder: &mut dyn FrameDecoder) {
        let Some(position) = self.position() else { return };
        let delay = self.estimator.delay_at(now, position);
        let verdict = self.regulator.judge(delay, self.estimator.target_ms());
        if verdict == Verdict::Skip {
            self.pending.truncate(BLOCK);
            fade(&mut self.pending);
            return self.wait();
        }
        if verdict == Verdict::Keep || self.concealed_run > 0 {
            return;
        }
        while self.pending.len() < Stretcher::SPAN && self.next_is_there() {
            self.produce(decoder);
        }
        match verdict {
            Verdict::Shorten(most, urgency) if self.pending.len() >= Stretcher::SPAN => {
                let gone = self.stretcher.accelerate(&mut self.pending, ms_to_samples(most), urgency);
                self.stats.accelerated_ms += samples_to_ms(gone);
                self.note_stretched(-samples_to_ms(gone));
            }
            Verdict::Lengthen(most, urgency) => {
                let come = self.stretcher.expand(&mut self.pending, ms_to_samples(most), urgency);
                self.stats.expanded_ms += samples_to_ms(come);
                self.note_stretched(samples_to_ms(come));
            }
            Verdict::Shorten(..) | Verdict::Keep | Verdict::Skip => {}
        }
    }

    fn note_stretched(&mut self, change: f64) {
        if change != 0.0 {
            self.regulator.stretched(change);
        }
    }

    fn next_is_there(&self) -> bool {
        matches!((self.queue.first(), self.next), (Some((first, _)), Some(next)) if first <= next)
    }
}

/// Fades `samples` to silence.
fn fade(samples: &mut [f32]) {
    let count = samples.len() as f32;
    samples.iter_mut().enumerate().for_each(|(at, sample)| *sample *= 1.0 - at as f32 / count);
}

/// Loudness of concealment after so many samples of it.
fn gain_after(run: usize) -> f32 {
    if run <= FADE_FROM {
        return 1.0;
    }
    1.0 - (run.min(FADE_TO) - FADE_FROM) as f32 / (FADE_TO - FADE_FROM) as f32
}

#[cfg(test)]
#[path = "playout_tests.rs"]
mod tests;
