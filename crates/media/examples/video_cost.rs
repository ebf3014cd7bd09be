//! What video costs on this machine, per 720p frame and in memory: conversion, scaling, encoding, decoding.
//! Run it with `--release`; the figures in the documentation come from it. Given a film (`.y4m`, 1280 × 720), it is
//! that which is encoded and decoded, else the test pattern.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bedside_media::camera::{CaptureFormat, Film, Pattern};
use bedside_media::codec::VideoEncoder;
use bedside_media::codec::h264::{Decoder, Encoder, EncoderConfig};
use bedside_media::frame::{FramePool, I420};
use bedside_media::pixels;
use bedside_media::scale::Scaler;
use bedside_media::stamp::{self, Stamp};

const FRAMES: u64 = 300;
const CONFIG: EncoderConfig = EncoderConfig { width: 1280, height: 720, fps: 30, bitrate_bps: 1_500_000 };

fn main() -> Result<(), Box<dyn Error>> {
    let pattern = Pattern::new(CaptureFormat::default());
    let pool = FramePool::new();
    report("draw the pattern", |n| {
        black_box(pattern.frame(n));
        Ok(())
    })?;
    let mut image = pattern.frame(0);
    report("burn a stamp", |n| {
        stamp::burn(&mut image, Stamp { counter: n as u32, time_us: n });
        Ok(())
    })?;
    report("read a stamp", |_| {
        black_box(stamp::read(&image));
        Ok(())
    })?;
    let yuyv = vec![128; 1280 * 720 * 2];
    report("YUYV to I420", |_| Ok(pixels::yuyv_to_i420(&yuyv, 1280, 720, &mut pool.take(1280, 720))?))?;
    report("NV12 to I420", |_| Ok(pixels::nv12_to_i420(&yuyv, 1280, 720, &mut pool.take(1280, 720))?))?;
    let mut scaler = Scaler::new();
    for (width, height) in [(960, 540), (640, 360), (320, 180)] {
        report(&format!("scale to {width}×{height}"), |_| {
            black_box(scaler.scale(&image, width, height));
            Ok(())
        })?;
    }
    let frames: Vec<I420> = match std::env::args().nth(1) {
        Some(path) => {
            let mut film = Film::open(path.as_ref())?;
            (0..film.frames() as u64).map(|n| film.frame(n)).collect::<Result<_, _>>()?
        }
        None => (0..60).map(|n| pattern.frame(n)).collect(),
    };
    let (mut encoder, mut stream) = (Encoder::new(&CONFIG)?, Vec::new());
    report("encode", |n| {
        stream.extend(encoder.encode(&frames[n as usize % frames.len()], n * 1000 / 30, false)?);
        Ok(())
    })?;
    let bytes: usize = stream.iter().map(|frame| frame.data.len()).sum();
    println!("  {} frames, {:.0} kbit/s", stream.len(), bytes as f64 * 0.24 / FRAMES as f64);
    let (mut decoder, mut units) = (Decoder::new()?, stream.iter().cycle());
    report("decode", |_| {
        black_box(decoder.decode(&units.next().ok_or("no frames")?.data)?);
        Ok(())
    })?;
    for line in std::fs::read_to_string("/proc/self/status").unwrap_or_default().lines() {
        if line.starts_with("VmHWM") || line.starts_with("VmRSS") {
            println!("{line} (of it {} kB are this program's own frames)", frames.len() * 1350);
        }
    }
    Ok(())
}

/// Runs a step for every frame; prints mean and worst wall time and the thread's CPU time.
fn report(name: &str, mut step: impl FnMut(u64) -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let (mut total, mut worst) = (Duration::ZERO, Duration::ZERO);
    let cpu = cpu_time();
    for n in 0..FRAMES {
        let began = Instant::now();
        step(n)?;
        let took = began.elapsed();
        total += took;
        worst = worst.max(took);
    }
    let frames = FRAMES as f64;
    let cpu = (cpu_time().saturating_sub(cpu)).as_secs_f64() * 1000.0 / frames;
    let mean = total.as_secs_f64() * 1000.0 / frames;
    println!("{name:20} {mean:6.2} ms, CPU {cpu:6.2} ms, worst {:6.2} ms", worst.as_secs_f64() * 1000.0);
    Ok(())
}

/// CPU time of this process, as the scheduler counts it (Linux; zero elsewhere).
fn cpu_time() -> Duration {
    let nanos = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    Duration::from_nanos(nanos.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0))
}
