//! coturn, a TURN server that nobody here wrote, on loopback, with the credentials that Bedside's server hands out.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bedside_protocol::rest::IceServer;
use bedside_protocol::{Secret, UserId};
use bedside_server::ice::IceServers;
use serde_json::{Value, json};

use crate::process::{self, Process};

/// What our server and the relay share.
const SECRET: &str = "known to both";
/// How long it may take to start.
const START: Duration = Duration::from_secs(30);
/// A STUN binding request (RFC 8489 §5) by which it is found ready.
const BINDING_REQUEST: [u8; 20] = [
    0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, b'b', b'e', b'd', b's', b'i', b'd', b'e', b'-', b't', b'e', b's',
    b't',
];

/// A running relay.
pub struct Relay {
    url: String,
    _server: Process,
}

impl Relay {
    /// Starts coturn and waits until it answers.
    ///
    /// # Panics
    /// When it is missing or does not start.
    #[must_use]
    pub fn start() -> Self {
        let port = process::free_port();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(process::program(&["turnserver"]));
        command
            .args(["-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--realm=bedside"])
            .args([
                "--use-auth-secret",
                "--allow-loopback-peers",
                "--no-cli",
                "--no-tls",
                "--no-dtls",
                "--no-tcp",
            ])
            .arg(format!("--static-auth-secret={SECRET}"))
            .arg(format!("--listening-port={port}"))
            .arg(format!("--userdb={}", folder.path().join("turndb").display()))
            .arg(format!("--pidfile={}", folder.path().join("pid").display()))
            .args(["--log-file=stdout", "--simple-log"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = Process::start(command, Some(folder));
        until_it_answers(port);
        Self { url: format!("turn:127.0.0.1:{port}?transport=udp"), _server: server }
    }

    /// What a device gets from our server.
    #[must_use]
    pub fn servers(&self) -> Vec<IceServer> {
        servers(std::slice::from_ref(&self.url), SECRET)
    }
}

/// What Bedside's server hands out to somebody for relays that share `secret` with it.
#[must_use]
pub fn servers(urls: &[String], secret: &str) -> Vec<IceServer> {
    let lifetime = Duration::from_secs(600);
    IceServers::new(urls, Secret::new(secret.to_owned()), None, lifetime).for_user(UserId::random())
}

/// The same for a peer that is told in JSON.
#[must_use]
pub fn as_json(servers: &[IceServer]) -> Value {
    servers
        .iter()
        .map(|server| {
            json!({
                "urls": server.urls,
                "username": server.username,
                "credential": server.credential.as_ref().map(Secret::expose),
            })
        })
        .collect()
}

fn until_it_answers(port: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
    let deadline = Instant::now() + START;
    let mut answer = [0; 200];
    loop {
        let asked = socket.send_to(&BINDING_REQUEST, ("127.0.0.1", port));
        if asked.is_ok() && socket.recv(&mut answer).is_ok_and(|size| size >= 20) {
            return;
        }
        assert!(Instant::now() < deadline, "coturn does not answer");
    }
}
