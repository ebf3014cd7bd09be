//! What surrounds the API: TLS, TURN, and what the server refuses to do.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bedside_protocol::{Secret, UserId};
use bedside_server::{Config, StartError, config::TlsFiles};
use stun::{
    attributes::{ATTR_MESSAGE_INTEGRITY, ATTR_NONCE, ATTR_REALM},
    error_code::{CODE_STALE_NONCE, CODE_UNAUTHORIZED, ErrorCodeAttribute},
    message::{CLASS_REQUEST, Getter, METHOD_ALLOCATE, Message, MessageType},
    textattrs::TextAttribute,
};
use tokio::net::UdpSocket;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use crate::fixture::{Clinic, PATIENCE};

#[tokio::test]
async fn plain_http_that_other_machines_could_reach_is_refused_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::for_tests(folder.path().join("test.db"));
    config.listen = "0.0.0.0:0".parse().unwrap();
    let refused = bedside_server::start(config.clone()).await;
    assert!(matches!(refused, Err(StartError::PlainHttp(_))));
    config.allow_plain_http = true;
    bedside_server::start(config).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn with_a_certificate_https_and_the_socket_are_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let clinic = Clinic::open_with(|config| config.tls = Some(files)).await;

    let trusted = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trusted]).build().unwrap();
    let port = clinic.server.addr().port();
    let url = format!("https://localhost:{port}/healthz");
    assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "ok\n");
    assert!(
        reqwest::Client::new().get(&url).send().await.is_err(),
        "an unknown certificate must not be trusted"
    );
    assert!(client.get(format!("http://localhost:{port}/healthz")).send().await.is_err());
    clinic.close().await;
}

async fn allocate(
    server: SocketAddr,
    username: &str,
    password: &str,
) -> Result<(Client, impl Conn), turn::Error> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: username.to_owned(),
        password: password.to_owned(),
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    })
    .await?;
    client.listen().await?;
    let relay = client.allocate().await?;
    Ok((client, relay))
}

/// Where the embedded service is, and what somebody may use it with.
fn turn_account(clinic: &Clinic, user: UserId) -> (SocketAddr, String, String) {
    let servers = clinic.server.app().ice.for_user(user);
    let turn = servers.into_iter().find(|server| server.credential.is_some()).unwrap();
    let address = turn.urls[0].strip_prefix("turn:").unwrap().strip_suffix("?transport=udp").unwrap();
    (address.parse().unwrap(), turn.username.unwrap(), turn.credential.unwrap().expose().to_owned())
}

#[tokio::test]
async fn one_account_takes_a_few_relays_and_leaves_the_others_to_others() {
    /// As many as the service permits.
    const PERMITTED: usize = 20;
    let clinic = Clinic::open().await;
    let (ana, tom) = (UserId::random(), UserId::random());
    let (address, username, password) = turn_account(&clinic, ana);
    let mut relays = Vec::new();
    for _ in 0..PERMITTED {
        relays.push(allocate(address, &username, &password).await.unwrap());
    }
    assert!(allocate(address, &username, &password).await.is_err());
    let (_, other_username, other_password) = turn_account(&clinic, tom);
    allocate(address, &other_username, &other_password).await.unwrap();

    let (client, relay) = relays.pop().unwrap();
    relay.close().await.unwrap();
    client.close().await.unwrap();
    let again = async { while allocate(address, &username, &password).await.is_err() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("what is closed is given back");
    clinic.close().await;
}

#[tokio::test]
async fn credentials_of_before_a_restart_make_a_relay_after_it() {
    let clinic = Clinic::open().await;
    let (_, username, password) = turn_account(&clinic, UserId::random());
    let clinic = clinic.restart(false).await;
    let (address, ..) = turn_account(&clinic, UserId::random());
    allocate(address, &username, &password).await.unwrap();

    let configured = Some(Secret::new("the clinic's own".to_owned()));
    let clinic = clinic.restart_with(true, |config| config.turn.secret = configured).await;
    let (address, configured_username, configured_password) = turn_account(&clinic, UserId::random());
    assert!(allocate(address, &username, &password).await.is_err(), "a configured secret wins");
    allocate(address, &configured_username, &configured_password).await.unwrap();
    clinic.close().await;
}

#[tokio::test]
async fn the_embedded_turn_service_relays_for_those_with_fresh_credentials_only() {
    let clinic = Clinic::open().await;
    let (address, username, password) = turn_account(&clinic, UserId::random());
    let (username, password) = (username.as_str(), password.as_str());

    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (client, relay) = allocate(address, username, password).await.unwrap();
    relay.send_to(b"from the relay", peer.local_addr().unwrap()).await.unwrap();
    let mut buffer = [0; 64];
    let (length, from) = tokio::time::timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!((&buffer[..length], from), (&b"from the relay"[..], relay.local_addr().unwrap()));
    peer.send_to(b"and back", from).await.unwrap();
    let (length, _) = tokio::time::timeout(PATIENCE, relay.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..length], b"and back");
    client.close().await.unwrap();

    assert!(allocate(address, username, "a guess").await.is_err());
    let stale = format!("{}:device", Duration::from_secs(1000).as_secs());
    assert!(allocate(address, &stale, password).await.is_err());
    clinic.close().await;
}

/// What the service answers to a request without credentials, or with a nonce that is none.
async fn refused(socket: &UdpSocket, server: SocketAddr, nonce: Option<&str>) -> (u16, String) {
    let mut request = Message::new();
    request.new_transaction_id().unwrap();
    let id = request.transaction_id;
    request.build(&[Box::new(id), Box::new(MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST))]).unwrap();
    if let Some(nonce) = nonce {
        request.add(ATTR_NONCE, nonce.as_bytes());
        request.add(ATTR_MESSAGE_INTEGRITY, &[0; 20]);
    }
    socket.send_to(&request.raw, server).await.unwrap();
    let mut buffer = [0; 1500];
    let (length, _) = tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    let mut answer = Message { raw: buffer[..length].to_vec(), ..Message::default() };
    answer.decode().unwrap();
    assert_eq!(answer.transaction_id, id);
    assert_eq!(TextAttribute::get_from_as(&answer, ATTR_REALM).unwrap().text, "bedside");
    let mut code = ErrorCodeAttribute::default();
    code.get_from(&answer).unwrap();
    (code.code.0, TextAttribute::get_from_as(&answer, ATTR_NONCE).unwrap().text)
}

#[tokio::test]
async fn whoever_asks_for_a_relay_without_credentials_over_and_over_leaves_nothing_in_the_service() {
    let clinic = Clinic::open().await;
    let (address, username, password) = turn_account(&clinic, UserId::random());
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (code, nonce) = refused(&socket, address, None).await;
    assert_eq!(code, CODE_UNAUTHORIZED.0);
    for _ in 0..100 {
        assert_eq!(
            refused(&socket, address, None).await,
            (CODE_UNAUTHORIZED.0, nonce.clone()),
            "no other is made"
        );
        assert_eq!(refused(&socket, address, Some("made up")).await, (CODE_STALE_NONCE.0, nonce.clone()));
    }
    allocate(address, &username, &password).await.unwrap();
    clinic.close().await;
}
