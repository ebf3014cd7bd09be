//! A device that the server makes up: it has keys of its own and says that it is whose the server likes.

use std::time::{SystemTime, UNIX_EPOCH};

use bedside_e2ee::{
    DeviceIdentity,
    mls::{Change, Device, Event, GroupId, MessageId, Outgoing, OwnDevicesLeave},
    store::MemoryStore,
};
use bedside_protocol::{
    ConversationId, DeviceId, DeviceType, EntryId, Pii, Sealed, Secret, UserId,
    conversation::{AppendCommit, ClaimedKeyPackage},
    user::DeviceInfo,
};
use bedside_session::{
    api::{Api, ApiError},
    chat::body::Body,
    secrets::MemoryStore as Secrets,
};
use bedside_testkit::{
    clinic::{Clinic, PASSWORD},
    mallory::Mallory,
};
use serde_json::{Value, json};

pub(crate) struct Ghost {
    pub(crate) api: Api,
    pub(crate) device: Device<MemoryStore>,
    pub(crate) user: UserId,
    pub(crate) id: DeviceId,
}

impl Ghost {
    /// One that the server has put on somebody's list of devices: here by signing in, as it need not.
    pub(crate) async fn of(clinic: &Clinic, login: &str) -> Self {
        let api = Api::new(&clinic.url(), std::sync::Arc::new(Secrets::default())).expect("an address");
        let device =
            DeviceInfo { id: None, name: Pii::new("ghost".into()), device_type: DeviceType::default() };
        let signed_in = api
            .sign_in(Pii::new(login.into()), Secret::new(PASSWORD.into()), device)
            .await
            .expect("signed in");
        let (user, id) = (signed_in.user.id, signed_in.device_id);
        Self { api, device: keys(user, id), user, id }
    }

    /// Keys that this person has made up and says are a device of `user`'s; whatever it does, it does signed in as itself.
    pub(crate) fn posing_as(&self, user: UserId) -> Self {
        let id = DeviceId::random();
        Self { api: self.api.clone(), device: keys(user, id), user, id }
    }

    /// What the server hands out in answer to a claim.
    pub(crate) fn claimed(&mut self, made: u64) -> ClaimedKeyPackage {
        let key_package = self.device.key_packages(1, false, made).expect("keys").remove(0);
        ClaimedKeyPackage { device_id: self.id, key_package }
    }

    /// From now on whoever asks for the user's key packages is given the ghost's too. Only once there are others: before
    /// that it would be alone, and they would come in by themselves.
    pub(crate) fn handed_out_too(&mut self, line: &Mallory) {
        let (path, package) = self.hand_out();
        line.twist_answers(move |asked, mut answer| {
            if asked.contains(&path) {
                let packages = answer.as_array_mut().expect("a list");
                if !packages.is_empty() {
                    packages.push(package.clone());
                }
            }
            answer
        });
    }

    /// The same with nothing but the ghost's.
    pub(crate) fn handed_out_instead(&mut self, line: &Mallory) {
        let (path, package) = self.hand_out();
        line.answer_instead(move |_, asked, _| asked.contains(&path).then(|| (200, json!([package]))));
    }

    fn hand_out(&mut self) -> (String, Value) {
        let package = serde_json::to_value(self.claimed(now())).expect("a key package");
        (format!("/users/{}/key-packages/claim", self.user), package)
    }

    /// Comes into a conversation from outside, as a user's new device does.
    pub(crate) async fn walk_in(&mut self, conversation: &str) {
        let commit = self.coming(conversation).await;
        self.offer(conversation, commit).await;
    }

    /// What it would take to come into a conversation from outside.
    pub(crate) async fn coming(&mut self, conversation: &str) -> Outgoing {
        let id: ConversationId = conversation.parse().expect("a conversation");
        let info = self.api.group_info(id).await.expect("group information");
        self.device.rejoin(&info.group_info.0, info.position).expect("a commit from outside")
    }

    /// Changes a conversation's group.
    pub(crate) async fn offer(&self, conversation: &str, commit: Outgoing) {
        self.try_to_offer(conversation, commit).await.expect("the server takes it");
    }

    /// The same, where the server may say no.
    pub(crate) async fn try_to_offer(&self, conversation: &str, commit: Outgoing) -> Result<(), ApiError> {
        let id: ConversationId = conversation.parse().expect("a conversation");
        let body = AppendCommit {
            id: EntryId::random(),
            epoch: commit.epoch,
            next_position: self.device.position(&name_of(conversation)).expect("in the group"),
            body: commit.entry,
            welcome: None,
            welcome_for: Vec::new(),
            group_info: commit.group_info.expect("group information"),
        };
        self.api.append_commit(id, &body).await.map(drop)
    }

    /// Says something in a conversation; the server takes it.
    pub(crate) async fn say(&mut self, clinic: &Clinic, conversation: &str, name: MessageId, body: &Value) {
        let sealed = self.seal(conversation, name, body);
        self.post(clinic, conversation, &sealed).await;
    }

    /// Hands in what was sealed, by itself or by another device.
    pub(crate) async fn post(&self, clinic: &Clinic, conversation: &str, sealed: &Outgoing) {
        let entry = json!({"id": EntryId::random(), "epoch": sealed.epoch, "body": sealed.entry});
        let token = self.api.access_token().await.expect("signed in");
        let path = format!("/api/conversations/{conversation}/send-message");
        assert_eq!(clinic.post(&token, &path, &entry).await, 200);
    }

    /// What it can read in a conversation's log.
    pub(crate) async fn read(&mut self, conversation: &str) -> Vec<String> {
        let id: ConversationId = conversation.parse().expect("a conversation");
        let name = name_of(conversation);
        let from = self.device.position(&name).expect("in the group");
        let mut texts = Vec::new();
        for entry in self.api.entries(id, from).await.expect("entries") {
            let Some(body) = entry.body else { continue };
            if let Ok(Some(Event::Message { body, .. })) =
                self.device.receive(&name, entry.position, &body.0, None)
                && let Some(Body::Text { text, .. }) = Body::read(&body.0)
            {
                texts.push(text);
            }
        }
        texts
    }

    /// A group of its own under a conversation's name, with other devices in it; what they are given to come in.
    pub(crate) fn found(&mut self, conversation: &str, packages: Vec<Sealed>) -> Outgoing {
        let name = name_of(conversation);
        self.device.create(&name, now()).expect("a group");
        let commit = self.device.commit(&name, &Change::Add(packages)).expect("a commit");
        self.device.receive(&name, 0, &commit.entry.0, None).expect("its own commit");
        commit
    }

    /// Seals something in its group.
    pub(crate) fn seal(&mut self, conversation: &str, name: MessageId, body: &Value) -> Outgoing {
        let body = serde_json::to_vec(body).expect("JSON");
        self.device.send(&name_of(conversation), name, &body).expect("sealed")
    }
}

/// What a new message is called.
pub(crate) fn new_name() -> MessageId {
    MessageId(EntryId::random().0)
}

fn keys(user: UserId, id: DeviceId) -> Device<MemoryStore> {
    let identity = DeviceIdentity::generate(user, id).expect("a key");
    Device::open(identity, MemoryStore::default(), Box::new(OwnDevicesLeave))
}

pub(crate) fn name_of(conversation: &str) -> GroupId {
    let id: ConversationId = conversation.parse().expect("a conversation");
    GroupId::new(*id.0.as_bytes()).expect("a name")
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
