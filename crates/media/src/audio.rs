//! Microphone, speaker, echo cancellation and the 10 ms heart that joins them.
//!
//! Everything crosses this module's border as **10 ms blocks of mono 48 kHz
//! `f32` samples in -1.0..=1.0**. Behind it a named thread keeps a 10 ms
//! cadence; device callbacks only touch lock-free rings and never allocate,
//! lock or log. Devices run on clocks of their own: [`resample`] and [`ring`]
//! bring them to the engine's, so the echo canceller sees one clock.
//!
//! It never knows about calls, packets or codecs.

mod backend;
pub mod compare;
mod cushion;
mod device;
mod engine;
mod keeper;
mod level;
mod manager;
mod native;
mod process;
mod resample;
mod ring;
mod ticker;
mod tone;
mod virtual_device;
mod watchdog;
mod wav;

use std::path::PathBuf;

pub use engine::{AudioEngine, CaptureSink, EventSink, RenderSource};
pub use process::{ProcessingConfig, Processor};
pub use tone::tone_sample;

/// Samples in one block: 10 ms of mono audio at 48 kHz.
pub const BLOCK: usize = 480;

/// The engine's sample rate in Hz.
pub const SAMPLE_RATE: u32 = 48_000;

/// 10 ms of mono 48 kHz samples in -1.0..=1.0.
pub type Block = [f32; BLOCK];

/// Where the microphone signal comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputId {
    /// The system's default microphone, followed when the user changes it.
    Default,
    /// A device by its [`AudioDeviceInfo::id`] text, or by its name.
    Native(String),
    /// [`tone_sample`]: a sweep that correlates sharply, for tests and demonstrations.
    Tone,
    /// A WAV file of any rate and channel count, over and over.
    File(PathBuf),
    /// Digital silence.
    Silence,
}

/// Where the speaker signal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputId {
    /// The system's default speaker, followed when the user changes it.
    Default,
    /// A device by its [`AudioDeviceInfo::id`] text, or by its name.
    Native(String),
    /// A WAV file, mono 48 kHz 16 bit, overwritten.
    File(PathBuf),
    /// Nowhere.
    Null,
}

/// A device as the system lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioDeviceInfo<Id> {
    /// What to pass to the engine to use this device.
    pub id: Id,
    /// The device's name for people.
    pub name: String,
    /// Whether the system's default points here.
    pub is_default: bool,
}

/// Which way the sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The microphone.
    Input,
    /// The speaker.
    Output,
}

/// What is wrong with a device, in the kinds a person can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioTrouble {
    /// The system has no such device at all: the call goes on in silence.
    NoneFound,
    /// The operating system refuses access.
    PermissionDenied,
    /// Another application holds the device.
    InUse,
    /// The device went away.
    Unplugged,
    /// The device stopped delivering or taking samples for half a second.
    Stalled,
    /// Anything else; the log has the cause.
    Failed,
}

/// What happened to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioEvent {
    /// This device is now in use: at the start, after a switch, after a replug.
    Using {
        /// Microphone or speaker.
        side: Side,
        /// The device's name for people.
        name: String,
    },
    /// Something is wrong; the engine carries on.
    Trouble {
        /// Microphone or speaker.
        side: Side,
        /// What is wrong.
        trouble: AudioTrouble,
        /// The device that took over, by its name for people; `None` when silence did.
        replaced_by: Option<String>,
    },
}

/// What an engine starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioConfig {
    /// The microphone.
    pub input: InputId,
    /// The speaker.
    pub output: OutputId,
    /// What is done to the microphone signal.
    pub processing: ProcessingConfig,
}

/// The system's microphones, default first. Monitors of speakers are left out.
///
/// Asks the sound server: takes milliseconds, at worst two seconds. Empty when there is none.
pub fn inputs() -> Vec<AudioDeviceInfo<InputId>> {
    native::list(Side::Input)
        .into_iter()
        .map(|entry| AudioDeviceInfo {
            id: InputId::Native(entry.id),
            name: entry.name,
            is_default: entry.is_default,
        })
        .collect()
}

/// The system's speakers, default first.
///
/// Asks the sound server: takes milliseconds, at worst two seconds. Empty when there is none.
pub fn outputs() -> Vec<AudioDeviceInfo<OutputId>> {
    native::list(Side::Output)
        .into_iter()
        .map(|entry| AudioDeviceInfo {
            id: OutputId::Native(entry.id),
            name: entry.name,
            is_default: entry.is_default,
        })
        .collect()
}
