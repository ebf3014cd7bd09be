//! Installs the packages in a clean root as a clinic would, runs what they brought, and removes them again.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{setup::apt::privileged, shell, workspace};

/// Where the packaged configuration has the server listen.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8443);

/// Where apt keeps what it downloaded, inside a root.
const ARCHIVES: &str = "var/cache/apt/archives";

/// Installs, runs and removes `packages`.
pub(crate) fn run(packages: &[PathBuf]) -> Result<()> {
    let root = CleanRoot::make()?;
    let files: Vec<String> = packages
        .iter()
        .map(|file| {
            let name = file.file_name().context("a package has a name")?.to_string_lossy().into_owned();
            shell::quietly(privileged("cp")?.arg(file).arg(root.folder.join("tmp").join(&name)))?;
            Ok(format!("/tmp/{name}"))
        })
        .collect::<Result<_>>()?;
    eprintln!("  Installing the packages in a clean root.");
    root.quietly(&format!("apt-get install --yes --no-install-recommends {}", files.join(" ")))?;
    root.keep_downloads()?;
    for binary in ["bedside", "bedside-server", "bedside-headless"] {
        let version = root.read(&format!("{binary} --version"))?;
        ensure!(version.contains(env!("CARGO_PKG_VERSION")), "{binary} --version said only {version:?}");
        eprintln!("  {}", version.trim());
    }
    serve(&root)?;
    root.quietly("apt-get purge --yes bedside-server bedside bedside-headless")?;
    ensure!(
        root.read("ls -d /var/lib/bedside /etc/bedside 2>/dev/null || true")?.is_empty(),
        "purging left data behind"
    );
    ensure!(root.read("getent passwd bedside || true")?.is_empty(), "purging left the user behind");
    eprintln!("  Installed, run and removed without a trace.");
    Ok(())
}

/// Runs the server as its own user with the packaged configuration and asks how it is.
fn serve(root: &CleanRoot) -> Result<()> {
    ensure!(TcpStream::connect(ADDRESS).is_err(), "something else on this machine listens on {ADDRESS}");
    let mut server = Running(
        root.command(
            "exec setpriv --reuid=bedside --regid=bedside --clear-groups \
                      bedside-server serve --config /etc/bedside/server.toml",
        )?
        .stdin(Stdio::null())
        .spawn()
        .context("the packaged server could not be started")?,
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    let answer = loop {
        if let Some(status) = server.0.try_wait()? {
            bail!("the packaged server ended at once ({status})");
        }
        match ask("/healthz") {
            Ok(answer) => break answer,
            Err(error) if Instant::now() > deadline => {
                return Err(error.context("the packaged server never answered"));
            }
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    };
    ensure!(answer.starts_with("HTTP/1.1 200"), "/healthz answered {answer:?}");
    eprintln!("  The packaged server is healthy.");
    Ok(())
}

fn ask(path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&ADDRESS, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // `unshare` itself ignores TERM while it waits; the server is its one child.
        let ended = privileged("pkill")
            .and_then(|mut kill| shell::quietly(kill.args(["-TERM", "--parent", &self.0.id().to_string()])));
        if let Err(error) = ended.and_then(|()| Ok(self.0.wait()?)) {
            eprintln!("  The packaged server could not be stopped: {error:#}");
        }
    }
}

/// A fresh minimal system of this machine's own release; removed with its owner.
struct CleanRoot {
    folder: PathBuf,
}

impl CleanRoot {
    fn make() -> Result<Self> {
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

    fn quietly(&self, script: &str) -> Result<()> {
        shell::quietly(&mut self.command(script)?)
    }

    fn read(&self, script: &str) -> Result<String> {
        shell::read(&mut self.command(script)?)
    }

    /// Keeps what apt downloaded for the next time.
    fn keep_downloads(&self) -> Result<()> {
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
