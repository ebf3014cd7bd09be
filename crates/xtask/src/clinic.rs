//! A sample clinic on this machine: the server on a free port of loopback, its data in a folder that goes with it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    processes::{Running, wait_until},
    shell,
    workspace::{self, Profile},
};

/// A running server with a doctor and a patient who know each other.
pub(crate) struct Clinic {
    // Before `folder`, so that the server has ended when its data goes.
    pub(crate) server: Running,
    pub(crate) url: String,
    pub(crate) doctor: Person,
    pub(crate) patient: Person,
    folder: Folder,
}

/// Somebody with an account.
pub(crate) struct Person {
    pub(crate) login: String,
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) password_file: PathBuf,
}

impl Clinic {
    /// Makes the clinic and starts its server. Everything must have been built.
    pub(crate) fn open(profile: Profile) -> Result<Self> {
        let folder = Folder::new()?;
        let database = folder.0.join("clinic.sqlite");
        let binary = profile.binary("bedside-server");
        let told = shell::read(shell::program(&binary).arg("demo-clinic").arg("--database").arg(&database))
            .context("the sample clinic could not be made")?;
        let people: Value = serde_json::from_str(&told).context("the sample clinic's people are not JSON")?;
        let person = |role: &str| person(&people, role, &folder.0);
        let (doctor, patient) = (person("clinician")?, person("patient")?);

        let log = fs::File::create(folder.0.join("server.log"))?;
        let mut server = Running::start(
            "the server",
            shell::program(&binary)
                .args(["serve", "--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0", "--database"])
                .arg(&database)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(log),
        )?;
        let url = match address(&mut server) {
            Ok(url) => url,
            Err(error) => {
                let log = fs::read_to_string(folder.0.join("server.log")).unwrap_or_default();
                bail!("{error:#}\n{log}");
            }
        };
        Ok(Self { server, url, doctor, patient, folder })
    }

    /// A folder that goes with the clinic.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder.0
    }
}

fn person(people: &Value, role: &str, folder: &Path) -> Result<Person> {
    let found = people
        .as_array()
        .or_else(|| people["users"].as_array())
        .into_iter()
        .flatten()
        .find(|person| person["role"] == role)
        .with_context(|| format!("the sample clinic has no {role}"))?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let login = text("login");
    let password_file = folder.join(format!("{login}.password"));
    fs::write(&password_file, text("password"))?;
    Ok(Person { login, name: text("name"), password: text("password"), password_file })
}

/// Reads the server's output until it says where it listens, and on, so that it is never blocked.
fn address(server: &mut Running) -> Result<String> {
    let output = BufReader::new(server.output()?);
    let (say, said) = mpsc::channel();
    thread::Builder::new().name("server-output".to_owned()).spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if let Some(url) =
                line.split(|mark: char| mark.is_whitespace() || mark == '"').find(|word| is_url(word))
            {
                // The receiver is gone once the address is known.
                let _ = say.send(url.to_owned());
            }
        }
    })?;
    let mut url = None;
    wait_until("the server to listen", Duration::from_secs(20), || {
        if let Some(status) = server.ended()? {
            bail!("the server ended at once ({status})");
        }
        url = said.try_recv().ok();
        Ok(url.is_some())
    })?;
    url.context("the server said no address")
}

fn is_url(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

/// A folder that is removed with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let folder = workspace::target().join(format!("xtask/clinic-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("  {} could not be removed: {error}", self.0.display());
        }
    }
}
