use std::time::Duration;

use super::*;
use crate::config::BlobConfig;

fn parse(text: &str) -> Settings {
    toml::from_str(text).unwrap()
}

fn refusal(text: &str) -> String {
    parse(text).resolve().unwrap_err().to_string()
}

#[test]
fn flags_win_over_the_file_and_defaults_fill_the_rest() {
    let file = parse("listen = \"127.0.0.1:9000\"\ncall_timeout = 45\nclinic_name = \"North\"");
    let flags = Settings { call_timeout: Some(30), ..Settings::default() };
    let config = flags.or(file).resolve().unwrap();
    assert_eq!(config.listen.port(), 9000);
    assert_eq!(config.calls.ring_timeout, Duration::from_secs(30));
    assert_eq!(config.clinic_name, "North");
    assert_eq!(config.calls.max_duration, Duration::from_secs(3600));
    assert_eq!(config.turn.listen, "127.0.0.1:3478".parse().unwrap());
}

#[test]
fn a_longer_call_needs_no_word_about_extensions() {
    let calls = |text: &str| parse(text).resolve().unwrap().calls;
    let hours = |count: u64| Duration::from_secs(count * 3600);
    assert_eq!(calls("").max_extended, hours(4));
    assert_eq!(calls("max_call_duration = 21600").max_extended, hours(6));
    assert_eq!(calls("max_extended_call_duration = 3600").max_extended, hours(1), "no extensions");
}

#[test]
fn quality_is_kept_for_as_many_days_as_are_given() {
    let days = |count: u64| Duration::from_secs(count * 86_400);
    let retention = |text: &str| parse(text).resolve().unwrap().quality_retention;
    assert_eq!(retention(""), days(90));
    assert_eq!(retention("quality_retention_days = 7"), days(7));
    assert!(
        refusal("quality_retention_days = 0").starts_with("quality_retention_days: must be 1 to 3650 days")
    );
}

#[test]
fn a_database_url_is_a_path_with_or_without_its_scheme() {
    for given in ["clinic.db", "sqlite:clinic.db", "sqlite://clinic.db"] {
        let settings = Settings { database: Some(given.to_owned()), ..Settings::default() };
        assert_eq!(settings.database_path(), PathBuf::from("clinic.db"), "{given}");
    }
}

#[test]
fn contradictions_are_explained_by_the_name_of_the_setting() {
    assert!(refusal("tls_cert = \"a.pem\"").starts_with("tls_cert: certificate and key go together"));
    assert!(refusal("listen = \"0.0.0.0:8443\"").starts_with("turn_public_address: "));
    assert!(refusal("call_timeout = 2").starts_with("call_timeout: must be 5 to 600 seconds"));
    assert!(
        refusal("max_call_duration = 1800\nmax_extended_call_duration = 1200")
            .starts_with("max_extended_call_duration: must be 1800 to 86400 seconds")
    );
    assert!(refusal("turn_relay_ports = \"9-3\"").starts_with("turn_relay_ports: "));
    assert!(
        refusal("turn_url = \"http://x\"\nturn_secret = \"long enough\"").starts_with("turn_url: http://x")
    );
    assert!(refusal("turn_url = \"turn:x\"").contains("need turn_secret"));
    assert!(refusal("archive_user = \" \"").starts_with("archive_user: must be a login"));
    assert!(refusal("s3_bucket = \"files\"").starts_with("s3_bucket: a bucket needs s3_key"));
    assert!(refusal("s3_key = \"k\"").starts_with("s3_key: is of no use"));
    assert!(refusal("attachment_max = 0").contains("at least 1"));
    assert!(refusal("rest_rate = 0").contains("at least 1"));
}

#[test]
fn a_misspelt_setting_is_named() {
    let error = toml::from_str::<Settings>("lisen = \"127.0.0.1:1\"").unwrap_err();
    assert!(error.to_string().contains("lisen"), "{error}");
}

#[test]
fn attachments_go_to_a_folder_beside_the_database_or_to_a_bucket() {
    let folder = |text: &str| match parse(text).resolve().unwrap().blobs {
        BlobConfig::Folder(path) => path,
        BlobConfig::Bucket(_) => panic!("a folder was configured"),
    };
    assert_eq!(folder("database = \"/srv/clinic.db\""), PathBuf::from("/srv/uploads"));
    assert_eq!(folder("upload_folder = \"/srv/files\""), PathBuf::from("/srv/files"));
    let bucket = "s3_bucket = \"files\"\ns3_key = \"id\"\ns3_secret = \"long enough\"";
    let BlobConfig::Bucket(bucket) = parse(bucket).resolve().unwrap().blobs else {
        panic!("a bucket was configured")
    };
    assert_eq!((bucket.name.as_str(), bucket.region.as_str()), ("files", "us-east-1"));
}

#[test]
fn a_secret_that_cannot_be_read_is_not_blamed_on_the_configuration_file() {
    let told = refusal("turn_secret_file = \"/nowhere/turn.secret\"");
    assert_eq!(told, "the file /nowhere/turn.secret that turn_secret_file names can't be read");
}

#[test]
fn every_limit_can_be_set() {
    let file = "socket_rate = 2\nsocket_burst = 3\nrest_rate = 4\nrest_burst = 5\nsign_in_attempts = 6\n\
                sign_in_attempts_per_address = 7\nconnections_per_address = 8";
    let limits = parse(file).resolve().unwrap().limits;
    assert_eq!((limits.socket_per_second, limits.socket_burst), (2, 3));
    assert_eq!((limits.rest_per_second, limits.rest_burst), (4, 5));
    assert_eq!((limits.sign_in_attempts, limits.sign_in_attempts_per_address), (6, 7));
    assert_eq!(limits.connections_per_address, 8);
    assert!(
        refusal("connections_per_address = 0").starts_with("connections_per_address: must be at least 1")
    );
}
