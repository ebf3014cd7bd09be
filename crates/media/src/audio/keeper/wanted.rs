//! What somebody chose for a side, and which devices could serve it.

use std::any::Any;
use std::path::{Path, PathBuf};

use crate::audio::backend::DeviceEntry;
use crate::audio::device::Endpoint;
use crate::audio::virtual_device::{Null, Silence, Tone};
use crate::audio::wav::{Loop, WavError, WavWriter};
use crate::audio::{AudioTrouble, InputId, OutputId, Side};

/// A choice, the same for both sides.
pub(crate) enum Wanted {
    /// Whatever the system's default is.
    Default,
    /// A device by id or name.
    Native(String),
    /// A tone.
    Tone,
    /// A file to play as a microphone.
    Play(PathBuf),
    /// Silence as a microphone.
    Silence,
    /// A file to record the speaker into.
    Record(PathBuf),
    /// No speaker.
    Null,
}

/// A virtual device, ready.
pub(crate) struct Built {
    pub(crate) endpoint: Endpoint,
    pub(crate) name: String,
    /// To be held as long as the endpoint lives.
    pub(crate) guard: Option<Box<dyn Any + Send>>,
}

impl From<InputId> for Wanted {
    fn from(id: InputId) -> Self {
        match id {
            InputId::Default => Self::Default,
            InputId::Native(id) => Self::Native(id),
            InputId::Tone => Self::Tone,
            InputId::File(path) => Self::Play(path),
            InputId::Silence => Self::Silence,
        }
    }
}

impl From<OutputId> for Wanted {
    fn from(id: OutputId) -> Self {
        match id {
            OutputId::Default => Self::Default,
            OutputId::Native(id) => Self::Native(id),
            OutputId::File(path) => Self::Record(path),
            OutputId::Null => Self::Null,
        }
    }
}

impl Wanted {
    /// What a side has before anything was chosen.
    pub(crate) fn nothing(side: Side) -> Self {
        match side {
            Side::Input => Self::Silence,
            Side::Output => Self::Null,
        }
    }

    /// Served by the sound system.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self, Self::Default | Self::Native(_))
    }

    /// The devices to try, best first: the chosen one, the default, the others.
    pub(crate) fn candidates<'a>(&self, list: &'a [DeviceEntry]) -> Vec<&'a DeviceEntry> {
        let mut ordered: Vec<&DeviceEntry> = list.iter().collect();
        ordered.sort_by_key(|entry| (!self.names(entry), !entry.is_default));
        ordered
    }

    fn names(&self, entry: &DeviceEntry) -> bool {
        match self {
            Self::Native(wanted) => *wanted == entry.id || *wanted == entry.name,
            _ => false,
        }
    }

    /// What stands in while there is no device.
    pub(crate) fn fallback(&self, side: Side) -> Endpoint {
        match side {
            Side::Input => Endpoint::Input(Box::new(Silence)),
            Side::Output => Endpoint::Output(Box::new(Null)),
        }
    }

    /// Makes a virtual device.
    pub(crate) fn build(&self) -> Result<Built, AudioTrouble> {
        let plain = |endpoint, name: &str| Built { endpoint, name: name.to_owned(), guard: None };
        match self {
            Self::Tone => Ok(plain(Endpoint::Input(Box::new(Tone::default())), "Test tone")),
            Self::Silence => Ok(plain(Endpoint::Input(Box::new(Silence)), "Silence")),
            Self::Null => Ok(plain(Endpoint::Output(Box::new(Null)), "No speaker")),
            Self::Play(path) => {
                let sound = Loop::open(path).map_err(|error| unusable(&error))?;
                Ok(plain(Endpoint::Input(Box::new(sound)), &file_name(path)))
            }
            Self::Record(path) => {
                let (writer, guard) = WavWriter::create(path).map_err(|error| unusable(&error))?;
                Ok(Built {
                    endpoint: Endpoint::Output(Box::new(writer)),
                    name: file_name(path),
                    guard: Some(Box::new(guard)),
                })
            }
            Self::Default | Self::Native(_) => Err(AudioTrouble::NoneFound),
        }
    }
}

fn unusable(error: &WavError) -> AudioTrouble {
    tracing::warn!(%error, "a sound file cannot be used");
    AudioTrouble::Failed
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
