//! Frames over WebSockets on the loopback interface.
//!
//! Any program and any web page of this machine can reach a loopback port, so a connection needs a one-time
//! token that only our window was given, and must come from a page of ours by its `Origin`.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use bedside_session::StreamKind;
use futures_util::{SinkExt, StreamExt as _};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode, header},
        protocol::WebSocketConfig,
    },
};

use super::{Carrier, DrawnAges, Feedback, FrameSource, Picture, pump::pump, tokens::Tokens, wire};

const PATH: &str = "/frames/";
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections at a time: a window shows three streams at most.
const MOST_CONNECTIONS: usize = 12;
/// Feedback is five bytes; nothing larger is read.
const MOST_BYTES: usize = 64;

/// Serves the streams of one source.
pub struct FrameServer {
    port: u16,
    tokens: Arc<Tokens>,
    accepting: tokio::task::JoinHandle<()>,
}

impl FrameServer {
    /// Listens on a free loopback port for pages of `origins`; `ages` is told when remote pictures are drawn.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start(
        source: Arc<dyn FrameSource>,
        origins: &'static [&'static str],
        ages: Option<Arc<DrawnAges>>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let tokens = Arc::new(Tokens::default());
        let accepting = tokio::spawn(accept(listener, source, tokens.clone(), origins, ages));
        Ok(Self { port, tokens, accepting })
    }

    /// An address for one connection to one stream, good for ten seconds.
    pub fn endpoint(&self, stream: StreamKind) -> String {
        let token = self.tokens.issue(stream, Instant::now().into_std());
        format!("ws://127.0.0.1:{}{PATH}{token}", self.port)
    }
}

impl Drop for FrameServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    source: Arc<dyn FrameSource>,
    tokens: Arc<Tokens>,
    origins: &'static [&'static str],
    ages: Option<Arc<DrawnAges>>,
) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (source, tokens, ages) = (source.clone(), tokens.clone(), ages.clone());
        tokio::spawn(async move {
            let _place = place;
            // Who connects and says nothing, or the wrong thing, is let go.
            if let Ok(Some((socket, stream))) = timeout(HANDSHAKE, greet(stream, &tokens, origins)).await {
                let ages = ages.filter(|_| stream == StreamKind::Remote);
                pump(source.frames(stream), socket, ages).await;
            }
        });
    }
}

async fn greet(
    stream: TcpStream,
    tokens: &Tokens,
    origins: &[&str],
) -> Option<(WebSocketStream<TcpStream>, StreamKind)> {
    stream.set_nodelay(true).ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(MOST_BYTES))
        .max_frame_size(Some(MOST_BYTES));
    let mut granted = None;
    #[expect(clippy::result_large_err, reason = "the shape of the callback is the library's")]
    let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let origin = request.headers().get(header::ORIGIN).map(HeaderValue::as_bytes);
        let ours = origins.iter().any(|ours| origin == Some(ours.as_bytes()));
        // The token is used up even when the origin is wrong: it has leaked.
        let token = request.uri().path().strip_prefix(PATH).unwrap_or_default();
        granted = tokens.redeem(token, Instant::now().into_std()).filter(|_| ours);
        if granted.is_some() { Ok(response) } else { Err(forbidden()) }
    };
    let socket = tokio_tungstenite::accept_hdr_async_with_config(stream, check, Some(config)).await.ok()?;
    Some((socket, granted?))
}

fn forbidden() -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

impl Carrier for WebSocketStream<TcpStream> {
    async fn send(&mut self, picture: Picture) -> bool {
        SinkExt::send(self, Message::Binary(wire::message(&picture).into())).await.is_ok()
    }

    async fn feedback(&mut self) -> Option<Feedback> {
        loop {
            match self.next().await?.ok()? {
                Message::Binary(bytes) => {
                    if let Some(feedback) = Feedback::parse(&bytes) {
                        return Some(feedback);
                    }
                }
                Message::Close(_) => return None,
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}
