//! What the windows may ask for. Nothing here decides anything: it hands over.

use bedside_session::{Engine, StreamKind};
use bedside_ui_contract::{Command, MessagePage, SearchHit, Update};
use serde::{Deserialize, Serialize};
use tauri::{
    State, WebviewWindow, Wry,
    ipc::{Channel, Invoke, InvokeResponseBody},
};

#[cfg(target_os = "linux")]
use crate::frames::underlay::{Place, Sizes, Underlay};
use crate::{
    files::{self, NotPossible},
    frames::{ChannelHub, FrameServer},
    notification::Words,
    ringing::Ringing,
};

/// Every command, for the app's builder.
pub(crate) fn handler() -> impl Fn(Invoke<Wry>) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        dispatch,
        subscribe,
        messages,
        search,
        pick_files,
        pick_folder,
        show_folder,
        open_link,
        frame_endpoint,
        frame_channel,
        frame_feedback,
        frame_channel_close,
        #[cfg(target_os = "linux")]
        underlay_open,
        #[cfg(target_os = "linux")]
        underlay_place,
        #[cfg(target_os = "linux")]
        underlay_close,
        show_ringing,
        hide_ringing
    ]
}

/// Which pictures, as the front end names them.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stream {
    Remote,
    SelfView,
}

impl From<Stream> for StreamKind {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Remote => StreamKind::Remote,
            Stream::SelfView => StreamKind::SelfView,
        }
    }
}

/// Where to connect for frames.
#[derive(Serialize)]
struct Endpoint {
    /// Good for one connection, within seconds.
    url: String,
}

#[tauri::command]
fn dispatch(engine: State<'_, Engine>, command: Command) {
    tracing::debug!(?command, "from the window");
    engine.dispatch(command);
}

#[tauri::command]
fn subscribe(engine: State<'_, Engine>, updates: Channel<Update>) {
    let mut stream = engine.updates();
    tauri::async_runtime::spawn(async move {
        while let Some(update) = stream.next().await {
            // The window is gone.
            if updates.send(update).is_err() {
                return;
            }
        }
    });
}

#[tauri::command]
async fn messages(
    engine: State<'_, Engine>,
    conversation_id: String,
    from: u32,
    count: u32,
) -> Result<MessagePage, ()> {
    Ok(engine.messages(conversation_id, from, count).await)
}

#[tauri::command]
async fn search(
    engine: State<'_, Engine>,
    text: String,
    conversation_id: Option<String>,
) -> Result<Vec<SearchHit>, ()> {
    Ok(engine.search(text, conversation_id).await)
}

#[tauri::command]
async fn pick_files(window: WebviewWindow, title: String) -> Result<Vec<String>, NotPossible> {
    files::pick_files(&window, title).await
}

#[tauri::command]
async fn pick_folder(window: WebviewWindow, title: String) -> Result<Option<String>, NotPossible> {
    files::pick_folder(&window, title).await
}

#[tauri::command]
async fn show_folder(path: String) -> Result<(), NotPossible> {
    files::show_folder(path).await
}

#[tauri::command]
async fn open_link(address: String) -> Result<(), NotPossible> {
    files::open_link(address).await
}

#[tauri::command]
fn frame_endpoint(server: State<'_, FrameServer>, stream: Stream) -> Endpoint {
    Endpoint { url: server.endpoint(stream.into()) }
}

#[tauri::command]
fn frame_channel(hub: State<'_, ChannelHub>, stream: Stream, frames: Channel<InvokeResponseBody>) -> u32 {
    hub.open(stream.into(), frames)
}

#[tauri::command]
fn frame_feedback(hub: State<'_, ChannelHub>, id: u32, bytes: Vec<u8>) {
    hub.feedback(id, &bytes);
}

#[tauri::command]
fn frame_channel_close(hub: State<'_, ChannelHub>, id: u32) {
    hub.close(id);
}

#[cfg(target_os = "linux")]
#[tauri::command]
fn underlay_open(underlay: State<'_, Underlay>, stream: Stream, sizes: Sizes) -> u32 {
    underlay.open(stream.into(), sizes)
}

#[cfg(target_os = "linux")]
#[tauri::command]
fn underlay_place(underlay: State<'_, Underlay>, id: u32, place: Place) {
    underlay.place(id, place);
}

#[cfg(target_os = "linux")]
#[tauri::command]
fn underlay_close(underlay: State<'_, Underlay>, id: u32) {
    underlay.close(id);
}

#[tauri::command]
fn show_ringing(ringing: State<'_, Ringing>, words: Words) {
    ringing.show(words);
}

#[tauri::command]
fn hide_ringing(ringing: State<'_, Ringing>, forward: bool) {
    ringing.hide(forward);
}
