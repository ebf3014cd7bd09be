//! What a connection may hold: a file descriptor each, before anybody has been asked who they are. One address has no more
//! than its share of connections, and each has to begin in time.
//!
//! The HTTP library counts the time of a head only once it knows that HTTP/1 is spoken, and waits for that without end;
//! HTTP/2, which nobody here speaks, would have no limit at all.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum_server::accept::Accept;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::{
    auth::network_of,
    config::Config,
    shares::{Share, Shares},
};

/// What a connection with HTTP/2 begins with (RFC 9113 §3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Accepts connections over `A`: TLS or nothing.
#[derive(Clone, Debug)]
pub(super) struct Connections<A = ()> {
    inner: A,
    of_addresses: Shares<IpAddr>,
    begin_within: Duration,
}

impl Connections {
    pub(super) fn new(config: &Config) -> Self {
        let of_addresses = Shares::new(config.limits.connections_per_address);
        Self { inner: (), of_addresses, begin_within: config.socket.head_within }
    }

    pub(super) fn over<A>(self, inner: A) -> Connections<A> {
        Connections { inner, of_addresses: self.of_addresses, begin_within: self.begin_within }
    }
}

impl<A, S> Accept<TcpStream, S> for Connections<A>
where
    A: Accept<TcpStream, S, Future: Send + 'static>,
    S: Send + 'static,
{
    type Stream = Connection<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let begin_within = self.begin_within;
        let counted = stream.peer_addr().and_then(|from| {
            // Without a word: an answer would be work for whoever asks too much.
            let share = self.of_addresses.take(network_of(from.ip())).ok_or(io::ErrorKind::QuotaExceeded)?;
            Ok((share, self.inner.accept(stream, service)))
        });
        async move {
            let (share, accepted) = counted?;
            let (stream, service) = accepted.await?;
            let unknown = Some(Unknown { late: Box::pin(sleep(begin_within)), like_http_2: 0 });
            Ok((Connection { stream, unknown, _share: share }, service))
        }
        .boxed()
    }
}

/// A connection that is counted for as long as it is open, whatever it is upgraded to.
#[derive(Debug)]
pub(super) struct Connection<T> {
    stream: T,
    /// Until it is known to speak HTTP/1.
    unknown: Option<Unknown>,
    _share: Share<IpAddr>,
}

/// What a connection that has yet to begin is waited for with.
#[derive(Debug)]
struct Unknown {
    late: Pin<Box<Sleep>>,
    /// How many bytes have come that are those of [`HTTP_2`].
    like_http_2: usize,
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, unknown: begins, .. } = self.get_mut();
        let Some(unknown) = begins else { return Pin::new(stream).poll_read(context, into) };
        let before = into.filled().len();
        let Poll::Ready(read) = Pin::new(stream).poll_read(context, into) else {
            ready!(unknown.late.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        let (came, expected) = (&into.filled()[before..], &HTTP_2[unknown.like_http_2..]);
        let alike = came.iter().zip(expected).take_while(|(came, expected)| came == expected).count();
        unknown.like_http_2 += alike;
        if unknown.like_http_2 == HTTP_2.len() {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        if alike < came.len() {
            *begins = None;
        }
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
