//! What is changed on the way, and what was told so far.

use std::collections::{BTreeMap, HashMap};

use axum::http::Method;
use bedside_protocol::{ConversationId, conversation::LogEntry};
use serde_json::Value;
use tokio::sync::watch;

type TwistEntry = Box<dyn FnMut(LogEntry) -> Vec<LogEntry> + Send>;
type TwistEvent = Box<dyn FnMut(Value) -> Vec<Value> + Send>;
type TwistFrame = Box<dyn FnMut(Value) -> Option<Value> + Send>;
type TwistAnswer = Box<dyn FnMut(&str, Value) -> Value + Send>;
type TwistBytes = Box<dyn FnMut(&str, Vec<u8>) -> Vec<u8> + Send>;
type Instead = Box<dyn FnMut(&Method, &str, &Value) -> Option<(u16, Value)> + Send>;

/// One log: where the server is in it, and what was made of it.
#[derive(Default)]
struct Told {
    next_real: u64,
    next: u64,
    entries: BTreeMap<u64, LogEntry>,
}

/// Somebody who waits for an answer, until it is dropped.
pub(super) struct Waiting(watch::Sender<u32>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

#[derive(Default)]
pub(super) struct Script {
    pub(super) log: Option<TwistEntry>,
    pub(super) events: Option<TwistEvent>,
    pub(super) frames: Option<TwistFrame>,
    pub(super) answers: Option<TwistAnswer>,
    pub(super) bytes: Option<TwistBytes>,
    pub(super) instead: Option<Instead>,
    pub(super) away: bool,
    /// Entries that are told later, while there is somewhere to keep them.
    pub(super) held: Option<Vec<LogEntry>>,
    /// Requests whose path holds this are not answered, and how many wait.
    pub(super) kept_back: Option<(String, watch::Sender<u32>)>,
    pub(super) asked: Vec<String>,
    pub(super) genuine: Vec<LogEntry>,
    logs: HashMap<ConversationId, Told>,
}

impl Script {
    /// Whether the answer to a request is kept back.
    pub(super) fn keeps_back(&self, path: &str) -> Option<Waiting> {
        let (held, waiting) = self.kept_back.as_ref()?;
        path.contains(held.as_str()).then(|| {
            waiting.send_modify(|waiting| *waiting += 1);
            Waiting(waiting.clone())
        })
    }

    /// What is told of an entry of the server's log; nothing when it was told before.
    pub(super) fn entry(&mut self, entry: LogEntry) -> Vec<LogEntry> {
        let at = entry.position;
        let log = self.logs.entry(entry.conversation_id).or_insert_with(|| Told {
            next_real: at,
            next: at,
            ..Told::default()
        });
        if at < log.next_real {
            return Vec::new();
        }
        if at > log.next_real || entry.body.is_none() {
            // Something was missed: the app has to fetch, and then it comes through here in order.
            let position = log.next + (at - log.next_real);
            return vec![LogEntry { position, body: None, ..entry }];
        }
        log.next_real += 1;
        self.genuine.push(entry.clone());
        if let Some(held) = &mut self.held {
            held.push(entry);
            return Vec::new();
        }
        let told = match &mut self.log {
            Some(twist) => twist(entry),
            None => vec![entry],
        };
        told.into_iter().map(|entry| self.put(entry)).collect()
    }

    /// Puts an entry at the end of what is told.
    pub(super) fn put(&mut self, entry: LogEntry) -> LogEntry {
        let log = self.logs.entry(entry.conversation_id).or_default();
        let entry = LogEntry { position: log.next, ..entry };
        log.next += 1;
        log.entries.insert(entry.position, entry.clone());
        entry
    }

    /// Which of the server's entries comes next, for an app that is at `from`.
    pub(super) fn next_real(&mut self, id: ConversationId, from: u64) -> u64 {
        self.logs
            .entry(id)
            .or_insert_with(|| Told { next_real: from, next: from, ..Told::default() })
            .next_real
    }

    pub(super) fn stretch(&self, id: ConversationId, from: u64) -> Vec<LogEntry> {
        let log = self.logs.get(&id);
        log.map(|log| log.entries.range(from..).map(|(_, entry)| entry.clone()).collect()).unwrap_or_default()
    }

    pub(super) fn told(&self, conversation: &str) -> Vec<LogEntry> {
        conversation.parse().map(|id| self.stretch(id, 0)).unwrap_or_default()
    }

    /// A position of the server's log in the one that is told.
    pub(super) fn shifted(&self, id: ConversationId, position: u64) -> u64 {
        self.logs.get(&id).map_or(position, |log| (position + log.next).saturating_sub(log.next_real))
    }

    /// What is told in an answer's place.
    pub(super) fn answered(&mut self, path: &str, id: Option<ConversationId>, mut value: Value) -> Value {
        if let Some(id) = id {
            self.shift(id, &mut value);
        } else if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
            for item in items {
                let name = if path.contains("/welcomes") { "conversation_id" } else { "id" };
                if let Some(id) = item.get(name).and_then(Value::as_str).and_then(|id| id.parse().ok()) {
                    self.shift(id, item);
                }
            }
        }
        match &mut self.answers {
            Some(twist) => twist(path, value),
            None => value,
        }
    }

    /// Moves every position in something to where it is in what is told.
    pub(super) fn shift(&self, id: ConversationId, value: &mut Value) {
        for name in ["position", "next_position"] {
            if let Some(position) = value.get(name).and_then(Value::as_u64) {
                value[name] = self.shifted(id, position).into();
            }
        }
    }
}

/// The conversation that a path names, and where it begins to read.
pub(super) fn conversation_in(path: &str) -> Option<(ConversationId, u64)> {
    let rest = path.strip_prefix("/api/conversations/")?;
    let id = rest.split(['/', '?']).next()?.parse().ok()?;
    let from = rest.split(['?', '&']).find_map(|part| part.strip_prefix("from="));
    Some((id, from.and_then(|from| from.parse().ok()).unwrap_or_default()))
}
