//! A UDP socket of a host.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::{Shared, world::HostId};

#[derive(Debug)]
pub(super) struct HostSocket {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Nothing passes through it: it keeps the port from being given to somebody else.
    _port: UdpSocket,
}

impl HostSocket {
    pub(super) fn bind(host: HostId, shared: Arc<Shared>, port: UdpSocket) -> io::Result<Self> {
        let address = port.local_addr()?;
        if !shared.world().bind(host, address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(Self { shared, address, _port: port })
    }
}

impl Drop for HostSocket {
    fn drop(&mut self) {
        self.shared.world().unbind(self.address);
    }
}

impl AsyncUdpSocket for HostSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let mut world = self.shared.world();
        let mut sooner = false;
        for datagram in transmit.contents.chunks(size) {
            sooner |= world.send(Instant::now(), self.address, transmit.destination, datagram);
        }
        drop(world);
        if sooner {
            self.shared.news.notify_all();
        }
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let Some((from, data)) = self.shared.world().receive(self.address, context.waker()) else {
            return Poll::Pending;
        };
        let len = data.len().min(buffer.len());
        buffer[..len].copy_from_slice(&data[..len]);
        *meta = RecvMeta::default();
        meta.addr = from;
        meta.len = len;
        meta.stride = len.max(1);
        meta.dst_ip = Some(self.address.ip());
        Poll::Ready(Ok(1))
    }
}
