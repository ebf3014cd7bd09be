//! File names: what another person's computer calls a file, made safe to be a name here.
//!
//! A name from outside is text to be shown and one component of a path, never more: no separator of any system, no
//! character that hides or turns around what a person reads, nothing that Windows takes for a device. The same rules
//! hold on every system, as files move on.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// The longest name, bytes of UTF-8. File systems permit 255; room is left for a number and for folders of others.
pub const MAX_NAME_BYTES: usize = 120;
/// The longest part after the last dot that counts as an extension, bytes.
const MAX_EXTENSION_BYTES: usize = 16;
/// What a file without a usable name is called.
const NAMELESS: &str = "file";
/// How many files of one name a folder takes.
const MOST_NUMBERS: u32 = 10_000;

/// Names of devices on Windows, alone or before a dot.
const RESERVED: [&str; 7] = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"];

/// A name that is safe on every system, as like `name` as possible. Doing it twice changes nothing more.
#[must_use]
pub fn safe(name: &str) -> String {
    let last = name.split(['/', '\\']).rev().find(|part| !is_nothing(part)).unwrap_or_default();
    let shown: String = last.chars().filter(|c| !is_hidden(*c)).map(replace).collect();
    let short = shorten(trim(&shown), MAX_NAME_BYTES);
    match short.as_str() {
        "" => NAMELESS.to_owned(),
        reserved if is_reserved(reserved) => shorten(&format!("_{reserved}"), MAX_NAME_BYTES),
        _ => short,
    }
}

/// `report.pdf`, then `report (2).pdf`, `report (3).pdf` …; `name` is safe already.
#[must_use]
pub fn numbered(name: &str, number: u32) -> String {
    if number < 2 {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    let tail = format!(" ({number}){extension}");
    let room = MAX_NAME_BYTES.saturating_sub(tail.len());
    format!("{}{tail}", cut(stem, room).trim_end())
}

/// Gives the complete file `temp` the first free name like `name` in `folder`, and that name only. Never replaces a
/// file, whoever else is at work there.
///
/// # Errors
/// When the file system refuses; `temp` is still there then.
pub fn settle(temp: &Path, folder: &Path, name: &str) -> io::Result<PathBuf> {
    for number in 1..=MOST_NUMBERS {
        let path = folder.join(numbered(name, number));
        match rename_new(temp, &path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(_) if path.symlink_metadata().is_ok() => continue,
            // Not on this file system.
            Err(_) => {}
        }
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            // The name is ours: replaced at once by the whole file.
            Ok(_) => match fs::rename(temp, &path) {
                Ok(()) => return Ok(path),
                Err(error) => {
                    let _ = fs::remove_file(&path);
                    return Err(error);
                }
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Renames where nothing is, in one step: a process that is killed leaves either name, and never half a file under the
/// final one.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// A link is made only where nothing is. A process that is killed before the other name is gone leaves both.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

/// The media type that a name's extension suggests.
#[must_use]
pub fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "csv" => "text/csv",
        "zip" => "application/zip",
        "dcm" => "application/dicom",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "ogg" | "opus" => "audio/ogg",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}

/// What is left of a path after its names: nothing, or a way upwards.
fn is_nothing(part: &str) -> bool {
    part.chars().all(|c| c == '.' || c.is_whitespace())
}

/// Characters that show nothing, or change how the others are read.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{e0000}'..='\u{e0fff}')
}

fn replace(c: char) -> char {
    match c {
        '<' | '>' | ':' | '"' | '|' | '?' | '*' => '_',
        // They look like separators.
        '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}' | '\u{fe68}'
        | '\u{ff0f}' | '\u{ff3c}' => '_',
        c if c.is_whitespace() => ' ',
        c => c,
    }
}

/// Without dots and spaces round it: a leading dot hides a file, trailing ones Windows drops.
fn trim(name: &str) -> &str {
    name.trim_matches(|c: char| c == '.' || c.is_whitespace())
}

fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt")).is_some_and(|number| {
        let mut digits = number.chars();
        let digit = digits.next().is_some_and(|c| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'));
        digit && digits.next().is_none()
    });
    numbered || RESERVED.contains(&stem.as_str())
}

/// Stem and extension, the latter with its dot, or empty.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot - 1 <= MAX_EXTENSION_BYTES => name.split_at(dot),
        _ => (name, ""),
    }
}

fn shorten(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    trim(&format!("{}{extension}", cut(stem, most - extension.len()).trim_end())).to_owned()
}

/// The longest beginning of at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
