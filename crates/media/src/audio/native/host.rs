//! Which sound system is used, and what its device lists mean.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};

use crate::audio::Side;
use crate::audio::backend::DeviceEntry;

const PULSE: &str = "PulseAudio";
const ALSA: &str = "ALSA";

/// The sound system in use; found again when it went away.
#[derive(Default)]
pub(super) struct HostSlot {
    host: Option<cpal::Host>,
}

impl HostSlot {
    /// True when devices are a sound server's, which converts formats by itself.
    pub(super) fn is_pulse(&self) -> bool {
        self.name() == PULSE
    }

    fn name(&self) -> &'static str {
        self.host.as_ref().map_or("", |host| host.id().name())
    }

    /// The best sound system that answers. ALSA is only kept until a sound server is there.
    fn refresh(&mut self) {
        if self.host.is_some() && self.name() != ALSA {
            return;
        }
        self.host = cpal::available_hosts().into_iter().find_map(|id| cpal::host_from_id(id).ok());
    }

    /// The devices of a side, default first.
    pub(super) fn entries(&mut self, side: Side) -> Vec<DeviceEntry> {
        self.refresh();
        let name = self.name();
        let devices = match self.host.as_ref().map(HostTrait::devices) {
            Some(Ok(devices)) => devices,
            Some(Err(error)) => {
                tracing::debug!(%error, "the sound system does not list devices");
                self.host = None;
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let default = self.default_id(side);
        let mut entries: Vec<DeviceEntry> = devices
            .filter(|device| serves(device, side))
            .filter_map(|device| {
                let id = device.id().ok()?.to_string();
                Some(DeviceEntry {
                    name: device.to_string(),
                    is_default: default.as_deref() == Some(&id),
                    id,
                })
            })
            .collect();
        retain_usable(name, &mut entries);
        entries.sort_by_key(|entry| !entry.is_default);
        entries
    }

    /// The device with this id.
    pub(super) fn device(&mut self, side: Side, id: &str) -> Option<cpal::Device> {
        self.refresh();
        let mut devices = self.host.as_ref()?.devices().ok()?;
        devices.find(|device| serves(device, side) && device.id().is_ok_and(|known| known.to_string() == id))
    }

    fn default_id(&self, side: Side) -> Option<String> {
        let host = self.host.as_ref()?;
        let device = match side {
            Side::Input => host.default_input_device(),
            Side::Output => host.default_output_device(),
        }?;
        Some(device.id().ok()?.to_string())
    }
}

fn serves(device: &cpal::Device, side: Side) -> bool {
    match side {
        Side::Input => device.supports_input(),
        Side::Output => device.supports_output(),
    }
}

/// Leaves out what is no microphone and no speaker in a person's eyes.
fn retain_usable(host: &str, entries: &mut Vec<DeviceEntry>) {
    if host == PULSE {
        // What a speaker plays is not a microphone: it would send the caller back to themselves.
        entries.retain(|entry| !entry.id.ends_with(".monitor"));
    } else if host == ALSA {
        // Of ALSA's dozens of plug-ins: the default, and each card with format conversion.
        let cards = entries.iter().any(|entry| entry.id.contains("CARD="));
        entries.retain(|entry| {
            let pcm = entry.id.split_once(':').map_or("", |(_, pcm)| pcm);
            let numbered = pcm
                .split_once("CARD=")
                .is_some_and(|(_, card)| card.starts_with(|c: char| c.is_ascii_digit()));
            cards && (pcm == "default" || (pcm.starts_with("plughw:") && !numbered))
        });
    }
}

/// Closes a stream, when dropped, without waiting for a hung sound server.
pub(super) struct StreamGuard {
    stream: Option<cpal::Stream>,
}

/// A server that needs longer to close a stream is left behind.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

impl StreamGuard {
    pub(super) fn new(stream: cpal::Stream) -> Self {
        Self { stream: Some(stream) }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let stream = self.stream.take();
        let (done, closed) = mpsc::channel();
        let closer = thread::Builder::new().name("audio-close".into()).spawn(move || {
            drop(stream);
            let _ = done.send(());
        });
        if closer.is_ok() && closed.recv_timeout(CLOSE_LIMIT).is_err() {
            tracing::warn!("a sound device did not close in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(host: &str, ids: &[&str]) -> Vec<String> {
        let mut entries = ids
            .iter()
            .map(|id| DeviceEntry { id: (*id).to_owned(), name: (*id).to_owned(), is_default: false })
            .collect();
        retain_usable(host, &mut entries);
        entries.into_iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn a_speakers_monitor_is_no_microphone() {
        let ids = ["pulseaudio:mic", "pulseaudio:spk.monitor"];
        assert_eq!(kept(PULSE, &ids), ["pulseaudio:mic"]);
    }

    #[test]
    fn of_alsas_plugins_cards_remain() {
        let ids = [
            "alsa:null",
            "alsa:default",
            "alsa:plughw:CARD=PCH,DEV=0",
            "alsa:plughw:CARD=0,DEV=0",
            "alsa:dmix:CARD=PCH,DEV=0",
        ];
        assert_eq!(kept(ALSA, &ids), ["alsa:default", "alsa:plughw:CARD=PCH,DEV=0"]);
        assert!(kept(ALSA, &["alsa:null", "alsa:default"]).is_empty());
    }
}
