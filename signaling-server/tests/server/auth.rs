//! Signing in, staying signed in, being signed out.

use std::time::Duration;

use bedside_protocol::{
    ErrorCode, Role,
    rest::{Page, SignInSession, SignedIn},
};
use serde_json::json;

use crate::fixture::{Clinic, PASSWORD, problem};

async fn refresh(clinic: &Clinic, with: &SignedIn) -> reqwest::Response {
    let body = json!({"refresh_token": with.refresh_token.expose()});
    clinic.http.post(clinic.url("/api/auth/refresh")).json(&body).send().await.unwrap()
}

#[tokio::test]
async fn tokens_rotate_and_a_refresh_token_that_comes_back_ends_the_sign_in() {
    let clinic = Clinic::open().await;
    let first = clinic.person("ana", Role::Patient).await;
    let second: SignedIn = refresh(&clinic, &first).await.json().await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(second.device_id, first.device_id);
    assert_eq!(clinic.get(&second, "/api/users/me").await.status(), 200);
    let mut socket = clinic.connect(&second).await;

    let reused = problem(refresh(&clinic, &first).await).await;
    assert_eq!(reused.code, ErrorCode::TokenReused);
    assert_eq!(socket.close_code().await, 4001, "the family's socket has to close");
    assert_eq!(problem(refresh(&clinic, &second).await).await.code, ErrorCode::TokenExpired);
    for ended in [&first, &second] {
        assert_eq!(problem(clinic.get(ended, "/api/users/me").await).await.code, ErrorCode::TokenExpired);
    }
    clinic.close().await;
}

#[tokio::test]
async fn an_exchange_can_be_repeated_until_its_answer_is_used() {
    let clinic = Clinic::open().await;
    let first = clinic.person("ana", Role::Patient).await;
    let lost: SignedIn = refresh(&clinic, &first).await.json().await.unwrap();
    let arrived: SignedIn = refresh(&clinic, &first).await.json().await.unwrap();
    assert_eq!(arrived.device_id, first.device_id);
    assert_eq!(clinic.get(&lost, "/api/users/me").await.status(), 401, "what was withdrawn is of no use");
    assert_eq!(clinic.get(&arrived, "/api/users/me").await.status(), 200);

    let again = problem(refresh(&clinic, &first).await).await;
    assert_eq!(again.code, ErrorCode::TokenReused);
    assert_eq!(clinic.get(&arrived, "/api/users/me").await.status(), 401);
    clinic.close().await;
}

#[tokio::test]
async fn a_withdrawn_refresh_token_or_one_exchanged_before_its_successor_tells_of_a_copy() {
    let clinic = Clinic::open().await;
    let first = clinic.person("ana", Role::Patient).await;
    let copied: SignedIn = refresh(&clinic, &first).await.json().await.unwrap();
    assert_eq!(refresh(&clinic, &first).await.status(), 200);
    assert_eq!(problem(refresh(&clinic, &copied).await).await.code, ErrorCode::TokenReused);

    // The successor went on without its access token ever being used: it has arrived all the same.
    let first = clinic.sign_in("ana").await;
    let second: SignedIn = refresh(&clinic, &first).await.json().await.unwrap();
    assert_eq!(refresh(&clinic, &second).await.status(), 200);
    assert_eq!(problem(refresh(&clinic, &first).await).await.code, ErrorCode::TokenReused);
    clinic.close().await;
}

#[tokio::test]
async fn an_unknown_login_and_a_wrong_password_look_the_same_and_each_failure_costs_more_time() {
    let clinic = Clinic::open_with(|config| config.limits.sign_in_attempts = 2).await;
    clinic.add("ana", Role::Patient).await;
    let wrong = problem(clinic.try_sign_in("ana", "not the password", None).await).await;
    let unknown = problem(clinic.try_sign_in("nobody", "not the password", None).await).await;
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.code, ErrorCode::WrongCredentials);

    clinic.try_sign_in("ANA", "not the password", None).await;
    let response = clinic.try_sign_in("ana", PASSWORD, None).await;
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    let limited = problem(response).await;
    assert_eq!(limited.code, ErrorCode::RateLimited);
    assert!(limited.retry_after_s.is_some_and(|wait| wait >= 1));
    clinic.add("tom", Role::Patient).await;
    assert_eq!(clinic.try_sign_in("tom", PASSWORD, None).await.status(), 200, "others are not made to wait");
    clinic.close().await;
}

#[tokio::test]
async fn one_device_lists_and_ends_the_sign_in_of_another_and_nobody_elses() {
    let clinic = Clinic::open().await;
    let desk = clinic.person("osei", Role::Clinician).await;
    let home = clinic.sign_in("osei").await;
    let stranger = clinic.person("ana", Role::Patient).await;
    let mut socket = clinic.connect(&home).await;

    let page: Page<SignInSession> = clinic.get(&desk, "/api/auth/sessions").await.json().await.unwrap();
    assert_eq!(page.total, 2);
    let other = page.items.iter().find(|session| !session.current).unwrap();
    assert_eq!(other.device.id, Some(home.device_id));

    let revoke = async |who: &SignedIn| {
        let url = clinic.url(&format!("/api/auth/sessions/{}", other.id));
        clinic.http.delete(url).bearer_auth(who.access_token.expose()).send().await.unwrap()
    };
    assert_eq!(problem(revoke(&stranger).await).await.code, ErrorCode::NotFound);
    assert_eq!(revoke(&desk).await.status(), 204);
    assert_eq!(socket.close_code().await, 4001);
    assert_eq!(clinic.get(&home, "/api/users/me").await.status(), 401);

    assert_eq!(clinic.post(&desk, "/api/auth/sign-out", json!({})).await.status(), 204);
    assert_eq!(clinic.get(&desk, "/api/users/me").await.status(), 401);
    clinic.close().await;
}

#[tokio::test]
async fn a_device_keeps_its_id_and_signing_in_again_replaces_its_sign_in() {
    let clinic = Clinic::open().await;
    let first = clinic.person("ana", Role::Patient).await;
    let response = clinic.try_sign_in("ana", PASSWORD, Some(first.device_id)).await;
    let second: SignedIn = response.json().await.unwrap();
    assert_eq!(second.device_id, first.device_id);
    assert_eq!(clinic.get(&first, "/api/users/me").await.status(), 401);

    clinic.add("tom", Role::Patient).await;
    let shared: SignedIn =
        clinic.try_sign_in("tom", PASSWORD, Some(first.device_id)).await.json().await.unwrap();
    assert_ne!(shared.device_id, first.device_id, "somebody else's device is not taken over");
    clinic.close().await;
}

#[tokio::test]
async fn an_access_token_runs_out_and_the_answer_says_that_refreshing_helps() {
    let clinic = Clinic::open_with(|config| config.tokens.access = Duration::ZERO).await;
    let ana = clinic.person("ana", Role::Patient).await;
    let response = clinic.get(&ana, "/api/users/me").await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(problem(response).await.code, ErrorCode::TokenExpired);
    let nobody = clinic.http.get(clinic.url("/api/users/me")).send().await.unwrap();
    assert_eq!(problem(nobody).await.code, ErrorCode::NotSignedIn);
    clinic.close().await;
}
