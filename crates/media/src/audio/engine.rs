//! The engine: one thread with a 10 ms beat between a microphone, a speaker
//! and whoever uses them.
//!
//! Each beat pulls a block from the microphone, asks for a block for the
//! speaker, shows both to the processor and hands them on. The thread never
//! opens a device and never waits for anything but its next beat.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::device::{AudioInput, AudioOutput, Endpoint};
use super::level::Meter;
use super::manager::{Manager, Request};
use super::process::{ProcessingConfig, Processor};
use super::ticker::Ticker;
use super::tone::Chime;
use super::virtual_device::{Null, Silence};
use super::{AudioConfig, AudioEvent, BLOCK, InputId, OutputId};

/// Samples over which a new microphone fades in: 5 ms.
const FADE_IN: usize = BLOCK / 2;

/// Takes 10 ms of processed microphone, and the time its first sample was captured.
pub type CaptureSink = Box<dyn FnMut(&[f32; BLOCK], Instant) + Send>;
/// Fills the next 10 ms for the speaker.
pub type RenderSource = Box<dyn FnMut(&mut [f32; BLOCK]) + Send>;
/// Hears what happens to the devices.
pub type EventSink = Box<dyn FnMut(AudioEvent) + Send>;

/// What the beating thread is told.
pub(super) enum Command {
    Install(Endpoint),
    Process(ProcessingConfig),
    TestSound,
    Stop,
}

#[derive(Default)]
struct Meters {
    microphone: Meter,
    speaker: Meter,
}

/// A running microphone and speaker. Dropping it stops both and completes files.
pub struct AudioEngine {
    commands: Sender<Command>,
    meters: Arc<Meters>,
    thread: Option<JoinHandle<()>>,
    manager: Option<Manager>,
}

impl AudioEngine {
    /// Starts at once; devices open in the background and trouble comes as an event.
    ///
    /// `capture` and `render` are called every 10 ms on the thread `audio-engine` and must not
    /// block; `events` is called on the thread `audio-devices`.
    pub fn start(config: AudioConfig, capture: CaptureSink, render: RenderSource, events: EventSink) -> Self {
        let (commands, waiting) = mpsc::channel();
        let meters = Arc::new(Meters::default());
        let processing = config.processing;
        let shown = Arc::clone(&meters);
        let thread = thread::Builder::new().name("audio-engine".into()).spawn(move || {
            Beat {
                commands: waiting,
                meters: shown,
                input: Box::new(Silence),
                output: Box::new(Null),
                processor: Processor::new(processing),
                chime: None,
                fade_in: false,
                capture,
                render,
            }
            .run();
        });
        if let Err(error) = &thread {
            tracing::error!(%error, "the audio thread did not start");
        }
        let manager = Manager::start(config.input, config.output, commands.clone(), events);
        Self { commands, meters, thread: thread.ok(), manager: Some(manager) }
    }

    /// Switches the microphone.
    pub fn set_input(&self, input: InputId) {
        self.request(Request::Input(input));
    }

    /// Switches the speaker.
    pub fn set_output(&self, output: OutputId) {
        self.request(Request::Output(output));
    }

    /// Switches parts of the processing on or off.
    pub fn set_processing(&self, processing: ProcessingConfig) {
        let _ = self.commands.send(Command::Process(processing));
    }

    /// How loud microphone (processed) and speaker are, 0..=1.
    pub fn levels(&self) -> (f32, f32) {
        (self.meters.microphone.read(), self.meters.speaker.read())
    }

    /// Plays a chime of 1.25 s through the speaker, mixed with what plays.
    pub fn play_test_sound(&self) {
        let _ = self.commands.send(Command::TestSound);
    }

    fn request(&self, request: Request) {
        if let Some(manager) = &self.manager {
            manager.request(request);
        }
    }
}

impl Drop for AudioEngine {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // A callback that panicked has been reported by the panic hook.
            let _ = thread.join();
        }
        // After the thread, because a file is complete once nobody writes to it any more.
        drop(self.manager.take());
    }
}

/// The thread's own state.
struct Beat {
    commands: Receiver<Command>,
    meters: Arc<Meters>,
    input: Box<dyn AudioInput>,
    output: Box<dyn AudioOutput>,
    processor: Processor,
    chime: Option<Chime>,
    fade_in: bool,
    capture: CaptureSink,
    render: RenderSource,
}

impl Beat {
    fn run(mut self) {
        let mut ticker = Ticker::new(Instant::now());
        loop {
            let wait = ticker.wait(Instant::now());
            if !wait.is_zero() {
                thread::sleep(wait);
            }
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Install(Endpoint::Input(input)) => {
                        self.input = input;
                        self.fade_in = true;
                    }
                    Command::Install(Endpoint::Output(output)) => self.output = output,
                    Command::Process(config) => self.processor.configure(config),
                    Command::TestSound => self.chime = Some(Chime::new()),
                    Command::Stop => return,
                }
            }
            self.beat(ticker.take(Instant::now()));
        }
    }

    fn beat(&mut self, tick: Instant) {
        let mut speaker = [0.0; BLOCK];
        (self.render)(&mut speaker);
        if self.chime.as_mut().is_some_and(|chime| !chime.mix(&mut speaker)) {
            self.chime = None;
        }
        self.meters.speaker.observe(&speaker);
        self.processor.render(&speaker);
        self.output.push(&speaker);

        let mut microphone = [0.0; BLOCK];
        let captured_at = self.input.pull(&mut microphone, tick);
        if std::mem::take(&mut self.fade_in) {
            for (step, sample) in microphone[..FADE_IN].iter_mut().enumerate() {
                *sample *= step as f32 / FADE_IN as f32;
            }
        }
        self.processor.capture(&mut microphone);
        self.meters.microphone.observe(&microphone);
        (self.capture)(&microphone, captured_at);
    }
}
