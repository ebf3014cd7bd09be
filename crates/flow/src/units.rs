//! Rates and sizes as types, so that bits are never added to bytes.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// A data rate in whole bits per second. Arithmetic saturates at zero and at the largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataRate(u64);

impl DataRate {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);

    /// A rate from bits per second.
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// A rate from thousands of bits per second.
    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps.saturating_mul(1000))
    }

    /// The rate in bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// The rate in bits per second, cut at the largest `u32` (4.29 Gbit/s).
    pub fn as_bps_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// The rate in thousands of bits per second.
    pub fn as_kbps(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The rate times a factor; a negative or non-finite factor gives zero.
    pub fn scaled(self, factor: f64) -> Self {
        let bps = self.0 as f64 * factor;
        if bps.is_finite() && bps > 0.0 { Self(bps as u64) } else { Self::ZERO }
    }

    /// What flows at this rate during `time`.
    pub fn during(self, time: Duration) -> DataSize {
        DataSize((self.0 as f64 * time.as_secs_f64() / 8.0) as u64)
    }

    /// How long `size` takes at this rate; [`Duration::MAX`] at rate zero.
    pub fn time_for(self, size: DataSize) -> Duration {
        if self.0 == 0 {
            return if size.0 == 0 { Duration::ZERO } else { Duration::MAX };
        }
        Duration::try_from_secs_f64(size.0 as f64 * 8.0 / self.0 as f64).unwrap_or(Duration::MAX)
    }
}

impl Add for DataRate {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for DataRate {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for DataRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1_000_000 {
            write!(f, "{:.2} Mbit/s", self.0 as f64 / 1e6)
        } else {
            write!(f, "{:.0} kbit/s", self.as_kbps())
        }
    }
}

/// An amount of data in whole bytes. Arithmetic saturates at zero and at the largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataSize(u64);

impl DataSize {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);

    /// A size from bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// The size in bits.
    pub const fn as_bits(self) -> u64 {
        self.0.saturating_mul(8)
    }

    /// The rate of this much during `time`; zero when no time passed.
    pub fn per(self, time: Duration) -> DataRate {
        if time.is_zero() {
            return DataRate::ZERO;
        }
        DataRate((self.0 as f64 * 8.0 / time.as_secs_f64()) as u64)
    }
}

impl From<usize> for DataSize {
    fn from(bytes: usize) -> Self {
        Self(bytes as u64)
    }
}

impl Add for DataSize {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for DataSize {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for DataSize {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for DataSize {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for DataSize {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabit_takes_one_second_at_one_megabit_per_second() {
        let rate = DataRate::from_kbps(1000);
        assert_eq!(rate.during(Duration::from_secs(1)).as_bytes(), 125_000);
        assert_eq!(rate.time_for(DataSize::from_bytes(125_000)), Duration::from_secs(1));
        assert_eq!(DataSize::from_bytes(125_000).per(Duration::from_secs(1)), rate);
    }

    #[test]
    fn nothing_overflows_and_nothing_divides_by_zero() {
        assert_eq!(DataRate::ZERO.time_for(DataSize::from_bytes(1)), Duration::MAX);
        assert_eq!(DataSize::from_bytes(9).per(Duration::ZERO), DataRate::ZERO);
        assert_eq!(DataRate::from_bps(1) - DataRate::from_bps(2), DataRate::ZERO);
        assert_eq!(DataRate::from_bps(1).scaled(f64::NAN), DataRate::ZERO);
        assert_eq!(DataRate::from_kbps(u64::MAX).as_bps_u32(), u32::MAX);
    }

    #[test]
    fn rates_read_well() {
        assert_eq!(DataRate::from_bps(1_500_000).to_string(), "1.50 Mbit/s");
        assert_eq!(DataRate::from_bps(80_000).to_string(), "80 kbit/s");
    }
}
