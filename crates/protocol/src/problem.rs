//! Errors on the wire: RFC 9457 problem details with a stable `code`.

use serde::{Deserialize, Serialize};

// As `literal` the name would reach the derive of the schema in an envelope that it does not look into.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:tt, $status:literal, $title:literal;)+) => {
        /// A stable machine-readable error code. Codes are added, never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
            /// A code that a newer peer knows and this build does not.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl ErrorCode {
            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)+ ErrorCode::Unknown => "unknown" }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(ErrorCode::$name => $status,)+ ErrorCode::Unknown => 500 }
            }

            /// A short summary, the same for every occurrence (RFC 9457 §3.1.3).
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(ErrorCode::$name => $title,)+ ErrorCode::Unknown => "Unknown error" }
            }
        }
    };
}

codes! {
    /// The JSON could not be read or has the wrong shape.
    MalformedMessage = "malformed_message", 400, "The message could not be read";
    /// The message type does not exist.
    UnknownType = "unknown_type", 400, "Unknown message type";
    /// A value is out of its range.
    InvalidValue = "invalid_value", 422, "A value is not valid";
    /// Larger than permitted.
    TooLarge = "too_large", 413, "The message is too large";
    /// The first message was not `hello`, or it came twice.
    HelloExpected = "hello_expected", 400, "The connection must begin with hello";
    /// No protocol version in common.
    UnsupportedVersion = "unsupported_version", 426, "This version of the app is not supported by the server";
    /// Name or password is wrong.
    WrongCredentials = "wrong_credentials", 401, "The name or the password is not right";
    /// No valid access token.
    NotSignedIn = "not_signed_in", 401, "Please sign in";
    /// The token has run out or was revoked.
    TokenExpired = "token_expired", 401, "The sign-in has run out";
    /// A rotated refresh token came back: the whole family is revoked.
    TokenReused = "token_reused", 401, "This sign-in was used twice and has been ended";
    /// Signed in, not permitted.
    Forbidden = "forbidden", 403, "Not permitted";
    /// There is no such thing, or it is not yours to see.
    NotFound = "not_found", 404, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "This path does not have that method";
    /// The body is not what the route takes.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body has the wrong type";
    /// The call is over or never was.
    CallNotFound = "call_not_found", 404, "There is no such call";
    /// The person cannot be called by you.
    NotAContact = "not_a_contact", 403, "You cannot call this person";
    /// The phase does not permit it; `detail` names both phases.
    IllegalTransition = "illegal_transition", 409, "The call is no longer in a state that permits this";
    /// The call is as long as a call may be.
    LongestCall = "longest_call", 409, "This call can't be extended any further";
    /// Another device answered first.
    AnsweredElsewhere = "answered_elsewhere", 409, "The call was answered on another device";
    /// The caller is already in a call.
    AlreadyInCall = "already_in_call", 409, "You are already in a call";
    /// The idempotency key was used for another request.
    IdempotencyConflict = "idempotency_conflict", 409, "This request was already made with other content";
    /// The log is in another epoch: read what is new first.
    StaleEpoch = "stale_epoch", 409, "Somebody else changed the group first";
    /// The conversation's group was founded already.
    GroupExists = "group_exists", 409, "The group of this conversation exists already";
    /// The conversation's group has not been founded yet.
    NoGroup = "no_group", 409, "The group of this conversation does not exist yet";
    /// The clinic's archive has to take part and can't: its account is missing.
    NoArchive = "no_archive", 503, "The clinic's archive can't take part";
    /// This device is not in the group.
    NotAMember = "not_a_member", 403, "This device is not in the group of this conversation";
    /// What was asked for is no longer kept.
    Expired = "expired", 410, "This is no longer kept";
    /// A part does not begin where the ones before it end.
    WrongOffset = "wrong_offset", 409, "This part does not follow the ones before it";
    /// The bytes are not the ones that were announced.
    WrongDigest = "wrong_digest", 422, "The file did not arrive as it was sent";
    /// No room for it.
    StorageFull = "storage_full", 507, "The clinic's storage is full";
    /// Too many requests; see `retry_after_s`.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// The session can't be resumed; fetch anew.
    SessionLost = "session_lost", 410, "The session is no longer known";
    /// The server shuts down.
    ShuttingDown = "shutting_down", 503, "The server is being restarted";
    /// A fault on the server's side; its log has the cause.
    Internal = "internal", 500, "The server had a problem";
}

/// An RFC 9457 problem. Says what happened and what to do, never whose data was involved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI for the kind of problem: `urn:bedside:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The summary that goes with the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: ErrorCode,
    /// What happened this time and what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Seconds to wait before trying again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with the code's own title and status.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self {
            kind: format!("urn:bedside:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: None,
            retry_after_s: None,
        }
    }

    /// Adds what happened this time.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds how long to wait.
    #[must_use]
    pub const fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_from_a_newer_server_is_still_readable() {
        let code: ErrorCode = serde_json::from_str("\"made_up_later\"").unwrap();
        assert_eq!(code, ErrorCode::Unknown);
    }
}
