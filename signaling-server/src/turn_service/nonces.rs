//! The socket that the embedded TURN service listens on, which gives one nonce to all.
//!
//! The library makes a nonce for whoever asks without one, and forgets it only when it comes back after an hour: packets
//! that anybody can send, with made-up senders, would fill the memory. So the library is asked for a nonce now and then,
//! and nobody else's request without one reaches it. That is a few hundred a day. A nonce keeps an old request from being
//! sent again much later (RFC 8489 §9.2); one that all share does so as well.

use std::{
    any::Any,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use stun::{
    attributes::{ATTR_MESSAGE_INTEGRITY, ATTR_NONCE, ATTR_REALM},
    error_code::{CODE_STALE_NONCE, CODE_UNAUTHORIZED, ErrorCode, ErrorCodeAttribute},
    message::{
        CLASS_ERROR_RESPONSE, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION,
        METHOD_REFRESH, Message, MessageType, is_message,
    },
    textattrs::{Nonce, Realm, TextAttribute},
};
use tokio::{net::UdpSocket, time::Instant};
use turn::proto::chandata::ChannelData;
use webrtc_util::Conn;

use super::{
    REALM,
    relays::{ConnResult, receive},
};

/// For how long a nonce is given out.
const GIVEN_OUT: Duration = Duration::from_secs(5 * 60);
/// For how long a nonce reaches the library, which knows it for an hour.
const KNOWN: Duration = Duration::from_secs(59 * 60);

/// The nonces that the library has made lately, the newest last. Told the time.
#[derive(Debug, Default)]
struct Nonces(Vec<(Instant, String)>);

impl Nonces {
    /// The one to give out, or none: then the library is to make another.
    fn current(&self, now: Instant) -> Option<&str> {
        let (made, nonce) = self.0.last()?;
        (now.duration_since(*made) < GIVEN_OUT).then_some(nonce)
    }

    fn knows(&self, nonce: &str, now: Instant) -> bool {
        self.0.iter().any(|(made, known)| known == nonce && now.duration_since(*made) < KNOWN)
    }

    fn learn(&mut self, nonce: String, now: Instant) {
        self.0.retain(|(made, _)| now.duration_since(*made) < KNOWN);
        self.0.push((now, nonce));
    }
}

/// The listening socket.
pub(super) struct Doorway {
    socket: UdpSocket,
    nonces: Mutex<Nonces>,
}

impl Doorway {
    pub(super) fn new(socket: UdpSocket) -> Self {
        Self { socket, nonces: Mutex::default() }
    }

    /// The answer to a request for which the library would make another nonce; none for whatever it has to see.
    fn answer(&self, packet: &[u8]) -> Option<Message> {
        let request = decode(packet).filter(|message| {
            let method = message.typ.method;
            message.typ.class == CLASS_REQUEST
                && [METHOD_ALLOCATE, METHOD_REFRESH, METHOD_CREATE_PERMISSION, METHOD_CHANNEL_BIND]
                    .contains(&method)
        })?;
        let (nonces, now) = (self.nonces(), Instant::now());
        let code = if request.contains(ATTR_MESSAGE_INTEGRITY) {
            // Without a nonce the library only says so.
            let nonce = TextAttribute::get_from_as(&request, ATTR_NONCE).ok()?;
            if nonces.knows(&nonce.text, now) {
                return None;
            }
            CODE_STALE_NONCE
        } else {
            CODE_UNAUTHORIZED
        };
        refusal(&request, code, nonces.current(now)?)
    }

    /// Takes notice of the nonce in an answer of the library's, which it has just made.
    fn notice(&self, answer: &[u8]) {
        let refused = decode(answer).filter(|message| message.typ.class == CLASS_ERROR_RESPONSE);
        let nonce = refused.and_then(|message| TextAttribute::get_from_as(&message, ATTR_NONCE).ok());
        if let Some(nonce) = nonce {
            self.nonces().learn(nonce.text, Instant::now());
        }
    }

    fn nonces(&self) -> MutexGuard<'_, Nonces> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the library takes for a message of STUN's, and not for relayed data.
fn decode(packet: &[u8]) -> Option<Message> {
    if ChannelData::is_channel_data(packet) || !is_message(packet) {
        return None;
    }
    let mut message = Message { raw: packet.to_vec(), ..Message::default() };
    message.decode().ok()?;
    Some(message)
}

/// As the library would refuse (RFC 8489 §9.2.4).
fn refusal(request: &Message, code: ErrorCode, nonce: &str) -> Option<Message> {
    let mut answer = Message::new();
    let built = answer.build(&[
        Box::new(request.transaction_id),
        Box::new(MessageType::new(request.typ.method, CLASS_ERROR_RESPONSE)),
        Box::new(ErrorCodeAttribute { code, reason: Vec::new() }),
        Box::new(Nonce::new(ATTR_NONCE, nonce.to_owned())),
        Box::new(Realm::new(ATTR_REALM, REALM.to_owned())),
    ]);
    built.ok().map(|()| answer)
}

#[async_trait]
impl Conn for Doorway {
    async fn connect(&self, address: SocketAddr) -> ConnResult<()> {
        Ok(self.socket.connect(address).await?)
    }

    async fn recv(&self, buffer: &mut [u8]) -> ConnResult<usize> {
        self.recv_from(buffer).await.map(|(length, _)| length)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> ConnResult<(usize, SocketAddr)> {
        loop {
            let (length, from) = receive(&self.socket, buffer).await?;
            let Some(answer) = self.answer(&buffer[..length]) else { return Ok((length, from)) };
            // Whoever can't be answered asks again.
            let _ = self.socket.send_to(&answer.raw, from).await;
        }
    }

    async fn send(&self, buffer: &[u8]) -> ConnResult<usize> {
        Ok(self.socket.send(buffer).await?)
    }

    async fn send_to(&self, buffer: &[u8], target: SocketAddr) -> ConnResult<usize> {
        self.notice(buffer);
        Ok(self.socket.send_to(buffer, target).await?)
    }

    fn local_addr(&self) -> ConnResult<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> ConnResult<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_given_out_for_a_while_known_for_longer_and_then_forgotten() {
        let start = Instant::now();
        let mut nonces = Nonces::default();
        assert_eq!(nonces.current(start), None, "the library has made none yet");
        nonces.learn("first".to_owned(), start);
        let later = start + GIVEN_OUT;
        assert_eq!(nonces.current(later - Duration::from_secs(1)), Some("first"));
        assert_eq!(nonces.current(later), None);
        nonces.learn("second".to_owned(), later);
        assert_eq!(nonces.current(later), Some("second"));
        assert!(
            nonces.knows("first", later) && nonces.knows("second", later) && !nonces.knows("made up", later)
        );
        assert!(!nonces.knows("first", start + KNOWN));
        nonces.learn("third".to_owned(), start + KNOWN);
        assert_eq!(nonces.0.len(), 2, "who is given no more is forgotten");
    }
}
