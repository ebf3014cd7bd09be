//! Where things are: the work tree, the build's output, the cache of what set-up fetched.

use std::{env, path::PathBuf};

/// The top of the work tree.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut root = PathBuf::from(manifest);
    root.pop();
    root.pop();
    root
}

/// What set-up fetched or made and what can be deleted at any time.
pub(crate) fn cache() -> PathBuf {
    root().join(".cache")
}

/// Film and speech for the virtual devices.
pub(crate) fn media() -> PathBuf {
    cache().join("bedside-media")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Where finished packages go.
pub(crate) fn dist() -> PathBuf {
    root().join("dist")
}

/// Cargo's two profiles that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Built quickly; codecs and cryptography are optimised all the same.
    Dev,
    /// What is shipped and measured.
    Release,
}

impl Profile {
    /// The folder under [`target`] that this profile's binaries are in.
    pub(crate) fn folder(self) -> PathBuf {
        target().join(match self {
            Self::Dev => "debug",
            Self::Release => "release",
        })
    }

    /// A binary of this profile, whether or not it has been built.
    pub(crate) fn binary(self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }

    /// What cargo wants to hear.
    pub(crate) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Dev => &[],
            Self::Release => &["--release"],
        }
    }
}
