//! Who may do what in a group, whatever MLS itself would allow.

use bedside_e2ee::{
    PublicIdentity,
    mls::{Act, Authority, Change, Event, MlsError, Refusal},
};
use bedside_protocol::mls::Credential;

use crate::common::{Person, group, together};

/// Of an app that is not ours.
struct AnythingGoes;

impl Authority for AnythingGoes {
    fn permits(&self, _: &Act<'_>) -> bool {
        true
    }
}

#[test]
fn only_another_device_of_the_same_user_puts_a_device_out() {
    let (mut log, [mut ana, mut ben, chi]) = together::<3>();
    // An honest app does not try, and does not follow one that does.
    let refused = ana.device.commit(&group(), &Change::Remove(vec![chi.identity.device]));
    assert_eq!(refused, Err(MlsError::Unauthorised));
    let mut tablet = Person::under(Box::new(AnythingGoes), chi.identity.user);
    let package = tablet.key_package();
    ana.device.commit(&group(), &Change::Add(vec![package])).unwrap();
    ana.flush(&mut log).unwrap();
    let (welcome, position) = log.welcomes.pop().unwrap();
    tablet.device.join(&welcome, position).unwrap();
    tablet.device.commit(&group(), &Change::Remove(vec![chi.identity.device])).unwrap();
    tablet.flush(&mut log).unwrap();
    ben.catch_up(&log).unwrap();
    let Event::Changed { by, left, .. } = ben.last() else { panic!("{:?}", ben.last()) };
    assert_eq!((by, left.as_slice()), (&tablet.identity, &[chi.identity][..]));
    let rude = tablet.device.commit(&group(), &Change::Remove(vec![ana.identity.device])).unwrap();
    let position = ben.device.position(&group()).unwrap();
    let event = ben.device.receive(&group(), position, &rude.entry.0, None).unwrap().unwrap();
    assert_eq!(event, Event::Refused(Refusal::Unauthorised));
}

#[test]
fn what_another_posted_than_made_it_is_refused_and_its_own_is_read() {
    let (mut log, [mut ana, mut ben, chi]) = together::<3>();
    ana.say("hello");
    let message = ana.device.unsent(&group()).unwrap().remove(0);
    ana.flush(&mut log).unwrap();
    let change = ana.device.commit(&group(), &Change::Update).unwrap();
    let poster = |person: &Person| {
        let PublicIdentity { user, device, .. } = person.identity;
        Some(Credential { user, device })
    };
    for entry in [&message.entry.0, &change.entry.0] {
        let position = ben.device.position(&group()).unwrap();
        let event = ben.device.receive(&group(), position, entry, poster(&chi)).unwrap().unwrap();
        assert_eq!(event, Event::Refused(Refusal::PostedByAnother));
        let event = ben.device.receive(&group(), position + 1, entry, poster(&ana)).unwrap().unwrap();
        assert!(matches!(event, Event::Message { .. } | Event::Changed { .. }), "{event:?}");
    }
}
