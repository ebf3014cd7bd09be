//! The server's memory: idle, and with a thousand devices connected and silent.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{machine, publish};
use crate::{
    clinic::{Clinic, Person},
    processes::cost::Cost,
    setup::{self, Purpose},
    shell,
    workspace::Profile,
};

/// Devices that are connected and say nothing.
const DEVICES: usize = 1000;

/// How long the server's limits may hold one device up, and between two tries.
const PATIENCE: Duration = Duration::from_secs(120);
const RETRY: Duration = Duration::from_millis(200);

/// Measures and publishes.
pub(crate) fn run() -> Result<()> {
    setup::ready(Purpose::Build)?;
    shell::run(shell::cargo().args(["build", "--locked", "--release", "--package", "bedside-server"]))?;
    let clinic = Clinic::open(Profile::Release)?;
    let host = clinic
        .url
        .strip_prefix("http://")
        .context("the sample clinic speaks plain HTTP")?
        .trim_end_matches('/');
    thread::sleep(Duration::from_secs(2));
    let idle = Cost::of_tree(clinic.server.id())?;
    eprintln!("Signing in {DEVICES} devices; the server's limits make that last about a minute.");
    let tokens = (0..DEVICES).map(|_| sign_in(host, &clinic.doctor)).collect::<Result<Vec<_>>>()?;
    let mut sockets = Vec::with_capacity(DEVICES);
    for (number, token) in tokens.iter().enumerate() {
        sockets.push(connected(host, token).with_context(|| format!("device {number} could not connect"))?);
        if number % 200 == 199 {
            // A device that says nothing at all for a minute is dead to the server.
            for socket in &mut sockets {
                socket.write_all(&frame(br#"{"id":2,"type":"ping","data":{"last_seq":0}}"#))?;
            }
        }
    }
    thread::sleep(Duration::from_secs(2));
    let busy = Cost::of_tree(clinic.server.id())?;
    let figures = json!({
        "machine": machine()?,
        "idle_rss_bytes": idle.rss_bytes,
        "devices": sockets.len(),
        "rss_bytes": busy.rss_bytes,
        "bytes_per_device": busy.rss_bytes.saturating_sub(idle.rss_bytes) / sockets.len() as u64,
    });
    let text = format!(
        "{}.\n\n| | memory (RSS), MB |\n| --- | --- |\n| idle | {:.1} |\n| with {DEVICES} silent devices more | + {:.1} |\n",
        machine()?,
        idle.rss_bytes as f64 / 1e6,
        busy.rss_bytes.saturating_sub(idle.rss_bytes) as f64 / 1e6,
    );
    publish("server", &text, &figures)
}

fn sign_in(host: &str, person: &Person) -> Result<String> {
    let body = json!({
        "login": person.login,
        "password": person.password,
        "device": { "name": "bench", "device_type": "desktop" },
    })
    .to_string();
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        let answer = post(host, "/api/auth/sign-in", &body)?;
        if !answer.starts_with("HTTP/1.1 429") || Instant::now() > deadline {
            break answer;
        }
        thread::sleep(RETRY);
    };
    let (head, body) = answer.split_once("\r\n\r\n").context("the server's answer has no body")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "signing in failed: {answer}");
    let signed_in: Value = serde_json::from_str(body)?;
    Ok(signed_in["access_token"].as_str().context("there is no access token")?.to_owned())
}

fn post(host: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Opens a socket as soon as the server's limits allow it.
fn connected(host: &str, token: &str) -> Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connect(host, token)? {
            Some(stream) => return Ok(stream),
            None => ensure!(Instant::now() < deadline, "the server's limits did not allow it"),
        }
        thread::sleep(RETRY);
    }
}

/// Opens a socket (RFC 6455), says hello and waits for the welcome; `None` when the server wants us to wait.
fn connect(host: &str, token: &str) -> Result<Option<TcpStream>> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: YmVkc2lkZSBiZW5jaG1hcg==\r\nAuthorization: Bearer {token}\r\n\r\n"
    )?;
    let mut answer = BufReader::new(stream.try_clone()?);
    let mut status = String::new();
    answer.read_line(&mut status)?;
    if status.starts_with("HTTP/1.1 429") {
        return Ok(None);
    }
    ensure!(status.starts_with("HTTP/1.1 101"), "the server answered {}", status.trim());
    let mut line = String::new();
    while answer.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(&frame(br#"{"id":1,"type":"hello","data":{"versions":[1]}}"#))?;
    let mut first = [0];
    answer.read_exact(&mut first)?;
    ensure!(first[0] == 0x81, "the welcome is not a text frame");
    Ok(Some(stream))
}

/// A masked text frame of less than 126 bytes (RFC 6455 §5.2); a mask of zeros leaves the text as it is.
fn frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text);
    frame
}
