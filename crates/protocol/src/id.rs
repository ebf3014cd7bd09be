//! Identifiers. Each is a UUID on the wire; the types keep them from being mixed up.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A random id (UUIDv4): nothing can be inferred from it and it cannot be guessed.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// A person with an account.
    UserId,
    /// One installation of the app, signed in as one user.
    DeviceId,
    /// One call, from `initiate` to its final phase.
    CallId,
    /// The place where a call's participants exchange signaling; one per call today.
    RoomId,
    /// An appointment.
    AppointmentId,
    /// A resumable socket session: survives the TCP connection that carries it.
    SessionId,
    /// A conversation; its bytes name its MLS group.
    ConversationId,
    /// One entry of a conversation's log, chosen by the device that made it.
    EntryId,
    /// A file on the server, chosen by the device that uploads it.
    AttachmentId,
}
