//! Staying signed in while the server is away, and signing out while it is slow.

use bedside_protocol::{PresenceStatus, Role};
use bedside_testkit::{
    clinic::{Clinic, PASSWORD, PATIENCE},
    mallory::Mallory,
};
use bedside_ui_contract::{
    Command, Failure, Snapshot,
    snapshot::{AccountView, ConnectionView},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_starts_the_app_while_the_server_is_away_is_signed_in_once_it_is_back() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    clinic.add("osei", Role::Clinician).await;
    clinic.befriend("ana", "osei").await;
    let computer = clinic.computer("ana");
    let mut first = computer.clone().start();
    first.sign_in(&clinic.url(), "ana", PASSWORD).await;
    drop(first);

    let away = clinic.stop(true).await;
    let mut again = computer.start();
    again
        .until("signed in, with the people of the last time, and told that the clinic is away", |now| {
            matches!(&now.account, AccountView::SignedIn { name, .. } if name == "ana of the clinic")
                && matches!(now.connection, ConnectionView::Waiting { .. })
                && now.people.iter().any(|person| {
                    person.name == "osei of the clinic" && person.status == PresenceStatus::Offline
                })
                && !now.people_loaded
        })
        .await;
    let clinic = away.start().await;
    again
        .until("online without a word", |now| {
            now.connection == ConnectionView::Online && now.people_loaded && now.people.len() == 1
        })
        .await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_signed_out_meanwhile_is_told_so_as_soon_as_the_server_is_back() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    let computer = clinic.computer("ana");
    let mut first = computer.clone().start();
    first.sign_in(&clinic.url(), "ana", PASSWORD).await;
    drop(first);
    clinic.set_password("ana", "another anvil nine").await;

    let away = clinic.stop(true).await;
    let mut again = computer.clone().start();
    again
        .until("signed in as far as this computer knows", |now| {
            matches!(now.account, AccountView::SignedIn { .. })
        })
        .await;
    let clinic = away.start().await;
    let signed_out = |now: &Snapshot| {
        let elsewhere = Some(Failure::SignedOutElsewhere);
        matches!(&now.account, AccountView::SignedOut { failure, login }
            if *failure == elsewhere && login == "ana")
            && now.chat.conversations.is_empty()
            && now.people.is_empty()
    };
    again.until("signed out, with the reason", signed_out).await;
    drop(again);

    // Without a server it is still over.
    let away = clinic.stop(true).await;
    let mut again = computer.start();
    again
        .until("signed out", |now| matches!(now.account, AccountView::SignedOut { failure: None, .. }))
        .await;
    away.start().await.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_somebody_is_given_up_when_they_sign_out_and_the_next_one_sees_nothing_of_it() {
    let clinic = Clinic::open().await;
    for login in ["ana", "tom"] {
        clinic.add(login, Role::Patient).await;
    }
    clinic.add("osei", Role::Clinician).await;
    clinic.befriend("ana", "osei").await;
    let mallory = Mallory::before(&clinic).await;
    let mut seat = clinic.computer("shared").start();
    seat.sign_in(&mallory.url(), "ana", PASSWORD).await;

    let mut waiting = mallory.keep_back("/api/call-history");
    seat.ask(Command::LoadHistory { page: 1 });
    waiting.wait_for(|waiting| *waiting == 1).await.expect("it is asked for");
    seat.ask(Command::SignOut);
    seat.sign_in(&clinic.url(), "tom", PASSWORD).await;
    // Sooner than a request ends by itself.
    let given_up = tokio::time::timeout(PATIENCE / 4, waiting.wait_for(|waiting| *waiting == 0)).await;
    given_up.expect("nobody waits for the first one's calls").expect("Mallory is there");
    seat.until("the next one, who knows nobody and has no calls", |now| {
        matches!(&now.account, AccountView::SignedIn { name, .. } if name == "tom of the clinic")
            && now.connection == ConnectionView::Online
            && now.people.is_empty()
            && now.history.page == 0
            && !now.history.loading
    })
    .await;
    clinic.close().await;
}
