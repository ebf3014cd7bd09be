//! The little we read in candidates ourselves (RFC 8839 §5.1): enough to pass on only those that can be used, and that
//! do not make this machine send to where it should not.

use std::net::IpAddr;

use super::error::PeerError;

/// Longest candidate accepted, bytes.
const LONGEST: usize = 1_024;
/// Longest host name (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 255;

/// What to do with a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Give it to the stack.
    Use,
    /// Valid, but nothing this side can use: over TCP, or for a component that is never split off.
    PassOver,
}

/// Judges a candidate attribute; empty means that no more will come.
pub(super) fn judge(candidate: &str) -> Result<Verdict, PeerError> {
    if candidate.is_empty() {
        return Ok(Verdict::Use);
    }
    if candidate.len() > LONGEST || candidate.chars().any(char::is_control) {
        return Err(PeerError::BadCandidate);
    }
    let fields = candidate.strip_prefix("candidate:").unwrap_or(candidate);
    let mut fields = fields.split_whitespace();
    let mut field = || fields.next().ok_or(PeerError::BadCandidate);
    let (_foundation, component, transport) = (field()?, field()?, field()?);
    let (priority, address, port) = (field()?, field()?, field()?);
    let (typ, kind) = (field()?, field()?);
    let numbers = component.parse::<u16>().is_ok() && priority.parse::<u32>().is_ok();
    let kinds = ["host", "srflx", "prflx", "relay"];
    if !numbers || typ != "typ" || !kinds.contains(&kind) {
        return Err(PeerError::BadCandidate);
    }
    let port = port.parse::<u16>().map_err(|_| PeerError::BadCandidate)?;
    if !transport.eq_ignore_ascii_case("udp") || component != "1" {
        return Ok(Verdict::PassOver);
    }
    if port == 0 || !is_single_host(address) {
        return Err(PeerError::BadCandidate);
    }
    Ok(Verdict::Use)
}

/// Whether an address stands for one machine: no group, nobody, or name that would be looked up elsewhere.
fn is_single_host(address: &str) -> bool {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast()
        }
        Ok(IpAddr::V6(address)) => !address.is_unspecified() && !address.is_multicast(),
        Err(_) => {
            let name = address.to_ascii_lowercase();
            name.len() <= LONGEST_NAME && name.len() > ".local".len() && name.ends_with(".local")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_send_is_used() {
        for good in [
            "candidate:1 1 udp 2113937151 192.0.2.7 50000 typ host generation 0 ufrag a network-cost 999",
            "candidate:1 1 UDP 2113937151 2001:db8::1 50000 typ host",
            "candidate:9 1 udp 2113937151 4f0e9f6c-2b1c-4f5d-8a3a-0c1d2e3f4a5b.local 50000 typ host",
            "candidate:2 1 udp 1677729535 198.51.100.4 50001 typ srflx raddr 0.0.0.0 rport 0",
            "",
        ] {
            assert_eq!(judge(good).unwrap(), Verdict::Use, "{good}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_passed_over() {
        for other in [
            "candidate:1 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active",
            "candidate:1 1 tcp 1518280447 192.0.2.7 22 typ host tcptype passive",
            "candidate:1 2 udp 2113937150 192.0.2.7 50001 typ host",
        ] {
            assert_eq!(judge(other).unwrap(), Verdict::PassOver, "{other}");
        }
    }

    #[test]
    fn what_points_nowhere_or_everywhere_is_refused() {
        for bad in [
            "candidate:1 1 udp 2113937151 0.0.0.0 50000 typ host",
            "candidate:1 1 udp 2113937151 :: 50000 typ host",
            "candidate:1 1 udp 2113937151 255.255.255.255 50000 typ host",
            "candidate:1 1 udp 2113937151 224.0.0.251 5353 typ host",
            "candidate:1 1 udp 2113937151 ff02::1 50000 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.7 0 typ host",
            "candidate:1 1 udp 2113937151 records.clinic.example 443 typ host",
            "candidate:1 1 udp 2113937151 .local 50000 typ host",
            "candidate:1 1 udp 4294967296 192.0.2.7 50000 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.7 65536 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.7 50000 typ elsewhere",
            "candidate:1 1 udp 2113937151 192.0.2.7 50000",
            "candidate:1 1 udp 2113937151 192.0.2.7 50000 typ host\r\na=candidate:2",
            "candidate",
            "candidate:",
        ] {
            assert!(judge(bad).is_err(), "{bad}");
        }
    }
}
