//! What tests say into a conversation's log, and read there.

use bedside_protocol::{
    ConversationId, EntryId, ErrorCode,
    conversation::{Append, AppendCommit, Appended, Conversation, LogEntry, WaitingWelcome},
    rest::{Page, SignedIn},
};
use serde_json::json;

use crate::{
    fixture::{Clinic, Socket, problem},
    mls,
};

pub(crate) async fn say(socket: &mut Socket, append: &Append) -> Result<Appended, ErrorCode> {
    let answer = socket.request("chat:message", serde_json::to_value(append).unwrap()).await;
    answer.map(|value| serde_json::from_value(value).unwrap()).map_err(|problem| problem.code)
}

/// A change of the group by a member.
pub(crate) fn commit(log: ConversationId, epoch: u64, body: &[u8]) -> AppendCommit {
    AppendCommit {
        id: EntryId::random(),
        epoch,
        next_position: 0,
        body: mls::private(log, epoch, mls::Content::Commit, body),
        welcome: None,
        welcome_for: Vec::new(),
        group_info: mls::group_info(log, epoch.saturating_add(1), &[b"after ", body].concat()),
    }
}

pub(crate) async fn send_commit(
    clinic: &Clinic,
    who: &SignedIn,
    log: ConversationId,
    commit: &AppendCommit,
) -> Result<Appended, ErrorCode> {
    let path = format!("/api/conversations/{log}/commits");
    let response = clinic.post(who, &path, serde_json::to_value(commit).unwrap()).await;
    match response.status().as_u16() {
        200 => Ok(response.json().await.unwrap()),
        _ => Err(problem(response).await.code),
    }
}

pub(crate) async fn read(
    clinic: &Clinic,
    who: &SignedIn,
    log: ConversationId,
    query: &str,
) -> Page<LogEntry> {
    let response = clinic.get(who, &format!("/api/conversations/{log}/messages{query}")).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

pub(crate) async fn look(clinic: &Clinic, who: &SignedIn, log: ConversationId) -> Conversation {
    clinic.get(who, &format!("/api/conversations/{log}")).await.json().await.unwrap()
}

pub(crate) async fn welcomes(clinic: &Clinic, who: &SignedIn) -> Vec<WaitingWelcome> {
    clinic.get(who, "/api/welcomes").await.json::<Page<WaitingWelcome>>().await.unwrap().items
}

pub(crate) async fn acknowledge(socket: &mut Socket, log: ConversationId, next_position: u64) {
    let ack = json!({"conversation_id": log, "next_position": next_position});
    socket.request("chat:ack", ack).await.unwrap();
}
