//! An engine whose microphone and speaker blocks end up in the test's hands.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use bedside_media::audio::{
    AudioConfig, AudioEngine, AudioEvent, BLOCK, Block, InputId, OutputId, ProcessingConfig,
};

/// Nothing in these tests takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running engine.
pub(crate) struct Bench {
    pub(crate) engine: AudioEngine,
    blocks: Receiver<(Block, Instant)>,
    events: Receiver<AudioEvent>,
}

impl Bench {
    /// Starts with processing off; `render` makes the speaker's samples from their running number.
    pub(crate) fn start(
        input: InputId,
        output: OutputId,
        render: impl Fn(u64) -> f32 + Send + 'static,
    ) -> Self {
        let (send_block, blocks) = mpsc::channel();
        let (send_event, events) = mpsc::channel();
        let mut at = 0u64;
        let engine = AudioEngine::start(
            AudioConfig { input, output, processing: ProcessingConfig::NONE },
            Box::new(move |block, captured_at| {
                let _ = send_block.send((*block, captured_at));
            }),
            Box::new(move |block| {
                for sample in block.iter_mut() {
                    *sample = render(at);
                    at += 1;
                }
            }),
            Box::new(move |event| drop(send_event.send(event))),
        );
        Self { engine, blocks, events }
    }

    /// The next block of the microphone.
    pub(crate) fn block(&self) -> (Block, Instant) {
        self.blocks.recv_timeout(PATIENCE).expect("the engine beats")
    }

    /// The next `count` blocks of the microphone, joined.
    pub(crate) fn listen(&self, count: usize) -> Vec<f32> {
        (0..count).flat_map(|_| self.block().0).collect()
    }

    /// Throws blocks away until one is not silent, and returns it joined with the `count` after it.
    pub(crate) fn listen_from_sound(&self, count: usize) -> Vec<f32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (block, _) = self.block();
            if block.iter().any(|sample| *sample != 0.0) {
                let mut heard = Vec::with_capacity((count + 1) * BLOCK);
                heard.extend_from_slice(&block);
                heard.extend(self.listen(count));
                return heard;
            }
            assert!(Instant::now() < deadline, "the microphone stays silent");
        }
    }

    /// Waits for `wanted`; other events may come before it.
    pub(crate) fn event(&self, wanted: impl Fn(&AudioEvent) -> bool) -> AudioEvent {
        let mut others = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) if wanted(&event) => return event,
                Ok(event) => others.push(event),
                Err(_) => panic!("the event never came; these did: {others:?}"),
            }
        }
    }

    /// Waits until the engine uses a device whose name contains `name`.
    pub(crate) fn using(&self, name: &str) {
        self.event(|event| matches!(event, AudioEvent::Using { name: used, .. } if used.contains(name)));
    }
}
