//! What a consultation tells the engine, and the one thing of it that has to be derived.

use bedside_protocol::CallId;
use tokio::sync::mpsc;

use super::{ConsultationEvent, Report};

/// Where reports go.
#[derive(Clone)]
pub(super) struct Reports {
    call_id: CallId,
    events: mpsc::UnboundedSender<ConsultationEvent>,
}

impl Reports {
    pub(super) const fn new(call_id: CallId, events: mpsc::UnboundedSender<ConsultationEvent>) -> Self {
        Self { call_id, events }
    }

    pub(super) fn send(&self, report: Report) {
        // The engine may have gone; then nobody wants to know.
        let _ = self.events.send(ConsultationEvent { call_id: self.call_id, report });
    }
}

/// Whether our picture, wanted by whoever is before the camera, is held back: the line has no room for it.
#[derive(Debug, Default)]
pub(super) struct Pause(bool);

impl Pause {
    pub(super) const fn is_on(&self) -> bool {
        self.0
    }

    /// What holds now; whether that is news.
    pub(super) fn update(&mut self, wanted: bool, has_room: bool) -> bool {
        let paused = wanted && !has_room;
        std::mem::replace(&mut self.0, paused) != paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_whichever_of_camera_and_room_changes() {
        let mut pause = Pause::default();
        let mut told = |wanted, has_room| pause.update(wanted, has_room).then(|| pause.is_on());
        assert_eq!(told(true, true), None);
        assert_eq!(told(true, false), Some(true), "the line gets thin");
        assert_eq!(told(true, false), None);
        assert_eq!(told(false, false), Some(false), "the camera is turned off meanwhile");
        assert_eq!(told(true, false), Some(true), "the camera is turned on while the line is thin");
        assert_eq!(told(true, true), Some(false), "the line gets wide again");
        assert_eq!(told(false, false), None, "a voice call on a thin line lacks nothing");
    }
}
