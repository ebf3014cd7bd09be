//! The task that drives a consultation: negotiation, packets in and out, recovery, the seconds.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bedside_flow::{
    audio::ExpectedLoss, keyframe::KeyframeLimiter, loss::LossMeter, nack, rtp::RtpMeta, video::Assembler,
};
use bedside_protocol::call::Side;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::MissedTickBehavior,
};

use super::{
    Ask, ConsultationConfig, ConsultationEvent, LastHeard, Report,
    connecting::Connecting,
    controls::{self, Control},
    lips::Lips,
    meter::Meter,
    negotiation::Negotiation,
    reports::{Pause, Reports},
    sealing::Sealing,
    sound::Sound,
    steering::Steering,
    summary::Summary,
    video_in::{Screen, VideoIn},
    video_out::{self, MOST_PACKETS, Plan, VideoOut},
    viewing::Viewing,
};
use crate::{
    peer::{
        ASSUMED_RTT, FailureReason, MediaKind, OutgoingRtp, Peer, PeerConfig, PeerError, PeerEvent, PeerState,
    },
    studio::AudioPort,
};

/// Without a packet for this long the path counts as lost. Opus DTX sends one every 400 ms.
pub(super) const LOST_AFTER: Duration = Duration::from_millis(1800);

/// How often the path is looked at and the plan made.
const CONTROL_INTERVAL: Duration = Duration::from_millis(100);

/// Events of the peer connection that may wait.
const PEER_EVENTS: usize = 2048;

/// Events that are taken in before anything else is done: candidates come in heaps, and each message that carries some
/// is sealed and kept by both sides.
const AT_ONCE: usize = 64;

/// Starts the task; returns it and the audio thread's end.
pub(super) fn start(
    config: ConsultationConfig,
    inbox: mpsc::UnboundedReceiver<Ask>,
    events: mpsc::UnboundedSender<ConsultationEvent>,
    heard: Arc<LastHeard>,
    sealing: Arc<Sealing>,
    screen: Arc<Screen>,
) -> (JoinHandle<()>, Box<dyn AudioPort>) {
    let sound = Sound::new(config.muted, sealing);
    let epoch = Instant::now();
    let port = sound.port(epoch, rand::random());
    let reports = Reports::new(config.call_id, events);
    let failed = reports.clone();
    let task = config.runtime.clone().spawn(async move {
        let (peer_events, peer_inbox) = mpsc::channel(PEER_EVENTS);
        let peer_config = PeerConfig {
            ice_servers: config.ice_servers.clone(),
            offerer: config.side == Side::Caller,
            network: config.network.clone(),
        };
        let peer = match Peer::new(peer_config, peer_events).await {
            Ok(peer) => peer,
            Err(error) => {
                tracing::error!(%error, "the peer connection could not be set up");
                return reports.send(Report::Failed { forged: false });
            }
        };
        match Driver::new(config, peer.clone(), sound, screen, heard, reports, epoch) {
            Ok((driver, packets)) => driver.run(inbox, peer_inbox, packets).await,
            Err(error) => {
                tracing::error!(%error, "the media threads could not be started");
                failed.send(Report::Failed { forged: false });
            }
        }
        peer.close().await;
    });
    (task, port)
}

struct Driver {
    peer: Peer,
    reports: Reports,
    negotiation: Negotiation,
    sealing: Arc<Sealing>,
    sound: Arc<Sound>,
    meter: Arc<Meter>,
    heard: Arc<LastHeard>,
    video_in: VideoIn,
    video_out: Arc<video_out::Shared>,
    plan: watch::Sender<Plan>,
    steering: Steering,
    summary: Summary,
    lips: Lips,
    keyframes: KeyframeLimiter,
    assembler: Assembler,
    nack: nack::Generator,
    sound_loss: LossMeter,
    expected_loss: ExpectedLoss,
    rtt: Duration,
    connecting: Connecting,
    connected: bool,
    flowing: bool,
    /// What the other side has said of its microphone and camera since the last beat.
    peer_controls: Option<Control>,
    viewing: Viewing,
    muted: bool,
    camera_on: bool,
    pause: Pause,
    /// What the other side is told of them.
    controls: watch::Sender<Control>,
}

impl Driver {
    fn new(
        config: ConsultationConfig,
        peer: Peer,
        sound: Arc<Sound>,
        screen: Arc<Screen>,
        heard: Arc<LastHeard>,
        reports: Reports,
        epoch: Instant,
    ) -> std::io::Result<(Self, mpsc::Receiver<OutgoingRtp>)> {
        let (sealing, meter) = (sound.sealing.clone(), sound.meter.clone());
        let steering = Steering::new(epoch);
        let first = steering.plan(false);
        let (plan, plan_seen) = watch::channel(steering.plan(true));
        let (packets_out, packets) = mpsc::channel(MOST_PACKETS);
        let video_out = Arc::new(video_out::Shared::default());
        video_out::spawn(VideoOut {
            camera: config.camera,
            plan: plan_seen,
            first,
            packets: packets_out,
            shared: video_out.clone(),
            meter: meter.clone(),
            peer: peer.clone(),
            epoch,
            rtp_base: rand::random(),
            sealing: sealing.clone(),
        })?;
        let expected = config.camera_on.then_some((first.width, first.height));
        let video_in = VideoIn::spawn(expected, screen, meter.clone(), config.tap, sealing.clone())?;
        let (muted, camera_on) = (config.muted, config.camera_on);
        let (controls, said) = watch::channel(Control::State { muted, camera_on, picture_paused: false });
        let told = peer.clone();
        tokio::spawn(controls::say(said, move |message| {
            let peer = told.clone();
            async move { peer.send_message(message).await }
        }));
        let driver = Self {
            negotiation: Negotiation::new(config.side, peer.clone(), sealing.clone()),
            sealing,
            peer,
            reports,
            sound,
            heard,
            video_in,
            video_out,
            plan,
            steering,
            summary: Summary::new(epoch, meter.clone()),
            lips: Lips::new(),
            keyframes: KeyframeLimiter::new(),
            meter,
            assembler: Assembler::new(),
            nack: nack::Generator::new(),
            sound_loss: LossMeter::new(),
            expected_loss: ExpectedLoss::new(epoch),
            rtt: ASSUMED_RTT,
            connecting: Connecting::default(),
            connected: false,
            flowing: false,
            peer_controls: None,
            viewing: Viewing::default(),
            muted,
            camera_on,
            pause: Pause::default(),
            controls,
        };
        Ok((driver, packets))
    }

    async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Ask>,
        mut peer_inbox: mpsc::Receiver<PeerEvent>,
        mut packets: mpsc::Receiver<OutgoingRtp>,
    ) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.reset();
        let mut control = tokio::time::interval(CONTROL_INTERVAL);
        control.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events = Vec::with_capacity(AT_ONCE);
        self.negotiation.prepare(&self.reports).await;
        loop {
            let wake = self.next_wake();
            tokio::select! {
                ask = inbox.recv() => match ask {
                    Some(ask) => self.ask(ask).await,
                    None => return,
                },
                1.. = peer_inbox.recv_many(&mut events, AT_ONCE) => {
                    for event in events.drain(..) {
                        self.peer_event(event).await;
                    }
                }
                Some(packet) = packets.recv() => self.queue_packet(packet),
                () = tokio::time::sleep_until(wake.into()) => {}
                _ = second.tick() => self.second().await,
                _ = control.tick() => self.control().await,
            }
            self.pump();
        }
    }

    async fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Offer => self.negotiation.release(&self.reports),
            Ask::Signal(body) => self.negotiation.signal(body, &self.reports).await,
            Ask::Muted(muted) => {
                self.muted = muted;
                self.sound.muted.store(muted, Relaxed);
                self.tell_controls();
            }
            Ask::Camera(on) => {
                self.camera_on = on;
                self.make_plan(Instant::now());
                self.tell_controls();
            }
            Ask::FrameKeys(keys) => self.sealing.enter(keys),
            Ask::NetworkChanged => {
                self.steering.path_changed(Instant::now());
                self.negotiation.change_path(&self.reports).await;
            }
        }
    }

    async fn peer_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Candidate(candidate) => self.negotiation.candidate(candidate),
            PeerEvent::State(state) => self.peer_state(state).await,
            PeerEvent::Rtp { kind, seq, timestamp, marker, payload, arrived } => {
                self.heard.now(arrived);
                match kind {
                    MediaKind::Video => {
                        Meter::add(&self.meter.video_packets_in, 1);
                        Meter::add(&self.meter.video_in, payload.len());
                        self.assembler.set_sealed(self.sealing.is_active());
                        self.assembler.insert(arrived, RtpMeta { seq, timestamp, marker }, &payload);
                        self.nack.on_packet(arrived, seq);
                    }
                    MediaKind::Audio => {
                        Meter::add(&self.meter.audio_in, payload.len());
                        self.sound_loss.on_packet(seq);
                        let packet = if self.sealing.is_active() {
                            self.sealing.open_sound(&payload)
                        } else {
                            Some(payload.to_vec())
                        };
                        if let Some(packet) = packet {
                            self.sound.playout().insert(arrived, seq, timestamp, packet);
                        }
                    }
                }
                if !self.flowing {
                    self.flowing = true;
                    self.steering.path_found(arrived);
                    self.reports.send(Report::Flowing(true));
                }
            }
            PeerEvent::SenderReport { kind, ntp, rtp, .. } => self.lips.sender_report(kind, ntp, rtp),
            PeerEvent::ReceiverReport { kind, loss_fraction, rtt, .. } => {
                if let Some(rtt) = rtt {
                    self.rtt = rtt;
                }
                if kind == MediaKind::Audio {
                    self.expected_loss.on_report(Instant::now(), loss_fraction.into());
                    self.sound.expected_loss.store(self.expected_loss.percent(), Relaxed);
                }
                self.summary.loss_out = loss_fraction;
                self.steering.receiver_report(Instant::now(), loss_fraction, self.rtt);
            }
            PeerEvent::TransportFeedback(feedback) => self.steering.feedback(Instant::now(), &feedback),
            PeerEvent::KeyframeRequest => self.keyframes.request(),
            PeerEvent::Message(message) => {
                if let Some(control) = Control::read(&message) {
                    self.peer_says(control);
                }
            }
            PeerEvent::ChannelOpen => self.tell_controls(),
            PeerEvent::FilesOpen => {
                if let Some(link) = self.peer.take_files() {
                    self.reports.send(Report::Files(link));
                }
            }
            PeerEvent::Repeated { bytes } => self.steering.charge(bytes),
            PeerEvent::GatheringDone => {}
        }
    }

    async fn peer_state(&mut self, state: PeerState) {
        tracing::info!(?state, "peer connection");
        match state {
            PeerState::Connected => {
                self.connected = true;
                self.sound.connect(self.peer.clone());
                self.video_out.keyframe.store(true, Relaxed);
                self.make_plan(Instant::now());
            }
            PeerState::Disconnected => self.negotiation.restart(&self.reports).await,
            PeerState::Failed => match self.peer.failure() {
                Some(FailureReason::WrongCertificate) => {
                    self.reports.send(Report::Failed { forged: true });
                }
                Some(FailureReason::HandshakeTimeout | FailureReason::TransportEnded) => {
                    self.reports.send(Report::Failed { forged: false });
                }
                Some(FailureReason::Unreachable) | None => self.negotiation.restart(&self.reports).await,
            },
            PeerState::Connecting | PeerState::Closed => {}
        }
    }

    /// Moves on what can move on: candidates, whole pictures, requests for what is missing, packets whose turn has come.
    fn pump(&mut self) {
        let now = Instant::now();
        self.negotiation.flush(&self.reports);
        let missing = self.nack.poll(now, self.rtt);
        if !missing.is_empty() {
            self.asked(self.peer.send_nack(&missing));
        }
        for seq in self.nack.take_given_up() {
            self.assembler.abandon(seq);
        }
        if self.video_in.shared.keyframe_needed.swap(false, Relaxed) {
            self.assembler.require_keyframe();
        }
        while let Some(unit) = self.assembler.next_frame() {
            if !self.video_in.push(unit) {
                self.assembler.require_keyframe();
            }
        }
        if let Some(from) = self.assembler.needed_from() {
            self.nack.forget_before(from);
        }
        if self.assembler.poll_keyframe(now, self.rtt) {
            self.asked(self.peer.send_pli());
        }
        if self.keyframes.take(now) {
            self.video_out.keyframe.store(true, Relaxed);
        }
        self.steering.charge(self.sound.unpaced.swap(0, Relaxed));
        while let Some(packet) = self.steering.next_packet(now) {
            let size = packet.payload.len();
            if self.connected && self.peer.send_rtp(MediaKind::Video, packet).is_ok() {
                Meter::add(&self.meter.video_out, size);
            }
        }
        self.video_out.queue_ms.store(self.steering.queue_ms(), Relaxed);
    }

    fn queue_packet(&mut self, packet: OutgoingRtp) {
        if !self.steering.enqueue(packet) {
            self.video_out.keyframe.store(true, Relaxed);
        }
    }

    /// A request that could not be sent is made again by the policy that made it.
    fn asked(&self, sent: Result<(), PeerError>) {
        if let Err(error) = sent {
            tracing::debug!(%error, "a request for packets was not sent");
        }
    }

    fn next_wake(&self) -> Instant {
        let idle = Instant::now() + Duration::from_secs(1);
        [self.nack.poll_timeout(self.rtt), self.assembler.poll_timeout(self.rtt), self.steering.next_send()]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }

    fn peer_says(&mut self, control: Control) {
        // Told with the next beat: who says it over and over fills no queue.
        self.peer_controls = Some(control);
        let Control::State { camera_on, picture_paused, .. } = control;
        let now = Instant::now();
        self.viewing.says(now, camera_on, picture_paused);
        self.viewing.look(now, &mut self.video_in.shared.freezes());
    }

    async fn control(&mut self) {
        let now = Instant::now();
        if let Some(Control::State { muted, camera_on, picture_paused }) = self.peer_controls.take() {
            self.reports.send(Report::PeerControls { muted, camera_on, picture_paused });
        }
        self.viewing.look(now, &mut self.video_in.shared.freezes());
        let silence = self.heard.silence();
        if self.flowing && silence.is_some_and(|silence| silence > LOST_AFTER) {
            self.flowing = false;
            self.steering.path_lost(now);
            self.reports.send(Report::Flowing(false));
            self.negotiation.restart(&self.reports).await;
        } else if !self.flowing && silence.is_some() {
            self.negotiation.restart(&self.reports).await;
        }
        if self.negotiation.began() && !self.connected && self.connecting.takes_too_long(now) {
            self.reports.send(Report::Failed { forged: false });
        }
        self.make_plan(now);
        self.keep_in_sync(now);
    }

    /// Holds back whichever of sound and picture is early.
    fn keep_in_sync(&mut self, now: Instant) {
        let mut playout = self.sound.playout();
        if let Some(playing) = playout.playing_timestamp() {
            self.lips.playing(now, playing);
        }
        let shown = self.video_in.shared.take_shown();
        if let Some((timestamp, at)) = shown {
            self.lips.shown(at, timestamp);
        }
        playout.set_extra_delay(self.lips.audio_delay());
        drop(playout);
        self.video_in.shared.set_hold(self.lips.video_delay());
    }

    fn make_plan(&mut self, now: Instant) {
        self.steering.update(now);
        self.sound.bitrate_bps.store(self.steering.voice_bps(), Relaxed);
        if self.pause.update(self.connected && self.camera_on, self.steering.has_room_for_video()) {
            self.reports.send(Report::VideoPaused(self.pause.is_on()));
            self.tell_controls();
        }
        let plan = self.steering.plan(!self.connected || !self.camera_on);
        self.plan.send_if_modified(|has| std::mem::replace(has, plan) != plan);
    }

    /// Says what is on, at once and every second: a word lost while the path came up must not leave the other side
    /// with a dark picture.
    fn tell_controls(&self) {
        let Self { muted, camera_on, .. } = *self;
        self.controls.send_replace(Control::State { muted, camera_on, picture_paused: self.pause.is_on() });
    }

    async fn second(&mut self) {
        self.tell_controls();
        let transport = self.peer.stats().await;
        let now = Instant::now();
        self.viewing.look(now, &mut self.video_in.shared.freezes());
        let report = self.summary.second(super::summary::Inputs {
            now,
            transport,
            rtt: self.rtt,
            nack: self.nack.stats(),
            sound_loss: self.sound_loss.take(),
            playout: self.sound.playout().stats(),
            freezes: self.video_in.shared.freezes().stats(),
            picture_due: self.viewing.is_due(now),
            estimate: self.steering.estimate(),
        });
        if self.connected {
            self.reports.send(report);
        }
    }
}
