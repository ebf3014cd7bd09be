//! A microphone: callback → mono samples → ring → rate matcher → 10 ms blocks.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use cpal::traits::DeviceTrait;
use cpal::{Data, FromSample, I24, SampleFormat, SizedSample, U24};
use rtrb::{Consumer, Producer, RingBuffer};

use super::{Format, Refusal, on_error};
use crate::audio::backend::Heartbeat;
use crate::audio::device::{AudioInput, Endpoint};
use crate::audio::resample::RateMatcher;
use crate::audio::ring::{RingReader, RingWriter, ring};
use crate::audio::ticker::PERIOD;
use crate::audio::{AudioTrouble, Block, Side};

/// Reported capture delays above this are a confused sound server.
const MOST_DELAY: Duration = Duration::from_millis(500);

/// Callbacks that wait for the engine.
const MARKERS: usize = 1024;

/// "The sample at `position` was captured `at` after the device was opened."
#[derive(Clone, Copy, Debug)]
pub(super) struct Marker {
    position: u64,
    at: Duration,
}

/// The callback's end.
pub(super) struct Capture {
    ring: RingWriter,
    markers: Producer<Marker>,
    channels: usize,
}

/// The engine's end.
pub(super) struct NativeInput {
    ring: RingReader,
    markers: Consumer<Marker>,
    marker: Marker,
    matcher: RateMatcher,
    scratch: Vec<f32>,
    opened: Instant,
    rate: u32,
}

/// The two ends of a microphone of any rate and channel count.
pub(super) fn pair(
    rate: u32,
    channels: usize,
    opened: Instant,
) -> Result<(Capture, NativeInput), AudioTrouble> {
    let (writer, reader) = ring(rate);
    let (marking, marks) = RingBuffer::new(MARKERS);
    let matcher = RateMatcher::to_engine(rate)?;
    let capture = Capture { ring: writer, markers: marking, channels: channels.max(1) };
    let input = NativeInput {
        ring: reader,
        markers: marks,
        marker: Marker { position: 0, at: Duration::ZERO },
        scratch: vec![0.0; matcher.input_most()],
        matcher,
        opened,
        rate,
    };
    Ok((capture, input))
}

impl Capture {
    /// Takes one callback of interleaved samples, whose first was captured at `at`.
    pub(super) fn take<T>(&mut self, samples: &[T], at: Duration)
    where
        T: Copy,
        f32: FromSample<T>,
    {
        // Without room the time of these samples follows from the marker before.
        let _ = self.markers.push(Marker { position: self.ring.position(), at });
        let channels = self.channels;
        let share = 1.0 / channels as f32;
        self.ring.write(
            samples
                .chunks_exact(channels)
                .map(|frame| frame.iter().map(|sample| f32::from_sample_(*sample)).sum::<f32>() * share),
        );
    }

    fn take_data(&mut self, data: &Data, at: Duration) {
        match data.sample_format() {
            SampleFormat::F32 => self.take_as::<f32>(data, at),
            SampleFormat::I16 => self.take_as::<i16>(data, at),
            SampleFormat::I32 => self.take_as::<i32>(data, at),
            SampleFormat::I24 => self.take_as::<I24>(data, at),
            SampleFormat::U8 => self.take_as::<u8>(data, at),
            SampleFormat::I8 => self.take_as::<i8>(data, at),
            SampleFormat::U16 => self.take_as::<u16>(data, at),
            SampleFormat::U24 => self.take_as::<U24>(data, at),
            SampleFormat::U32 => self.take_as::<u32>(data, at),
            SampleFormat::F64 => self.take_as::<f64>(data, at),
            // No microphone speaks the rest; the watchdog would see the silence.
            _ => {}
        }
    }

    fn take_as<T: SizedSample>(&mut self, data: &Data, at: Duration)
    where
        f32: FromSample<T>,
    {
        if let Some(samples) = data.as_slice::<T>() {
            self.take(samples, at);
        }
    }
}

impl AudioInput for NativeInput {
    fn pull(&mut self, block: &mut Block, tick: Instant) -> Instant {
        let need = self.matcher.input_needed().min(self.scratch.len());
        let real = self.ring.read(&mut self.scratch[..need]);
        let start = self.ring.position().saturating_sub(need as u64);
        self.matcher.process(&self.scratch[..need], block);
        self.matcher.steer(self.ring.error());
        if real { self.captured_at(start) } else { tick.checked_sub(PERIOD).unwrap_or(tick) }
    }
}

impl NativeInput {
    fn captured_at(&mut self, position: u64) -> Instant {
        while let Ok(next) = self.markers.peek() {
            if next.position > position {
                break;
            }
            self.marker = *next;
            let _ = self.markers.pop();
        }
        let after = position.saturating_sub(self.marker.position) as f64 / f64::from(self.rate);
        let at = self.opened + self.marker.at + Duration::from_secs_f64(after);
        let delay = Duration::from_secs_f64(self.matcher.delay());
        at.checked_sub(delay).unwrap_or(at)
    }
}

/// Builds the stream of a microphone.
pub(super) fn build(
    device: &cpal::Device,
    format: Format,
    heartbeat: Heartbeat,
    report: Sender<AudioTrouble>,
) -> Result<(cpal::Stream, Endpoint), Refusal> {
    let opened = Instant::now();
    let channels = usize::from(format.config.channels);
    let (mut capture, input) = pair(format.config.sample_rate, channels, opened)?;
    let stream = device.build_input_stream_raw(
        format.config,
        format.sample,
        move |data, info| {
            heartbeat.beat();
            let stamp = info.timestamp();
            let delay = stamp.callback.saturating_duration_since(stamp.capture).min(MOST_DELAY);
            capture.take_data(data, opened.elapsed().saturating_sub(delay));
        },
        on_error(Side::Input, report),
        None,
    )?;
    Ok((stream, Endpoint::Input(Box::new(input))))
}
