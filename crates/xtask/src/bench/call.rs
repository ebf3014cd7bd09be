//! The same call twice, one after the other on this machine: two of ours, two of Chromium's.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{machine, mouth_to_ear, publish};
use crate::{
    clinic::Clinic,
    demo::{self, Devices, Windows},
    processes::{Display, Running, cost::Cost},
    setup::{self, Purpose, media, node},
    shell, ui,
    workspace::{self, Profile},
};

/// What both may send, bit/s of picture.
const BITRATE_BPS: u64 = 2_000_000;
/// Before costs are counted, so that starting up is not part of them.
const SETTLING: Duration = Duration::from_secs(3);

/// Windows that have just been started still load. A person calls once they are open, and lets it ring before answering;
/// Chromium's pages have loaded and run their cameras before theirs counts as accepted.
const CALLS_AFTER_S: u64 = 6;
const ANSWERS_AFTER_S: u64 = 2;
/// From starting a window to its call running.
const OPENING: Duration = Duration::from_secs(12 + CALLS_AFTER_S + ANSWERS_AFTER_S);

/// Measures and publishes.
pub(crate) fn run(seconds: u64) -> Result<()> {
    setup::ready(Purpose::Bench)?;
    ui::packages()?;
    demo::build(Profile::Release)?;
    eprintln!("\nOurs without a window, {seconds} s.");
    let mut headless = headless(seconds)?;
    eprintln!("Ours without a window, through a sound server.");
    for (side, late) in mouth_to_ear::measure()?.into_iter().enumerate() {
        headless[side]["audio"]["sound_server_latency_ms"] = json!((late * 10.0).round() / 10.0);
    }
    eprintln!("Ours in windows, {seconds} s.");
    let windows = windows(seconds)?;
    eprintln!("Chromium's, {seconds} s.");
    let chromium = chromium(seconds)?;
    let figures = json!({
        "machine": machine()?,
        "seconds": seconds,
        "headless": headless,
        "windows": windows,
        "chromium": chromium,
    });
    publish("call", &table(&figures), &figures)
}

fn headless(seconds: u64) -> Result<Value> {
    let clinic = Clinic::open(Profile::Release)?;
    let (mut caller, mut callee) =
        demo::start_headless(&clinic, Profile::Release, Devices::made_up(), &[], seconds + 5)?;
    let processes = [caller.id(), callee.id()];
    demo::wait_for_conversation(&clinic, [&mut caller, &mut callee])?;
    thread::sleep(SETTLING);
    let costs = costs(processes, Duration::from_secs(seconds.saturating_sub(SETTLING.as_secs())))?;
    let mut sides = demo::reports(&clinic, caller, callee, seconds)?;
    for (side, cost) in sides.iter_mut().zip(costs) {
        side["cost"] = cost;
    }
    Ok(sides.into())
}

/// Two windows on a display without a screen, so that the picture is drawn as Chromium's is: in software.
fn windows(seconds: u64) -> Result<Value> {
    let clinic = Clinic::open(Profile::Release)?;
    let display = Display::open()?;
    let environment = [("DISPLAY", &*display.name), ("GDK_BACKEND", "x11"), ("NO_AT_BRIDGE", "1")]
        .map(|(name, value)| (name, value.into()));
    let windows = Windows::open(
        &clinic,
        Profile::Release,
        Devices::made_up(),
        &environment,
        [CALLS_AFTER_S, ANSWERS_AFTER_S],
    )?;
    thread::sleep(OPENING + SETTLING);
    let costs = costs(windows.ids(), Duration::from_secs(seconds.saturating_sub(SETTLING.as_secs())))?;
    let mut sides = windows.close(&clinic)?;
    ensure!(sides.len() == 2, "a window ended without a report");
    for (side, cost) in sides.iter_mut().zip(costs) {
        side["cost"] = cost;
    }
    Ok(sides.into())
}

fn chromium(seconds: u64) -> Result<Value> {
    let settings = json!({
        "chromium": shell::find("chromium").context("chromium is not installed")?,
        "film": media::film(),
        "speech": media::speech(),
        "seconds": seconds,
        "bitrate_bps": BITRATE_BPS,
        "modules": workspace::root().join("ui/package.json"),
    });
    let script = workspace::root().join("crates/xtask/chromium/pair.mjs");
    let mut node = node::program("node")?;
    node.arg(script).arg(settings.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut pair = Running::start("the pair of browsers", &mut node)?;
    let mut lines = BufReader::new(pair.output()?).lines();
    let mut next = || -> Result<Value> {
        Ok(serde_json::from_str(&lines.next().context("the pair of browsers ended without a result")??)?)
    };
    let connected = next()?;
    let process = |side: usize| connected["processes"][side].as_u64().unwrap_or_default() as u32;
    thread::sleep(SETTLING);
    let costs =
        costs([process(0), process(1)], Duration::from_secs(seconds.saturating_sub(SETTLING.as_secs() + 1)))?;
    let mut sides = next()?["sides"].take();
    for (index, cost) in costs.into_iter().enumerate() {
        sides[index]["cost"] = cost;
    }
    Ok(sides)
}

/// What two programs spend in `during`, and in its second half by itself; their memory at its end.
fn costs(processes: [u32; 2], during: Duration) -> Result<[Value; 2]> {
    let read = || -> Result<_> {
        Ok((Instant::now(), [Cost::of_tree(processes[0])?, Cost::of_tree(processes[1])?]))
    };
    let begin = read()?;
    thread::sleep(during / 2);
    let middle = read()?;
    thread::sleep(during / 2);
    let end = read()?;
    Ok([0, 1].map(|side| {
        let since = |(at, costs): &(Instant, [Cost; 2])| {
            end.1[side].since(costs[side], end.0.duration_since(*at).as_secs_f64())
        };
        let mut cost = since(&begin);
        cost["second_half"] = since(&middle);
        cost
    }))
}

/// A row: what, its path in a side's figures, divisor for display, decimals.
const ROWS: &[(&str, &str, f64, usize)] = &[
    ("accept → first remote frame, ms (goal: ≤ 300)", "/setup_ms/accept_to_first_frame", 1.0, 0),
    ("accept → 720p, ms", "/setup_ms/accept_to_full_size", 1.0, 0),
    ("frames decoded per second", "/video/fps_decoded", 1.0, 1),
    ("frame width", "/video/width", 1.0, 0),
    ("freezes", "/video/freezes", 1.0, 0),
    ("capture → decoded p50, ms", "/video/latency_ms/p50", 1.0, 1),
    ("capture → decoded p95, ms", "/video/latency_ms/p95", 1.0, 1),
    ("capture → drawn p50, ms", "/video/drawn_ms/p50", 1.0, 1),
    ("capture → drawn p95, ms", "/video/drawn_ms/p95", 1.0, 1),
    ("video bit rate, Mbit/s (goal: ≤ 2)", "/video/bitrate_bps", 1e6, 2),
    ("mouth → ear, ms", "/audio/latency_ms", 1.0, 0),
    ("mouth → ear through a sound server, ms (goal: ≤ 150)", "/audio/sound_server_latency_ms", 1.0, 0),
    ("CPU seconds per minute", "/cost/cpu_s_per_minute", 1.0, 1),
    ("the same in the second half, when all are at 720p", "/cost/second_half/cpu_s_per_minute", 1.0, 1),
    ("memory (PSS), MB", "/cost/pss_bytes", 1e6, 0),
];

fn table(figures: &Value) -> String {
    let mut text = format!(
        "{}; {} s; both sides of each pair on this machine; caller / callee, and in brackets the ratio of the means to \
         Chromium's.\n\n| | Bedside, no window | Bedside in windows | Chromium |\n| --- | --- | --- | --- |\n",
        figures["machine"].as_str().unwrap_or_default(),
        figures["seconds"]
    );
    for (name, path, divisor, decimals) in ROWS {
        let both = |who: &str| -> Vec<Option<f64>> {
            let side =
                |index: usize| figures[who][index].pointer(path).and_then(Value::as_f64).map(|n| n / divisor);
            vec![side(0), side(1)]
        };
        let shown = |values: &[Option<f64>]| -> String {
            let words: Vec<String> = values
                .iter()
                .map(|value| value.map_or("–".to_owned(), |number| format!("{number:.decimals$}")))
                .collect();
            words.join(" / ")
        };
        let theirs = both("chromium");
        let beside = |ours: &[Option<f64>]| match (mean(ours), mean(&theirs)) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!(" ({:.2})", ours / theirs),
            _ => String::new(),
        };
        let (headless, windows) = (both("headless"), both("windows"));
        text.push_str(&format!(
            "| {name} | {}{} | {}{} | {} |\n",
            shown(&headless),
            beside(&headless),
            shown(&windows),
            beside(&windows),
            shown(&theirs)
        ));
    }
    text
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_figure_is_a_dash_and_not_a_zero() {
        let side = json!({ "cost": { "cpu_s_per_minute": 9.0 } });
        let figures = json!({
            "machine": "m", "seconds": 1, "headless": [side, side], "windows": [],
            "chromium": [{ "cost": { "cpu_s_per_minute": 18.0 } }, {}],
        });
        let table = table(&figures);
        assert!(
            table.contains("| CPU seconds per minute | 9.0 / 9.0 (0.50) | – / – | 18.0 / – |"),
            "{table}"
        );
        assert!(table.contains("| freezes | – / – | – / – | – / – |"), "{table}");
    }
}
