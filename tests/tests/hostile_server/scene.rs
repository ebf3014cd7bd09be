//! Two people, each with an untrustworthy server of their own before the genuine one.

use bedside_protocol::{
    CallType, Role,
    conversation::{EntryKind, LogEntry},
};
use bedside_session::peer::NetworkOptions;
use bedside_testkit::{
    clinic::{Clinic, Computer},
    desk::Desk,
    mallory::Mallory,
};
use bedside_ui_contract::{
    Command, Failure, Notice,
    call::Protection,
    chat::{ChatEvent, ConversationState, ConversationView, MessageContent, MessageState, MessageView},
    snapshot::ConnectionView,
};

/// A doctor and a patient, and who stands before each.
pub(crate) struct Scene {
    pub(crate) clinic: Clinic,
    pub(crate) before_doctor: Mallory,
    pub(crate) before_patient: Mallory,
    pub(crate) doctor: Desk,
    pub(crate) patient: Desk,
}

impl Scene {
    /// Both are signed in; they have not talked yet.
    pub(crate) async fn signed_in() -> Self {
        Self::signed_in_over(NetworkOptions::loopback()).await
    }

    /// The same, with the doctor on another network.
    pub(crate) async fn signed_in_over(network: NetworkOptions) -> Self {
        let clinic = Clinic::open().await;
        clinic.add("osei", Role::Clinician).await;
        clinic.add("lind", Role::Clinician).await;
        clinic.add("ana", Role::Patient).await;
        clinic.befriend("osei", "ana").await;
        clinic.befriend("lind", "ana").await;
        clinic.befriend("lind", "osei").await;
        let before_doctor = Mallory::before(&clinic).await;
        let before_patient = Mallory::before(&clinic).await;
        let computer = Computer { network, ..clinic.computer("osei") };
        let doctor = Desk::on(computer, &before_doctor.url(), "osei").await;
        let patient = Desk::at(&clinic, &before_patient.url(), "ana").await;
        Self { clinic, before_doctor, before_patient, doctor, patient }
    }

    /// They have a conversation in which each has read the other.
    pub(crate) async fn talking() -> Self {
        Self::signed_in().await.greeted().await
    }

    /// The same, with the doctor on another network.
    pub(crate) async fn talking_over(network: NetworkOptions) -> Self {
        Self::signed_in_over(network).await.greeted().await
    }

    async fn greeted(self) -> Self {
        let mut scene = self;
        scene.doctor.open("ana").await;
        scene.patient.open("osei").await;
        scene.doctor.write("good morning");
        scene.patient.until_texts("a greeting", |texts| texts == ["good morning"]).await;
        scene.patient.write("hello");
        scene.doctor.until_texts("the answer", |texts| texts == ["good morning", "hello"]).await;
        // What each wrote has come back to them from the log: whatever is twisted now is what comes after.
        for desk in [&mut scene.doctor, &mut scene.patient] {
            desk.until("nothing under way", |one| one.waiting == 0).await;
        }
        scene
    }

    /// They have compared their code as well.
    pub(crate) async fn verified() -> Self {
        let mut scene = Self::talking().await;
        scene.compare().await;
        scene
    }

    /// They compare their code.
    pub(crate) async fn compare(&mut self) {
        let (osei, ana) = (self.patient.seat.person("osei"), self.doctor.seat.person("ana"));
        for (desk, other) in [(&mut self.doctor, ana), (&mut self.patient, osei)] {
            let code = desk.code().await;
            desk.confirm(code, vec![other]);
            desk.until("verified", |one| one.protection == Protection::Verified).await;
        }
    }

    pub(crate) fn conversation(&self) -> String {
        self.doctor.conversation.clone()
    }

    /// What was tried has done no harm: both go on talking, and each reads the other.
    pub(crate) async fn still_talk(mut self) {
        say(&mut self.doctor, &mut self.patient, "are you still there?").await;
        say(&mut self.patient, &mut self.doctor, "I am").await;
        self.clinic.close().await;
    }

    /// The doctor calls, and the patient answers.
    pub(crate) async fn call(&mut self) {
        let callee = self.doctor.seat.person("ana");
        self.doctor.seat.ask(Command::Call { user_id: callee, call_type: CallType::Voice });
        self.patient
            .seat
            .until_call("it rings", |call| call.phase == bedside_protocol::CallPhase::Ringing)
            .await;
        self.patient.seat.ask(Command::Answer { call_type: CallType::Voice });
    }
}

/// The server is away for the app behind `line` while `meanwhile` happens, and then is there again. What was said then,
/// the app learns from what it fetches when it comes back.
pub(crate) async fn while_away(line: &Mallory, desk: &mut Desk, meanwhile: impl AsyncFnOnce()) {
    line.go_away(true);
    desk.seat.until("offline", |one| one.connection != ConnectionView::Online).await;
    meanwhile().await;
    line.go_away(false);
    desk.seat.until("online", |one| one.connection == ConnectionView::Online).await;
}

/// Writes something and waits until the server has it.
pub(crate) async fn send(desk: &mut Desk, text: &str) {
    desk.write(text);
    let sent = |item: &MessageView| {
        item.content == MessageContent::Text { text: text.to_owned() } && item.state != MessageState::Queued
    };
    desk.until_items("sent", |items| items.iter().any(sent)).await;
}

/// Nothing leaves, and the person is told why.
pub(crate) async fn cannot_write(desk: &mut Desk) {
    desk.write("must not leave");
    refuses(desk, Failure::KeyChanged).await;
}

/// The person is told that what they wanted was not done, and why.
pub(crate) async fn refuses(desk: &mut Desk, failure: Failure) {
    let notice = Notice::Failed { failure };
    desk.seat
        .until("why it is not done", |snapshot| snapshot.notices.iter().any(|shown| shown.notice == notice))
        .await;
}

pub(crate) fn several(name: &str, own: bool, count: u32) -> ChatEvent {
    ChatEvent::SeveralDevices { name: name.to_owned(), own, count }
}

/// Waits until it is said that a device of this person came in by itself.
pub(crate) async fn sees_coming(desk: &mut Desk, name: &str) {
    let came = joined(name, true);
    desk.until_items("it is announced", |items| happenings(items).contains(&came)).await;
}

pub(crate) fn joined(name: &str, by_itself: bool) -> ChatEvent {
    ChatEvent::DeviceJoined { name: name.to_owned(), by_itself }
}

async fn say(from: &mut Desk, to: &mut Desk, text: &str) {
    from.until("usable", |one| one.state == ConversationState::Ready).await;
    from.write(text);
    to.until_texts(text, |texts| texts.iter().filter(|one| *one == text).count() == 1).await;
}

/// What happened in a conversation, beside what was said.
pub(crate) fn happenings(items: &[MessageView]) -> Vec<ChatEvent> {
    let event = |item: &MessageView| match &item.content {
        MessageContent::Event { event } => Some(event.clone()),
        _ => None,
    };
    items.iter().filter_map(event).collect()
}

/// How many entries the person is told were refused.
pub(crate) fn refused(items: &[MessageView]) -> u32 {
    let count = |event: ChatEvent| match event {
        ChatEvent::Refused { count } => count,
        _ => 0,
    };
    happenings(items).into_iter().map(count).sum()
}

/// How many messages the person is told are missing.
pub(crate) fn missing(items: &[MessageView]) -> u32 {
    let count = |event: ChatEvent| match event {
        ChatEvent::Missing { count, .. } => count,
        _ => 0,
    };
    happenings(items).into_iter().map(count).sum()
}

/// How many devices of others the person sees in a conversation.
pub(crate) fn others_devices(view: &ConversationView) -> usize {
    view.members.iter().filter(|member| !member.own).map(|member| member.devices.len()).sum()
}

/// How many devices of their own the person sees in a conversation.
pub(crate) fn own_devices(view: &ConversationView) -> usize {
    view.members.iter().filter(|member| member.own).map(|member| member.devices.len()).sum()
}

pub(crate) const fn is_message(entry: &LogEntry) -> bool {
    matches!(entry.kind, EntryKind::Message)
}

pub(crate) const fn is_receipt(entry: &LogEntry) -> bool {
    matches!(entry.kind, EntryKind::Delivered | EntryKind::Read)
}

pub(crate) const fn is_signal(entry: &LogEntry) -> bool {
    matches!(entry.kind, EntryKind::Offer | EntryKind::Answer | EntryKind::Ice)
}
