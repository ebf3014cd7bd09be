//! What several devices, and a call, make of one person's status. Pure.

use std::collections::HashMap;

use bedside_protocol::{CallId, DeviceId, DeviceType, PresenceStatus, Timestamp, UserId, user::Presence};
use tokio::time::Instant;

/// One person, as their devices show them.
#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    pub(super) devices: HashMap<DeviceId, Device>,
    pub(super) call: Option<CallId>,
}

/// What one device says.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) status: PresenceStatus,
    pub(super) device_type: DeviceType,
    pub(super) heard_at: Timestamp,
    pub(super) line: Line,
}

/// Whether a device can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It has a socket.
    Open,
    /// Its socket was lost a moment ago; it still counts. `since` tells this loss from an earlier one.
    Lost { since: Instant },
    /// It has been without a socket for too long; its wish is kept for a resumption.
    Gone { since: Instant },
}

impl Person {
    /// The status that contacts see.
    ///
    /// A call makes busy. Otherwise one device's "do not disturb" speaks for all; then the most present wins.
    pub(super) fn status(&self) -> PresenceStatus {
        let present = self.present().map(|device| device.status);
        let Some(status) = present.max_by_key(|status| precedence(*status)) else {
            return PresenceStatus::Offline;
        };
        if self.call.is_some() { PresenceStatus::Busy } else { status }
    }

    /// Status and all that goes with it.
    pub(super) fn presence(&self, user: UserId) -> Presence {
        let latest = self.devices.values().max_by_key(|device| device.heard_at);
        Presence {
            user_id: user,
            status: self.status(),
            current_call_id: self.call,
            last_seen: latest.map(|device| device.heard_at),
            device_type: latest.map(|device| device.device_type),
        }
    }

    fn present(&self) -> impl Iterator<Item = &Device> {
        self.devices.values().filter(|device| !matches!(device.line, Line::Gone { .. }))
    }
}

const fn precedence(status: PresenceStatus) -> u8 {
    match status {
        PresenceStatus::Offline => 0,
        PresenceStatus::Idle => 1,
        PresenceStatus::Away => 2,
        PresenceStatus::Online => 3,
        PresenceStatus::DoNotDisturb => 4,
        PresenceStatus::Busy => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(statuses: &[PresenceStatus]) -> Person {
        let device = |(n, status): (usize, &PresenceStatus)| {
            let device = Device {
                status: *status,
                device_type: if n == 0 { DeviceType::Desktop } else { DeviceType::Mobile },
                heard_at: Timestamp(i64::try_from(n).unwrap()),
                line: Line::Open,
            };
            (DeviceId::random(), device)
        };
        Person { devices: statuses.iter().enumerate().map(device).collect(), call: None }
    }

    #[test]
    fn the_most_present_device_wins_and_do_not_disturb_speaks_for_all() {
        use PresenceStatus::{Away, DoNotDisturb, Idle, Offline, Online};
        for (devices, expected) in [
            (&[][..], Offline),
            (&[Idle][..], Idle),
            (&[Idle, Away][..], Away),
            (&[Away, Online, Idle][..], Online),
            (&[Online, DoNotDisturb][..], DoNotDisturb),
        ] {
            assert_eq!(person(devices).status(), expected, "{devices:?}");
        }
    }

    #[test]
    fn a_call_makes_busy_as_long_as_a_device_is_there() {
        let mut someone = person(&[PresenceStatus::DoNotDisturb]);
        someone.call = Some(CallId::random());
        assert_eq!(someone.status(), PresenceStatus::Busy);
        for device in someone.devices.values_mut() {
            device.line = Line::Gone { since: Instant::now() };
        }
        assert_eq!(someone.status(), PresenceStatus::Offline);
    }

    #[test]
    fn the_device_heard_last_gives_type_and_time() {
        let presence = person(&[PresenceStatus::Online, PresenceStatus::Idle]).presence(UserId::random());
        assert_eq!(presence.device_type, Some(DeviceType::Mobile));
        assert_eq!(presence.last_seen, Some(Timestamp(1)));
    }
}
