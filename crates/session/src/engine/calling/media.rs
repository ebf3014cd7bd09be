//! The call's media: started with the ticket, fed with the other side's signals, measured, let go.

use bedside_e2ee::PublicIdentity;
use bedside_protocol::{CallId, EndReason, quality::QualityMetrics, rest::CallTicket, socket::Request};
use bedside_ui_contract::{Notice, StatsSample, call::Direction};

use super::{LiveCall, MOST_EARLY};
use crate::{
    api::{Api, ApiError},
    chat::Input,
    consultation::{Consultation, ConsultationConfig, ConsultationEvent, FrameKeys, Report},
    engine::{actor::Actor, feeds::Outcome},
    peer::NetworkOptions,
    signal::SignalBody,
};

impl Actor {
    pub(super) fn start_media(&mut self, ticket: CallTicket) {
        let network = self.network_for_call();
        self.tell_chat(Input::Entered { call: ticket.call_id, room_token: ticket.room_token });
        let Some(call) = &mut self.call else { return };
        if call.consultation.is_some() {
            return;
        }
        let config = ConsultationConfig {
            call_id: ticket.call_id,
            side: call.side(),
            ice_servers: ticket.ice_servers,
            network,
            muted: call.muted,
            camera_on: call.camera_on,
            camera: self.studio.self_view(),
            remote: self.outlets.remote.clone(),
            tap: self.tap.clone(),
            seal_frames: self.profile.get().settings.seal_frames,
            runtime: self.calls.clone(),
        };
        let (consultation, audio) = Consultation::start(config, self.media_events.clone());
        self.studio.attach(audio);
        if let Some(keys) = &call.frame_keys {
            consultation.frame_keys(keys.clone());
        }
        for body in call.early.drain(..) {
            consultation.signal(body);
        }
        if call.direction == Direction::Outgoing && call.phase().is_answered() {
            consultation.offer();
        }
        call.consultation = Some(consultation);
    }

    /// A server on this very machine means that the other side may be here too: loopback takes part then.
    fn network_for_call(&self) -> NetworkOptions {
        let mut network = self.network.clone();
        if self.api.as_ref().is_some_and(Api::is_loopback) {
            network.bind.extend(NetworkOptions::loopback().bind);
        }
        network
    }

    pub(super) fn release_media(&mut self) {
        if let Some(call) = &mut self.call {
            call.consultation = None;
            (call.video_paused, call.peer_video_paused) = (false, false);
        }
        self.studio.detach();
        self.studio.set_call(None);
        self.send_measured();
    }

    /// Hands in what was measured, as far as it is time for it.
    pub(in crate::engine) fn send_measured(&mut self) {
        let going_on = self.call.as_ref().filter(|call| call.consultation.is_some()).and_then(LiveCall::id);
        let Some(api) = self.api.clone() else { return };
        if let Some((call, batch)) = self.measured.take(going_on) {
            self.feeds.spawn(async move { Outcome::Measured(api.post_quality(call, &batch).await) });
        }
    }

    pub(in crate::engine) fn measured_sent(&mut self, answer: &Result<(), ApiError>) {
        self.measured.sent(answer);
        match answer {
            // There may be more of an earlier call.
            Ok(()) => self.send_measured(),
            Err(error) => tracing::debug!(%error, "quality metrics were not taken"),
        }
    }

    /// The other side says something. That it is a device of theirs is proven; the first that speaks stays the one.
    pub(in crate::engine) fn signal_arrived(
        &mut self,
        call_id: CallId,
        from: &PublicIdentity,
        signal: SignalBody,
    ) {
        let Some(call) = self.call.as_mut().filter(|call| call.is(call_id)) else { return };
        if from.user != call.peer_id || *call.peer_device.get_or_insert(*from) != *from {
            return tracing::warn!("a signal came from somebody who is not in this call");
        }
        match &call.consultation {
            Some(consultation) => consultation.signal(signal),
            None if call.early.len() < MOST_EARLY => call.early.push(signal),
            None => tracing::warn!("too many signals before the call was answered"),
        }
    }

    /// The conversation's group has keys for this call's frames.
    pub(in crate::engine) fn frame_keys(&mut self, call_id: CallId, keys: FrameKeys) {
        let Some(call) = self.call.as_mut().filter(|call| call.is(call_id)) else { return };
        if let Some(consultation) = &call.consultation {
            consultation.frame_keys(keys.clone());
        }
        call.frame_keys = Some(keys);
    }

    pub(in crate::engine) fn media_event(&mut self, event: ConsultationEvent) {
        let Some(call) = self.call.as_mut().filter(|call| call.is(event.call_id)) else { return };
        match event.report {
            Report::Signal(signal) => {
                let (call, peer) = (event.call_id, call.peer_id);
                self.tell_chat(Input::Signal { call, peer, signal });
            }
            Report::Flowing(flowing) => {
                call.flowing = flowing;
                if flowing {
                    call.reconnect_until = None;
                }
                self.tell(Request::CallMedia { call_id: event.call_id, flowing });
            }
            Report::PeerControls { muted, camera_on, picture_paused } => {
                call.peer_muted = muted;
                call.peer_video_paused = camera_on && picture_paused;
                let had = call.has_picture();
                call.peer_camera_on = camera_on;
                self.follow_pictures(had);
            }
            Report::Files(link) => self.tell_chat(Input::Files { call: event.call_id, link }),
            Report::VideoPaused(paused) => call.video_paused = paused,
            Report::Second { sample, metrics } => self.second_measured(event.call_id, *sample, *metrics),
            Report::Failed { forged } => {
                call.not_authentic = forged;
                if forged {
                    let (name, peer) = (call.peer_name.reveal().clone(), call.peer_id);
                    let conversation = self.chat.as_ref().and_then(|chat| chat.direct(peer));
                    let conversation_id = conversation.map(|conversation| conversation.id);
                    self.notify(Notice::NotAuthentic { name, conversation_id });
                }
                self.end_call(EndReason::ConnectionFailed);
            }
        }
    }

    fn second_measured(&mut self, call_id: CallId, sample: StatsSample, metrics: QualityMetrics) {
        let Some(call) = &mut self.call else { return };
        call.quality.note(sample.audio_quality, sample.video_quality);
        // Nobody may be looking; that is no fault.
        let _ = self.outlets.stats.send(sample);
        self.measured.note(call_id, metrics);
        self.send_measured();
    }
}
