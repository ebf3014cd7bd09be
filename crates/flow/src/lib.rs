//! Bedside's real-time media logic: rate, loss, playout, quality.
//!
//! Everything here is pure: it is told the time (`now: Instant`), performs no I/O, draws no random number and
//! starts no thread. A driver passes packets and the time in, drains what comes out, and wakes at the next
//! deadline. That is what lets a minute of a bad network be tested in a millisecond.
//!
//! | module | question it answers |
//! | --- | --- |
//! | [`video`] | which packets make a whole picture, and may it be decoded? |
//! | [`audio`] | what is heard in the next 10 ms, whatever the network did? |
//! | [`nack`], [`keyframe`] | what is worth asking for again, and when? |
//! | [`rate`], [`pacer`], [`ladder`] | how much fits, how fast does it leave, and what is sent at all? |
//! | [`clock`] | do lips and voice agree? |
//! | [`freeze`], [`loss`], [`quality`] | how good is it, in figures and in a word? |
//! | [`rtp`], [`units`] | numbers that do not wrap and are not mixed up |

pub mod audio;
pub mod clock;
pub mod freeze;
pub mod keyframe;
pub mod ladder;
pub mod loss;
pub mod nack;
pub mod pacer;
pub mod quality;
pub mod rate;
pub mod rtp;
#[cfg(test)]
mod testing;
pub mod units;
pub mod video;
