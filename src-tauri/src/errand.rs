//! What the command line asks the app to do by itself: sign in, call or answer, report. For kiosks and
//! demonstrations; the window shows all of it as if a person had done it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use bedside_protocol::{CallPhase, CallType, PresenceStatus};
use bedside_session::{Engine, StreamKind};
use bedside_ui_contract::{Command, Snapshot, call::Direction, snapshot::AccountView};
use tauri::AppHandle;

use crate::{cli::Cli, frames::DrawnAges, report::Report};

/// What to do once signed in.
struct Errand {
    call: Option<String>,
    answer: bool,
    after: Duration,
}

/// Starts on it in the background.
pub(crate) fn start(
    app: &AppHandle,
    engine: &Engine,
    cli: &Cli,
    ages: Option<Arc<DrawnAges>>,
) -> anyhow::Result<()> {
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
    if errand.call.is_some() || errand.answer {
        let engine = engine.clone();
        tauri::async_runtime::spawn(async move { run(&engine, errand).await });
    }
    tauri::async_runtime::spawn(until_ended(app.clone(), engine.clone(), cli.report.clone(), ages));
    Ok(())
}

/// Whether somebody's app is there to be called, whoever sits at it.
const fn is_connected(status: PresenceStatus) -> bool {
    matches!(status, PresenceStatus::Online | PresenceStatus::Idle)
}

/// Calls or answers; `None` when the engine has stopped before.
async fn run(engine: &Engine, errand: Errand) -> Option<()> {
    until(engine, |now| matches!(now.account, AccountView::SignedIn { .. }).then_some(())).await?;
    if let Some(part) = &errand.call {
        let user_id = until(engine, |now| {
            now.people
                .iter()
                .find(|person| person.name.contains(part) && is_connected(person.status))
                .map(|person| person.user_id.clone())
        })
        .await?;
        tokio::time::sleep(errand.after).await;
        engine.dispatch(Command::Call { user_id, call_type: CallType::Video });
    } else if errand.answer {
        until(engine, |now| {
            let call = now.call.as_ref()?;
            (call.phase == CallPhase::Ringing && call.direction == Direction::Incoming).then_some(())
        })
        .await?;
        tokio::time::sleep(errand.after).await;
        engine.dispatch(Command::Answer { call_type: CallType::Video });
    }
    Some(())
}

/// Ends the app in good order when the system asks, and writes the report, if one is wanted, at the end of the
/// first call or of the app.
async fn until_ended(app: AppHandle, engine: Engine, file: Option<PathBuf>, ages: Option<Arc<DrawnAges>>) {
    let mut report = Report::default();
    let mut snapshots = engine.snapshots();
    let mut stats = engine.stats();
    let mut remote = engine.frames(StreamKind::Remote);
    let mut ended = std::pin::pin!(asked_to_end());
    let mut open = file.is_some();
    loop {
        tokio::select! {
            () = &mut ended => {
                if open {
                    write(&report, file.as_ref(), ages.as_deref());
                }
                return crate::app::end(app).await;
            }
            changed = snapshots.changed(), if open => {
                if changed.is_err() {
                    return;
                }
                if let Some(call) = &snapshots.borrow_and_update().call {
                    report.see(call);
                }
                if report.is_over() {
                    write(&report, file.as_ref(), ages.as_deref());
                    open = false;
                }
            }
            sample = stats.recv(), if open => {
                if let Ok(sample) = sample {
                    report.add(sample);
                }
            }
            changed = remote.changed(), if open && !report.has_picture() => {
                if changed.is_ok() && remote.borrow_and_update().is_some() {
                    report.see_picture();
                }
            }
        }
    }
}

fn write(report: &Report, file: Option<&PathBuf>, ages: Option<&DrawnAges>) {
    let Some(file) = file else { return };
    let text = format!("{:#}\n", report.json(ages));
    if let Err(error) = std::fs::write(file, text) {
        tracing::error!(%error, "the report could not be written");
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
