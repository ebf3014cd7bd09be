//! What this device says: kept on disk first, sealed when its group is ready, offered to the log in order until it is
//! read there.

use std::time::Duration;

use bedside_e2ee::{
    at_rest::RecordKey,
    mls::{MessageId, MlsError},
    store::StoreError,
};
use bedside_protocol::{
    CallId, ConversationId, EntryId, ErrorCode, Sealed, Secret, UserId,
    conversation::{Acknowledge, Append, Appended, EntryKind, MessageType, Typing},
    socket::Request,
};
use bedside_ui_contract::Failure;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Outcome, Worker, entry_id, group};
use crate::{
    chat::{
        ChatEvent,
        body::{Body, MOST_IN_A_RECEIPT},
        journal::{Receipted, Waiting},
    },
    consultation::FrameKeys,
    signal::SignalBody,
    socket::SocketError,
};

/// Entries of a conversation under way at once.
const IN_FLIGHT: usize = 16;
/// Somebody who says nothing more for so long does not write any more.
const TYPING_LASTS: Duration = Duration::from_secs(6);
/// What the key for typing notices is exported under (RFC 9420 §8.5).
const TYPING_LABEL: &str = "Bedside 1 typing";
/// Messages that may wait for the network.
const MOST_WAITING: usize = 10_000;
/// Signals of a call that may wait for its conversation.
const MOST_EARLY_SIGNALS: usize = 256;

impl Worker {
    /// Says something in a conversation as soon as that is possible. The name under which it is said.
    pub(super) fn say(&mut self, id: ConversationId, body: Body) -> Option<Uuid> {
        let by_person = !matches!(body, Body::Signal { .. } | Body::Receipt { .. });
        if self.rooms.get(&id)?.room.waiting.len() >= MOST_WAITING {
            if by_person {
                self.notify_failure(Failure::TooManyWaiting);
            }
            return None;
        }
        let message = Uuid::now_v7();
        let live = self.rooms.get_mut(&id)?;
        live.room.waiting.push(Waiting { id: message, body, sealed: false });
        live.room.revision += 1;
        self.keep(id);
        self.step(id);
        let offered = self.rooms.get(&id).is_some_and(|live| live.sealed.contains_key(&message));
        if by_person && !offered {
            // It may wait for days: what the person sees waiting survives a power cut.
            self.barrier();
        }
        Some(message)
    }

    /// The log has something of this device's.
    pub(super) fn said(&mut self, id: ConversationId, message: Uuid) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let is_it = |waiting: &mut Waiting| waiting.id == message;
        let said = live.room.waiting.extract_if(.., is_it).map(|waiting| waiting.body);
        if said.into_iter().any(|body| matches!(body, Body::Receipt { .. })) {
            // What came meanwhile is told of by the next one.
            live.receipt_at.get_or_insert_with(Instant::now);
        }
        if let Some(entry) = live.sealed.remove(&message) {
            live.in_flight.remove(&entry);
            live.kinds.remove(&entry);
        }
    }

    pub(super) fn signal(&mut self, call: CallId, peer: UserId, signal: SignalBody) {
        self.prepare(peer);
        match self.direct(peer) {
            Some(id) => _ = self.say(id, Body::Signal { call, signal }),
            None if self.early_signals.len() < MOST_EARLY_SIGNALS => {
                self.early_signals.push((call, peer, signal));
            }
            None => tracing::warn!("there is no conversation to send a signal in"),
        }
    }

    /// Says what was to be said in a call before its conversation was known.
    pub(super) fn say_early_signals(&mut self) {
        for (call, peer, signal) in std::mem::take(&mut self.early_signals) {
            match self.direct(peer) {
                Some(id) => _ = self.say(id, Body::Signal { call, signal }),
                None => self.early_signals.push((call, peer, signal)),
            }
        }
    }

    /// Another call, or none: signals of the one before that were not sealed yet are of no use.
    pub(super) fn in_call(&mut self, call: Option<(CallId, UserId)>) {
        let over = self.in_call.filter(|_| call.is_none_or(|new| Some(new) != self.in_call));
        self.in_call = call;
        self.tell_frame_keys();
        let Some((over, _)) = over else { return };
        self.transfers.call_ended(over);
        self.room_token.take_if(|(call, _)| *call == over);
        self.early_signals.retain(|(call, ..)| *call != over);
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            let Some(live) = self.rooms.get_mut(&id) else { continue };
            let before = live.room.waiting.len();
            live.room.waiting.retain(|waiting| {
                waiting.sealed || !matches!(&waiting.body, Body::Signal { call, .. } if *call == over)
            });
            if live.room.waiting.len() != before {
                self.keep(id);
            }
        }
    }

    /// Gives the call its keys for frames, in each epoch anew.
    pub(super) fn tell_frame_keys(&mut self) {
        let Some((call, peer)) = self.in_call else { return };
        let Some(id) = self.direct(peer) else { return };
        let name = group(id);
        if let (Ok((secret, leaf)), Ok(members)) =
            (self.device.frame_secret(&name, call.0.as_bytes()), self.device.members(&name))
        {
            let theirs = members.iter().filter(|member| member.identity.user == peer);
            let senders = theirs.map(|member| member.leaf).collect();
            let keys = FrameKeys { secret, leaf, senders };
            let _ = self.events.send(ChatEvent::FrameKeys { call, keys });
        }
    }

    /// Seals what waits and offers it, in order, if the group is ready.
    pub(super) fn flush(&mut self, id: ConversationId) {
        let me = self.me();
        let name = group(id);
        let Some(live) = self.rooms.get_mut(&id) else { return };
        if !live.is_ready(me) || !live.room.changed.is_empty() {
            return;
        }
        let mut changed = false;
        for waiting in &mut live.room.waiting {
            if live.sealed.contains_key(&waiting.id) {
                continue;
            }
            match self.device.send(&name, MessageId(waiting.id), &waiting.body.write()) {
                Ok(outgoing) => {
                    let entry = entry_id(&outgoing.entry.0);
                    live.sealed.insert(waiting.id, entry);
                    live.kinds.insert(entry, (waiting.body.kind(), waiting.body.call()));
                    changed |= !waiting.sealed;
                    waiting.sealed = true;
                }
                // What can never be said must not keep the rest from being said.
                Err(MlsError::TooLarge) => tracing::error!("a message was too large to be sealed"),
                Err(error) => {
                    tracing::debug!(%error, "nothing can be sealed at the moment");
                    break;
                }
            }
        }
        if changed {
            self.keep(id);
        }
        self.offer(id);
    }

    fn offer(&mut self, id: ConversationId) {
        let Ok(unsent) = self.device.unsent(&group(id)) else { return };
        let Some(live) = self.rooms.get(&id) else { return };
        let room = IN_FLIGHT.saturating_sub(live.in_flight.len());
        let offers: Vec<_> = unsent
            .into_iter()
            .filter(|outgoing| !outgoing.commit)
            .map(|outgoing| (entry_id(&outgoing.entry.0), outgoing))
            .filter(|(entry, _)| !live.in_flight.contains(entry))
            .take(room)
            .collect();
        if offers.is_empty() || !self.barrier() {
            return;
        }
        let next_position = self.device.position(&group(id)).unwrap_or_default();
        for (entry, outgoing) in offers {
            let Some(live) = self.rooms.get_mut(&id) else { return };
            live.in_flight.insert(entry);
            // What a former run of the app sealed and did not send is of no known kind, and has to be sent all the same.
            let (kind, call_id) = live.kinds.get(&entry).copied().unwrap_or((EntryKind::Message, None));
            let append = Append {
                conversation_id: id,
                id: entry,
                epoch: outgoing.epoch,
                next_position,
                body: outgoing.entry,
                message_type: MessageType::Text,
                call_id,
                room_token: kind.is_signaling().then(|| self.room_token(call_id)).flatten(),
            };
            let answer = self.config.socket.ask(match kind {
                EntryKind::Offer => Request::Offer(append),
                EntryKind::Answer => Request::Answer(append),
                EntryKind::Ice => Request::Ice(append),
                EntryKind::Delivered => Request::ChatDelivered(append),
                EntryKind::Read => Request::ChatRead(append),
                EntryKind::Message | EntryKind::Commit | EntryKind::Founded => Request::ChatMessage(append),
            });
            self.start(async move { Outcome::Sent(id, entry, answer.await) });
        }
    }

    fn room_token(&self, call: Option<CallId>) -> Option<Secret> {
        self.room_token.as_ref().filter(|(entered, _)| Some(*entered) == call).map(|(_, token)| token.clone())
    }

    /// The server took an entry, or not; it counts when it is read in the log.
    pub(super) fn sent(&mut self, id: ConversationId, entry: EntryId, answer: Result<Appended, SocketError>) {
        let now = Instant::now();
        let Some(live) = self.rooms.get_mut(&id) else { return };
        match answer {
            Ok(appended) => {
                live.failures = 0;
                live.room.server.next_position =
                    live.room.server.next_position.max(appended.position.saturating_add(1));
                // It stays under way until it is read, or until the epoch ends.
                return;
            }
            Err(SocketError::Refused(problem)) => {
                let current = live.in_flight.remove(&entry);
                match problem.code {
                    // Where the change that ended the epoch was read meanwhile, this was sealed anew already.
                    ErrorCode::StaleEpoch if current => live.is_stale(),
                    ErrorCode::StaleEpoch => {}
                    // Where it was let in meanwhile, this was sealed anew already.
                    ErrorCode::NotAMember if current => {
                        self.leave_behind(id);
                    }
                    ErrorCode::NotAMember => {}
                    // A signal for a call that is over: it must be in the log all the same, as its number is used.
                    ErrorCode::CallNotFound | ErrorCode::Forbidden | ErrorCode::IllegalTransition => {
                        live.kinds.insert(entry, (EntryKind::Message, None));
                    }
                    _ => {
                        tracing::warn!(code = problem.code.as_str(), "the server refused an entry");
                        live.failed(now);
                        if let Some(seconds) = problem.retry_after_s {
                            live.retry_at = Some(now + Duration::from_secs(seconds.min(60)));
                        }
                    }
                }
            }
            Err(SocketError::Offline | SocketError::Unreadable) => {
                live.in_flight.remove(&entry);
                live.failed(now);
            }
        }
        self.step(id);
    }

    /// Tells others what has arrived and what was seen, if that is news; and the server what it need not keep.
    pub(super) fn tell_receipt(&mut self, id: ConversationId) {
        self.acknowledge(id);
        let Some(live) = self.rooms.get(&id) else { return };
        if live.room.waiting.iter().any(|waiting| matches!(waiting.body, Body::Receipt { .. })) {
            // The next one follows it.
            return;
        }
        match self.next_receipt(id) {
            Ok(Some((receipt, told))) => {
                if self.say(id, receipt).is_some()
                    && let Some(live) = self.rooms.get_mut(&id)
                {
                    live.room.receipted = told;
                    self.keep(id);
                }
            }
            Ok(None) => {}
            Err(error) => self.store_failed(error),
        }
    }

    /// The oldest news for others, and how far they are told with it.
    fn next_receipt(&self, id: ConversationId) -> Result<Option<(Body, Receipted)>, StoreError> {
        let Some(live) = self.rooms.get(&id) else { return Ok(None) };
        let room = &live.room;
        let of_others = |from: u32, until: u32| {
            let items = self.journal.items(id, until, from, MOST_IN_A_RECEIPT)?;
            let theirs =
                items.iter().filter(|(_, item)| item.sender != self.me() && item.content.is_message());
            Ok::<Vec<Uuid>, StoreError>(theirs.map(|(_, item)| item.id).collect())
        };
        let mut told = room.receipted;
        while told.delivered < room.total || told.read < room.seen_here {
            let mut delivered = of_others(told.delivered, room.total)?;
            let mut read = of_others(told.read, room.seen_here)?;
            told.delivered = told.delivered.saturating_add(MOST_IN_A_RECEIPT).min(room.total);
            told.read = told.read.saturating_add(MOST_IN_A_RECEIPT).min(room.seen_here).max(told.read);
            if !self.config.read_receipts {
                read.clear();
            }
            delivered.retain(|message| !read.contains(message));
            if !delivered.is_empty() || !read.is_empty() {
                return Ok(Some((Body::Receipt { delivered, read }, told)));
            }
        }
        Ok(None)
    }

    /// The server need not keep what is on this device's disk.
    fn acknowledge(&mut self, id: ConversationId) {
        let Some(live) = self.rooms.get(&id) else { return };
        let next_position = live.room.processed;
        if !self.online || next_position <= live.acknowledged || !self.barrier() {
            return;
        }
        if let Some(live) = self.rooms.get_mut(&id) {
            live.acknowledged = next_position;
        }
        self.config.socket.tell(Request::ChatAck(Acknowledge { conversation_id: id, next_position }));
    }

    /// Tells who is online that this person writes, or has stopped.
    pub(super) fn type_in(&mut self, id: ConversationId, typing: bool) {
        let me = self.me();
        let ready = self.rooms.get(&id).is_some_and(|live| live.is_ready(me) && live.room.changed.is_empty());
        if !ready || !self.online {
            return;
        }
        let Some(key) = self.typing_key(id) else { return };
        let mut notice = Vec::from([u8::from(typing)]);
        notice.extend_from_slice(me.0.as_bytes());
        if let Ok(body) = key.seal(id.0.as_bytes(), &notice) {
            let typing = Typing { conversation_id: id, from_device: None, body: Sealed(body) };
            self.config.socket.tell(Request::ChatTyping(typing));
        }
    }

    pub(super) fn somebody_types(&mut self, notice: &Typing) {
        let id = notice.conversation_id;
        let Some(key) = self.typing_key(id) else { return };
        let Ok(opened) = key.open(id.0.as_bytes(), &notice.body.0) else { return };
        let Some((typing, user)) = opened.split_first() else { return };
        let Ok(user) = Uuid::from_slice(user).map(UserId) else { return };
        if user == self.me() {
            return;
        }
        let Some(live) = self.rooms.get_mut(&id) else { return };
        if *typing == 1 && !live.lacks(user) {
            live.typing.insert(user, Instant::now() + TYPING_LASTS);
        } else {
            live.typing.remove(&user);
        }
    }

    /// A key that all members of this epoch have. Who of them typed is their word.
    fn typing_key(&mut self, id: ConversationId) -> Option<RecordKey> {
        let secret = self.device.export_secret(&group(id), TYPING_LABEL, id.0.as_bytes(), 32).ok()?;
        Some(RecordKey::from_bytes(secret.as_slice().try_into().ok()?))
    }
}
