//! What a call is and how it proceeds: the same code in the client's engine and in the server.
//!
//! | module | run by | answers |
//! | --- | --- | --- |
//! | [`machine`] | client and server | where does one call stand, what may follow, when does it time out |
//! | [`exchange`] | server | who is in which call, whose devices ring, who may signal to whom |
//! | [`reconnect`] | client | when is the lost socket tried again |
//! | [`rings`] | client | does this device ring, or has it rung too often |
//! | [`rate`] | client and server | how often may one side make the other do something |
//!
//! The contract is the same everywhere: one input with the time it happened, then the outputs are drained, then
//! the next deadline is asked for. Nothing here reads a clock, waits, draws a random number or performs I/O; time
//! is a [`Timestamp`](bedside_protocol::Timestamp) or a duration that the owner passes in, so that a server can
//! store it and a test can run an hour in a microsecond.

pub mod exchange;
pub mod limits;
pub mod machine;
pub mod rate;
pub mod reconnect;
pub mod rings;

pub use exchange::{Act, Actor, Exchange, ExchangeError};
pub use limits::CallLimits;
pub use machine::{Call, IllegalTransition, Input, Output, Refused};
pub use reconnect::{NextTry, Reconnect};
pub use rings::Rings;
