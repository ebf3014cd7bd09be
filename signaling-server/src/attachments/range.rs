//! `Range` (RFC 9110 §14): one range of bytes. Several, or none that can be read, count as no range, which is allowed.

use std::ops::Range;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    Whole,
    /// A part.
    Part(Range<u64>),
    /// Nothing that exists: 416.
    Unsatisfiable,
}

/// Reads the header `Range` for something of `total` bytes.
#[must_use]
pub fn wanted(header: Option<&str>, total: u64) -> Wanted {
    let Some(text) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Wanted::Whole };
    let Some((first, last)) = text.split_once('-') else { return Wanted::Whole };
    let number = |text: &str| match text.trim() {
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<u64>().ok(),
        _ => None,
    };
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Some(0) => Wanted::Unsatisfiable,
            Some(length) => Wanted::Part(total.saturating_sub(length)..total),
            None => Wanted::Whole,
        },
        (first, "") => match number(first) {
            Some(first) if first < total => Wanted::Part(first..total),
            Some(_) => Wanted::Unsatisfiable,
            None => Wanted::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first > last => Wanted::Whole,
            (Some(first), Some(_)) if first >= total => Wanted::Unsatisfiable,
            (Some(first), Some(last)) => Wanted::Part(first..last.saturating_add(1).min(total)),
            _ => Wanted::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_read_and_cut_to_what_there_is() {
        for (header, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-300", 0..10),
            ("bytes=9-300", 9..10),
            ("bytes=9-18446744073709551615", 9..10),
            (" bytes=1 - 2", 1..3),
        ] {
            assert_eq!(wanted(Some(header), 10), Wanted::Part(expected), "{header}");
        }
    }

    #[test]
    fn what_does_not_exist_is_unsatisfiable_and_what_cannot_be_read_is_no_range() {
        for header in ["bytes=10-", "bytes=10-11", "bytes=-0"] {
            assert_eq!(wanted(Some(header), 10), Wanted::Unsatisfiable, "{header}");
        }
        for header in
            ["", "items=0-1", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "bytes=a-b", "bytes=+1-2"]
        {
            assert_eq!(wanted(Some(header), 10), Wanted::Whole, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }
}
