//! Pictures where the page may not open a socket to this machine, as a policy of the system's web view may have it: they
//! come through the app's own channel.

use crate::{
    LOSS,
    driver::Window,
    nobody,
    picture::{Shown, shown},
    sees_picture,
    setting::{Pair, at_the_windows, doctor_and_patient},
};

/// What the app logs when the channel takes over.
const TAKES_OVER: &str = "pictures take the slower way";

/// From now on every socket of the page is refused.
fn refuse_sockets(window: &Window) {
    let refused = nobody().replace("http:", "ws:");
    window.script(&format!(
        "window.WebSocket = class extends WebSocket {{ constructor() {{ super('{refused}'); }} }};"
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_socket_can_be_opened_the_other_person_is_seen_all_the_same() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    at_the_windows(move || {
        let Pair { doctor, patient, .. } = &Pair::open("channel", &server);
        refuse_sockets(doctor);
        doctor.press("Video call with ana of the clinic");
        patient.press("Answer with video");
        for (window, refused) in [(doctor, true), (patient, false)] {
            let first = sees_picture(window, "the other's pattern", Shown::differs_from_pattern);
            window.wait("the picture move on", || {
                shown(window).is_some_and(|now| {
                    now.stamp.counter > first.stamp.counter + 10 && now.differs_from_pattern() < LOSS
                })
            });
            assert_eq!(window.log().contains(TAKES_OVER), refused, "which way the pictures took");
            window.keep("call");
        }
        doctor.press("Hang up");
        patient.sees("Call ended");
    })
    .await;
    clinic.close().await;
}
