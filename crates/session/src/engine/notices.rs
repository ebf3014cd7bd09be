//! What the person is told without having asked.

use bedside_ui_contract::{DeviceKind, Failure, Notice, snapshot::NoticeView};

use super::actor::Actor;
use crate::{api::failure_of, socket::SocketError};

/// Notices beyond this many push out the oldest.
const MOST_NOTICES: usize = 5;

impl Actor {
    pub(super) fn notify(&mut self, notice: Notice) {
        if self.notices.iter().any(|shown| shown.notice == notice) {
            return;
        }
        if matches!(notice, Notice::NotRung { .. }) {
            // Whoever calls under ever new names must not push out what else there is to read.
            self.notices.retain(|shown| !matches!(shown.notice, Notice::NotRung { .. }));
        }
        self.notices.push(NoticeView { id: self.next_notice, notice });
        self.next_notice += 1;
        if self.notices.len() > MOST_NOTICES {
            self.notices.remove(0);
        }
    }

    /// Says that the server refused, or that it can't be reached.
    pub(super) fn notify_refusal(&mut self, error: &SocketError) {
        let failure = match error {
            SocketError::Refused(problem) => failure_of(problem.code),
            SocketError::Offline => Failure::ClinicAway,
            SocketError::Unreadable => Failure::UnsupportedVersion,
        };
        self.notify(Notice::Failed { failure });
    }

    /// What is wrong with a device of this kind is over, or told anew.
    pub(super) fn forget_trouble(&mut self, kind: DeviceKind) {
        let told = |notice: &Notice| matches!(notice, Notice::Device { device, .. } if *device == kind);
        self.notices.retain(|shown| !told(&shown.notice));
    }
}
