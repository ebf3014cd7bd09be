//! Sealing each frame of sound and picture once more (RFC 9605), where both sides want it: for media that passes through
//! more than a relay. The keys come from the conversation's group and are this call's own.
//!
//! Once both sides have said that they seal, nothing leaves unsealed and nothing unsealed is played, whatever is
//! missing: a frame without a key is lost like any other.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use bedside_e2ee::sframe::{FrameOpener, FrameOrigin, FrameSealer};
use bedside_flow::video::sealed::{CLEAR_BYTES, clear};

use super::FrameKeys;

/// The stream numbers of one sender.
const SOUND: u32 = 0;
const PICTURE: u32 = 1;

/// The keys of one call, and whether they are used.
pub(super) struct Sealing {
    /// This side wants it.
    wanted: bool,
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
    /// Where the other side's devices are in the group.
    senders: Vec<u32>,
}

impl Keys {
    /// Whether a frame that opened is what it is taken for: the other side's, and of that stream. A frame of one's own
    /// that comes back is neither.
    fn accept(&self, origin: FrameOrigin, stream: u32) -> bool {
        origin.stream == u64::from(stream) && self.senders.contains(&origin.leaf)
    }
}

impl Sealing {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, active: AtomicBool::new(false), keys: Mutex::default() }
    }

    pub(super) const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// The other side has said whether it wants it.
    pub(super) fn agree(&self, theirs: bool) {
        self.active.store(self.wanted && theirs, Relaxed);
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new epoch of the conversation's group: what leaves from now on is sealed for it.
    pub(super) fn enter(&self, new: FrameKeys) {
        let FrameKeys { secret, leaf, senders } = new;
        let mut keys = self.keys();
        keys.senders = senders;
        let entered = keys
            .sound_in
            .enter(secret.clone())
            .and_then(|()| keys.picture_in.enter(secret.clone()))
            .and_then(|()| {
                Ok((FrameSealer::new(&secret, leaf, SOUND)?, FrameSealer::new(&secret, leaf, PICTURE)?))
            });
        match entered {
            Ok((sound, picture)) => (keys.sound, keys.picture) = (Some(sound), Some(picture)),
            // The same epoch again: its counters go on.
            Err(error) => tracing::debug!(%error, "keys for frames were not taken"),
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

    fn pair() -> (Sealing, Sealing) {
        let secret = EpochSecret::new(3, Zeroizing::new(vec![7; 16])).unwrap();
        let sides = (Sealing::new(true), Sealing::new(true));
        sides.0.enter(FrameKeys { secret: secret.clone(), leaf: 0, senders: vec![1] });
        sides.1.enter(FrameKeys { secret, leaf: 1, senders: vec![0] });
        sides
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
        let secret = EpochSecret::new(3, Zeroizing::new(vec![7; 16])).unwrap();
        let mut other = FrameSealer::new(&secret, 2, SOUND).unwrap();
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
        one.agree(false);
        assert!(!one.is_active());
        one.agree(true);
        assert!(one.is_active());
        assert!(!one.seal_sound(b"voice", &mut Vec::new()));
        assert_eq!(one.seal_picture(b"picture", true), None);
        let other = Sealing::new(false);
        other.agree(true);
        assert!(!other.is_active());
    }
}
