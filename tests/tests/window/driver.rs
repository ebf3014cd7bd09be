//! The app's real window, driven by WebKitWebDriver: what a person sees and presses on its page.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use bedside_testkit::{keyring, programs::program};
use serde_json::{Value, json};

use crate::{
    bus::SessionBus,
    display::{Display, Group, PATIENCE, POLL},
};

/// One running app that nothing drives, as a person starts it.
pub(crate) struct App(Group);

impl App {
    /// Starts an app with a profile and data of its own.
    pub(crate) fn open(name: &str, display: &Display, folder: &Path, arguments: &[&OsStr]) -> Self {
        let home = folder.join(name);
        let mut command = keyring::locked(program("bedside").as_os_str(), &home).expect("a private folder");
        let log = std::fs::File::create(home.join("app.log")).expect("a log");
        let app = Group::start(
            command
                .arg("--profile")
                .arg(home.join("profile"))
                .arg("--no-keyring")
                .args(arguments)
                .env("DISPLAY", display.name())
                .env("GDK_BACKEND", "x11")
                .env("NO_AT_BRIDGE", "1")
                .env_remove("WAYLAND_DISPLAY")
                .stdout(log.try_clone().expect("a log"))
                .stderr(log),
        );
        Self(app)
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.0.0.try_wait().is_ok_and(|ended| ended.is_none())
    }
}

/// The program that drives.
const DRIVER: &str = "WebKitWebDriver";

/// One running app and the driver that holds its window.
pub(crate) struct Window {
    name: String,
    log: PathBuf,
    port: u16,
    session: String,
    _driver: Group,
}

/// An element of the page.
pub(crate) struct Element(String);

/// What the app finds to keep its sign-in in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyring {
    /// It is told to use none.
    Unwanted,
    /// A real one, unlocked; kept in the app's folder, so that it is there again at the next start.
    Unlocked,
    /// The one that the test itself has.
    Shared,
    /// None at all.
    Missing,
}

impl Window {
    /// Starts an app with a profile and data of its own.
    pub(crate) fn open(name: &str, display: &Display, folder: &Path, arguments: &[&str]) -> Self {
        Self::open_with(Keyring::Unwanted, name, display, folder, arguments)
    }

    /// The same beside a keyring, or none. Under a name that was used before, it is that app's next start.
    pub(crate) fn open_with(
        keyring: Keyring,
        name: &str,
        display: &Display,
        folder: &Path,
        arguments: &[&str],
    ) -> Self {
        let home = folder.join(name);
        let mut command = match keyring {
            Keyring::Unwanted => keyring::locked(DRIVER.as_ref(), &home),
            Keyring::Unlocked => keyring::unlocked(DRIVER.as_ref(), &home),
            Keyring::Shared => keyring::shared(DRIVER.as_ref(), &home),
            Keyring::Missing => keyring::missing(DRIVER.as_ref(), &home),
        }
        .expect("a private folder");
        let more = (keyring == Keyring::Unwanted).then_some("--no-keyring");
        let arguments: Vec<&str> = more.into_iter().chain(arguments.iter().copied()).collect();
        Self::start(&mut command, name, display, &home, &arguments)
    }

    /// The same on a session bus that others share with it.
    pub(crate) fn open_on(
        bus: &SessionBus,
        name: &str,
        display: &Display,
        folder: &Path,
        arguments: &[&str],
    ) -> Self {
        let home = folder.join(name);
        let mut command = keyring::on_bus(DRIVER.as_ref(), &home, bus.address()).expect("a private folder");
        Self::start(&mut command, name, display, &home, &[&["--no-keyring"], arguments].concat())
    }

    fn start(command: &mut Command, name: &str, display: &Display, home: &Path, arguments: &[&str]) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let log = std::fs::File::create(home.join("app.log")).expect("a log");
        let driver = Group::start(
            command
                .arg(format!("--port={port}"))
                .env("DISPLAY", display.name())
                .env("GDK_BACKEND", "x11")
                .env("TAURI_WEBVIEW_AUTOMATION", "true")
                .env("NO_AT_BRIDGE", "1")
                .env("BEDSIDE_LOG", "trace")
                .env("XDG_SESSION_TYPE", "x11")
                .env_remove("WAYLAND_DISPLAY")
                .stdout(log.try_clone().expect("a log"))
                .stderr(log),
        );
        let profile = home.join("profile");
        let mut all = vec!["--profile", profile.to_str().expect("a plain path")];
        all.extend(arguments);
        let mut window = Self {
            name: name.to_owned(),
            log: home.join("app.log"),
            port,
            session: String::new(),
            _driver: driver,
        };
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "wry",
            "webkitgtk:browserOptions": {"binary": program("bedside"), "args": all},
        }}});
        let deadline = Instant::now() + PATIENCE;
        let session = loop {
            match window.request("POST", "/session", Some(&wanted)) {
                Ok(session) => break session,
                Err(error) if Instant::now() > deadline => panic!("{name}: no window: {error}"),
                Err(_) => std::thread::sleep(POLL),
            }
        };
        window.session = session["sessionId"].as_str().expect("a session").to_owned();
        window
    }

    /// Sets the window's size, in pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.command("POST", "window/rect", &json!({"x": 0, "y": 0, "width": width, "height": height}));
    }

    /// Waits for a button by its accessible name, and presses it.
    pub(crate) fn press(&self, name: &str) {
        self.click("xpath", &format!("//button[@aria-label=\"{name}\" or normalize-space(.)=\"{name}\"]"));
    }

    /// Waits for what this XPath leads to, and presses it.
    pub(crate) fn press_at(&self, xpath: &str) {
        self.click("xpath", xpath);
    }

    /// Waits for the button that opens and closes the part of the page with that id, and presses it.
    pub(crate) fn press_for(&self, id: &str) {
        self.click("css selector", &format!("button[aria-controls=\"{id}\"]"));
    }

    /// Waits for an option by its words, and chooses it.
    pub(crate) fn choose(&self, words: &str) {
        self.click("xpath", &format!("//label[input[@type=\"radio\"]][normalize-space(.)=\"{words}\"]"));
    }

    fn click(&self, using: &str, value: &str) {
        let element = self.find(using, value);
        self.command("POST", &format!("element/{}/click", element.0), &json!({}));
    }

    /// Waits for the input of that name and types into it in place of what it held.
    pub(crate) fn type_into(&self, name: &str, text: &str) {
        let input = self.find("css selector", &format!("input[name=\"{name}\"]"));
        self.command("POST", &format!("element/{}/clear", input.0), &json!({}));
        self.command("POST", &format!("element/{}/value", input.0), &json!({"text": text}));
    }

    /// Waits for the place to write a message, writes this in place of what it held, and sends it with Enter.
    pub(crate) fn write(&self, text: &str) {
        let area = self.find("css selector", "textarea");
        self.command("POST", &format!("element/{}/clear", area.0), &json!({}));
        self.command(
            "POST",
            &format!("element/{}/value", area.0),
            &json!({"text": format!("{text}\u{e007}")}),
        );
    }

    /// Presses a key, as the page would be told by the keyboard.
    pub(crate) fn key(&self, key: &str) {
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": [
            {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key},
        ]}]});
        self.command("POST", "actions", &actions);
    }

    /// Waits until this text is somewhere on the page.
    pub(crate) fn sees(&self, text: &str) {
        self.wait(&format!("“{text}”"), || self.text().contains(text));
    }

    /// Waits until this text is nowhere on the page.
    pub(crate) fn sees_no_more(&self, text: &str) {
        self.wait(&format!("“{text}” gone"), || !self.text().contains(text));
    }

    /// Waits until the app knows that its window has the keyboard now, or has it no more: the display knows first.
    pub(crate) fn is_in_front(&self, so: bool) {
        let what = if so { "itself in front" } else { "another program in front" };
        self.wait(what, || self.script("return document.hasFocus()") == so);
    }

    /// Everything readable on the page.
    pub(crate) fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Runs JavaScript in the page.
    pub(crate) fn script(&self, script: &str) -> Value {
        self.command("POST", "execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until something is so; else says what the page showed instead, and keeps a picture of it.
    pub(crate) fn wait(&self, what: &str, mut so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            if Instant::now() > deadline {
                self.keep("failed");
                panic!("{}: never saw {what}. The page showed:\n{}", self.name, self.text());
            }
            std::thread::sleep(POLL);
        }
    }

    /// A picture of the whole window, PNG.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        // A picture is taken with the next repaint, which a page at rest may never need.
        self.script(
            "clearInterval(window.nudge);
             let odd = false;
             window.nudge = setInterval(() => {
                 odd = !odd;
                 document.body.style.background = odd ? 'rgb(128 128 128 / 1%)' : '';
             }, 50);",
        );
        let page = self.find("css selector", "body");
        let picture = self.command("GET", &format!("element/{}/screenshot", page.0), &Value::Null);
        self.script("clearInterval(window.nudge); document.body.style.background = '';");
        base64(picture.as_str().expect("base64"))
    }

    /// What the app has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }

    /// Keeps a picture for people to look at, in `target/window`.
    pub(crate) fn keep(&self, moment: &str) {
        let folder = program("bedside").with_file_name("../window");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{}-{moment}.png", self.name)), self.screenshot()).expect("kept");
    }

    fn find(&self, using: &str, value: &str) -> Element {
        let mut found = None;
        self.wait(value, || {
            let answer = self.request(
                "POST",
                &format!("/session/{}/element", self.session),
                Some(&json!({"using": using, "value": value})),
            );
            found = answer.ok().and_then(|element| {
                Some(Element(element.as_object()?.values().next()?.as_str()?.to_owned()))
            });
            found.is_some()
        });
        found.expect("waited for")
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = (method == "POST").then_some(body);
        match self.request(method, &format!("/session/{}/{path}", self.session), body) {
            Ok(value) => value,
            Err(error) => panic!("{}: {path}: {error}", self.name),
        }
    }

    /// One WebDriver command over a connection of its own.
    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let exchange = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let body = body.map(Value::to_string).unwrap_or_default();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes())?;
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            let mut text = vec![0; length];
            reader.read_exact(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        let text = exchange().map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let value = answer["value"].clone();
        match value.get("error") {
            Some(error) => Err(format!("{error}: {}", value["message"])),
            None => Ok(value),
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // Ends the app; the driver goes with its group.
        let _ = self.request("DELETE", &format!("/session/{}", self.session), None);
    }
}

/// Decodes RFC 4648 base64, ignoring anything that is not of its alphabet.
fn base64(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .bytes()
        .filter_map(|byte| match byte {
            b'A'..=b'Z' => Some(byte - b'A'),
            b'a'..=b'z' => Some(byte - b'a' + 26),
            b'0'..=b'9' => Some(byte - b'0' + 52),
            b'+' => Some(62),
            b'/' => Some(63),
            _ => None,
        })
        .map(u32::from)
        .collect();
    digits
        .chunks(4)
        .flat_map(|chunk| {
            let word = chunk.iter().fold(0, |word, digit| word << 6 | digit) << (6 * (4 - chunk.len()));
            word.to_be_bytes()[1..chunk.len()].to_vec()
        })
        .collect()
}
