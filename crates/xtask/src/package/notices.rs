//! The licences of everything that is compiled in, as their owners ask for it to be shipped.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{shell, workspace};

/// A file that a package's terms are in starts like one of these.
const NAMES: &[&str] = &["license", "licence", "copying", "notice", "copyright", "unlicense"];

/// Writes the notices for the app, the server and the client without a window; returns the file's path.
pub(crate) fn write(file: &Path) -> Result<std::path::PathBuf> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut plain = Vec::new();
    for package in crates()?.into_iter().chain(front_end()?) {
        if package.terms.is_empty() {
            plain.push(format!("{}: {}", package.title, package.licence));
        }
        for text in package.terms {
            texts.entry(text).or_default().push(format!("{} ({})", package.title, package.licence));
        }
    }
    let mut notices = String::from(
        "Bedside contains the work of others. Their names and terms follow; each set of terms stands once, beneath the \
         packages that it holds for.\n",
    );
    for (text, mut titles) in texts {
        titles.sort();
        titles.dedup();
        notices.push_str(&format!("\n{}\n{}\n\n{}\n", "=".repeat(80), titles.join("\n"), text.trim_end()));
    }
    if !plain.is_empty() {
        plain.sort();
        notices.push_str(&format!("\n{}\nThese name their licence without its text:\n", "=".repeat(80)));
        notices.push_str(&plain.join("\n"));
        notices.push('\n');
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, notices)?;
    Ok(file.to_owned())
}

struct Package {
    title: String,
    licence: String,
    terms: Vec<String>,
}

/// Every crate of the lock file that this platform's build takes in and that is not our own.
fn crates() -> Result<Vec<Package>> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let told = shell::read(shell::cargo().args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        &target,
    ]))?;
    let metadata: Value = serde_json::from_str(&told).context("cargo metadata did not answer with JSON")?;
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(manifest) = package["manifest_path"].as_str().filter(|_| !package["source"].is_null())
        else {
            continue;
        };
        packages.push(Package {
            title: format!("{} {}", text(&package["name"]), text(&package["version"])),
            licence: text(&package["license"]),
            terms: terms(Path::new(manifest).parent().context("a manifest is in a folder")?)?,
        });
    }
    Ok(packages)
}

/// What the front end's bundle contains.
fn front_end() -> Result<Vec<Package>> {
    let folder = workspace::root().join("ui");
    let manifest = read_json(&folder.join("package.json"))?;
    let mut packages = Vec::new();
    let bundled = manifest["dependencies"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    // Svelte is a build tool whose runtime is part of the bundle.
    for name in bundled.chain(["svelte"]) {
        let place = folder.join("node_modules").join(name);
        let facts = read_json(&place.join("package.json"))?;
        packages.push(Package {
            title: format!("{name} {}", text(&facts["version"])),
            licence: text(&facts["license"]),
            terms: terms(&place)?,
        });
    }
    Ok(packages)
}

fn read_json(file: &Path) -> Result<Value> {
    let told = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(serde_json::from_str(&told)?)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("unknown").to_owned()
}

fn terms(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if NAMES.iter().any(|start| name.starts_with(start)) && entry.path().is_file() {
            found.push(String::from_utf8_lossy(&fs::read(entry.path())?).replace("\r\n", "\n"));
        }
    }
    Ok(found)
}
