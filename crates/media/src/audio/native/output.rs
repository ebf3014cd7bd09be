//! A speaker: 10 ms blocks → rate matcher → ring → callback → every channel.

use std::sync::mpsc::Sender;

use cpal::traits::DeviceTrait;
use cpal::{Data, FromSample, I24, SampleFormat, SizedSample, U24};

use super::{Format, Refusal, on_error};
use crate::audio::backend::Heartbeat;
use crate::audio::device::{AudioOutput, Endpoint};
use crate::audio::resample::RateMatcher;
use crate::audio::ring::{RingReader, RingWriter, ring};
use crate::audio::{AudioTrouble, Block, Side};

/// The engine's end.
pub(super) struct NativeOutput {
    ring: RingWriter,
    matcher: RateMatcher,
    scratch: Vec<f32>,
}

/// The callback's end.
pub(super) struct Playback {
    ring: RingReader,
    scratch: Vec<f32>,
    channels: usize,
}

/// The two ends of a speaker of any rate and channel count.
pub(super) fn pair(rate: u32, channels: usize) -> Result<(NativeOutput, Playback), AudioTrouble> {
    let (writer, reader) = ring(rate);
    let matcher = RateMatcher::to_device(rate)?;
    let output = NativeOutput { ring: writer, scratch: vec![0.0; matcher.output_most()], matcher };
    let playback = Playback {
        ring: reader,
        // A callback never asks for more than the ring could ever hold.
        scratch: vec![0.0; rate as usize],
        channels: channels.max(1),
    };
    Ok((output, playback))
}

impl AudioOutput for NativeOutput {
    fn push(&mut self, block: &Block) {
        let made = self.matcher.process(block, &mut self.scratch);
        self.ring.write(self.scratch[..made].iter().copied());
        self.matcher.steer(self.ring.error());
    }
}

impl Playback {
    /// Fills one callback of interleaved samples, the same in every channel.
    pub(super) fn fill<T: Copy + FromSample<f32>>(&mut self, out: &mut [T]) {
        let frames = (out.len() / self.channels).min(self.scratch.len());
        let mono = &mut self.scratch[..frames];
        self.ring.read(mono);
        for (frame, sample) in out.chunks_exact_mut(self.channels).zip(mono) {
            frame.fill(T::from_sample_(sample.clamp(-1.0, 1.0)));
        }
    }

    fn fill_data(&mut self, data: &mut Data) {
        match data.sample_format() {
            SampleFormat::F32 => self.fill_as::<f32>(data),
            SampleFormat::I16 => self.fill_as::<i16>(data),
            SampleFormat::I32 => self.fill_as::<i32>(data),
            SampleFormat::I24 => self.fill_as::<I24>(data),
            SampleFormat::U8 => self.fill_as::<u8>(data),
            SampleFormat::I8 => self.fill_as::<i8>(data),
            SampleFormat::U16 => self.fill_as::<u16>(data),
            SampleFormat::U24 => self.fill_as::<U24>(data),
            SampleFormat::U32 => self.fill_as::<u32>(data),
            SampleFormat::F64 => self.fill_as::<f64>(data),
            // No speaker speaks the rest; the buffer comes filled with silence.
            _ => {}
        }
    }

    fn fill_as<T: SizedSample + FromSample<f32>>(&mut self, data: &mut Data) {
        if let Some(samples) = data.as_slice_mut::<T>() {
            self.fill(samples);
        }
    }
}

/// Builds the stream of a speaker.
pub(super) fn build(
    device: &cpal::Device,
    format: Format,
    heartbeat: Heartbeat,
    report: Sender<AudioTrouble>,
) -> Result<(cpal::Stream, Endpoint), Refusal> {
    let channels = usize::from(format.config.channels);
    let (output, mut playback) = pair(format.config.sample_rate, channels)?;
    let stream = device.build_output_stream_raw(
        format.config,
        format.sample,
        move |data, _| {
            heartbeat.beat();
            playback.fill_data(data);
        },
        on_error(Side::Output, report),
        None,
    )?;
    Ok((stream, Endpoint::Output(Box::new(output))))
}
