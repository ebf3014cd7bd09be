//! The same promises over a folder, over memory, and over a bucket that is served with as much S3 as parts need.

use std::{collections::BTreeMap, sync::Mutex};

use axum::{
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bedside_protocol::Secret;
use object_store::memory::InMemory;

use super::*;
use crate::config::Bucket;

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// One request of S3's REST API, path-style: put, get with a range, list, delete several.
async fn s3(State(objects): State<Objects>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let signed = parts.headers[header::AUTHORIZATION].to_str().unwrap();
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=key-id/"), "{signed}");
    let key = parts.uri.path().strip_prefix("/files").unwrap().trim_matches('/').to_owned();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut objects = objects.lock().unwrap();
    match (parts.method, key.is_empty()) {
        (Method::PUT, false) => {
            objects.insert(key, body.to_vec());
            [(header::ETAG, "\"1\"")].into_response()
        }
        (Method::GET, false) => match objects.get(&key) {
            Some(bytes) => part_of(bytes, &parts.headers),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (Method::GET, true) => {
            let query = parts.uri.query().unwrap();
            let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap();
            let prefix = prefix.replace("%2F", "/");
            let found = objects.iter().filter(|(key, _)| key.starts_with(&prefix));
            let entries = found.map(|(key, bytes)| {
                let size = bytes.len();
                format!(
                    "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                     <ETag>1</ETag><Size>{size}</Size></Contents>"
                )
            });
            let entries: String = entries.collect();
            format!("<ListBucketResult>{entries}</ListBucketResult>").into_response()
        }
        (Method::POST, true) => {
            let wish = String::from_utf8(body.to_vec()).unwrap();
            let keys = wish.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
            let deleted = keys.map(|key| {
                objects.remove(key);
                format!("<Deleted><Key>{key}</Key></Deleted>")
            });
            let deleted: String = deleted.collect();
            format!("<DeleteResult>{deleted}</DeleteResult>").into_response()
        }
        (method, _) => panic!("{method} {key}"),
    }
}

fn part_of(bytes: &[u8], headers: &HeaderMap) -> Response {
    let range = headers[header::RANGE].to_str().unwrap().strip_prefix("bytes=").unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let told = format!("bytes {first}-{last}/{}", bytes.len());
    let headers = [
        (header::CONTENT_RANGE, told),
        (header::ETAG, "\"1\"".to_owned()),
        (header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT".to_owned()),
    ];
    (StatusCode::PARTIAL_CONTENT, headers, bytes[first..=last].to_vec()).into_response()
}

async fn bucket() -> BlobStore {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(s3).with_state(Objects::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let bucket = Bucket {
        name: "files".to_owned(),
        region: "us-east-1".to_owned(),
        key: "key-id".to_owned(),
        secret: Secret::new("very secret".to_owned()),
        endpoint: Some(endpoint),
    };
    BlobStore::open(&BlobConfig::Bucket(bucket)).unwrap()
}

async fn whole(store: &BlobStore, id: AttachmentId, number: u64, range: Range<u64>) -> Option<Vec<u8>> {
    let chunks: Vec<Bytes> = store.read(id, number, range).await.ok()?.try_collect().await.ok()?;
    Some(chunks.concat())
}

#[tokio::test]
async fn a_part_is_there_whole_or_not_at_all_in_a_folder_in_memory_and_in_a_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let local = BlobStore::open(&BlobConfig::Folder(folder.path().to_owned())).unwrap();
    let others = [AttachmentId::random(), AttachmentId::random()];
    for store in [local, BlobStore::over(Arc::new(InMemory::new())), bucket().await] {
        let id = others[0];
        for finish in [false, true] {
            let mut writer = store.write(id, 0);
            for n in 0..128_u8 {
                writer.put(vec![n; 64 * 1024].into()).await.unwrap();
            }
            assert_eq!(whole(&store, id, 0, 0..1).await, None, "nothing before its end");
            if finish {
                writer.finish().await.unwrap();
            } else {
                writer.abort().await;
            }
        }
        let mut writer = store.write(others[1], 7);
        writer.put(Bytes::from_static(b"another's")).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(whole(&store, id, 0, 65_535..65_538).await.unwrap(), [0, 1, 1]);
        assert_eq!(whole(&store, id, 0, 0..PART_BYTES).await.unwrap().len() as u64, PART_BYTES);
        store.delete_all(id).await.unwrap();
        store.delete_all(id).await.unwrap();
        assert_eq!(whole(&store, id, 0, 0..1).await, None);
        assert_eq!(whole(&store, others[1], 7, 0..9).await.unwrap(), b"another's");
    }
}

#[test]
fn a_full_disk_is_told_as_such() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let wrapped = object_store::Error::Generic { store: "test", source: Box::new(full) };
    let wrapped = io::Error::other(wrapped);
    assert!(matches!(fault(&wrapped), Fault::Refused(problem) if problem.code == ErrorCode::StorageFull));
    assert!(matches!(fault(&io::Error::other("something else")), Fault::Internal(_)));
}
