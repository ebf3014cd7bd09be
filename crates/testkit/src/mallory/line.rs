//! An app's socket, and the server's behind it.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bedside_protocol::{
    ConversationId,
    conversation::LogEntry,
    socket::{Event, EventFrame},
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::broadcast::error::RecvError};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{self, client::IntoClientRequest as _},
};

use super::{Shared, Word};

type Upstream = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) async fn open(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if shared.script().away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let Ok(mut request) = format!("ws://{}/ws", shared.upstream).into_client_request() else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if let Some(bearer) = headers.get(header::AUTHORIZATION) {
        request.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((upstream, _)) => upgrade.on_upgrade(move |client| async move {
            Line { shared, seq: 0, real_seq: 0, asked: HashMap::new() }.run(client, upstream).await;
        }),
        Err(tungstenite::Error::Http(response)) => StatusCode::from_u16(response.status().as_u16())
            .unwrap_or(StatusCode::BAD_GATEWAY)
            .into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

struct Line {
    shared: Arc<Shared>,
    /// The number of the last event that was told.
    seq: u64,
    /// The number of the last event that came.
    real_seq: u64,
    /// Which conversation a request was about.
    asked: HashMap<u64, ConversationId>,
}

impl Line {
    async fn run(mut self, mut client: WebSocket, mut upstream: Upstream) {
        let mut words = self.shared.words.subscribe();
        loop {
            let out = tokio::select! {
                message = client.recv() => match message {
                    Some(Ok(Message::Text(text))) => match self.said_by_app(text.as_str()) {
                        Step::Up(text) => {
                            if upstream.send(tungstenite::Message::text(text)).await.is_err() {
                                return;
                            }
                            continue;
                        }
                        Step::Down(text) => vec![text],
                        Step::Nothing => continue,
                    },
                    Some(Ok(Message::Close(_)) | Err(_)) | None => {
                        let _ = upstream.close(None).await;
                        return;
                    }
                    Some(Ok(_)) => continue,
                },
                message = upstream.next() => match message {
                    Some(Ok(tungstenite::Message::Text(text))) => self.said_by_server(text.as_str()),
                    Some(Ok(tungstenite::Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                },
                word = words.recv() => match word {
                    Ok(Word::Say(event)) => vec![self.number(*event)],
                    Ok(Word::Raw(text)) => vec![text],
                    Ok(Word::Cut) | Err(RecvError::Closed) => return,
                    Err(RecvError::Lagged(_)) => continue,
                },
            };
            for text in out {
                if client.send(Message::Text(text.into())).await.is_err() {
                    return;
                }
            }
        }
    }

    /// An event with the next number.
    fn number(&mut self, mut event: Value) -> String {
        self.seq += 1;
        event["seq"] = self.seq.into();
        event.to_string()
    }

    fn said_by_app(&mut self, text: &str) -> Step {
        let Ok(mut frame) = serde_json::from_str::<Value>(text) else { return Step::Nothing };
        let id = frame.get("id").and_then(Value::as_u64).unwrap_or_default();
        match frame.get("type").and_then(Value::as_str) {
            // Numbers of events are not the server's here, so that none can be gone back to.
            Some("hello") => {
                if let Some(data) = frame.get_mut("data").and_then(Value::as_object_mut) {
                    data.remove("resume");
                }
            }
            Some("ping") => frame["data"]["last_seq"] = self.real_seq.into(),
            // The app's positions are not the server's.
            Some("chat:ack") => return Step::Down(json!({"re": id, "type": "ok", "data": {}}).to_string()),
            _ => {}
        }
        let conversation = frame.pointer("/data/conversation_id").and_then(Value::as_str);
        if let Some(conversation) = conversation.and_then(|id| id.parse().ok()) {
            self.asked.insert(id, conversation);
        }
        let mut script = self.shared.script();
        let frame = match &mut script.frames {
            Some(twist) => twist(frame),
            None => Some(frame),
        };
        frame.map_or(Step::Nothing, |frame| Step::Up(frame.to_string()))
    }

    fn said_by_server(&mut self, text: &str) -> Vec<String> {
        let Ok(mut frame) = serde_json::from_str::<Value>(text) else { return Vec::new() };
        if let Some(re) = frame.get("re").and_then(Value::as_u64) {
            let script = self.shared.script();
            if let (Some(id), Some(data)) = (self.asked.remove(&re), frame.get_mut("data")) {
                script.shift(id, data);
            }
            return vec![frame.to_string()];
        }
        let Some(seq) = frame.get("seq").and_then(Value::as_u64) else { return vec![text.to_owned()] };
        self.real_seq = seq;
        let event = serde_json::from_value::<EventFrame>(frame.clone()).ok();
        if let Some(entry) = event.as_ref().and_then(|frame| frame.event.log_entry()) {
            let told: Vec<LogEntry> = self.shared.script().entry(entry.clone());
            let events = told
                .into_iter()
                .map(|entry| serde_json::to_value(Event::of_entry(entry)).unwrap_or_default());
            return events.map(|event| self.number(event)).collect();
        }
        if let Some(Event::GroupWelcome(welcome)) = event.as_ref().map(|frame| &frame.event)
            && let Some(data) = frame.get_mut("data")
        {
            self.shared.script().shift(welcome.conversation_id, data);
        }
        let told = match &mut self.shared.script().events {
            Some(twist) => twist(frame),
            None => vec![frame],
        };
        told.into_iter().map(|event| self.number(event)).collect()
    }
}

/// What becomes of an app's frame.
enum Step {
    /// To the server.
    Up(String),
    /// Answered here.
    Down(String),
    /// Withheld.
    Nothing,
}
