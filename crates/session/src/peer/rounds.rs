//! What the stack has to say leaves at once, and what is said to it while it comes up it hears one by one.
//!
//! The stack's driver goes round in a loop: send, handle events, read, then sleep until something happens. What comes of
//! an event, such as the first flight of a handshake once a path is found, is sent in the next round; what a relay brings
//! is unwrapped after sending, and what goes to it is wrapped then. All that would lie there until something else wakes
//! the driver: the next check of a path, or the keepalive of a second. It cost every connection 50 ms, and one through a
//! relay one or two seconds.
//!
//! So while a connection comes up, and as long as somebody talks to a relay, the driver sleeps only after it has gone
//! round often enough with nothing new. Media on a direct path needs none of that and pays nothing for it.
//!
//! The driver reads up to 64 datagrams before it handles what came of them. When the last step of coming up arrives
//! together with the other side's first words, as from an access point that kept both for a sleeping station, those words
//! would be read before there is a channel for them, acknowledged and thrown away. So until the channels are open, each
//! round reads one datagram.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// From a packet that the relay brings to our answer on its way: unwrapped, answered and wrapped, sent.
const ROUNDS: u32 = 2;

/// Sleeps that a datagram puts in question.
const AFTER_A_HANDSHAKE: u32 = 1;
/// The same: what a relay carries is wrapped without our hearing of it, but never so long without a word of the relay's.
const AFTER_A_RELAY: u32 = 64;

/// What the driver of one connection has been doing.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Rounds in a row that nothing but we kept from sleeping.
    quiet: AtomicU32,
    /// Sleeps before which the driver looks once more.
    doubtful: AtomicU32,
    /// A datagram was read in this round.
    read: AtomicBool,
    /// The channels are open.
    up: AtomicBool,
}

impl Rounds {
    /// What the driver waits for at the end of a round, given how it would sleep.
    pub(super) fn sleep(self: &Arc<Self>, asleep: Pin<Box<dyn Future<Output = ()> + Send>>) -> Sleep {
        self.read.store(false, Relaxed);
        let doubtful = self.doubtful.load(Relaxed);
        self.doubtful.store(doubtful.saturating_sub(1), Relaxed);
        let again = doubtful > 0 && self.quiet.load(Relaxed) < ROUNDS;
        Sleep { rounds: Arc::clone(self), asleep: (!again).then_some(asleep), quiet: false }
    }

    /// The driver's view of a socket, listened to.
    pub(super) fn listen(self: &Arc<Self>, socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        Arc::new(Socket { inner: socket, rounds: Arc::clone(self) })
    }

    /// The channels are open: from now on a round may read whatever is there.
    pub(super) fn is_up(&self) {
        self.up.store(true, Relaxed);
    }

    fn heard(&self, datagram: &[u8]) {
        self.doubtful.fetch_max(sleeps_in_question(datagram), Relaxed);
    }
}

/// Ready at once where the driver is to go round once more.
pub(super) struct Sleep {
    rounds: Arc<Rounds>,
    /// Absent for one more round.
    asleep: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether the round ended without anything new.
    quiet: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.asleep {
            Some(asleep) => asleep.as_mut().poll(context),
            None => {
                self.quiet = true;
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // Otherwise something came first, or it was time for something.
        let quiet = if self.quiet { self.rounds.quiet.load(Relaxed) + 1 } else { 0 };
        self.rounds.quiet.store(quiet, Relaxed);
    }
}

/// What a datagram is, by how it begins (RFC 7983 §7), asks for.
fn sleeps_in_question(datagram: &[u8]) -> u32 {
    const BINDING: u16 = 1;
    match datagram {
        // STUN: to a relay, unless it asks for an address or checks a path. Two bits are the class (RFC 8489 §5).
        [high @ 0..=3, low, ..] if u16::from_be_bytes([*high, *low]) & 0x3eef != BINDING => AFTER_A_RELAY,
        [0..=3, ..] => AFTER_A_HANDSHAKE,
        // DTLS, as long as it carries no messages (RFC 6347 §4.1: 23).
        [20..=22, ..] => AFTER_A_HANDSHAKE,
        // TURN channels (RFC 8656 §12).
        [64..=79, ..] => AFTER_A_RELAY,
        _ => 0,
    }
}

#[derive(Debug)]
struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    rounds: Arc<Rounds>,
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, context: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.rounds.heard(transmit.contents);
        self.inner.poll_send(context, transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.rounds.read.load(Relaxed) && !self.rounds.up.load(Relaxed) {
            // The driver asks again in the next round.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let received = self.inner.poll_recv(context, buffers, meta);
        if let Poll::Ready(Ok(count)) = received {
            self.rounds.read.store(true, Relaxed);
            for (buffer, meta) in buffers.iter().zip(meta).take(count) {
                self.rounds.heard(&buffer[..meta.len.min(buffer.len())]);
            }
        }
        received
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const CHANNEL_DATA: [u8; 8] = [0x40, 0, 0, 4, 1, 2, 3, 4];

    const MEDIA: [u8; 40] = [128; 40];

    fn stun(kind: u16) -> Vec<u8> {
        let [high, low] = kind.to_be_bytes();
        [&[high, low, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[0; 12]].concat()
    }

    /// Rounds that the driver goes on at once, in which nothing else happens, before it sleeps.
    fn goes_on(rounds: &Arc<Rounds>) -> usize {
        let again = || rounds.sleep(Box::pin(std::future::pending())).now_or_never();
        std::iter::from_fn(again).take(100).count()
    }

    #[test]
    fn a_datagram_is_known_by_how_it_begins() {
        // Allocate, its success and its refusal; a permission; data from us and to us.
        for kind in [0x0003, 0x0103, 0x0113, 0x0008, 0x0016, 0x0017] {
            assert_eq!(sleeps_in_question(&stun(kind)), AFTER_A_RELAY, "{kind:#06x}");
        }
        assert_eq!(sleeps_in_question(&CHANNEL_DATA), AFTER_A_RELAY);
        // A check of a path, and its answers.
        for kind in [0x0001, 0x0011, 0x0101, 0x0111] {
            assert_eq!(sleeps_in_question(&stun(kind)), AFTER_A_HANDSHAKE, "{kind:#06x}");
        }
        assert_eq!(sleeps_in_question(&[22; 40]), AFTER_A_HANDSHAKE);
        for other in [&MEDIA[..], &[23; 40], &[], &[0]] {
            assert_eq!(sleeps_in_question(other), if other == [0] { AFTER_A_HANDSHAKE } else { 0 });
        }
    }

    #[test]
    fn media_on_a_direct_path_costs_no_round() {
        let rounds = Arc::new(Rounds::default());
        for _ in 0..10 {
            rounds.heard(&MEDIA);
            assert_eq!(goes_on(&rounds), 0);
        }
    }

    #[test]
    fn what_comes_of_a_check_leaves_before_the_driver_sleeps() {
        let rounds = Arc::new(Rounds::default());
        rounds.heard(&stun(1));
        assert_eq!(goes_on(&rounds), 1);
        assert_eq!(goes_on(&rounds), 0);
    }

    #[test]
    fn with_a_relay_it_sleeps_only_once_nothing_is_left_to_wrap_or_unwrap() {
        let rounds = Arc::new(Rounds::default());
        rounds.heard(&CHANNEL_DATA);
        for _ in 0..3 {
            assert_eq!(goes_on(&rounds), 2);
            // Something wakes it.
        }
    }

    #[test]
    fn what_comes_in_between_is_given_its_rounds_too() {
        let rounds = Arc::new(Rounds::default());
        rounds.heard(&CHANNEL_DATA);
        assert!(rounds.sleep(Box::pin(std::future::pending())).now_or_never().is_some());
        // A packet was there before the driver asked whether to sleep.
        drop(rounds.sleep(Box::pin(std::future::pending())));
        assert_eq!(goes_on(&rounds), 2);
    }

    /// A socket with all the datagrams in the world.
    #[derive(Debug)]
    struct Flood;

    impl AsyncUdpSocket for Flood {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 9)))
        }

        fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(transmit.contents.len()))
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            meta: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            meta[0] = RecvMeta::default();
            Poll::Ready(Ok(1))
        }
    }

    /// Datagrams that the driver gets before it sleeps, asking up to three times.
    async fn reads(socket: &Arc<dyn AsyncUdpSocket>) -> usize {
        let mut buffer = [0; 8];
        let mut read = 0;
        for _ in 0..3 {
            read += std::future::poll_fn(|context| {
                let got = socket.poll_recv(
                    context,
                    &mut [IoSliceMut::new(&mut buffer)],
                    &mut [RecvMeta::default()],
                );
                Poll::Ready(usize::from(got.is_ready()))
            })
            .await;
        }
        read
    }

    #[tokio::test]
    async fn until_the_channels_are_open_a_round_reads_one_datagram() {
        let rounds = Arc::new(Rounds::default());
        let socket = rounds.listen(Arc::new(Flood));
        for _ in 0..2 {
            assert_eq!(reads(&socket).await, 1);
            assert_eq!(goes_on(&rounds), 0);
        }
        rounds.is_up();
        assert_eq!(reads(&socket).await, 3);
    }

    #[test]
    fn a_relay_that_is_silent_is_forgotten() {
        let rounds = Arc::new(Rounds::default());
        rounds.heard(&CHANNEL_DATA);
        assert!((0..AFTER_A_RELAY).map(|_| goes_on(&rounds)).sum::<usize>() > 0);
        assert_eq!(goes_on(&rounds), 0);
    }
}
