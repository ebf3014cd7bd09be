//! Nothing personal reaches a log, however chatty it is: of the engine and the server through a whole call, and of the
//! real programs.

#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bedside_protocol::{CallPhase, CallType, Role, Secret};
use bedside_session::secrets::{MemoryStore, SecretError, SecretStore};
use bedside_testkit::{
    clinic::{Clinic, Computer, PASSWORD, PATIENCE, Seat},
    programs::program,
    sentry::{Capture, Sentry},
};
use bedside_ui_contract::{Command, Failure, snapshot::AccountView};

const DOCTOR: &str = "amaraosei";
const PATIENT: &str = "zinniaruiz";
const MISTYPED: &str = "tulip anvil mine";

/// Keeps secrets for the process and remembers all it ever saw.
#[derive(Default)]
struct Witness {
    store: MemoryStore,
    seen: Mutex<BTreeSet<String>>,
}

impl SecretStore for Witness {
    fn load(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        self.store.load(name)
    }

    fn save(&self, name: &str, secret: &Secret) -> Result<(), SecretError> {
        self.seen.lock().unwrap().insert(secret.expose().to_owned());
        self.store.save(name, secret)
    }

    fn delete(&self, name: &str) -> Result<(), SecretError> {
        self.store.delete(name)
    }

    fn is_lasting(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_call_from_sign_in_to_history_leaves_nothing_personal_in_the_log() {
    let capture = Capture::start();
    let clinic = Clinic::open().await;
    clinic.add(DOCTOR, Role::Clinician).await;
    clinic.add(PATIENT, Role::Patient).await;
    clinic.befriend(DOCTOR, PATIENT).await;
    let witness = Arc::new(Witness::default());
    let seat = |login: &str| Computer { secrets: witness.clone(), ..clinic.computer(login) }.start();
    let (mut doctor, mut patient) = (seat("one"), seat("two"));

    mistype(&mut patient, &clinic.url()).await;
    doctor.sign_in(&clinic.url(), DOCTOR, PASSWORD).await;
    patient.sign_in(&clinic.url(), PATIENT, PASSWORD).await;
    call(&mut doctor, &mut patient).await;
    patient.ask(Command::LoadHistory { page: 1 });
    patient.until("the history", |now| now.history.total == 1).await;
    for seat in [&mut doctor, &mut patient] {
        seat.ask(Command::SignOut);
        seat.until("signed out", |now| matches!(now.account, AccountView::SignedOut { .. })).await;
    }
    clinic.close().await;

    let log = capture.text();
    for heard in ["bedside_session", "bedside_server", "online", "command=call"] {
        assert!(log.contains(heard), "the capture slept through {heard}:\n{log}");
    }
    let tokens = witness.seen.lock().unwrap().clone();
    assert!(tokens.len() >= 2, "both sign-ins have a token");
    let sentry = tokens.iter().fold(people(), |sentry, token| sentry.never("a refresh token", token));
    sentry.check("the log of engines and server", &log);
}

/// Everything that was planted.
fn people() -> Sentry {
    Sentry::new()
        .never("the doctor's login or name", DOCTOR)
        .never("the patient's login or name", PATIENT)
        .never("a password", PASSWORD)
        .never("a mistyped password", MISTYPED)
        .permits([127, 0, 0, 1].into())
}

async fn mistype(seat: &mut Seat, server: &str) {
    seat.ask(Command::SignIn {
        server_url: server.to_owned(),
        login: PATIENT.to_owned(),
        password: MISTYPED.to_owned(),
    });
    seat.until("refused", |now| {
        matches!(&now.account, AccountView::SignedOut { failure: Some(Failure::WrongCredentials), .. })
    })
    .await;
}

/// A call with all that a person can do in it.
async fn call(doctor: &mut Seat, patient: &mut Seat) {
    doctor.ask(Command::Call { user_id: doctor.person(PATIENT), call_type: CallType::Video });
    patient.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
    patient.ask(Command::Answer { call_type: CallType::Video });
    for seat in [&mut *doctor, &mut *patient] {
        seat.until_call("connected", |call| call.phase == CallPhase::Connected).await;
        seat.eye.until("pictures and sound", |seen| seen.counters.len() > 10 && seen.loud_blocks > 10).await;
    }
    patient.ask(Command::SetMuted { muted: true });
    patient.ask(Command::SetCameraOn { on: false });
    doctor.until_call("neither heard nor seen", |call| call.peer_muted && !call.peer_camera_on).await;
    doctor.until_call("measured", |call| call.quality.is_some()).await;
    doctor.ask(Command::HangUp);
    patient.until_call("over", |call| call.phase == CallPhase::Ended).await;
}

/// A process whose standard error is kept in a file; ended with its owner.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(command: &mut Process, log: PathBuf) -> Self {
        let file = std::fs::File::create(&log).unwrap();
        Self { child: command.stdin(Stdio::null()).stderr(file).spawn().unwrap(), log }
    }

    fn read_log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has logged this word.
    fn until_log(&self, word: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.read_log().contains(word) {
            assert!(Instant::now() < deadline, "never logged {word}:\n{}", self.read_log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sample clinic's people: name, login, password.
fn sample_clinic(database: &str) -> Vec<[String; 3]> {
    let made = Process::new(program("bedside-server"))
        .args(["demo-clinic", "--database", database])
        .output()
        .unwrap();
    let clinic: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let field = |user: &serde_json::Value, name: &str| user[name].as_str().unwrap().to_owned();
    let users = clinic["users"].as_array().unwrap().iter();
    users.map(|user| ["name", "login", "password"].map(|name| field(user, name))).collect()
}

/// One side of a call, as somebody would start it to help with a fault.
fn client(folder: &Path, server: &str, [_, login, password]: &[String; 3], what: &[&str]) -> Running {
    let secret = folder.join(format!("{login}.txt"));
    std::fs::write(&secret, password).unwrap();
    Running::start(
        Process::new(program("bedside-headless"))
            .args(what)
            .args(["--server", server, "--login", login, "--password-file"])
            .arg(secret)
            .env("BEDSIDE_LOG", "trace")
            .stdout(Stdio::null()),
        folder.join(format!("{login}.log")),
    )
}

#[test]
fn the_programs_log_nothing_personal_in_a_call_at_the_chattiest_level() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let database = folder.join("clinic.db").display().to_string();
    let people = sample_clinic(&database);
    let mut server = Running::start(
        Process::new(program("bedside-server"))
            .args(["serve", "--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0", "--log", "trace"])
            .args(["--database", &database])
            .stdout(Stdio::piped()),
        folder.join("server.log"),
    );
    let mut line = String::new();
    BufReader::new(server.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("Bedside serves at ").expect(&line).to_owned();

    let [doctor, _, patient, _] = people.as_slice() else { panic!("two doctors, two patients: {people:?}") };
    let mut answering = client(folder, &url, patient, &["answer"]);
    answering.until_log("online");
    let mut calling = client(folder, &url, doctor, &["call", "--to", &patient[0], "--seconds", "3"]);
    for side in [&mut calling, &mut answering] {
        let status = side.child.wait().unwrap();
        assert!(status.success(), "there was no conversation:\n{}", side.read_log());
    }
    let sentry =
        people.iter().flatten().fold(Sentry::new(), |sentry, text| sentry.never("a person's data", text));
    let sentry = sentry.permits([127, 0, 0, 1].into());
    for (whose, process) in
        [("the caller's log", &calling), ("the callee's log", &answering), ("the server's log", &server)]
    {
        let log = process.read_log();
        assert!(log.contains("bedside_"), "{whose} says nothing");
        sentry.check(whose, &log);
    }
}
