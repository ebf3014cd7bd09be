//! What others are told of this person, and what this person is told of others.

use bedside_protocol::{PresenceStatus, rest::UpdatePresence, socket::Request, user::Presence};
use bedside_ui_contract::snapshot::ConnectionView;

use super::actor::{Account, Actor};
use crate::chat::Input;

impl Actor {
    /// The person says how they want to be seen, from now on and after the next start.
    pub(super) fn set_presence(&mut self, wanted: PresenceStatus) {
        if let Account::SignedIn { user, status } = &mut self.account {
            *status = wanted;
            let user = user.id;
            self.remember(|remembered| remembered.chose_status(user, wanted));
        }
    }

    /// What others are to see of this device, as far as it is this device's to say: who is in a call or not connected, the
    /// server knows. That nobody touches the computer is said only of whoever did not choose something else.
    pub(super) fn presence(&self) -> Option<PresenceStatus> {
        match self.account {
            Account::SignedIn { status: PresenceStatus::Online, .. } if self.idle => {
                Some(PresenceStatus::Idle)
            }
            Account::SignedIn { status, .. } => Some(status),
            Account::Restoring | Account::SignedOut { .. } | Account::SigningIn => None,
        }
    }

    /// Tells the server, where it does not know it yet.
    pub(super) fn tell_presence(&mut self) {
        let presence = self.presence();
        if self.connection != ConnectionView::Online || self.told_presence == presence {
            return;
        }
        self.told_presence = presence;
        if let Some(status) = presence {
            self.tell(Request::UpdatePresence(UpdatePresence {
                status,
                current_call_id: None,
                current_appointment_id: None,
            }));
        }
    }

    pub(super) fn presence_changed(&mut self, presence: Presence) {
        if presence.status != PresenceStatus::Offline {
            self.tell_chat(Input::Reachable(presence.user_id));
        }
        match self.people.iter_mut().find(|person| person.user.id == presence.user_id) {
            Some(person) => person.presence = presence,
            None => self.fetch_contacts(),
        }
    }
}
