//! The command line.

use std::path::PathBuf;

use bedside_media::{
    audio::{InputId, OutputId},
    camera::CameraId,
};
use bedside_protocol::CallType;
use bedside_report::{
    Measures,
    source::{self, Source},
};
use clap::{Args, Parser, Subcommand};

/// Bedside's client engine without a window.
#[derive(Debug, Parser)]
#[command(name = "bedside-headless", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call somebody and report the call.
    Call {
        /// The person's name as the clinic has it, or a part that only one person's name has.
        #[arg(long)]
        to: String,
        /// With picture or with sound alone.
        #[arg(long, default_value = "video", value_parser = call_type)]
        r#type: CallType,
        /// Wait until the person is online; a call to somebody who is not is missed at once.
        #[arg(long)]
        once_online: bool,
        #[command(flatten)]
        account: Account,
        #[command(flatten)]
        media: Media,
    },
    /// Wait for a call, answer it and report it.
    Answer {
        /// With picture or with sound alone; as the caller wants it when absent.
        #[arg(long, value_parser = call_type)]
        r#type: Option<CallType>,
        /// Decline instead.
        #[arg(long)]
        decline: bool,
        #[command(flatten)]
        account: Account,
        #[command(flatten)]
        media: Media,
    },
    /// Write messages, wait for others' and save the files that come.
    Chat {
        #[command(flatten)]
        account: Account,
        #[command(flatten)]
        chat: ChatOptions,
    },
    /// Send files to somebody.
    SendFile {
        #[command(flatten)]
        account: Account,
        #[command(flatten)]
        send: SendOptions,
    },
    /// List cameras, microphones and speakers as JSON.
    Devices,
}

/// Where and as whom.
#[derive(Debug, Args)]
pub(crate) struct Account {
    /// The clinic's server.
    #[arg(long, env = "BEDSIDE_SERVER")]
    pub(crate) server: String,
    /// The account's name.
    #[arg(long)]
    pub(crate) login: String,
    /// A file that holds the password and nothing else.
    #[arg(long)]
    pub(crate) password_file: PathBuf,
    /// Where the profile lives; a temporary folder when absent.
    #[arg(long)]
    pub(crate) profile: Option<PathBuf>,
    /// Where the profile's keys are kept, unencrypted; `keys.json` in its folder when absent.
    #[arg(long, requires = "profile")]
    pub(crate) key_file: Option<PathBuf>,
}

/// What is written and waited for.
#[derive(Debug, Args)]
pub(crate) struct ChatOptions {
    /// The other person's name, or a part that only one person's name has; without it, the first conversation there is.
    #[arg(long)]
    pub(crate) with: Option<String>,
    /// A message to send; may be repeated.
    #[arg(long)]
    pub(crate) send: Vec<String>,
    /// Send this many messages that carry their time, for the other side to measure their age.
    #[arg(long, default_value_t = 0)]
    pub(crate) count: usize,
    /// Between two of them, ms.
    #[arg(long, default_value_t = 50)]
    pub(crate) interval_ms: u64,
    /// Wait for this many texts of others.
    #[arg(long, default_value_t = 0)]
    pub(crate) expect: usize,
    /// Save the files that come into this folder.
    #[arg(long)]
    pub(crate) save_files: Option<PathBuf>,
    /// Wait for this many files to be saved.
    #[arg(long, default_value_t = 0, requires = "save_files")]
    pub(crate) expect_files: usize,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 90)]
    pub(crate) patience: u64,
    /// Write the report here; `-` is standard output.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
}

/// What is sent to whom.
#[derive(Debug, Args)]
pub(crate) struct SendOptions {
    /// The other person's name, or a part that only one person's name has.
    #[arg(long)]
    pub(crate) to: String,
    /// The files.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 900)]
    pub(crate) patience: u64,
    /// Write the report here; `-` is standard output.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
}

impl Media {
    /// Nothing seen, nothing heard, nothing said.
    pub(crate) fn none() -> Self {
        Self {
            video: Video::None,
            audio: Source::Given(InputId::Silence),
            speaker: OutputId::Null,
            stamp: false,
            measures: Measures::default(),
            seconds: 0,
            patience: 0,
        }
    }
}

/// Sources, sinks and the report.
#[derive(Debug, Args)]
pub(crate) struct Media {
    /// `pattern`, `film:FILE` (Y4M), `camera`, `camera:NAME` or `none`.
    #[arg(long, default_value = "pattern", value_parser = video)]
    pub(crate) video: Video,
    /// `tone`, `speech:FILE` (WAV), `mic`, `mic:NAME` or `silence`.
    #[arg(long, default_value = "tone", value_parser = source::microphone)]
    pub(crate) audio: Source<InputId>,
    /// `null`, `default` or a speaker's name.
    #[arg(long, default_value = "null", value_parser = source::speaker)]
    pub(crate) speaker: OutputId,
    /// Burn the time into the picture, so that the other side can measure its age.
    #[arg(long)]
    pub(crate) stamp: bool,
    #[command(flatten)]
    pub(crate) measures: Measures,
    /// Hang up after this many seconds of conversation; 0 waits for the other side.
    #[arg(long, default_value_t = 0)]
    pub(crate) seconds: u64,
    /// Give up when there is no conversation after this many seconds.
    #[arg(long, default_value_t = 90)]
    pub(crate) patience: u64,
}

/// Where the picture comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Video {
    /// A camera, or what takes its place.
    Camera(Source<CameraId>),
    /// No picture.
    None,
}

fn video(text: &str) -> Result<Video, String> {
    match text {
        "none" => Ok(Video::None),
        text => source::camera(text).map(Video::Camera).map_err(|expected| expected + ", or none"),
    }
}

fn call_type(text: &str) -> Result<CallType, String> {
    match text {
        "video" => Ok(CallType::Video),
        "voice" => Ok(CallType::Voice),
        _ => Err("expected video or voice".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_call_can_be_without_a_picture() {
        assert_eq!(video("none"), Ok(Video::None));
        assert_eq!(video("camera"), Ok(Video::Camera(Source::Machine)));
        assert!(video("film:nowhere.y4m").is_err_and(|text| text.contains("nowhere.y4m")));
    }
}
