//! Sessions of signed-in devices, and the events on their way to them.
//!
//! A session outlives the TCP connection that carries it: events are kept in its log until the client says it
//! has seen them, so that a device that comes back within the retention gets what it missed, in order, exactly
//! once. The log is also the send queue: the task that owns a socket reads it from its own cursor, so nothing
//! is queued twice and a slow reader costs one bounded log. Nothing here awaits or performs I/O.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bedside_protocol::{DeviceId, SessionId, UserId, socket::Event};
use tokio::{sync::Notify, time::Instant};

pub mod log;

use self::log::EventLog;
use crate::identity::Identity;

/// How many events may be under way to one socket before it counts as too slow and is disconnected.
pub const MAX_UNSENT_EVENTS: u64 = 512;

/// Why a socket has to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The same device opened another socket.
    Replaced,
    /// Its sign-in was ended.
    SignedOut,
    /// It does not read fast enough; the session stays.
    TooSlow,
    /// The server goes away.
    GoingAway,
}

/// What [`Hub::attach`] found.
pub struct Attached {
    /// The session to name in `welcome`.
    pub session: SessionId,
    /// Whether missed events follow.
    pub resumed: bool,
    /// The socket's end of the session.
    pub link: Link,
}

/// A socket's end of a session: where its events come from and where it learns that it must close.
pub struct Link {
    session: SessionId,
    socket: u64,
    cursor: u64,
    /// What was waiting at the resumption; only what comes after it counts as unsent.
    backlog_until: u64,
    wake: Arc<Notify>,
    hub: Hub,
}

/// All sessions. Cheap to clone.
#[derive(Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Held while a device comes or goes, until whoever keeps book of that has been told.
    door: Mutex<()>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<SessionId, Session>,
    by_user: HashMap<UserId, Vec<SessionId>>,
    next_socket: u64,
}

struct Session {
    owner: Identity,
    log: EventLog,
    wake: Arc<Notify>,
    line: Line,
}

/// Whether a session has a socket.
enum Line {
    Open { socket: u64, close: Option<CloseReason> },
    Lost { since: Instant },
}

/// What the owner of a socket has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this frame.
    Frame(String),
    /// Close the socket.
    Close(CloseReason),
}

impl Hub {
    /// Opens a session for a device that said hello, or resumes the one it names.
    ///
    /// Another socket of the same device is closed, and its session dropped unless it is the one resumed.
    ///
    /// `there` is told whether the session was resumed. What it and the other end's `gone` ([`Link::detach`]) do is in the
    /// order in which devices come and go: neither may attach or detach a socket itself.
    #[must_use]
    pub fn attach(
        &self,
        who: Identity,
        resume: Option<(SessionId, u64)>,
        there: impl FnOnce(bool),
    ) -> Attached {
        let _door = self.door();
        let attached = self.open(who, resume);
        there(attached.resumed);
        attached
    }

    fn open(&self, who: Identity, resume: Option<(SessionId, u64)>) -> Attached {
        let mut state = self.lock();
        let resumable = resume.filter(|(id, last_seq)| {
            state.sessions.get_mut(id).is_some_and(|session| {
                session.owner.device == who.device
                    && session.owner.user == who.user
                    && session.log.can_resume_after(*last_seq)
            })
        });
        let others: Vec<SessionId> = state
            .of_user(who.user)
            .filter(|(id, session)| {
                session.owner.device == who.device && Some(*id) != resumable.map(|(id, _)| id)
            })
            .map(|(id, _)| id)
            .collect();
        for id in others {
            state.drop_session(id);
        }
        state.next_socket += 1;
        let socket = state.next_socket;
        let (session_id, cursor) = match resumable {
            Some(found) => found,
            None => {
                let id = SessionId::random();
                state.by_user.entry(who.user).or_default().push(id);
                (id, 0)
            }
        };
        let session = state.sessions.entry(session_id).or_insert_with(|| Session {
            owner: who,
            log: EventLog::default(),
            wake: Arc::default(),
            line: Line::Lost { since: Instant::now() },
        });
        // A former socket of this session finds that it is no longer the session's and closes.
        session.wake.notify_one();
        session.owner = who;
        session.log.forget_until(cursor);
        session.wake = Arc::default();
        session.line = Line::Open { socket, close: None };
        let wake = Arc::clone(&session.wake);
        let backlog_until = session.log.last_seq();
        Attached {
            session: session_id,
            resumed: resumable.is_some(),
            link: Link { session: session_id, socket, cursor, backlog_until, wake, hub: self.clone() },
        }
    }

    /// Sends an event to every session of `user`, connected or waiting to be resumed.
    pub fn send_to_user(&self, user: UserId, event: &Event) {
        self.send_each(&[user], event, |_| true);
    }

    /// Sends an event to one device of `user`.
    pub fn send_to_device(&self, user: UserId, device: DeviceId, event: &Event) {
        self.send_each(&[user], event, |session| session.owner.device == device);
    }

    /// Sends an event to all devices of `user` but one.
    pub fn send_to_others(&self, user: UserId, except: DeviceId, event: &Event) {
        self.send_each(&[user], event, |session| session.owner.device != except);
    }

    /// Sends an event to every session of each of `users`.
    pub fn send_to_users(&self, users: &[UserId], event: &Event) {
        self.send_each(users, event, |_| true);
    }

    /// Sends an event to the devices of `users` that have an open socket, but for one: for what is of no use later.
    pub fn send_to_connected(&self, users: &[UserId], except: DeviceId, event: &Event) {
        self.send_each(users, event, |session| session.is_open() && session.owner.device != except);
    }

    /// Sends an event to every session of every user.
    pub fn broadcast(&self, event: &Event) {
        let Some(body) = encode(event) else { return };
        for session in self.lock().sessions.values_mut() {
            session.push(&body);
        }
    }

    fn send_each(&self, users: &[UserId], event: &Event, wanted: impl Fn(&Session) -> bool) {
        let mut state = self.lock();
        let State { sessions, by_user, .. } = &mut *state;
        let mut body = None;
        for id in users.iter().filter_map(|user| by_user.get(user)).flatten() {
            let Some(session) = sessions.get_mut(id).filter(|session| wanted(session)) else {
                continue;
            };
            if body.is_none() {
                body = encode(event);
            }
            if let Some(body) = &body {
                session.push(body);
            }
        }
    }

    /// The devices of `user` that have an open socket now.
    #[must_use]
    pub fn connected_devices(&self, user: UserId) -> Vec<DeviceId> {
        let mut state = self.lock();
        state.of_user(user).filter(|(_, s)| s.is_open()).map(|(_, s)| s.owner.device).collect()
    }

    /// The devices of `user` with a session, whether connected or still expected back.
    #[cfg(test)]
    pub(crate) fn known_devices(&self, user: UserId) -> Vec<DeviceId> {
        let mut state = self.lock();
        state.of_user(user).map(|(_, session)| session.owner.device).collect()
    }

    /// Whether this device has an open socket.
    #[cfg(test)]
    pub(crate) fn is_connected(&self, user: UserId, device: DeviceId) -> bool {
        self.connected_devices(user).contains(&device)
    }

    /// Ends the sessions that belong to a sign-in; their sockets close.
    pub fn end_sign_in(&self, sign_in: SessionId) {
        let mut state = self.lock();
        for session in state.sessions.values_mut().filter(|session| session.owner.sign_in == sign_in) {
            session.close(CloseReason::SignedOut);
        }
        let lost: Vec<SessionId> = state
            .sessions
            .iter()
            .filter(|(_, session)| {
                session.owner.sign_in == sign_in && matches!(session.line, Line::Lost { .. })
            })
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            state.drop_session(id);
        }
    }

    /// Asks every socket to close once what is in its log has been sent.
    pub fn close_all(&self) {
        for session in self.lock().sessions.values_mut() {
            session.close(CloseReason::GoingAway);
        }
    }

    /// Forgets sessions without a socket for longer than `retention`.
    pub fn sweep(&self, retention: Duration) {
        let mut state = self.lock();
        let now = Instant::now();
        let stale: Vec<SessionId> = state
            .sessions
            .iter()
            .filter(|(_, s)| matches!(s.line, Line::Lost { since } if now.duration_since(since) >= retention))
            .map(|(id, _)| *id)
            .collect();
        for id in stale {
            state.drop_session(id);
        }
    }

    fn door(&self) -> MutexGuard<'_, ()> {
        self.0.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of_user(&mut self, user: UserId) -> impl Iterator<Item = (SessionId, &Session)> {
        self.by_user
            .get(&user)
            .into_iter()
            .flatten()
            .filter_map(|id| self.sessions.get(id).map(|session| (*id, session)))
    }

    fn drop_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        session.wake.notify_one();
        if let Some(ids) = self.by_user.get_mut(&session.owner.user) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_user.remove(&session.owner.user);
            }
        }
    }
}

impl Session {
    fn is_open(&self) -> bool {
        matches!(self.line, Line::Open { close: None, .. })
    }

    fn push(&mut self, body: &Arc<str>) {
        self.log.push(Arc::clone(body));
        self.wake.notify_one();
    }

    fn close(&mut self, reason: CloseReason) {
        if let Line::Open { close, .. } = &mut self.line {
            close.get_or_insert(reason);
        }
        self.wake.notify_one();
    }
}

impl Link {
    /// Waits for the next frame to send, or for the reason to close. Cancel-safe.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            // A wake-up between the look and the wait is stored, not lost.
            self.wake.notified().await;
        }
    }

    /// The next frame to send or the reason to close, if there is one now.
    pub fn try_next(&mut self) -> Option<Next> {
        let mut state = self.hub.lock();
        let Some(session) = state.sessions.get_mut(&self.session) else {
            return Some(Next::Close(CloseReason::Replaced));
        };
        let Line::Open { socket, close } = session.line else {
            return Some(Next::Close(CloseReason::Replaced));
        };
        if socket != self.socket {
            return Some(Next::Close(CloseReason::Replaced));
        }
        if close == Some(CloseReason::SignedOut) {
            return close.map(Next::Close);
        }
        match session.log.after(self.cursor) {
            Some((seq, body)) => {
                if session.log.last_seq() - self.cursor.max(self.backlog_until) > MAX_UNSENT_EVENTS {
                    return Some(Next::Close(CloseReason::TooSlow));
                }
                self.cursor = seq;
                // `body` is `{"type":…}`: the number goes in front.
                Some(Next::Frame(format!("{{\"seq\":{seq},{}", &body[1..])))
            }
            None if session.log.last_seq() > self.cursor => Some(Next::Close(CloseReason::TooSlow)),
            None => close.map(Next::Close),
        }
    }

    /// The client has seen everything up to `seq`.
    pub fn acknowledge(&self, seq: u64) {
        let mut state = self.hub.lock();
        if let Some(session) = state.sessions.get_mut(&self.session)
            && seq <= self.cursor
        {
            session.log.forget_until(seq);
        }
    }

    /// The socket is gone. With `forget`, so is the session. `gone` is called when the device is now without a socket,
    /// which is not so when another one has taken over; see [`Hub::attach`].
    pub fn detach(mut self, forget: bool, gone: impl FnOnce()) {
        let hub = self.hub.clone();
        let _door = hub.door();
        if self.leave(forget) {
            gone();
        }
    }

    fn leave(&mut self, forget: bool) -> bool {
        let mut state = self.hub.lock();
        let Some(session) = state.sessions.get_mut(&self.session) else { return false };
        if !matches!(session.line, Line::Open { socket, .. } if socket == self.socket) {
            return false;
        }
        session.line = Line::Lost { since: Instant::now() };
        if forget {
            state.drop_session(self.session);
        }
        true
    }
}

impl Drop for Link {
    /// A task that ended without a word leaves a session that can be resumed, not one that seems connected.
    fn drop(&mut self) {
        self.leave(false);
    }
}

fn encode(event: &Event) -> Option<Arc<str>> {
    match serde_json::to_string(event) {
        Ok(text) => Some(text.into()),
        Err(error) => {
            tracing::error!(%error, "an event could not be written as JSON");
            None
        }
    }
}
