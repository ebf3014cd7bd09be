//! REST twins of the socket's call messages, and what is kept of calls.

use axum::{extract::State, http::StatusCode};
use bedside_protocol::{
    CallId, ErrorCode, Problem, Role, Timestamp,
    call::CallRecord,
    quality::StoredQualityMetrics,
    rest::{
        AcceptCall, CallClosed, CallHistoryQuery, CallStatistics, CallTicket, DeclineCall, ExtendCall,
        HangupCall, InitiateCall, Page, PostQualityMetrics,
    },
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    calls::history::Filter,
    clock,
    fault::Fault,
    idempotency::Ticket,
    identity::Identity,
    rest::{Caller, Json, Paging, Path, Query, Refused},
};

/// `/api/calls/*`, `/api/call-history`, `/api/call-statistics`.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(initiate))
        .routes(routes!(accept))
        .routes(routes!(decline))
        .routes(routes!(hang_up))
        .routes(routes!(extend))
        .routes(routes!(history))
        .routes(routes!(statistics))
        .routes(routes!(post_quality, quality))
}

/// Calls somebody
///
/// The answer may be a call that is over already (`busy`, `missed`), or, when the callee is calling the asker at
/// this moment, that call, answered.
#[utoipa::path(post, path = "/calls/initiate", tag = "calls", operation_id = "initiate_call",
    request_body = InitiateCall,
    responses((status = 200, body = CallTicket), Refused<401>, Refused<403>, Refused<409>))]
async fn initiate(
    State(app): State<App>,
    Caller(who): Caller,
    Json(wish): Json<InitiateCall>,
) -> Result<Ticket, Fault> {
    app.calls.initiate(&who, wish).await.map(Ticket)
}

/// Answers a ringing call on the device that asks
#[utoipa::path(post, path = "/calls/{call_id}/accept", tag = "calls", operation_id = "accept_call",
    params(("call_id" = CallId, Path, description = "Which call")), request_body = AcceptCall,
    responses((status = 200, body = CallTicket), Refused<401>, Refused<404>, Refused<409>))]
async fn accept(
    State(app): State<App>,
    Caller(who): Caller,
    Path(call_id): Path<CallId>,
    Json(accept): Json<AcceptCall>,
) -> Result<Ticket, Fault> {
    app.calls.accept(&who, call_id, accept).await.map(Ticket)
}

/// Declines a ringing call
#[utoipa::path(post, path = "/calls/{call_id}/decline", tag = "calls", operation_id = "decline_call",
    params(("call_id" = CallId, Path, description = "Which call")), request_body = DeclineCall,
    responses((status = 200, body = CallClosed), Refused<401>, Refused<404>, Refused<409>))]
async fn decline(
    State(app): State<App>,
    Caller(who): Caller,
    Path(call_id): Path<CallId>,
    Json(decline): Json<DeclineCall>,
) -> Result<Json<CallClosed>, Fault> {
    Ok(Json(app.calls.decline(&who, call_id, decline).await?))
}

/// Hangs up, cancels, or gives up
///
/// Hanging up a call that is over answers with its summary.
#[utoipa::path(post, path = "/calls/{call_id}/hangup", tag = "calls", operation_id = "hangup_call",
    params(("call_id" = CallId, Path, description = "Which call")), request_body = HangupCall,
    responses((status = 200, body = CallClosed), Refused<401>, Refused<404>, Refused<409>, Refused<422>))]
async fn hang_up(
    State(app): State<App>,
    Caller(who): Caller,
    Path(call_id): Path<CallId>,
    Json(hangup): Json<HangupCall>,
) -> Result<Json<CallClosed>, Fault> {
    Ok(Json(app.calls.hang_up(&who, call_id, hangup).await?))
}

/// Puts off the end of a call, for a clinician who takes part in it
///
/// `ends_at` names the end that is to be put off. One that has been put off already stays as it is: the request may be
/// repeated.
#[utoipa::path(post, path = "/calls/{call_id}/extend", tag = "calls", operation_id = "extend_call",
    params(("call_id" = CallId, Path, description = "Which call")), request_body = ExtendCall,
    responses((status = 200, body = CallRecord), Refused<401>, Refused<403>, Refused<404>, Refused<409>, Refused<422>))]
async fn extend(
    State(app): State<App>,
    Caller(who): Caller,
    Path(call_id): Path<CallId>,
    Json(extend): Json<ExtendCall>,
) -> Result<Json<CallRecord>, Fault> {
    Ok(Json(app.calls.extend(&who, call_id, extend).await?))
}

/// Lists one's own calls, newest first; an administrator sees everybody's
#[utoipa::path(get, path = "/call-history", tag = "calls", operation_id = "call_history",
    params(CallHistoryQuery),
    responses((status = 200, body = Page<CallRecord>), Refused<401>, Refused<422>))]
async fn history(
    State(app): State<App>,
    Caller(who): Caller,
    Query(query): Query<CallHistoryQuery>,
) -> Result<Json<Page<CallRecord>>, Fault> {
    let range = Paging { page: query.page, per_page: query.per_page }.range()?;
    let filter = Filter {
        call_type: query.call_type,
        phase: query.status,
        from: query.date_from,
        to: query.date_to,
        ..own(&who)
    };
    let (items, total) = app.calls.history().page(&filter, range.offset, range.limit).await?;
    Ok(Json(range.page(items, total)))
}

/// How far back statistics reach.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Period {
    /// A number and `h`, `d` or `w`; 30d when absent, at most ten years.
    period: Option<String>,
}

/// Totals of one's own calls in a period; for an administrator, of everybody's
#[utoipa::path(get, path = "/call-statistics", tag = "calls", operation_id = "call_statistics",
    params(Period),
    responses((status = 200, body = CallStatistics), Refused<401>, Refused<422>))]
async fn statistics(
    State(app): State<App>,
    Caller(who): Caller,
    Query(query): Query<Period>,
) -> Result<Json<CallStatistics>, Fault> {
    let period = query.period.as_deref().unwrap_or("30d");
    let millis = period_ms(period).ok_or_else(|| {
        Problem::new(ErrorCode::InvalidValue).with_detail("period is a number and h, d or w, such as 30d.")
    })?;
    let filter = Filter { from: Some(Timestamp(clock::now().0 - millis)), ..own(&who) };
    Ok(Json(app.calls.history().statistics(&filter).await?))
}

/// Keeps how well the call went for the one who sends
///
/// One second or up to 60, also after the call. What is there already stays as it is; of each side no more is kept than the
/// call has had seconds, and a minute.
#[utoipa::path(post, path = "/calls/{call_id}/quality-metrics", tag = "calls", operation_id = "post_quality_metrics",
    params(("call_id" = CallId, Path, description = "Which call")), request_body = PostQualityMetrics,
    responses((status = 204), Refused<401>, Refused<404>, Refused<422>))]
async fn post_quality(
    State(app): State<App>,
    Caller(who): Caller,
    Path(call_id): Path<CallId>,
    Json(metrics): Json<PostQualityMetrics>,
) -> Result<StatusCode, Fault> {
    let batch = match metrics {
        PostQualityMetrics::Batch(batch) => batch,
        PostQualityMetrics::One(one) => vec![*one],
    };
    app.calls.keep_quality(who.user, call_id, &batch).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How well the call went, second by second, for its participants and administrators
#[utoipa::path(get, path = "/calls/{call_id}/quality-metrics", tag = "calls", operation_id = "quality_metrics",
    params(("call_id" = CallId, Path, description = "Which call"), Paging),
    responses((status = 200, body = Page<StoredQualityMetrics>), Refused<401>, Refused<404>))]
async fn quality(
    State(app): State<App>,
    Caller(who): Caller,
    Path(call_id): Path<CallId>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<StoredQualityMetrics>>, Fault> {
    if who.role != Role::Admin && !app.calls.takes_part(who.user, call_id).await? {
        return Err(ErrorCode::CallNotFound.into());
    }
    let range = paging.range()?;
    let (items, total) = app.calls.quality().page(call_id, range.offset, range.limit).await?;
    Ok(Json(range.page(items, total)))
}

/// The calls that the asker may see.
fn own(who: &Identity) -> Filter {
    Filter { user: (who.role != Role::Admin).then_some(who.user), ..Filter::default() }
}

/// `30d` in milliseconds.
fn period_ms(text: &str) -> Option<i64> {
    const HOUR_MS: i64 = 3_600_000;
    const LONGEST_MS: i64 = 3660 * 24 * HOUR_MS;
    let unit = match text.chars().last()? {
        'h' => HOUR_MS,
        'd' => 24 * HOUR_MS,
        'w' => 7 * 24 * HOUR_MS,
        _ => return None,
    };
    let count: u32 = text[..text.len() - 1].parse().ok()?;
    i64::from(count).checked_mul(unit).filter(|millis| (1..=LONGEST_MS).contains(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_and_nonsense_is_refused() {
        assert_eq!(period_ms("30d"), Some(2_592_000_000));
        assert_eq!(period_ms("12h"), Some(43_200_000));
        assert_eq!(period_ms("2w"), period_ms("14d"));
        for nonsense in ["", "d", "0d", "-3d", "30", "30 d", "4000000000w", "9999999999999d", "dü"] {
            assert_eq!(period_ms(nonsense), None, "{nonsense:?}");
        }
    }
}
