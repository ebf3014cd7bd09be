//! The keeper against a sound system that does what the test says, in virtual time.

use std::collections::HashMap;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use super::*;
use crate::audio::virtual_device::Null;

#[derive(Default)]
struct Fake {
    list: Vec<DeviceEntry>,
    refuse: HashMap<String, AudioTrouble>,
    beats: HashMap<String, Heartbeat>,
    reports: HashMap<String, Sender<AudioTrouble>>,
    opened: Vec<String>,
}

impl Backend for Fake {
    fn devices(&mut self, _: Side) -> Vec<DeviceEntry> {
        self.list.clone()
    }

    fn open(&mut self, _: Side, id: &str) -> Result<OpenDevice, AudioTrouble> {
        if let Some(trouble) = self.refuse.get(id) {
            return Err(*trouble);
        }
        self.opened.push(id.to_owned());
        let heartbeat = Heartbeat::default();
        let (report, broken) = mpsc::channel();
        self.beats.insert(id.to_owned(), heartbeat.clone());
        self.reports.insert(id.to_owned(), report);
        Ok(OpenDevice { endpoint: Endpoint::Output(Box::new(Null)), heartbeat, broken, guard: Box::new(()) })
    }
}

struct Bench {
    fake: Fake,
    keeper: Keeper,
    now: Instant,
    silent: bool,
}

impl Bench {
    fn new(ids: &[&str]) -> Self {
        let now = Instant::now();
        let mut bench =
            Self { fake: Fake::default(), keeper: Keeper::new(Side::Output, now), now, silent: false };
        bench.plug(ids);
        bench
    }

    /// Makes `ids` the device list, the first being the default.
    fn plug(&mut self, ids: &[&str]) {
        self.fake.list = ids
            .iter()
            .enumerate()
            .map(|(index, id)| DeviceEntry {
                id: (*id).to_owned(),
                name: id.to_uppercase(),
                is_default: index == 0,
            })
            .collect();
    }

    fn choose(&mut self, wanted: Wanted) -> Vec<AudioEvent> {
        let mut events = Vec::new();
        self.keeper.choose(wanted, self.now, &mut self.fake, &mut collect(&mut events));
        events
    }

    /// Lets time pass in steps of 250 ms; devices beat unless told not to.
    fn pass(&mut self, ms: u64) -> Vec<AudioEvent> {
        let mut events = Vec::new();
        for _ in 0..ms / 250 {
            self.now += Duration::from_millis(250);
            if !self.silent {
                self.fake.beats.values().for_each(Heartbeat::beat);
            }
            self.keeper.tick(self.now, &mut self.fake, &mut collect(&mut events));
        }
        events
    }
}

fn collect(events: &mut Vec<AudioEvent>) -> impl FnMut(Action) + '_ {
    |action| {
        if let Action::Tell(event) = action {
            events.push(event);
        }
    }
}

fn using(name: &str) -> AudioEvent {
    AudioEvent::Using { side: Side::Output, name: name.into() }
}

fn trouble(trouble: AudioTrouble, replaced_by: Option<&str>) -> AudioEvent {
    AudioEvent::Trouble { side: Side::Output, trouble, replaced_by: replaced_by.map(Into::into) }
}

fn named(id: &str) -> Wanted {
    Wanted::Native(id.into())
}

#[test]
fn a_pulled_device_is_replaced_and_comes_back_when_replugged() {
    let mut bench = Bench::new(&["built-in", "headset"]);
    assert_eq!(bench.choose(named("headset")), [using("HEADSET")]);
    assert_eq!(bench.pass(3_000), []);
    bench.plug(&["built-in"]);
    assert_eq!(bench.pass(1_000), [using("BUILT-IN"), trouble(AudioTrouble::Unplugged, Some("BUILT-IN"))]);
    assert_eq!(bench.pass(3_000), []);
    bench.plug(&["built-in", "headset"]);
    assert_eq!(bench.pass(1_000), [using("HEADSET")]);
}

#[test]
fn a_device_can_be_chosen_by_its_name() {
    let mut bench = Bench::new(&["built-in", "headset"]);
    assert_eq!(bench.choose(named("HEADSET")), [using("HEADSET")]);
}

#[test]
fn the_default_is_followed_when_it_changes() {
    let mut bench = Bench::new(&["built-in", "headset"]);
    assert_eq!(bench.choose(Wanted::Default), [using("BUILT-IN")]);
    bench.plug(&["headset", "built-in"]);
    assert_eq!(bench.pass(1_000), [using("HEADSET")]);
}

#[test]
fn a_chosen_device_ignores_a_changed_default() {
    let mut bench = Bench::new(&["built-in", "headset"]);
    bench.choose(named("built-in"));
    bench.plug(&["headset", "built-in"]);
    assert_eq!(bench.pass(3_000), []);
}

#[test]
fn no_device_at_all_is_said_once_and_one_that_appears_is_used() {
    let mut bench = Bench::new(&[]);
    assert_eq!(bench.choose(Wanted::Default), [trouble(AudioTrouble::NoneFound, None)]);
    assert_eq!(bench.pass(10_000), []);
    bench.plug(&["headset"]);
    assert_eq!(bench.pass(1_000), [using("HEADSET")]);
    bench.plug(&[]);
    assert_eq!(
        bench.pass(1_000),
        [trouble(AudioTrouble::Unplugged, None), trouble(AudioTrouble::NoneFound, None)]
    );
}

#[test]
fn a_refused_device_says_why_once_and_is_tried_again() {
    for refusal in [AudioTrouble::PermissionDenied, AudioTrouble::InUse] {
        let mut bench = Bench::new(&["built-in", "headset"]);
        bench.fake.refuse.insert("headset".into(), refusal);
        assert_eq!(bench.choose(named("headset")), [using("BUILT-IN"), trouble(refusal, Some("BUILT-IN"))]);
        assert_eq!(bench.pass(20_000), [], "said once");
        bench.fake.refuse.clear();
        assert_eq!(bench.pass(6_000), [using("HEADSET")]);
    }
}

#[test]
fn a_stalled_device_is_reopened_and_the_second_time_replaced() {
    let mut bench = Bench::new(&["built-in", "headset"]);
    bench.choose(named("headset"));
    bench.pass(1_000);
    bench.silent = true;
    assert_eq!(bench.pass(750), [using("HEADSET"), trouble(AudioTrouble::Stalled, Some("HEADSET"))]);
    bench.silent = false;
    bench.pass(1_000);
    bench.silent = true;
    assert_eq!(bench.pass(750), [using("BUILT-IN"), trouble(AudioTrouble::Stalled, Some("BUILT-IN"))]);
}

#[test]
fn a_reported_failure_falls_over_at_once() {
    let mut bench = Bench::new(&["built-in", "headset"]);
    bench.choose(named("headset"));
    bench.pass(250);
    bench.fake.reports["headset"].send(AudioTrouble::Unplugged).expect("listening");
    bench.plug(&["built-in"]);
    assert_eq!(bench.pass(250), [using("BUILT-IN"), trouble(AudioTrouble::Unplugged, Some("BUILT-IN"))]);
}

#[test]
fn a_virtual_device_leaves_the_sound_system_alone() {
    let mut bench = Bench::new(&["built-in"]);
    assert_eq!(bench.choose(Wanted::Null), [using("No speaker")]);
    bench.plug(&[]);
    assert_eq!(bench.pass(5_000), []);
    assert!(bench.fake.opened.is_empty());
}

#[test]
fn a_file_that_cannot_be_written_is_trouble_not_a_stop() {
    let mut bench = Bench::new(&[]);
    let nowhere = std::path::PathBuf::from("/nonexistent/folder/out.wav");
    assert_eq!(bench.choose(Wanted::Record(nowhere)), [trouble(AudioTrouble::Failed, None)]);
}
