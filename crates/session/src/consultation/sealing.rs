//! Sealing each frame of sound and picture once more (RFC 9605), where both sides want it: for media that passes through
//! more than a relay. The keys come from the conversation's group, and from a number that each side draws for the call
//! and says in its description: counters begin at 0 in each call, and that the call's id is a new one is the server's word.
//!
//! Once both sides have said that they seal, nothing leaves unsealed and nothing unsealed is played, whatever is
//! missing: a frame without a key is lost like any other.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use bedside_e2ee::sframe::{FrameError, FrameOpener, FrameOrigin, FrameSealer};
use bedside_flow::video::sealed::{CLEAR_BYTES, clear};
use uuid::Uuid;

use super::FrameKeys;

/// The stream numbers of one sender.
const SOUND: u32 = 0;
const PICTURE: u32 = 1;

/// The keys of one call, and whether they are used.
pub(super) struct Sealing {
    /// This side's part in the keys; absent where it does not want frames sealed.
    nonce: Option<Uuid>,
    /// Both sides want it.
    active: AtomicBool,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    sound: Option<FrameSealer>,
    picture: Option<FrameSealer>,
    sound_in: FrameOpener,
    picture_in: FrameOpener,
    /// What both sides have put into the keys, once both have said it. It stays for the call.
    context: Option<[u8; 32]>,
    /// The group's newest secret, until then.
    early: Option<FrameKeys>,
    /// Where the other side's devices are in the group.
    senders: Vec<u32>,
}

impl Keys {
    /// Whether a frame that opened is what it is taken for: the other side's, and of that stream. A frame of one's own
    /// that comes back is neither.
    fn accept(&self, origin: FrameOrigin, stream: u32) -> bool {
        origin.stream == u64::from(stream) && self.senders.contains(&origin.leaf)
    }

    fn enter(&mut self, context: &[u8], new: FrameKeys) {
        // The same epoch again: its counters go on.
        if let Err(error) = self.try_enter(context, new) {
            tracing::debug!(%error, "keys for frames were not taken");
        }
    }

    fn try_enter(&mut self, context: &[u8], new: FrameKeys) -> Result<(), FrameError> {
        let FrameKeys { secret, leaf, senders } = new;
        let secret = secret.bound_to(context)?;
        self.senders = senders;
        self.sound_in.enter(secret.clone())?;
        self.picture_in.enter(secret.clone())?;
        self.sound = Some(FrameSealer::new(&secret, leaf, SOUND)?);
        self.picture = Some(FrameSealer::new(&secret, leaf, PICTURE)?);
        Ok(())
    }
}

impl Sealing {
    pub(super) fn new(wanted: bool) -> Self {
        let nonce = wanted.then(Uuid::new_v4);
        Self { nonce, active: AtomicBool::new(false), keys: Mutex::default() }
    }

    /// What the other side is told: this side's part in the keys, if it wants frames sealed. The same in each
    /// description of the call.
    pub(super) const fn nonce(&self) -> Option<Uuid> {
        self.nonce
    }

    /// The other side has said the same. What it said first holds: keys that come back would count from 0 again.
    pub(super) fn agree(&self, theirs: Option<Uuid>) {
        let (Some(ours), Some(theirs)) = (self.nonce, theirs) else { return };
        let mut keys = self.keys();
        if keys.context.is_none() {
            let mut context = [0; 32];
            context[..16].copy_from_slice(ours.min(theirs).as_bytes());
            context[16..].copy_from_slice(ours.max(theirs).as_bytes());
            keys.context = Some(context);
            if let Some(early) = keys.early.take() {
                keys.enter(&context, early);
            }
            self.active.store(true, Relaxed);
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new epoch of the conversation's group: what leaves from now on is sealed for it.
    pub(super) fn enter(&self, new: FrameKeys) {
        let mut keys = self.keys();
        match keys.context {
            Some(context) => keys.enter(&context, new),
            None => keys.early = Some(new),
        }
    }

    /// Seals a packet of sound. False when it can't be: then it is not sent.
    pub(super) fn seal_sound(&self, packet: &[u8], sealed: &mut Vec<u8>) -> bool {
        self.keys().sound.as_mut().is_some_and(|sealer| sealer.seal(packet, &[], sealed).is_ok())
    }

    /// Opens a packet of sound.
    pub(super) fn open_sound(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut packet = Vec::new();
        let mut keys = self.keys();
        let origin = keys.sound_in.open(sealed, &[], &mut packet).ok()?;
        keys.accept(origin, SOUND).then_some(packet)
    }

    /// Seals an access unit. `None` when it can't be: then it is not sent.
    pub(super) fn seal_picture(&self, unit: &[u8], keyframe: bool) -> Option<Vec<u8>> {
        let mut sealed = Vec::new();
        self.keys().picture.as_mut()?.seal(unit, &clear(keyframe), &mut sealed).ok()?;
        Some(sealed)
    }

    /// Opens what [`Sealing::seal_picture`] sealed, with the clear bytes that came before it.
    pub(super) fn open_picture(&self, received: &[u8]) -> Option<Vec<u8>> {
        let (clear, sealed) = received.split_at_checked(CLEAR_BYTES)?;
        let mut unit = Vec::new();
        let mut keys = self.keys();
        let origin = keys.picture_in.open(sealed, clear, &mut unit).ok()?;
        keys.accept(origin, PICTURE).then_some(unit)
    }
}

#[cfg(test)]
mod tests {
    use bedside_e2ee::sframe::EpochSecret;
    use zeroize::Zeroizing;

    use super::*;

    fn secret(epoch: u64) -> EpochSecret {
        EpochSecret::new(epoch, Zeroizing::new(vec![7; 16])).unwrap()
    }

    fn keys(epoch: u64, leaf: u32) -> FrameKeys {
        FrameKeys { secret: secret(epoch), leaf, senders: vec![1 - leaf] }
    }

    fn pair() -> (Sealing, Sealing) {
        let (ana, ben) = (Sealing::new(true), Sealing::new(true));
        ana.enter(keys(3, 0));
        ben.agree(ana.nonce());
        // One has the group's keys before the other side speaks, one after.
        ben.enter(keys(3, 1));
        ana.agree(ben.nonce());
        (ana, ben)
    }

    #[test]
    fn two_calls_of_one_id_in_one_epoch_have_different_keys() {
        let voice = |(ana, _): &(Sealing, Sealing)| {
            let mut sealed = Vec::new();
            assert!(ana.seal_sound(b"voice", &mut sealed));
            sealed
        };
        let (one, other) = (pair(), pair());
        let (sealed, again) = (voice(&one), voice(&other));
        assert_ne!(sealed, again, "one key and one nonce for two frames");
        assert_eq!(
            other.1.open_sound(&sealed),
            None,
            "what was said in the other call is not played in this"
        );
        assert_eq!(other.1.open_sound(&again).unwrap(), b"voice");
        assert_ne!(one.0.seal_picture(b"picture", true), other.0.seal_picture(b"picture", true));
    }

    #[test]
    fn descriptions_that_come_later_leave_the_counters_as_they_are() {
        let (ana, ben) = pair();
        let mut sealed = Vec::new();
        let mut seen = Vec::new();
        // A restart of ICE says it again; nobody honest says something else, or takes it back.
        for said in [ben.nonce(), Some(Uuid::new_v4()), None, ben.nonce()] {
            ana.agree(said);
            ana.enter(keys(3, 0));
            assert!(ana.is_active());
            assert!(ana.seal_sound(b"voice", &mut sealed));
            assert!(!seen.contains(&sealed));
            assert_eq!(ben.open_sound(&sealed).unwrap(), b"voice");
            seen.push(sealed.clone());
        }
        ana.enter(keys(4, 0));
        ben.enter(keys(4, 1));
        assert!(ana.seal_sound(b"voice", &mut sealed));
        assert_eq!(ben.open_sound(&sealed).unwrap(), b"voice", "in the next epoch");
    }

    #[test]
    fn frames_that_come_back_or_change_their_stream_are_not_played() {
        let (ana, ben) = pair();
        let mut sealed = Vec::new();
        assert!(ana.seal_sound(b"voice", &mut sealed));
        assert_eq!(ana.open_sound(&sealed), None, "her own");
        // A picture's bytes, as a packet of sound would have them: nothing beside them.
        ana.keys().picture.as_mut().unwrap().seal(b"picture", &[], &mut sealed).unwrap();
        assert_eq!(ben.open_sound(&sealed), None, "another stream");
        let context = ben.keys().context.unwrap();
        let mut other = FrameSealer::new(&secret(3).bound_to(&context).unwrap(), 2, SOUND).unwrap();
        other.seal(b"voice", &[], &mut sealed).unwrap();
        assert_eq!(ben.open_sound(&sealed), None, "another member's");
    }

    #[test]
    fn sound_and_picture_open_at_the_other_side_once() {
        let (ana, ben) = pair();
        let mut sealed = Vec::new();
        assert!(ana.seal_sound(b"voice", &mut sealed));
        assert_ne!(sealed, b"voice");
        assert_eq!(ben.open_sound(&sealed).unwrap(), b"voice");
        assert_eq!(ben.open_sound(&sealed), None, "a repetition is dropped");
        let sealed = ana.seal_picture(b"picture", true).unwrap();
        let received = [&clear(true)[..], &sealed].concat();
        assert_eq!(ben.open_picture(&received).unwrap(), b"picture");
    }

    #[test]
    fn a_picture_that_claims_to_be_a_keyframe_does_not_open() {
        let (ana, ben) = pair();
        let sealed = ana.seal_picture(b"picture", false).unwrap();
        assert_eq!(ben.open_picture(&[&clear(true)[..], &sealed].concat()), None);
    }

    #[test]
    fn it_is_used_only_where_both_want_it_and_nothing_leaves_without_a_key() {
        let one = Sealing::new(true);
        one.agree(None);
        assert!(!one.is_active());
        one.agree(Some(Uuid::new_v4()));
        assert!(one.is_active());
        assert!(!one.seal_sound(b"voice", &mut Vec::new()));
        assert_eq!(one.seal_picture(b"picture", true), None);
        let other = Sealing::new(false);
        other.agree(Some(Uuid::new_v4()));
        assert!(!other.is_active());
    }
}
