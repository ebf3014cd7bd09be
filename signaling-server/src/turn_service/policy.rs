//! Where relayed packets may go: to where a participant can be and nowhere else. Not to the machine itself, under none of
//! its addresses, but for others who are relayed there; not to link-local addresses (where clouds keep their metadata); not
//! to groups of machines.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// For how long the machine counts as having the addresses that it had.
const FRESH: Duration = Duration::from_secs(10);

/// Where relayed packets may go.
#[derive(Debug)]
pub(super) struct RelayPolicy {
    /// The whole service is on loopback: a demonstration, a test. Its participants are on this machine.
    pub(super) on_loopback: bool,
    /// The machine as clients see it; behind a translation none of its own addresses.
    pub(super) public: IpAddr,
    pub(super) own: OwnAddresses,
    /// Where the service itself listens: no relaying in circles.
    pub(super) service_port: u16,
    /// The ports of this machine where participants can be: others who are relayed here. The smallest and the largest.
    pub(super) relay_ports: (u16, u16),
}

impl RelayPolicy {
    pub(super) fn permits(&self, peer: SocketAddr) -> bool {
        let (ip, port) = (peer.ip().to_canonical(), peer.port());
        if port == 0 || ip.is_unspecified() || ip.is_multicast() {
            return false;
        }
        if ip == self.public || ip.is_loopback() || self.own.contains(ip) {
            let (min, max) = self.relay_ports;
            let relayed = !ip.is_loopback() && (min..=max).contains(&port);
            return port != self.service_port && (self.on_loopback || relayed);
        }
        match ip {
            IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_broadcast() && v4.octets()[0] != 0,
            IpAddr::V6(v6) => !is_link_local(v6),
        }
    }
}

/// `fe80::/10` (RFC 4291 §2.5.6).
fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// The machine's addresses. They come and go with networks, bridges and containers: read anew now and then.
#[derive(Debug)]
pub(super) struct OwnAddresses {
    read: fn() -> io::Result<Vec<IpAddr>>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    at: Instant,
    addresses: Vec<IpAddr>,
}

impl OwnAddresses {
    pub(super) fn read(read: fn() -> io::Result<Vec<IpAddr>>) -> io::Result<Self> {
        let known = Known { at: Instant::now(), addresses: read()? };
        Ok(Self { read, known: Mutex::new(known) })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.at.elapsed() >= FRESH {
            known.at = Instant::now();
            match (self.read)() {
                Ok(addresses) => known.addresses = addresses,
                Err(error) => tracing::warn!(%error, "the addresses of this machine can't be read"),
            }
        }
        known.addresses.contains(&ip)
    }
}

/// The addresses of all of the machine's interfaces.
pub(super) fn interfaces() -> io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(public: &str, own: fn() -> io::Result<Vec<IpAddr>>) -> RelayPolicy {
        let public: IpAddr = public.parse().unwrap();
        RelayPolicy {
            on_loopback: public.is_loopback(),
            public,
            own: OwnAddresses::read(own).unwrap(),
            service_port: 3478,
            relay_ports: (49152, 65535),
        }
    }

    #[test]
    fn relays_reach_participants_but_not_the_machine_itself_or_its_neighbours_secrets() {
        // Behind a translation, with a bridge for containers.
        let own = || Ok(vec!["10.0.0.2".parse().unwrap(), "172.17.0.1".parse().unwrap()]);
        let policy = policy("192.0.2.1", own);
        for good in [
            "198.51.100.7:5000",
            "192.168.1.20:5000",
            "10.1.2.3:5000",
            "[2001:db8::5]:5000",
            "192.0.2.1:50000",
            "10.0.0.2:50000",
        ] {
            assert!(policy.permits(good.parse().unwrap()), "{good}");
        }
        for bad in [
            "127.0.0.1:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "169.254.169.254:80",
            "[fe80::1]:80",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "192.0.2.1:3478",
            "192.0.2.1:53",
            "10.0.0.2:3478",
            "10.0.0.2:161",
            "172.17.0.1:53",
            "[::ffff:172.17.0.1]:8080",
            "198.51.100.7:0",
        ] {
            assert!(!policy.permits(bad.parse().unwrap()), "{bad}");
        }
        let policy = self::policy("127.0.0.1", own);
        for good in ["127.0.0.1:80", "10.0.0.2:5000"] {
            assert!(policy.permits(good.parse().unwrap()), "{good}");
        }
        assert!(!policy.permits("127.0.0.1:3478".parse().unwrap()));
    }

    #[test]
    fn a_service_on_every_address_relays_to_none_of_this_machines() {
        // The address that clients are told is one of a documentation network.
        let policy = policy("192.0.2.1", interfaces);
        let addresses = interfaces().unwrap();
        assert!(addresses.iter().any(IpAddr::is_loopback), "{addresses:?}");
        for address in addresses {
            for port in [53, 3478, 8443] {
                assert!(!policy.permits(SocketAddr::new(address, port)), "{address}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_the_machine_gets_later_is_its_own_soon() {
        use std::sync::atomic::{AtomicU8, Ordering};
        static LAST: AtomicU8 = AtomicU8::new(1);
        let policy = policy("192.0.2.1", || Ok(vec![IpAddr::from([10, 0, 0, LAST.load(Ordering::Relaxed)])]));
        let [former, later] = ["10.0.0.1:53".parse().unwrap(), "10.0.0.2:53".parse().unwrap()];
        assert!(!policy.permits(former) && policy.permits(later));
        LAST.store(2, Ordering::Relaxed);
        tokio::time::advance(FRESH).await;
        assert!(policy.permits(former) && !policy.permits(later));
    }
}
