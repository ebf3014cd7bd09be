//! The guest: an initramfs of busybox, the probe with its libraries, the driver's modules, and the script that
//! plays the scenes.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::kernel::{Kernel, read};

/// What runs as process 1. Every line of the probe is printed after the name of its scene; `until` waits for
/// a word in what a scene has printed, for as long as the test as a whole has.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
for module in $(cat /modules/order); do
    case $module in
    vivid.ko) insmod /modules/$module n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0 multiplanar=1 ;;
    *) insmod /modules/$module ;;
    esac
done
scene() { name=$1; shift; "$@" 2>&1 | while read -r line; do echo "$name $line"; echo "$line" >> /tmp/$name; done; }
said() { touch /tmp/$1; grep -c "$2" /tmp/$1; }
until_says() { until [ "$(said $1 "$2")" -ge "$3" ]; do sleep 0.2; done; }

# The firmware left half a line.
echo

until [ -c /dev/video0 ]; do sleep 0.2; done
scene listing /probe list
scene watching /probe watch 600 &
until_says watching '"pictures"' 2
scene in-use /probe once
echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind
until_says watching '"trouble"' 1
before=$(said watching '"pictures"')
echo vivid.0 > /sys/bus/platform/drivers/vivid/bind
until_says watching '"pictures"' $((before + 1))
killall probe
until [ -c /dev/video0 ]; do sleep 0.2; done
chmod 600 /dev/video0
scene forbidden /probe as 65534 once
echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind
scene none /probe once
echo the end
poweroff -f
"#;

/// Where kernel and guest are kept from one run to the next.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = built().join("camera-vm");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Whether a program is installed.
pub(crate) fn on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(tool).is_file())
}

/// Builds the initramfs; answers its file.
pub(crate) fn build(folder: &Path, kernel: &Kernel) -> Result<PathBuf> {
    let root = folder.join("root");
    if root.exists() {
        std::fs::remove_dir_all(&root)?;
    }
    for name in ["bin", "dev", "proc", "sys", "tmp", "modules"] {
        std::fs::create_dir_all(root.join(name))?;
    }
    let busybox = read(Command::new("sh").args(["-c", "command -v busybox"]))?;
    std::fs::copy(busybox.trim(), root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/sh"))?;
    std::fs::write(root.join("init"), INIT)?;
    std::fs::set_permissions(root.join("init"), PermissionsExt::from_mode(0o755))?;
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module.file_name().and_then(|name| name.to_str()).context("a module without a name")?;
        std::fs::copy(module, root.join("modules").join(name))?;
        order.push_str(name);
        order.push('\n');
    }
    std::fs::write(root.join("modules/order"), order)?;
    let probe = probe()?;
    read(Command::new("strip").arg("-o").arg(root.join("probe")).arg(&probe))?;
    libraries(&probe, &root)?;
    pack(&root, &folder.join("initramfs"))
}

/// Copies what the dynamic linker will look for, to where it will look.
fn libraries(program: &Path, root: &Path) -> Result<()> {
    let listed = read(Command::new("ldd").arg(program))?;
    for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().context("a library in no folder")?)?;
        std::fs::copy(path, target).with_context(|| format!("copying {path}"))?;
    }
    Ok(())
}

fn pack(root: &Path, file: &Path) -> Result<PathBuf> {
    let archive = std::fs::File::create(file)?;
    let pack = Command::new("sh")
        .args(["-c", "find . | cpio --quiet -o -H newc -R 0:0"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(archive)
        .status()?;
    if !pack.success() {
        bail!("cpio failed");
    }
    Ok(file.to_owned())
}

/// The probe, built with the tests or now.
fn probe() -> Result<PathBuf> {
    let probe = built().join("examples/camera_probe");
    if !probe.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        read(cargo.args(["build", "--package", "bedside-media", "--example", "camera_probe"]))?;
    }
    Ok(probe)
}

/// The folder that Cargo builds into: this test is `…/debug/deps/camera_vm-…`.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    test.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}
