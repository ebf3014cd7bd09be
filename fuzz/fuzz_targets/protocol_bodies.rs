//! Bodies of REST requests and answers; the first byte says of which.

#![no_main]

use bedside_protocol::{
    Problem,
    attachment::{Attachment, UploadPart},
    call::CallRecord,
    conversation::{
        Acknowledge, Append, AppendCommit, ClaimedKeyPackage, Conversation, CreateConversation, FoundGroup,
        GroupInfo, LogEntry, OwnDevice, PublishKeyPackages, RenameDevice, WaitingWelcome,
    },
    rest::{
        CallTicket, ClinicInfo, HangupCall, InitiateCall, Page, PostQualityMetrics, SignInRequest, SignedIn,
    },
    user::{Contact, Presence},
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fn read<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        let again = serde_json::to_vec(&value).expect("it can be written");
        assert!(serde_json::from_slice::<T>(&again).is_ok(), "it can't be read again");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else { return };
    let readers: [fn(&[u8]); 25] = [
        read::<Conversation>,
        read::<CreateConversation>,
        read::<Append>,
        read::<AppendCommit>,
        read::<LogEntry>,
        read::<Page<LogEntry>>,
        read::<FoundGroup>,
        read::<GroupInfo>,
        read::<WaitingWelcome>,
        read::<PublishKeyPackages>,
        read::<ClaimedKeyPackage>,
        read::<Acknowledge>,
        read::<OwnDevice>,
        read::<RenameDevice>,
        read::<Attachment>,
        read::<UploadPart>,
        read::<Problem>,
        read::<CallRecord>,
        read::<CallTicket>,
        read::<InitiateCall>,
        read::<HangupCall>,
        read::<PostQualityMetrics>,
        read::<SignInRequest>,
        read::<SignedIn>,
        |bytes| {
            read::<ClinicInfo>(bytes);
            read::<Page<Contact>>(bytes);
            read::<Presence>(bytes);
        },
    ];
    // Also for a person's eye, seeds begin with a letter.
    readers[usize::from(kind.wrapping_sub(b'a')) % readers.len()](body);
});
