//! What others see of somebody who has not touched their computer for a while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bedside_protocol::{CallPhase, CallType, PresenceStatus, Role};
use bedside_session::idle::{IdleOptions, InputClock, Untold};
use bedside_testkit::clinic::{Clinic, Computer, PASSWORD, Seat};
use bedside_ui_contract::{Command, Snapshot, snapshot::AccountView};

/// A computer that nobody has touched for long, or that somebody uses all the time.
#[derive(Default)]
struct Desk {
    in_use: AtomicBool,
}

impl Desk {
    fn is_used(&self, so: bool) {
        self.in_use.store(so, Ordering::Relaxed);
    }
}

impl InputClock for Desk {
    fn since_input(&self) -> Result<Duration, Untold> {
        Ok(if self.in_use.load(Ordering::Relaxed) { Duration::ZERO } else { Duration::MAX })
    }
}

async fn sees(seat: &mut Seat, status: PresenceStatus) {
    let what = format!("the other one {status:?}");
    seat.until(&what, |now| now.people.iter().any(|person| person.status == status)).await;
}

fn says(status: PresenceStatus) -> impl Fn(&Snapshot) -> bool {
    move |now| matches!(now.account, AccountView::SignedIn { status: said, .. } if said == status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_want_to_be_disturbed_is_not_after_the_next_start_either() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    clinic.add("osei", Role::Clinician).await;
    clinic.befriend("ana", "osei").await;
    let mut osei = clinic.seat("osei").await;
    let computer = clinic.computer("ana");
    let mut ana = computer.clone().start();
    ana.sign_in(&clinic.url(), "ana", PASSWORD).await;
    ana.ask(Command::SetPresence { status: PresenceStatus::DoNotDisturb });
    sees(&mut osei, PresenceStatus::DoNotDisturb).await;
    ana.engine.close().await;
    sees(&mut osei, PresenceStatus::Offline).await;
    drop(ana);
    let mut ana = computer.start();
    ana.until("the choice", says(PresenceStatus::DoNotDisturb)).await;
    sees(&mut osei, PresenceStatus::DoNotDisturb).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_see_that_nobody_touches_a_computer_unless_its_owner_chose_something_or_talks() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    clinic.add("osei", Role::Clinician).await;
    clinic.befriend("ana", "osei").await;
    let mut osei = clinic.seat("osei").await;
    let desk = Arc::new(Desk::default());
    let idle = IdleOptions { clock: desk.clone(), after: Duration::from_secs(1) };
    let mut ana = Computer { idle: Some(idle), ..clinic.computer("ana") }.start();
    ana.sign_in(&clinic.url(), "ana", PASSWORD).await;

    sees(&mut osei, PresenceStatus::Idle).await;
    ana.until("what others see", says(PresenceStatus::Idle)).await;
    desk.is_used(true);
    sees(&mut osei, PresenceStatus::Online).await;
    desk.is_used(false);
    sees(&mut osei, PresenceStatus::Idle).await;

    // What somebody chose stands, and is not in the way of what comes after it.
    ana.ask(Command::SetPresence { status: PresenceStatus::Away });
    sees(&mut osei, PresenceStatus::Away).await;
    ana.until("the choice", says(PresenceStatus::Away)).await;
    ana.ask(Command::SetPresence { status: PresenceStatus::Online });
    sees(&mut osei, PresenceStatus::Idle).await;

    // A server that knows nothing of it is told again, as somebody finds who comes now.
    drop(osei);
    let clinic = clinic.restart(false).await;
    let mut osei = clinic.seat("osei").await;
    sees(&mut osei, PresenceStatus::Idle).await;

    osei.ask(Command::Call { user_id: osei.person("ana"), call_type: CallType::Voice });
    ana.until_call("ringing", |call| call.phase == CallPhase::Ringing).await;
    ana.until("still nobody there", says(PresenceStatus::Idle)).await;
    ana.ask(Command::Answer { call_type: CallType::Voice });
    sees(&mut osei, PresenceStatus::Busy).await;
    ana.until("somebody who talks", says(PresenceStatus::Online)).await;
    osei.ask(Command::HangUp);
    sees(&mut osei, PresenceStatus::Idle).await;
    clinic.close().await;
}
