//! Files: uploaded in parts, fetched by range.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{
        DefaultBodyLimit, FromRequest, Multipart, Request, State,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bedside_protocol::{
    AttachmentId, ErrorCode, Problem,
    attachment::{Attachment, PART_BYTES, UploadPart},
};
use futures_util::{StreamExt, TryStreamExt};
use tokio::time::timeout;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    attachments::range::{Wanted, wanted},
    fault::{Causes, Fault},
    identity::Identity,
    rest::{Caller, Json, Path, Refused},
};

/// Room for the description of a part and what separates the fields.
const DESCRIPTION_BYTES: usize = 16 * 1024;
/// How long somebody who is answered already may go on sending.
const READ_OUT: Duration = Duration::from_secs(10);
/// Room for one part.
#[expect(clippy::cast_possible_truncation, reason = "8 MiB")]
const PART_BODY_BYTES: usize = PART_BYTES as usize + 2 * DESCRIPTION_BYTES;

/// `/api/attachments*`.
pub(crate) fn router() -> OpenApiRouter<App> {
    let upload = OpenApiRouter::new().routes(routes!(upload)).layer(DefaultBodyLimit::max(PART_BODY_BYTES));
    OpenApiRouter::new().routes(routes!(find, delete)).routes(routes!(content)).merge(upload)
}

/// What `multipart/form-data` of an upload holds, in this order.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the form")]
struct UploadForm {
    /// What the part is, as JSON.
    upload: UploadPart,
    /// The bytes of the part.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Uploads one part of a sealed file
///
/// Parts come in order; `GET /api/attachments/{id}` says how far an interrupted upload has come. A part that is there
/// already is answered as if it were new.
#[utoipa::path(post, path = "/attachments/upload", tag = "attachments", operation_id = "upload_attachment",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, body = Attachment), Refused<401>, Refused<404>, Refused<409>, Refused<410>, Refused<413>,
        Refused<415>, Refused<422>, Refused<429>, Refused<507>))]
async fn upload(
    State(app): State<App>,
    Caller(who): Caller,
    request: Request,
) -> Result<Json<Attachment>, Fault> {
    let mut form = Multipart::from_request(request, &app).await.map_err(|_| {
        Problem::new(ErrorCode::UnsupportedMediaType)
            .with_detail("Send multipart/form-data with the fields upload and file.")
    })?;
    let answer = match timeout(app.config.socket.body_within, begin(&mut form)).await {
        Ok(Ok((part, file))) => take(&app, &who, &part, file).await,
        Ok(Err(fault)) => Err(fault),
        // Who does not get to the file is not waited for any longer.
        Err(_late) => return Err(broken_off()),
    };
    let rest = async {
        while let Ok(Some(mut rest)) = form.next_field().await {
            while let Ok(Some(_)) = rest.chunk().await {}
        }
    };
    read_out(rest).await;
    answer.map(Json)
}

/// Reads what somebody is still sending, for a while: an answer given before would be lost with the connection.
async fn read_out(rest: impl Future<Output = ()>) {
    // Who does not come to an end has gone or does not mean to, and will not read the answer either.
    let _ = timeout(READ_OUT, rest).await;
}

/// Reads up to the bytes of the file.
async fn begin(form: &mut Multipart) -> Result<(UploadPart, Field<'_>), Fault> {
    let part = describe(expect(form, "upload").await?).await?;
    Ok((part, expect(form, "file").await?))
}

async fn take(app: &App, who: &Identity, part: &UploadPart, file: Field<'_>) -> Result<Attachment, Fault> {
    let mut file = file.map_err(|error| unreadable(&error)).boxed();
    let answer = app.attachments.upload(who, part, &mut file).await;
    read_out(async { while let Some(Ok(_)) = file.next().await {} }).await;
    answer
}

async fn expect<'a>(form: &'a mut Multipart, name: &str) -> Result<Field<'a>, Fault> {
    let field = form.next_field().await.map_err(|error| unreadable(&error))?;
    field.filter(|field| field.name() == Some(name)).ok_or_else(|| {
        Problem::new(ErrorCode::InvalidValue)
            .with_detail("The form has the fields upload and file, in this order.")
            .into()
    })
}

async fn describe(mut field: Field<'_>) -> Result<UploadPart, Fault> {
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| unreadable(&error))? {
        if text.len() + chunk.len() > DESCRIPTION_BYTES {
            let detail = format!("The field upload may have {DESCRIPTION_BYTES} bytes.");
            return Err(Problem::new(ErrorCode::TooLarge).with_detail(detail).into());
        }
        text.extend_from_slice(&chunk);
    }
    // serde's words may quote what was sent.
    serde_json::from_slice(&text).map_err(|_| {
        Problem::new(ErrorCode::InvalidValue)
            .with_detail("The field upload is not the JSON that /api/openapi.json describes.")
            .into()
    })
}

fn unreadable(error: &MultipartError) -> Fault {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("A part has at most {PART_BYTES} bytes.");
        return Problem::new(ErrorCode::TooLarge).with_detail(detail).into();
    }
    broken_off()
}

fn broken_off() -> Fault {
    Problem::new(ErrorCode::MalformedMessage).with_detail("The form broke off or is not well-formed.").into()
}

/// What is known of an attachment, and how much of it is there
#[utoipa::path(get, path = "/attachments/{id}", tag = "attachments", operation_id = "attachment",
    params(("id" = AttachmentId, Path, description = "Which")),
    responses((status = 200, body = Attachment), Refused<401>, Refused<404>, Refused<410>))]
async fn find(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<AttachmentId>,
) -> Result<Json<Attachment>, Fault> {
    Ok(Json(app.attachments.find(&who, id).await?))
}

/// Deletes an attachment of one's own
#[utoipa::path(delete, path = "/attachments/{id}", tag = "attachments", operation_id = "delete_attachment",
    params(("id" = AttachmentId, Path, description = "Which")),
    responses((status = 204), Refused<401>, Refused<403>, Refused<404>, Refused<410>))]
async fn delete(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<AttachmentId>,
) -> Result<StatusCode, Fault> {
    app.attachments.delete(&who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The sealed bytes of a complete attachment, or a range of them
#[utoipa::path(get, path = "/attachments/{id}/content", tag = "attachments", operation_id = "attachment_content",
    params(("id" = AttachmentId, Path, description = "Which"),
        ("Range" = Option<String>, Header, description = "One range of bytes (RFC 9110 §14)")),
    responses((status = 200, content_type = "application/octet-stream"),
        (status = 206, content_type = "application/octet-stream"),
        Refused<401>, Refused<404>, Refused<410>, Refused<416>))]
async fn content(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<AttachmentId>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let content = app.attachments.open(&who, id).await?;
    let total = content.total_bytes;
    let tag = format!("\"{}\"", content.sha256);
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    // What somebody has of another file must not be continued with this one.
    let same = text(header::IF_RANGE).is_none_or(|expected| expected == tag);
    let range = match wanted(text(header::RANGE).filter(|_| same), total) {
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
        Wanted::Unsatisfiable => return Ok(unsatisfiable(total)),
    };
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let content_range =
        range.as_ref().map(|range| format!("bytes {}-{}/{total}", range.start, range.end - 1));
    let range = range.unwrap_or(0..total);
    let length = range.end - range.start;
    let bytes = app.attachments.read(id, range).await?.inspect_err(|error| {
        tracing::error!(error = %Causes(error), "the store of attachments failed while an attachment was fetched");
    });
    let mut response = (status, Body::from_stream(bytes)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    for (name, value) in [(header::ETAG, Some(tag)), (header::CONTENT_RANGE, content_range)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

fn unsatisfiable(total: u64) -> Response {
    let mut problem =
        Problem::new(ErrorCode::InvalidValue).with_detail(format!("The file has {total} bytes."));
    problem.status = StatusCode::RANGE_NOT_SATISFIABLE.as_u16();
    let mut response = Fault::from(problem).into_response();
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{total}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}
