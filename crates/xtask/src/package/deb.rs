//! One Debian package: what goes where, staged as a tree and built with `dpkg-deb`.
//!
//! Dependencies on libraries come from the binary itself (`dpkg-shlibdeps`), so they are never out of date.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    shell,
    workspace::{self, Profile},
};

const MAINTAINER: &str = "The Bedside contributors <maintainers@bedside.example>";
const HOMEPAGE: &str = "https://github.com/bedside-health/bedside";

/// A package in the making.
pub(crate) struct Deb {
    name: &'static str,
    section: &'static str,
    summary: &'static str,
    about: String,
    depends: Vec<&'static str>,
    recommends: Option<&'static str>,
    binaries: Vec<PathBuf>,
    files: Vec<(PathBuf, String)>,
    configuration: Vec<String>,
    scripts: Vec<(PathBuf, &'static str)>,
}

impl Deb {
    pub(crate) fn new(name: &'static str, section: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            section,
            summary,
            about: String::new(),
            depends: Vec::new(),
            recommends: None,
            binaries: Vec::new(),
            files: Vec::new(),
            configuration: Vec::new(),
            scripts: Vec::new(),
        }
    }

    /// A longer description, one paragraph.
    pub(crate) fn about(mut self, text: &str) -> Self {
        self.about = text.to_owned();
        self
    }

    /// A dependency besides the libraries that the binaries need.
    pub(crate) fn depends(mut self, package: &'static str) -> Self {
        self.depends.push(package);
        self
    }

    /// What makes it complete but can be left out.
    pub(crate) fn recommends(mut self, packages: &'static str) -> Self {
        self.recommends = Some(packages);
        self
    }

    /// A program for /usr/bin, without its debug information.
    pub(crate) fn binary(mut self, file: PathBuf) -> Self {
        self.binaries.push(file);
        self
    }

    /// A file; `{name}` in `place` is the package's name.
    pub(crate) fn file(mut self, file: impl AsRef<Path>, place: &str) -> Self {
        self.files.push((file.as_ref().to_owned(), place.replace("{name}", self.name)));
        self
    }

    /// A file that an administrator may change and that an upgrade leaves alone.
    pub(crate) fn configuration(mut self, file: PathBuf, place: &str) -> Self {
        self.configuration.push(format!("/{place}"));
        self.file(file, place)
    }

    /// What runs at installation or removal.
    pub(crate) fn script(mut self, file: PathBuf, role: &'static str) -> Self {
        self.scripts.push((file, role));
        self
    }

    /// Stages the tree and builds the package into `out`.
    pub(crate) fn build(self, profile: Profile, out: &Path) -> Result<PathBuf> {
        let stage = workspace::target().join("xtask/stage").join(self.name);
        if stage.exists() {
            fs::remove_dir_all(&stage)?;
        }
        let meta = stage.join("DEBIAN");
        fs::create_dir_all(&meta)?;
        let mut programs = Vec::new();
        for binary in &self.binaries {
            let place = stage.join("usr/bin").join(binary.file_name().context("a binary has a name")?);
            put(binary, &place, 0o755)?;
            shell::quietly(shell::program("strip").args(["--strip-unneeded"]).arg(&place))?;
            programs.push(place);
        }
        for (file, place) in &self.files {
            put(file, &stage.join(place), 0o644)?;
        }
        let copyright = stage.join("usr/share/doc").join(self.name).join("copyright");
        write(&copyright, &copyright_text(), 0o644)?;
        for (file, role) in &self.scripts {
            put(file, &meta.join(role), 0o755)?;
        }
        if !self.configuration.is_empty() {
            write(&meta.join("conffiles"), &format!("{}\n", self.configuration.join("\n")), 0o644)?;
        }
        write(&meta.join("control"), &self.control(&stage, &libraries(&programs)?)?, 0o644)?;
        let architecture = architecture()?;
        let file = out.join(format!("{}_{}_{architecture}.deb", self.name, env!("CARGO_PKG_VERSION")));
        let squeeze: &[&str] = match profile {
            Profile::Release => &["-Zxz"],
            Profile::Dev => &["-Zgzip", "-z1"],
        };
        shell::quietly(
            shell::program("dpkg-deb")
                .args(squeeze)
                .args(["--root-owner-group", "--build"])
                .arg(&stage)
                .arg(&file),
        )?;
        Ok(file)
    }

    fn control(&self, stage: &Path, libraries: &str) -> Result<String> {
        let mut depends: Vec<&str> = self.depends.clone();
        if !libraries.is_empty() {
            depends.push(libraries);
        }
        let mut control = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\nInstalled-Size: {}\nDepends: {}\n",
            self.name,
            env!("CARGO_PKG_VERSION"),
            architecture()?,
            size(stage)? / 1024,
            depends.join(", "),
        );
        if let Some(recommends) = self.recommends {
            control.push_str(&format!("Recommends: {recommends}\n"));
        }
        control.push_str(&format!(
            "Section: {}\nPriority: optional\nHomepage: {HOMEPAGE}\nDescription: {}\n {}\n",
            self.section, self.summary, self.about
        ));
        Ok(control)
    }
}

fn put(file: &Path, place: &Path, mode: u32) -> Result<()> {
    parents(place)?;
    fs::copy(file, place).with_context(|| format!("{} is not there to be packaged", file.display()))?;
    permit(place, mode)
}

fn write(place: &Path, text: &str, mode: u32) -> Result<()> {
    parents(place)?;
    fs::write(place, text)?;
    permit(place, mode)
}

/// Makes the folders above `place`, readable whatever this shell's umask is.
fn parents(place: &Path) -> Result<()> {
    let mut missing = Vec::new();
    let mut folder = place.parent();
    while let Some(path) = folder.filter(|path| !path.exists()) {
        missing.push(path);
        folder = path.parent();
    }
    for path in missing.into_iter().rev() {
        fs::create_dir(path)?;
        permit(path, 0o755)?;
    }
    Ok(())
}

#[cfg(unix)]
fn permit(place: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(place, fs::Permissions::from_mode(mode))?)
}

#[cfg(not(unix))]
fn permit(_place: &Path, _mode: u32) -> Result<()> {
    anyhow::bail!("Debian packages are built on Debian or Ubuntu.")
}

fn architecture() -> Result<String> {
    Ok(shell::read(shell::program("dpkg").arg("--print-architecture"))?.trim().to_owned())
}

/// The libraries' packages with the least versions that have every symbol used.
fn libraries(programs: &[PathBuf]) -> Result<String> {
    let scratch = workspace::target().join("xtask/shlibdeps");
    fs::create_dir_all(scratch.join("debian"))?;
    fs::write(scratch.join("debian/control"), "Source: bedside\n\nPackage: bedside\nArchitecture: any\n")?;
    let said = shell::read(shell::program("dpkg-shlibdeps").arg("-O").args(programs).current_dir(&scratch))?;
    let found = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(found.unwrap_or_default().to_owned())
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        bytes += if facts.is_dir() { size(&entry.path())? } else { facts.len() };
    }
    Ok(bytes)
}

fn copyright_text() -> String {
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: Bedside\nSource: {HOMEPAGE}\n\nFiles: *\nCopyright: 2026 The Bedside contributors\n\
         License: MIT or Apache-2.0\n On Debian systems the Apache licence is in\n \
         /usr/share/common-licenses/Apache-2.0. The licences of what is compiled in\n \
         are in THIRD-PARTY.txt beside this file.\n"
    )
}
