//! Staying signed in while the server is away.

use bedside_protocol::Role;
use bedside_testkit::clinic::{Clinic, PASSWORD};
use bedside_ui_contract::{Failure, snapshot::AccountView};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_starts_the_app_while_the_server_is_away_is_signed_in_once_it_is_back() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    let computer = clinic.computer("ana");
    let mut first = computer.clone().start();
    first.sign_in(&clinic.url(), "ana", PASSWORD).await;
    drop(first);

    let away = clinic.stop(true).await;
    let mut again = computer.start();
    again
        .until("the server does not answer", |now| {
            let unreachable = Some(Failure::ServerUnreachable);
            matches!(&now.account, AccountView::SignedOut { failure, .. } if *failure == unreachable)
        })
        .await;
    let clinic = away.start().await;
    again
        .until("signed in without a word", |now| {
            matches!(now.account, AccountView::SignedIn { .. }) && now.people_loaded
        })
        .await;
    clinic.close().await;
}
