//! Debian's and Ubuntu's packages: which, for what, and how they are installed.
//!
//! Only what `dpkg-query` does not know as installed is asked of apt. Other systems are told what to bring.

use std::{collections::BTreeSet, io::IsTerminal as _};

use anyhow::{Context as _, Result, bail};

use super::Purpose;
use crate::shell;

/// Packages that serve one end.
struct Group {
    why: &'static str,
    serves: &'static [Purpose],
    packages: &'static [&'static str],
}

/// Set where somebody else looks after system packages.
const SKIP: &str = "BEDSIDE_SKIP_APT";

const EVERYTHING: &[Purpose] =
    &[Purpose::Build, Purpose::Demo, Purpose::Test, Purpose::Bench, Purpose::Package];

const GROUPS: &[Group] = &[
    Group {
        why: "compile the codecs (openh264, Opus) and bind the camera",
        serves: EVERYTHING,
        packages: &["build-essential", "pkg-config", "nasm", "cmake", "clang", "libclang-dev"],
    },
    Group { why: "reach microphones and speakers", serves: EVERYTHING, packages: &["libasound2-dev"] },
    Group {
        why: "compile the window (GTK and WebKit)",
        serves: EVERYTHING,
        packages: &[
            "libwebkit2gtk-4.1-dev",
            "libgtk-3-dev",
            "libsoup-3.0-dev",
            "libjavascriptcoregtk-4.1-dev",
            "librsvg2-dev",
            "libssl-dev",
        ],
    },
    Group { why: "make the Python environment", serves: EVERYTHING, packages: &["python3-venv"] },
    Group {
        why: "turn real film and speech into what the virtual camera and microphone play",
        serves: &[Purpose::Demo, Purpose::Test, Purpose::Bench],
        packages: &["ffmpeg", "espeak-ng"],
    },
    Group {
        why: "drive the real window without a screen",
        serves: &[Purpose::Test, Purpose::Bench, Purpose::Package],
        packages: &[
            "xvfb",
            "webkit2gtk-driver",
            "openbox",
            "dbus",
            "dbus-x11",
            "xdotool",
            "fonts-noto-color-emoji",
        ],
    },
    Group {
        why: "keep tokens in a real keyring in tests",
        serves: &[Purpose::Test],
        packages: &["gnome-keyring"],
    },
    Group {
        why: "call through a real sound server without sound hardware",
        serves: &[Purpose::Test, Purpose::Bench],
        packages: &["pulseaudio", "pulseaudio-utils", "libasound2-plugins"],
    },
    Group {
        why: "relay media through a real TURN server",
        serves: &[Purpose::Test],
        packages: &["coturn", "iproute2"],
    },
    Group {
        why: "be called by a browser that nobody here wrote",
        serves: &[Purpose::Test, Purpose::Bench],
        packages: &["chromium"],
    },
    Group {
        why: "open a real camera driver inside a virtual machine",
        serves: &[Purpose::Test],
        packages: &["qemu-system-x86", "busybox-static", "cpio", "kmod", "xz-utils"],
    },
    Group {
        why: "install the packages in a clean system",
        serves: &[Purpose::Test, Purpose::Package],
        packages: &["debootstrap", "fakeroot"],
    },
];

/// Installs what `purpose` needs and the machine lacks.
pub(crate) fn install(purpose: Purpose) -> Result<()> {
    let wanted: Vec<&Group> = GROUPS.iter().filter(|group| group.serves.contains(&purpose)).collect();
    if cfg!(not(target_os = "linux")) {
        return Ok(());
    }
    if std::env::var_os(SKIP).is_some() {
        eprintln!("{SKIP} is set: no system package is looked for.");
        return Ok(());
    }
    let names: Vec<&str> = wanted.iter().flat_map(|group| group.packages.iter().copied()).collect();
    if shell::find("apt-get").is_none() {
        bail!(
            "This system has no apt-get. Install the equivalents of these packages by hand, then set \
             {SKIP}=1 and run this again:\n  {}",
            names.join(" ")
        );
    }
    let present = installed(&names)?;
    let mut missing = Vec::new();
    for group in wanted {
        let lacking: Vec<&str> =
            group.packages.iter().copied().filter(|name| !present.contains(*name)).collect();
        if !lacking.is_empty() {
            eprintln!("  To {}: {}", group.why, lacking.join(" "));
            missing.extend(lacking);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!(
        "Installing {} packages with apt-get; this asks for your password where you are not root.",
        missing.len()
    );
    shell::quietly(privileged("apt-get")?.args(["-o", "DPkg::Lock::Timeout=300", "update"]))?;
    shell::quietly(
        privileged("apt-get")?
            .args(["-o", "DPkg::Lock::Timeout=300", "install", "--yes", "--no-install-recommends"])
            .args(&missing),
    )
}

/// Whether everything that a test could miss has been installed, so that none may be skipped: Debian has a kernel for the
/// camera's virtual machine and a Chromium that is no snap, which Ubuntu has not.
pub(crate) fn brings_everything() -> Result<bool> {
    if cfg!(not(target_os = "linux")) || std::env::var_os(SKIP).is_some() {
        return Ok(false);
    }
    let system = std::fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    Ok(system.lines().any(|line| line == "ID=debian"))
}

/// A program run as root: as it is when one is root, through sudo otherwise.
pub(crate) fn privileged(name: &str) -> Result<std::process::Command> {
    let root = shell::read(shell::program("id").arg("-u"))?.trim() == "0";
    let mut command = if root {
        shell::program("env")
    } else if shell::find("sudo").is_some() {
        let mut sudo = shell::program("sudo");
        if !std::io::stdin().is_terminal() {
            sudo.arg("--non-interactive");
        }
        sudo.arg("env");
        sudo
    } else {
        bail!("This needs root, and there is no sudo. Run `cargo xtask setup` as root once.");
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", name]);
    Ok(command)
}

/// Downloads one package into `folder` without installing it and returns the file.
pub(crate) fn download(package: &str, folder: &std::path::Path) -> Result<std::path::PathBuf> {
    std::fs::create_dir_all(folder)?;
    let present = |folder: &std::path::Path| -> Result<Option<std::path::PathBuf>> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(&format!("{package}_")) && name.ends_with(".deb") {
                return Ok(Some(path));
            }
        }
        Ok(None)
    };
    if present(folder)?.is_none() {
        let fetch =
            || shell::quietly(shell::program("apt-get").args(["download", package]).current_dir(folder));
        if fetch().is_err() {
            shell::quietly(privileged("apt-get")?.arg("update"))?;
            fetch()?;
        }
    }
    present(folder)?
        .with_context(|| format!("apt-get said it downloaded {package}, but the file is not there"))
}

fn installed(names: &[&str]) -> Result<BTreeSet<String>> {
    // dpkg-query exits with 1 when it does not know a name, and still lists the others.
    let output = shell::program("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\\n"])
        .args(names)
        .output()
        .context("`dpkg-query` could not be started")?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_can_compile_the_whole_workspace() {
        for purpose in EVERYTHING {
            let packages: Vec<&str> = GROUPS
                .iter()
                .filter(|group| group.serves.contains(purpose))
                .flat_map(|group| group.packages.iter().copied())
                .collect();
            for needed in ["nasm", "libclang-dev", "libasound2-dev", "libwebkit2gtk-4.1-dev"] {
                assert!(packages.contains(&needed), "{purpose:?} lacks {needed}");
            }
        }
    }

    #[test]
    fn no_package_is_listed_twice() {
        let names: Vec<&str> = GROUPS.iter().flat_map(|group| group.packages.iter().copied()).collect();
        let once: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), once.len());
    }
}
