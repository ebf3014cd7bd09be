//! Real devices, through cpal: PulseAudio (PipeWire answers it) or ALSA on
//! Linux, WASAPI on Windows, CoreAudio on macOS.
//!
//! Callbacks come in any size, rate, channel count and sample format; they
//! convert to mono `f32` and touch a ring, nothing else: no lock, no
//! allocation, no log line.

mod host;
mod input;
mod output;

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, SampleFormat, StreamConfig, SupportedBufferSize};

use super::backend::{Backend, DeviceEntry, Heartbeat, OpenDevice};
use super::device::Endpoint;
use super::{AudioTrouble, SAMPLE_RATE, Side};

/// A sound server that does not answer in this time is taken for hung.
const OPEN_LIMIT: Duration = Duration::from_secs(3);

/// PulseAudio's callback size in ms: at 10 ms it drops samples, 20 ms is clean (measured).
const PULSE_BUFFER_MS: u32 = 20;

/// Everybody else's callback size in ms, where the device allows it.
const BUFFER_MS: u32 = 10;

/// The devices of a side, default first.
pub(super) fn list(side: Side) -> Vec<DeviceEntry> {
    Native::default().devices(side)
}

/// cpal as a [`Backend`].
#[derive(Default)]
pub(super) struct Native {
    host: host::HostSlot,
    openers: Openers,
}

impl Backend for Native {
    fn devices(&mut self, side: Side) -> Vec<DeviceEntry> {
        self.host.entries(side)
    }

    fn open(&mut self, side: Side, id: &str) -> Result<OpenDevice, AudioTrouble> {
        match self.try_open(side, id) {
            // After a device was pulled, PulseAudio refuses new streams on the old connection
            // ("Invalid argument"); on a new one it takes them.
            Err(AudioTrouble::Failed | AudioTrouble::Unplugged) => {
                self.host = host::HostSlot::default();
                self.try_open(side, id)
            }
            other => other,
        }
    }
}

impl Native {
    fn try_open(&mut self, side: Side, id: &str) -> Result<OpenDevice, AudioTrouble> {
        let device = self.host.device(side, id).ok_or(AudioTrouble::Unplugged)?;
        let pulse = self.host.is_pulse();
        self.openers.open(side, id, OPEN_LIMIT, move || open(&device, side, pulse))
    }
}

/// Opening asks the sound server and may never return: it is left to a thread that can be left behind, one for each device.
#[derive(Default)]
struct Openers {
    left_behind: Vec<(Side, String, thread::JoinHandle<()>)>,
}

impl Openers {
    fn open<T: Send + 'static>(
        &mut self,
        side: Side,
        id: &str,
        limit: Duration,
        open: impl FnOnce() -> Result<T, AudioTrouble> + Send + 'static,
    ) -> Result<T, AudioTrouble> {
        self.left_behind.retain(|(_, _, opener)| !opener.is_finished());
        if self.left_behind.iter().any(|(of, stuck, _)| (*of, stuck.as_str()) == (side, id)) {
            return Err(AudioTrouble::Stalled);
        }
        let (answer, opened) = mpsc::channel();
        let opener = thread::Builder::new()
            .name("audio-open".into())
            .spawn(move || {
                // When nobody waits any more, the device is closed again by dropping it.
                let _ = answer.send(open());
            })
            .map_err(|error| {
                tracing::warn!(%error, "no thread to open a sound device");
                AudioTrouble::Failed
            })?;
        opened.recv_timeout(limit).unwrap_or_else(|_| {
            self.left_behind.push((side, id.to_owned(), opener));
            Err(AudioTrouble::Stalled)
        })
    }
}

/// What a stream is asked for.
#[derive(Clone, Copy)]
struct Format {
    config: StreamConfig,
    sample: SampleFormat,
}

fn open(device: &cpal::Device, side: Side, pulse: bool) -> Result<OpenDevice, AudioTrouble> {
    let wish = wish(device, side, pulse).map_err(|error| trouble(&error))?;
    match start(device, side, wish) {
        Err(error) if error.kind() == ErrorKind::UnsupportedConfig => {
            let mut plain = wish;
            plain.config.buffer_size = BufferSize::Default;
            start(device, side, plain).map_err(|error| trouble(&error))?
        }
        Err(error) => Err(trouble(&error)),
        Ok(opened) => opened,
    }
}

fn wish(device: &cpal::Device, side: Side, pulse: bool) -> Result<Format, cpal::Error> {
    let default = match side {
        Side::Input => device.default_input_config()?,
        Side::Output => device.default_output_config()?,
    };
    if pulse {
        // The server converts sample format and channels; its rate we match better ourselves.
        let rate = match default.sample_rate() {
            rate @ 8_000..=192_000 => rate,
            _ => SAMPLE_RATE,
        };
        let frames = rate * PULSE_BUFFER_MS / 1000;
        return Ok(Format {
            config: StreamConfig { channels: 1, sample_rate: rate, buffer_size: BufferSize::Fixed(frames) },
            sample: SampleFormat::F32,
        });
    }
    let frames = default.sample_rate() * BUFFER_MS / 1000;
    let buffer_size = match *default.buffer_size() {
        SupportedBufferSize::Range { min, max } if (min..=max).contains(&frames) => BufferSize::Fixed(frames),
        SupportedBufferSize::Range { .. } | SupportedBufferSize::Unknown => BufferSize::Default,
    };
    Ok(Format { config: StreamConfig { buffer_size, ..default.config() }, sample: default.sample_format() })
}

/// Builds and starts a stream; the outer error is cpal's, so that the caller may ask otherwise.
fn start(
    device: &cpal::Device,
    side: Side,
    format: Format,
) -> Result<Result<OpenDevice, AudioTrouble>, cpal::Error> {
    let heartbeat = Heartbeat::default();
    let (report, broken) = mpsc::channel();
    let built = match side {
        Side::Input => input::build(device, format, heartbeat.clone(), report),
        Side::Output => output::build(device, format, heartbeat.clone(), report),
    };
    let (stream, endpoint) = match built {
        Ok(built) => built,
        Err(Refusal::Cpal(error)) => return Err(error),
        Err(Refusal::Trouble(trouble)) => return Ok(Err(trouble)),
    };
    stream.play()?;
    Ok(Ok(opened(stream, endpoint, heartbeat, broken)))
}

fn opened(
    stream: cpal::Stream,
    endpoint: Endpoint,
    heartbeat: Heartbeat,
    broken: Receiver<AudioTrouble>,
) -> OpenDevice {
    OpenDevice { endpoint, heartbeat, broken, guard: Box::new(host::StreamGuard::new(stream)) }
}

/// Why a stream was not built.
enum Refusal {
    Cpal(cpal::Error),
    Trouble(AudioTrouble),
}

impl From<cpal::Error> for Refusal {
    fn from(error: cpal::Error) -> Self {
        Self::Cpal(error)
    }
}

impl From<AudioTrouble> for Refusal {
    fn from(trouble: AudioTrouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// A stream's error callback: tells the keeper what it cannot see by itself.
fn on_error(side: Side, report: Sender<AudioTrouble>) -> impl FnMut(cpal::Error) + Send + 'static {
    move |error| match error.kind() {
        ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {
            tracing::debug!(%error, ?side, "sound device notice");
        }
        _ => {
            tracing::warn!(%error, ?side, "sound device error");
            let _ = report.send(trouble(&error));
        }
    }
}

/// cpal's error in the kinds a person can act on.
fn trouble(error: &cpal::Error) -> AudioTrouble {
    match error.kind() {
        ErrorKind::PermissionDenied => AudioTrouble::PermissionDenied,
        ErrorKind::DeviceBusy => AudioTrouble::InUse,
        ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => {
            AudioTrouble::Unplugged
        }
        _ => {
            tracing::warn!(%error, "sound device failed");
            AudioTrouble::Failed
        }
    }
}

#[cfg(test)]
#[path = "native/tests.rs"]
mod tests;
