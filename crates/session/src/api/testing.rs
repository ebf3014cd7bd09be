//! A client that is signed in at a server of a test's own.

use std::sync::Arc;

use axum::{Json, Router, routing::post};
use bedside_protocol::{
    DeviceId, Pii, Role, Secret, Timestamp, UserId,
    rest::SignedIn,
    user::{DeviceInfo, DeviceType, UserProfile},
};

use super::Api;
use crate::secrets::MemoryStore;

/// What a server needs so that anybody may sign in.
pub(crate) fn sign_in_route<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/api/auth/sign-in", post(sign_in))
}

/// Somebody who has signed in at that address.
pub(crate) async fn signed_in(address: &str) -> Api {
    let api = Api::new(address, Arc::new(MemoryStore::default())).unwrap();
    let device = DeviceInfo { id: None, name: Pii::from("test"), device_type: DeviceType::Desktop };
    api.sign_in(Pii::from("ana"), Secret::new("secret".into()), device).await.unwrap();
    api
}

/// Somebody.
pub(crate) fn ana() -> UserProfile {
    UserProfile { id: UserId::random(), name: Pii::from("Ana"), role: Role::Patient, specialty: None }
}

pub(crate) async fn sign_in() -> Json<SignedIn> {
    Json(SignedIn {
        access_token: Secret::new("access".into()),
        access_expires_at: Timestamp(i64::MAX),
        refresh_token: Secret::new("refresh".into()),
        user: ana(),
        device_id: DeviceId::random(),
    })
}
