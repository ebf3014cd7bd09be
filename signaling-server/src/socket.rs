//! `GET /ws`: one WebSocket per device, as `bedside_protocol::socket` describes it.
//!
//! [`conversation`] drives one socket and knows nothing of the network or the database; this module gives it the
//! services, and tells presence and calls when a device comes and goes.

use axum::{
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use bedside_protocol::{
    ErrorCode, MAX_FRAME_BYTES, Problem,
    call::CallRecord,
    socket::{Pong, Request},
    user::UserProfile,
};
use serde_json::Value;

pub mod conversation;

use self::conversation::{Backend, Rules};
use crate::{app::App, clock, fault::Fault, identity::Identity, rest::Caller};

/// Opens the socket of a signed-in device.
pub(crate) async fn open(
    State(app): State<App>,
    Caller(who): Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Fault> {
    let upgrade = upgrade.map_err(|_| {
        Problem::new(ErrorCode::MalformedMessage)
            .with_detail("This path speaks WebSocket (RFC 6455, version 13).")
    })?;
    if app.stopping.is_cancelled() {
        return Err(Problem::new(ErrorCode::ShuttingDown).with_retry_after(2).into());
    }
    let rules = Rules { timing: app.config.socket, limits: app.config.limits };
    let response = upgrade
        // The default of 128 KiB would be most of an idle connection's memory.
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_FRAME_BYTES)
        // Twice the permitted size is still read, to answer it properly; beyond that the socket closes.
        .max_message_size(2 * MAX_FRAME_BYTES)
        .max_frame_size(2 * MAX_FRAME_BYTES)
        .on_upgrade(move |socket| {
            let tracker = app.sockets.clone();
            tracker.track_future(async move {
                let (cut, hub) = (app.cut.clone(), app.hub.clone());
                cut.run_until_cancelled_owned(conversation::run(socket, who, hub, rules, app)).await;
            })
        });
    Ok(response)
}

impl Backend for App {
    async fn profile(&self, who: &Identity) -> Result<UserProfile, Fault> {
        self.directory.profile(who.user).await
    }

    async fn live_calls(&self, who: &Identity) -> Vec<CallRecord> {
        self.calls.live_calls(who.user).await
    }

    fn connected(&self, who: &Identity, resumed: bool) {
        tracing::info!(user = %who.user, device = %who.device, resumed, "socket opened");
        self.presence.device_connected(who, resumed);
        self.calls.device_connected(who.user, who.device);
    }

    fn disconnected(&self, who: &Identity, said_goodbye: bool) {
        tracing::info!(user = %who.user, device = %who.device, said_goodbye, "socket closed");
        self.presence.device_disconnected(who, said_goodbye);
        self.calls.device_disconnected(who.user, who.device);
    }

    fn heard(&self, who: &Identity) {
        self.presence.heard(who);
    }

    async fn handle(&self, who: &Identity, request: Request) -> Result<Value, Fault> {
        match request {
            Request::Hello(_) => Err(ErrorCode::HelloExpected.into()),
            Request::Ping { .. } => to_value(&Pong { server_time: clock::now() }),
            Request::UpdatePresence(update) => to_value(&self.presence.update(who, &update)?),
            Request::InitiateCall(_)
            | Request::AcceptCall { .. }
            | Request::DeclineCall { .. }
            | Request::HangupCall { .. }
            | Request::ExtendCall { .. }
            | Request::CallMedia { .. }
            | Request::SwitchType { .. } => self.calls.handle(who, request).await,
            Request::Offer(_)
            | Request::Answer(_)
            | Request::Ice(_)
            | Request::ChatMessage(_)
            | Request::ChatDelivered(_)
            | Request::ChatRead(_)
            | Request::ChatTyping(_)
            | Request::ChatAck(_) => self.conversations.handle(who, request).await,
        }
    }
}

/// An answer's `data`.
pub(crate) fn to_value<T: serde::Serialize>(answer: &T) -> Result<Value, Fault> {
    serde_json::to_value(answer).map_err(|_| Fault::Internal("an answer could not be written as JSON"))
}
