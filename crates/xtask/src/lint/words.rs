//! Slips that must not be committed: conflict markers, folders of one person's machine, notes to oneself.

use std::fs;

use anyhow::{Result, bail};

use crate::{shell, workspace};

/// A slip and what to do instead. Written in halves, so that this file does not find itself.
const SLIPS: &[(&str, &str, &str)] = &[
    ("<<<<", "<<< ", "a conflict was left unresolved"),
    (">>>>", ">>> ", "a conflict was left unresolved"),
    ("/ho", "me/", "names a folder of one person's machine"),
    ("/ro", "ot/", "names a folder of one person's machine"),
    ("/wo", "rk/", "names a folder of one person's machine"),
    ("TO", "DO", "an open end belongs into an issue"),
    ("FIX", "ME", "an open end belongs into an issue"),
    ("XX", "X", "an open end belongs into an issue"),
    ("todo", "!(", "finish it or leave it out"),
    ("dbg", "!(", "left over from debugging"),
    ("Oo", "ps", "the interface says what happened and what to do"),
];

/// Looks through every committed text file but lock files and this crate's own list.
pub(crate) fn check() -> Result<()> {
    let listed = shell::read(shell::program("git").args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut found = Vec::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        if name.ends_with(".lock") || name.ends_with("package-lock.json") || name.ends_with(".svg") {
            continue;
        }
        let Ok(text) = fs::read_to_string(workspace::root().join(name)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for why in slips(line) {
                found.push(format!("{name}:{}: {why}: {}", number + 1, line.trim()));
            }
        }
    }
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    Ok(())
}

fn slips(line: &str) -> impl Iterator<Item = &'static str> {
    SLIPS.iter().filter(move |(head, tail, _)| has(line, &format!("{head}{tail}"))).map(|(_, _, why)| *why)
}

/// Whether `slip` stands in `line`; a path only where it begins, so that `./home/page` is none.
fn has(line: &str, slip: &str) -> bool {
    line.match_indices(slip).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !slip.starts_with('/')
            || before.is_none_or(|mark| !mark.is_alphanumeric() && !"._-}/*".contains(mark))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_marker_and_a_note_to_oneself_are_found() {
        assert_eq!(slips(&format!("{}{} HEAD", "<<<<", "<<<")).count(), 1);
        assert_eq!(slips(&format!("// {}{}: later", "TO", "DO")).count(), 1);
        assert_eq!(slips(&format!("see {}{}ana/notes", "/ho", "me/")).count(), 1);
        assert_eq!(slips("import People from \"./home/People.svelte\";").count(), 0);
        assert_eq!(slips("An ordinary line about a home visit.").count(), 0);
    }
}
