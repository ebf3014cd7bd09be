//! Certificates change while the server runs.

use super::*;

/// Writes a certificate and its key; gives the key.
fn renew(files: &TlsFiles) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, &key).unwrap();
    key
}

#[tokio::test]
async fn a_renewed_certificate_takes_the_place_of_the_old_one_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    let old_key = renew(&files);
    let served = load_tls(&files).await.unwrap();
    let old = served.get_inner();

    renew(&files);
    reload_tls(&served, &files).await.unwrap();
    let new = served.get_inner();
    assert!(!Arc::ptr_eq(&old, &new));
    assert_eq!(new.alpn_protocols, old.alpn_protocols);

    std::fs::write(&files.key, old_key).unwrap();
    let refused = reload_tls(&served, &files).await;
    assert!(matches!(refused, Err(StartError::Tls { .. })), "the key is of another certificate");
    std::fs::write(&files.certificate, "half a certif").unwrap();
    assert!(reload_tls(&served, &files).await.is_err());
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(reload_tls(&served, &files).await.is_err());
    assert!(Arc::ptr_eq(&new, &served.get_inner()), "what was served is served still");
}
