//! One call's state machine, run by the server as the truth and by each client as its own view of it.
//!
//! ```text
//! initiated ──► ringing ──► accepted ──► connecting ──► connected ◄──► reconnecting
//!     │            │            │             │              │               │
//!     └────────────┴────────────┴─────────────┴──► ended / failed / missed ◄─┘
//! ```
//!
//! The server drives it with [`Call::handle`] alone. A client drives its copy with what its user does (so that
//! hanging up is seen at once) and with [`Call::adopt`] for every record the server sends; the server's word wins,
//! but never takes a call back to a phase it has left. Which phase may follow which is the table in
//! [`CallPhase::can_become`]; this module decides *when*.
//!
//! Two rules settle every race: a deadline that has passed fires before the input that comes after it, and the
//! first end of a call stands. It never reads a clock and never talks to anybody.

use std::collections::VecDeque;

use bedside_protocol::{
    CallPhase, CallType, DeviceId, EndReason, Timestamp,
    call::{CallRecord, Side},
    rest::DeclineReason,
};

use crate::CallLimits;

mod deadline;

/// What can happen to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A device of the callee rings.
    Reached,
    /// No device of the callee can be reached, or they do not want to be disturbed.
    Unreachable,
    /// The callee is in another call.
    Busy,
    /// The callee answers on `device`.
    Accept {
        /// Where.
        device: DeviceId,
        /// With picture or with sound alone. The call is a video call only if both sides want one.
        call_type: CallType,
    },
    /// The callee declines.
    Decline {
        /// Why.
        reason: DeclineReason,
    },
    /// The first offer passed between the devices.
    Negotiating,
    /// A side tells whether packets arrive from its peer.
    Media {
        /// Who tells.
        side: Side,
        /// Whether they arrive.
        flowing: bool,
    },
    /// A side's device connected or lost its socket to the server.
    Socket {
        /// Whose.
        side: Side,
        /// Whether it is there.
        connected: bool,
    },
    /// A side wants sound alone, or picture too.
    SwitchType {
        /// Who.
        by: Side,
        /// What the call becomes.
        call_type: CallType,
    },
    /// A side hangs up, cancels or gives up.
    HangUp {
        /// Who.
        by: Side,
        /// Why.
        reason: EndReason,
    },
    /// The call is ended by the server: `removed`, `server_shutdown`.
    Terminate {
        /// Why.
        reason: EndReason,
    },
}

/// What follows from an input. Drain with [`Call::poll_output`] before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The phase changed; [`Call::record`] is to be stored and told.
    Moved {
        /// From.
        from: CallPhase,
        /// To.
        to: CallPhase,
    },
    /// The call is being kept for a side that is gone. Comes after the move to `reconnecting` and again
    /// whenever one of the values changes.
    Reconnecting {
        /// Who is gone: the side without a socket, else the side that told of the loss.
        lost: Side,
        /// When the call ends unless it recovers.
        until: Timestamp,
    },
    /// Voice became video or the reverse.
    TypeChanged {
        /// Who changed it.
        by: Side,
    },
    /// The longest permitted duration comes near.
    Expiring {
        /// When the call will be ended.
        ends_at: Timestamp,
    },
}

/// An input that the call's phase does not permit. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call that is {from} cannot become {to}")]
pub struct IllegalTransition {
    /// Where the call stands.
    pub from: CallPhase,
    /// Where the input would have taken it.
    pub to: CallPhase,
}

/// What is known of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    absent_since: Option<Timestamp>,
    flow: Flow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Unknown,
    Flowing,
    Lost,
}

impl End {
    const PRESENT: End = End { absent_since: None, flow: Flow::Unknown };

    const fn is_present(&self) -> bool {
        self.absent_since.is_none()
    }
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    record: CallRecord,
    limits: CallLimits,
    /// When the phase was entered, by the owner's clock.
    since: Timestamp,
    /// When media first flowed, by the owner's clock.
    connected_since: Option<Timestamp>,
    caller: End,
    callee: End,
    /// Who told of the loss that began the reconnection.
    reporter: Side,
    /// The last `Reconnecting` output, so that it is repeated only when it changes.
    told: Option<(Side, Timestamp)>,
    warned: bool,
    outputs: VecDeque<Output>,
}

impl Call {
    /// A call in whatever phase `record` says, with both devices there. For a new call on the server, and for a
    /// client that hears of a call. Time-outs count from `now`.
    #[must_use]
    pub fn new(now: Timestamp, record: CallRecord, limits: CallLimits) -> Self {
        let connected_since = record.connected_at.map(|_| now);
        Self {
            record,
            limits,
            since: now,
            connected_since,
            caller: End::PRESENT,
            callee: End::PRESENT,
            reporter: Side::Caller,
            told: None,
            warned: false,
            outputs: VecDeque::new(),
        }
    }

    /// A stored call after a restart of the server. Both devices count as gone until they are back: a connected
    /// call becomes `reconnecting` with the whole grace, a ringing one rings on until its first deadline. One that
    /// should have ended while the server was down is ended with `server_shutdown`.
    #[must_use]
    pub fn restore(now: Timestamp, record: CallRecord, limits: CallLimits) -> Self {
        let ringing_at = record.ringing_at;
        let connected_at = record.connected_at;
        let mut call = Self::new(now, record, limits);
        let gone = End { absent_since: Some(now), flow: Flow::Unknown };
        call.caller = gone;
        call.callee = gone;
        call.connected_since = connected_at;
        if call.phase() == CallPhase::Ringing {
            call.since = ringing_at.unwrap_or(now);
        }
        if connected_at.is_some_and(|at| at.plus_millis(limits.max_duration_ms) <= now) {
            call.finish(now, CallPhase::Ended, EndReason::ServerShutdown);
            call.record.duration_s = call.record.duration_s.min(limits.max_duration_ms / 1000);
        }
        call.review_path(now);
        call.tell_reconnecting();
        call
    }

    /// The call as it is stored and told.
    #[must_use]
    pub const fn record(&self) -> &CallRecord {
        &self.record
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> CallPhase {
        self.record.phase
    }

    /// Which side a device is, among the devices the call is between.
    #[must_use]
    pub fn side_of(&self, device: DeviceId) -> Option<Side> {
        if self.record.caller.device_id == Some(device) {
            Some(Side::Caller)
        } else if self.record.callee.device_id == Some(device) {
            Some(Side::Callee)
        } else {
            None
        }
    }

    /// Tells the call what happened at `now`. Deadlines up to `now` fire first.
    ///
    /// An input that asks for what is already so (hanging up a call that is over, media that flows already) is
    /// fine and changes nothing.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the phase does not permit it.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), IllegalTransition> {
        self.handle_timeout(now);
        match input {
            Input::Reached => self.advance(now, CallPhase::Initiated, CallPhase::Ringing)?,
            Input::Unreachable => {
                self.expect(CallPhase::Initiated, CallPhase::Missed)?;
                self.finish(now, CallPhase::Missed, EndReason::Missed);
            }
            Input::Busy => {
                self.expect(CallPhase::Initiated, CallPhase::Ended)?;
                self.finish(now, CallPhase::Ended, EndReason::Busy);
            }
            Input::Accept { device, call_type } => self.accept(now, device, call_type)?,
            Input::Decline { reason } => self.decline(now, reason)?,
            Input::Negotiating => match self.phase() {
                CallPhase::Connecting | CallPhase::Connected | CallPhase::Reconnecting => {}
                CallPhase::Initiated
                | CallPhase::Ringing
                | CallPhase::Accepted
                | CallPhase::Ended
                | CallPhase::Failed
                | CallPhase::Missed => self.advance(now, CallPhase::Accepted, CallPhase::Connecting)?,
            },
            Input::Media { side, flowing } => self.media(now, side, flowing)?,
            Input::Socket { side, connected } => self.socket(now, side, connected),
            Input::SwitchType { by, call_type } => self.switch_type(by, call_type)?,
            Input::HangUp { by, reason } => self.hang_up(now, by, reason),
            Input::Terminate { reason } => {
                if !self.phase().is_final() {
                    self.finish(now, CallPhase::Ended, reason);
                }
            }
        }
        self.tell_reconnecting();
        Ok(())
    }

    /// What followed from the last input, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes over the server's record. For clients.
    ///
    /// Phases may be skipped (events were missed), `connected` and `reconnecting` may alternate, and the
    /// server's way of ending replaces one's own; but a phase that lies behind is refused, so that a late event
    /// cannot revive a call the user has hung up.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the record lies behind or is about another call; nothing was changed.
    pub fn adopt(&mut self, now: Timestamp, record: CallRecord) -> Result<(), IllegalTransition> {
        let (from, to) = (self.phase(), record.phase);
        if record.call_id != self.record.call_id || rank(to) < rank(from) {
            return Err(IllegalTransition { from, to });
        }
        if record.connected_at.is_some() && self.connected_since.is_none() {
            self.connected_since = Some(now);
        }
        self.record = record;
        if from != to {
            self.since = now;
            self.told = None;
            self.outputs.push_back(Output::Moved { from, to });
        }
        Ok(())
    }

    fn accept(
        &mut self,
        now: Timestamp,
        device: DeviceId,
        wanted: CallType,
    ) -> Result<(), IllegalTransition> {
        if self.phase().is_answered() && self.record.callee.device_id == Some(device) {
            return Ok(());
        }
        self.expect(CallPhase::Ringing, CallPhase::Accepted)?;
        self.record.callee.device_id = Some(device);
        if wanted == CallType::Voice {
            self.record.call_type = CallType::Voice;
        }
        self.callee = End::PRESENT;
        self.enter(now, CallPhase::Accepted);
        Ok(())
    }

    fn decline(&mut self, now: Timestamp, reason: DeclineReason) -> Result<(), IllegalTransition> {
        match self.phase() {
            CallPhase::Initiated | CallPhase::Ringing => {
                let reason = match reason {
                    DeclineReason::Declined => EndReason::CalleeDeclined,
                    DeclineReason::Busy => EndReason::Busy,
                };
                self.finish(now, CallPhase::Ended, reason);
                Ok(())
            }
            // The decliner wants it not to ring; it does not.
            CallPhase::Ended | CallPhase::Failed | CallPhase::Missed => Ok(()),
            from @ (CallPhase::Accepted
            | CallPhase::Connecting
            | CallPhase::Connected
            | CallPhase::Reconnecting) => Err(IllegalTransition { from, to: CallPhase::Ended }),
        }
    }

    fn hang_up(&mut self, now: Timestamp, by: Side, reason: EndReason) {
        let gave_up = matches!(reason, EndReason::ConnectionFailed | EndReason::Timeout);
        match self.phase() {
            CallPhase::Initiated | CallPhase::Ringing => {
                let reason = match by {
                    Side::Caller => reason,
                    Side::Callee => EndReason::CalleeDeclined,
                };
                self.finish(now, CallPhase::Ended, reason);
            }
            CallPhase::Accepted | CallPhase::Connecting if gave_up => {
                self.finish(now, CallPhase::Failed, reason);
            }
            CallPhase::Accepted | CallPhase::Connecting | CallPhase::Connected | CallPhase::Reconnecting => {
                self.finish(now, CallPhase::Ended, reason);
            }
            // Both hung up: the first one's end stands.
            CallPhase::Ended | CallPhase::Failed | CallPhase::Missed => {}
        }
    }

    fn switch_type(&mut self, by: Side, call_type: CallType) -> Result<(), IllegalTransition> {
        if !self.phase().is_answered() {
            return Err(IllegalTransition { from: self.phase(), to: CallPhase::Connected });
        }
        if self.record.call_type != call_type {
            self.record.call_type = call_type;
            self.outputs.push_back(Output::TypeChanged { by });
        }
        Ok(())
    }

    fn media(&mut self, now: Timestamp, side: Side, flowing: bool) -> Result<(), IllegalTransition> {
        if !self.phase().is_answered() {
            let to = if flowing { CallPhase::Connected } else { CallPhase::Reconnecting };
            return Err(IllegalTransition { from: self.phase(), to });
        }
        self.end_mut(side).flow = if flowing { Flow::Flowing } else { Flow::Lost };
        if flowing && self.phase() == CallPhase::Accepted {
            self.enter(now, CallPhase::Connecting);
        }
        if !flowing {
            self.note_reporter(side);
        }
        self.review_path(now);
        Ok(())
    }

    fn socket(&mut self, now: Timestamp, side: Side, connected: bool) {
        let end = self.end_mut(side);
        match (connected, end.is_present()) {
            (true, false) => {
                // What it said before is old; it tells anew.
                *end = End::PRESENT;
            }
            (false, true) => {
                end.absent_since = Some(now);
                self.note_reporter(side);
            }
            (true, true) | (false, false) => return,
        }
        self.review_path(now);
    }

    /// Moves between `connecting`, `connected` and `reconnecting` as the two sides' words demand.
    ///
    /// Media goes straight between the devices, so what counts is the word of the sides that can speak: a side
    /// without a socket neither ends a conversation that the other still hears nor holds up a recovery.
    fn review_path(&mut self, now: Timestamp) {
        let present = [self.caller, self.callee].into_iter().filter(End::is_present);
        let (mut heard, mut all_flow, mut any_lost) = (false, true, false);
        for end in present {
            heard = true;
            all_flow &= end.flow == Flow::Flowing;
            any_lost |= end.flow == Flow::Lost;
        }
        match self.phase() {
            CallPhase::Connecting | CallPhase::Reconnecting if heard && all_flow => {
                self.enter(now, CallPhase::Connected);
            }
            CallPhase::Connected if any_lost || !heard => self.enter(now, CallPhase::Reconnecting),
            CallPhase::Connecting
            | CallPhase::Reconnecting
            | CallPhase::Connected
            | CallPhase::Initiated
            | CallPhase::Ringing
            | CallPhase::Accepted
            | CallPhase::Ended
            | CallPhase::Failed
            | CallPhase::Missed => {}
        }
    }

    fn tell_reconnecting(&mut self) {
        if self.phase() != CallPhase::Reconnecting {
            self.told = None;
            return;
        }
        let lost = match (self.caller.is_present(), self.callee.is_present()) {
            (true, false) => Side::Callee,
            (false, true) => Side::Caller,
            (true, true) | (false, false) => match (self.caller.flow, self.callee.flow) {
                (Flow::Lost, Flow::Unknown | Flow::Flowing) => Side::Caller,
                (Flow::Unknown | Flow::Flowing, Flow::Lost) => Side::Callee,
                (Flow::Lost, Flow::Lost) | (Flow::Unknown | Flow::Flowing, Flow::Unknown | Flow::Flowing) => {
                    self.reporter
                }
            },
        };
        let until = self.reconnect_until();
        if self.told != Some((lost, until)) {
            self.told = Some((lost, until));
            self.outputs.push_back(Output::Reconnecting { lost, until });
        }
    }

    const fn note_reporter(&mut self, side: Side) {
        if !matches!(self.record.phase, CallPhase::Reconnecting) {
            self.reporter = side;
        }
    }

    const fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }

    fn expect(&self, from: CallPhase, to: CallPhase) -> Result<(), IllegalTransition> {
        if self.phase() == from { Ok(()) } else { Err(IllegalTransition { from: self.phase(), to }) }
    }

    fn advance(&mut self, now: Timestamp, from: CallPhase, to: CallPhase) -> Result<(), IllegalTransition> {
        self.expect(from, to)?;
        self.enter(now, to);
        Ok(())
    }

    fn finish(&mut self, at: Timestamp, to: CallPhase, reason: EndReason) {
        self.record.end_reason = Some(reason);
        self.enter(at, to);
    }

    /// The one place where the phase changes.
    fn enter(&mut self, at: Timestamp, to: CallPhase) {
        let from = self.phase();
        debug_assert!(from.can_become(to), "{from} → {to}");
        self.record.phase = to;
        self.since = at;
        match to {
            CallPhase::Ringing => self.record.ringing_at = Some(at),
            CallPhase::Accepted => self.record.accepted_at = Some(at),
            CallPhase::Connected => {
                self.record.connected_at.get_or_insert(at);
                self.connected_since.get_or_insert(at);
            }
            CallPhase::Ended | CallPhase::Failed | CallPhase::Missed => {
                self.record.ended_at = Some(at);
                self.record.duration_s =
                    self.connected_since.map_or(0, |since| at.millis_since(since) / 1000);
            }
            CallPhase::Initiated | CallPhase::Connecting | CallPhase::Reconnecting => {}
        }
        self.outputs.push_back(Output::Moved { from, to });
    }
}

/// How far along a phase is. `connected` and `reconnecting` are level, and so are the final phases.
const fn rank(phase: CallPhase) -> u8 {
    match phase {
        CallPhase::Initiated => 0,
        CallPhase::Ringing => 1,
        CallPhase::Accepted => 2,
        CallPhase::Connecting => 3,
        CallPhase::Connected | CallPhase::Reconnecting => 4,
        CallPhase::Ended | CallPhase::Failed | CallPhase::Missed => 5,
    }
}
