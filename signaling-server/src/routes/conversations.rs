//! Conversations and their logs. What the socket's `chat:message` and `chat:read` do has a twin here, which also takes
//! entries that are too long for a frame.

use axum::{
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
};
use bedside_protocol::{
    CallId, ConversationId, EntryId, ErrorCode, Problem, Sealed,
    conversation::{
        Append, AppendCommit, Appended, Conversation, CreateConversation, EntryKind, FoundGroup, Founded,
        GroupInfo, LogEntry, MAX_ENTRY_BYTES, MessageType, WaitingWelcome,
    },
    rest::Page,
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    fault::Fault,
    rest::{Caller, Json, Paging, Path, Query, Refused},
};

/// Room for one sealed thing in base64 and what is around it.
const ENTRY_BODY_BYTES: usize = MAX_ENTRY_BYTES / 3 * 4 + 64 * 1024;
/// Room for a commit, its welcome and its group information.
const COMMIT_BODY_BYTES: usize = 3 * ENTRY_BODY_BYTES;

/// `/api/conversations*`, `/api/messages/*`, `/api/welcomes*`.
pub(crate) fn router() -> OpenApiRouter<App> {
    let entries = OpenApiRouter::new()
        .routes(routes!(found))
        .routes(routes!(send_message))
        .layer(DefaultBodyLimit::max(ENTRY_BODY_BYTES));
    let commits =
        OpenApiRouter::new().routes(routes!(commit)).layer(DefaultBodyLimit::max(COMMIT_BODY_BYTES));
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(find))
        .routes(routes!(group_info))
        .routes(routes!(messages))
        .routes(routes!(mark_read))
        .routes(routes!(welcomes))
        .routes(routes!(drop_welcome))
        .merge(entries)
        .merge(commits)
}

/// Creates a conversation
///
/// For a direct one that exists, that one is the answer. Where the clinic has an archive, it takes part as well.
#[utoipa::path(post, path = "/conversations", tag = "conversations", operation_id = "create_conversation",
    request_body = CreateConversation,
    responses((status = 200, body = Conversation), Refused<401>, Refused<403>, Refused<422>))]
async fn create(
    State(app): State<App>,
    Caller(who): Caller,
    Json(wish): Json<CreateConversation>,
) -> Result<Json<Conversation>, Fault> {
    Ok(Json(app.conversations.create(&who, wish).await?))
}

/// Lists the conversations in which the asker takes part, those with the newest messages first
#[utoipa::path(get, path = "/conversations", tag = "conversations", operation_id = "conversations", params(Paging),
    responses((status = 200, body = Page<Conversation>), Refused<401>))]
async fn list(
    State(app): State<App>,
    Caller(who): Caller,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Conversation>>, Fault> {
    let range = paging.range()?;
    let (items, total) = app.conversations.list(&who, range.offset, range.limit).await?;
    Ok(Json(range.page(items, total)))
}

/// One conversation
#[utoipa::path(get, path = "/conversations/{id}", tag = "conversations", operation_id = "conversation",
    params(("id" = ConversationId, Path, description = "Which")),
    responses((status = 200, body = Conversation), Refused<401>, Refused<404>))]
async fn find(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<ConversationId>,
) -> Result<Json<Conversation>, Fault> {
    Ok(Json(app.conversations.find(&who, id).await?))
}

/// Founds the MLS group of a conversation
///
/// With `replaces` anew, where the newest group information leads nowhere: `group_exists` when there is newer.
#[utoipa::path(post, path = "/conversations/{id}/found", tag = "conversations", operation_id = "found_group",
    params(("id" = ConversationId, Path, description = "Which")), request_body = FoundGroup,
    responses((status = 200, body = Founded), Refused<401>, Refused<404>, Refused<409>, Refused<413>, Refused<422>,
        Refused<429>, Refused<507>))]
async fn found(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<ConversationId>,
    Json(group): Json<FoundGroup>,
) -> Result<Json<Founded>, Fault> {
    if group.replaces.is_some() {
        app.limits.check_change(who.user, id)?;
    }
    Ok(Json(app.conversations.found(&who, id, group).await?))
}

/// Changes the MLS group of a conversation
///
/// One commit ends an epoch; who comes second gets `stale_epoch`. The same commit again gets the first answer.
#[utoipa::path(post, path = "/conversations/{id}/commits", tag = "conversations", operation_id = "commit",
    params(("id" = ConversationId, Path, description = "Which")), request_body = AppendCommit,
    responses((status = 200, body = Appended), Refused<401>, Refused<404>, Refused<409>, Refused<413>, Refused<422>))]
async fn commit(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<ConversationId>,
    Json(commit): Json<AppendCommit>,
) -> Result<Json<Appended>, Fault> {
    app.limits.check_change(who.user, id)?;
    Ok(Json(app.conversations.commit(&who, id, commit).await?))
}

/// What a device needs to join the MLS group from outside
#[utoipa::path(get, path = "/conversations/{id}/group-info", tag = "conversations", operation_id = "group_info",
    params(("id" = ConversationId, Path, description = "Which")),
    responses((status = 200, body = GroupInfo), Refused<401>, Refused<404>, Refused<409>))]
async fn group_info(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<ConversationId>,
) -> Result<Json<GroupInfo>, Fault> {
    Ok(Json(app.conversations.group_info(&who, id).await?))
}

/// From where a log is read.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Stretch {
    /// The first position wanted; the first that is kept when absent. Pages count from here.
    from: Option<u64>,
    /// From 1.
    #[param(minimum = 1)]
    page: Option<u32>,
    /// 1..=100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    per_page: Option<u32>,
}

/// The log of a conversation, oldest entry first, each with its body
///
/// A first page ends early where it would hold more than 8 MiB of bodies: read on with `from`.
#[utoipa::path(get, path = "/conversations/{id}/messages", tag = "conversations", operation_id = "messages",
    params(("id" = ConversationId, Path, description = "Which"), Stretch),
    responses((status = 200, body = Page<LogEntry>), Refused<401>, Refused<404>, Refused<410>, Refused<422>))]
async fn messages(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<ConversationId>,
    Query(stretch): Query<Stretch>,
) -> Result<Json<Page<LogEntry>>, Fault> {
    let range = Paging { page: stretch.page, per_page: stretch.per_page }.range()?;
    let (items, total) =
        app.conversations.messages(&who, id, stretch.from, range.offset, range.limit).await?;
    Ok(Json(range.page(items, total)))
}

/// An entry for a log, where the path may say which.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct SendMessage {
    /// Which conversation; as in the path, or absent.
    conversation_id: Option<ConversationId>,
    /// Chosen by the device for this ciphertext.
    id: EntryId,
    /// The epoch it is sealed for.
    epoch: u64,
    /// How far this device has read: the first position that it does not have.
    #[serde(default)]
    next_position: u64,
    /// The sealed entry: an MLS private message.
    body: Sealed,
    /// What it is, if the client tells.
    #[serde(default)]
    message_type: MessageType,
    /// The call it belongs to.
    call_id: Option<CallId>,
}

/// Puts a sealed message into the log of a conversation
///
/// The same `id` of the same device again appends nothing and gets the same answer.
#[utoipa::path(post, path = "/conversations/{id}/send-message", tag = "conversations", operation_id = "send_message",
    params(("id" = ConversationId, Path, description = "Which")), request_body = SendMessage,
    responses((status = 200, body = Appended), Refused<401>, Refused<404>, Refused<409>, Refused<413>, Refused<422>))]
async fn send_message(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<ConversationId>,
    Json(message): Json<SendMessage>,
) -> Result<Json<Appended>, Fault> {
    if message.conversation_id.is_some_and(|named| named != id) {
        return Err(Problem::new(ErrorCode::InvalidValue)
            .with_detail("Path and body name different conversations.")
            .into());
    }
    let entry = Append {
        conversation_id: id,
        id: message.id,
        epoch: message.epoch,
        next_position: message.next_position,
        body: message.body,
        message_type: message.message_type,
        call_id: message.call_id,
        room_token: None,
    };
    Ok(Json(app.conversations.append(&who, EntryKind::Message, entry).await?))
}

/// Puts a sealed receipt for a message into the log of its conversation
#[utoipa::path(post, path = "/messages/{id}/mark-read", tag = "conversations", operation_id = "mark_read",
    params(("id" = EntryId, Path, description = "The message")), request_body = Append,
    responses((status = 200, body = Appended), Refused<401>, Refused<404>, Refused<409>, Refused<413>, Refused<422>))]
async fn mark_read(
    State(app): State<App>,
    Caller(who): Caller,
    Path(message): Path<EntryId>,
    Json(entry): Json<Append>,
) -> Result<Json<Appended>, Fault> {
    Ok(Json(app.conversations.mark_read(&who, message, entry).await?))
}

/// Lists the welcomes that wait for the asking device, oldest first
#[utoipa::path(get, path = "/welcomes", tag = "conversations", operation_id = "welcomes", params(Paging),
    responses((status = 200, body = Page<WaitingWelcome>), Refused<401>))]
async fn welcomes(
    State(app): State<App>,
    Caller(who): Caller,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<WaitingWelcome>>, Fault> {
    let range = paging.range()?;
    let (items, total) = app.conversations.welcomes(&who, range.offset, range.limit).await?;
    Ok(Json(range.page(items, total)))
}

/// The asking device has joined by this welcome, or does not need it
#[utoipa::path(delete, path = "/welcomes/{id}", tag = "conversations", operation_id = "drop_welcome",
    params(("id" = EntryId, Path, description = "From the list of welcomes")),
    responses((status = 204), Refused<401>, Refused<404>))]
async fn drop_welcome(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<EntryId>,
) -> Result<StatusCode, Fault> {
    app.conversations.drop_welcome(&who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
