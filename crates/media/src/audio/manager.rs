//! The thread that talks to the sound system, which may take its time, so
//! that the engine's thread never does.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::engine::{Command, EventSink};
use super::keeper::{Action, Keeper, Wanted};
use super::native::Native;
use super::{InputId, OutputId, Side};

/// How often devices are looked after: twice within the watchdog's half second.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A sound system that hangs is left behind after this when the engine stops.
const STOP_LIMIT: Duration = Duration::from_secs(4);

/// What the application asks for.
pub(super) enum Request {
    Input(InputId),
    Output(OutputId),
    Stop,
}

/// The handle to the thread `audio-devices`; stops it when dropped.
pub(super) struct Manager {
    requests: Sender<Request>,
    stopped: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Manager {
    /// Opens both sides, then looks after them.
    pub(super) fn start(
        input: InputId,
        output: OutputId,
        engine: Sender<Command>,
        events: EventSink,
    ) -> Self {
        let (requests, waiting) = mpsc::channel();
        let (stopping, stopped) = mpsc::channel();
        // The thread's first requests: the speaker first, so that ringing is heard soonest.
        let _ = requests.send(Request::Output(output));
        let _ = requests.send(Request::Input(input));
        let thread = thread::Builder::new().name("audio-devices".into()).spawn(move || {
            run(&waiting, &engine, events);
            let _ = stopping.send(());
        });
        if let Err(error) = &thread {
            tracing::error!(%error, "the audio device thread did not start");
        }
        Self { requests, stopped, thread: thread.ok() }
    }

    /// Never blocks.
    pub(super) fn request(&self, request: Request) {
        let _ = self.requests.send(request);
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.request(Request::Stop);
        let answered = self.stopped.recv_timeout(STOP_LIMIT);
        match self.thread.take() {
            Some(thread) if answered != Err(RecvTimeoutError::Timeout) => {
                let _ = thread.join();
            }
            Some(_) => tracing::warn!("the sound system hangs; its thread is left behind"),
            None => {}
        }
    }
}

fn run(requests: &Receiver<Request>, engine: &Sender<Command>, mut events: EventSink) {
    let mut backend = Native::default();
    let now = Instant::now();
    let mut input = Keeper::new(Side::Input, now);
    let mut output = Keeper::new(Side::Output, now);
    let mut act = |action| match action {
        // The engine's thread ends first; then nobody needs the endpoint.
        Action::Install(endpoint) => drop(engine.send(Command::Install(endpoint))),
        Action::Tell(event) => events(event),
    };
    loop {
        let request = requests.recv_timeout(LOOK_EVERY);
        let now = Instant::now();
        match request {
            Ok(Request::Input(id)) => {
                input.choose(Wanted::from(id), now, &mut backend, &mut act);
            }
            Ok(Request::Output(id)) => {
                output.choose(Wanted::from(id), now, &mut backend, &mut act);
            }
            Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                input.tick(now, &mut backend, &mut act);
                output.tick(now, &mut backend, &mut act);
            }
        }
    }
}
