//! Setting up the transport: the stack's settings, each chosen by measurement, and the chain that media passes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bedside_protocol::rest::IceServer;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{ReceiverReportBuilder, Slot, TwccReceiverBuilder};
use rtc::mdns::MulticastSocket;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use tokio_util::sync::CancellationToken;
use webrtc::error::Error;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceServer, RTCIceTransportPolicy, Registry, SettingEngine, SettingEngineBuilder,
};
use webrtc::runtime::{Runtime, TokioRuntime};

use super::containment::{FAREWELL, Supervised, contained};
use super::error::PeerError;
use super::event::MediaKind;
use super::link::{Outgoing, TRANSPORT_CC_URI};
use super::rounds::Rounds;
use super::tap::{SharedLink, Tap, lock};
use super::{NetworkOptions, PeerConfig};

/// Opus, at the payload type browsers use.
const OPUS: u8 = 111;
/// H.264 constrained baseline, packetization mode 1.
const H264: u8 = 102;
/// Repetitions of [`H264`] (RFC 4588).
const H264_RTX: u8 = 103;
const OPUS_FMTP: &str = "minptime=10;useinbandfec=1";
const H264_FMTP: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

/// Between checks of candidate pairs, and how often one pair is tried. The stack's defaults (200 ms, 7) cost 150 ms of
/// every connection and never connected at 20 % loss.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
const CHECKS_PER_PAIR: u16 = 20;
/// Silence after which the connection counts as disturbed, and after which it counts as lost.
const DISCONNECTED_AFTER: Duration = Duration::from_secs(4);
const FAILED_AFTER: Duration = Duration::from_secs(20);
/// Between consent checks (RFC 7675) on the pair in use.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// Outstanding bytes of the data channel beyond which sending waits. Without a limit a whole file lands in memory.
const CHANNEL_BUFFER: usize = 1 << 20;
/// Between transport-wide feedback messages: two per frame interval of the ladder's lowest rate, as libwebrtc's middle.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);
/// Closest to the application.
const TAP_SLOT: usize = 14_000;

/// The stack's connection. Its driver ends with [`Connection::close`] or with the last clone.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) stack: Arc<dyn PeerConnection>,
    /// Cancelled when the stack's driver has ended.
    pub(super) ended: CancellationToken,
    /// To be told when the channels are open.
    pub(super) rounds: Arc<Rounds>,
    mdns: bool,
}

impl Connection {
    /// Tells the other side and closes the sockets.
    pub(super) async fn close(&self) {
        match contained(self.stack.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection did not close cleanly"),
            Err(_) => tracing::error!("the transport stack panicked when it was closed"),
        }
        if tokio::time::timeout(FAREWELL, self.ended.cancelled()).await.is_err() {
            tracing::debug!("the transport stack takes long to close");
        }
    }

    /// Whether sockets can be bound anew, as an ICE restart does; where that fails the stack gives up for good.
    pub(super) fn can_rebind(&self) -> Result<(), PeerError> {
        if !self.mdns {
            return Ok(());
        }
        MulticastSocket::new().into_std().map(drop).map_err(|_| PeerError::NoNetwork)
    }
}

/// Makes the peer connection; falls back to doing without mDNS where the host has no route for multicast.
pub(super) async fn build(
    config: &PeerConfig,
    link: &SharedLink,
    handler: &Arc<dyn PeerConnectionEventHandler>,
) -> Result<Connection, PeerError> {
    let mode = if config.network.mdns { MulticastDnsMode::QueryOnly } else { MulticastDnsMode::Disabled };
    match attempt(config, link, handler, mode).await {
        Err(error) if mode != MulticastDnsMode::Disabled => {
            tracing::debug!(%error, "no multicast here: names of the form *.local will not be resolved");
            attempt(config, link, handler, MulticastDnsMode::Disabled).await
        }
        result => result,
    }
    .map_err(|error| match error {
        Error::Other(text) if text.contains("no udp_sockets") => PeerError::NoNetwork,
        error => PeerError::Setup(error.to_string()),
    })
}

async fn attempt(
    config: &PeerConfig,
    link: &SharedLink,
    handler: &Arc<dyn PeerConnectionEventHandler>,
    mdns: MulticastDnsMode,
) -> Result<Connection, Error> {
    let policy =
        if config.network.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
    let configuration = RTCConfigurationBuilder::new()
        .with_ice_servers(usable_servers(&config.ice_servers))
        .with_ice_transport_policy(policy)
        .build();
    let registry = Registry::new()
        .with(Slot::TwccReceiver, TwccReceiverBuilder::new().with_interval(FEEDBACK_INTERVAL).build())
        .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
        .with(Slot::from(TAP_SLOT), Tap::new(Arc::clone(link)));
    let ended = CancellationToken::new();
    let rounds = Arc::<Rounds>::default();
    let runtime = Supervised::new(runtime(&config.network), ended.clone(), Arc::clone(&rounds));
    let stack = PeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_media_engine(media_engine()?)
        .with_setting_engine(settings(&config.network, mdns))
        .with_interceptor_registry(registry)
        .with_handler(Arc::clone(handler))
        .with_runtime(Arc::new(runtime))
        // Not for threads, which `Supervised` does not give: only such a driver ends with its connection.
        .with_dedicated_reactor_pool_size(1)
        .with_udp_addrs(config.network.bind.clone())
        .with_data_channel_send_buffer_limit(CHANNEL_BUFFER)
        .build()
        .await?;
    Ok(Connection { stack: Arc::new(stack), ended, rounds, mdns: mdns != MulticastDnsMode::Disabled })
}

/// The runtime that sockets and timers come from.
pub(super) fn runtime(network: &NetworkOptions) -> Arc<dyn Runtime> {
    network.runtime.clone().unwrap_or_else(|| Arc::new(TokioRuntime))
}

fn settings(network: &NetworkOptions, mdns: MulticastDnsMode) -> SettingEngine {
    let loopback = network.bind.iter().any(|address| {
        address.parse::<std::net::SocketAddr>().is_ok_and(|address| IpAddr::is_loopback(&address.ip()))
    });
    SettingEngineBuilder::new()
        .with_multicast_dns_mode(mdns)
        .with_include_loopback_candidate(loopback)
        .with_host_acceptance_min_wait(Some(Duration::ZERO))
        .with_srflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_relay_acceptance_min_wait(Some(Duration::ZERO))
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS_PER_PAIR))
        .with_ice_timeouts(Some(DISCONNECTED_AFTER), Some(FAILED_AFTER), Some(KEEPALIVE))
        .with_discard_local_candidates_during_ice_restart(true)
        // We check the certificate ourselves before anything passes (see `guard`): the stack notices a wrong one but
        // says so only after eleven seconds, and refuses SDP whose first fingerprint is not SHA-256.
        .with_disable_certificate_fingerprint_verification(true)
        .build()
}

fn media_engine() -> Result<MediaEngine, Error> {
    let mut engine = MediaEngine::default();
    let transport_cc = RTCPFeedback { typ: "transport-cc".to_owned(), parameter: String::new() };
    let feedback =
        |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
    engine.register_codec(codec_parameters(opus(), OPUS), RtpCodecKind::Audio)?;
    engine.register_codec(codec_parameters(h264(), H264), RtpCodecKind::Video)?;
    let rtx = RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        clock_rate: MediaKind::Video.clock_rate(),
        channels: 0,
        sdp_fmtp_line: format!("apt={H264}"),
        rtcp_feedback: vec![],
    };
    engine.register_codec(codec_parameters(rtx, H264_RTX), RtpCodecKind::Video)?;
    for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
        engine.register_feedback(transport_cc.clone(), kind);
        let capability = RTCRtpHeaderExtensionCapability { uri: TRANSPORT_CC_URI.to_owned() };
        engine.register_header_extension(capability, kind, None)?;
    }
    for wanted in [feedback("nack", ""), feedback("nack", "pli"), feedback("ccm", "fir")] {
        engine.register_feedback(wanted, RtpCodecKind::Video);
    }
    Ok(engine)
}

fn codec_parameters(rtp_codec: RTCRtpCodec, payload_type: u8) -> RTCRtpCodecParameters {
    RTCRtpCodecParameters { rtp_codec, payload_type }
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: MediaKind::Audio.clock_rate(),
        channels: 2,
        sdp_fmtp_line: OPUS_FMTP.to_owned(),
        rtcp_feedback: vec![],
    }
}

fn h264() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: MediaKind::Video.clock_rate(),
        channels: 0,
        sdp_fmtp_line: H264_FMTP.to_owned(),
        rtcp_feedback: vec![],
    }
}

/// Our two tracks, audio first, in one stream so that a browser keeps them in step.
pub(super) async fn add_tracks(
    connection: &Arc<dyn PeerConnection>,
    link: &SharedLink,
) -> Result<[Arc<dyn TrackLocal>; 2], PeerError> {
    let setup = |error: Error| PeerError::Setup(error.to_string());
    let tracks = {
        let link = lock(link);
        MediaKind::ALL.map(|kind| track(kind, link.outgoing(kind)))
    };
    let tracks = tracks.map(|track| Arc::new(TrackLocalStaticRTP::new(track)) as Arc<dyn TrackLocal>);
    for track in &tracks {
        connection.add_track(Arc::clone(track)).await.map_err(setup)?;
    }
    Ok(tracks)
}

fn track(kind: MediaKind, stream: &Outgoing) -> MediaStreamTrack {
    let (name, codec_kind, codec) = match kind {
        MediaKind::Audio => ("audio", RtpCodecKind::Audio, opus()),
        MediaKind::Video => ("video", RtpCodecKind::Video, h264()),
    };
    let rtx = (kind == MediaKind::Video).then_some(RTCRtpRtxParameters { ssrc: stream.rtx_ssrc });
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(stream.ssrc), rtx, ..Default::default() },
        active: true,
        codec,
        ..Default::default()
    };
    MediaStreamTrack::new("bedside".to_owned(), name.to_owned(), name.to_owned(), codec_kind, vec![encoding])
}

/// The servers this stack can talk to: STUN and TURN over UDP. Anything else is left out with a word.
fn usable_servers(servers: &[IceServer]) -> Vec<RTCIceServer> {
    servers
        .iter()
        .filter_map(|server| {
            let urls: Vec<String> = server.urls.iter().filter(|url| is_udp(url)).cloned().collect();
            let usable = RTCIceServer {
                urls,
                username: server.username.clone().unwrap_or_default(),
                credential: server
                    .credential
                    .as_ref()
                    .map(|secret| secret.expose().to_owned())
                    .unwrap_or_default(),
            };
            let fits = !usable.urls.is_empty() && usable.urls().is_ok();
            if !fits {
                tracing::debug!("left out an ICE server that is not reachable over UDP or not well-formed");
            }
            fits.then_some(usable)
        })
        .collect()
}

fn is_udp(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    (lower.starts_with("stun:") || lower.starts_with("turn:")) && !lower.contains("transport=tcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_beyond_udp_are_left_out_and_a_turn_server_without_credentials_too() {
        let server = |urls: &[&str], credentials: bool| IceServer {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            username: credentials.then(|| "user".to_owned()),
            credential: credentials.then(|| bedside_protocol::Secret::new("word".to_owned())),
        };
        let usable = usable_servers(&[
            server(&["stun:192.0.2.1:3478"], false),
            server(&["turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp"], true),
            server(&["turns:192.0.2.1:5349"], true),
            server(&["turn:192.0.2.1:3478"], false),
            server(&["http://192.0.2.1"], false),
        ]);
        let urls: Vec<&str> =
            usable.iter().flat_map(|server| server.urls.iter().map(String::as_str)).collect();
        assert_eq!(urls, ["stun:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=udp"]);
    }
}
