//! Debian's Chromium without a screen, as a peer that nobody here wrote: driven over its DevTools protocol.

mod devtools;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::devtools::DevTools;
use crate::outside::Outside;
use crate::process::{self, Process};

/// The page that is the peer.
const PAGE: &str = include_str!("browser/peer.html");
/// The binding by which the page speaks.
const TELL: &str = "tell";
/// How long the browser may take to start and the page to load.
const START: Duration = Duration::from_secs(60);

const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--remote-debugging-port=0",
];

/// The page may use the camera without asking, and its candidates hold addresses, those of loopback among them.
pub const WITH_CAMERA: &[&str] = &[
    "--use-fake-ui-for-media-stream",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
];

struct Running {
    _browser: Process,
    site: JoinHandle<()>,
    line: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.site.abort();
        self.line.abort();
    }
}

/// Starts Chromium with more flags and opens the page in it.
///
/// # Panics
/// When Chromium is missing or does not start.
pub async fn start(flags: &[&str]) -> Outside {
    let (address, site) = serve().await;
    let (browser, socket) = launch(flags).await;
    let mut tools = DevTools::connect(&socket).await;
    let target = tools.call("Target.createTarget", json!({"url": "about:blank"})).await;
    let attach = json!({"targetId": target["targetId"], "flatten": true});
    let session = tools.call("Target.attachToTarget", attach).await;
    tools.use_session(session["sessionId"].as_str().expect("a session"));
    tools.call("Runtime.enable", json!({})).await;
    tools.call("Runtime.addBinding", json!({"name": TELL})).await;
    tools.call("Page.enable", json!({})).await;
    tools.call("Page.navigate", json!({"url": address})).await;
    let ready = json!({"expression": "typeof hear === 'function'", "returnByValue": true});
    let loaded = async {
        while tools.call("Runtime.evaluate", ready.clone()).await["result"]["value"] != true {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(START, loaded).await.expect("the page loads");
    let (say, to_page) = mpsc::unbounded_channel();
    let (from_page, told) = mpsc::unbounded_channel();
    let line = tokio::spawn(carry(tools, to_page, from_page));
    Outside::new("Chromium", say, told, Box::new(Running { _browser: browser, site, line }))
}

/// Serves the page: only a secure origin may use a microphone, and http://127.0.0.1 is one.
async fn serve() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}/", listener.local_addr().expect("its address"));
    let site = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    PAGE.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), PAGE.as_bytes()].concat()).await;
            });
        }
    });
    (address, site)
}

/// Starts the browser and reads where its DevTools listen.
async fn launch(flags: &[&str]) -> (Process, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(process::program(&["chromium", "chromium-browser", "google-chrome"]));
    command
        .args(FLAGS)
        .args(flags)
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .arg("about:blank")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut browser = Process::start(command, Some(folder));
    let errors = browser.child().stderr.take().expect("its error output");
    let (found, address) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut found = Some(found);
        let mut lines = BufReader::new(errors).lines();
        // Read to the end, or the browser would one day wait for room.
        while let Some(Ok(line)) = lines.next() {
            if let Some((_, address)) = line.split_once("DevTools listening on ")
                && let Some(found) = found.take()
            {
                let _ = found.send(address.trim().to_owned());
            }
        }
    });
    let address = tokio::time::timeout(START, address).await.expect("Chromium starts in time");
    (browser, address.expect("Chromium says where its DevTools listen"))
}

/// Carries messages both ways.
async fn carry(
    mut tools: DevTools,
    mut to_page: mpsc::UnboundedReceiver<Value>,
    from_page: mpsc::UnboundedSender<Value>,
) {
    loop {
        tokio::select! {
            message = to_page.recv() => {
                let Some(message) = message else { return };
                tools.send("Runtime.evaluate", json!({"expression": format!("hear({message})")})).await;
            }
            event = tools.event() => {
                let Some(event) = event else { return };
                let Some(message) = from_event(&event) else { continue };
                if from_page.send(message).is_err() {
                    return;
                }
            }
        }
    }
}

/// What the page said, or what went wrong in it.
fn from_event(event: &Value) -> Option<Value> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Runtime.bindingCalled" if parameters["name"] == TELL => {
            serde_json::from_str(parameters["payload"].as_str()?).ok()
        }
        "Runtime.exceptionThrown" => {
            let details = &parameters["exceptionDetails"];
            let what = details["exception"]["description"].as_str().or(details["text"].as_str());
            Some(json!({"type": "failure", "what": what}))
        }
        "Inspector.targetCrashed" => Some(json!({"type": "failure", "what": "the page crashed"})),
        _ => None,
    }
}
