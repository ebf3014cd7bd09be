//! Debian's kernel: downloaded as a package, unpacked and kept, never installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The test camera's driver.
const DRIVER: &str = "vivid";

/// A kernel and the modules that the test camera needs.
pub(crate) struct Kernel {
    /// What boots.
    pub(crate) image: PathBuf,
    /// In the order to load them.
    pub(crate) modules: Vec<PathBuf>,
}

/// Finds the kernel in `folder`, or downloads it there.
pub(crate) fn fetch(folder: &Path) -> Result<Kernel> {
    let root = folder.join("kernel");
    if !root.join("complete").exists() {
        download(folder, &root)?;
    }
    let image = find(&root.join("boot"), |name| name.starts_with("vmlinuz-")).context("no kernel image")?;
    let mut modules = Vec::new();
    collect(&root.join("lib/modules"), DRIVER, &mut modules)?;
    Ok(Kernel { image, modules })
}

fn download(folder: &Path, root: &Path) -> Result<()> {
    let listed = read(Command::new("apt-cache").args(["depends", "linux-image-amd64"]))?;
    let package = listed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .context("the package source has no linux-image-amd64")?;
    println!("downloading {package} (70 MB, once)");
    let packages = folder.join("package");
    std::fs::create_dir_all(&packages)?;
    read(Command::new("apt-get").args(["download", package]).current_dir(&packages))?;
    let file = find(&packages, |name| name.ends_with(".deb")).context("no package came")?;
    read(Command::new("dpkg-deb").arg("-x").arg(&file).arg(root))?;
    std::fs::remove_dir_all(&packages)?;
    std::fs::write(root.join("complete"), package)?;
    Ok(())
}

/// Adds a module after all that it depends on.
fn collect(modules: &Path, name: &str, order: &mut Vec<PathBuf>) -> Result<()> {
    let plain = |name: &str| name.replace('-', "_");
    let file =
        find(modules, |file| file.split_once(".ko").is_some_and(|(stem, _)| plain(stem) == plain(name)))
            .with_context(|| format!("the kernel has no module {name}"))?;
    if file.extension().is_some_and(|extension| extension != "ko") {
        bail!("the kernel's modules are compressed");
    }
    let depends = read(Command::new("modinfo").args(["-F", "depends"]).arg(&file))?;
    for dependency in depends.trim().split(',').filter(|name| !name.is_empty()) {
        collect(modules, dependency, order)?;
    }
    if !order.contains(&file) {
        order.push(file);
    }
    Ok(())
}

/// The first file below `folder` whose name fits.
fn find(folder: &Path, fits: impl Fn(&str) -> bool + Copy) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    let (folders, files): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|path| path.is_dir() && !path.is_symlink());
    let named = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(fits);
    files.into_iter().find(named).or_else(|| folders.into_iter().find_map(|folder| find(&folder, fits)))
}

/// Runs a program and gives back what it printed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
