//! The state as the window shows it.

use bedside_protocol::{CallPhase, Role, Timestamp, UserId, call::CallRecord};
use bedside_ui_contract::{
    CallView, Notice, Snapshot,
    call::{Direction, Protection},
    chat::ConversationView,
    snapshot::{AccountView, ClinicView, HistoryItem, NoticeView, PersonView},
};

use super::{
    actor::{Account, Actor, Person},
    calling::LiveCall,
};
use crate::{chat::Chat, clock::Translation};

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
            notices: self.notices.iter().map(|notice| notice_view(notice, self.times)).collect(),
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
        call_view(call, conversation.as_ref(), self.extendable_by_s(call), self.times)
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
    times: Translation,
) -> CallView {
    let here = |said: Option<Timestamp>| said.map(|said| times.here(said));
    let record = call.record();
    let phase = call.phase();
    let connected = record.is_some_and(|record| record.connected_at.is_some());
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
        accepted_at: here(record.and_then(|record| record.accepted_at)),
        connected_at: here(record.and_then(|record| record.connected_at)),
        duration_s: record.map_or(0, |record| record.duration_s),
        muted: call.muted,
        camera_on: call.camera_on,
        peer_muted: call.peer_muted,
        peer_camera_on: call.peer_camera_on,
        peer_video_paused: call.peer_video_paused,
        reconnect_until: here(call.reconnect_until.filter(|_| phase == CallPhase::Reconnecting)),
        expires_at: here(call.warning().map(|warning| warning.ends_at)),
        extendable_by_s,
        quality: call.quality.word(phase),
        video_paused: call.video_paused,
        frames_sealed: call.frames_sealed(),
        protection: protection(
            conversation.filter(|_| connected).map(|conversation| conversation.protection),
        ),
        conversation_id: conversation.map(|conversation| conversation.id.clone()),
    }
}

/// A notice with its time by this computer's clock.
fn notice_view(view: &NoticeView, times: Translation) -> NoticeView {
    let mut view = view.clone();
    if let Notice::CallExtended { ends_at } = &mut view.notice {
        *ends_at = times.here(*ends_at);
    }
    view
}

/// How a call is protected: what passes in it is between those whose signals came through the conversation, and nobody
/// else. It stays so while this device finds its way back into that conversation. `None` before media flows.
const fn protection(conversation: Option<Protection>) -> Protection {
    match conversation {
        Some(Protection::Verified) => Protection::Verified,
        Some(Protection::Encrypted | Protection::Unprotected) => Protection::Encrypted,
        None => Protection::Unprotected,
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

#[cfg(test)]
mod tests {
    use bedside_protocol::{CallId, CallType, Pii, RoomId, call::Party};

    use super::*;
    use crate::engine::calling::Warning;

    /// A call that the server connected 90 s before `now`.
    fn connected(now: Timestamp) -> LiveCall {
        let before = |seconds: i64| Timestamp(now.0 - seconds * 1_000);
        let party = || Party { user_id: UserId::random(), name: Pii::new("Ana".to_owned()), device_id: None };
        let (caller, callee) = (party(), party());
        let name = caller.name.clone();
        let mut call = LiveCall::new(Direction::Incoming, caller.user_id, name, CallType::Video);
        call.adopt(CallRecord {
            call_id: CallId::random(),
            room_id: RoomId::random(),
            caller,
            callee,
            call_type: CallType::Video,
            phase: CallPhase::Reconnecting,
            end_reason: None,
            appointment_id: None,
            initiated_at: before(96),
            ringing_at: Some(before(95)),
            accepted_at: Some(before(91)),
            connected_at: Some(before(90)),
            ends_at: Some(before(-200)),
            ended_at: None,
            duration_s: 0,
        });
        call.reconnect_until = Some(before(-20));
        call.warning = Some(Warning { ends_at: before(-200), extends_to: None });
        call
    }

    #[tokio::test]
    async fn a_call_lasts_as_long_as_it_does_by_a_clock_that_is_ten_minutes_wrong() {
        let server = Timestamp(1_763_672_400_000);
        for wrong in [600_000, -600_000, 0] {
            let now = Timestamp(server.0 + wrong);
            let mut times = Translation::default();
            times.follow(server, now);
            let view = call_view(&connected(server), None, None, times);
            let ahead = |at: Option<Timestamp>| at.map(|at| (at.0 - now.0) / 1_000);
            assert_eq!(ahead(view.accepted_at), Some(-91), "{wrong}");
            assert_eq!(ahead(view.connected_at), Some(-90), "{wrong}");
            assert_eq!(ahead(view.reconnect_until), Some(20), "{wrong}");
            assert_eq!(ahead(view.expires_at), Some(200), "{wrong}");
            let notice = Notice::CallExtended { ends_at: Timestamp(server.0 + 200_000) };
            let notice = notice_view(&NoticeView { id: 1, notice }, times).notice;
            assert_eq!(notice, Notice::CallExtended { ends_at: Timestamp(now.0 + 200_000) }, "{wrong}");
        }
    }

    #[test]
    fn a_call_is_called_protected_once_it_is_connected_and_for_as_long_as_it_lasts() {
        assert_eq!(protection(None), Protection::Unprotected);
        assert_eq!(protection(Some(Protection::Verified)), Protection::Verified);
        assert_eq!(protection(Some(Protection::Encrypted)), Protection::Encrypted);
        // The conversation is being rejoined.
        assert_eq!(protection(Some(Protection::Unprotected)), Protection::Encrypted);
    }
}
