//! The licences of everything that is compiled in, as their owners ask for it to be shipped.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{shell, workspace};

/// A file that a package's terms are in starts like one of these.
const NAMES: &[&str] = &["license", "licence", "copying", "notice", "copyright", "unlicense"];

/// Licences whose text is the same whoever gives it, in `packaging/licences`; the shortest terms first, since of several one
/// may choose.
const STANDARD: &[&str] = &["MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "MPL-2.0"];

/// Writes the notices for the app, the server and the client without a window; returns the file's path.
///
/// # Errors
/// A package whose terms can't be told: what can't be shipped with its notice must not be shipped.
pub(crate) fn write(file: &Path) -> Result<PathBuf> {
    let packages: Vec<Package> = crates()?.into_iter().chain(front_end()?).collect();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in &packages {
        for text in package.terms_among(&packages)? {
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
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, notices)?;
    Ok(file.to_owned())
}

struct Package {
    title: String,
    licence: String,
    authors: Vec<String>,
    /// Where its source lives; packages of one repository share its terms.
    repository: Option<String>,
    terms: Vec<String>,
}

impl Package {
    /// The terms it brings, else those of its repository, else the standard text of its licence under its authors' names.
    fn terms_among(&self, all: &[Self]) -> Result<Vec<String>> {
        let kin = all.iter().find(|other| {
            !other.terms.is_empty()
                && self.repository.is_some()
                && other.repository == self.repository
                && other.licence == self.licence
        });
        if !self.terms.is_empty() {
            return Ok(self.terms.clone());
        }
        if let Some(kin) = kin {
            return Ok(kin.terms.clone());
        }
        let offered: Vec<&str> = self.licence.split(['/', ' ', '(', ')']).collect();
        let Some(licence) = STANDARD.iter().find(|name| offered.contains(name)) else {
            bail!("{} is under {}, and its terms are not to be found.", self.title, self.licence);
        };
        let text = fs::read_to_string(workspace::root().join(format!("packaging/licences/{licence}.txt")))?;
        let holders = match self.authors.as_slice() {
            [] => format!("the authors of {}", self.title),
            authors => authors.join(", "),
        };
        Ok(vec![format!("Copyright (c) {holders}\n\n{text}")])
    }
}

/// Every crate of the lock file that this platform's build takes in and that is not our own.
fn crates() -> Result<Vec<Package>> {
    let facts = shell::read(shell::program("rustc").arg("-vV"))?;
    let target = facts.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let told = shell::read(shell::cargo().args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        target,
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
            authors: package["authors"].as_array().into_iter().flatten().map(text).collect(),
            repository: package["repository"].as_str().map(str::to_owned),
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
            authors: Vec::new(),
            repository: None,
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

/// The terms in a package's folder and in the folders right below it, where what it bundles has its own.
fn terms(folder: &Path) -> Result<Vec<String>> {
    let mut folders = vec![folder.to_owned()];
    folders.extend(files(folder)?.filter(|path| path.is_dir()));
    let mut found = Vec::new();
    for folder in folders {
        for file in files(&folder)?.filter(|path| path.is_file()) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            if NAMES.iter().any(|start| name.starts_with(start)) {
                found.push(String::from_utf8_lossy(&fs::read(file)?).replace("\r\n", "\n"));
            }
        }
    }
    Ok(found)
}

fn files(folder: &Path) -> Result<impl Iterator<Item = PathBuf>> {
    Ok(fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(licence: &str, repository: Option<&str>, terms: &[&str]) -> Package {
        Package {
            title: "sample 1.0".to_owned(),
            licence: licence.to_owned(),
            authors: vec!["Somebody".to_owned()],
            repository: repository.map(str::to_owned),
            terms: terms.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn a_package_without_terms_has_those_of_its_repository_or_its_licence() {
        let sibling = [package("BSD-3-Clause", Some("https://here"), &["the terms"])];
        let theirs = package("BSD-3-Clause", Some("https://here"), &[]).terms_among(&sibling).unwrap();
        assert_eq!(theirs, ["the terms"]);
        let standard =
            package("Apache-2.0 OR MIT", Some("https://there"), &[]).terms_among(&sibling).unwrap();
        assert!(standard[0].starts_with("Copyright (c) Somebody\n\nPermission is hereby granted"));
    }

    #[test]
    fn a_package_whose_terms_nobody_knows_is_not_packaged() {
        assert!(package("LicenseRef-Secret", None, &[]).terms_among(&[]).is_err());
    }

    #[test]
    fn the_codecs_that_are_compiled_in_bring_their_owners_terms() {
        let crates = crates().unwrap();
        let terms = |name: &str| {
            let package =
                crates.iter().find(|package| package.title.starts_with(&format!("{name} "))).unwrap();
            package.terms_among(&crates).unwrap().join("\n")
        };
        assert!(terms("openh264-sys2").contains("Cisco Systems"));
        assert!(terms("opusic-sys").contains("Xiph.Org"));
    }
}
