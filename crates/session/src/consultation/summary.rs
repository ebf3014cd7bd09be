//! The seconds of a call: what the meters, the transport and the playout buffer say, in one sample.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bedside_flow::{
    audio::PlayoutStats,
    freeze::FreezeStats,
    loss::Share,
    nack::GeneratorStats,
    quality::{self, AudioSecond, Steady, VideoSecond},
};
use bedside_protocol::quality::{QualityClass, QualityMetrics};
use bedside_ui_contract::StatsSample;

use super::{Report, meter::Meter};
use crate::{peer::TransportStats, usage::Usage};

/// What a second is made of, besides the meters. Counters run from the beginning of the call.
#[derive(Clone)]
pub(super) struct Inputs {
    pub(super) now: Instant,
    pub(super) transport: TransportStats,
    pub(super) rtt: Duration,
    pub(super) nack: GeneratorStats,
    /// Of this second's sound.
    pub(super) sound_loss: Share,
    pub(super) playout: PlayoutStats,
    pub(super) freezes: FreezeStats,
    /// There should have been a picture.
    pub(super) picture_due: bool,
    pub(super) estimate: u32,
}

pub(super) struct Summary {
    meter: Arc<Meter>,
    taken_at: Instant,
    usage: Usage,
    nack: GeneratorStats,
    playout: PlayoutStats,
    freezes: FreezeStats,
    sound_class: Steady,
    picture_class: Steady,
    /// Share of our packets that the other side reports lost.
    pub(super) loss_out: f32,
}

impl Summary {
    pub(super) fn new(now: Instant, meter: Arc<Meter>) -> Self {
        Self {
            meter,
            taken_at: now,
            usage: Usage::of_this_process(),
            nack: GeneratorStats::default(),
            playout: PlayoutStats::default(),
            freezes: FreezeStats::default(),
            sound_class: Steady::new(),
            picture_class: Steady::new(),
            loss_out: 0.0,
        }
    }

    /// The second that ends now.
    pub(super) fn second(&mut self, inputs: Inputs) -> Report {
        let elapsed = inputs.now.saturating_duration_since(self.taken_at);
        self.taken_at = inputs.now;
        let second = self.meter.take(elapsed);
        let reordered = inputs.nack.reordered.saturating_sub(self.nack.reordered);
        let lost = inputs.nack.missed.saturating_sub(self.nack.missed).saturating_sub(reordered);
        let picture_loss = Share { expected: second.video_packets_in + lost, lost };
        let loss_in = (inputs.sound_loss + picture_loss).fraction();
        let usage = Usage::of_this_process();
        let cpu =
            usage.cpu.saturating_sub(self.usage.cpu).as_secs_f32() / elapsed.as_secs_f32().max(0.001) * 100.0;
        let concealed_ms =
            (inputs.playout.concealed_ms - self.playout.concealed_ms).clamp(0.0, 1000.0) as u16;
        let audio_packets = inputs.playout.received_packets.saturating_sub(self.playout.received_packets);
        let freezes = inputs.freezes.count.saturating_sub(self.freezes.count);
        let frozen = inputs.freezes.total.saturating_sub(self.freezes.total);
        let rtt_ms = inputs.transport.rtt.unwrap_or(inputs.rtt).as_secs_f32() * 1000.0;
        let sound = AudioSecond {
            loss: inputs.sound_loss.fraction(),
            rtt_ms,
            jitter_ms: inputs.playout.jitter_ms as f32,
            concealed: f32::from(concealed_ms) / 1000.0,
        };
        let picture = VideoSecond {
            loss: picture_loss.fraction(),
            rtt_ms,
            height: u32::from(second.size_in.1.min(second.size_in.0)),
            fps: second.fps_in,
            frozen_ms: frozen.as_secs_f32() * 1000.0,
        };
        let heard = inputs.playout.received_packets > 0;
        let audio_quality = heard.then(|| class(self.sound_class.update(sound.class())));
        let video_quality = if inputs.picture_due {
            Some(class(self.picture_class.update(picture.class())))
        } else {
            self.picture_class = Steady::new();
            None
        };
        let sample = StatsSample {
            at: crate::clock::now(),
            rtt_ms,
            loss_in,
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
            freezes: u16::try_from(freezes).unwrap_or(u16::MAX),
            freeze_ms: u16::try_from(frozen.as_millis()).unwrap_or(u16::MAX),
            audio_packets_in: u16::try_from(audio_packets).unwrap_or(u16::MAX),
            concealed_ms,
            playout_ms: inputs.playout.delay_ms as u16,
            encode_ms: second.encode_ms,
            decode_ms: second.decode_ms,
            cpu_percent: cpu,
            memory_bytes: usage.rss_bytes,
            ice_ms: inputs.transport.ice_ms.map(|ms| ms as f32),
            dtls_ms: inputs.transport.dtls_ms.map(|ms| ms as f32),
            path: inputs.transport.path.unwrap_or_default(),
            audio_quality,
            video_quality,
        };
        self.usage = usage;
        self.nack = inputs.nack;
        self.playout = inputs.playout;
        self.freezes = inputs.freezes;
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
        audio_quality: sample.audio_quality,
        video_quality: sample.video_quality,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call's seconds: its sound is clear, and its picture as told.
    struct Call {
        meter: Arc<Meter>,
        summary: Summary,
        inputs: Inputs,
    }

    impl Call {
        fn new() -> Self {
            let (now, meter) = (Instant::now(), Arc::new(Meter::default()));
            let transport = TransportStats { rtt: Some(Duration::from_millis(40)), ..Default::default() };
            let inputs = Inputs {
                now,
                transport,
                rtt: Duration::ZERO,
                nack: GeneratorStats::default(),
                sound_loss: Share { expected: 50, lost: 0 },
                playout: PlayoutStats::default(),
                freezes: FreezeStats::default(),
                picture_due: true,
                estimate: 1_000_000,
            };
            Self { summary: Summary::new(now, meter.clone()), meter, inputs }
        }

        /// A second with so many pictures in so many packets.
        fn second(&mut self, pictures: usize, packets: usize) -> (StatsSample, QualityMetrics) {
            Meter::add(&self.meter.frames_decoded, pictures);
            Meter::add(&self.meter.video_packets_in, packets);
            Meter::set_size(&self.meter.size_in, 1280, 720);
            self.inputs.now += Duration::from_secs(1);
            self.inputs.playout.received_packets += 50;
            match self.summary.second(self.inputs.clone()) {
                Report::Second { sample, metrics } => (*sample, *metrics),
                other => panic!("{other:?} is no second"),
            }
        }
    }

    #[test]
    fn a_picture_that_stands_still_is_poor_however_clear_the_voice_is() {
        let mut call = Call::new();
        let (sample, metrics) = call.second(30, 100);
        assert_eq!(sample.video_quality, Some(QualityClass::Excellent));
        assert_eq!(metrics.video_quality, Some(QualityClass::Excellent));
        call.inputs.freezes = FreezeStats { count: 1, total: Duration::from_millis(800) };
        let (sample, metrics) = call.second(0, 0);
        assert_eq!((sample.freezes, sample.freeze_ms, metrics.freezes), (1, 800, 1));
        call.inputs.freezes.total += Duration::from_secs(1);
        let (sample, metrics) = call.second(0, 0);
        assert_eq!((sample.freezes, sample.freeze_ms), (0, 1_000), "it goes on, and is one");
        assert_eq!(sample.video_quality, Some(QualityClass::Poor));
        assert_eq!(metrics.video_quality, Some(QualityClass::Poor));
        assert_eq!(sample.audio_quality, Some(QualityClass::Excellent));
    }

    #[test]
    fn what_nobody_sends_has_no_class() {
        let mut call = Call::new();
        call.inputs.picture_due = false;
        let (sample, metrics) = call.second(0, 0);
        assert_eq!((sample.video_quality, metrics.video_quality), (None, None));
        assert_eq!(metrics.audio_quality, Some(QualityClass::Excellent));
        let silent = Call::new().summary.second(Call::new().inputs);
        assert!(
            matches!(silent, Report::Second { metrics, .. } if metrics.audio_quality.is_none()),
            "nothing was heard yet"
        );
    }

    #[test]
    fn loss_counts_against_the_stream_that_has_it() {
        let mut call = Call::new();
        call.inputs.nack = GeneratorStats { missed: 12, reordered: 2, ..GeneratorStats::default() };
        let (sample, metrics) = call.second(30, 90);
        assert_eq!(sample.audio_quality, Some(QualityClass::Excellent));
        assert_eq!(sample.video_quality, Some(QualityClass::Poor), "10 of 100 packets were lost");
        assert!((metrics.packet_loss - 10.0 / 150.0).abs() < 1e-6, "both together");
        call.inputs.sound_loss.lost = 10;
        assert_eq!(call.second(30, 100).0.audio_quality, Some(QualityClass::Excellent), "one second");
        let (sample, _) = call.second(30, 100);
        assert_eq!(sample.audio_quality, Some(QualityClass::Poor));
    }
}
