//! Three engines and a server, and everything that can happen to them in an order that nobody chose: what is said is
//! there for all, once, in one order.

use bedside_protocol::Role;
use bedside_testkit::{clinic::Clinic, desk::Desk, dice::Dice, line::Line};
use bedside_ui_contract::{Command, chat::ConversationView, snapshot::ConnectionView};

/// Events of each.
const STEPS: u32 = 12;

/// Somebody's device, its line to the server, and what was written there.
struct Place {
    desk: Option<Desk>,
    line: Line,
    name: &'static str,
    written: Vec<String>,
}

impl Place {
    async fn new(clinic: &Clinic, name: &'static str, login: &str) -> Self {
        let line = Line::to(clinic).await;
        let desk = Desk::at(clinic, &line.url(), login).await;
        Self { desk: Some(desk), line, name, written: Vec::new() }
    }

    fn desk(&mut self) -> &mut Desk {
        self.desk.as_mut().expect("somebody")
    }

    fn write(&mut self) {
        let text = format!("{} {}", self.name, self.written.len());
        self.desk().write(&text);
        self.written.push(text);
    }

    /// The app is closed and opened again, once its writer has seen what they wrote.
    async fn restart(&mut self) {
        let written = self.written.clone();
        let seen = |texts: &[String]| written.iter().all(|text| texts.contains(text));
        self.desk().until_texts("what was written here", seen).await;
        let desk = self.desk.take().expect("somebody").restart().await;
        self.desk = Some(desk);
        self.desk().until("the conversation", |_| true).await;
    }
}

/// Lets a third device of the patient in and, later, puts it out again.
async fn another_device(clinic: &Clinic, ana: &mut Desk, extra: &mut Option<(Desk, String)>) {
    ana.seat.until("online", |now| now.connection == ConnectionView::Online).await;
    let Some((_, device_id)) = extra.take() else {
        let mut desk = Desk::new(clinic, "ana").await;
        desk.open("osei").await;
        ana.seat.ask(Command::LoadInstallations);
        let listed = ana.seat.until("three devices", |now| now.chat.installations.len() == 3).await;
        let newest =
            listed.chat.installations.iter().filter(|one| !one.current).max_by_key(|one| one.created_at);
        *extra = Some((desk, newest.expect("of three").device_id.clone()));
        return;
    };
    ana.seat.ask(Command::RevokeInstallation { device_id: device_id.clone() });
    ana.seat
        .until("it is gone", |now| now.chat.installations.iter().all(|one| one.device_id != device_id))
        .await;
}

/// While the server, or the line of one of them, is away.
async fn meanwhile(dice: &mut Dice, places: &mut [Place]) {
    for _ in 0..dice.roll(4) {
        places[dice.roll(3)].write();
    }
    if dice.roll(2) == 0 {
        places[dice.roll(3)].restart().await;
    }
}

async fn whatever_happens(seed: u64) {
    println!("seed {seed}");
    let mut dice = Dice::of(seed);
    let mut clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let mut places = [
        Place::new(&clinic, "doctor", "osei").await,
        Place::new(&clinic, "telephone", "ana").await,
        Place::new(&clinic, "tablet", "ana").await,
    ];
    for (place, other) in places.iter_mut().zip(["ana", "osei", "osei"]) {
        place.desk().open(other).await;
    }
    places[0]
        .desk()
        .until("three devices", |one| {
            one.members.iter().map(|member| member.devices.len()).sum::<usize>() == 3
        })
        .await;
    let mut extra = None;
    for _ in 0..STEPS {
        match dice.roll(10) {
            0..=3 => places[dice.roll(3)].write(),
            4 => places[dice.roll(3)].restart().await,
            5 => another_device(&clinic, places[1].desk(), &mut extra).await,
            6..=7 => {
                let one = dice.roll(3);
                places[one].line.cut();
                meanwhile(&mut dice, &mut places).await;
                places[one].line.mend();
            }
            _ => {
                let stopped = clinic.stop(dice.roll(2) == 0).await;
                meanwhile(&mut dice, &mut places).await;
                clinic = stopped.start().await;
            }
        }
    }
    for place in &mut places {
        place.write();
    }
    let count: usize = places.iter().map(|place| place.written.len()).sum();
    let [doctor, others @ ..] = &mut places;
    let settled = |one: &ConversationView| one.waiting == 0;
    doctor.desk().until_texts("all that was said", |texts| texts.len() >= count).await;
    doctor.desk().until("nothing waits", settled).await;
    let said = doctor.desk().texts().await;
    for other in others.iter_mut() {
        other.desk().until_texts("all that was said", |texts| texts.len() >= count).await;
        other.desk().until("nothing waits", settled).await;
        assert_eq!(other.desk().texts().await, said, "seed {seed}: {} shows the same", other.name);
    }
    for place in &places {
        let theirs: Vec<_> = said.iter().filter(|text| text.starts_with(place.name)).cloned().collect();
        assert_eq!(theirs, place.written, "seed {seed}: once, in the order of their writing");
    }
    assert_eq!(said.len(), count, "seed {seed}: and nothing else");
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_in_between_all_show_the_same_messages_in_the_same_order_once() {
    whatever_happens(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half a minute: for when something was changed that the order of events may matter to"]
async fn in_other_orders_all_show_the_same_messages_in_the_same_order_once() {
    for seed in 2..=4 {
        whatever_happens(seed).await;
    }
}
