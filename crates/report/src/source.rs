//! Cameras, microphones and speakers as a command line names them.

use std::{convert::Infallible, path::PathBuf};

use bedside_media::{
    audio::{InputId, OutputId},
    camera::CameraId,
};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source<Id> {
    /// This machine's, without saying which.
    Machine,
    /// This one.
    Given(Id),
}

impl<Id> Source<Id> {
    /// The one that was named.
    pub fn given(self) -> Option<Id> {
        match self {
            Source::Machine => None,
            Source::Given(id) => Some(id),
        }
    }
}

/// `pattern`, `film:FILE`, `camera` or `camera:NAME`.
///
/// # Errors
///
/// With what was expected, for anything else and for a film that is not there.
pub fn camera(text: &str) -> Result<Source<CameraId>, String> {
    match text.split_once(':') {
        None if text == "camera" => Ok(Source::Machine),
        None if text == "pattern" => Ok(Source::Given(CameraId::Pattern)),
        Some(("film", file)) => Ok(Source::Given(CameraId::Film(existing(file)?))),
        Some(("camera", name)) => Ok(Source::Given(CameraId::Native(name.to_owned()))),
        _ => Err("expected pattern, film:FILE, camera or camera:NAME".into()),
    }
}

/// `tone`, `speech:FILE`, `silence`, `mic` or `mic:NAME`.
///
/// # Errors
///
/// With what was expected, for anything else and for a recording that is not there.
pub fn microphone(text: &str) -> Result<Source<InputId>, String> {
    match text.split_once(':') {
        None if text == "mic" => Ok(Source::Machine),
        None if text == "tone" => Ok(Source::Given(InputId::Tone)),
        None if text == "silence" => Ok(Source::Given(InputId::Silence)),
        Some(("speech", file)) => Ok(Source::Given(InputId::File(existing(file)?))),
        Some(("mic", name)) => Ok(Source::Given(InputId::Native(name.to_owned()))),
        _ => Err("expected tone, speech:FILE, silence, mic or mic:NAME".into()),
    }
}

/// `null`, `default` or a speaker's name.
///
/// # Errors
///
/// Never; the shape is that of the others.
pub fn speaker(text: &str) -> Result<OutputId, Infallible> {
    Ok(match text {
        "null" => OutputId::Null,
        "default" => OutputId::Default,
        name => OutputId::Native(name.to_owned()),
    })
}

fn existing(file: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(file);
    if path.is_file() { Ok(path) } else { Err(format!("there is no file {file}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_read_as_documented() {
        let named = Source::Given(CameraId::Native("Logitech C920".into()));
        assert_eq!(camera("camera:Logitech C920"), Ok(named));
        assert_eq!(camera("camera").map(Source::given), Ok(None));
        assert_eq!(microphone("mic"), Ok(Source::Machine));
        assert!(microphone("song").is_err());
    }

    #[test]
    fn a_film_that_is_not_there_is_refused_with_its_name() {
        assert!(camera("film:/nowhere/at-all.y4m").is_err_and(|text| text.contains("/nowhere/at-all.y4m")));
    }
}
