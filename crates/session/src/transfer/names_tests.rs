use proptest::prelude::*;

use super::*;
use crate::transfer::testing::Folder;

#[test]
fn a_name_leads_nowhere_else_and_shows_what_it_is() {
    for (given, made) in [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        (r"C:\Windows\system32\evil.dll", "evil.dll"),
        ("C:evil", "C_evil"),
        ("..", "file"),
        ("", "file"),
        (" . . ", "file"),
        ("folder/", "folder"),
        (".bashrc", "bashrc"),
        ("notes.txt. . ", "notes.txt"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("Com1 .txt", "_Com1 .txt"),
        ("LPT³", "_LPT³"),
        ("COM10.txt", "COM10.txt"),
        ("console.log", "console.log"),
        ("a\u{202e}fdp.exe", "afdp.exe"),
        ("a\u{0}b\nc.txt", "abc.txt"),
        ("a\u{2215}b\u{ff0f}c", "a_b_c"),
        ("what? <this>: \"that\"|*.txt", "what_ _this__ _that___.txt"),
        ("Ärztebrief – Müller.pdf", "Ärztebrief – Müller.pdf"),
        ("👩\u{200d}⚕️.png", "👩\u{200d}⚕️.png"),
    ] {
        assert_eq!(safe(given), made, "{given:?}");
    }
}

#[test]
fn a_long_name_keeps_its_extension() {
    let made = safe(&format!("{}.docx", "ä".repeat(300)));
    assert!(made.len() <= MAX_NAME_BYTES && made.ends_with("ä.docx"), "{made}");
    let made = safe(&format!("a.{}", "x".repeat(300)));
    assert_eq!(made.len(), MAX_NAME_BYTES);
    let second = numbered(&safe(&format!("{}.docx", "ä".repeat(300))), 2);
    assert!(second.len() <= MAX_NAME_BYTES && second.ends_with("ä (2).docx"), "{second}");
}

#[test]
fn files_of_one_name_stay_apart() {
    let folder = Folder::new();
    let settle_one = |content: &str| {
        let temp = folder.path().join(".part");
        std::fs::write(&temp, content).unwrap();
        settle(&temp, folder.path(), "report.pdf").unwrap()
    };
    std::fs::create_dir(folder.path().join("report (3).pdf")).unwrap();
    let names: Vec<_> = ["one", "two", "three"].map(settle_one).into_iter().collect();
    let names: Vec<_> = names.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["report.pdf", "report (2).pdf", "report (4).pdf"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("report (2).pdf")).unwrap(), "two");
    assert!(!folder.path().join(".part").exists());
}

#[cfg(unix)]
#[test]
fn a_link_that_somebody_left_is_not_followed() {
    let folder = Folder::new();
    let target = folder.path().join("target");
    std::os::unix::fs::symlink(&target, folder.path().join("report.pdf")).unwrap();
    std::fs::write(folder.path().join(".part"), "content").unwrap();
    let made = settle(&folder.path().join(".part"), folder.path(), "report.pdf").unwrap();
    assert_eq!(made.file_name().unwrap(), "report (2).pdf");
    assert!(!target.exists());
}

#[test]
fn many_at_once_never_take_each_others_name() {
    let folder = Folder::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let folder = folder.path();
            scope.spawn(move || {
                for round in 0..20 {
                    let temp = folder.join(format!(".{thread}-{round}"));
                    std::fs::write(&temp, format!("{thread}-{round}")).unwrap();
                    settle(&temp, folder, "scan.png").unwrap();
                }
            });
        }
    });
    let mut contents: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    contents.sort();
    contents.dedup();
    assert_eq!(contents.len(), 160);
}

proptest! {
    #[test]
    fn no_name_is_unsafe(name in ".{0,300}") {
        check(&name)?;
    }

    #[test]
    fn no_name_of_dangerous_pieces_is_unsafe(pieces in proptest::collection::vec(
        proptest::sample::select(vec![
            "..", "/", "\\", ".", " ", "CON", "nul", "com1", "LPT9", "\u{202e}", "\u{0}", ":", "\u{2215}", "x",
            "ä", "👩", "\u{200d}", "\u{e0041}", "abcdefghijklmnopqrstuvwxyz0123456789", "\t", "\u{a0}", "$", "¹",
        ]), 0..30)) {
        check(&pieces.concat())?;
    }
}

fn check(name: &str) -> Result<(), TestCaseError> {
    for number in [1, 2, 9_999] {
        let made = numbered(&safe(name), number);
        prop_assert!(!made.is_empty() && made.len() <= MAX_NAME_BYTES, "{made:?}");
        prop_assert!(!made.contains(['/', '\\', ':', '\0']), "{made:?}");
        prop_assert!(!made.chars().any(|c| c.is_control() || is_hidden(c)), "{made:?}");
        prop_assert!(!made.starts_with(['.', ' ']) && !made.ends_with(['.', ' ']), "{made:?}");
        prop_assert!(!is_reserved(&made), "{made:?}");
        let components: Vec<_> = Path::new(&made).components().collect();
        prop_assert!(
            matches!(components[..], [std::path::Component::Normal(_)]),
            "{made:?} is more than a name"
        );
    }
    prop_assert_eq!(safe(&safe(name)), safe(name));
    Ok(())
}
