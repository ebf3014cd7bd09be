//! How well calls go, as their participants' devices say: what is kept of it, and what is not.

use bedside_protocol::{
    ErrorCode, Role,
    call::CallRecord,
    quality::StoredQualityMetrics,
    rest::{Page, SignedIn},
    socket::Event,
};
use serde_json::{Value, json};

use crate::{
    calls::{converse, hang_up},
    fixture::{Clinic, problem, some_call},
};

const DAY_MS: i64 = 24 * 3600 * 1000;

/// One second of quality metrics, as a client sends it.
pub(crate) fn second(at: i64) -> Value {
    json!({"at": at, "rtt": 31.5, "packet_loss": 0.25, "jitter": 4.0, "available_bandwidth_bps": 1_500_000,
        "audio_bitrate": 32_000, "video_bitrate": 1_200_000, "video_width": 1280, "video_height": 720,
        "frame_rate": 29.5, "freezes": 0, "concealed_ms": 20, "jitter_buffer_ms": 40, "encode_ms": 3.5,
        "decode_ms": 1.5, "cpu_usage": 30.0, "memory_bytes": 60_000_000u64,
        "audio_quality": "excellent", "video_quality": "good"})
}

fn path(call: &CallRecord) -> String {
    format!("/api/calls/{}/quality-metrics", call.call_id)
}

async fn refusal(clinic: &Clinic, who: &SignedIn, call: &CallRecord, body: Value) -> ErrorCode {
    problem(clinic.post(who, &path(call), body).await).await.code
}

async fn kept(clinic: &Clinic, who: &SignedIn, call: &CallRecord) -> Page<StoredQualityMetrics> {
    clinic.get(who, &path(call)).await.json().await.unwrap()
}

#[tokio::test]
async fn quality_metrics_are_kept_once_and_shown_to_both_sides() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let call = converse(&mut osei, &mut ana, &patient).await.call;
    let began = call.initiated_at.0;
    assert_eq!(clinic.post(&doctor, &path(&call), second(began + 1_000)).await.status(), 204);
    let batch = json!([second(began + 1_000), second(began + 2_000)]);
    assert_eq!(clinic.post(&doctor, &path(&call), batch).await.status(), 204);
    hang_up(&mut ana, call.call_id).await;
    let late = clinic.post(&patient, &path(&call), second(began + 1_500)).await;
    assert_eq!(late.status(), 204, "the last ones may come late");
    let page = kept(&clinic, &patient, &call).await;
    let seen: Vec<(i64, bool)> =
        page.items.iter().map(|row| (row.metrics.at.0 - began, row.user_id == doctor.user.id)).collect();
    assert_eq!(seen, [(1_000, true), (1_500, false), (2_000, true)]);
    let first = serde_json::to_value(&page.items[0].metrics).unwrap();
    assert_eq!(first, second(began + 1_000), "what was sent is what is kept");
    let mut voice = second(began + 2_500);
    voice.as_object_mut().unwrap().remove("video_quality");
    assert_eq!(clinic.post(&patient, &path(&call), voice.clone()).await.status(), 204);
    let last = kept(&clinic, &patient, &call).await.items.pop().unwrap();
    assert_eq!(
        serde_json::to_value(&last.metrics).unwrap(),
        voice,
        "nothing was to be seen, and nothing is said of it"
    );
    let mut impossible = second(began + 3_000);
    impossible["packet_loss"] = json!(1.5);
    assert_eq!(refusal(&clinic, &doctor, &call, impossible).await, ErrorCode::InvalidValue);
    assert_eq!(refusal(&clinic, &doctor, &call, json!([])).await, ErrorCode::InvalidValue);
    clinic.close().await;
}

#[tokio::test]
async fn no_more_is_kept_of_a_side_than_the_call_had_seconds_and_a_minute() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let call = converse(&mut osei, &mut ana, &patient).await.call;
    hang_up(&mut ana, call.call_id).await;
    let minute = |from: i64| (from..from + 60).map(|at| second(call.initiated_at.0 + at)).collect::<Vec<_>>();
    assert_eq!(clinic.post(&doctor, &path(&call), json!(minute(0))).await.status(), 204);
    assert_eq!(refusal(&clinic, &doctor, &call, json!(minute(60))).await, ErrorCode::InvalidValue);
    assert_eq!(kept(&clinic, &doctor, &call).await.total, 60, "a batch is kept whole or not at all");
    let repeated = clinic.post(&doctor, &path(&call), json!(minute(0))).await;
    assert_eq!(repeated.status(), 204, "what is there already costs nothing");
    let other = clinic.post(&patient, &path(&call), json!(minute(0))).await;
    assert_eq!(other.status(), 204, "each side has its own share");
    let too_long: Vec<Value> = (0..61).map(|at| second(call.initiated_at.0 + at)).collect();
    assert_eq!(refusal(&clinic, &patient, &call, json!(too_long)).await, ErrorCode::InvalidValue);
    clinic.close().await;
}

#[tokio::test]
async fn a_second_is_of_its_call_by_any_clock_that_is_off_by_less_than_a_day() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let call = converse(&mut osei, &mut ana, &patient).await.call;
    let ended = hang_up(&mut ana, call.call_id).await.ended_at.unwrap();
    for at in [call.initiated_at.0 - DAY_MS, ended.0 + DAY_MS] {
        assert_eq!(clinic.post(&doctor, &path(&call), second(at)).await.status(), 204);
    }
    for at in [call.initiated_at.0 - DAY_MS - 1, ended.0 + DAY_MS + 1, 0, i64::MIN, i64::MAX] {
        assert_eq!(refusal(&clinic, &doctor, &call, second(at)).await, ErrorCode::InvalidValue, "{at}");
    }
    assert_eq!(kept(&clinic, &doctor, &call).await.total, 2);
    clinic.close().await;
}

/// What a call's record says of its quality.
async fn summary(clinic: &Clinic, call: &CallRecord) -> Option<String> {
    let query = sqlx::query_scalar("SELECT quality_summary FROM calls WHERE id = ?1").bind(call.call_id.0);
    query.fetch_one(&clinic.server.app().db.read).await.unwrap()
}

/// Makes a call end earlier than it did.
async fn date_back(clinic: &Clinic, call: &CallRecord, by_ms: i64) {
    let query = sqlx::query(
        "UPDATE calls SET initiated_at = initiated_at - ?2, ended_at = ended_at - ?2 WHERE id = ?1",
    );
    query.bind(call.call_id.0).bind(by_ms).execute(&clinic.server.app().db.write).await.unwrap();
}

#[tokio::test]
async fn after_ninety_days_the_seconds_of_a_call_are_gone_and_its_summary_is_not() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let call = converse(&mut osei, &mut ana, &patient).await.call;
        let batch = json!([second(call.initiated_at.0), second(call.initiated_at.0 + 1)]);
        assert_eq!(clinic.post(&doctor, &path(&call), batch).await.status(), 204);
        hang_up(&mut ana, call.call_id).await;
        for socket in [&mut osei, &mut ana] {
            socket.event_where(|event| matches!(event, Event::CallEnded { .. }).then_some(())).await;
        }
        calls.push(call);
    }
    let live = converse(&mut osei, &mut ana, &patient).await.call;
    assert_eq!(clinic.post(&doctor, &path(&live), second(live.initiated_at.0)).await.status(), 204);
    date_back(&clinic, &calls[0], 91 * DAY_MS).await;
    date_back(&clinic, &calls[1], 91 * DAY_MS).await;
    date_back(&clinic, &calls[2], 89 * DAY_MS).await;
    let summed_up = summary(&clinic, &calls[0]).await;
    assert!(summed_up.is_some());

    clinic.server.app().calls.sweep().await.unwrap();
    for (call, seconds) in [(&calls[0], 0), (&calls[1], 0), (&calls[2], 2), (&live, 1)] {
        assert_eq!(kept(&clinic, &doctor, call).await.total, seconds);
    }
    let late = second(calls[0].initiated_at.0 - 91 * DAY_MS + 2);
    assert_eq!(
        clinic.post(&patient, &path(&calls[0]), late).await.status(),
        204,
        "it need not be sent again"
    );
    assert_eq!(kept(&clinic, &doctor, &calls[0]).await.total, 0);
    assert_eq!(summary(&clinic, &calls[0]).await, summed_up);
    clinic.close().await;
}

#[tokio::test]
async fn a_call_that_the_database_cannot_look_up_is_not_called_unknown() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let path = format!("/api/calls/{}/quality-metrics", some_call());
    assert_eq!(problem(clinic.get(&ana, &path).await).await.code, ErrorCode::CallNotFound);
    let lose = sqlx::query("ALTER TABLE calls RENAME TO lost");
    lose.execute(&clinic.server.app().db.write).await.unwrap();
    assert_eq!(problem(clinic.get(&ana, &path).await).await.code, ErrorCode::Internal);
    clinic.close().await;
}
