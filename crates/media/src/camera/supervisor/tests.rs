use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};

use super::super::source::CameraSource;
use super::*;
use crate::frame::I420;

/// For cameras that go silent.
const HURRIED: Patience = Patience {
    first_frame: Duration::from_millis(60),
    frame: Duration::from_millis(60),
    retry: Duration::from_millis(5),
    farewell: Duration::from_millis(50),
};
/// For cameras that do not: a busy machine must not look like a silent camera.
const PATIENT: Patience = Patience { first_frame: FOREVER, frame: FOREVER, ..HURRIED };
/// Far beyond anything that should happen; reached only when the test fails.
const FOREVER: Duration = Duration::from_secs(30);

/// A device whose script says, per opening, how many pictures it gives and how that ends.
struct Fake {
    openings: AtomicU32,
    script: Vec<(u32, Then)>,
    release: Arc<Stop>,
    returned: Arc<AtomicBool>,
}

#[derive(Clone, Copy)]
enum Then {
    Fail(CameraTrouble),
    Block,
    Panic,
    GoOn,
}

struct FakeSource {
    left: u32,
    then: Then,
    release: Arc<Stop>,
    returned: Arc<AtomicBool>,
}

impl CameraSystem for Fake {
    fn list(&self) -> Vec<String> {
        vec!["Fake".to_owned()]
    }

    fn open(&self, _name: &str, _wish: CaptureFormat) -> Result<Box<dyn CameraSource>, CameraTrouble> {
        let opening = self.openings.fetch_add(1, Ordering::SeqCst) as usize;
        let (left, then) = self.script[opening.min(self.script.len() - 1)];
        if left == 0
            && let Then::Fail(trouble) = then
        {
            return Err(trouble);
        }
        let (release, returned) = (Arc::clone(&self.release), Arc::clone(&self.returned));
        Ok(Box::new(FakeSource { left, then, release, returned }))
    }
}

impl CameraSource for FakeSource {
    fn next_frame(&mut self, _stop: &Stop) -> Result<Option<Capture>, CameraTrouble> {
        if self.left == 0 {
            match self.then {
                Then::Fail(trouble) => return Err(trouble),
                Then::Panic => panic!("as a driver binding may (this message is part of the test)"),
                Then::Block => {
                    // A driver knows nothing of our wish to stop.
                    self.release.wait_until(Instant::now() + FOREVER);
                    self.returned.store(true, Ordering::SeqCst);
                }
                Then::GoOn => {}
            }
        }
        self.left = self.left.saturating_sub(1);
        Ok(Some(Capture { image: I420::new(320, 180), captured_at: Instant::now() }))
    }
}

fn wanted(system: impl CameraSystem + 'static, chosen: Option<&str>) -> Wanted {
    Wanted { system: Arc::new(system), chosen: chosen.map(str::to_owned), format: CaptureFormat::default() }
}

struct Bench {
    supervisor: Supervisor,
    events: Receiver<CameraEvent>,
    release: Arc<Stop>,
    returned: Arc<AtomicBool>,
}

fn bench(patience: Patience, script: &[(u32, Then)]) -> Bench {
    let (release, returned) = (Arc::new(Stop::default()), Arc::new(AtomicBool::new(false)));
    let fake = Fake {
        openings: AtomicU32::new(0),
        script: script.to_vec(),
        release: Arc::clone(&release),
        returned: Arc::clone(&returned),
    };
    // A bounded channel that drops, as a latest-wins consumer does.
    let (sender, events) = mpsc::sync_channel(64);
    let sink = Box::new(move |event| _ = sender.try_send(event));
    let supervisor = Supervisor::start(wanted(fake, None), true, patience, sink);
    Bench { supervisor, events, release, returned }
}

impl Bench {
    fn next_trouble(&self) -> CameraTrouble {
        loop {
            match self.events.recv_timeout(FOREVER).expect("no trouble was reported") {
                CameraEvent::Trouble { trouble, .. } => return trouble,
                CameraEvent::Frame(_) | CameraEvent::Using { .. } => {}
            }
        }
    }

    fn next_frame(&self) -> VideoFrame {
        loop {
            match self.events.recv_timeout(FOREVER).expect("no picture came") {
                CameraEvent::Frame(frame) => return frame,
                CameraEvent::Trouble { .. } | CameraEvent::Using { .. } => {}
            }
        }
    }
}

#[test]
fn a_camera_that_blocks_for_ever_is_reported_and_left_behind() {
    let mut bench = bench(HURRIED, &[(3, Then::Block), (1, Then::GoOn)]);
    assert_eq!(bench.next_trouble(), CameraTrouble::Stalled);
    assert!(!bench.returned.load(Ordering::SeqCst), "the driver call is still stuck");
    bench.supervisor.stop();
    assert!(!bench.returned.load(Ordering::SeqCst), "stopping waited for a call that never returns");
    bench.release.set();
}

#[test]
fn a_camera_that_blocked_is_opened_anew_once_it_lets_go() {
    let bench = bench(HURRIED, &[(2, Then::Block), (1, Then::GoOn)]);
    assert_eq!(bench.next_trouble(), CameraTrouble::Stalled);
    bench.release.set();
    bench.next_frame();
    assert!(bench.returned.load(Ordering::SeqCst));
}

#[test]
fn a_camera_that_never_gives_a_picture_is_stalled() {
    let bench = bench(HURRIED, &[(0, Then::Block)]);
    assert_eq!(bench.next_trouble(), CameraTrouble::Stalled);
    bench.release.set();
}

#[test]
fn unplugged_then_back() {
    use CameraTrouble::Unplugged;
    let script =
        [(4, Then::Fail(Unplugged)), (0, Then::Fail(Unplugged)), (0, Then::Fail(Unplugged)), (1, Then::GoOn)];
    let mut bench = bench(PATIENT, &script);
    bench.next_frame();
    assert_eq!(bench.next_trouble(), Unplugged);
    // Tried three more times, told once.
    let event = bench.events.recv_timeout(FOREVER).expect("the camera came back");
    assert!(matches!(event, CameraEvent::Using { .. }), "the same trouble was told twice");
    bench.supervisor.stop();
}

#[test]
fn a_change_of_trouble_is_told() {
    use CameraTrouble::{InUse, PermissionDenied};
    let bench = bench(PATIENT, &[(0, Then::Fail(PermissionDenied)), (0, Then::Fail(InUse)), (1, Then::GoOn)]);
    assert_eq!(bench.next_trouble(), PermissionDenied);
    assert_eq!(bench.next_trouble(), InUse);
    bench.next_frame();
}

#[test]
fn a_driver_that_panics_is_a_failed_camera_not_a_dead_program() {
    let bench = bench(PATIENT, &[(1, Then::Panic), (1, Then::GoOn)]);
    assert_eq!(bench.next_trouble(), CameraTrouble::Failed);
    bench.next_frame();
}

#[test]
fn pictures_are_stamped_and_counted() {
    let bench = bench(PATIENT, &[(1, Then::GoOn)]);
    let before = stamp::now_us();
    let stamps: Vec<Stamp> =
        (0..3).map(|_| stamp::read(&bench.next_frame().image).expect("a stamp")).collect();
    assert_eq!(stamps.iter().map(|s| s.counter).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(stamps.iter().all(|s| s.time_us.abs_diff(before) < 60_000_000));
}

#[test]
fn no_event_comes_after_stopping() {
    let mut bench = bench(PATIENT, &[(1, Then::GoOn)]);
    bench.next_frame();
    bench.supervisor.stop();
    while bench.events.try_recv().is_ok() {}
    assert!(
        matches!(bench.events.try_recv(), Err(mpsc::TryRecvError::Disconnected)),
        "the sink is still held"
    );
}

/// Cameras by name, all of which work while they are plugged in.
#[derive(Clone)]
struct Desk(Arc<Mutex<Vec<String>>>);

impl Desk {
    fn with(names: &[&str]) -> Self {
        Self(Arc::new(Mutex::new(names.iter().map(|name| (*name).to_owned()).collect())))
    }

    fn plug(&self, names: &[&str]) {
        *lock(&self.0) = names.iter().map(|name| (*name).to_owned()).collect();
    }
}

impl CameraSystem for Desk {
    fn list(&self) -> Vec<String> {
        lock(&self.0).clone()
    }

    fn open(&self, name: &str, _wish: CaptureFormat) -> Result<Box<dyn CameraSource>, CameraTrouble> {
        Ok(Box::new(Plugged { desk: self.clone(), name: name.to_owned() }))
    }
}

struct Plugged {
    desk: Desk,
    name: String,
}

impl CameraSource for Plugged {
    fn next_frame(&mut self, stop: &Stop) -> Result<Option<Capture>, CameraTrouble> {
        stop.wait_until(Instant::now() + Duration::from_millis(1));
        let there = self.desk.list().contains(&self.name);
        let capture = Capture { image: I420::new(64, 32), captured_at: Instant::now() };
        if there { Ok(Some(capture)) } else { Err(CameraTrouble::Unplugged) }
    }
}

/// What is said of the cameras, without the pictures.
fn words(desk: &Desk, chosen: Option<&str>) -> (Supervisor, Receiver<String>) {
    let (sender, said) = mpsc::channel();
    let sink = Box::new(move |event| {
        let word = match event {
            CameraEvent::Frame(_) => return,
            CameraEvent::Using { name } => format!("using {name}"),
            CameraEvent::Trouble { trouble, replaced_by } => format!("{trouble:?}, now {replaced_by:?}"),
        };
        // The test may be over.
        let _ = sender.send(word);
    });
    (Supervisor::start(wanted(desk.clone(), chosen), false, PATIENT, sink), said)
}

#[test]
fn a_pulled_camera_falls_over_to_the_next_and_the_chosen_one_comes_back() {
    let desk = Desk::with(&["Lid", "Dock"]);
    let (mut supervisor, said) = words(&desk, Some("Dock"));
    let next = || said.recv_timeout(FOREVER).expect("a word");
    assert_eq!(next(), "using Dock");
    desk.plug(&["Lid"]);
    assert_eq!(next(), "Unplugged, now None");
    assert_eq!(next(), "Unplugged, now Some(\"Lid\")");
    desk.plug(&["Lid", "Dock"]);
    assert_eq!(next(), "using Dock");
    supervisor.stop();
}

#[test]
fn the_camera_of_yesterday_is_not_waited_for_while_there_is_another() {
    let desk = Desk::with(&["Lid"]);
    let (mut supervisor, said) = words(&desk, Some("Dock"));
    let next = || said.recv_timeout(FOREVER).expect("a word");
    assert_eq!(next(), "Unplugged, now Some(\"Lid\")");
    desk.plug(&["Lid", "Dock"]);
    assert_eq!(next(), "using Dock");
    supervisor.stop();
}

#[test]
fn a_camera_that_is_plugged_in_later_is_used_where_none_was_chosen() {
    let desk = Desk::with(&[]);
    let (mut supervisor, said) = words(&desk, None);
    let next = || said.recv_timeout(FOREVER).expect("a word");
    assert_eq!(next(), "NoneFound, now None");
    desk.plug(&["Lid"]);
    assert_eq!(next(), "using Lid");
    supervisor.stop();
}
