//! Two whole engines and a server in one process, their media on a bad network: what a doctor and a patient see and
//! hear of it, and how the call comes back.

#[path = "bad_network/visit.rs"]
mod visit;

use std::time::Duration;

use bedside_protocol::{CallPhase, CallType, EndReason, quality::QualityClass};
use bedside_testkit::net::{Loss, Shape};
use bedside_ui_contract::{CallView, Command, snapshot::ConnectionView};
use visit::{Visit, longest_gap};

const CLEAN: Shape = Shape { delay_ms: 40.0, ..Shape::PERFECT };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_network_shows_every_picture_in_order_and_carries_the_voice() {
    let mut visit = Visit::begin(1, CLEAN).await;
    for seat in visit.seats() {
        seat.eye.forget();
        let seen = seat.eye.until("a hundred and fifty pictures", |seen| seen.counters.len() >= 150).await;
        assert!(seen.counters.is_sorted_by(|a, b| a < b), "pictures came out of order");
        assert_eq!(seen.unstamped, 0, "pictures were damaged");
        let mut ages = seen.ages_ms.clone();
        ages.sort_by(f64::total_cmp);
        let median = ages[ages.len() / 2];
        println!("pictures are {median:.0} ms old, at most {:.0}", ages[ages.len() - 1]);
        assert!(ages[0] >= 40.0, "a picture {} ms old has outrun the network", ages[0]);
        assert!(median < 500.0, "pictures are {median} ms old");
        let clarity = seat.eye.clarity(0.8).await;
        assert!(clarity > 0.8, "the voice is not what was said: {clarity}");
    }
    let [doctor, patient] = visit.end().await;
    for phases in [doctor, patient] {
        assert!(
            phases.is_sorted_by_key(|phase| CallPhase::ALL.iter().position(|each| each == phase)),
            "{phases:?}"
        );
        assert!(phases.contains(&CallPhase::Connected), "{phases:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_and_jitter_cost_neither_the_picture_nor_the_voice() {
    // 50 ms, 20 more or less.
    let shape =
        Shape { delay_ms: 30.0, jitter_ms: 40.0, reorder: true, loss: Loss::independent(0.05), ..CLEAN };
    let mut visit = Visit::begin(2, shape).await;
    for seat in visit.seats() {
        seat.eye.forget();
        let seen = seat.eye.until("two hundred pictures", |seen| seen.counters.len() >= 200).await;
        assert!(seen.counters.is_sorted_by(|a, b| a < b), "pictures came out of order");
        let gap = longest_gap(&seen);
        println!("longest freeze {gap:?}");
        assert!(gap < Duration::from_secs(3), "the picture stood still for {gap:?}");
        let clarity = seat.eye.clarity(0.6).await;
        assert!(clarity > 0.6, "the voice is not recognisable: {clarity}");
    }
    assert!(visit.lost_packets().iter().all(|lost| *lost > 0), "the network lost nothing");
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_stands_still_while_the_voice_goes_on_is_said() {
    let mut visit = Visit::begin(9, CLEAN).await;
    visit.until_pictures().await;
    let mut seconds = visit.patient.engine.stats();
    // A packet of sound is smaller, and so is every word of how the picture stands.
    visit.shape_to_patient(Shape { largest: 400, ..CLEAN });
    let mut freezes = 0;
    loop {
        let second = seconds.recv().await.expect("a second of the call");
        freezes += second.freezes;
        if second.video_quality == Some(QualityClass::Poor) && second.fps_in == 0.0 {
            break;
        }
    }
    assert!(freezes > 0, "the picture stood still, and that is no freeze");
    visit.patient.until_call("how bad it is", |call| call.quality == Some(QualityClass::Poor)).await;
    let paused = |call: &CallView| call.phase == CallPhase::Connected && call.peer_video_paused;
    visit.patient.until_call("the other side's picture is paused", paused).await;
    visit.doctor.until_call("so is one's own", |call| call.video_paused).await;
    visit.doctor.ask(Command::SetCameraOn { on: false });
    visit.doctor.until_call("nothing to pause", |call| !call.video_paused).await;
    let off = |call: &CallView| !call.peer_video_paused && !call.peer_camera_on;
    visit.patient.until_call("a camera that is off", off).await;
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_is_off_is_no_frozen_picture_and_two_make_a_voice_call() {
    let mut visit = Visit::begin(10, CLEAN).await;
    visit.until_pictures().await;
    visit.doctor.ask(Command::SetCameraOn { on: false });
    visit.patient.until_call("the doctor's camera is off", |call| !call.peer_camera_on).await;
    let mut seconds = visit.patient.engine.stats();
    for _ in 0..4 {
        let second = seconds.recv().await.expect("a second of the call");
        assert_eq!((second.freezes, second.video_quality), (0, None), "{second:?}");
        assert!(second.audio_quality.is_some());
    }
    visit.patient.ask(Command::SetCameraOn { on: false });
    for seat in visit.seats() {
        seat.until_call("a voice call", |call| call.call_type == CallType::Voice).await;
    }
    visit.doctor.ask(Command::SetCameraOn { on: true });
    for seat in visit.seats() {
        seat.until_call("a video call", |call| call.call_type == CallType::Video).await;
    }
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_of_three_seconds_is_said_and_survived() {
    let mut visit = Visit::begin(3, CLEAN).await;
    visit.until_pictures().await;
    visit.cut();
    let cut = tokio::time::Instant::now();
    visit.until_phase(CallPhase::Reconnecting).await;
    tokio::time::sleep_until(cut + Duration::from_secs(3)).await;
    visit.heal();
    visit.until_phase(CallPhase::Connected).await;
    visit.until_pictures().await;
    for phases in visit.end().await {
        let expected =
            [CallPhase::Connected, CallPhase::Reconnecting, CallPhase::Connected, CallPhase::Ended];
        assert!(phases.ends_with(&expected), "{phases:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_finds_the_call_going_on() {
    let mut visit = Visit::begin(4, CLEAN).await;
    visit.until_pictures().await;
    let before = visit.call_ids().await;
    let mut visit = visit.restart_server(Duration::ZERO).await;
    for seat in visit.seats() {
        seat.until("back online, in the call", |snapshot| {
            snapshot.connection == ConnectionView::Online
                && snapshot.call.as_ref().is_some_and(|call| call.phase == CallPhase::Connected)
        })
        .await;
    }
    assert_eq!(visit.call_ids().await, before, "another call");
    visit.until_pictures().await;
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_follows_whoever_changes_networks() {
    let mut visit = Visit::begin(5, CLEAN).await;
    for mover in [0, 1] {
        visit.until_pictures().await;
        visit.hosts[mover].change_address();
        visit.until_pictures().await;
    }
    for phases in visit.end().await {
        assert!(!phases.contains(&CallPhase::Reconnecting), "a move counted as a loss: {phases:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_change_that_nobody_tells_of_is_noticed_by_the_silence() {
    let mut visit = Visit::begin(6, CLEAN).await;
    visit.until_pictures().await;
    visit.hosts[1].change_address_unnoticed();
    visit.until_phase(CallPhase::Reconnecting).await;
    visit.until_phase(CallPhase::Connected).await;
    visit.until_pictures().await;
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_while_the_server_is_away_is_followed_once_it_is_back() {
    let mut visit = Visit::begin(8, CLEAN).await;
    visit.until_pictures().await;
    visit.hosts[0].change_address_unnoticed();
    // Long enough for both to have tried in vain, more than once.
    let mut visit = visit.restart_server(Duration::from_secs(6)).await;
    visit.until_pictures().await;
    visit.until_phase(CallPhase::Connected).await;
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_never_comes_back_ends_the_call_for_that_reason() {
    let grace = |config: &mut bedside_server::Config| config.calls.reconnect_grace = Duration::from_secs(1);
    let mut visit = Visit::begin_with(7, CLEAN, grace).await;
    visit.until_pictures().await;
    visit.cut();
    for seat in visit.seats() {
        let over = seat.until_call("it is over", |call| call.phase.is_final()).await;
        assert_eq!(over.end_reason, Some(EndReason::NetworkError));
    }
    for phases in visit.phases().await {
        let expected = [CallPhase::Connected, CallPhase::Reconnecting, CallPhase::Ended];
        assert!(phases.ends_with(&expected), "{phases:?}");
    }
    visit.doctor.ask(Command::DismissCall);
    visit.doctor.until("no call", |snapshot| snapshot.call.is_none()).await;
    visit.clinic.close().await;
}
