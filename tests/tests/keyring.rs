//! The operating system's keyring, a real one on a session bus of its own, and what is said where there is none.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

use std::sync::Arc;

use bedside_protocol::{Role, Secret};
use bedside_session::secrets::{OsKeyring, SecretError, SecretStore};
use bedside_testkit::{
    clinic::{Clinic, Computer, PASSWORD},
    keyring,
};
use bedside_ui_contract::{Command, Notice, Snapshot, snapshot::AccountView};

/// Runs a test of the engine inside the child process that a keyring needs.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
    // A keyring that waits for its password keeps a thread for ever.
    runtime.shutdown_background();
}

async fn clinic_with_ana() -> (Clinic, Computer) {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    let computer = Computer { secrets: Arc::new(OsKeyring::new("bedside test")), ..clinic.computer("ana") };
    (clinic, computer)
}

#[test]
fn a_token_is_kept_replaced_and_forgotten() {
    keyring::within("a_token_is_kept_replaced_and_forgotten", || {
        let keyring = OsKeyring::new("bedside test");
        assert_eq!(keyring.load("token").unwrap(), None);
        keyring.save("token", &Secret::new("one".into())).unwrap();
        keyring.save("token", &Secret::new("two".into())).unwrap();
        // As after a restart, and as seen by another profile.
        let again = OsKeyring::new("bedside test");
        assert_eq!(again.load("token").unwrap().unwrap().expose(), "two");
        assert_eq!(OsKeyring::new("another profile").load("token").unwrap(), None);
        again.delete("token").unwrap();
        again.delete("token").unwrap();
        assert_eq!(keyring.load("token").unwrap(), None);
        assert!(keyring.is_lasting());
    });
}

#[test]
fn an_engine_is_signed_in_again_after_a_restart_until_somebody_signs_out() {
    keyring::within("an_engine_is_signed_in_again_after_a_restart_until_somebody_signs_out", || {
        run(async {
            let (clinic, computer) = clinic_with_ana().await;
            let mut first = computer.clone().start();
            first.sign_in(&clinic.url(), "ana", PASSWORD).await;
            first.until("the sign-in is remembered", remembered(true)).await;
            drop(first);
            // Twice, since each restart replaces the token that is kept.
            for _ in 0..2 {
                let mut again = computer.clone().start();
                again.until("signed in without a word", remembered(true)).await;
            }
            let mut last = computer.clone().start();
            last.until("signed in once more", remembered(true)).await;
            last.ask(Command::SignOut);
            let forgotten = tokio::task::spawn_blocking(move || {
                let deadline = std::time::Instant::now() + bedside_testkit::clinic::PATIENCE;
                // It may go while it is being read.
                while !matches!(computer.secrets.load("refresh-token"), Ok(None)) {
                    assert!(std::time::Instant::now() < deadline, "the token was never forgotten");
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                computer
            });
            let mut signed_out = forgotten.await.unwrap().start();
            signed_out
                .until("nobody is signed in", |now| {
                    matches!(&now.account, AccountView::SignedOut { failure: None, login } if login == "ana")
                })
                .await;
            clinic.close().await;
        });
    });
}

#[test]
fn beside_a_keyring_that_stays_locked_signing_in_works_and_says_that_it_will_not_last() {
    keyring::beside_locked(
        "beside_a_keyring_that_stays_locked_signing_in_works_and_says_that_it_will_not_last",
        || {
            run(async {
                let (clinic, computer) = clinic_with_ana().await;
                let mut seat = computer.start();
                seat.sign_in(&clinic.url(), "ana", PASSWORD).await;
                let seen = seat.until("the sign-in is not remembered", remembered(false)).await;
                assert!(told(&seen), "{:?}", seen.notices);
                clinic.close().await;
            });
        },
    );
}

#[test]
fn without_a_keyring_one_can_sign_in_and_is_told_that_it_will_not_last() {
    keyring::without("without_a_keyring_one_can_sign_in_and_is_told_that_it_will_not_last", || {
        let refused = OsKeyring::new("bedside test").save("token", &Secret::new("one".into()));
        assert!(matches!(refused, Err(SecretError::Unavailable(_))), "{refused:?}");
        run(async {
            let (clinic, computer) = clinic_with_ana().await;
            let mut seat = computer.clone().start();
            seat.sign_in(&clinic.url(), "ana", PASSWORD).await;
            let seen = seat.until("the sign-in is not remembered", remembered(false)).await;
            assert!(told(&seen), "{:?}", seen.notices);
            drop(seat);
            let mut again = computer.start();
            again
                .until("nobody is signed in after a restart", |now| {
                    matches!(now.account, AccountView::SignedOut { failure: None, .. })
                })
                .await;
            clinic.close().await;
        });
    });
}

/// Whether the person is told that the sign-in does not last.
fn told(seen: &Snapshot) -> bool {
    seen.notices.iter().any(|shown| shown.notice == Notice::NotRemembered)
}

fn remembered(wanted: bool) -> impl Fn(&Snapshot) -> bool {
    move |now| matches!(now.account, AccountView::SignedIn { remembered, .. } if remembered == wanted)
}
