//! A clinic in one process: a real server on loopback with a database of its own, people, and their engines with
//! virtual devices.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bedside_media::{
    audio::{InputId, OutputId, compare, tone_sample},
    camera::{CameraId, Cameras},
    frame::I420,
    stamp,
};
use bedside_protocol::{AttachmentId, Pii, Role, Secret, SessionId};
use bedside_server::{
    Config, RunningServer,
    accounts::{Accounts, NewUser},
    auth::password::Passwords,
    fault::Fault,
};
use bedside_session::{
    Engine, EngineConfig, Sources,
    idle::IdleOptions,
    peer::NetworkOptions,
    secrets::{MemoryStore, SecretStore},
    tap::MediaTap,
};
use bedside_ui_contract::{CallView, Command, Snapshot, snapshot::AccountView};
use tempfile::TempDir;
use tokio::sync::watch;

/// Everybody's password here.
pub const PASSWORD: &str = "tulip anvil nine";

/// Nothing in a test takes longer unless it never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running clinic.
pub struct Clinic {
    server: RunningServer,
    config: Config,
    folder: TempDir,
}

impl Clinic {
    /// A server without people.
    ///
    /// # Panics
    /// When the server does not start.
    pub async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// The same with other settings.
    ///
    /// # Panics
    /// When the server does not start.
    pub async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::for_tests(folder.path().join("clinic.db"));
        change(&mut config);
        let server = bedside_server::start(config.clone()).await.expect("the server starts");
        // The next server has to come up where the clients look for it.
        config.listen = server.addr();
        Self { server, config, folder }
    }

    /// The same database under a new process at the same address: in good order, or as after a power cut.
    ///
    /// # Panics
    /// When the server does not start again.
    pub async fn restart(self, in_good_order: bool) -> Self {
        self.stop(in_good_order).await.start().await
    }

    /// Leaves nobody at its address: in good order, or as after a power cut.
    pub async fn stop(self, in_good_order: bool) -> StoppedClinic {
        let Self { server, config, folder } = self;
        if in_good_order {
            server.shutdown().await;
        } else {
            server.kill().await;
        }
        StoppedClinic { config, folder }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Adds somebody; the name is `<login> of the clinic`.
    ///
    /// # Panics
    /// When the account can't be made.
    pub async fn add(&self, login: &str, role: Role) {
        let user = NewUser {
            login: login.into(),
            name: Pii::new(format!("{login} of the clinic")),
            role,
            specialty: None,
            password: Secret::new(PASSWORD.to_owned()),
        };
        self.accounts().add(user).await.expect("an account");
    }

    /// Gives somebody another password, which ends all their sign-ins.
    ///
    /// # Panics
    /// When there is nobody of that name.
    pub async fn set_password(&self, login: &str, password: &str) {
        let password = Secret::new(password.to_owned());
        self.accounts().set_password(login, password).await.expect("another password");
    }

    /// Lets two people talk.
    ///
    /// # Panics
    /// When one of them does not exist.
    pub async fn befriend(&self, one: &str, other: &str) {
        self.accounts().add_contact(one, other).await.expect("both accounts");
    }

    /// From now on a file is older than files may be.
    ///
    /// # Panics
    /// When the database fails.
    pub async fn expire_attachment(&self, id: AttachmentId) {
        let sql = "UPDATE attachments SET expires_at = 1 WHERE id = ?1";
        let change = sqlx::query(sql).bind(id.0).execute(&self.server.app().db.write).await;
        change.expect("the database works");
    }

    /// Deletes files that are due, as the server does from time to time.
    ///
    /// # Errors
    /// The database or the store failed.
    pub async fn sweep_attachments(&self) -> Result<(), Fault> {
        self.server.app().attachments.sweep().await
    }

    /// From now on what was said until now is older than the server keeps it, and gone.
    ///
    /// # Panics
    /// When the database fails.
    pub async fn expire_entries(&self) {
        let app = self.server.app();
        let change = sqlx::query("UPDATE conversation_entries SET at = 1").execute(&app.db.write).await;
        change.expect("the database works");
        app.conversations.sweep().await.expect("the database works");
    }

    /// The bytes of every file that the server keeps: the database with what was not yet written back to it, and sealed
    /// attachments.
    ///
    /// # Panics
    /// When they can't be read.
    #[must_use]
    pub fn kept(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut folders = vec![self.folder.path().to_owned()];
        let mut kept = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder of the server's").flatten() {
                let path = entry.path();
                // What people have on their computers is beside it.
                if entry.file_name().to_string_lossy().starts_with("profile-") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = std::fs::read(&path).expect("a file of the server's");
                    kept.push((path, bytes));
                }
            }
        }
        kept
    }

    /// Asks the server something that no app asks, in the name of whose token it is. The status of the answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post(&self, token: &Secret, path: &str, body: &serde_json::Value) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.post(format!("{}{path}", self.url())).bearer_auth(token.expose()).json(body);
        request.send().await.expect("an answer").status().as_u16()
    }

    fn accounts(&self) -> Accounts {
        Accounts::new(self.server.app().db.clone(), Passwords::new(self.config.passwords))
    }

    /// Somebody at a computer with a pattern for a camera and a tone for a voice, signed in.
    pub async fn seat(&self, login: &str) -> Seat {
        self.seat_with(login, NetworkOptions::loopback()).await
    }

    /// The same on another network.
    ///
    /// # Panics
    /// When the engine does not start or signing in fails.
    pub async fn seat_with(&self, login: &str, network: NetworkOptions) -> Seat {
        let computer = Computer { network, ..self.computer(login) };
        let mut seat = computer.start();
        seat.sign_in(&self.url(), login, PASSWORD).await;
        seat
    }

    /// A computer that was never used before, with a folder of its own. `name` is for whoever looks at the folders.
    #[must_use]
    pub fn computer(&self, name: &str) -> Computer {
        Computer {
            profile: self.folder.path().join(format!("profile-{name}-{}", SessionId::random())),
            secrets: Arc::new(MemoryStore::default()),
            network: NetworkOptions::loopback(),
            cameras: None,
            idle: None,
        }
    }

    /// Stops the server; its folder goes with it.
    pub async fn close(self) {
        self.server.shutdown().await;
    }
}

/// A clinic whose server is away.
pub struct StoppedClinic {
    config: Config,
    folder: TempDir,
}

impl StoppedClinic {
    /// Its next process has other settings.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The same database under a new process at the same address.
    ///
    /// # Panics
    /// When the server does not start.
    pub async fn start(self) -> Clinic {
        let Self { config, folder } = self;
        let server = bedside_server::start(config.clone()).await.expect("the server starts again");
        Clinic { server, config, folder }
    }
}

/// Where an engine runs, and what of it outlives the engine.
#[derive(Clone)]
pub struct Computer {
    /// Its profile's folder.
    pub profile: PathBuf,
    /// Where it keeps secrets.
    pub secrets: Arc<dyn SecretStore>,
    /// How it reaches the network.
    pub network: NetworkOptions,
    /// Its cameras; the pattern stands in where it has none of its own.
    pub cameras: Option<Cameras>,
    /// What tells whether somebody is at it.
    pub idle: Option<IdleOptions>,
}

impl Computer {
    /// Starts an engine with a pattern for a camera and a tone for a voice. It restores the last sign-in by itself.
    ///
    /// # Panics
    /// When the engine does not start.
    #[must_use]
    pub fn start(self) -> Seat {
        let eye = Arc::new(Eye::default());
        let engine = Engine::start(EngineConfig {
            profile: self.profile,
            secrets: self.secrets,
            sources: Sources {
                cameras: if self.cameras.is_some() { Vec::new() } else { vec![CameraId::Pattern] },
                machine: self.cameras.unwrap_or_default(),
                stamp: true,
                microphones: vec![InputId::Tone],
                speakers: vec![OutputId::Null],
            },
            network: self.network,
            tap: Some(eye.clone() as Arc<dyn MediaTap>),
            idle: self.idle,
            calls: tokio::runtime::Handle::current(),
            seed: 7,
        })
        .expect("the engine starts");
        let snapshots = engine.snapshots();
        Seat { engine, snapshots, eye }
    }
}

/// Somebody's engine.
pub struct Seat {
    /// The engine.
    pub engine: Engine,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What arrives.
    pub eye: Arc<Eye>,
}

impl Seat {
    /// Signs in and waits for the people one may call.
    ///
    /// # Panics
    /// When that fails.
    pub async fn sign_in(&mut self, server: &str, login: &str, password: &str) {
        self.engine.dispatch(Command::SignIn {
            server_url: server.to_owned(),
            login: login.to_owned(),
            password: password.to_owned(),
        });
        self.until("signed in, with people", |snapshot| {
            matches!(snapshot.account, AccountView::SignedIn { .. }) && snapshot.people_loaded
        })
        .await;
    }

    /// Waits for a snapshot of which `wanted` is true, and returns it.
    ///
    /// # Panics
    /// When it does not come; says what a person would have seen instead.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let waiting = async {
            loop {
                let snapshot = self.snapshots.borrow_and_update().clone();
                if wanted(&snapshot) {
                    return snapshot;
                }
                self.snapshots.changed().await.expect("the engine runs");
            }
        };
        let Ok(snapshot) = tokio::time::timeout(PATIENCE, waiting).await else {
            let seen = self.snapshots.borrow().clone();
            panic!(
                "never saw: {what}. Saw call {:?}, connection {:?}, notices {:?}",
                seen.call.as_ref().map(|call| (call.phase, call.end_reason)),
                seen.connection,
                seen.notices
            );
        };
        snapshot
    }

    /// Waits for a call of which `wanted` is true.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until_call(&mut self, what: &str, wanted: impl Fn(&CallView) -> bool) -> CallView {
        let snapshot = self.until(what, |snapshot| snapshot.call.as_ref().is_some_and(&wanted)).await;
        snapshot.call.clone().expect("it was there")
    }

    /// The id of the person with this login.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn person(&self, login: &str) -> String {
        let snapshot = self.snapshots.borrow();
        let person = snapshot.people.iter().find(|person| person.name.starts_with(login));
        person.map(|person| person.user_id.clone()).expect("a person of that name")
    }

    /// Asks the engine.
    pub fn ask(&self, command: Command) {
        self.engine.dispatch(command);
    }
}

/// Watches what arrives at a [`Seat`].
#[derive(Default)]
pub struct Eye {
    seen: Mutex<Seen>,
    changed: tokio::sync::Notify,
}

/// What has arrived.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Counters of the stamped pictures, in the order in which they were decoded.
    pub counters: Vec<u32>,
    /// How old each of them was by its stamp, ms.
    pub ages_ms: Vec<f64>,
    /// When each of them was decoded.
    pub decoded_at: Vec<Instant>,
    /// Pictures without a readable stamp.
    pub unstamped: u32,
    /// Size of the last picture.
    pub size: (u32, u32),
    /// 10 ms blocks with sound in them.
    pub loud_blocks: u32,
    /// 10 ms blocks of silence since the last sound.
    pub quiet_run: u32,
    /// What was played: the last two seconds, mono, 48 kHz.
    pub played: Vec<f32>,
}

impl Eye {
    /// What has arrived so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Forgets what has arrived.
    pub fn forget(&self) {
        *self.lock() = Seen::default();
    }

    /// How much of what is played is the tone that the other side's microphone hears, 0.0..=1.0: the best of some
    /// stretches of two seconds, up to the first that is good `enough`. A stretch in which the playout catches up is
    /// none.
    ///
    /// # Panics
    /// When nothing is played.
    pub async fn clarity(&self, enough: f32) -> f32 {
        const STRETCHES: u32 = 8;
        let tone: Vec<f32> = (0..24_000).map(tone_sample).collect();
        let mut best = 0.0_f32;
        for _ in 0..STRETCHES {
            self.forget();
            let seen = self.until("two seconds of sound", |seen| seen.played.len() >= 96_000).await;
            let found = compare::find(&tone, &seen.played, seen.played.len());
            best = best.max(found.map_or(0.0, |found| found.correlation));
            if best > enough {
                break;
            }
        }
        println!("clarity {best:.2}");
        best
    }

    /// Waits until what has arrived is enough.
    ///
    /// # Panics
    /// When it never is.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if wanted(&self.lock()) {
                    return self.seen();
                }
                changed.await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(seen) => seen,
            Err(_) => {
                let seen = self.seen();
                panic!(
                    "never arrived: {what}. {} pictures, {} without stamp, {} blocks of sound",
                    seen.counters.len(),
                    seen.unstamped,
                    seen.loud_blocks
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MediaTap for Eye {
    fn decoded_frame(&self, image: &I420, at: Instant) {
        let stamp = stamp::read(image);
        let mut seen = self.lock();
        seen.size = (image.width(), image.height());
        match stamp {
            Some(stamp) => {
                seen.counters.push(stamp.counter);
                seen.ages_ms.push(stamp.age_us() as f64 / 1e3);
                seen.decoded_at.push(at);
            }
            None => seen.unstamped += 1,
        }
        drop(seen);
        self.changed.notify_waiters();
    }

    fn played_audio(&self, block: &[f32; bedside_media::audio::BLOCK], _at: Instant) {
        const KEPT: usize = 2 * 48_000;
        let loud = block.iter().any(|sample| sample.abs() > 0.01);
        let mut seen = self.lock();
        if loud {
            seen.loud_blocks += 1;
            seen.quiet_run = 0;
        } else {
            seen.quiet_run += 1;
        }
        seen.played.extend_from_slice(block);
        let surplus = seen.played.len().saturating_sub(KEPT);
        seen.played.drain(..surplus);
        drop(seen);
        self.changed.notify_waiters();
    }
}
