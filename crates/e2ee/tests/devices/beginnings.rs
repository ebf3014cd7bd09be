//! What is said to somebody who has just come in is missed like anything else, and what was said before is not.

use bedside_e2ee::mls::{Change, Event};

use crate::common::{Log, Person, group, together};

/// Reads the log from an entry on, but for those of which `withheld` says so: how many messages were missing before each
/// that came. The server numbers entries as it likes.
fn missing(person: &mut Person, log: &Log, from: usize, withheld: &[usize]) -> Vec<u64> {
    let mut missing = Vec::new();
    for (at, entry) in log.entries.iter().enumerate().skip(from) {
        if withheld.contains(&at) {
            continue;
        }
        let position = person.device.position(&group()).unwrap();
        let event = person.device.receive(&group(), position, entry, None).unwrap().unwrap();
        if let Event::Message { missing: before, own: false, .. } = event {
            missing.push(before);
        } else {
            assert!(matches!(event, Event::Changed { .. }), "{event:?}");
        }
    }
    missing
}

/// Says something; where in the log it is.
fn say(person: &mut Person, log: &mut Log, text: &str) -> usize {
    person.say(text);
    person.flush(log).unwrap();
    log.entries.len() - 1
}

#[test]
fn whoever_was_invited_misses_the_first_words() {
    let (mut log, [mut ana, mut ben]) = together::<2>();
    let one = say(&mut ana, &mut log, "one");
    let two = say(&mut ana, &mut log, "two");
    say(&mut ana, &mut log, "three");
    assert_eq!(missing(&mut ben, &log, one, &[one, two]), [2]);
}

#[test]
fn of_two_who_were_invited_together_one_misses_the_others_first_words() {
    let (mut log, [_ana, mut ben, mut chi]) = together::<3>();
    let one = say(&mut chi, &mut log, "one");
    say(&mut chi, &mut log, "two");
    assert_eq!(missing(&mut ben, &log, one, &[one]), [1]);
}

#[test]
fn whoever_was_invited_misses_the_first_words_also_after_others_have_come() {
    let (mut log, [mut ana, mut ben]) = together::<2>();
    let mut chi = Person::new();
    let one = say(&mut ana, &mut log, "one");
    ana.device.commit(&group(), &Change::Add(vec![chi.key_package()])).unwrap();
    ana.flush(&mut log).unwrap();
    let (welcome, position) = log.welcomes.pop().unwrap();
    chi.device.join(&welcome, position).unwrap();
    let two = say(&mut ana, &mut log, "two");
    say(&mut ana, &mut log, "three");
    assert_eq!(missing(&mut ben, &log, one, &[one]), [1, 0]);
    assert_eq!(missing(&mut chi, &log, two, &[two]), [1]);
}

#[test]
fn whoever_comes_back_misses_what_is_said_from_then_on_and_nothing_of_before() {
    let (mut log, [mut ana, mut ben]) = together::<2>();
    say(&mut ana, &mut log, "one");
    say(&mut ana, &mut log, "two");
    ben.lose_state();
    let (info, position) = log.info.clone().unwrap();
    log.info = None;
    ben.device.rejoin(&info, position).unwrap();
    let commit = ben.device.unsent(&group()).unwrap().remove(0);
    // Waits while ben comes in, and is sealed for him then.
    ana.say("three");
    log.offer(&commit);
    let from = usize::try_from(position).unwrap();
    assert_eq!(from + 3, log.entries.len(), "two words, and then he comes");
    ana.flush(&mut log).unwrap();
    let three = log.entries.len() - 1;
    let four = say(&mut ana, &mut log, "four");
    let came = three - 1;
    // What was said before is for nobody who was not there.
    assert_eq!(missing(&mut ben, &log, came, &[three]), [1], "{four}");
}
