//! Attachments as devices see them: uploaded in parts, resumed, fetched by range, by those who may.

use std::time::Duration;

use bedside_protocol::{
    AttachmentId, ConversationId, ErrorCode, Role, Timestamp,
    attachment::{Attachment, AttachmentAccess, PART_BYTES, UploadPart},
    rest::{CallTicket, SignedIn},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::fixture::{Clinic, problem};

const BOUNDARY: &str = "a-line-that-is-nowhere-else";

/// A file that is nothing but itself.
struct Sample {
    bytes: Vec<u8>,
    part: UploadPart,
}

impl Sample {
    fn new(bytes: u64, conversation: Option<ConversationId>) -> Self {
        let bytes: Vec<u8> =
            (0..bytes).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 7 & 0xff).unwrap()).collect();
        let access = if conversation.is_some() {
            AttachmentAccess::SharedConversation
        } else {
            AttachmentAccess::Private
        };
        let part = UploadPart {
            id: AttachmentId::random(),
            offset: 0,
            total_bytes: bytes.len() as u64,
            sha256: Some(base16(&Sha256::digest(&bytes))),
            access_control: access,
            conversation_id: conversation,
            call_id: None,
            message_id: None,
            expires_at: None,
        };
        Self { bytes, part }
    }

    fn at(&self, number: u64) -> UploadPart {
        UploadPart { offset: number * PART_BYTES, ..self.part.clone() }
    }

    fn slice(&self, number: u64) -> &[u8] {
        let begin = usize::try_from(number * PART_BYTES).unwrap();
        let end = self.bytes.len().min(begin + usize::try_from(PART_BYTES).unwrap());
        &self.bytes[begin..end]
    }

    fn parts(&self) -> u64 {
        self.part.total_bytes.div_ceil(PART_BYTES)
    }

    fn path(&self) -> String {
        format!("/api/attachments/{}", self.part.id)
    }
}

fn base16(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn form(description: &str, file: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"upload\"\r\ncontent-type: application/json\r\n\r\n\
         {description}\r\n--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"part\"\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}

async fn post_form(clinic: &Clinic, who: &SignedIn, body: Vec<u8>) -> reqwest::Response {
    clinic
        .http
        .post(clinic.url("/api/attachments/upload"))
        .bearer_auth(who.access_token.expose())
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(body)
        .send()
        .await
        .unwrap()
}

async fn upload(
    clinic: &Clinic,
    who: &SignedIn,
    part: &UploadPart,
    bytes: &[u8],
) -> Result<Attachment, ErrorCode> {
    let response = post_form(clinic, who, form(&serde_json::to_string(part).unwrap(), bytes)).await;
    match response.status().as_u16() {
        200 => Ok(response.json().await.unwrap()),
        _ => Err(problem(response).await.code),
    }
}

async fn upload_whole(clinic: &Clinic, who: &SignedIn, file: &Sample) -> Attachment {
    let mut last = None;
    for number in 0..file.parts() {
        last = Some(upload(clinic, who, &file.at(number), file.slice(number)).await.unwrap());
    }
    last.unwrap()
}

async fn fetch(clinic: &Clinic, who: &SignedIn, file: &Sample, range: Option<&str>) -> reqwest::Response {
    let mut request = clinic.http.get(clinic.url(&format!("{}/content", file.path())));
    if let Some(range) = range {
        request = request.header("range", range);
    }
    request.bearer_auth(who.access_token.expose()).send().await.unwrap()
}

async fn code(response: reqwest::Response) -> ErrorCode {
    problem(response).await.code
}

#[tokio::test]
async fn a_file_goes_up_in_parts_and_comes_down_whole_and_by_range() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let file = Sample::new(2 * PART_BYTES + 12_345, Some(log));
    for number in 0..2 {
        let so_far = upload(&clinic, &doctor, &file.at(number), file.slice(number)).await.unwrap();
        assert_eq!((so_far.received_bytes, so_far.complete), ((number + 1) * PART_BYTES, false));
        assert_eq!(
            code(fetch(&clinic, &patient, &file, None).await).await,
            ErrorCode::NotFound,
            "not yet whole"
        );
    }
    let whole = upload(&clinic, &doctor, &file.at(2), file.slice(2)).await.unwrap();
    assert!(whole.complete);
    assert_eq!(whole.sha256, file.part.sha256);
    let seen: Attachment = clinic.get(&patient, &file.path()).await.json().await.unwrap();
    assert_eq!(seen, whole);

    let response = fetch(&clinic, &patient, &file, None).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["accept-ranges"], "bytes");
    assert_eq!(response.headers()["content-length"], file.bytes.len().to_string());
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    assert!(response.bytes().await.unwrap() == file.bytes);

    let edge = PART_BYTES;
    for (range, begin, end) in [
        ("bytes=0-0".to_owned(), 0, 1),
        (format!("bytes={}-{}", edge - 3, edge + 3), edge - 3, edge + 4),
        (format!("bytes={}-{}", edge - 1, 2 * edge), edge - 1, 2 * edge + 1),
        (format!("bytes={edge}-"), edge, file.part.total_bytes),
        ("bytes=-10".to_owned(), file.part.total_bytes - 10, file.part.total_bytes),
    ] {
        let response = fetch(&clinic, &patient, &file, Some(&range)).await;
        assert_eq!(response.status(), 206, "{range}");
        let told = format!("bytes {begin}-{}/{}", end - 1, file.part.total_bytes);
        assert_eq!(response.headers()["content-range"], told);
        let expected = &file.bytes[usize::try_from(begin).unwrap()..usize::try_from(end).unwrap()];
        assert!(response.bytes().await.unwrap() == expected, "{range}");
    }
    let beyond = fetch(&clinic, &patient, &file, Some(&format!("bytes={}-", file.part.total_bytes))).await;
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{}", file.part.total_bytes));
    for (expected, status) in [(tag.as_str(), 206), ("\"another\"", 200)] {
        let request = clinic.http.get(clinic.url(&format!("{}/content", file.path())));
        let request = request.header("range", "bytes=0-9").header("if-range", expected);
        let response = request.bearer_auth(patient.access_token.expose()).send().await.unwrap();
        assert_eq!(response.status(), status, "{expected}");
    }
    clinic.close().await;
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_after_the_server_was_restarted() {
    for in_good_order in [true, false] {
        let clinic = Clinic::open().await;
        let ana = clinic.person("ana", Role::Patient).await;
        let file = Sample::new(PART_BYTES + 1000, None);
        upload(&clinic, &ana, &file.at(0), file.slice(0)).await.unwrap();
        let clinic = clinic.restart(in_good_order).await;
        let there: Attachment = clinic.get(&ana, &file.path()).await.json().await.unwrap();
        assert_eq!((there.received_bytes, there.complete), (PART_BYTES, false));
        assert!(upload(&clinic, &ana, &file.at(1), file.slice(1)).await.unwrap().complete);
        let clinic = clinic.restart(in_good_order).await;
        assert!(fetch(&clinic, &ana, &file, None).await.bytes().await.unwrap() == file.bytes);
        clinic.close().await;
    }
}

#[tokio::test]
async fn parts_come_in_order_and_one_that_is_there_is_answered_as_if_it_were_new() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let file = Sample::new(2 * PART_BYTES + 5, None);
    assert_eq!(upload(&clinic, &ana, &file.at(1), file.slice(1)).await, Err(ErrorCode::WrongOffset));
    let first = upload(&clinic, &ana, &file.at(0), file.slice(0)).await.unwrap();
    assert_eq!(upload(&clinic, &ana, &file.at(0), file.slice(0)).await, Ok(first.clone()));
    assert_eq!(upload(&clinic, &ana, &file.at(0), b"other bytes").await, Ok(first), "what is there stays");
    assert_eq!(upload(&clinic, &ana, &file.at(2), file.slice(2)).await, Err(ErrorCode::WrongOffset));
    upload(&clinic, &ana, &file.at(1), file.slice(1)).await.unwrap();
    let whole = upload(&clinic, &ana, &file.at(2), file.slice(2)).await.unwrap();
    assert!(whole.complete);
    assert_eq!(upload(&clinic, &ana, &file.at(2), file.slice(2)).await, Ok(whole));
    let other = UploadPart { total_bytes: file.part.total_bytes + 1, ..file.at(0) };
    assert_eq!(upload(&clinic, &ana, &other, file.slice(0)).await, Err(ErrorCode::IdempotencyConflict));
    assert!(fetch(&clinic, &ana, &file, None).await.bytes().await.unwrap() == file.bytes);
    clinic.close().await;
}

#[tokio::test]
async fn a_file_that_did_not_arrive_as_it_was_sent_is_not_kept() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let mut file = Sample::new(1000, None);
    let right = file.part.sha256.replace("0".repeat(64));
    assert_eq!(upload(&clinic, &ana, &file.at(0), file.slice(0)).await, Err(ErrorCode::WrongDigest));
    assert_eq!(code(clinic.get(&ana, &file.path()).await).await, ErrorCode::NotFound);
    assert!(!clinic.uploads().join(file.part.id.to_string()).exists());
    file.part.sha256 = right;
    assert!(
        upload(&clinic, &ana, &file.at(0), file.slice(0)).await.unwrap().complete,
        "it may be tried again"
    );
    clinic.close().await;
}

#[tokio::test]
async fn a_part_that_breaks_off_leaves_nothing_and_the_next_try_need_not_wait_for_it() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let file = Sample::new(2_000_000, None);
    let body = form(&serde_json::to_string(&file.at(0)).unwrap(), file.slice(0));
    let head = format!(
        "POST /api/attachments/upload HTTP/1.1\r\nhost: clinic\r\nauthorization: Bearer {}\r\n\
         content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\n\r\n",
        ana.access_token.expose(),
        body.len()
    );
    let mut stuck = Vec::new();
    for hangs_up in [true, false] {
        let mut stream = TcpStream::connect(clinic.server.addr()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body[..body.len() / 2]).await.unwrap();
        // Known to the server once it has begun; to ask more often is to use up what an account may ask.
        while clinic.get(&ana, &file.path()).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        if !hangs_up {
            stuck.push(stream);
        }
    }
    let there: Attachment = clinic.get(&ana, &file.path()).await.json().await.unwrap();
    assert_eq!(there.received_bytes, 0);
    assert!(upload(&clinic, &ana, &file.at(0), file.slice(0)).await.unwrap().complete);
    let fetched = fetch(&clinic, &ana, &file, None).await;
    assert_eq!(fetched.status(), 200);
    assert!(fetched.bytes().await.unwrap() == file.bytes);
    drop(stuck);
    clinic.close().await;
}

#[tokio::test]
async fn who_may_fetch_a_file_is_decided_by_what_it_was_shared_in() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let stranger = clinic.person("tom", Role::Patient).await;
    let admin = clinic.person("root", Role::Admin).await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let (mut osei, _ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    let wish = json!({"callee_id": patient.user.id, "call_type": "video"});
    let call: CallTicket =
        serde_json::from_value(osei.request("initiate_call", wish).await.unwrap()).unwrap();

    let private = Sample::new(10, None);
    let in_conversation = Sample::new(20, Some(log));
    let mut in_call = Sample::new(30, None);
    in_call.part.access_control = AttachmentAccess::SharedCall;
    in_call.part.call_id = Some(call.call_id);
    for (file, shared) in [(&private, false), (&in_conversation, true), (&in_call, true)] {
        upload_whole(&clinic, &doctor, file).await;
        assert_eq!(fetch(&clinic, &doctor, file, None).await.status(), 200);
        let other = fetch(&clinic, &patient, file, None).await;
        assert_eq!(other.status(), if shared { 200 } else { 404 });
        for outsider in [&stranger, &admin] {
            assert_eq!(code(fetch(&clinic, outsider, file, None).await).await, ErrorCode::NotFound);
            assert_eq!(code(clinic.get(outsider, &file.path()).await).await, ErrorCode::NotFound);
            assert_eq!(code(clinic.delete(outsider, &file.path()).await).await, ErrorCode::NotFound);
        }
        let taken = upload(
            &clinic,
            &stranger,
            &UploadPart {
                access_control: AttachmentAccess::Private,
                conversation_id: None,
                call_id: None,
                ..file.at(0)
            },
            file.slice(0),
        )
        .await;
        assert_eq!(taken, Err(ErrorCode::NotFound), "an id is not taken over");
    }
    assert_eq!(code(clinic.delete(&patient, &in_conversation.path()).await).await, ErrorCode::Forbidden);
    let foreign = UploadPart { id: AttachmentId::random(), ..in_conversation.at(0) };
    assert_eq!(
        upload(&clinic, &stranger, &foreign, in_conversation.slice(0)).await,
        Err(ErrorCode::NotFound)
    );
    let foreign = UploadPart { id: AttachmentId::random(), ..in_call.at(0) };
    assert_eq!(upload(&clinic, &stranger, &foreign, in_call.slice(0)).await, Err(ErrorCode::CallNotFound));
    clinic.close().await;
}

#[tokio::test]
async fn what_is_too_large_or_out_of_shape_is_refused_and_leaves_nothing() {
    let clinic = Clinic::open_with(|config| config.attachments.max_bytes = 3 * PART_BYTES).await;
    let ana = clinic.person("ana", Role::Patient).await;
    let file = Sample::new(1000, None);
    let good = file.at(0);
    let vary = |change: fn(&mut UploadPart)| {
        let mut part = good.clone();
        change(&mut part);
        part
    };
    for (part, expected) in [
        (vary(|part| part.total_bytes = 3 * PART_BYTES + 1), ErrorCode::TooLarge),
        (vary(|part| part.total_bytes = 0), ErrorCode::InvalidValue),
        (vary(|part| part.offset = 1), ErrorCode::InvalidValue),
        (vary(|part| part.offset = PART_BYTES), ErrorCode::InvalidValue),
        (vary(|part| part.sha256 = None), ErrorCode::InvalidValue),
        (vary(|part| part.sha256 = Some("zz".repeat(32))), ErrorCode::InvalidValue),
        (vary(|part| part.expires_at = Some(Timestamp(1))), ErrorCode::InvalidValue),
        (vary(|part| part.access_control = AttachmentAccess::SharedCall), ErrorCode::InvalidValue),
        (vary(|part| part.access_control = AttachmentAccess::SharedConversation), ErrorCode::InvalidValue),
        (vary(|part| part.conversation_id = Some(ConversationId::random())), ErrorCode::NotFound),
        // More and fewer bytes than announced.
        (vary(|part| part.total_bytes = 999), ErrorCode::TooLarge),
        (vary(|part| part.total_bytes = 1001), ErrorCode::InvalidValue),
    ] {
        let part = UploadPart { id: AttachmentId::random(), ..part };
        assert_eq!(upload(&clinic, &ana, &part, file.slice(0)).await, Err(expected), "{part:?}");
        assert!(!clinic.uploads().join(part.id.to_string()).join("0").exists());
    }
    let too_long = Sample::new(PART_BYTES + 100_000, None);
    assert_eq!(upload(&clinic, &ana, &too_long.at(0), &too_long.bytes).await, Err(ErrorCode::TooLarge));

    let description = serde_json::to_string(&good).unwrap();
    let swapped = form(&description, b"").iter().map(|byte| *byte as char).collect::<String>();
    let swapped = swapped.replace("name=\"upload\"", "name=\"first\"");
    for (body, expected) in [
        (form("{", b"x"), ErrorCode::InvalidValue),
        (form(&description.replace("\"id\"", "\"it\""), b"x"), ErrorCode::InvalidValue),
        (form(&"x".repeat(20_000), b"x"), ErrorCode::TooLarge),
        (swapped.into_bytes(), ErrorCode::InvalidValue),
        (form(&description, b"x")[..200].to_vec(), ErrorCode::MalformedMessage),
        (Vec::new(), ErrorCode::MalformedMessage),
    ] {
        assert_eq!(code(post_form(&clinic, &ana, body).await).await, expected);
    }
    let not_a_form = clinic.post(&ana, "/api/attachments/upload", json!({})).await;
    assert_eq!(code(not_a_form).await, ErrorCode::UnsupportedMediaType);
    assert!(upload(&clinic, &ana, &good, file.slice(0)).await.unwrap().complete, "the socket still works");
    clinic.close().await;
}

#[tokio::test]
async fn a_persons_share_and_the_whole_store_have_a_limit() {
    let clinic = Clinic::open_with(|config| {
        config.attachments.quota_bytes = 1000;
        config.attachments.storage_bytes = 1500;
    })
    .await;
    let ana = clinic.person("ana", Role::Patient).await;
    let tom = clinic.person("tom", Role::Patient).await;
    let (one, two) = (Sample::new(600, None), Sample::new(401, None));
    upload_whole(&clinic, &ana, &one).await;
    assert_eq!(upload(&clinic, &ana, &two.at(0), two.slice(0)).await, Err(ErrorCode::StorageFull));
    let large = Sample::new(901, None);
    assert_eq!(upload(&clinic, &tom, &large.at(0), large.slice(0)).await, Err(ErrorCode::StorageFull));
    let fits = Sample::new(900, None);
    upload_whole(&clinic, &tom, &fits).await;
    assert_eq!(clinic.delete(&ana, &one.path()).await.status(), 204);
    upload_whole(&clinic, &ana, &two).await;
    clinic.close().await;
}

#[tokio::test]
async fn what_was_deleted_or_has_expired_is_gone_from_the_store_and_the_answer_says_so() {
    let clinic = Clinic::open_with(|config| config.attachments.retention = Duration::from_secs(3600)).await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut long = Sample::new(10, Some(log));
    long.part.expires_at = Some(Timestamp(i64::MAX));
    let kept = upload_whole(&clinic, &doctor, &long).await;
    assert_eq!(kept.expires_at, kept.uploaded_at.plus_millis(3_600_000), "at most as configured");
    assert_eq!(clinic.delete(&doctor, &long.path()).await.status(), 204);

    let mut short = Sample::new(20, Some(log));
    let soon = kept.uploaded_at.plus_millis(60_000);
    short.part.expires_at = Some(soon);
    assert_eq!(upload_whole(&clinic, &doctor, &short).await.expires_at, soon);
    sqlx::query("UPDATE attachments SET expires_at = 1 WHERE id = ?1")
        .bind(short.part.id.0)
        .execute(&clinic.server.app().db.write)
        .await
        .unwrap();
    assert!(clinic.uploads().join(short.part.id.to_string()).exists());
    assert_eq!(code(fetch(&clinic, &patient, &short, None).await).await, ErrorCode::Expired);
    clinic.server.app().attachments.sweep().await.unwrap();
    for file in [&long, &short] {
        assert!(!clinic.uploads().join(file.part.id.to_string()).exists());
        for who in [&doctor, &patient] {
            assert_eq!(code(fetch(&clinic, who, file, None).await).await, ErrorCode::Expired);
        }
        assert_eq!(upload(&clinic, &doctor, &file.at(0), file.slice(0)).await, Err(ErrorCode::Expired));
    }
    clinic.close().await;
}

#[tokio::test]
async fn a_file_may_take_its_time_and_what_is_said_of_it_before_may_not() {
    let clinic = Clinic::open_with(|config| config.socket.body_within = Duration::from_millis(50)).await;
    let ana = clinic.person("ana", Role::Patient).await;
    let sample = Sample::new(1000, None);
    let body = form(&serde_json::to_string(&sample.part).unwrap(), &sample.bytes);
    let head = format!(
        "POST /api/attachments/upload HTTP/1.1\r\nHost: clinic\r\nConnection: close\r\nContent-Length: {}\r\n\
         Authorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
        body.len(),
        ana.access_token.expose()
    );
    let begin = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(clinic.server.addr()).await.unwrap();
        stream.write_all(&[head.as_bytes(), bytes].concat()).await.unwrap();
        stream
    };
    // To its end: the server closes.
    let read = async |mut stream: TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (begun, rest) = body.split_at(body.len() - 500);
    let mut slow = begin(begun).await;
    let silent = read(begin(&body[..100]).await).await;
    assert!(silent.starts_with("HTTP/1.1 400") && silent.contains("malformed_message"), "{silent}");
    // Meanwhile it has taken longer than what is said of a file may.
    slow.write_all(rest).await.unwrap();
    let kept = read(slow).await;
    assert!(kept.starts_with("HTTP/1.1 200"), "{kept}");
    clinic.close().await;
}
