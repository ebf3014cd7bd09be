//! The seconds of a call: what the meters, the transport and the playout buffer say, in one sample.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bedside_flow::{
    audio::PlayoutStats,
    nack::GeneratorStats,
    quality::{self, AudioSecond, Steady, VideoSecond},
};
use bedside_protocol::quality::{QualityClass, QualityMetrics};
use bedside_ui_contract::StatsSample;

use super::{Report, meter::Meter};
use crate::{peer::TransportStats, usage::Usage};

/// What a second is made of, besides the meters.
pub(super) struct Inputs {
    pub(super) transport: TransportStats,
    pub(super) rtt: Duration,
    pub(super) nack: GeneratorStats,
    pub(super) playout: PlayoutStats,
    pub(super) estimate: u32,
}

pub(super) struct Summary {
    meter: Arc<Meter>,
    taken_at: Instant,
    usage: Usage,
    nack: GeneratorStats,
    playout: PlayoutStats,
    sound_class: Steady,
    picture_class: Steady,
    /// Share of our packets that the other side reports lost.
    pub(super) loss_out: f32,
}

impl Summary {
    pub(super) fn new(meter: Arc<Meter>) -> Self {
        Self {
            meter,
            taken_at: Instant::now(),
            usage: Usage::of_this_process(),
            nack: GeneratorStats::default(),
            playout: PlayoutStats::default(),
            sound_class: Steady::new(),
            picture_class: Steady::new(),
            loss_out: 0.0,
        }
    }

    /// The second that ends now.
    pub(super) fn second(&mut self, inputs: Inputs) -> Report {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.taken_at);
        self.taken_at = now;
        let lost = inputs
            .nack
            .missed
            .saturating_sub(self.nack.missed)
            .saturating_sub(inputs.nack.reordered.saturating_sub(self.nack.reordered));
        Meter::add(&self.meter.packets_lost, usize::try_from(lost).unwrap_or(0));
        let second = self.meter.take(elapsed);
        let usage = Usage::of_this_process();
        let cpu =
            usage.cpu.saturating_sub(self.usage.cpu).as_secs_f32() / elapsed.as_secs_f32().max(0.001) * 100.0;
        let concealed_ms =
            (inputs.playout.concealed_ms - self.playout.concealed_ms).clamp(0.0, 1000.0) as u16;
        let audio_packets = inputs.playout.received_packets.saturating_sub(self.playout.received_packets);
        let rtt_ms = inputs.transport.rtt.unwrap_or(inputs.rtt).as_secs_f32() * 1000.0;
        let setup = inputs.transport.ice_ms.unwrap_or(0.0) + inputs.transport.dtls_ms.unwrap_or(0.0);
        let sound = AudioSecond {
            loss: second.loss_in,
            rtt_ms,
            jitter_ms: inputs.playout.jitter_ms as f32,
            concealed: f32::from(concealed_ms) / 1000.0,
        };
        let picture = VideoSecond {
            loss: second.loss_in,
            rtt_ms,
            height: u32::from(second.size_in.1.min(second.size_in.0)),
            fps: second.fps_in,
            frozen_ms: f32::from(second.freeze_ms),
        };
        let audio_quality = Some(class(self.sound_class.update(sound.class())));
        let video_quality = (second.fps_in > 0.0).then(|| class(self.picture_class.update(picture.class())));
        let sample = StatsSample {
            at: crate::clock::now(),
            rtt_ms,
            loss_in: second.loss_in,
            loss_out: self.loss_out,
            jitter_ms: inputs.playout.jitter_ms as f32,
            estimate_bps: inputs.estimate,
            audio_in_bps: second.audio_in_bps,
            audio_out_bps: second.audio_out_bps,
            video_in_bps: second.video_in_bps,
            video_out_bps: second.video_out_bps,
            width_in: second.size_in.0,
            height_in: second.size_in.1,
            width_out: second.size_out.0,
            height_out: second.size_out.1,
            fps_in: second.fps_in,
            fps_out: second.fps_out,
            freezes: second.freezes,
            freeze_ms: second.freeze_ms,
            audio_packets_in: u16::try_from(audio_packets).unwrap_or(u16::MAX),
            concealed_ms,
            playout_ms: inputs.playout.delay_ms as u16,
            encode_ms: second.encode_ms,
            decode_ms: second.decode_ms,
            cpu_percent: cpu,
            memory_bytes: usage.rss_bytes,
            dtls_ms: setup as f32,
            path: inputs.transport.path.unwrap_or_default(),
            audio_quality,
            video_quality,
        };
        self.usage = usage;
        self.nack = inputs.nack;
        self.playout = inputs.playout;
        let metrics = metrics(&sample);
        Report::Second { sample: Box::new(sample), metrics: Box::new(metrics) }
    }
}

const fn class(class: quality::QualityClass) -> QualityClass {
    match class {
        quality::QualityClass::Poor => QualityClass::Poor,
        quality::QualityClass::Fair => QualityClass::Fair,
        quality::QualityClass::Good => QualityClass::Good,
        quality::QualityClass::Excellent => QualityClass::Excellent,
    }
}

fn metrics(sample: &StatsSample) -> QualityMetrics {
    QualityMetrics {
        at: sample.at,
        rtt_ms: sample.rtt_ms,
        packet_loss: sample.loss_in,
        jitter_ms: sample.jitter_ms,
        available_bandwidth_bps: sample.estimate_bps,
        audio_bitrate_bps: sample.audio_in_bps,
        video_bitrate_bps: sample.video_in_bps,
        video_width: sample.width_in,
        video_height: sample.height_in,
        frame_rate: sample.fps_in,
        freezes: sample.freezes,
        concealed_ms: sample.concealed_ms,
        jitter_buffer_ms: sample.playout_ms,
        encode_ms: sample.encode_ms,
        decode_ms: sample.decode_ms,
        cpu_percent: sample.cpu_percent,
        memory_bytes: sample.memory_bytes,
        audio_quality: sample.audio_quality.unwrap_or(QualityClass::Good),
        video_quality: sample.video_quality.unwrap_or(QualityClass::Good),
    }
}
