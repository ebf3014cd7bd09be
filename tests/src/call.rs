//! A call between our peer and a stranger: carries the negotiation, plays media, and waits for what should happen.

use std::time::{Duration, Instant};

use bedside_session::peer::{
    CandidateInit, MediaKind, NetworkOptions, Peer, PeerConfig, PeerEvent, PeerState, TransportStats,
};
use bedside_testkit::peers::Side;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::media::{self, Listener, Talker};
use crate::outside::{self, Outside, kind};

/// Whatever must happen in a call happens within this time, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who makes the first offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offerer {
    /// Our peer.
    We,
    /// The stranger.
    They,
}

/// What became of the call so far.
#[derive(Debug, Default)]
pub struct Facts {
    /// Our state.
    pub state: Option<PeerState>,
    /// Our data channel is open.
    pub channel: bool,
    /// Theirs is.
    pub their_channel: bool,
    /// Messages we got.
    pub messages: Vec<Bytes>,
    /// Messages they got.
    pub their_messages: Vec<String>,
    /// The newest answer of theirs to a question.
    pub answer: Option<Value>,
    /// Candidates of theirs, as text.
    pub their_candidates: Vec<String>,
    /// From the second description to our first picture of theirs.
    pub first_picture: Option<Duration>,
    /// From the second description to `Connected`.
    pub connected: Option<Duration>,
}

enum Happened {
    Here(PeerEvent),
    There(Value),
}

/// See the module.
pub struct Call {
    side: Side,
    talker: Talker,
    /// What arrived at our side.
    pub listener: Listener,
    stranger: Outside,
    /// See [`Facts`].
    pub facts: Facts,
    began: Instant,
    /// Whether the stranger is told our candidates.
    pub tells_candidates: bool,
}

impl Call {
    /// Begins a call over the given network; `settings` are added to those of the stranger.
    ///
    /// # Panics
    /// When our peer cannot be made.
    pub async fn begin(stranger: Outside, offerer: Offerer, config: PeerConfig, settings: Value) -> Self {
        let config = PeerConfig { offerer: offerer == Offerer::We, ..config };
        let side = Side::with_config(config).await.expect("our peer is made");
        let talker = Talker::start(&side.peer);
        let mut begin = json!({"type": "begin", "offerer": offerer == Offerer::They, "media": true});
        if let (Some(begin), Some(more)) = (begin.as_object_mut(), settings.as_object()) {
            begin.extend(more.clone());
        }
        stranger.say(begin);
        let mut call = Self {
            side,
            talker,
            listener: Listener::default(),
            stranger,
            facts: Facts::default(),
            began: Instant::now(),
            tells_candidates: true,
        };
        if offerer == Offerer::We {
            call.offer(false).await;
        }
        call
    }

    /// A call on loopback.
    ///
    /// # Panics
    /// As [`Call::begin`].
    pub async fn on_loopback(stranger: Outside, offerer: Offerer) -> Self {
        let config = PeerConfig { network: NetworkOptions::loopback(), ..PeerConfig::default() };
        Self::begin(stranger, offerer, config, json!({})).await
    }

    /// Our peer.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.side.peer
    }

    /// Makes an offer; its answer is taken when it comes.
    ///
    /// # Panics
    /// When our peer refuses.
    pub async fn offer(&mut self, ice_restart: bool) {
        let sdp = self.side.peer.create_offer(ice_restart).await.expect("we offer");
        self.stranger.say(json!({"type": "offer", "sdp": sdp}));
        self.began = Instant::now();
    }

    /// Says something to the stranger.
    pub fn say(&self, message: Value) {
        self.stranger.say(message);
    }

    /// Goes on until `done`.
    ///
    /// # Panics
    /// When that takes too long, or either side fails; `what` is named.
    pub async fn until(&mut self, what: &str, mut done: impl FnMut(&Facts, &Listener) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.facts, &self.listener) {
            let in_time = self.step(deadline).await;
            assert!(in_time, "{what} does not happen with {}: {:?}", self.stranger.name, self.facts);
        }
    }

    /// Asks the stranger and waits for the answer, which is named like the question.
    ///
    /// # Panics
    /// As [`Call::until`].
    pub async fn ask(&mut self, question: &str) -> Value {
        self.facts.answer = None;
        self.stranger.say(json!({"type": question}));
        self.until(question, |facts, _| facts.answer.as_ref().is_some_and(|answer| kind(answer) == question))
            .await;
        self.facts.answer.take().unwrap_or_default()
    }

    /// Asks again and again until the answer is good.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn ask_until(&mut self, question: &str, mut good: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(question).await;
            if good(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "no good {question} from {}: {answer}", self.stranger.name);
            // Media goes on meanwhile.
            let pause = Instant::now() + Duration::from_millis(100);
            while self.step(pause).await {}
        }
    }

    /// Both connected, channels open, pictures and sound arriving at both ends and right, messages both ways.
    ///
    /// # Panics
    /// When any of that does not happen.
    pub async fn prove(&mut self) -> TransportStats {
        self.until("the connection", |facts, _| facts.state == Some(PeerState::Connected)).await;
        self.converse().await;
        self.until("thirty pictures", |_, listener| listener.pictures >= 30).await;
        // Compared ten times a second, not with every packet.
        let mut enough = 48_000;
        self.until("the tone", |_, listener| {
            let heard = &listener.heard;
            heard.len() >= enough && {
                enough = heard.len() + 4_800;
                media::likeness_to_tone(heard) > 0.8
            }
        })
        .await;
        self.see_and_hear_there().await;
        self.side.peer.stats().await
    }

    /// Both channels open, and a message each way.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn converse(&mut self) {
        self.until("open channels", |facts, _| facts.channel && facts.their_channel).await;
        self.until("a message each way", {
            self.side.peer.send_message(Bytes::from_static("grüß Gott".as_bytes())).await.expect("we say so");
            self.say(json!({"type": "message", "text": "hello, doctor"}));
            |facts, _| !facts.messages.is_empty() && !facts.their_messages.is_empty()
        })
        .await;
        assert_eq!(self.facts.their_messages, ["grüß Gott"]);
        assert_eq!(self.facts.messages, [Bytes::from_static(b"hello, doctor")]);
    }

    /// What the stranger gets is our pattern and our tone.
    async fn see_and_hear_there(&mut self) {
        let report =
            self.ask_until("report", |report| outside::number(report, "frames_decoded") >= 30.0).await;
        assert_eq!(report["codec"].as_str().map(str::to_ascii_lowercase).as_deref(), Some("video/h264"));
        let whole = |answer: &Value| {
            outside::picture(answer).is_some_and(|image| bedside_media::stamp::read(&image).is_some())
        };
        let answer = self.ask_until("picture", whole).await;
        let damage = outside::picture(&answer).as_ref().map(media::damage).expect("a picture");
        println!("{}: damage of our picture there (Y, U, V): {damage:.1?}", self.stranger.name);
        assert!(
            damage[0] < 6.0 && damage[1] < 4.0 && damage[2] < 4.0,
            "the picture came changed: {damage:?}"
        );
        let good = |answer: &Value| media::likeness_to_tone(&outside::sound(answer)) > 0.8;
        self.ask_until("sound", good).await;
    }

    /// Handles the next thing that happens; false when nothing does before `deadline`.
    async fn step(&mut self, deadline: Instant) -> bool {
        // Only waiting may be given up half way, never handling.
        let happened = tokio::select! {
            event = self.side.raw_event() => Happened::Here(event.expect("our peer lives")),
            message = self.stranger.told() => Happened::There(message),
            () = tokio::time::sleep_until(deadline.into()) => return false,
        };
        match happened {
            Happened::Here(event) => self.on_event(event),
            Happened::There(message) => self.on_message(message).await,
        }
        true
    }

    fn on_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Candidate(candidate) if self.tells_candidates => {
                self.stranger.say(json!({"type": "candidate", "candidate": candidate}));
            }
            PeerEvent::State(state) => {
                assert_ne!(state, PeerState::Failed, "our peer failed: {:?}", self.side.peer.failure());
                if state == PeerState::Connected {
                    self.facts.connected.get_or_insert(self.began.elapsed());
                    self.talker.want_keyframe();
                }
                self.facts.state = Some(state);
            }
            PeerEvent::KeyframeRequest => self.talker.want_keyframe(),
            PeerEvent::ChannelOpen => self.facts.channel = true,
            PeerEvent::Message(message) => self.facts.messages.push(message),
            event @ PeerEvent::Rtp { kind, .. } => {
                self.listener.take(&self.side.peer, event);
                if kind == MediaKind::Video && self.listener.first_picture.is_some() {
                    self.facts.first_picture.get_or_insert(self.began.elapsed());
                }
            }
            _ => {}
        }
    }

    async fn on_message(&mut self, message: Value) {
        let sdp = message["sdp"].as_str().unwrap_or_default();
        match kind(&message) {
            "offer" => {
                self.began = Instant::now();
                let answer = self.side.peer.accept_offer(sdp).await.expect("we answer their offer");
                self.stranger.say(json!({"type": "answer", "sdp": answer}));
            }
            "answer" => {
                self.began = Instant::now();
                self.side.peer.accept_answer(sdp).await.expect("we take their answer");
            }
            "candidate" => {
                self.facts
                    .their_candidates
                    .push(message["candidate"]["candidate"].as_str().unwrap_or_default().to_owned());
                self.side.peer.add_candidate(candidate(&message["candidate"])).await.expect("a candidate");
            }
            "channel" => self.facts.their_channel = true,
            "message" => {
                self.facts.their_messages.push(message["text"].as_str().unwrap_or_default().to_owned());
            }
            "report" | "picture" | "sound" => self.facts.answer = Some(message),
            _ => {}
        }
    }

    /// Says how long it took, for the report of a test run.
    pub fn tell_times(&self, what: &str, stats: &TransportStats) {
        println!(
            "{what}: ICE {:.0} ms, DTLS {:.0} ms, connected after {:.0} ms, first picture here after {:.0} ms, {}, {}",
            stats.ice_ms.unwrap_or(f64::NAN),
            stats.dtls_ms.unwrap_or(f64::NAN),
            self.facts.connected.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3),
            self.facts.first_picture.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3),
            stats.path.as_deref().unwrap_or("no path"),
            stats.srtp_cipher.as_deref().unwrap_or("no cipher"),
        );
    }

    /// Ends the call.
    pub async fn end(self) {
        self.side.peer.close().await;
    }
}

/// A browser's candidate has members that ours has not.
fn candidate(value: &Value) -> CandidateInit {
    CandidateInit {
        candidate: value["candidate"].as_str().unwrap_or_default().to_owned(),
        sdp_mid: value["sdpMid"].as_str().map(ToOwned::to_owned),
        sdp_mline_index: value["sdpMLineIndex"].as_u64().and_then(|index| u16::try_from(index).ok()),
    }
}
