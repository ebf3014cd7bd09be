//! What a call is told, what it answers, and what it refuses.

use bedside_protocol::{
    CallPhase, CallType, DeviceId, EndReason, Timestamp, call::Side, rest::DeclineReason,
};

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
    /// A side puts off the end of the call. That it may is the owner's to know.
    Extend {
        /// Who.
        by: Side,
        /// Which end: [`CallRecord::ends_at`](bedside_protocol::call::CallRecord::ends_at) as that side knows it. One that
        /// has been put off already is fine and changes nothing.
        ends_at: Timestamp,
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

/// What follows from an input. Drain with [`Call::poll_output`](super::Call::poll_output) before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The phase changed; [`Call::record`](super::Call::record) is to be stored and told.
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
    /// The longest permitted duration comes near. Said again to a side that comes back, and before each new end.
    Expiring {
        /// When the call will be ended.
        ends_at: Timestamp,
        /// Where an extension would move the end; `None` when the call may last no longer.
        extends_to: Option<Timestamp>,
    },
    /// The end was put off.
    Extended {
        /// Who did.
        by: Side,
    },
}

/// Why an input is refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The call's phase does not permit it.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The call is as long as it may be: it can't be extended once more.
    #[error("the call can't be extended any further")]
    Longest,
    /// The end that is to be put off is later than the call's.
    #[error("the call does not end then")]
    OtherEnd,
}

/// An input that the call's phase does not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call that is {from} cannot become {to}")]
pub struct IllegalTransition {
    /// Where the call stands.
    pub from: CallPhase,
    /// Where the input would have taken it.
    pub to: CallPhase,
}
