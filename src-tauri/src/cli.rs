//! The command line of the app. Most people never use it.

use std::path::PathBuf;

use bedside_media::{
    audio::{InputId, OutputId},
    camera::{CameraId, Cameras},
};
use bedside_report::{
    Measures,
    source::{self, Source},
};
use bedside_session::{Sources, idle::IDLE_AFTER};
use clap::Parser;

/// Bedside: video consultations.
#[derive(Debug, Parser)]
#[command(name = "bedside", version)]
pub struct Cli {
    /// Keep settings, sign-in and window data in this folder; several apps with different ones run side by side.
    #[arg(long, value_name = "DIR")]
    pub(crate) profile: Option<PathBuf>,
    /// Offer this server's address for signing in.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Keep the sign-in in memory instead of the system's keyring: it lasts until the app is closed.
    #[arg(long)]
    pub(crate) no_keyring: bool,
    /// `pattern`, `film:FILE` (Y4M), `camera` (the one chosen in the settings) or `camera:NAME`. Given several times,
    /// the first is used and the others can be chosen.
    #[arg(long, value_name = "SOURCE", value_parser = source::camera)]
    pub(crate) video: Vec<Source<CameraId>>,
    /// `tone`, `speech:FILE` (WAV), `silence`, `mic` (the one chosen in the settings) or `mic:NAME`; several as above.
    #[arg(long, value_name = "SOURCE", value_parser = source::microphone)]
    pub(crate) audio: Vec<Source<InputId>>,
    /// `null`, `default` or a speaker's name; several as above.
    #[arg(long, value_name = "SINK", value_parser = source::speaker)]
    pub(crate) speaker: Vec<OutputId>,
    /// Burn a frame counter and the time into the picture, to measure its age at the other side.
    #[arg(long)]
    pub(crate) stamp: bool,
    /// Seconds without keyboard or pointer after which others see that nobody is at this computer.
    #[arg(long, value_name = "SECONDS", default_value_t = IDLE_AFTER.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) idle_after: u64,
    /// Sign in at once, as this account.
    #[arg(long, value_name = "NAME", requires_all = ["server", "password_file"])]
    pub(crate) login: Option<String>,
    /// A file that holds the password and nothing else.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Once signed in, call the one person whose name has this in it, as soon as they are online.
    #[arg(long, value_name = "NAME", conflicts_with = "answer")]
    pub(crate) call: Option<String>,
    /// Answer the first call with video.
    #[arg(long)]
    pub(crate) answer: bool,
    /// Seconds that pass before it calls, once the person is online, or answers, once it rings.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) after: u64,
    /// Of the first call, when it is over or the app is ended.
    #[command(flatten)]
    pub(crate) measures: Measures,
}

impl Cli {
    /// The devices that take the place of the chosen ones.
    pub(crate) fn sources(&self) -> Sources {
        Sources {
            cameras: self.video.iter().cloned().filter_map(Source::given).collect(),
            machine: Cameras::default(),
            stamp: self.stamp,
            microphones: self.audio.iter().cloned().filter_map(Source::given).collect(),
            speakers: self.speaker.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["bedside"].iter().chain(arguments))
    }

    #[test]
    fn without_flags_every_device_is_the_persons_choice() {
        let sources = parse(&[]).unwrap().sources();
        assert!(sources.cameras.is_empty() && sources.microphones.is_empty() && sources.speakers.is_empty());
    }

    #[test]
    fn virtual_devices_are_named_as_in_the_headless_client() {
        let cli = parse(&["--video", "pattern", "--audio", "tone", "--speaker", "null", "--stamp"]).unwrap();
        let sources = cli.sources();
        assert_eq!(sources.cameras, [CameraId::Pattern]);
        assert_eq!(sources.microphones, [InputId::Tone]);
        assert_eq!(sources.speakers, [OutputId::Null]);
        assert!(sources.stamp);
    }

    #[test]
    fn several_virtual_devices_are_given_in_their_order() {
        let cli = parse(&["--audio", "tone", "--audio", "silence"]).unwrap();
        assert_eq!(cli.sources().microphones, [InputId::Tone, InputId::Silence]);
    }
}
