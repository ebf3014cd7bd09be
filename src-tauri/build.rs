//! Tauri's part of the build: permissions for the app's own commands, icons, the window's files.

/// What a window may ask for; `capabilities/` says which window may ask for which.
const COMMANDS: &[&str] = &[
    "dispatch",
    "subscribe",
    "messages",
    "search",
    "pick_files",
    "pick_folder",
    "show_folder",
    "open_link",
    "frame_endpoint",
    "frame_channel",
    "frame_feedback",
    "frame_channel_close",
    "underlay_open",
    "underlay_place",
    "underlay_close",
    "show_ringing",
    "hide_ringing",
];

fn main() {
    let attributes =
        tauri_build::Attributes::new().app_manifest(tauri_build::AppManifest::new().commands(COMMANDS));
    if let Err(error) = tauri_build::try_build(attributes) {
        println!("cargo::error=The app can't be built: {error:#}");
    }
}
