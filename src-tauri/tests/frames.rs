//! The frame server as a web page meets it: token, origin, pace, size.
#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

use std::{sync::Arc, time::Duration};

use bedside::frames::{Feedback, FrameServer, FrameSource, HEADER_BYTES, MAX_IN_FLIGHT};
use bedside_media::frame::{I420, VideoFrame};
use bedside_session::{Frames, StreamKind};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        http::{StatusCode, header},
    },
};

const ORIGIN: &str = "tauri://localhost";
/// How long a message that must come may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Fixture {
    server: FrameServer,
    remote: watch::Sender<Option<VideoFrame>>,
}

struct Source(Frames);

impl FrameSource for Source {
    fn frames(&self, _stream: StreamKind) -> Frames {
        self.0.clone()
    }
}

impl Fixture {
    async fn start() -> Self {
        let (remote, frames) = watch::channel(None);
        let server = FrameServer::start(Arc::new(Source(frames)), &[ORIGIN], None).await.unwrap();
        Self { server, remote }
    }

    fn show(&self, width: u32, height: u32) {
        let image = Arc::new(I420::new(width, height));
        self.remote.send_replace(Some(VideoFrame { image, captured_at: std::time::Instant::now() }));
    }

    async fn open(&self) -> Socket {
        connect(&self.server.endpoint(StreamKind::Remote), Some(ORIGIN)).await.unwrap()
    }
}

async fn connect(url: &str, origin: Option<&str>) -> Result<Socket, Error> {
    let mut request = url.into_client_request()?;
    if let Some(origin) = origin {
        request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
    }
    Ok(tokio_tungstenite::connect_async(request).await?.0)
}

fn status(result: Result<Socket, Error>) -> Option<StatusCode> {
    match result {
        Err(Error::Http(response)) => Some(response.status()),
        _ => None,
    }
}

async fn say(socket: &mut Socket, feedback: Feedback) {
    let bytes = match feedback {
        Feedback::Drawn(sequence) => [&[1_u8][..], &sequence.to_le_bytes()].concat(),
        Feedback::Shown { width, height } => {
            let side = |pixels: u32| u16::try_from(pixels).unwrap().to_le_bytes();
            [&[2_u8][..], &side(width), &side(height)].concat()
        }
    };
    socket.send(Message::Binary(bytes.into())).await.unwrap();
}

/// The next frame: sequence, width, height.
async fn frame(socket: &mut Socket) -> (u32, u16, u16) {
    let message = timeout(PATIENCE, socket.next()).await.expect("a frame in time").unwrap().unwrap();
    let bytes = message.into_data();
    assert_eq!(&bytes[..4], b"BSF1");
    let two = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let (width, height) = (two(16), two(18));
    assert_eq!(bytes.len(), HEADER_BYTES + usize::from(width) * usize::from(height) * 3 / 2);
    (u32::from_le_bytes(bytes[4..8].try_into().unwrap()), width, height)
}

/// What the socket has said before it answers a ping: no frame may be among it.
async fn nothing_comes(socket: &mut Socket) {
    socket.send(Message::Ping("anything?".into())).await.unwrap();
    let answer = timeout(PATIENCE, socket.next()).await.expect("an answer in time").unwrap().unwrap();
    assert!(answer.is_pong(), "a frame came that should have waited");
}

#[tokio::test]
async fn a_token_opens_one_connection() {
    let fixture = Fixture::start().await;
    let url = fixture.server.endpoint(StreamKind::Remote);
    let first = connect(&url, Some(ORIGIN)).await;
    assert!(first.is_ok(), "{:?}", first.err());
    assert_eq!(status(connect(&url, Some(ORIGIN)).await), Some(StatusCode::FORBIDDEN));
}

#[tokio::test]
async fn a_wrong_token_or_path_is_refused() {
    let fixture = Fixture::start().await;
    let url = fixture.server.endpoint(StreamKind::Remote);
    let (base, _) = url.rsplit_once('/').unwrap();
    for wrong in [format!("{base}/"), format!("{base}/{}", "0".repeat(64)), base.replace("/frames", "/")] {
        assert_eq!(status(connect(&wrong, Some(ORIGIN)).await), Some(StatusCode::FORBIDDEN), "{wrong}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_and_burns_the_token() {
    let fixture = Fixture::start().await;
    for origin in [None, Some("null"), Some("http://localhost"), Some("https://evil.example")] {
        let url = fixture.server.endpoint(StreamKind::Remote);
        assert_eq!(status(connect(&url, origin).await), Some(StatusCode::FORBIDDEN), "{origin:?}");
        assert_eq!(status(connect(&url, Some(ORIGIN)).await), Some(StatusCode::FORBIDDEN), "{origin:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_before_the_page_says_how_large_it_shows() {
    let fixture = Fixture::start().await;
    let mut socket = fixture.open().await;
    fixture.show(640, 360);
    nothing_comes(&mut socket).await;
    say(&mut socket, Feedback::Shown { width: 640, height: 360 }).await;
    assert_eq!(frame(&mut socket).await, (0, 640, 360));
}

#[tokio::test]
async fn pictures_are_scaled_down_to_the_shown_size_and_keep_their_shape() {
    let fixture = Fixture::start().await;
    let mut socket = fixture.open().await;
    fixture.show(1280, 720);
    say(&mut socket, Feedback::Shown { width: 320, height: 320 }).await;
    assert_eq!(frame(&mut socket).await, (0, 320, 180));
    say(&mut socket, Feedback::Drawn(0)).await;
    say(&mut socket, Feedback::Shown { width: 4000, height: 4000 }).await;
    nothing_comes(&mut socket).await;
    fixture.show(1280, 720);
    assert_eq!(frame(&mut socket).await, (1, 1280, 720), "never larger than it is");
}

#[tokio::test]
async fn two_are_under_way_then_the_newest_wins() {
    assert_eq!(MAX_IN_FLIGHT, 2);
    let fixture = Fixture::start().await;
    let mut socket = fixture.open().await;
    say(&mut socket, Feedback::Shown { width: 2000, height: 2000 }).await;
    fixture.show(16, 16);
    assert_eq!(frame(&mut socket).await.0, 0);
    fixture.show(32, 32);
    assert_eq!(frame(&mut socket).await.0, 1);
    for width in [48, 64, 80] {
        fixture.show(width, 16);
    }
    nothing_comes(&mut socket).await;
    say(&mut socket, Feedback::Drawn(0)).await;
    assert_eq!(frame(&mut socket).await, (2, 80, 16), "those between were never sent");
    nothing_comes(&mut socket).await;
}

#[tokio::test]
async fn strange_messages_do_no_harm() {
    let fixture = Fixture::start().await;
    let mut socket = fixture.open().await;
    socket.send(Message::Text("hello".into())).await.unwrap();
    socket.send(Message::Binary(vec![7; 5].into())).await.unwrap();
    say(&mut socket, Feedback::Drawn(12_345)).await;
    say(&mut socket, Feedback::Shown { width: 64, height: 64 }).await;
    fixture.show(64, 64);
    assert_eq!(frame(&mut socket).await, (0, 64, 64));
}

#[tokio::test]
async fn the_stream_ends_with_its_source() {
    let fixture = Fixture::start().await;
    let mut socket = fixture.open().await;
    say(&mut socket, Feedback::Shown { width: 64, height: 64 }).await;
    drop(fixture.remote);
    let end = timeout(PATIENCE, socket.next()).await.expect("an end in time");
    assert!(!matches!(end, Some(Ok(Message::Binary(_)))), "{end:?}");
}
