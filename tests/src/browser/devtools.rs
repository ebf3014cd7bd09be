//! The little of the Chrome DevTools protocol that a test needs: calls with answers, and events.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// One connection.
pub(super) struct DevTools {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    next: u64,
    events: VecDeque<Value>,
}

impl DevTools {
    pub(super) async fn connect(address: &str) -> Self {
        // Pictures travel in one message each.
        let config = tokio_tungstenite::tungstenite::protocol::WebSocketConfig::default()
            .max_message_size(Some(64 << 20))
            .max_frame_size(Some(64 << 20));
        let (socket, _) = tokio_tungstenite::connect_async_with_config(address, Some(config), true)
            .await
            .expect("Chromium's DevTools answer");
        Self { socket, session: None, next: 1, events: VecDeque::new() }
    }

    /// Speaks to one target from now on.
    pub(super) fn use_session(&mut self, session: &str) {
        self.session = Some(session.to_owned());
    }

    /// Calls a method; its answer is passed over unless it says that the call failed.
    pub(super) async fn send(&mut self, method: &str, parameters: Value) -> u64 {
        let number = self.next;
        self.next += 1;
        let mut call = json!({"id": number, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(call.to_string())).await.expect("Chromium listens");
        number
    }

    /// Calls a method and waits for the answer.
    pub(super) async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let number = self.send(method, parameters).await;
        loop {
            let message = self.receive().await.expect("Chromium answers");
            if message["id"] == number {
                assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push_back(message);
        }
    }

    /// The next event; `None` when the browser is gone. An answer that tells of an exception counts as one.
    pub(super) async fn event(&mut self) -> Option<Value> {
        loop {
            let message = match self.events.pop_front() {
                Some(message) => message,
                None => self.receive().await?,
            };
            if message.get("method").is_some() {
                return Some(message);
            }
            let details = &message["result"]["exceptionDetails"];
            if details.is_object() {
                let event = json!({"exceptionDetails": details});
                return Some(json!({"method": "Runtime.exceptionThrown", "params": event}));
            }
        }
    }

    async fn receive(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return serde_json::from_str(&text).ok(),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}
