//! What an installation remembers between starts: server, name, device id, chosen devices, settings.
//!
//! One small TOML file, written whole to a temporary file and renamed, so that a kill at any instant leaves the
//! old or the new one. Never holds a secret.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use bedside_protocol::{DeviceId, Pii, PresenceStatus, UserId, user::UserProfile};
use bedside_ui_contract::snapshot::Settings;
use serde::{Deserialize, Serialize};

use crate::private;

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
    /// The id the server gave this installation, in the sign-in that is kept in the keyring.
    pub device_id: Option<DeviceId>,
    /// Who has keys here that outlive a run, by [`account_name`].
    pub accounts: BTreeMap<String, Installation>,
    /// Whose keys ended with the run that made them, the oldest first.
    pub passing: Vec<Installation>,
    /// The account that holds the clinic's archive key.
    pub archive: Option<UserId>,
    /// The chosen camera's name.
    pub camera: Option<String>,
    /// The chosen microphone's name.
    pub microphone: Option<String>,
    /// The chosen speaker's name.
    pub speaker: Option<String>,
    /// How people chose to be seen who did not choose "online".
    pub statuses: BTreeMap<UserId, PresenceStatus>,
    /// What the person has set.
    pub settings: Settings,
}

/// An account on this computer, as one device of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// Whose.
    pub user: UserId,
    /// The id the server gave it.
    pub device: DeviceId,
}

/// Devices of past runs that are remembered.
const MOST_PASSING: usize = 32;

/// What an account is known by before its server is asked: where it signs in, and as whom.
#[must_use]
pub fn account_name(server_url: &str, login: &str) -> String {
    format!("{} at {server_url}", login.trim().to_lowercase())
}

impl Remembered {
    /// Notes that keys were made, or found, and whether they outlive this run.
    pub fn has_keys(&mut self, installation: Installation, lasting: bool) {
        self.passing.retain(|passing| *passing != installation);
        if lasting {
            let name = account_name(&self.server_url, self.login.reveal());
            self.accounts.insert(name, installation);
        } else {
            self.passing.push(installation);
            let surplus = self.passing.len().saturating_sub(MOST_PASSING);
            self.passing.drain(..surplus);
        }
    }

    /// Notes how somebody wants to be seen.
    pub fn chose_status(&mut self, user: UserId, status: PresenceStatus) {
        if status == PresenceStatus::Online {
            self.statuses.remove(&user);
        } else {
            self.statuses.insert(user, status);
        }
    }

    /// How somebody wants to be seen.
    #[must_use]
    pub fn status(&self, user: UserId) -> PresenceStatus {
        self.statuses.get(&user).copied().unwrap_or(PresenceStatus::Online)
    }

    /// Whether keys were there for it in any run.
    #[must_use]
    pub fn had_keys(&self, installation: Installation) -> bool {
        self.passing.contains(&installation) || self.accounts.values().any(|known| *known == installation)
    }

    /// Devices that somebody was in earlier runs and can't be again.
    #[must_use]
    pub fn gone(&self, now: Installation) -> Vec<DeviceId> {
        let theirs = self.passing.iter().filter(|gone| gone.user == now.user && gone.device != now.device);
        theirs.map(|gone| gone.device).collect()
    }
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
        let file = folder.join("profile.toml");
        private::folder(folder, &file)?;
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
        Ok(private::write(&self.file, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_remembered_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut profile = Profile::open(folder.path()).unwrap();
        profile.update(|r| r.server_url = "https://clinic.example".into()).unwrap();
        assert_eq!(Profile::open(folder.path()).unwrap().get().server_url, "https://clinic.example");
    }

    #[test]
    fn how_somebody_wants_to_be_seen_is_kept_for_each_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut profile = Profile::open(folder.path()).unwrap();
        let [busy, back, other] = [(); 3].map(|()| UserId::random());
        for (user, status) in [
            (busy, PresenceStatus::DoNotDisturb),
            (back, PresenceStatus::Away),
            (back, PresenceStatus::Online),
        ] {
            profile.update(|remembered| remembered.chose_status(user, status)).unwrap();
        }
        let again = Profile::open(folder.path()).unwrap();
        let seen = [busy, back, other].map(|user| again.get().status(user));
        assert_eq!(seen, [PresenceStatus::DoNotDisturb, PresenceStatus::Online, PresenceStatus::Online]);
    }

    #[test]
    fn whose_keys_end_with_a_run_is_gone_in_the_next_one_until_they_are_kept() {
        let mut remembered = Remembered { server_url: "https://clinic.example".into(), ..Default::default() };
        let user = UserId::random();
        let [first, second] = [(); 2].map(|()| Installation { user, device: DeviceId::random() });
        remembered.has_keys(first, false);
        remembered.has_keys(second, false);
        assert_eq!(remembered.gone(second), [first.device]);
        remembered.has_keys(first, true);
        assert_eq!(remembered.gone(second), []);
        assert!(remembered.had_keys(first) && remembered.had_keys(second));
        for _ in 0..2 * MOST_PASSING {
            remembered.has_keys(Installation { user, device: DeviceId::random() }, false);
        }
        assert_eq!(remembered.passing.len(), MOST_PASSING);
    }

    #[test]
    fn a_damaged_profile_is_set_aside_and_nothing_stops() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("profile.toml"), "server_url = [").unwrap();
        assert_eq!(Profile::open(folder.path()).unwrap().get(), &Remembered::default());
        assert!(folder.path().join("profile.toml.damaged").exists());
    }
}
