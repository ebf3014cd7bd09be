//! Calls with WebRTC stacks that nobody here wrote: pictures, sound and messages both ways, whoever offers.

#![cfg(target_os = "linux")]

use bedside_session::peer::{CandidateKind, NetworkOptions, PeerConfig, PeerState};
use bedside_tests::call::{Call, Offerer};
use bedside_tests::outside::{self, Outside};
use bedside_tests::relay::{Relay, as_json};
use bedside_tests::{browser, media, python};
use serde_json::json;

/// A call on loopback in which everything is checked that both kinds of strangers can do.
async fn whole_call(stranger: Outside, offerer: Offerer) -> Call {
    let name = stranger.name;
    let mut call = Call::on_loopback(stranger, offerer).await;
    let stats = call.prove().await;
    call.tell_times(&format!("{name}, {offerer:?} offered"), &stats);
    call
}

/// Chromium's fake camera shows a clock on a green ground.
fn assert_shows_the_fake_camera(call: &Call) {
    let seen = call.listener.seen.as_ref().expect("a picture");
    assert_eq!((seen.width(), seen.height()), (640, 360));
    let mean = |plane: &[u8]| plane.iter().map(|sample| f64::from(*sample)).sum::<f64>() / plane.len() as f64;
    let [u, v] = [mean(seen.u()), mean(seen.v())];
    println!("mean chroma of Chromium's camera: {u:.0}, {v:.0}");
    assert!(u < 118.0 && v < 118.0, "not green: {u:.0}, {v:.0}");
}

fn assert_shows_the_colour(call: &Call) {
    let seen = call.listener.seen.as_ref().expect("a picture");
    assert_eq!((seen.width(), seen.height()), (640, 360));
    for (plane, sent) in [(seen.y(), 90_u8), (seen.u(), 60), (seen.v(), 190)] {
        let near = plane.iter().filter(|sample| sample.abs_diff(sent) <= 6).count();
        assert!(near * 10 > plane.len() * 9, "a plane is not {sent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_answers_our_offer() {
    let chromium = browser::start(browser::WITH_CAMERA).await;
    let call = whole_call(chromium, Offerer::We).await;
    assert_shows_the_fake_camera(&call);
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_answer_chromiums_offer() {
    let chromium = browser::start(browser::WITH_CAMERA).await;
    let call = whole_call(chromium, Offerer::They).await;
    assert_shows_the_fake_camera(&call);
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_chromium_survives_ice_restarts_of_either_side() {
    let chromium = browser::start(browser::WITH_CAMERA).await;
    let mut call = Call::on_loopback(chromium, Offerer::We).await;
    call.until("pictures", |_, listener| listener.pictures >= 10).await;
    call.offer(true).await;
    goes_on(&mut call).await;
    call.say(json!({"type": "restart"}));
    goes_on(&mut call).await;
    call.end().await;
}

/// Pictures go on both ways.
async fn goes_on(call: &mut Call) {
    let before = call.listener.pictures;
    call.until("more pictures here", |_, listener| listener.pictures >= before + 60).await;
    let decoded = outside::number(&call.ask("report").await, "frames_decoded");
    call.ask_until("report", |report| outside::number(report, "frames_decoded") >= decoded + 30.0).await;
    let answer = call.ask_until("picture", |answer| outside::picture(answer).is_some()).await;
    let damage = outside::picture(&answer).as_ref().map(media::damage).expect("a picture");
    assert!(damage[0] < 6.0, "the picture came changed: {damage:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aiortc_answers_our_offer() {
    let call = whole_call(python::start(), Offerer::We).await;
    assert_shows_the_colour(&call);
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_answer_aiortcs_offer() {
    let call = whole_call(python::start(), Offerer::They).await;
    assert_shows_the_colour(&call);
    call.end().await;
}

/// Our side through coturn alone, and Chromium too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_chromium_through_coturn_alone() {
    let relay = Relay::start();
    let chromium = browser::start(browser::WITH_CAMERA).await;
    let config = PeerConfig {
        ice_servers: relay.servers(),
        network: NetworkOptions { relay_only: true, ..NetworkOptions::loopback() },
        ..PeerConfig::default()
    };
    let settings = json!({"relay_only": true, "ice_servers": as_json(&relay.servers())});
    let mut call = Call::begin(chromium, Offerer::We, config, settings).await;
    let stats = call.prove().await;
    call.tell_times("Chromium through coturn", &stats);
    // The far end of a relayed path may be found before it is told.
    assert_eq!(stats.local, Some(CandidateKind::Relay));
    assert!(call.facts.their_candidates.iter().all(|candidate| candidate.contains(" typ relay")));
    assert_eq!(call.ask("report").await["local"], "relay");
    call.end().await;
}

/// A page that may not use the camera hides its addresses behind names that only multicast resolves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromiums_hidden_addresses_are_found_by_multicast() {
    let chromium = browser::start(&[]).await;
    let config = PeerConfig { network: NetworkOptions::default(), ..PeerConfig::default() };
    let mut call = Call::begin(chromium, Offerer::They, config, json!({"media": false})).await;
    // Chromium cannot begin: it has to be found.
    call.tells_candidates = false;
    call.converse().await;
    let hidden = |candidate: &String| candidate.contains(".local ");
    let told = &call.facts.their_candidates;
    assert!(told.iter().all(hidden), "an address is shown: {told:?}");
    call.tell_times("Chromium by multicast", &call.peer().stats().await);
    call.end().await;
}

/// Chromium says nothing when it leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chromium_that_leaves_is_missed() {
    let chromium = browser::start(browser::WITH_CAMERA).await;
    let mut call = Call::on_loopback(chromium, Offerer::They).await;
    call.until("pictures", |_, listener| listener.pictures >= 10).await;
    call.say(json!({"type": "close"}));
    let gone = [Some(PeerState::Disconnected), Some(PeerState::Closed)];
    call.until("the end", |facts, _| gone.contains(&facts.state)).await;
    call.end().await;
}
