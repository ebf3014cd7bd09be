//! A clean system that programs are installed and run in: a copy of one that was made once by debootstrap.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{setup::apt::privileged, shell, workspace};

/// Where apt keeps what it downloaded, inside a root.
const ARCHIVES: &str = "var/cache/apt/archives";

/// A program in a clean root, which ends with its owner.
pub(super) struct Running {
    name: &'static str,
    child: Child,
}

impl Running {
    /// Whether it has ended.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // `unshare` itself ignores TERM while it waits; the program is its one child.
        let parent = self.child.id().to_string();
        let ended = privileged("pkill")
            .and_then(|mut kill| shell::quietly(kill.args(["-TERM", "--parent", &parent])))
            .and_then(|()| Ok(self.child.wait()?));
        if let Err(error) = ended {
            eprintln!("  {} could not be stopped: {error:#}", self.name);
        }
    }
}

/// A fresh minimal system of this machine's own release; removed with its owner.
pub(super) struct CleanRoot {
    folder: PathBuf,
}

impl CleanRoot {
    /// A fresh copy.
    pub(super) fn make() -> Result<Self> {
        let pristine = pristine()?;
        let root = Self { folder: workspace::target().join(format!("xtask/root-{}", std::process::id())) };
        fs::create_dir_all(workspace::target().join("xtask"))?;
        shell::quietly(
            privileged("cp")?.args(["--archive", "--reflink=auto"]).arg(&pristine).arg(&root.folder),
        )?;
        Ok(root)
    }

    fn command(&self, script: &str) -> Result<Command> {
        inside(&self.folder, script)
    }

    /// Brings a file into its `/tmp` and returns where it is for programs inside.
    pub(super) fn bring(&self, file: &Path) -> Result<String> {
        let name = file.file_name().context("a package has a name")?.to_string_lossy().into_owned();
        shell::quietly(privileged("cp")?.arg(file).arg(self.folder.join("tmp").join(&name)))?;
        Ok(format!("/tmp/{name}"))
    }

    /// Starts the program that `script` ends with (`exec`).
    pub(super) fn start(&self, name: &'static str, script: &str) -> Result<Running> {
        let child = self
            .command(script)?
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        Ok(Running { name, child })
    }

    /// Runs `script`; shows what it said only when it fails.
    pub(super) fn quietly(&self, script: &str) -> Result<()> {
        shell::quietly(&mut self.command(script)?)
    }

    /// Runs `script` and returns what it printed.
    pub(super) fn read(&self, script: &str) -> Result<String> {
        shell::read(&mut self.command(script)?)
    }

    /// Keeps what apt downloaded for the next time.
    pub(super) fn keep_downloads(&self) -> Result<()> {
        shell::quietly(
            privileged("cp")?
                .args(["--archive", "--update", "--no-target-directory"])
                .arg(self.folder.join(ARCHIVES))
                .arg(pristine()?.join(ARCHIVES)),
        )
    }
}

impl Drop for CleanRoot {
    fn drop(&mut self) {
        if let Err(error) =
            privileged("rm").and_then(|mut rm| shell::quietly(rm.arg("-rf").arg(&self.folder)))
        {
            eprintln!("  The clean root could not be removed: {error:#}");
        }
    }
}

/// Runs `script` in the system under `folder`, with a process table of its own that ends with it.
fn inside(folder: &Path, script: &str) -> Result<Command> {
    let mut command = privileged("unshare")?;
    command.args(["--pid", "--fork", "--kill-child=TERM"]);
    command.arg(format!("--mount-proc={}", folder.join("proc").display()));
    command.arg("chroot").arg(folder).args(["/bin/sh", "-c", script]);
    command
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8");
    Ok(command)
}

/// The untouched system that clean roots are copies of, made once.
fn pristine() -> Result<PathBuf> {
    let sources = sources()?;
    let (mirror, release) = sources.first().context("apt knows no source of packages")?;
    let folder = workspace::cache().join(format!("clean-root-{release}"));
    let tree = folder.join("root");
    if folder.join("done").exists() {
        return Ok(tree);
    }
    eprintln!("  Making a clean {release} system; it is kept in .cache.");
    fs::create_dir_all(&folder)?;
    shell::quietly(privileged("rm")?.arg("-rf").arg(&tree))?;
    shell::quietly(
        privileged("debootstrap")?
            .args(["--variant=minbase", "--include=ca-certificates", release])
            .arg(&tree)
            .arg(mirror),
    )?;
    let lines: String = sources
        .iter()
        .filter(|(_, suite)| suite.starts_with(release.as_str()))
        .map(|(mirror, suite)| format!("deb {mirror} {suite} main\\n"))
        .collect();
    shell::quietly(&mut inside(
        &tree,
        &format!("printf '{lines}' > /etc/apt/sources.list && apt-get update"),
    )?)?;
    fs::write(folder.join("done"), "")?;
    Ok(tree)
}

/// This machine's own mirrors and releases, the main one first.
fn sources() -> Result<Vec<(String, String)>> {
    let release =
        shell::read(shell::program("sh").args(["-c", ". /etc/os-release; echo $VERSION_CODENAME"]))?;
    let release = release.trim();
    let told = shell::read(shell::program("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(CODENAME)",
        "Created-By: Packages",
        "Component: main",
    ]))?;
    let mut sources: Vec<(String, String)> = told
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, suite)| suite.starts_with(release))
        .map(|(mirror, suite)| (mirror.to_owned(), suite.to_owned()))
        .collect();
    sources.sort_by_key(|(_, suite)| suite.len());
    sources.dedup();
    Ok(sources)
}
