//! Somebody on the path of a call's packets, who ends its encryption there and begins it anew with keys of their own.
//!
//! An [`Interloper`] stands before one engine's sockets, where a router, a provider or a relay stands. ICE checks pass
//! as they are: nobody on the way has their password. The DTLS handshake is answered in the other side's place, towards
//! both, each of which is shown the interloper's certificate; what they say inside is passed on. An engine that does not
//! look at whose certificate it was shown would talk to its peer through the interloper and notice nothing.

use std::{
    collections::VecDeque,
    io::{self, IoSliceMut},
    net::{SocketAddr, TcpListener, UdpSocket},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bedside_session::peer::NetworkOptions;
use bytes::BytesMut;
use rtc::{
    crypto::default_provider,
    dtls::{
        config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig},
        crypto::Certificate,
        endpoint::{Endpoint, EndpointEvent},
        extension::extension_use_srtp::SrtpProtectionProfile,
    },
    shared::TransportProtocol,
};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// See the module.
pub struct Interloper {
    shared: Arc<Shared>,
}

/// What all sockets of an interloper have in common.
struct Shared {
    as_server: Arc<HandshakeConfig>,
    as_client: Arc<HandshakeConfig>,
    /// New connections are left alone.
    gone: AtomicBool,
    /// Handshakes that came to their end, towards the engine and towards its peer.
    completed: [AtomicU64; 2],
    /// Sealed media that came from either side of a connection that was broken into.
    media: AtomicU64,
}

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The engine whose sockets these are.
    Engine,
    /// Whoever it talks to.
    Peer,
}

impl Interloper {
    /// Takes up a place before an engine, with a new certificate.
    ///
    /// # Panics
    /// When no certificate can be made.
    #[must_use]
    pub fn take_up() -> Arc<Self> {
        let provider = default_provider().expect("cryptography");
        let certificate = Certificate::generate_self_signed(vec!["interloper".to_owned()], provider.crypto());
        let certificate = certificate.expect("a certificate");
        let config = |client| {
            ConfigBuilder::default()
                .with_crypto_provider(provider.clone())
                .with_certificates(vec![certificate.clone()])
                .with_srtp_protection_profiles(vec![
                    SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
                    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
                ])
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                .with_insecure_skip_verify(true)
                .with_extended_master_secret(ExtendedMasterSecretType::Require)
                .with_flight_interval(Duration::from_millis(100))
                .build(client, None)
                .expect("a configuration")
        };
        let shared = Shared {
            as_server: Arc::new(config(false)),
            as_client: Arc::new(config(true)),
            gone: AtomicBool::new(false),
            completed: [AtomicU64::new(0), AtomicU64::new(0)],
            media: AtomicU64::new(0),
        };
        Arc::new(Self { shared: Arc::new(shared) })
    }

    /// How the engine that it stands before reaches the network.
    #[must_use]
    pub fn options(self: &Arc<Self>) -> NetworkOptions {
        NetworkOptions { runtime: Some(Arc::clone(self) as _), ..NetworkOptions::loopback() }
    }

    /// From the next connection on everything passes as it is.
    pub fn leave(&self) {
        self.shared.gone.store(true, SeqCst);
    }

    /// How many handshakes it has brought to an end: towards the engine, towards its peer.
    #[must_use]
    pub fn handshakes(&self) -> (u64, u64) {
        let [engine, peer] = &self.shared.completed;
        (engine.load(SeqCst), peer.load(SeqCst))
    }

    /// How many packets of media it was sent under its own keys.
    #[must_use]
    pub fn media(&self) -> u64 {
        self.shared.media.load(SeqCst)
    }
}

impl std::fmt::Debug for Interloper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interloper")
    }
}

/// Datagrams for the engine, and who waits for them.
#[derive(Default)]
struct Inbox {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

/// The two encrypted halves of one path.
struct Halves {
    engine: Endpoint,
    peer: Endpoint,
    /// Where the peer is, once either has begun to speak.
    met: Option<SocketAddr>,
}

struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    /// The same socket, for what is sent in the engine's place.
    raw: UdpSocket,
    shared: Arc<Shared>,
    inbox: Mutex<Inbox>,
    halves: Option<Mutex<Halves>>,
}

impl Socket {
    fn bind(shared: &Arc<Shared>, socket: UdpSocket) -> io::Result<Self> {
        let (raw, local) = (socket.try_clone()?, socket.local_addr()?);
        let half = || Endpoint::new(local, TransportProtocol::UDP, Some(Arc::clone(&shared.as_server)));
        let halves = Halves { engine: half(), peer: half(), met: None };
        let here = !shared.gone.load(SeqCst);
        Ok(Self {
            inner: TokioRuntime.wrap_udp_socket(socket)?,
            raw,
            shared: Arc::clone(shared),
            inbox: Mutex::default(),
            halves: here.then(|| Mutex::new(halves)),
        })
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, from: SocketAddr, datagram: &[u8]) {
        let mut inbox = self.inbox();
        inbox.datagrams.push_back((from, datagram.to_vec()));
        let reader = inbox.reader.take();
        drop(inbox);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// A datagram from one side to the other; true when it is dealt with.
    fn intercept(&self, from: Side, peer: SocketAddr, datagram: &[u8]) -> bool {
        let Some(halves) = &self.halves else { return false };
        let mut halves = halves.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // RFC 7983 §7: what a datagram is shows in its first byte.
        let taken = match datagram.first() {
            Some(20..=63) => {
                self.shake_hands(&mut halves, now, from, peer, datagram);
                true
            }
            Some(128..=191) if halves.met.is_some() => {
                self.shared.media.fetch_add(1, SeqCst);
                true
            }
            _ => false,
        };
        self.send_out(&mut halves, now);
        taken
    }

    fn shake_hands(&self, halves: &mut Halves, now: Instant, from: Side, peer: SocketAddr, datagram: &[u8]) {
        let (near, far) = match from {
            Side::Engine => (&mut halves.engine, &mut halves.peer),
            Side::Peer => (&mut halves.peer, &mut halves.engine),
        };
        if halves.met.is_none() {
            halves.met = Some(peer);
            // Whoever speaks first is the client; to the other side, the interloper is.
            if let Err(error) = far.connect(now, peer, Arc::clone(&self.shared.as_client), None) {
                tracing::warn!(%error, "the interloper could not begin");
            }
        }
        match near.read(now, peer, None, BytesMut::from(datagram)) {
            Ok(events) => {
                for event in events {
                    match event {
                        EndpointEvent::HandshakeComplete => {
                            self.shared.completed[from as usize].fetch_add(1, SeqCst);
                        }
                        // The other half may not be ready; what matters is said again.
                        EndpointEvent::ApplicationData(data) => drop(far.write(now, peer, &data)),
                        _ => {}
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "the interloper was refused"),
        }
    }

    fn send_out(&self, halves: &mut Halves, now: Instant) {
        let Some(peer) = halves.met else { return };
        for half in [&mut halves.engine, &mut halves.peer] {
            if half.poll_timeout(&peer).is_some_and(|due| due <= now) {
                // It gives up after a while, and so does the engine.
                let _ = half.handle_timeout(peer, now);
            }
        }
        while let Some(out) = halves.engine.poll_transmit() {
            self.deliver(peer, &out.message);
        }
        while let Some(out) = halves.peer.poll_transmit() {
            // A datagram may be lost.
            let _ = self.raw.send_to(&out.message, peer);
        }
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Socket")
    }
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let mut all = true;
        for datagram in transmit.contents.chunks(size) {
            all &= self.intercept(Side::Engine, transmit.destination, datagram);
        }
        // The stack sends what belongs together, or one by one: never a mixture.
        if all { Poll::Ready(Ok(transmit.contents.len())) } else { self.inner.poll_send(cx, transmit) }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(first)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        loop {
            let waiting = {
                let mut inbox = self.inbox();
                let waiting = inbox.datagrams.pop_front();
                if waiting.is_none() {
                    inbox.reader = Some(cx.waker().clone());
                }
                waiting
            };
            if let Some((from, datagram)) = waiting {
                let len = datagram.len().min(buffer.len());
                buffer[..len].copy_from_slice(&datagram[..len]);
                *first = RecvMeta::default();
                (first.addr, first.len, first.stride) = (from, len, len.max(1));
                first.dst_ip = self.inner.local_addr().ok().map(|address| address.ip());
                return Poll::Ready(Ok(1));
            }
            let one = (std::slice::from_mut(&mut *buffer), std::slice::from_mut(&mut *first));
            match self.inner.poll_recv(cx, one.0, one.1) {
                Poll::Ready(Ok(0)) => {}
                Poll::Ready(Ok(_)) => {
                    for datagram in buffer[..first.len].chunks(first.stride.max(1)) {
                        if !self.intercept(Side::Peer, first.addr, datagram) {
                            self.deliver(first.addr, datagram);
                        }
                    }
                }
                other => return other,
            }
        }
    }
}

impl Runtime for Interloper {
    fn spawn(&self, task: Task) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(task)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::bind(&self.shared, socket)?))
    }

    fn wrap_tcp_listener(&self, listener: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp(&self, to: SocketAddr) -> Pending<'_, Arc<dyn AsyncTcpStream>> {
        TokioRuntime.connect_tcp(to)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Pending<'a, Vec<SocketAddr>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Task {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}
