//! What happens while a password is being checked.

use bedside_protocol::{Pii, Secret};

use super::*;
use crate::{
    Config,
    accounts::{Accounts, NewUser},
    auth::password::Passwords,
};

const LOGIN: &str = "ana";

#[tokio::test]
async fn a_sign_in_does_not_outrun_another_password_or_the_end_of_access() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::for_tests(folder.path().join("test.db"));
    let db = Database::open(&config.database).await.unwrap();
    let accounts = Accounts::new(db.clone(), Passwords::new(config.passwords));
    let password = |text: &str| Secret::new(text.to_owned());
    let ana = NewUser {
        login: LOGIN.into(),
        name: Pii::from("Ana Ruiz"),
        role: Role::Patient,
        specialty: None,
        password: password("tulip anvil nine"),
    };
    accounts.add(ana).await.unwrap();
    let store = SignInStore::new(db.clone(), config.tokens);
    let device = DeviceInfo { id: None, name: Pii::from("a test"), device_type: Default::default() };
    let begin = async |account: &Account| match store.begin(account, &device).await {
        Ok(begun) => Ok(begun.is_new),
        Err(Fault::Refused(problem)) => Err(problem.code),
        Err(failed) => panic!("{failed}"),
    };

    let checked = store.account(LOGIN).await.unwrap().unwrap();
    assert_eq!(begin(&checked).await, Ok(true));
    accounts.set_password(LOGIN, password("anvil nine tulip")).await.unwrap();
    assert_eq!(begin(&checked).await, Err(ErrorCode::WrongCredentials));
    let checked = store.account(LOGIN).await.unwrap().unwrap();
    accounts.set_disabled(LOGIN, true).await.unwrap();
    assert_eq!(begin(&checked).await, Err(ErrorCode::WrongCredentials));
    accounts.set_disabled(LOGIN, false).await.unwrap();
    assert_eq!(begin(&checked).await, Ok(true));
    db.close().await;
    let _ = std::fs::remove_dir_all(folder);
}
