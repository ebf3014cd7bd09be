//! The binary as an administrator uses it.
#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use bedside_testkit::sentry::Sentry;
use serde_json::Value;
use tempfile::TempDir;

/// A folder of the test's own; gone afterwards.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn database(&self) -> String {
        self.path("clinic.db").display().to_string()
    }
}

fn server() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedside-server"));
    command.env_remove("DATABASE_URL").env_remove("BEDSIDE_CONFIG");
    command
}

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = server()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may have refused before reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn accounts_are_made_listed_and_related_and_mistakes_are_explained() {
    let folder = Folder::new();
    let db = folder.database();
    let add = |login: &str, password: &str| {
        let arguments =
            ["user", "add", "--login", login, "--name", "Ana Ruiz", "--role", "patient", "--database", &db];
        run(&[&arguments[..], &["--password-stdin"]].concat(), password)
    };
    assert!(add("ana", "tulip anvil nine\n").status.success());
    for (login, password, reason) in [
        ("ANA", "tulip anvil nine", "this login is taken"),
        ("tom", "short", "at least 10 characters"),
        ("tom", "Password123!", "everybody tries first"),
        ("tom becker", "tulip anvil nine", "without spaces"),
    ] {
        let refused = add(login, password);
        assert!(!refused.status.success());
        assert!(text(&refused.stderr).contains(reason), "{}", text(&refused.stderr));
    }
    let admin = run(&["admin", "create", "--login", "root", "--database", &db], "");
    assert!(text(&admin.stdout).contains("password\t"), "a password is made up and printed");
    assert!(run(&["contact", "add", "ana", "root", "--database", &db], "").status.success());
    let unknown = run(&["contact", "add", "ana", "nobody", "--database", &db], "");
    assert!(text(&unknown.stderr).contains("nobody has this login"));
    let listed = text(&run(&["user", "list", "--database", &db], "").stdout);
    let columns: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').skip(1).collect()).collect();
    assert_eq!(columns, [["ana", "patient", "Ana Ruiz"], ["root", "admin", "Administrator"]]);
}

#[test]
fn access_is_taken_away_and_given_back() {
    let folder = Folder::new();
    let db = folder.database();
    for (login, role) in [("ana", "patient"), ("osei", "clinician"), ("lind", "clinician")] {
        let add = ["user", "add", "--login", login, "--name", login, "--role", role, "--database", &db];
        assert!(run(&add, "").status.success());
    }
    let contact =
        |act: &str, one: &str, other: &str| run(&["contact", act, one, other, "--database", &db], "");
    assert!(contact("add", "ana", "osei").status.success());
    assert!(contact("remove", "osei", "ana").status.success());
    assert!(contact("remove", "osei", "ana").status.success(), "doing it twice changes nothing");
    let colleagues = contact("remove", "osei", "lind");
    assert!(text(&colleagues.stderr).contains("clinicians always see each other"));

    let user = |act: &str, login: &str| run(&["user", act, "--login", login, "--database", &db], "");
    let listed = || {
        let listed = text(&run(&["user", "list", "--database", &db], "").stdout);
        listed
            .lines()
            .filter_map(|line| line.strip_suffix("\tdisabled")?.split('\t').nth(1))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(user("disable", "ana").status.success());
    assert_eq!(listed(), ["ana"]);
    assert!(text(&contact("add", "ana", "osei").stderr).contains("this account is disabled"));
    assert!(user("enable", "ana").status.success());
    assert!(listed().is_empty());
    assert!(contact("add", "ana", "osei").status.success());
    assert!(text(&user("disable", "nobody").stderr).contains("nobody has this login"));
}

#[test]
fn a_mistake_and_its_cause_are_each_told_once() {
    let folder = Folder::new();
    let missing = folder.path("missing").display().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let db = folder.database();
    let serve = ["serve", "--turn-embedded", "false", "--database", &db, "--listen"];
    let no_database = format!("{missing}/clinic.db");
    for arguments in [
        &["config", "check", "--config", &missing][..],
        &["config", "check", "--turn-secret-file", &missing],
        &["config", "check", "--tls-cert", &missing, "--tls-key", &missing],
        &["user", "list", "--database", &no_database],
        &[&serve[..], &[&address]].concat(),
    ] {
        let told = text(&run(arguments, "").stderr);
        let causes: Vec<&str> = told.trim().split(": ").collect();
        assert!(causes.len() >= 3, "{told}");
        for cause in &causes {
            assert_eq!(told.matches(cause).count(), 1, "{told}");
        }
    }
}

#[test]
fn the_configuration_is_checked_without_serving() {
    let folder = Folder::new();
    let file = folder.path("server.toml");
    std::fs::write(&file, "clinic_name = \"North\"\ncall_timeout = 30\n").unwrap();
    let path = file.display().to_string();
    let db = folder.database();
    let right = run(&["config", "check", "--config", &path, "--database", &db], "");
    assert!(right.status.success(), "{}", text(&right.stderr));
    assert!(text(&right.stdout).contains("North"));
    let open =
        run(&["config", "check", "--listen", "0.0.0.0:0", "--turn-embedded", "false", "--database", &db], "");
    assert!(text(&open.stderr).contains("--tls-cert"), "{}", text(&open.stderr));
    std::fs::write(&file, "clinic_nam = \"North\"\n").unwrap();
    let wrong = run(&["config", "check", "--config", &path], "");
    assert!(text(&wrong.stderr).contains("clinic_nam"), "{}", text(&wrong.stderr));
    assert!(!Path::new(&db).exists(), "a check must not make a database");
}

#[test]
fn a_check_finds_the_archive_and_the_upload_folder_as_a_start_would() {
    let folder = Folder::new();
    let db = folder.database();
    let check = |more: &[&str]| run(&[&["config", "check", "--database", &db], more].concat(), "");
    let missing = check(&["--archive-user", "archive"]);
    assert!(text(&missing.stderr).contains("does not exist"), "{}", text(&missing.stderr));
    assert!(!Path::new(&db).exists(), "a check must not make a database");
    let other = run(&["admin", "create", "--login", "root", "--database", &db], "");
    assert!(other.status.success());
    assert!(!check(&["--archive-user", "archive"]).status.success(), "another account is there");
    let made = run(&["admin", "create", "--login", "archive", "--database", &db], "");
    assert!(made.status.success());
    let right = check(&["--archive-user", "archive"]);
    assert!(right.status.success(), "{}", text(&right.stderr));

    let uploads = folder.path("files").join("of the clinic");
    let given = ["--upload-folder", uploads.to_str().unwrap()];
    assert!(check(&given).status.success());
    assert!(!uploads.parent().unwrap().exists(), "a check must not make a folder");
    std::fs::write(folder.path("files"), "no folder").unwrap();
    let blocked = check(&given);
    assert!(text(&blocked.stderr).contains("the upload folder"), "{}", text(&blocked.stderr));
}

/// A serving process and the URL that it printed.
fn serve(db: &str, more: &[&str]) -> (Child, String) {
    let free =
        ["--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0", "--database", db, "--log-format", "json"];
    let mut command = server();
    command.arg("serve").args(free).args(more);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("Bedside serves at ").unwrap_or_else(|| panic!("{line}")).to_owned();
    (child, url)
}

#[tokio::test]
async fn the_sample_clinic_signs_in_and_neither_names_nor_secrets_reach_the_log() {
    let folder = Folder::new();
    let db = folder.database();
    let clinic: Value = serde_json::from_slice(&run(&["demo-clinic", "--database", &db], "").stdout).unwrap();
    let users = clinic["users"].as_array().unwrap();
    assert_eq!(users.len(), 4);
    assert_eq!(users[0]["name"], "Dr Amara Osei");

    let (mut child, url) = serve(&db, &[]);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let mut sentry = Sentry::new()
        .never("the device's name", "kitchen laptop")
        .never("a wrong password", "never right at all")
        .permits([127, 0, 0, 1].into());
    for user in users {
        let field = |name: &str| user[name].as_str().unwrap().to_owned();
        let body = serde_json::json!({"login": field("login"), "password": field("password"),
            "device": {"name": "Ana's kitchen laptop"}});
        let response = http.post(format!("{url}/api/auth/sign-in")).json(&body).send().await.unwrap();
        let signed: Value = response.json().await.unwrap();
        assert_eq!(signed["user"]["name"], user["name"]);
        let token = signed["access_token"].as_str().unwrap();
        let contacts: Value = http
            .get(format!("{url}/api/contacts"))
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let expected = if user["role"] == "patient" { 2 } else { 3 };
        assert_eq!(contacts["total"], expected);
        let wrong = serde_json::json!({"login": field("login"), "password": "never right at all",
            "device": {"name": "Ana's kitchen laptop"}});
        http.post(format!("{url}/api/auth/sign-in")).json(&wrong).send().await.unwrap();
        for (what, text) in [
            ("a login", field("login")),
            ("a name", field("name")),
            ("a password", field("password")),
            ("an access token", token.to_owned()),
        ] {
            sentry = sentry.never(what, &text);
        }
    }

    stop(&mut child);
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(
        log.contains("signed in") && log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{log}"
    );
    sentry.check("the server's log", &log);
}

/// A client that trusts a new certificate, which is written with its key.
#[cfg(unix)]
fn renew(certificate: &str, key: &str) -> reqwest::Client {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(certificate, made.cert.pem()).unwrap();
    std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
    let trusted = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    // Each request makes a connection of its own.
    reqwest::Client::builder().tls_certs_only([trusted]).pool_max_idle_per_host(0).build().unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn a_hangup_makes_the_server_read_its_certificate_anew_and_go_on() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = Folder::new();
    let path = |name: &str| folder.path(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let old = renew(&certificate, &key);
    let (mut child, url) = serve(&folder.database(), &["--tls-cert", &certificate, "--tls-key", &key]);
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let pid = child.id().to_string();
    let mut hang_up = |expected: &str| {
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        let told = log.find(|line| line.contains("TLS certificate")).unwrap();
        assert!(told.contains(expected), "{told}");
    };
    let health = format!("{url}/healthz");
    assert!(old.get(&health).send().await.is_ok());

    let new = renew(&certificate, &key);
    hang_up("was read anew");
    assert!(new.get(&health).send().await.is_ok());
    assert!(old.get(&health).send().await.is_err(), "the old certificate is gone");

    std::fs::write(&certificate, "half a certif").unwrap();
    hang_up("is still used");
    assert!(new.get(&health).send().await.is_ok());
    stop(&mut child);
}

#[cfg(unix)]
fn stop(child: &mut Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(child.wait().unwrap().success(), "SIGTERM must end the server in good order");
}

#[cfg(windows)]
fn stop(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
