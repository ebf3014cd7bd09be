//! Files and folders that are nobody else's: on Unix their owner's alone to read, and on the disk before they count.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

/// Makes a profile's folder, or sees that nobody else may look into the one that is there. A folder that was there
/// before with other things in it than a profile is somebody's for something else, and stays as it is.
pub(crate) fn folder(folder: &Path, profile: &Path) -> io::Result<()> {
    let in_use = fs::read_dir(folder).is_ok_and(|mut inside| inside.next().is_some());
    if in_use && !profile.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    only_owner(folder, 0o700)
}

/// Makes the file, empty, where there is none; what is in it already stays.
pub(crate) fn file(file: &Path) -> io::Result<()> {
    open(OpenOptions::new().append(true).create(true), file)?;
    only_owner(file, 0o600)
}

/// Writes a file whole: whenever the power fails, the old one is there, or the new one.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    {
        let mut writing = open(OpenOptions::new().write(true).create(true).truncate(true), new)?;
        only_owner(new, 0o600)?;
        writing.write_all(bytes)?;
        writing.sync_all()?;
    }
    fs::rename(new, file)?;
    sync_folder_of(file)
}

#[cfg(unix)]
fn open(options: &mut OpenOptions, file: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600).open(file)
}

#[cfg(not(unix))]
fn open(options: &mut OpenOptions, file: &Path) -> io::Result<File> {
    options.open(file)
}

/// What an earlier version made for all to read, too.
#[cfg(unix)]
fn only_owner(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let is = fs::metadata(path)?.permissions().mode() & 0o777;
    if is == mode { Ok(()) } else { fs::set_permissions(path, fs::Permissions::from_mode(mode)) }
}

/// A profile of Windows is its owner's by the rights of the folder above it.
#[cfg(not(unix))]
fn only_owner(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// A name is on the disk once its folder is.
#[cfg(unix)]
fn sync_folder_of(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_here_is_its_owners_alone_and_what_was_open_to_all_is_closed() {
        let all = tempfile::tempdir().unwrap();
        let dir = all.path().join("profile");
        let (secret, profile) = (dir.join("secret"), dir.join("profile.toml"));
        folder(&dir, &profile).unwrap();
        write(&secret, b"one").unwrap();
        file(&profile).unwrap();
        assert_eq!((mode(&dir), mode(&secret), mode(&profile)), (0o700, 0o600, 0o600));
        for (path, open) in [(&dir, 0o755), (&secret, 0o644), (&profile, 0o644)] {
            fs::set_permissions(path, fs::Permissions::from_mode(open)).unwrap();
        }
        folder(&dir, &profile).unwrap();
        file(&profile).unwrap();
        write(&secret, b"two").unwrap();
        assert_eq!((mode(&dir), mode(&secret), mode(&profile)), (0o700, 0o600, 0o600));
        assert_eq!(fs::read(&secret).unwrap(), b"two");
    }

    #[test]
    fn a_folder_that_was_there_for_something_else_stays_as_it_is() {
        let all = tempfile::tempdir().unwrap();
        let dir = all.path();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.join("letter"), b"").unwrap();
        folder(dir, &dir.join("profile.toml")).unwrap();
        assert_eq!(mode(dir), 0o755);
    }
}
