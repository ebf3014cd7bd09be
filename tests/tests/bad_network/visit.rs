//! A doctor and a patient in a video call over a network of a given shape.

use std::{sync::Arc, time::Duration};

use bedside_protocol::{CallPhase, CallType, EndReason, Role};
use bedside_testkit::{
    clinic::{Clinic, PATIENCE, Seat, Seen},
    net::{Host, Network, Shape},
};
use bedside_ui_contract::{
    Command, Snapshot,
    snapshot::{HistoryItem, Settings},
};
use tokio::sync::watch;

/// See the module.
pub(crate) struct Visit {
    pub(crate) clinic: Clinic,
    pub(crate) doctor: Seat,
    pub(crate) patient: Seat,
    /// Where they are: the doctor, the patient.
    pub(crate) hosts: [Host; 2],
    phases: [Phases; 2],
    network: Network,
}

impl Visit {
    /// The doctor calls, the patient answers, both are connected.
    pub(crate) async fn begin(seed: u64, shape: Shape) -> Self {
        Self::begin_with(seed, shape, |_| {}).await
    }

    /// The same with other settings of the server.
    pub(crate) async fn begin_with(
        seed: u64,
        shape: Shape,
        change: impl FnOnce(&mut bedside_server::Config),
    ) -> Self {
        let (network, one, other) = Network::pair(seed, shape);
        let clinic = Clinic::open_with(change).await;
        clinic.add("osei", Role::Clinician).await;
        clinic.add("ana", Role::Patient).await;
        clinic.befriend("osei", "ana").await;
        let mut doctor = clinic.seat_with("osei", one.options()).await;
        let mut patient = clinic.seat_with("ana", other.options()).await;
        for seat in [&mut doctor, &mut patient] {
            raw_sound(seat).await;
        }
        let phases = [&doctor, &patient].map(|seat| Phases::follow(seat.engine.snapshots()));
        doctor.ask(Command::Call { user_id: doctor.person("ana"), call_type: CallType::Video });
        patient.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
        patient.ask(Command::Answer { call_type: CallType::Video });
        for seat in [&mut doctor, &mut patient] {
            seat.until_call("connected", |call| call.phase == CallPhase::Connected).await;
        }
        Self { clinic, doctor, patient, hosts: [one, other], phases, network }
    }

    /// Both, the doctor first.
    pub(crate) fn seats(&mut self) -> [&mut Seat; 2] {
        [&mut self.doctor, &mut self.patient]
    }

    /// Shapes the way of the doctor's media.
    pub(crate) fn shape_to_patient(&self, shape: Shape) {
        self.network.shape_one_way(&self.hosts[0], &self.hosts[1], shape);
    }

    /// Cuts the media's way.
    pub(crate) fn cut(&self) {
        self.network.cut(&self.hosts[0], &self.hosts[1]);
    }

    /// Mends it.
    pub(crate) fn heal(&self) {
        self.network.heal(&self.hosts[0], &self.hosts[1]);
    }

    /// What the network has lost in either direction.
    pub(crate) fn lost_packets(&self) -> [u64; 2] {
        let [one, other] = &self.hosts;
        [(one, other), (other, one)].map(|(from, to)| self.network.counts(from, to).lost)
    }

    /// Waits until new pictures have come to both.
    pub(crate) async fn until_pictures(&mut self) {
        for seat in self.seats() {
            seat.eye.forget();
        }
        for seat in self.seats() {
            let seen = seat.eye.until("new pictures", |seen| seen.counters.len() > 20).await;
            let pictures = &seen.counters;
            assert!(pictures.is_sorted_by(|a, b| a < b), "pictures came out of order: {pictures:?}");
        }
    }

    /// Waits until both are told of this phase.
    pub(crate) async fn until_phase(&mut self, phase: CallPhase) {
        for seat in self.seats() {
            seat.until_call(phase.as_str(), |call| call.phase == phase).await;
        }
    }

    /// The call's id as each side knows it.
    pub(crate) async fn call_ids(&mut self) -> [String; 2] {
        let doctor = self.doctor.until_call("a call", |_| true).await;
        let patient = self.patient.until_call("a call", |_| true).await;
        [doctor.call_id, patient.call_id]
    }

    /// What each side has been told, without repetitions, once the call is over.
    pub(crate) async fn phases(&mut self) -> [Vec<CallPhase>; 2] {
        let [doctor, patient] = &mut self.phases;
        [doctor.until_over().await, patient.until_over().await]
    }

    /// The server's machine loses its power and comes back after a while.
    pub(crate) async fn restart_server(self, away: Duration) -> Self {
        let stopped = self.clinic.stop(false).await;
        tokio::time::sleep(away).await;
        Self { clinic: stopped.start().await, ..self }
    }

    /// The doctor hangs up; the call is over and in the history, once, on both sides. Gives the phases each was told.
    pub(crate) async fn end(mut self) -> [Vec<CallPhase>; 2] {
        self.doctor.ask(Command::HangUp);
        for seat in self.seats() {
            let over = seat.until_call("it is over", |call| call.phase.is_final()).await;
            assert_eq!(over.end_reason, Some(EndReason::UserHangup));
            assert!(over.quality.is_some(), "nothing is said of how the call was");
            seat.ask(Command::LoadHistory { page: 1 });
            // Hanging up is seen at once; the server, and so the history, may be a moment behind.
            let snapshot = seat
                .until("the history shows how it ended", |snapshot| {
                    let ended = |item: &HistoryItem| item.end_reason == Some(EndReason::UserHangup);
                    snapshot.history.items.first().is_some_and(ended)
                })
                .await;
            assert_eq!(snapshot.history.total, 1, "the call is there more than once");
        }
        let phases = self.phases().await;
        self.clinic.close().await;
        phases
    }
}

/// Both microphones hear the same tone: echo cancellation would take each for the other's echo.
async fn raw_sound(seat: &mut Seat) {
    let settings = Settings {
        echo_cancellation: false,
        noise_suppression: false,
        auto_gain: false,
        ..Settings::default()
    };
    seat.ask(Command::SetSettings { settings: settings.clone() });
    seat.until("the settings are taken", |snapshot| snapshot.settings == settings).await;
}

/// Writes down every phase that a side is told.
struct Phases(watch::Receiver<Vec<CallPhase>>);

impl Phases {
    fn follow(mut snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        let (list, seen) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while snapshots.changed().await.is_ok() {
                let phase = snapshots.borrow_and_update().call.as_ref().map(|call| call.phase);
                list.send_if_modified(|list: &mut Vec<CallPhase>| {
                    let new = phase.filter(|phase| list.last() != Some(phase));
                    list.extend(new);
                    new.is_some()
                });
            }
        });
        Self(seen)
    }

    /// All of them, once the call is over.
    async fn until_over(&mut self) -> Vec<CallPhase> {
        let over = |list: &Vec<CallPhase>| list.last().is_some_and(|phase| phase.is_final());
        let list = tokio::time::timeout(PATIENCE, self.0.wait_for(over)).await;
        list.expect("the call is over").expect("the engine runs").clone()
    }
}

/// The longest time between two pictures.
pub(crate) fn longest_gap(seen: &Seen) -> Duration {
    let gaps = seen.decoded_at.windows(2).map(|pair| pair[1].duration_since(pair[0]));
    gaps.max().unwrap_or_default()
}
