//! A call that comes while the person looks elsewhere: a small window over the others, and a notification. Both go when it
//! rings no more.

use bedside_protocol::{CallPhase, CallType};
use bedside_testkit::clinic::{PASSWORD, Seat};
use bedside_ui_contract::Command;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{
    bus::{Notification, SessionBus},
    display::{Display, XWindow, wait},
    driver::Window,
    file_manager::FileManager,
    setting::{MEDIA, at_the_windows, doctor_and_patient, people, sign_in},
};

/// The title of the main window, and of the small one.
const MAIN: &str = "Bedside";
const CALLING: &str = "osei of the clinic is calling";
/// What the pages say of it.
const DECLINE: &str = "Decline";
const MISSED: &str = "osei of the clinic called.";

/// The doctor's engine, asked from a thread that drives windows.
struct Doctor {
    seat: Seat,
    runtime: Handle,
}

impl Doctor {
    fn until(&mut self, phase: CallPhase) {
        let what = format!("the call {phase:?}");
        self.runtime.block_on(self.seat.until_call(&what, |call| call.phase == phase));
    }

    fn call(&mut self) {
        self.seat.ask(Command::Call { user_id: self.seat.person("ana"), call_type: CallType::Video });
        self.until(CallPhase::Ringing);
    }

    fn cancel(&mut self) {
        self.seat.ask(Command::HangUp);
        self.until(CallPhase::Ended);
    }
}

/// The patient's app, signed in, on a desktop that shows notifications.
fn patient(bus: &SessionBus, display: &Display, folder: &TempDir, server: &str) -> Window {
    let window = Window::open_on(bus, "patient", display, folder.path(), MEDIA);
    window.resize(800, 600);
    sign_in(&window, server, "ana", PASSWORD);
    window.sees("Online");
    window
}

/// The middle of the red button in a window, once it is painted.
fn red(display: &Display, window: &XWindow) -> Option<(i32, i32)> {
    let points = display
        .screen()
        .points(display.place(window)?, |colour| matches!(colour, [170..=255, 0..=80, 0..=80]));
    let middle = |of: fn(&(usize, usize)) -> usize| {
        i32::try_from(points.iter().map(of).sum::<usize>() / points.len()).ok()
    };
    if points.len() < 1000 {
        return None;
    }
    Some((middle(|point| point.0)?, middle(|point| point.1)?))
}

/// Waits for the small window and what is in it, at rest; returns it with the place of its red button.
fn small_window(display: &Display) -> (XWindow, (i32, i32)) {
    let mut before = None;
    wait("the small window and its buttons", || {
        let small = display.window(CALLING)?;
        let now = red(display, &small);
        // A window moves to its place after it has come.
        let rests = now.is_some() && before == now;
        before = now;
        rests.then_some((small, now?))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_rings_in_a_small_window_and_a_notification_while_the_person_looks_elsewhere() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    let mut doctor = Doctor { seat: clinic.seat("osei").await, runtime: Handle::current() };
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let bus = SessionBus::open();
        let display = Display::open();
        let patient = patient(&bus, &display, &folder, &server);
        let main = display.appears(MAIN);

        // In front, the call is on the screen already.
        display.focus(&main);
        patient.is_in_front(true);
        doctor.call();
        patient.sees(DECLINE);
        assert!(display.window(CALLING).is_none(), "a second window over the one that rings");
        patient.press(DECLINE);
        doctor.until(CallPhase::Ended);
        patient.sees_no_more(DECLINE);
        assert_eq!(bus.notifications(), []);

        // The person works with another program from here on.
        let elsewhere = FileManager::open(&display, &[]);
        display.focus(&elsewhere.window);
        patient.is_in_front(false);
        doctor.call();
        small_window(&display);
        bus.until(1);
        assert!(!bus.notifications()[0].withdrawn, "a notification taken back while it rings");
        doctor.cancel();
        display.disappears(CALLING);
        bus.until_withdrawn(1);
        // What is left of a call that nobody answered stands in the app.
        patient.sees(MISSED);

        doctor.call();
        let (_, button) = small_window(&display);
        display.point_at(button);
        display.hold(true);
        display.hold(false);
        doctor.until(CallPhase::Ended);
        display.disappears(CALLING);
        bus.until_withdrawn(2);

        doctor.call();
        let (small, _) = small_window(&display);
        display.focus(&small);
        display.key("Return");
        doctor.until(CallPhase::Connected);
        display.disappears(CALLING);
        bus.until_withdrawn(3);
        patient.sees("Encrypted");
        wait("the main window in front", || display.has_focus(&main).then_some(()));
        doctor.cancel();
        patient.sees("Call ended");

        // Who calls and how; nothing else that whoever passes by could read.
        let said = Notification {
            app: "bedside".to_owned(),
            icon: "bedside".to_owned(),
            title: CALLING.to_owned(),
            body: "Video call".to_owned(),
            withdrawn: true,
            ..Notification::default()
        };
        assert_eq!(
            bus.notifications(),
            [said.clone(), said.clone(), said],
            "one for each call that rang elsewhere, and none left"
        );
        people().check("the app's log", &patient.log());
    })
    .await;
    clinic.close().await;
}

/// Ana has the app open on two computers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_answered_on_another_device_leaves_no_notification_behind() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    let mut doctor = Doctor { seat: clinic.seat("osei").await, runtime: Handle::current() };
    let mut other = clinic.seat("ana").await;
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let bus = SessionBus::open();
        let display = Display::open();
        let patient = patient(&bus, &display, &folder, &server);
        let elsewhere = FileManager::open(&display, &[]);
        display.focus(&elsewhere.window);
        patient.is_in_front(false);
        doctor.call();
        small_window(&display);
        doctor.runtime.block_on(other.until_call("it rings", |call| call.phase == CallPhase::Ringing));
        other.ask(Command::Answer { call_type: CallType::Video });
        bus.until_withdrawn(1);
        display.disappears(CALLING);
        patient.sees("Answered on another device");
        doctor.cancel();
    })
    .await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_and_cancels_at_once_leaves_no_window_behind() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    let mut doctor = Doctor { seat: clinic.seat("osei").await, runtime: Handle::current() };
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let bus = SessionBus::open();
        let display = Display::open();
        let patient = patient(&bus, &display, &folder, &server);
        let elsewhere = FileManager::open(&display, &[]);
        display.focus(&elsewhere.window);
        patient.is_in_front(false);
        for calls in 1..=4 {
            doctor.call();
            // The window is being opened now. One that a call before left behind would keep it away, and the
            // notification with it.
            bus.until(calls);
            doctor.cancel();
        }
        doctor.call();
        bus.until(5);
        small_window(&display);
        doctor.cancel();
        display.disappears(CALLING);
        bus.until_withdrawn(5);
    })
    .await;
    clinic.close().await;
}
