//! What encryption costs: groups, messages from one app's engine to another's, a long conversation that is opened, and a
//! file of 2 GiB by the server.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{machine, publish};
use crate::{
    clinic::{Clinic, Person},
    processes::{Running, wait_until},
    setup::{self, Purpose},
    shell,
    workspace::Profile,
};

/// Messages whose age is measured.
const MESSAGES: u32 = 300;
/// The longest file there may be.
const FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// The test that looks through a long conversation in the app's window.
const LONG_TEST: &str =
    "long::a_conversation_of_50_000_messages_is_there_at_its_end_at_its_beginning_and_in_between";
/// Nothing takes longer unless it never ends.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures and publishes.
pub(crate) fn run() -> Result<()> {
    setup::ready(Purpose::Test)?;
    // The selection of packages that everything has, so that nothing is built twice.
    let build =
        ["build", "--workspace", "--locked", "--release", "--bins", "--example", "cost", "--example", "long"];
    shell::run(shell::cargo().args(build))?;
    let groups = shell::read(&mut shell::program(Profile::Release.binary("examples/cost")))?;
    let groups: Value = serde_json::from_str(&groups).context("the groups' figures are not JSON")?;
    let long = shell::read(&mut shell::program(Profile::Release.binary("examples/long")))?;
    let long: Value = serde_json::from_str(&long).context("the long conversation's figures are not JSON")?;
    let window = window()?;
    let clinic = Clinic::open(Profile::Release)?;
    let messages = messages(&clinic)?;
    let (sent, saved) = file(&clinic)?;
    let figures = json!({
        "machine": machine()?, "groups": groups, "messages": messages, "long": long, "window": window, "sent": sent, "saved": saved,
    });
    publish("e2ee", &page(&figures)?, &figures)
}

/// The same conversation in the app's window, as the test of it prints.
fn window() -> Result<Value> {
    let test = ["test", "--workspace", "--locked", "--release", "--test", "window", "--"];
    let told = shell::read(shell::cargo().args(test).args(["--exact", LONG_TEST, "--nocapture"]))?;
    let figures = told.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(figures.context("the window's test told no figures")?)
        .context("the window's figures are not JSON")
}

/// One writes, the other measures how old each message is when it could be shown.
fn messages(clinic: &Clinic) -> Result<Value> {
    let count = MESSAGES.to_string();
    let listener =
        start(clinic, &clinic.patient, "chat", "heard", &["--expect", &count, "--patience", "120"])?;
    let with =
        ["--with", &clinic.patient.name, "--count", &count, "--interval-ms", "50", "--patience", "120"];
    let writer = start(clinic, &clinic.doctor, "chat", "written", &with)?;
    finished(writer, "the writer")?;
    finished(listener, "the listener")?;
    report(clinic, "heard")
}

/// One sends a file, the other saves it.
fn file(clinic: &Clinic) -> Result<(Value, Value)> {
    let big = clinic.folder().join("scan.bin");
    // A file of zeros without blocks on the disk: what is measured is not this disk.
    File::create(&big)?.set_len(FILE_BYTES)?;
    let folder = clinic.folder().join("saved");
    fs::create_dir_all(&folder)?;
    let folder = folder.display().to_string();
    let listen = ["--save-files", &folder, "--expect-files", "1", "--patience", "600"];
    let receiver = start(clinic, &clinic.patient, "chat", "saved", &listen)?;
    let big = big.display().to_string();
    let sender = start(clinic, &clinic.doctor, "send-file", "sent", &["--to", &clinic.patient.name, &big])?;
    finished(sender, "the sender")?;
    finished(receiver, "the receiver")?;
    Ok((report(clinic, "sent")?, report(clinic, "saved")?))
}

fn start(clinic: &Clinic, person: &Person, command: &str, name: &str, arguments: &[&str]) -> Result<Running> {
    let mut program = shell::program(Profile::Release.binary("bedside-headless"));
    program
        .args([command, "--server", &clinic.url, "--login", &person.login])
        .arg("--password-file")
        .arg(&person.password_file)
        // The same computer each time: a new one would be another device of theirs.
        .arg("--profile")
        .arg(clinic.folder().join(format!("profile-{name}")))
        .arg("--report")
        .arg(clinic.folder().join(format!("{name}.json")))
        .args(arguments);
    Running::start(name, &mut program)
}

fn finished(mut running: Running, who: &str) -> Result<()> {
    let mut status = None;
    wait_until(&format!("{who} to finish"), PATIENCE, || {
        status = running.ended()?;
        Ok(status.is_some())
    })?;
    anyhow::ensure!(status.is_some_and(|status| status.success()), "{who} failed");
    Ok(())
}

fn report(clinic: &Clinic, name: &str) -> Result<Value> {
    let file: &Path = &clinic.folder().join(format!("{name}.json"));
    let text = fs::read_to_string(file).with_context(|| format!("{name} left no report"))?;
    Ok(serde_json::from_str(&text)?)
}

fn page(figures: &Value) -> Result<String> {
    let mut page = format!(
        "{}.\n\n| group of | encrypted, messages/s | decrypted, messages/s | adding a device, ms |\n| --- | --- | --- | --- |\n",
        figures["machine"].as_str().unwrap_or_default()
    );
    for row in figures["groups"].as_array().context("groups")? {
        page += &format!(
            "| {} devices | {} | {} | {} |\n",
            row["devices"], row["sealed_per_s"], row["opened_per_s"], row["add_ms"]
        );
    }
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let openings = figures["window"]["openings_ms"].as_array().context("openings")?;
    let openings: Vec<f64> = openings.iter().map(number).collect();
    let peak = |side: &Value| number(&side["process"]["peak_rss_bytes"]) / 1e6;
    page += &format!(
        "\n| messages, engine to engine through the server | |\n| --- | --- |\n| sent → ready to show, p50 | {:.1} ms |\n\
         | p99 | {:.1} ms (goal: < 100) |\n\n\
         | a conversation of {} messages, after a start of the app | |\n| --- | --- |\n\
         | opened: newest 50 loaded | {:.1} ms (goal: < 100) |\n\
         | searched: the one message with a given word found | {:.0} ms |\n\n\
         | the same in the app's window | |\n| --- | --- |\n\
         | click → its newest message painted, right after a start | {:.0} ms (goal: < 100) |\n\
         | the slowest of four openings after that | {:.0} ms |\n\
         | Home key → its oldest message painted | {:.0} ms |\n\
         | paging: frame time, p95 of {} | {:.0} ms |\n\n| a 2 GiB file through the server | MB/s | peak memory (RSS), MB |\n\
         | --- | --- | --- |\n| encrypted and uploaded | {:.0} | {:.0} |\n| downloaded, decrypted and saved | {:.0} | {:.0} |\n\
         | (the same programs, messages only) | | {:.0} |\n",
        number(&figures["messages"]["latency_ms"]["p50"]),
        number(&figures["messages"]["latency_ms"]["p99"]),
        figures["long"]["messages"],
        number(&figures["long"]["opened_ms"]),
        number(&figures["long"]["searched_ms"]),
        openings[0],
        openings[1..].iter().copied().fold(0.0, f64::max),
        number(&figures["window"]["home_ms"]),
        figures["window"]["frames"],
        number(&figures["window"]["frame_p95_ms"]),
        number(&figures["sent"]["files"][0]["mb_per_second"]),
        peak(&figures["sent"]),
        number(&figures["saved"]["files"][0]["mb_per_second"]),
        peak(&figures["saved"]),
        peak(&figures["messages"]),
    );
    Ok(page)
}
