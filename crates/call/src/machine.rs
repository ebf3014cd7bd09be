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

use std::{cmp::Ordering, collections::VecDeque};

use bedside_protocol::{
    CallPhase, CallType, DeviceId, EndReason, Timestamp,
    call::{CallRecord, Side},
    rest::DeclineReason,
};

use crate::CallLimits;

mod deadline;
mod event;
mod path;

pub use event::{IllegalTransition, Input, Output, Refused};
use path::{End, Flow};

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
    /// The end that the sides were warned of last.
    warned_of: Option<Timestamp>,
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
            warned_of: None,
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
        // A version that did not store the end kept to the limits.
        let usual = connected_at.map(|at| at.plus_millis(limits.max_duration_ms));
        call.record.ends_at = call.record.ends_at.or(usual);
        if call.phase() == CallPhase::Ringing {
            call.since = ringing_at.unwrap_or(now);
        }
        if let Some(at) = call.record.ends_at.filter(|at| *at <= now) {
            call.finish(at, CallPhase::Ended, EndReason::ServerShutdown);
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
    /// [`Refused::Illegal`] when the phase does not permit it; the others for [`Input::Extend`] alone.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Refused> {
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
            Input::Extend { by, ends_at } => self.extend(by, ends_at)?,
            Input::HangUp { by, reason } => self.hang_up(now, by, reason),
            Input::Terminate { reason } => {
                if !self.phase().is_final() {
                    self.finish(now, CallPhase::Ended, reason);
                }
            }
        }
        self.tell_reconnecting();
        // A warning may be due at once: to a side that has come back, or of an end that is near although it was put off.
        self.handle_timeout(now);
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

    fn extend(&mut self, by: Side, from: Timestamp) -> Result<(), Refused> {
        let flows = matches!(self.phase(), CallPhase::Connected | CallPhase::Reconnecting);
        let Some(ends_at) = self.record.ends_at.filter(|_| flows) else {
            return Err(IllegalTransition { from: self.phase(), to: CallPhase::Connected }.into());
        };
        match from.cmp(&ends_at) {
            // It was put off before: by this request that comes again, or by the other side.
            Ordering::Less => Ok(()),
            Ordering::Equal => {
                self.record.ends_at = Some(self.extended().ok_or(Refused::Longest)?);
                self.outputs.push_back(Output::Extended { by });
                Ok(())
            }
            Ordering::Greater => Err(Refused::OtherEnd),
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
                let connected_at = *self.record.connected_at.get_or_insert(at);
                self.record.ends_at.get_or_insert(connected_at.plus_millis(self.limits.max_duration_ms));
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
