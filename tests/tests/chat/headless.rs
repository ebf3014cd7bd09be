//! The program without a window, as scripts use it: what it does, and the report that it leaves (`docs/headless.md`).

use std::{
    path::Path,
    process::{Command, Output},
};

use bedside_protocol::Role;
use bedside_testkit::{
    clinic::{Clinic, PASSWORD},
    programs::program,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Two people's computers, and the address of their clinic.
struct Setting {
    url: String,
    folder: TempDir,
}

impl Setting {
    /// Runs the program as `login`, always the same device, until it ends.
    fn run(&self, what: &str, login: &str, arguments: &[&str]) -> JoinHandle<Output> {
        let mut command = Command::new(program("bedside-headless"));
        command.args([what, "--patience", "60", "--server", &self.url, "--login", login]);
        command.arg("--password-file").arg(self.folder.path().join("password"));
        command.arg("--profile").arg(self.folder.path().join(login)).args(arguments);
        tokio::task::spawn_blocking(move || command.output().expect("it starts"))
    }
}

async fn ended(run: JoinHandle<Output>, what: &str) -> Output {
    let output = run.await.expect("it ends");
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn fields(report: &Value) -> Vec<&str> {
    let mut names: Vec<_> = report.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// One file of this length, with times that belong to it.
fn is_file_of(files: &Value, bytes: usize) {
    let [file] = files.as_array().expect("a list").as_slice() else { panic!("not one file: {files}") };
    assert_eq!(fields(file), ["bytes", "mb_per_second", "seconds"]);
    assert_eq!(file["bytes"], bytes);
    let (seconds, speed) =
        (file["seconds"].as_f64().expect("a number"), file["mb_per_second"].as_f64().expect("a number"));
    let megabytes = bytes as f64 / 1e6;
    assert!(seconds > 0.0 && (seconds * speed - megabytes).abs() < megabytes / 100.0, "{file}");
}

fn is_a_process(report: &Value) {
    assert_eq!(fields(report), ["cpu_s", "peak_rss_bytes"]);
    assert!(
        report["cpu_s"].as_f64().expect("a number") > 0.0
            && report["peak_rss_bytes"].as_u64().expect("a number") > 0
    );
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a report")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_write_to_each_other_send_a_file_and_report_it_as_the_manual_says() {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let setting = Setting { url: clinic.url(), folder: tempfile::tempdir().unwrap() };
    let (sent, saved) = (setting.folder.path().join("sent"), setting.folder.path().join("saved"));
    for folder in [&sent, &saved] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(setting.folder.path().join("password"), PASSWORD).unwrap();
    let content: Vec<u8> =
        (0..700_001_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let file = sent.join("letter.pdf");
    std::fs::write(&file, &content).unwrap();

    let heard = setting.folder.path().join("ana.json");
    let [saved_in, letter, report] = [&saved, &file, &heard].map(|path| path.display().to_string());
    let listens = ["--expect", "4", "--send", "I am", "--save-files", &saved_in, "--expect-files", "1"];
    let patient = setting.run("chat", "ana", &[&listens[..], &["--report", &report]].concat());
    let writes = ["--with", "ana", "--send", "Are you there?", "--send", "A letter follows.", "--count", "2"];
    let doctor = setting.run("chat", "osei", &[&writes[..], &["--expect", "1", "--report", "-"]].concat());
    let doctor = ended(doctor, "the doctor's chat").await;
    let sender = setting.run("send-file", "osei", &["--to", "ana", &letter, "--report", "-"]);
    let sender = ended(sender, "sending").await;
    ended(patient, "the patient's chat").await;

    // Nothing but the report is on standard output.
    let doctor: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let sender: Value = serde_json::from_slice(&sender.stdout).expect("JSON");
    let patient = read(&heard);
    let all = ["delivered", "files", "latency_ms", "process", "protection", "received", "sent"];
    for (report, sent) in [(&doctor, 4), (&patient, 1)] {
        assert_eq!(fields(report), all);
        assert_eq!((&report["sent"], &report["delivered"]), (&sent.into(), &sent.into()));
        assert_eq!(report["protection"], "encrypted");
        is_a_process(&report["process"]);
    }
    assert_eq!(doctor["received"], serde_json::json!(["I am"]));
    assert_eq!(doctor["files"], serde_json::json!([]), "the doctor saved none");
    assert_eq!(doctor["latency_ms"], Value::Null, "what the patient wrote carries no time");
    let received: Vec<_> = patient["received"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(received[..2], ["Are you there?", "A letter follows."]);
    assert!(
        received.len() == 4 && received[2].starts_with("#0 ") && received[3].starts_with("#1 "),
        "{received:?}"
    );
    let latency = &patient["latency_ms"];
    assert_eq!(fields(latency), ["p50", "p99"]);
    assert!(latency["p50"].as_f64().unwrap() <= latency["p99"].as_f64().unwrap());
    is_file_of(&patient["files"], content.len());

    assert_eq!(fields(&sender), ["files", "process"]);
    is_file_of(&sender["files"], content.len());
    is_a_process(&sender["process"]);
    assert!(std::fs::read(saved.join("letter.pdf")).unwrap() == content, "the file is another one");
    clinic.close().await;
}
