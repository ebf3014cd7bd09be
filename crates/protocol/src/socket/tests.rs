use proptest::prelude::*;

use super::*;
use crate::{ErrorCode, RoomId};

#[test]
fn a_request_reads_as_the_document_shows_it() {
    let callee = UserId::random();
    let text =
        format!(r#"{{"id":7,"type":"initiate_call","data":{{"callee_id":"{callee}","call_type":"video"}}}}"#);
    let frame = parse_client_frame(&text).unwrap();
    assert_eq!(frame.id, 7);
    assert!(
        matches!(frame.request, Request::InitiateCall(InitiateCall { callee_id, .. }) if callee_id == callee)
    );
    assert_eq!(serde_json::to_string(&frame).unwrap(), text);
}

#[test]
fn an_unknown_type_and_a_broken_frame_get_different_answers_with_the_id() {
    let (id, problem) = parse_client_frame(r#"{"id":3,"type":"dance","data":{}}"#).unwrap_err();
    assert_eq!((id, problem.code), (Some(3), ErrorCode::UnknownType));
    let (id, problem) =
        parse_client_frame(r#"{"id":4,"type":"initiate_call","data":{"callee_id":1}}"#).unwrap_err();
    assert_eq!((id, problem.code), (Some(4), ErrorCode::MalformedMessage));
    let (id, problem) = parse_client_frame("{").unwrap_err();
    assert_eq!((id, problem.code), (None, ErrorCode::MalformedMessage));
}

#[test]
fn replies_and_events_are_told_apart() {
    let reply: ServerFrame = serde_json::from_str(r#"{"re":7,"type":"ok","data":{}}"#).unwrap();
    assert!(matches!(reply, ServerFrame::Reply(Reply { re: Some(7), .. })));
    let text = serde_json::to_string(&ServerFrame::Event(EventFrame {
        seq: 1,
        event: Event::UserOnline { user_id: UserId::random() },
    }))
    .unwrap();
    assert!(matches!(serde_json::from_str(&text).unwrap(), ServerFrame::Event(EventFrame { seq: 1, .. })));
    let _ = RoomId::random();
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = parse_client_frame(&text);
    }
}
