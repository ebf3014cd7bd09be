//! Points in time on the wire.

use serde::{Deserialize, Deserializer, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, as an integer. Unambiguous in JSON and free of time zones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "number"))]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EARLIEST: Timestamp = Timestamp(0);
    /// The last millisecond of the year 9999: four digits, as in RFC 3339, and within what a `Date` of JavaScript holds.
    pub const LATEST: Timestamp = Timestamp(253_402_300_799_999);

    /// Whole milliseconds from `earlier` to `self`; zero when the clock went backwards.
    #[must_use]
    pub fn millis_since(self, earlier: Timestamp) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// This time moved `millis` later.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)))
    }
}

/// Whatever is read lies between [`Timestamp::EARLIEST`] and [`Timestamp::LATEST`]: what was further away was said by
/// somebody who means no time, and becomes the nearest of these. It is not refused, as it would take with it what it
/// stands among: a page of messages that is on the disk already, a list from the server.
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(|millis| Self(millis).clamp(Self::EARLIEST, Self::LATEST))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_time_is_read_is_one_that_can_be_shown_and_the_nearest(millis: i64) {
            let read: Timestamp = serde_json::from_str(&millis.to_string()).unwrap();
            prop_assert!((Timestamp::EARLIEST..=Timestamp::LATEST).contains(&read));
            prop_assert_eq!(read, Timestamp(millis).clamp(Timestamp::EARLIEST, Timestamp::LATEST));
        }
    }

    #[test]
    fn an_absurd_time_is_read_as_the_last_or_the_first() {
        let read = |text: &str| serde_json::from_str::<Timestamp>(text).ok();
        assert_eq!(read("9223372036854775807"), Some(Timestamp::LATEST));
        assert_eq!(read("-1"), Some(Timestamp::EARLIEST));
        assert_eq!(read("1763812800000"), Some(Timestamp(1_763_812_800_000)));
        assert_eq!(read("1e300"), None, "no integer at all");
    }
}
