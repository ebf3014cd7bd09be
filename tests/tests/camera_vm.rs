//! The camera path against a real V4L2 driver: Debian's own kernel with its `vivid` test camera, in a virtual
//! machine, with `bedside-media`'s `camera_probe` as the only program. Pictures, a second program, unplugging,
//! plugging in again, missing rights, no camera at all.
//!
//! Needs qemu-system-x86, busybox-static, cpio, kmod, dpkg and a package source with `linux-image-amd64`
//! (downloaded, not installed). Where these are missing it says so and is skipped, unless
//! `BEDSIDE_REQUIRE_ALL` is set.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "camera_vm/guest.rs"]
mod guest;
#[path = "camera_vm/kernel.rs"]
mod kernel;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Software emulation on a busy machine takes its time; a good run needs half a minute.
const LIMIT: Duration = Duration::from_secs(300);

/// An event of the probe, after the name of the scene in which it happened.
type Event = (String, Value);

#[test]
fn a_real_driver_gives_pictures_and_every_trouble_is_told_apart() -> Result<()> {
    let missing: Vec<&str> = ["qemu-system-x86_64", "busybox", "cpio", "modinfo", "apt-get", "dpkg-deb"]
        .into_iter()
        .filter(|tool| !guest::on_path(tool))
        .collect();
    if !missing.is_empty() {
        return skip(&format!("{} not installed", missing.join(", ")));
    }
    let folder = guest::folder()?;
    let kernel = match kernel::fetch(&folder) {
        Ok(kernel) => kernel,
        Err(error) => return skip(&format!("no Debian kernel to be had ({error:#})")),
    };
    let initramfs = guest::build(&folder, &kernel)?;
    check(&run(&kernel, &initramfs)?)
}

fn skip(why: &str) -> Result<()> {
    if std::env::var_os("BEDSIDE_REQUIRE_ALL").is_some() {
        bail!("the camera test can't run: {why}");
    }
    println!("skipped: {why}");
    Ok(())
}

/// Boots the guest and collects what it prints, to its end.
fn run(kernel: &kernel::Kernel, initramfs: &Path) -> Result<Vec<Event>> {
    let child = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512"])
        .args(["-nodefaults", "-no-reboot", "-nographic", "-serial", "stdio"])
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initramfs)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("qemu does not start")?;
    let mut machine = Machine(child);
    let output = machine.0.stdout.take().context("qemu has no output")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(std::result::Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim().to_owned()).is_err() {
                break;
            }
        }
    });
    let end = Instant::now() + LIMIT;
    let mut events = Vec::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line == "the end" => return Ok(events),
            Ok(line) => {
                println!("guest: {line}");
                if let Some((scene, json)) = line.split_once(' ')
                    && let Ok(event) = serde_json::from_str(json)
                {
                    events.push((scene.to_owned(), event));
                }
            }
            Err(_) => bail!("the guest did not come to its end; what it said is above"),
        }
    }
}

/// A virtual machine that does not outlive the test.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn check(events: &[Event]) -> Result<()> {
    let of = |scene: &str| -> Vec<&Value> {
        events.iter().filter(|(name, _)| name == scene).map(|(_, event)| event).collect()
    };
    let trouble =
        |scene: &str| of(scene).iter().find_map(|event| event["trouble"].as_str().map(str::to_owned));

    let listed = of("listing");
    let cameras = listed.first().and_then(|event| event["cameras"].as_array()).map(Vec::len);
    assert_eq!(cameras, Some(1), "one camera is listed: {listed:?}");
    watching(&of("watching"))?;
    assert_eq!(trouble("in-use").as_deref(), Some("InUse"), "a second program");
    assert_eq!(trouble("forbidden").as_deref(), Some("PermissionDenied"), "another user");
    assert_eq!(trouble("none").as_deref(), Some("NoneFound"), "nothing plugged in");
    Ok(())
}

/// Pictures, one trouble, pictures again.
fn watching(events: &[&Value]) -> Result<()> {
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    let lost = kinds.iter().position(|kind| *kind == "trouble").context("nobody noticed the unplugging")?;
    assert_eq!(events[lost]["trouble"], "Unplugged");
    assert!(lost >= 2, "pictures came before the unplugging: {kinds:?}");
    assert!(kinds[lost + 1..].contains(&"pictures"), "pictures came after plugging in again: {kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "trouble").count(), 1, "told once: {kinds:?}");
    for event in events.iter().filter(|event| event["event"] == "pictures") {
        assert_eq!((&event["width"], &event["height"]), (&640.into(), &360.into()), "{event}");
        let fps = event["fps"].as_f64().unwrap_or_default();
        // Thirty on an idle machine; a busy one emulates more slowly.
        assert!((1.0..=33.0).contains(&fps), "{event}");
        let count = |key: &str| event[key].as_u64().unwrap_or_default();
        assert!(count("moved") + 2 >= count("pictures"), "the test camera's picture moves: {event}");
        let luma = |index: usize| event["luma"][index].as_u64().unwrap_or_default();
        assert!(luma(0) < 60 && luma(1) > 170, "the test camera shows black and white bars: {event}");
    }
    Ok(())
}
