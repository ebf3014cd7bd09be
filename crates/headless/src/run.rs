//! Signs in, waits for the call to happen, hangs up, reports.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bedside_media::{
    audio::{self, InputId},
    camera::{CameraId, Cameras},
};
use bedside_protocol::{CallPhase, CallType, PresenceStatus};
use bedside_report::{Reporter, person::find_person, source::Source};
use bedside_session::{
    Engine, EngineConfig, Sources, call_thread,
    peer::NetworkOptions,
    secrets::{FileStore, MemoryStore, SecretStore},
};
use bedside_ui_contract::{
    CallView, Command as Ask, Notice, Snapshot,
    call::Direction,
    snapshot::{AccountView, PersonView},
};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::{
    cli::{Account, Cli, Command, Media, Video},
    talk,
};

/// Signing in takes no longer than this.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Devices => devices(),
        Command::Chat { account, chat } => {
            let client = Client::start(&account, Media::none(), false).await?;
            talk::chat(client, chat).await
        }
        Command::SendFile { account, send } => {
            let client = Client::start(&account, Media::none(), false).await?;
            talk::send_file(client, send).await
        }
        Command::Call { to, r#type, once_online, account, media } => {
            let mut client = Client::start(&account, media, r#type == CallType::Video).await?;
            let person = client.find(&to)?;
            if once_online {
                client.until_online(&person).await?;
            }
            client.engine.dispatch(Ask::Call { user_id: person.user_id, call_type: r#type });
            client.consult().await
        }
        Command::Answer { r#type, decline, account, media } => {
            let mut client = Client::start(&account, media, true).await?;
            let ringing = client.ring().await?;
            if decline {
                client.engine.dispatch(Ask::Decline);
                client.engine.close().await;
                return Ok(ExitCode::SUCCESS);
            }
            client.reporter.answered(Instant::now());
            client.engine.dispatch(Ask::Answer { call_type: r#type.unwrap_or(ringing.call_type) });
            client.consult().await
        }
    }
}

fn devices() -> anyhow::Result<ExitCode> {
    let names = |list: Vec<String>| serde_json::json!(list);
    let listed = serde_json::json!({
        "cameras": names(Cameras::default().list()),
        "microphones": names(audio::inputs().into_iter().map(|info| info.name).collect()),
        "speakers": names(audio::outputs().into_iter().map(|info| info.name).collect()),
    });
    println!("{}", serde_json::to_string_pretty(&listed)?);
    Ok(ExitCode::SUCCESS)
}

/// A signed-in engine.
pub(crate) struct Client {
    pub(crate) engine: Engine,
    reporter: Reporter,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    media: Media,
    /// Made for this run, removed with it.
    _profile: Option<TempDir>,
}

impl Client {
    async fn start(account: &Account, media: Media, video: bool) -> anyhow::Result<Self> {
        let password = std::fs::read_to_string(&account.password_file)
            .with_context(|| format!("reading the password from {}", account.password_file.display()))?;
        let (profile, secrets, temporary) = match &account.profile {
            Some(profile) => {
                let keys = account.key_file.clone().unwrap_or_else(|| profile.join("keys.json"));
                let secrets: Arc<dyn SecretStore> = Arc::new(FileStore::new(keys));
                (profile.clone(), secrets, None)
            }
            None => {
                let folder = tempfile::tempdir()?;
                let secrets: Arc<dyn SecretStore> = Arc::new(MemoryStore::default());
                (folder.path().to_owned(), secrets, Some(folder))
            }
        };
        let reporter = Reporter::new(media.measures.clone())?;
        let camera = match &media.video {
            Video::Camera(Source::Given(id)) => Some(id.clone()),
            Video::Camera(Source::Machine) => {
                let cameras = Cameras::default().list();
                Some(CameraId::Native(cameras.into_iter().next().context("this machine has no camera")?))
            }
            Video::None => None,
        };
        let engine = Engine::start(EngineConfig {
            profile,
            secrets,
            sources: Sources {
                cameras: camera.filter(|_| video).into_iter().collect(),
                machine: Cameras::default(),
                stamp: media.stamp,
                microphones: vec![media.audio.clone().given().unwrap_or(InputId::Default)],
                speakers: vec![media.speaker.clone()],
            },
            network: NetworkOptions::default(),
            tap: Some(reporter.tap()),
            idle: None,
            calls: call_thread().context("no thread for calls could be started")?,
            seed: u64::from(std::process::id()),
        })?;
        let snapshots = engine.snapshots();
        engine.dispatch(Ask::SignIn {
            server_url: account.server.clone(),
            login: account.login.clone(),
            password: password.trim_end_matches(['\r', '\n']).to_owned(),
        });
        let mut client = Self { engine, reporter, snapshots, media, _profile: temporary };
        client.signed_in().await?;
        Ok(client)
    }

    /// What a window would show.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Waits until a snapshot says what is wanted.
    pub(crate) async fn until<T>(
        &mut self,
        timeout: Duration,
        waiting_for: &str,
        mut wanted: impl FnMut(&Snapshot) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let waiting = async {
            loop {
                let snapshot = self.snapshots.borrow_and_update().clone();
                if let Some(found) = wanted(&snapshot)? {
                    return Ok(found);
                }
                self.snapshots.changed().await.context("the engine stopped")?;
            }
        };
        tokio::time::timeout(timeout, waiting)
            .await
            .with_context(|| format!("waited too long for {waiting_for}"))?
    }

    async fn signed_in(&mut self) -> anyhow::Result<()> {
        self.until(SIGN_IN_TIMEOUT, "signing in", |snapshot| match &snapshot.account {
            AccountView::SignedIn { .. } if snapshot.people_loaded => Ok(Some(())),
            AccountView::SignedOut { failure: Some(failure), .. } => bail!("signing in failed: {failure:?}"),
            AccountView::SignedIn { .. }
            | AccountView::SignedOut { .. }
            | AccountView::Restoring
            | AccountView::SigningIn => Ok(None),
        })
        .await
    }

    pub(crate) fn find(&self, name: &str) -> anyhow::Result<PersonView> {
        let snapshot = self.snapshots.borrow();
        Ok(find_person(&snapshot.people, name).with_context(|| name.to_owned())?.clone())
    }

    async fn until_online(&mut self, person: &PersonView) -> anyhow::Result<()> {
        let patience = Duration::from_secs(self.media.patience);
        self.until(patience, "the person to be online", |snapshot| {
            let mut people = snapshot.people.iter();
            let online =
                people.any(|one| one.user_id == person.user_id && one.status != PresenceStatus::Offline);
            Ok(online.then_some(()))
        })
        .await
    }

    async fn ring(&mut self) -> anyhow::Result<CallView> {
        let patience = Duration::from_secs(self.media.patience);
        self.until(patience, "a call", |snapshot| {
            let ringing =
                |call: &&CallView| call.direction == Direction::Incoming && call.phase == CallPhase::Ringing;
            Ok(snapshot.call.as_ref().filter(ringing).cloned())
        })
        .await
    }

    /// Lives through the call that was placed or answered, and reports it.
    async fn consult(mut self) -> anyhow::Result<ExitCode> {
        let begun = Instant::now();
        let patience = Duration::from_secs(self.media.patience);
        let length = Some(Duration::from_secs(self.media.seconds)).filter(|length| !length.is_zero());
        let mut stats = self.engine.stats();
        let mut hung_up = false;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                changed = self.snapshots.changed() => changed.context("the engine stopped")?,
                Ok(sample) = stats.recv() => { self.reporter.add(sample); continue; }
                _ = tokio::signal::ctrl_c() => self.engine.dispatch(Ask::HangUp),
                _ = tick.tick() => {}
            }
            let snapshot = self.snapshots.borrow_and_update().clone();
            let Some(call) = &snapshot.call else {
                if self.reporter.has_begun() || refused(&snapshot) || begun.elapsed() > patience {
                    break;
                }
                continue;
            };
            self.reporter.see(call);
            if self.reporter.is_over() {
                break;
            }
            let enough = match self.reporter.connected() {
                Some(since) => length.is_some_and(|length| since.elapsed() >= length),
                None => begun.elapsed() > patience,
            };
            if enough && !std::mem::replace(&mut hung_up, true) {
                self.engine.dispatch(Ask::HangUp);
            }
        }
        self.engine.close().await;
        self.reporter.write(&self.reporter.report())?;
        Ok(if self.reporter.connected().is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Takes leave, once the last receipts have gone: the other side waits for them, and nothing here tells when they are
    /// written.
    pub(crate) async fn leave(&self) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.engine.close().await;
    }
}

/// Whether the call that was asked for will not come about.
fn refused(snapshot: &Snapshot) -> bool {
    snapshot
        .notices
        .iter()
        .any(|shown| matches!(shown.notice, Notice::Failed { .. } | Notice::PeerBusy { .. }))
}
