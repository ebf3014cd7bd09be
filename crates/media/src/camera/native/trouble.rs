//! From a system's error to a trouble that a person can do something about. nokhwa hands errors on as text;
//! the numbers in it are what can be relied on.

use crate::camera::CameraTrouble;

/// Which trouble a POSIX error number means.
pub(super) fn of_errno(code: i32) -> CameraTrouble {
    match code {
        // EPERM, EACCES
        1 | 13 => CameraTrouble::PermissionDenied,
        // EBUSY
        16 => CameraTrouble::InUse,
        // ENOENT, ENXIO, ENODEV, ESHUTDOWN: gone, or on its way out
        2 | 6 | 19 | 108 => CameraTrouble::Unplugged,
        _ => CameraTrouble::Failed,
    }
}

/// Which trouble an error text of nokhwa means.
pub(super) fn of_message(message: &str) -> CameraTrouble {
    if let Some(code) = errno(message) {
        return of_errno(code);
    }
    let known = [
        // E_ACCESSDENIED of Windows, the words of macOS
        ("80070005", CameraTrouble::PermissionDenied),
        ("not authorized", CameraTrouble::PermissionDenied),
        // MF_E_VIDEO_RECORDING_DEVICE_PREEMPTED, MF_E_HW_MFT_FAILED_START_STREAMING, ERROR_BUSY
        ("C00D3EA3", CameraTrouble::InUse),
        ("C00D3704", CameraTrouble::InUse),
        ("800700AA", CameraTrouble::InUse),
        ("Already in use", CameraTrouble::InUse),
        // MF_E_VIDEO_RECORDING_DEVICE_INVALIDATED, MF_E_SHUTDOWN
        ("C00D3EA2", CameraTrouble::Unplugged),
        ("C00D3E85", CameraTrouble::Unplugged),
    ];
    let message = message.to_lowercase();
    let found = known.iter().find(|(text, _)| message.contains(&text.to_lowercase()));
    found.map_or(CameraTrouble::Failed, |(_, trouble)| *trouble)
}

/// The number in "… (os error 13)".
fn errno(message: &str) -> Option<i32> {
    let (_, tail) = message.rsplit_once("(os error ")?;
    tail.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_as_the_systems_word_them_are_told_apart() {
        use CameraTrouble::{Failed, InUse, PermissionDenied, Unplugged};
        for (message, trouble) in [
            ("Could not open device 0: V4L2 Error: Permission denied (os error 13)", PermissionDenied),
            ("Could not open device stream: Device or resource busy (os error 16)", InUse),
            ("Could not capture frame: No such device (os error 19)", Unplugged),
            ("Could not open device 3: V4L2 Error: No such file or directory (os error 2)", Unplugged),
            ("Could not capture frame: Input/output error (os error 5)", Failed),
            ("Could not open device: Access is denied. (0x80070005)", PermissionDenied),
            ("Could not capture frame: HRESULT(0xC00D3EA2)", Unplugged),
            ("Could not capture frame: HRESULT(0xc00d3ea3)", InUse),
            ("anything else", Failed),
        ] {
            assert_eq!(of_message(message), trouble, "{message}");
        }
    }
}
