//! What an installation remembers between starts: server, name, device id, chosen devices, settings.
//!
//! One small TOML file, written whole to a temporary file and renamed, so that a kill at any instant leaves the
//! old or the new one. Never holds a secret.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use bedside_protocol::{DeviceId, Pii, UserId, user::UserProfile};
use bedside_ui_contract::snapshot::Settings;
use serde::{Deserialize, Serialize};

/// Why the profile could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The folder or file can't be used.
    #[error("the profile folder can't be used: check its permissions and the free space")]
    Io(#[from] io::Error),
    /// What was to be written has no TOML form.
    #[error("the profile could not be written")]
    Format(#[from] toml::ser::Error),
}

/// The remembered values. Every one has a default: a missing or damaged file is a new profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    /// Where the clinic's server is.
    pub server_url: String,
    /// The clinic's name.
    pub clinic_name: Option<String>,
    /// The name used to sign in last.
    pub login: Pii<String>,
    /// Who is signed in, as the server said last: whose messages are opened while it can't be asked.
    pub user: Option<UserProfile>,
    /// The id the server gave this installation.
    pub device_id: Option<DeviceId>,
    /// The ids it gave to others who sign in here, by the name they sign in with.
    pub devices: BTreeMap<String, DeviceId>,
    /// The account that holds the clinic's archive key.
    pub archive: Option<UserId>,
    /// The chosen camera's name.
    pub camera: Option<String>,
    /// The chosen microphone's name.
    pub microphone: Option<String>,
    /// The chosen speaker's name.
    pub speaker: Option<String>,
    /// What the person has set.
    pub settings: Settings,
}

/// The profile of one installation, in its own folder.
#[derive(Debug)]
pub struct Profile {
    file: PathBuf,
    remembered: Remembered,
}

impl Profile {
    /// Opens the profile in `folder`, making the folder where there is none.
    ///
    /// # Errors
    /// When the folder can't be made or the file can't be read. A file with damaged content is set aside as
    /// `profile.toml.damaged` and a new profile begins.
    pub fn open(folder: &Path) -> Result<Self, ProfileError> {
        fs::create_dir_all(folder)?;
        let file = folder.join("profile.toml");
        let remembered = match fs::read_to_string(&file) {
            Ok(text) => match toml::from_str(&text) {
                Ok(remembered) => remembered,
                Err(_) => {
                    tracing::warn!("the profile is damaged; it is set aside and a new one begins");
                    fs::rename(&file, file.with_extension("toml.damaged"))?;
                    Remembered::default()
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Remembered::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file, remembered })
    }

    /// The folder, for what has its own files there.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.file.parent().map(Path::to_path_buf).unwrap_or_default()
    }

    /// What is remembered.
    #[must_use]
    pub const fn get(&self) -> &Remembered {
        &self.remembered
    }

    /// Changes what is remembered and writes it down.
    ///
    /// # Errors
    /// When it can't be written; the change then lasts until the process ends.
    pub fn update(&mut self, change: impl FnOnce(&mut Remembered)) -> Result<(), ProfileError> {
        let before = self.remembered.clone();
        change(&mut self.remembered);
        if self.remembered == before {
            return Ok(());
        }
        let text = toml::to_string_pretty(&self.remembered)?;
        let temporary = self.file.with_extension("toml.new");
        fs::write(&temporary, text)?;
        fs::rename(&temporary, &self.file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("bedside-profile-{name}-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_was_remembered_is_there_after_a_restart() {
        let folder = folder("restart");
        let mut profile = Profile::open(&folder).unwrap();
        profile.update(|r| r.server_url = "https://clinic.example".into()).unwrap();
        assert_eq!(Profile::open(&folder).unwrap().get().server_url, "https://clinic.example");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_damaged_profile_is_set_aside_and_nothing_stops() {
        let folder = folder("damaged");
        fs::write(folder.join("profile.toml"), "server_url = [").unwrap();
        assert_eq!(Profile::open(&folder).unwrap().get(), &Remembered::default());
        assert!(folder.join("profile.toml.damaged").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
