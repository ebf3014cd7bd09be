//! Another program beside the app: a window with files in it that can be dragged away.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use bedside_testkit::programs::program;

use crate::display::{Display, Group, XWindow};

/// See the module. It ends with its owner.
pub(crate) struct FileManager<'a> {
    display: &'a Display,
    pub(crate) window: XWindow,
    _program: Group,
}

impl<'a> FileManager<'a> {
    /// Where it stands.
    const AT: (i32, i32) = (1200, 100);
    const TITLE: &'static str = "file manager";

    pub(crate) fn open(display: &'a Display, files: &[&Path]) -> Self {
        let mut command = Command::new(program("examples/drag_source"));
        command.args([Self::TITLE, &Self::AT.0.to_string(), &Self::AT.1.to_string()]).args(files);
        let command =
            command.env("DISPLAY", display.name()).env("GDK_BACKEND", "x11").env("NO_AT_BRIDGE", "1");
        let program = Group::start(command.env_remove("WAYLAND_DISPLAY").stdout(Stdio::null()));
        Self { display, window: display.appears(Self::TITLE), _program: program }
    }

    /// Takes hold of the files and begins to move them.
    pub(crate) fn take(&self) {
        let (x, y) = Self::AT;
        self.display.point_at((x + 40, y + 40));
        self.display.hold(true);
        self.carry_to((x + 70, y + 60));
    }

    /// Moves on to a place in small steps, as a hand does.
    pub(crate) fn carry_to(&self, (x, y): (i32, i32)) {
        for step in (0..5).rev() {
            self.display.point_at((x + step * 4, y + step * 4));
        }
    }

    pub(crate) fn drop_here(&self) {
        self.display.hold(false);
    }
}
