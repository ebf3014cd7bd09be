//! Files in a bucket of a store that nobody here wrote: what a folder promises holds there too.

use std::sync::Arc;

use bedside_protocol::{
    AttachmentId, ErrorCode, Pii, Role, Secret,
    attachment::{Attachment, AttachmentAccess, PART_BYTES, UploadPart},
    user::{DeviceInfo, DeviceType},
};
use bedside_server::{
    attachments::blobs::BlobStore,
    config::{self, BlobConfig},
    fault::Causes,
};
use bedside_session::{
    api::{Api, ApiError},
    secrets::MemoryStore,
};
use bedside_testkit::{
    clinic::{Clinic, PASSWORD},
    desk::Desk,
};
use bedside_tests::bucket::Bucket;
use bedside_ui_contract::{
    Command,
    chat::{MessageContent, TransferState},
};
use bytes::Bytes;
use sha2::{Digest, Sha256};

async fn clinic_on(bucket: config::Bucket) -> Clinic {
    Clinic::open_with(|config| config.blobs = BlobConfig::Bucket(bucket)).await
}

/// The client's side of the REST routes, signed in.
async fn signed_in(clinic: &Clinic, login: &str) -> Api {
    let api = Api::new(&clinic.url(), Arc::new(MemoryStore::default())).expect("an address");
    let device = DeviceInfo { id: None, name: Pii::new("desk".into()), device_type: DeviceType::default() };
    let password = Secret::new(PASSWORD.to_owned());
    api.sign_in(Pii::new(login.into()), password, device).await.expect("signed in");
    api
}

fn content(bytes: u64) -> Vec<u8> {
    (0..bytes).map(|n| (n.wrapping_mul(2_654_435_761) >> 7 & 0xff) as u8).collect()
}

/// A file of its own, of which nobody else may know.
struct Sample {
    bytes: Vec<u8>,
    id: AttachmentId,
}

impl Sample {
    fn new(bytes: u64) -> Self {
        Self { bytes: content(bytes), id: AttachmentId::random() }
    }

    async fn upload(&self, api: &Api, number: u64) -> Result<Attachment, ErrorCode> {
        let offset = number * PART_BYTES;
        let rest = &self.bytes[length(offset)..];
        let slice = &rest[..rest.len().min(length(PART_BYTES))];
        let sha256 = Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let part = UploadPart {
            id: self.id,
            offset,
            total_bytes: self.bytes.len() as u64,
            sha256: (slice.len() == rest.len()).then_some(sha256),
            access_control: AttachmentAccess::Private,
            conversation_id: None,
            call_id: None,
            message_id: None,
            expires_at: None,
        };
        let pieces: Vec<_> = slice.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let sent = api.upload_part(&part, futures_util::stream::iter(pieces), slice.len() as u64).await;
        sent.map_err(code)
    }

    async fn fetch(&self, api: &Api, from: u64) -> Result<Vec<u8>, ErrorCode> {
        let response = api.attachment_content(self.id, from).await.map_err(code)?;
        Ok(response.bytes().await.expect("all of it").to_vec())
    }

    fn object(&self, number: u64, bytes: u64) -> (String, i64) {
        (format!("{}/{number}", self.id), i64::try_from(bytes).expect("small"))
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("small")
}

fn code(error: ApiError) -> ErrorCode {
    match error {
        ApiError::Problem(problem) => problem.code,
        other => panic!("not an answer: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_several_parts_goes_from_engine_to_engine_through_a_bucket() {
    let mut bucket = Bucket::start();
    let clinic = clinic_on(bucket.settings()).await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let mut doctor = Desk::new(&clinic, "osei").await;
    let mut patient = Desk::new(&clinic, "ana").await;
    doctor.open("ana").await;
    patient.open("osei").await;
    let folder = tempfile::tempdir().unwrap();
    let (scan, saved) = (folder.path().join("scan.bin"), folder.path().join("saved"));
    let bytes = content(2 * PART_BYTES + 12_345);
    std::fs::write(&scan, &bytes).unwrap();
    std::fs::create_dir_all(&saved).unwrap();

    doctor.ask(|conversation_id| Command::SendFiles {
        conversation_id,
        paths: vec![scan.display().to_string()],
    });
    let items = patient
        .until_items("a file", |items| {
            items.iter().any(|item| matches!(item.content, MessageContent::File { .. }))
        })
        .await;
    let there: Vec<_> = bucket.objects().into_iter().map(|(_, bytes)| bytes).collect();
    let part = i64::try_from(PART_BYTES).unwrap();
    assert_eq!(there.len(), 3, "one object per part: {there:?}");
    assert_eq!(there[..2], [part, part]);
    assert!((12_345..part).contains(&there[2]), "sealing adds to the last one: {there:?}");

    patient.ask(|conversation_id| Command::SaveFile {
        conversation_id,
        message_id: items[0].id.clone(),
        folder: Some(saved.display().to_string()),
    });
    let snapshot = patient
        .seat
        .until("the file is here", |now| {
            now.chat.transfers.iter().any(|one| !one.outgoing && one.state == TransferState::Done)
        })
        .await;
    assert_eq!(snapshot.chat.transfers[0].bytes, bytes.len() as u64);
    assert!(std::fs::read(saved.join("scan.bin")).unwrap() == bytes, "the same bytes");
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_to_a_bucket_goes_on_where_it_was_after_the_server_was_restarted() {
    let mut bucket = Bucket::start();
    for in_good_order in [true, false] {
        let clinic = clinic_on(bucket.settings()).await;
        clinic.add("ana", Role::Patient).await;
        let (api, file) = (signed_in(&clinic, "ana").await, Sample::new(2 * PART_BYTES + 1000));
        for number in 0..2 {
            file.upload(&api, number).await.unwrap();
        }
        let clinic = clinic.restart(in_good_order).await;
        let there = api.attachment(file.id).await.unwrap();
        assert_eq!((there.received_bytes, there.complete), (2 * PART_BYTES, false));
        assert_eq!(bucket.objects(), [file.object(0, PART_BYTES), file.object(1, PART_BYTES)]);
        // The server reads from the bucket what it has forgotten of the digest.
        assert!(file.upload(&api, 2).await.unwrap().complete);
        let clinic = clinic.restart(in_good_order).await;
        assert!(file.fetch(&api, 0).await.unwrap() == file.bytes);
        for from in [1, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 999] {
            let rest = &file.bytes[length(from)..];
            assert!(file.fetch(&api, from).await.unwrap() == rest, "from {from} on");
        }
        api.delete_attachment(file.id).await.unwrap();
        assert_eq!(bucket.objects(), []);
        clinic.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_or_has_expired_leaves_the_bucket_and_the_rest_stays() {
    let mut bucket = Bucket::start();
    let clinic = clinic_on(bucket.settings()).await;
    clinic.add("ana", Role::Patient).await;
    let api = signed_in(&clinic, "ana").await;
    let (old, unwanted, kept) = (Sample::new(PART_BYTES + 1), Sample::new(20), Sample::new(30));
    for (file, parts) in [(&old, 2), (&unwanted, 1), (&kept, 1)] {
        for number in 0..parts {
            file.upload(&api, number).await.unwrap();
        }
    }
    assert_eq!(bucket.objects().len(), 4);
    api.delete_attachment(unwanted.id).await.unwrap();
    clinic.expire_attachment(old.id).await;
    clinic.sweep_attachments().await.unwrap();
    assert_eq!(bucket.objects(), [kept.object(0, 30)]);
    for file in [&old, &unwanted] {
        assert_eq!(file.fetch(&api, 0).await, Err(ErrorCode::Expired));
    }
    assert!(kept.fetch(&api, 0).await.unwrap() == kept.bytes);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_bucket_is_gone_people_are_told_and_nothing_is_half_there() {
    let mut bucket = Bucket::start();
    let clinic = clinic_on(bucket.settings()).await;
    clinic.add("ana", Role::Patient).await;
    let api = signed_in(&clinic, "ana").await;
    let (whole, file) = (Sample::new(50), Sample::new(PART_BYTES + 5));
    whole.upload(&api, 0).await.unwrap();
    bucket.remove();
    assert_eq!(file.upload(&api, 0).await, Err(ErrorCode::Internal));
    assert_eq!(api.attachment(file.id).await.unwrap().received_bytes, 0);
    assert_eq!(whole.fetch(&api, 0).await, Err(ErrorCode::Internal), "no answer that breaks off");
    assert_eq!(api.delete_attachment(whole.id).await.map_err(code), Err(ErrorCode::Internal));
    assert_eq!(whole.fetch(&api, 0).await, Err(ErrorCode::Expired), "nobody can fetch it any more");
    assert!(clinic.sweep_attachments().await.is_err(), "it is still to be deleted");

    bucket.make();
    assert_eq!(bucket.objects(), []);
    for number in 0..2 {
        file.upload(&api, number).await.unwrap();
    }
    assert!(file.fetch(&api, 0).await.unwrap() == file.bytes);
    clinic.sweep_attachments().await.unwrap();
    assert_eq!(bucket.objects(), [file.object(0, PART_BYTES), file.object(1, 5)]);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_wrong_key_or_without_a_store_nothing_is_kept_and_the_sender_gets_an_answer() {
    let mut bucket = Bucket::start();
    let settings = bucket.settings();
    let right = BlobConfig::Bucket(settings.clone());
    BlobStore::open(&right).unwrap().look().await.expect("the right settings");
    let unknown = config::Bucket { key: "AKIANOBODYHASTHISKEY".into(), ..settings.clone() };
    let wrong = config::Bucket { secret: Secret::new("guessed".into()), ..settings.clone() };
    let another = config::Bucket { name: "another".into(), ..settings.clone() };
    let nowhere = config::Bucket { endpoint: Some("http://127.0.0.1:1".into()), ..settings };
    for (settings, reason) in [
        (unknown, "403 Forbidden"),
        (wrong, "403 Forbidden"),
        (another, "404 Not Found"),
        (nowhere, "after 4 retries"),
    ] {
        let told = format!("{settings:?}");
        // What `config check` and the server's log say.
        let looked = BlobStore::open(&BlobConfig::Bucket(settings.clone())).unwrap().look().await;
        let looked = Causes(&looked.expect_err(&told)).to_string();
        assert!(looked.starts_with("the bucket can't be used, check the settings that begin with s3_: "));
        assert!(looked.contains(reason) && !looked.contains("guessed"), "{looked}");
        let clinic = clinic_on(settings).await;
        clinic.add("ana", Role::Patient).await;
        let (api, file) = (signed_in(&clinic, "ana").await, Sample::new(50));
        assert_eq!(file.upload(&api, 0).await, Err(ErrorCode::Internal), "{told}");
        let there = api.attachment(file.id).await.unwrap();
        assert_eq!((there.received_bytes, there.complete), (0, false), "{told}");
        assert_eq!(bucket.objects(), [], "{told}");
        clinic.close().await;
    }
}
