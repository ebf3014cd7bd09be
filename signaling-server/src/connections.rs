//! What a connection may hold: a file descriptor each, before anybody has been asked who they are. Heads and bodies of
//! requests have to arrive in time, and one address has no more than its share of connections.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::{Ready, ready},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use axum_server::accept::Accept;
use futures_util::{StreamExt, stream};
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::auth::network_of;

/// Closes connections whose request does not begin and get to its body in time.
pub(crate) fn limit_heads(builder: &mut auto::Builder<TokioExecutor>, within: Duration) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(within);
}

/// Bodies break off when they have not arrived in time. Parts of attachments may take as long as they come: their route
/// looks after them.
pub(crate) async fn limit_bodies(State(within): State<Duration>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() || request.uri().path() == "/api/attachments/upload" {
        return next.run(request).await;
    }
    let deadline = Instant::now() + within;
    let in_time = |body: Body| {
        Body::from_stream(stream::try_unfold(body.into_data_stream(), move |mut chunks| async move {
            match timeout_at(deadline, chunks.next()).await {
                Ok(chunk) => Ok(chunk.transpose()?.map(|chunk| (chunk, chunks))),
                Err(late) => Err(axum::Error::new(late)),
            }
        }))
    };
    next.run(request.map(in_time)).await
}

/// Counts the open connections of each address. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    per_address: u32,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl Connections {
    pub(crate) fn new(per_address: u32) -> Self {
        Self { per_address, open: Arc::default() }
    }

    fn take(&self, address: IpAddr) -> Option<Share> {
        let address = network_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        (*count < self.per_address).then(|| {
            *count += 1;
            Share { of: self.clone(), address }
        })
    }
}

/// One connection's part of what its address may have; given back when it is gone.
#[derive(Debug)]
struct Share {
    of: Connections,
    address: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.of.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Connections {
    type Stream = Counted;
    type Service = S;
    type Future = Ready<io::Result<(Counted, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let counted = stream.peer_addr().and_then(|from| {
            // Without a word: an answer would be work for whoever asks too much.
            let share = self.take(from.ip()).ok_or(io::ErrorKind::QuotaExceeded)?;
            Ok((Counted { stream, _share: share }, service))
        });
        ready(counted)
    }
}

/// A connection that is counted for as long as it is open, whatever it is upgraded to.
#[derive(Debug)]
pub(crate) struct Counted {
    stream: TcpStream,
    _share: Share,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Counted {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gets_back_what_is_closed() {
        let connections = Connections::new(2);
        let [ward, home]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let first = connections.take(ward).unwrap();
        let _second = connections.take(ward).unwrap();
        assert!(connections.take(ward).is_none());
        drop(connections.take(home).unwrap());
        drop(first);
        assert!(connections.take(ward).is_some());
        assert_eq!(connections.open.lock().unwrap().len(), 1, "who has none is forgotten");
    }
}
