//! Installs the packages in a clean root as a clinic would, lets what they brought hold a call, and removes them again.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::root::{CleanRoot, Running};
use crate::processes::{Display, wait_until};

/// Where the packaged configuration has the server listen.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8443);

/// A program of the server's package, as its unit runs it.
const AS_SERVER: &str = "setpriv --reuid=bedside --regid=bedside --clear-groups bedside-server";

/// What a client is given for a camera, a microphone and a speaker.
const DEVICES: &str = "--video pattern --audio tone --speaker null";

/// How long the conversation of the packaged clients lasts.
const CALL_S: u64 = 3;

/// Installs, runs and removes `packages`.
pub(crate) fn run(packages: &[PathBuf]) -> Result<()> {
    let root = CleanRoot::make()?;
    let files: Vec<String> = packages.iter().map(|file| root.bring(file)).collect::<Result<_>>()?;
    eprintln!("  Installing the packages in a clean root.");
    root.quietly(&format!("apt-get install --yes --no-install-recommends systemd {}", files.join(" ")))?;
    root.keep_downloads()?;
    for binary in ["bedside", "bedside-server", "bedside-headless"] {
        let version = root.read(&format!("{binary} --version"))?;
        ensure!(version.contains(env!("CARGO_PKG_VERSION")), "{binary} --version said only {version:?}");
        eprintln!("  {}", version.trim());
    }
    // It warns of what it does not know, and calls that success.
    let complaints = root.read("systemd-analyze verify --man=no bedside-server.service 2>&1")?;
    ensure!(complaints.is_empty(), "systemd objects to the unit:\n{complaints}");
    call(&root)?;
    root.quietly("apt-get purge --yes bedside-server bedside bedside-headless")?;
    ensure!(
        root.read("ls -d /var/lib/bedside /etc/bedside 2>/dev/null || true")?.is_empty(),
        "purging left data behind"
    );
    ensure!(root.read("getent passwd bedside || true")?.is_empty(), "purging left the user behind");
    eprintln!("  Installed, run and removed without a trace.");
    Ok(())
}

/// A call between the packaged client without a window and the packaged app's window, through the packaged server as its own
/// user with the packaged configuration.
fn call(root: &CleanRoot) -> Result<()> {
    let people = root.read(&format!("{AS_SERVER} demo-clinic --config /etc/bedside/server.toml"))?;
    let people: Value = serde_json::from_str(&people).context("the sample clinic's people are not JSON")?;
    let _server = serve(root)?;
    let display = Display::open()?;
    let [doctor, patient] = ["clinician", "patient"]
        .map(|role| people["users"].as_array().into_iter().flatten().find(|person| person["role"] == role));
    let signed_in = |person: Option<&Value>, role: &str| -> Result<String> {
        let text = |key: &str| person.and_then(|person| person[key].as_str()).context("nobody of that role");
        let (login, password) = (text("login")?, text("password")?);
        root.quietly(&format!("printf %s '{password}' > /tmp/{role}"))?;
        Ok(format!("--server http://{ADDRESS} --login {login} --password-file /tmp/{role} {DEVICES}"))
    };
    let window = root.start(
        "the packaged app",
        &format!(
            "export HOME=/root DISPLAY={} GDK_BACKEND=x11 NO_AT_BRIDGE=1; \
             exec bedside --no-keyring --profile /tmp/app --answer --report /tmp/app.json {}",
            display.name,
            signed_in(patient, "patient")?
        ),
    )?;
    let to = patient.and_then(|person| person["name"].as_str()).context("the patient has no name")?;
    let report = root.read(&format!(
        "bedside-headless call --to '{to}' --once-online --seconds {CALL_S} --report - {}",
        signed_in(doctor, "doctor")?
    ))?;
    drop(window);
    saw_the_other("the packaged client", &report)?;
    saw_the_other("the packaged app", &root.read("cat /tmp/app.json")?)?;
    eprintln!("  The packaged app and the packaged client were in a call and saw each other.");
    Ok(())
}

fn saw_the_other(who: &str, report: &str) -> Result<()> {
    let report: Value =
        serde_json::from_str(report).with_context(|| format!("the report of {who} is no JSON"))?;
    let pictures = report["video"]["frames_decoded"].as_f64().unwrap_or_default();
    ensure!(
        pictures > 0.0 && report["end_reason"] == "user_hangup",
        "the call of {who} went wrong: {report:#}"
    );
    Ok(())
}

/// Runs the server until it says that it is well.
fn serve(root: &CleanRoot) -> Result<Running> {
    ensure!(TcpStream::connect(ADDRESS).is_err(), "something else on this machine listens on {ADDRESS}");
    let mut server = root
        .start("the packaged server", &format!("exec {AS_SERVER} serve --config /etc/bedside/server.toml"))?;
    let mut answer = String::new();
    wait_until("the packaged server to answer", Duration::from_secs(30), || {
        if let Some(status) = server.ended()? {
            bail!("the packaged server ended at once ({status})");
        }
        answer = ask("/healthz").unwrap_or_default();
        Ok(!answer.is_empty())
    })?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "/healthz answered {answer:?}");
    eprintln!("  The packaged server is healthy.");
    Ok(server)
}

fn ask(path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&ADDRESS, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
