//! Starting the app: engine, frame server, main window.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use bedside_report::Reporter;
use bedside_session::{
    Engine, EngineConfig, call_thread,
    peer::NetworkOptions,
    secrets::{MemoryStore, OsKeyring, SecretStore},
};
use tauri::{AppHandle, Manager as _, RunEvent, WebviewUrl, WebviewWindowBuilder};

use crate::{
    cli::Cli,
    commands,
    errand::Measuring,
    frames::{ChannelHub, DrawnAges, FrameServer},
    notification::Notification,
    ringing::Ringing,
};

#[cfg(target_os = "linux")]
use crate::frames::underlay::Underlay;

/// The main window's label.
pub(crate) const MAIN_WINDOW: &str = "main";
const IDENTIFIER: &str = "health.bedside.app";

/// Where a page of ours may come from: Linux and macOS; Windows; `npm run dev` in a build without our files.
const ORIGINS: &[&str] = &[
    "tauri://localhost",
    "http://tauri.localhost",
    #[cfg(not(feature = "custom-protocol"))]
    "http://localhost:5173",
];

/// Where the web view keeps its own data, the same for every window of a profile.
pub(crate) struct WebData(pub(crate) PathBuf);

/// Runs the app until its main window is closed.
///
/// # Errors
///
/// When the window, the engine or its profile can't be opened.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let mut builder = tauri::Builder::default();
    // Apps with profiles of their own run side by side; the ordinary one runs once.
    if cli.profile.is_none() {
        builder = builder.plugin(tauri_plugin_single_instance::init(|app, _, _| to_front(app))).plugin(
            tauri_plugin_window_state::Builder::new().with_denylist(&[crate::ringing::WINDOW]).build(),
        );
    }
    let app = builder
        .invoke_handler(commands::handler())
        .setup(move |app| Ok(setup(app.handle(), &cli)?))
        .build(tauri::generate_context!())
        .context("the window system can't be reached")?;
    app.run(|app, event| {
        crate::ringing::noticed(app, &event);
        // Not with its last window, but when leave has been taken.
        if let RunEvent::ExitRequested { code: None, api, .. } = event {
            api.prevent_exit();
        }
    });
    Ok(())
}

fn setup(app: &AppHandle, cli: &Cli) -> anyhow::Result<()> {
    let profile = match &cli.profile {
        Some(folder) => std::path::absolute(folder)?,
        None => app.path().app_data_dir().context("there is no folder for the app's data")?,
    };
    let reporter = cli.measures.wanted().then(|| Reporter::new(cli.measures.clone())).transpose()?;
    let calls = call_thread().context("no thread for calls could be started")?;
    let engine = tauri::async_runtime::block_on(async {
        Engine::start(EngineConfig {
            profile: profile.clone(),
            secrets: secrets(cli, &profile),
            sources: cli.sources(),
            network: NetworkOptions::default(),
            tap: reporter.as_ref().map(Reporter::tap),
            idle: Some(crate::idle::after(Duration::from_secs(cli.idle_after))),
            calls,
            seed: rand::random(),
        })
    })
    .with_context(|| format!("the profile in {} can't be used", profile.display()))?;
    let source = Arc::new(engine.clone());
    let ages = reporter.is_some().then(|| Arc::new(DrawnAges::default()));
    let server = tauri::async_runtime::block_on(FrameServer::start(source.clone(), ORIGINS, ages.clone()))
        .context("no loopback address for frames")?;
    if let Some((reporter, ages)) = reporter.zip(ages.clone()) {
        app.manage(Measuring::new(reporter, ages));
    }
    crate::errand::start(app, &engine, cli)?;
    let web_data = profile.join("web");
    app.manage(engine);
    app.manage(server);
    app.manage(ChannelHub::new(source.clone()));
    app.manage(WebData(web_data.clone()));
    app.manage(Ringing::new(app, Notification::new(IDENTIFIER)?)?);

    let mut window = WebviewWindowBuilder::new(app, MAIN_WINDOW, WebviewUrl::default())
        .title("Bedside")
        // A picture of 720p fills it point for point.
        .inner_size(1280.0, 720.0)
        .min_inner_size(480.0, 360.0)
        .data_directory(web_data);
    if crate::rendering::in_software() {
        window = window.initialization_script("window.__BEDSIDE_NO_GPU__ = true;");
    }
    #[cfg(target_os = "linux")]
    let under = crate::rendering::is_beneath();
    #[cfg(target_os = "linux")]
    if under {
        window = window.initialization_script("window.__BEDSIDE_UNDERLAY__ = true;");
    }
    if let Some(server) = &cli.server {
        let address = serde_json::to_string(server)?;
        window = window.initialization_script(format!("window.__BEDSIDE_SERVER__ = {address};"));
    }
    let window = window.build().context("the main window can't be opened")?;
    #[cfg(target_os = "linux")]
    if under {
        app.manage(Underlay::new(source, &window, ages)?);
    }
    // The small window must not keep the app alive.
    let handle = app.clone();
    window.on_window_event(move |event| {
        if matches!(event, tauri::WindowEvent::Destroyed) {
            tauri::async_runtime::spawn(end(handle.clone()));
        }
    });
    Ok(())
}

/// Ends the app in good order: whoever is talked to sees at once that it is over.
pub(crate) async fn end(app: AppHandle) {
    let engine = app.state::<Engine>().inner().clone();
    engine.close().await;
    if let Some(measuring) = app.try_state::<Measuring>() {
        measuring.conclude(&engine);
    }
    app.exit(0);
}

/// The system's keyring, one entry set per profile; memory where the person wants nothing kept.
fn secrets(cli: &Cli, profile: &std::path::Path) -> Arc<dyn SecretStore> {
    if cli.no_keyring {
        return Arc::new(MemoryStore::default());
    }
    match &cli.profile {
        None => Arc::new(OsKeyring::new(IDENTIFIER)),
        Some(_) => Arc::new(OsKeyring::new(format!("{IDENTIFIER} {}", profile.display()))),
    }
}

/// Brings the main window to the front.
pub(crate) fn to_front(app: &AppHandle) {
    if let Some(main) = app.get_webview_window(MAIN_WINDOW) {
        let _ = main.unminimize();
        let _ = main.show();
        let _ = main.set_focus();
    }
}
