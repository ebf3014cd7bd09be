//! Messages and files without a window: `chat` writes and listens, `send-file` sends.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bedside_report::report::{self, Process};
use bedside_ui_contract::{
    Command as Ask, Notice, Snapshot,
    call::Protection,
    chat::{ConversationState, ConversationView, MessageContent, MessageState, MessageView, TransferState},
};
use serde::Serialize;

use crate::{
    cli::{ChatOptions, SendOptions},
    run::Client,
};

/// Messages are fetched this many at a time.
const PAGE: u32 = 200;

/// What was said and heard, as JSON.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ChatReport {
    /// How the conversation is protected.
    protection: Option<Protection>,
    /// Messages of this side that the server has.
    sent: usize,
    /// Those that arrived on a device of everybody else.
    delivered: usize,
    /// Texts of others, in order.
    received: Vec<String>,
    /// From sending to being shown here, of messages that carry their time (`--count`); both clocks must agree.
    latency_ms: Option<Latency>,
    /// Files that were saved.
    files: Vec<FileReport>,
    process: Process,
}

/// A distribution.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

/// One file.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    bytes: u64,
    seconds: f64,
    mb_per_second: f64,
}

impl FileReport {
    fn new(bytes: u64, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        Self { bytes, seconds, mb_per_second: bytes as f64 / 1e6 / seconds.max(1e-6) }
    }
}

/// A signed-in client with one conversation.
struct Talk {
    client: Client,
    conversation: String,
    deadline: Instant,
}

impl Talk {
    /// The conversation with somebody, once it can be used.
    async fn with(client: Client, name: &str, patience: Duration) -> anyhow::Result<Self> {
        let person = client.find(name)?;
        client
            .engine
            .dispatch(Ask::StartConversation { user_ids: vec![person.user_id.clone()], title: None });
        Self::wait(client, patience, |one| one.peer_id.as_deref() == Some(&*person.user_id)).await
    }

    /// The first conversation in which somebody says something.
    async fn any(client: Client, patience: Duration) -> anyhow::Result<Self> {
        Self::wait(client, patience, |_| true).await
    }

    async fn wait(
        mut client: Client,
        patience: Duration,
        wanted: impl Fn(&ConversationView) -> bool,
    ) -> anyhow::Result<Self> {
        let deadline = Instant::now() + patience;
        let conversation = client
            .until(patience, "a conversation whose keys are agreed on", |snapshot| {
                failed(snapshot)?;
                let mut found = snapshot.chat.conversations.iter();
                let found = found.find(|one| wanted(one) && one.state == ConversationState::Ready);
                Ok(found.map(|one| one.id.clone()))
            })
            .await?;
        client.engine.dispatch(Ask::ViewConversation { conversation_id: Some(conversation.clone()) });
        Ok(Self { client, conversation, deadline })
    }

    /// Waits until the conversation is as wanted.
    async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&ConversationView, &Snapshot) -> bool,
    ) -> anyhow::Result<ConversationView> {
        let id = self.conversation.clone();
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.client
            .until(left, what, |snapshot| {
                failed(snapshot)?;
                let found = snapshot.chat.conversations.iter().find(|one| one.id == id);
                Ok(found.filter(|one| wanted(one, snapshot)).cloned())
            })
            .await
    }

    async fn messages(&self, from: u32) -> Vec<MessageView> {
        self.client.engine.messages(self.conversation.clone(), from, PAGE).await.items
    }
}

/// What makes waiting useless.
fn failed(snapshot: &Snapshot) -> anyhow::Result<()> {
    for shown in &snapshot.notices {
        match &shown.notice {
            Notice::Failed { failure } => bail!("the app says: {failure:?}"),
            Notice::Transfer { reason, .. } => bail!("a file was not transferred: {reason:?}"),
            Notice::KeyChanged { .. } => bail!("a checked key changed"),
            Notice::ArchiveChanged => bail!("the clinic's archive is another one"),
            _ => {}
        }
    }
    Ok(())
}

/// `bedside-headless chat`.
pub(crate) async fn chat(client: Client, options: ChatOptions) -> anyhow::Result<ExitCode> {
    let patience = Duration::from_secs(options.patience);
    let mut talk = match &options.with {
        Some(name) => Talk::with(client, name, patience).await?,
        None => Talk::any(client, patience).await?,
    };
    let say = |talk: &Talk, text: String| {
        let conversation_id = talk.conversation.clone();
        talk.client.engine.dispatch(Ask::SendMessage { conversation_id, text, reply_to: None });
    };
    for text in &options.send {
        say(&talk, text.clone());
    }
    let mut report = ChatReport::default();
    let mut heard = Heard::default();
    let mut counted = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(options.interval_ms.max(1)));
    loop {
        if counted < options.count {
            tick.tick().await;
            say(&talk, format!("#{counted} {}", bedside_media::stamp::now_us()));
            counted += 1;
            heard.listen(&talk, &options).await;
            continue;
        }
        heard.listen(&talk, &options).await;
        let own = options.send.len() + counted;
        let done = heard.delivered >= own
            && heard.texts.len() >= options.expect
            && heard.saved.len() >= options.expect_files;
        if done {
            break;
        }
        let revision = heard.revision;
        let files = heard.states.clone();
        talk.until("what is expected", |one, snapshot| one.revision != revision || states(snapshot) != files)
            .await?;
    }
    report.protection = Some(talk.until("the conversation", |_, _| true).await?.protection);
    report.sent = heard.sent;
    report.delivered = heard.delivered;
    report.latency_ms = heard.latency();
    report.received = heard.texts;
    report.files = heard.saved.into_values().collect();
    talk.client.leave().await;
    report.process = Process::this();
    report::write(options.report.as_deref(), &report)?;
    Ok(ExitCode::SUCCESS)
}

/// What has come so far.
#[derive(Default)]
struct Heard {
    next: u32,
    revision: u32,
    texts: Vec<String>,
    ages_ms: Vec<f64>,
    sent: usize,
    delivered: usize,
    asked: BTreeMap<String, (Instant, u64)>,
    saved: BTreeMap<String, FileReport>,
    states: Vec<(String, bool)>,
}

impl Heard {
    /// Takes what is new, and asks for files.
    async fn listen(&mut self, talk: &Talk, options: &ChatOptions) {
        let mut from = self.next;
        loop {
            let page = talk.client.engine.messages(talk.conversation.clone(), from, PAGE).await;
            self.revision = page.revision;
            let now = bedside_media::stamp::now_us();
            let known = self.next;
            for item in page.items.iter().filter(|item| item.index >= known && !item.own) {
                self.take(talk, options, item, now);
            }
            // One's own that still wait are no part of the list yet.
            let settled = page.items.iter().filter(|item| item.state != MessageState::Queued);
            self.next = settled.map(|item| item.index + 1).max().unwrap_or(self.next).max(self.next);
            from = from.saturating_add(PAGE);
            if from >= page.total {
                break;
            }
        }
        self.count_own(talk).await;
        self.note_saved(talk);
    }

    fn take(&mut self, talk: &Talk, options: &ChatOptions, item: &MessageView, now_us: u64) {
        match &item.content {
            MessageContent::Text { text } => {
                let sent =
                    text.strip_prefix('#').and_then(|rest| rest.split_once(' ')?.1.parse::<u64>().ok());
                if let Some(sent) = sent {
                    self.ages_ms.push(now_us.saturating_sub(sent) as f64 / 1e3);
                }
                self.texts.push(text.clone());
            }
            MessageContent::File { file } => {
                if let Some(folder) = &options.save_files {
                    self.asked.insert(item.id.clone(), (Instant::now(), file.bytes));
                    talk.client.engine.dispatch(Ask::SaveFile {
                        conversation_id: talk.conversation.clone(),
                        message_id: item.id.clone(),
                        folder: Some(folder.display().to_string()),
                    });
                }
            }
            MessageContent::Deleted | MessageContent::Event { .. } => {}
        }
        talk.client
            .engine
            .dispatch(Ask::MarkRead { conversation_id: talk.conversation.clone(), index: item.index });
    }

    async fn count_own(&mut self, talk: &Talk) {
        let (mut sent, mut delivered, mut from) = (0, 0, 0);
        loop {
            let items = talk.messages(from).await;
            let Some(last) = items.last() else { break };
            from = last.index + 1;
            for item in items.iter().filter(|item| item.own && is_message(item)) {
                sent += usize::from(item.state >= MessageState::Sent && item.state != MessageState::Received);
                delivered += usize::from(matches!(item.state, MessageState::Delivered | MessageState::Read));
            }
        }
        (self.sent, self.delivered) = (sent, delivered);
    }

    fn note_saved(&mut self, talk: &Talk) {
        let snapshot = talk.client.snapshot();
        self.states = states(&snapshot);
        for transfer in snapshot.chat.transfers.iter().filter(|one| one.state == TransferState::Done) {
            if let Some((since, bytes)) = self.asked.remove(&transfer.message_id) {
                self.saved.insert(transfer.message_id.clone(), FileReport::new(bytes, since.elapsed()));
            }
        }
    }

    fn latency(&mut self) -> Option<Latency> {
        self.ages_ms.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (self.ages_ms.len().saturating_sub(1) as f64 * share).round() as usize;
            self.ages_ms.get(place).copied()
        };
        Some(Latency { p50: at(0.5)?, p99: at(0.99)? })
    }
}

const fn is_message(item: &MessageView) -> bool {
    !matches!(item.content, MessageContent::Event { .. })
}

/// Which transfers there are, and whether they are over.
fn states(snapshot: &Snapshot) -> Vec<(String, bool)> {
    let over = |state: TransferState| matches!(state, TransferState::Done | TransferState::Failed { .. });
    snapshot.chat.transfers.iter().map(|one| (one.id.clone(), over(one.state))).collect()
}

/// What was sent, as JSON.
#[derive(Debug, Default, Serialize)]
struct SendReport {
    files: Vec<FileReport>,
    process: Process,
}

/// `bedside-headless send-file`.
pub(crate) async fn send_file(client: Client, options: SendOptions) -> anyhow::Result<ExitCode> {
    let mut talk = Talk::with(client, &options.to, Duration::from_secs(options.patience)).await?;
    let mut report = SendReport::default();
    for file in &options.files {
        let bytes = length(file)?;
        let before: BTreeSet<_> = talk.messages(0).await.into_iter().map(|item| item.id).collect();
        let revision = talk.until("the conversation", |_, _| true).await?.revision;
        let since = Instant::now();
        talk.client.engine.dispatch(Ask::SendFiles {
            conversation_id: talk.conversation.clone(),
            paths: vec![file.display().to_string()],
        });
        let mut seen = revision;
        loop {
            let view = talk.until("the file to be on the server", |one, _| one.revision != seen).await?;
            seen = view.revision;
            let from = view.total.saturating_sub(PAGE);
            let sent = talk.messages(from).await.into_iter().any(|item| {
                !before.contains(&item.id)
                    && item.own
                    && matches!(item.content, MessageContent::File { .. })
                    && item.state != MessageState::Queued
            });
            if sent {
                break;
            }
        }
        report.files.push(FileReport::new(bytes, since.elapsed()));
    }
    talk.client.leave().await;
    report.process = Process::this();
    report::write(options.report.as_deref(), &report)?;
    Ok(ExitCode::SUCCESS)
}

fn length(file: &Path) -> anyhow::Result<u64> {
    let about = std::fs::metadata(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(about.len())
}
