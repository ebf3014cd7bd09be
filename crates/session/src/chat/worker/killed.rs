//! A messenger that is killed at any write, or by a power cut that takes back what had not reached the disk, goes on as
//! if nothing had been.
//!
//! One app lives through the same day again and again beside a friend's, before a genuine server: it starts, reads what
//! came while it was away, writes, is written to, reads. Each day it dies at another write, until a day ends before that
//! write comes. Whatever its person saw is kept; whatever was said is there on both sides, once, in the same order.

mod full;
mod handed_out;
mod renewed;

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bedside_e2ee::{
    DeviceIdentity,
    store::{Batch, Records, Store, StoreError},
};
use bedside_protocol::{DeviceType, Pii, Role, Secret, rest::SignedIn, user::DeviceInfo};
use bedside_testkit::clinic::{Clinic, PASSWORD};
use bedside_ui_contract::{
    Command,
    chat::{ChatView, ConversationState, ConversationView, MessageContent, MessageView},
    snapshot::ConnectionView,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use zeroize::Zeroizing;

use super::{ChatConfig, Held, Input, serve};
use crate::{
    api::Api,
    chat::{
        disk::Backing,
        inbox::{self, Outbox},
        vault::{Place, Vault},
    },
    secrets::MemoryStore as Secrets,
    socket::{Socket, SocketEvent},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The process: what was written is there.
    Killed,
    /// The computer: what was written since the last barrier is not.
    PowerCut,
}

/// A disk whose owner can be killed: at the given write or barrier from now, just after it took effect.
#[derive(Default)]
struct Mortal(Mutex<Life>);

#[derive(Default)]
struct Life {
    written: Records,
    /// As of the last barrier.
    lasting: Records,
    writes_left: Option<u32>,
    dead: bool,
    /// So many writes fit, and from then on none.
    room_for: Option<u32>,
    /// One did not.
    refused: bool,
}

impl Mortal {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn die_after(&self, writes: u32) {
        self.life().writes_left = Some(writes);
    }

    fn is_dead(&self) -> bool {
        self.life().dead
    }

    /// Nothing is to happen any more; false when it has already.
    fn spare(&self) -> bool {
        let mut life = self.life();
        life.writes_left = None;
        !life.dead
    }

    /// A new life, with what the end of the last one has left.
    fn revive(&self, end: End) {
        let mut life = self.life();
        (life.dead, life.writes_left) = (false, None);
        if end == End::PowerCut {
            life.written = life.lasting.clone();
        }
    }

    /// Does something to the disk, which may be the last thing that this process does.
    fn act(&self, act: impl FnOnce(&mut Life)) -> Result<(), StoreError> {
        let mut life = self.life();
        if life.room_for == Some(0) {
            life.refused = true;
            return Err(StoreError::Unavailable);
        }
        life.room_for = life.room_for.map(|room| room - 1);
        if !life.dead {
            act(&mut life);
            life.dead = life.writes_left == Some(0);
            life.writes_left = life.writes_left.and_then(|left| left.checked_sub(1));
        }
        if life.dead {
            drop(life);
            // The task ends here and now, and nothing of it runs any more.
            resume_unwind(Box::new("killed"));
        }
        Ok(())
    }
}

impl Store for Mortal {
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let life = self.life();
        if life.dead {
            drop(life);
            resume_unwind(Box::new("killed"));
        }
        Ok(life.written.get(key).cloned())
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.act(|life| {
            for (key, value) in batch {
                match value {
                    Some(value) => drop(life.written.insert(key, value)),
                    None => drop(life.written.remove(&key)),
                }
            }
        })
    }
}

impl Backing for Mortal {
    fn barrier(&self) -> Result<(), StoreError> {
        self.act(|life| life.lasting = life.written.clone())
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut life = self.life();
        life.written = life.lasting.clone();
        Ok(())
    }
}

/// Somebody's computer, and the messenger that runs on it.
struct Person {
    api: Api,
    signed_in: SignedIn,
    identity: Zeroizing<Vec<u8>>,
    disk: Arc<Mortal>,
    app: Option<App>,
    conversation: String,
    lives: u64,
}

struct App {
    inputs: Option<Arc<Outbox<Input>>>,
    view: watch::Receiver<ChatView>,
    task: JoinHandle<()>,
    line: JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
        self.line.abort();
    }
}

impl Person {
    async fn new(clinic: &Clinic, login: &str) -> Self {
        let api = Api::new(&clinic.url(), Arc::new(Secrets::default())).unwrap();
        let device =
            DeviceInfo { id: None, name: Pii::new("desk".into()), device_type: DeviceType::default() };
        let password = Secret::new(PASSWORD.into());
        let signed_in = api.sign_in(Pii::new(login.into()), password, device).await.unwrap();
        let identity = DeviceIdentity::generate(signed_in.user.id, signed_in.device_id).unwrap().export();
        let (disk, conversation) = (Arc::default(), String::new());
        let mut person = Self { api, signed_in, identity, disk, app: None, conversation, lives: 0 };
        person.start();
        person
    }

    /// The app is started.
    fn start(&mut self) {
        let (heard, mut lines) = mpsc::channel(256);
        let config = self.config(Socket::start(self.api.clone(), heard, self.lives));
        let vault = self.at_rest();
        self.lives += 1;
        let (inputs, inbox) = inbox::channel();
        let inputs = Arc::new(inputs);
        let (shown, view) = watch::channel(ChatView::default());
        let (events, _) = mpsc::unbounded_channel();
        let task = tokio::spawn(serve(config, vault, Held::default(), inbox, events, shown));
        let app = inputs.clone();
        let line = tokio::spawn(async move {
            while let Some(event) = lines.recv().await {
                let input = match event {
                    SocketEvent::Up(welcome) => Input::Online { resumed: welcome.resumed },
                    SocketEvent::Event(event) => Input::Event(event),
                    SocketEvent::State(ConnectionView::Online) => continue,
                    SocketEvent::State(_) => Input::Offline,
                    SocketEvent::SignedOut => panic!("signed out"),
                };
                app.tell(input);
            }
        });
        self.app = Some(App { inputs: Some(inputs), view, task, line });
    }

    fn config(&self, socket: Socket) -> ChatConfig {
        ChatConfig {
            api: self.api.clone(),
            socket,
            secrets: Arc::new(Secrets::default()),
            folder: std::env::temp_dir(),
            me: self.signed_in.user.clone(),
            device: self.signed_in.device_id,
            gone: Vec::new(),
            archive: None,
            read_receipts: true,
        }
    }

    /// What is on the disk.
    fn at_rest(&self) -> Vault {
        let (user, device) = (self.signed_in.user.id, self.signed_in.device_id);
        let place = Place { folder: std::env::temp_dir(), user, device };
        Vault::over(&place, &self.identity, self.disk.clone())
    }

    /// The app is closed, in good order.
    async fn close(&mut self) {
        let Some(mut app) = self.app.take() else { return };
        app.line.abort();
        // The task ends when nobody can tell it anything any more.
        app.inputs = None;
        let _ = (&mut app.line).await;
        tokio::time::timeout(PATIENCE, &mut app.task).await.expect("it closes").expect("in good order");
    }

    fn tell(&self, input: Input) {
        let app = self.app.as_ref().expect("it runs");
        app.inputs.as_ref().expect("it is open").tell(input);
    }

    fn write(&self, text: &str) {
        let conversation_id = self.conversation.clone();
        let text = text.to_owned();
        self.tell(Input::Command(Command::SendMessage { conversation_id, text, reply_to: None }));
    }

    /// Waits until the conversation is as wanted; `None` when the app has died first.
    async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&ConversationView) -> bool,
    ) -> Option<ConversationView> {
        let view = &mut self.app.as_mut().expect("it runs").view;
        let find = async {
            loop {
                let found = view.borrow_and_update().conversations.iter().find(|one| wanted(one)).cloned();
                if found.is_some() {
                    return found;
                }
                view.changed().await.ok()?;
            }
        };
        tokio::time::timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("never saw: {what}"))
    }

    /// The whole list as the window has it, what waits at its end; `None` when the app has died.
    async fn list(&self) -> Option<Vec<MessageView>> {
        let mut items = Vec::new();
        loop {
            let (answer, page) = oneshot::channel();
            let (id, from) = (self.conversation.parse().unwrap(), u32::try_from(items.len()).unwrap());
            self.tell(Input::Messages { id, from, count: 500, answer });
            let page = page.await.ok()?;
            let more = !page.items.is_empty();
            items.extend(page.items);
            if !more {
                return Some(items);
            }
        }
    }

    /// Waits until the list has all of this; false when the app has died first.
    async fn until_list(&mut self, what: &str, wanted: impl Fn(&[MessageView]) -> bool) -> bool {
        loop {
            let id = self.conversation.clone();
            let Some(seen) = self.until(what, |one| one.id == id).await else { return false };
            let Some(items) = self.list().await else { return false };
            if wanted(&items) {
                return true;
            }
            if self.until(what, |one| one.id == id && one.revision != seen.revision).await.is_none() {
                return false;
            }
        }
    }

    /// Everything that is there has been read.
    async fn read_all(&self) {
        let Some(items) = self.list().await else { return };
        if let Some(index) = u32::try_from(items.len()).unwrap().checked_sub(1) {
            let conversation_id = self.conversation.clone();
            self.tell(Input::Command(Command::MarkRead { conversation_id, index }));
        }
    }
}

fn texts(items: &[MessageView]) -> Vec<String> {
    let text = |item: &MessageView| match &item.content {
        MessageContent::Text { text } => Some(text.clone()),
        _ => None,
    };
    items.iter().filter_map(text).collect()
}

fn has(items: &[MessageView], wanted: &str) -> bool {
    texts(items).iter().any(|text| text == wanted)
}

/// Two who can write to each other.
async fn acquainted(clinic: &Clinic) -> (Person, Person) {
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let (mut hero, mut friend) = (Person::new(clinic, "ana").await, Person::new(clinic, "osei").await);
    let users = vec![hero.signed_in.user.id.to_string()];
    friend.until_online().await;
    friend.tell(Input::Command(Command::StartConversation { user_ids: users, title: None }));
    for person in [&mut hero, &mut friend] {
        let found = person.until("a conversation", |one| one.state == ConversationState::Ready).await;
        person.conversation = found.expect("alive").id;
    }
    (hero, friend)
}

impl Person {
    /// A conversation can be asked for only when there is a line.
    async fn until_online(&self) {
        let begun = async {
            while self.api.conversations().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.expect("the server answers");
    }
}

/// One day; true when the hero died in it.
async fn live(hero: &mut Person, friend: &mut Person, day: &str, writes: u32, end: End) -> bool {
    let (away, early, late) = (format!("{day} away"), format!("{day} early"), format!("{day} late"));
    let mine = [format!("{day} offline"), format!("{day} online")];
    hero.close().await;
    friend.write(&away);
    let sent = |items: &[MessageView]| has(items, &away);
    assert!(friend.until_list("sent", sent).await);
    hero.disk.die_after(writes);
    hero.start();
    friend.write(&early);
    let (mut died, mut answered) = (false, false);
    // What the hero's person has seen in the window.
    let mut seen: Vec<String> = Vec::new();
    loop {
        for text in &mine {
            // Whoever does not find it in the window writes it again.
            if hero.list().await.is_some_and(|items| !has(&items, text)) {
                hero.write(text);
            }
            if let Some(items) = hero.list().await {
                // What came from others and had not reached the disk comes from the server again.
                for kept in seen.iter().filter(|text| end == End::Killed || mine.contains(text)) {
                    assert!(has(&items, kept), "{kept} was in the window before {end:?} at {writes}");
                }
                seen = texts(&items);
                assert!(seen.contains(text));
            }
        }
        let alive =
            hero.until_list("what was written meanwhile", |items| has(items, &away) && has(items, &early));
        if alive.await {
            hero.read_all().await;
            let arrived = |items: &[MessageView]| mine.iter().all(|text| has(items, text));
            // The hero may die before it has sent them.
            let dead = async {
                while !hero.disk.is_dead() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                alive = friend.until_list("what the hero wrote", arrived) => {
                    assert!(alive);
                    friend.read_all().await;
                    if !std::mem::replace(&mut answered, true) {
                        friend.write(&late);
                    }
                    if hero.until_list("the last word", |items| has(items, &late)).await && hero.disk.spare() {
                        return died;
                    }
                }
                () = dead => {}
            }
        }
        died = true;
        hero.app = None;
        hero.disk.revive(end);
        hero.start();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_messenger_killed_at_any_write_loses_nothing_says_nothing_twice_and_keeps_the_order() {
    // A computer that starts so often in a minute would be told to wait.
    let clinic = Clinic::open_with(|config| config.limits.rest_burst = 100_000).await;
    let (mut hero, mut friend) = acquainted(&clinic).await;
    let mut most = BTreeMap::new();
    for end in [End::Killed, End::PowerCut] {
        for writes in 0.. {
            let day = format!("{end:?} {writes}");
            if !live(&mut hero, &mut friend, &day, writes, end).await {
                most.insert(format!("{end:?}"), writes);
                break;
            }
        }
    }
    println!("killed at each of so many writes: {most:?}");
    assert!(most.values().all(|writes| *writes > 15), "{most:?}");
    hero.disk.revive(End::Killed);
    hero.close().await;
    hero.start();
    friend.write("the end");
    for person in [&mut hero, &mut friend] {
        assert!(person.until_list("the end", |items| has(items, "the end")).await);
    }
    let (at_hero, at_friend) = (hero.list().await.unwrap(), friend.list().await.unwrap());
    assert_eq!(texts(&at_hero), texts(&at_friend));
    let mut once = texts(&at_friend);
    once.sort();
    once.dedup();
    assert_eq!(once.len(), texts(&at_friend).len(), "something was said twice");
    for items in [&at_hero, &at_friend] {
        let is_event = |item: &&MessageView| matches!(item.content, MessageContent::Event { .. });
        let events: Vec<_> = items.iter().filter(is_event).map(|item| &item.content).collect();
        assert!(events.is_empty(), "something else happened: {events:?}");
    }
    clinic.close().await;
}
