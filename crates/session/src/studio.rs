//! Camera, microphone and speaker of this person: opened when a call or a preview needs them, closed when not.
//!
//! The studio decides which device is used and says what is wrong with it; a call only takes pictures and sound from
//! it. Devices are listed by name, and closed, on threads of their own, since both may take the system seconds.

mod choice;
mod slot;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bedside_media::{
    audio::{self, AudioConfig, AudioEngine, AudioEvent, BLOCK, InputId, OutputId, ProcessingConfig},
    camera::{Camera, CameraEvent, CameraId, CaptureFormat, SourceOptions},
    frame::VideoFrame,
};
use bedside_ui_contract::{DeviceKind, DevicesView, Levels, device::DeviceTrouble, snapshot::Settings};
use tokio::sync::{mpsc, watch};

use crate::{engine::Sources, profile::Remembered, tap::MediaTap};
use choice::Inventory;
use slot::Slot;

/// How often devices are listed anew while they are used: what is plugged in appears by itself.
const LIST_EVERY: Duration = Duration::from_secs(3);

/// The call's end of the sound: takes what the microphone gives, gives what the speaker plays.
///
/// Called every 10 ms on the audio thread; must not block.
pub trait AudioPort: Send {
    /// 10 ms of processed microphone, mono 48 kHz.
    fn captured(&mut self, block: &[f32; BLOCK], captured_at: Instant);

    /// Fills 10 ms for the speaker, mono 48 kHz.
    fn render(&mut self, block: &mut [f32; BLOCK]);
}

/// What the studio tells the engine.
#[derive(Debug)]
pub enum StudioEvent {
    /// The lists or the selection changed.
    Changed,
    /// A device is closed: the next one may be opened.
    Closed,
    /// The device that is wanted works: what was wrong is over.
    Works(DeviceKind),
    /// The device that is wanted does not work; another may have taken over.
    Trouble {
        /// Which kind.
        kind: DeviceKind,
        /// What is wrong.
        trouble: DeviceTrouble,
        /// The name of the one that took over.
        replaced_by: Option<String>,
    },
}

type Port = Arc<Mutex<Option<Box<dyn AudioPort>>>>;

/// The devices of one engine.
pub struct Studio {
    sources: Sources,
    inventory: Arc<Mutex<Inventory>>,
    events: mpsc::UnboundedSender<StudioEvent>,
    tap: Option<Arc<dyn MediaTap>>,
    frames: watch::Sender<Option<VideoFrame>>,
    camera: Slot<Camera>,
    audio: Slot<AudioEngine>,
    port: Port,
    processing: ProcessingConfig,
    preview: bool,
    /// In a call, and whether it wants the camera.
    call: Option<bool>,
    /// The speaker is to be tried as soon as it is open.
    chime: bool,
    /// Whether the devices are being listed.
    listing: Arc<AtomicBool>,
    listed_at: Instant,
}

impl Studio {
    /// A studio with nothing open.
    #[must_use]
    pub fn new(
        sources: &Sources,
        remembered: &Remembered,
        events: mpsc::UnboundedSender<StudioEvent>,
        tap: Option<Arc<dyn MediaTap>>,
    ) -> Self {
        let (frames, _) = watch::channel(None);
        Self {
            sources: sources.clone(),
            inventory: Arc::new(Mutex::new(Inventory::new(sources, remembered))),
            events,
            tap,
            frames,
            camera: Slot::default(),
            audio: Slot::default(),
            port: Arc::default(),
            processing: processing(&remembered.settings),
            preview: false,
            call: None,
            chime: false,
            listing: Arc::default(),
            listed_at: Instant::now(),
        }
    }

    /// The newest picture of the camera, or none while it is off.
    #[must_use]
    pub fn self_view(&self) -> watch::Receiver<Option<VideoFrame>> {
        self.frames.subscribe()
    }

    /// What the window shows of the devices.
    #[must_use]
    pub fn view(&self) -> DevicesView {
        self.inventory().view()
    }

    /// Opens camera and microphone to try them, or closes them.
    pub fn set_preview(&mut self, on: bool) {
        self.preview = on;
        self.arrange();
    }

    /// A call begins or changes (with or without camera) or is over.
    pub fn set_call(&mut self, camera: Option<bool>) {
        self.call = camera;
        self.arrange();
    }

    /// Connects a call's sound.
    pub fn attach(&mut self, port: Box<dyn AudioPort>) {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner) = Some(port);
        self.arrange();
    }

    /// Disconnects the call's sound.
    pub fn detach(&mut self) {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Uses another device, live. Returns whether the choice is worth remembering.
    pub fn select(&mut self, kind: DeviceKind, id: &str) -> bool {
        let lasting = self.inventory().select(kind, id);
        match kind {
            DeviceKind::Camera => {
                if self.close_camera() {
                    self.arrange();
                }
            }
            DeviceKind::Microphone => {
                if let Some(audio) = self.audio.get() {
                    audio.set_input(self.input());
                }
            }
            DeviceKind::Speaker => {
                if let Some(audio) = self.audio.get() {
                    audio.set_output(self.output());
                }
            }
        }
        lasting
    }

    /// Applies what the person has set.
    pub fn set_processing(&mut self, settings: &Settings) {
        self.processing = processing(settings);
        if let Some(audio) = self.audio.get() {
            audio.set_processing(self.processing);
        }
    }

    /// Plays a short sound.
    pub fn test_speaker(&mut self) {
        self.chime = true;
        self.open_wanted();
    }

    /// Lists the devices again, on a thread of its own, unless that is being done.
    pub fn refresh(&mut self) {
        self.listed_at = Instant::now();
        let Some(busy) = Busy::begin(&self.listing) else { return };
        let (inventory, events) = (self.inventory.clone(), self.events.clone());
        let machine = self.sources.machine.clone();
        let listing = std::thread::Builder::new().name("device-list".into()).spawn(move || {
            let found = choice::Found::list(&machine);
            inventory.lock().unwrap_or_else(PoisonError::into_inner).found(found);
            drop(busy);
            let _ = events.send(StudioEvent::Changed);
        });
        if let Err(error) = listing {
            tracing::warn!(%error, "devices could not be listed");
        }
    }

    /// Looks after the lists while devices are used; to be called often.
    pub fn tick(&mut self) {
        let used = self.camera.get().is_some() || self.audio.get().is_some();
        if used && self.listed_at.elapsed() >= LIST_EVERY {
            self.refresh();
        }
    }

    /// Lists the devices again and opens the camera anew where one is wanted, at once and not with its next attempt.
    pub fn try_again(&mut self) {
        self.refresh();
        let view = self.view();
        if view.cameras.trouble.is_some() && self.close_camera() {
            self.arrange();
        }
        if let Some(audio) = self.audio.get() {
            if view.microphones.trouble.is_some() {
                audio.set_input(self.input());
            }
            if view.speakers.trouble.is_some() {
                audio.set_output(self.output());
            }
        }
    }

    /// Opens and closes so that what is needed is open, and nothing else.
    fn arrange(&mut self) {
        if !self.wants_camera() {
            self.close_camera();
            // Also where it is on its way to being closed: the next call must not begin with this one's last picture.
            self.frames.send_if_modified(|newest| newest.take().is_some());
        }
        if !self.wants_audio() {
            let events = self.events.clone();
            self.audio.close(move || drop(events.send(StudioEvent::Closed)));
        }
        self.open_wanted();
    }

    /// Opens what is needed, as far as what was open before is closed.
    pub fn open_wanted(&mut self) {
        if self.wants_camera() {
            let open = self.camera_opener();
            self.camera.open(open);
        }
        if self.wants_audio() || self.chime {
            let open = self.audio_opener();
            self.audio.open(open);
        }
        if let Some(audio) = self.audio.get()
            && std::mem::take(&mut self.chime)
        {
            audio.play_test_sound();
        }
    }

    /// Closes everything: the program ends.
    pub fn close(&mut self) {
        (self.preview, self.call, self.chime) = (false, None, false);
        self.arrange();
    }

    /// Once no device is being closed.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let (camera, audio) = (self.camera.closed(), self.audio.closed());
        async move {
            camera.await;
            audio.await;
        }
    }

    fn wants_camera(&self) -> bool {
        self.preview || self.call == Some(true)
    }

    fn wants_audio(&self) -> bool {
        self.preview || self.call.is_some()
    }

    /// Lets go of the camera: from now on no picture of it comes. Whether there was one.
    fn close_camera(&mut self) -> bool {
        if let Some(camera) = self.camera.get() {
            camera.silence();
        }
        let events = self.events.clone();
        self.camera.close(move || drop(events.send(StudioEvent::Closed)))
    }

    fn camera_opener(&self) -> impl FnOnce() -> Camera + use<> {
        let (frames, events, tap) = (self.frames.clone(), self.events.clone(), self.tap.clone());
        let inventory = self.inventory.clone();
        let sink = move |event| match event {
            CameraEvent::Frame(frame) => {
                if let Some(tap) = &tap {
                    tap.captured_frame(&frame);
                }
                frames.send_replace(Some(frame));
            }
            CameraEvent::Using { name } => {
                inventory.lock().unwrap_or_else(PoisonError::into_inner).using(DeviceKind::Camera, name);
                let _ = events.send(StudioEvent::Works(DeviceKind::Camera));
            }
            CameraEvent::Trouble { trouble, replaced_by } => {
                let (kind, trouble) = (DeviceKind::Camera, choice::camera_trouble(trouble));
                let mut inventory = inventory.lock().unwrap_or_else(PoisonError::into_inner);
                inventory.trouble(kind, trouble, replaced_by.clone());
                frames.send_replace(None);
                let _ = events.send(StudioEvent::Trouble { kind, trouble, replaced_by });
            }
        };
        let options = SourceOptions { stamp: self.sources.stamp };
        let (id, machine) = (self.camera_id(), self.sources.machine.clone());
        move || Camera::open(id, &machine, CaptureFormat::default(), options, Box::new(sink))
    }

    fn audio_opener(&self) -> impl FnOnce() -> AudioEngine + use<> {
        let config = AudioConfig { input: self.input(), output: self.output(), processing: self.processing };
        let (captured, rendered) = (self.port.clone(), self.port.clone());
        let (seen, heard) = (self.tap.clone(), self.tap.clone());
        let capture = move |block: &[f32; BLOCK], at| {
            if let Some(tap) = &seen {
                tap.captured_audio(block, at);
            }
            if let Some(port) = captured.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                port.captured(block, at);
            }
        };
        let render = move |block: &mut [f32; BLOCK]| {
            block.fill(0.0);
            if let Some(port) = rendered.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                port.render(block);
            }
            if let Some(tap) = &heard {
                tap.played_audio(block, Instant::now());
            }
        };
        let (events, inventory) = (self.events.clone(), self.inventory.clone());
        let report = move |event: AudioEvent| {
            let mut inventory = inventory.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                AudioEvent::Using { side, name } => {
                    inventory.using(audio_kind(side), name);
                    let _ = events.send(StudioEvent::Works(audio_kind(side)));
                }
                AudioEvent::Trouble { side, trouble, replaced_by } => {
                    let (kind, trouble) = (audio_kind(side), choice::audio_trouble(trouble));
                    inventory.trouble(kind, trouble, replaced_by.clone());
                    let _ = events.send(StudioEvent::Trouble { kind, trouble, replaced_by });
                }
            }
        };
        move || AudioEngine::start(config, Box::new(capture), Box::new(render), Box::new(report))
    }

    /// Current levels, where the audio runs.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.audio.get().map_or_else(Levels::default, |audio| {
            let (microphone, speaker) = audio.levels();
            Levels { microphone, speaker }
        })
    }

    fn camera_id(&self) -> CameraId {
        self.inventory().camera()
    }

    fn input(&self) -> InputId {
        self.inventory().input()
    }

    fn output(&self) -> OutputId {
        self.inventory().output()
    }

    fn inventory(&self) -> std::sync::MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while the devices are being listed, however that ends.
struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Unless they are being listed already.
    fn begin(listing: &Arc<AtomicBool>) -> Option<Self> {
        (!listing.swap(true, Ordering::AcqRel)).then(|| Self(listing.clone()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

const fn audio_kind(side: audio::Side) -> DeviceKind {
    match side {
        audio::Side::Input => DeviceKind::Microphone,
        audio::Side::Output => DeviceKind::Speaker,
    }
}

const fn processing(settings: &Settings) -> ProcessingConfig {
    ProcessingConfig {
        echo_cancellation: settings.echo_cancellation,
        noise_suppression: settings.noise_suppression,
        auto_gain: settings.auto_gain,
        high_pass: settings.high_pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn studio() -> (Studio, mpsc::UnboundedReceiver<StudioEvent>) {
        let sources = Sources {
            cameras: vec![CameraId::Pattern],
            microphones: vec![InputId::Silence],
            speakers: vec![OutputId::Null],
            ..Sources::default()
        };
        let (events, told) = mpsc::unbounded_channel();
        (Studio::new(&sources, &Remembered::default(), events, None), told)
    }

    #[tokio::test]
    async fn a_camera_that_is_wanted_again_at_once_is_opened_when_it_has_been_closed() {
        let (mut studio, mut told) = studio();
        let mut pictures = studio.self_view();
        studio.set_call(Some(true));
        pictures.wait_for(Option::is_some).await.unwrap();
        studio.set_call(Some(false));
        assert!(pictures.borrow_and_update().is_none(), "a picture of a camera that is off");
        studio.set_call(Some(true));
        while !matches!(told.recv().await.unwrap(), StudioEvent::Closed) {}
        assert!(studio.self_view().borrow().is_none(), "two cameras are open");
        studio.open_wanted();
        pictures.wait_for(Option::is_some).await.unwrap();
        studio.close();
        studio.closed().await;
        assert!(pictures.borrow().is_none());
    }

    #[tokio::test]
    async fn no_picture_is_left_of_a_call_that_ends_while_another_camera_is_chosen() {
        let (mut studio, _told) = studio();
        let mut pictures = studio.self_view();
        studio.set_call(Some(true));
        pictures.wait_for(Option::is_some).await.unwrap();
        let other = studio.view().cameras.available[0].id.clone();
        studio.select(DeviceKind::Camera, &other);
        studio.set_call(None);
        assert!(pictures.borrow().is_none(), "the next call begins with it");
        studio.closed().await;
        assert!(pictures.borrow().is_none());
    }

    #[test]
    fn devices_are_listed_again_after_a_listing_that_went_wrong() {
        let listing = Arc::default();
        let busy = Busy::begin(&listing).expect("nobody lists");
        assert!(Busy::begin(&listing).is_none(), "twice at a time");
        let wrong = std::thread::spawn(move || {
            let _busy = busy;
            panic!("the system's list is broken");
        });
        assert!(wrong.join().is_err());
        assert!(Busy::begin(&listing).is_some());
    }
}
