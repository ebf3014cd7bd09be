//! Who is asking: what a valid access token says.

use bedside_protocol::{DeviceId, DeviceType, Role, SessionId, UserId};

/// The bearer of an access token. Ids only, so that it may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub user: UserId,
    /// The device that signed in.
    pub device: DeviceId,
    /// Its kind.
    pub device_type: DeviceType,
    /// The sign-in: the family of refresh tokens that the access token belongs to.
    pub sign_in: SessionId,
    /// What the account may do.
    pub role: Role,
}
