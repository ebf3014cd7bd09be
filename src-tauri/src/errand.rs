//! What the command line asks the app to do by itself: sign in, call or answer, report. For kiosks and
//! demonstrations; the window shows all of it as if a person had done it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bedside_protocol::{CallPhase, CallType, PresenceStatus};
use bedside_report::{
    Reporter,
    person::{Unclear, find_person},
};
use bedside_session::Engine;
use bedside_ui_contract::{Command, Snapshot, call::Direction, snapshot::AccountView};
use tauri::{AppHandle, Manager as _};
use tokio::sync::oneshot;

use crate::{cli::Cli, frames::DrawnAges};

/// What to do once signed in.
struct Errand {
    call: Option<String>,
    answer: bool,
    after: Duration,
}

/// What is measured of the first call, until it is written down: once it is over, or the app is.
pub(crate) struct Measuring(Mutex<Option<(Reporter, Arc<DrawnAges>)>>);

impl Measuring {
    pub(crate) fn new(reporter: Reporter, ages: Arc<DrawnAges>) -> Self {
        Self(Mutex::new(Some((reporter, ages))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Reporter, Arc<DrawnAges>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes something in; false once there is nothing more to be measured.
    fn take_in(&self, news: impl FnOnce(&mut Reporter)) -> bool {
        self.lock().as_mut().is_some_and(|(reporter, _)| {
            news(reporter);
            !reporter.is_over()
        })
    }

    /// Writes it down, unless it is; then it is on the disk.
    pub(crate) fn conclude(&self, engine: &Engine) {
        let mut measured = self.lock();
        let Some((mut reporter, ages)) = measured.take() else { return };
        if let Some(call) = &engine.snapshots().borrow().call {
            reporter.see(call);
        }
        let mut report = reporter.report();
        report.video.drawn_ms = Some(ages.percentiles());
        if let Err(error) = reporter.write(&report) {
            tracing::error!(%error, "the report could not be written");
        }
    }
}

/// Starts on it in the background.
pub(crate) fn start(app: &AppHandle, engine: &Engine, cli: &Cli) -> anyhow::Result<()> {
    if let (Some(server), Some(login), Some(file)) = (&cli.server, &cli.login, &cli.password_file) {
        let password =
            std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        engine.dispatch(Command::SignIn {
            server_url: server.clone(),
            login: login.clone(),
            password: password.trim_end_matches(['\r', '\n']).to_owned(),
        });
    }
    let errand = Errand { call: cli.call.clone(), answer: cli.answer, after: Duration::from_secs(cli.after) };
    let (answered, when_answered) = oneshot::channel();
    if errand.call.is_some() || errand.answer {
        let engine = engine.clone();
        tauri::async_runtime::spawn(async move { run(&engine, errand, answered).await });
    }
    tauri::async_runtime::spawn(follow(app.clone(), engine.clone(), when_answered));
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        asked_to_end().await;
        crate::app::end(app).await;
    });
    Ok(())
}

/// Whether somebody's app is there to be called, whoever sits at it.
const fn is_connected(status: PresenceStatus) -> bool {
    matches!(status, PresenceStatus::Online | PresenceStatus::Idle)
}

/// Calls or answers; `None` when the engine has stopped before, or the name stands for several people.
async fn run(engine: &Engine, errand: Errand, answered: oneshot::Sender<Instant>) -> Option<()> {
    until(engine, |now| matches!(now.account, AccountView::SignedIn { .. }).then_some(())).await?;
    if let Some(part) = &errand.call {
        let found = until(engine, |now| match find_person(&now.people, part) {
            Ok(person) if is_connected(person.status) => Some(Ok(person.user_id.clone())),
            Err(Unclear::Several) => Some(Err(Unclear::Several)),
            Ok(_) | Err(Unclear::Nobody) => None,
        })
        .await?;
        let user_id = found.inspect_err(|error| tracing::error!(%error, "nobody is called")).ok()?;
        tokio::time::sleep(errand.after).await;
        engine.dispatch(Command::Call { user_id, call_type: CallType::Video });
    } else if errand.answer {
        until(engine, |now| {
            let call = now.call.as_ref()?;
            (call.phase == CallPhase::Ringing && call.direction == Direction::Incoming).then_some(())
        })
        .await?;
        tokio::time::sleep(errand.after).await;
        // Without a listener nothing is measured.
        let _ = answered.send(Instant::now());
        engine.dispatch(Command::Answer { call_type: CallType::Video });
    }
    Some(())
}

/// Until the first call is over, or the engine has stopped.
async fn follow(app: AppHandle, engine: Engine, mut answered: oneshot::Receiver<Instant>) {
    let Some(measuring) = app.try_state::<Measuring>() else { return };
    let mut snapshots = engine.snapshots();
    let mut stats = engine.stats();
    loop {
        let goes_on = tokio::select! {
            changed = snapshots.changed() => {
                let snapshot = snapshots.borrow_and_update();
                changed.is_ok() && measuring.take_in(|reporter| {
                    if let Some(call) = &snapshot.call {
                        reporter.see(call);
                    }
                })
            }
            Ok(at) = &mut answered, if !answered.is_terminated() => {
                measuring.take_in(|reporter| reporter.answered(at))
            }
            Ok(sample) = stats.recv() => measuring.take_in(|reporter| reporter.add(sample)),
        };
        if !goes_on {
            return measuring.conclude(&engine);
        }
    }
}

/// Ready once the system or a terminal asks the app to end.
async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for a snapshot in which `found` finds something; `None` when the engine has stopped.
async fn until<T>(engine: &Engine, found: impl Fn(&Snapshot) -> Option<T>) -> Option<T> {
    let mut snapshots = engine.snapshots();
    loop {
        if let Some(result) = found(&snapshots.borrow_and_update()) {
            return Some(result);
        }
        snapshots.changed().await.ok()?;
    }
}
