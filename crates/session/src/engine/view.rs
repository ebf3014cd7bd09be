//! The state as the window shows it.

use bedside_protocol::{CallPhase, Role, UserId, call::CallRecord};
use bedside_ui_contract::{
    CallView, Snapshot,
    call::{Direction, Protection},
    chat::ConversationView,
    snapshot::{AccountView, ClinicView, HistoryItem, PersonView},
};

use super::{
    actor::{Account, Actor, Person},
    calling::LiveCall,
};
use crate::chat::Chat;

impl Actor {
    pub(super) fn view(&self) -> Snapshot {
        let remembered = self.profile.get();
        Snapshot {
            revision: 0,
            clinic: ClinicView {
                server_url: remembered.server_url.clone(),
                name: remembered.clinic_name.clone(),
            },
            account: self.account_view(),
            connection: self.connection.clone(),
            people: self.people.iter().map(person_view).collect(),
            people_loaded: self.people_loaded,
            call: self.call.as_ref().map(|call| self.call_view(call)),
            devices: self.studio.view(),
            history: self.history.clone(),
            chat: self.chat.as_ref().map(Chat::view).unwrap_or_default(),
            notices: self.notices.clone(),
            settings: remembered.settings.clone(),
        }
    }

    fn account_view(&self) -> AccountView {
        match &self.account {
            Account::Restoring => AccountView::Restoring,
            Account::SignedOut { failure } => {
                AccountView::SignedOut { failure: *failure, login: self.profile.get().login.reveal().clone() }
            }
            Account::SigningIn => AccountView::SigningIn,
            Account::SignedIn { user, status } => AccountView::SignedIn {
                user_id: user.id.to_string(),
                name: user.name.reveal().clone(),
                role: user.role,
                status: self.presence().unwrap_or(*status),
                remembered: self.secrets.is_lasting(),
            },
        }
    }
}

fn person_view(person: &Person) -> PersonView {
    PersonView {
        user_id: person.user.id.to_string(),
        name: person.user.name.reveal().clone(),
        role: person.user.role,
        specialty: person.user.specialty.clone(),
        status: person.presence.status,
        last_seen: person.presence.last_seen,
        device_type: person.presence.device_type,
    }
}

impl Actor {
    fn call_view(&self, call: &LiveCall) -> CallView {
        let conversation = self.chat.as_ref().and_then(|chat| chat.direct(call.peer_id));
        call_view(call, conversation.as_ref(), self.extendable_by_s(call))
    }

    /// By how much this person may put off the end of the call, s.
    pub(super) fn extendable_by_s(&self, call: &LiveCall) -> Option<u32> {
        let Account::SignedIn { user, .. } = &self.account else { return None };
        call.warning().filter(|_| user.role == Role::Clinician)?.extendable_by_s()
    }
}

fn call_view(
    call: &LiveCall,
    conversation: Option<&ConversationView>,
    extendable_by_s: Option<u32>,
) -> CallView {
    let record = call.record();
    let phase = call.phase();
    let connected = record.is_some_and(|record| record.connected_at.is_some());
    // What passes in a call is between those whose signals came through the conversation, and nobody else.
    let protection = match conversation {
        Some(conversation) if connected => conversation.protection,
        _ => Protection::Pending,
    };
    CallView {
        call_id: call.id().map(|id| id.to_string()).unwrap_or_default(),
        direction: call.direction,
        peer_id: call.peer_id.to_string(),
        peer_name: call.peer_name.reveal().clone(),
        call_type: record.map_or(call.wanted, |record| record.call_type),
        phase,
        end_reason: record.and_then(|record| record.end_reason),
        answering: call.answering,
        not_authentic: call.not_authentic,
        accepted_at: record.and_then(|record| record.accepted_at),
        connected_at: record.and_then(|record| record.connected_at),
        duration_s: record.map_or(0, |record| record.duration_s),
        muted: call.muted,
        camera_on: call.camera_on,
        peer_muted: call.peer_muted,
        peer_camera_on: call.peer_camera_on,
        peer_video_paused: call.peer_video_paused,
        reconnect_until: call.reconnect_until.filter(|_| phase == CallPhase::Reconnecting),
        expires_at: call.warning().map(|warning| warning.ends_at),
        extendable_by_s,
        quality: call.quality.word(phase),
        video_paused: call.video_paused,
        frames_sealed: call.frames_sealed(),
        protection,
        conversation_id: conversation.map(|conversation| conversation.id.clone()),
    }
}

/// A past call as `me` remembers it; `None` where `me` had no part in it.
pub(super) fn history_item(record: &CallRecord, me: UserId) -> Option<HistoryItem> {
    let (direction, peer) = if record.caller.user_id == me {
        (Direction::Outgoing, &record.callee)
    } else if record.callee.user_id == me {
        (Direction::Incoming, &record.caller)
    } else {
        return None;
    };
    Some(HistoryItem {
        call_id: record.call_id.to_string(),
        peer_id: peer.user_id.to_string(),
        peer_name: peer.name.reveal().clone(),
        direction,
        call_type: record.call_type,
        phase: record.phase,
        end_reason: record.end_reason,
        started_at: record.initiated_at,
        duration_s: u32::try_from(record.duration_s).unwrap_or(u32::MAX),
    })
}
