//! Losses in virtual time.

use bedside_protocol::{DeviceType, Role, SessionId};

use super::*;
use crate::db::Database;

const GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_loss_has_its_own_grace() {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open(&folder.path().join("test.db")).await.unwrap();
    let presence = PresenceService::new(Directory::new(db.clone(), None), Hub::default(), GRACE);
    let who = Identity {
        user: UserId::random(),
        device: DeviceId::random(),
        device_type: DeviceType::Desktop,
        sign_in: SessionId::random(),
        role: Role::Patient,
    };
    // Not before: the database's threads live in real time.
    tokio::time::pause();
    let begun = Instant::now();
    let at = |second: u64| tokio::time::sleep_until(begun + Duration::from_secs(second));

    presence.device_connected(&who, false);
    presence.device_disconnected(&who, false);
    at(5).await;
    presence.device_connected(&who, true);
    at(25).await;
    presence.device_disconnected(&who, false);
    for second in [31, 54] {
        at(second).await;
        assert_eq!(presence.status(who.user), PresenceStatus::Online, "{second} s");
    }
    at(56).await;
    assert_eq!(presence.status(who.user), PresenceStatus::Offline);

    tokio::time::resume();
    db.close().await;
    let _ = std::fs::remove_dir_all(folder);
}
