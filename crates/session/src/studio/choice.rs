//! Which devices there are and which one is used.

use bedside_media::{
    audio::{self, AudioDeviceInfo, AudioTrouble, InputId, OutputId},
    camera::{self, CameraId, CameraTrouble},
};
use bedside_ui_contract::{
    DeviceKind, DeviceView, DevicesView,
    device::{DeviceList, DeviceTrouble},
};

use crate::{engine::Sources, profile::Remembered};

/// What the system listed.
pub(super) struct Found {
    cameras: Vec<DeviceView>,
    microphones: Vec<DeviceView>,
    speakers: Vec<DeviceView>,
}

impl Found {
    /// Asks the system; may take seconds.
    pub(super) fn list() -> Self {
        Self {
            cameras: camera::list().into_iter().map(|info| hardware(info.name)).collect(),
            microphones: names(audio::inputs()),
            speakers: names(audio::outputs()),
        }
    }
}

/// The lists, the person's choice, and devices given by whoever started the engine.
pub(super) struct Inventory {
    sources: Sources,
    view: DevicesView,
}

impl Inventory {
    pub(super) fn new(sources: &Sources, remembered: &Remembered) -> Self {
        let mut view = DevicesView::default();
        view.cameras.selected.clone_from(&remembered.camera);
        view.microphones.selected.clone_from(&remembered.microphone);
        view.speakers.selected.clone_from(&remembered.speaker);
        if let Some(id) = &sources.camera {
            fix(&mut view.cameras, &camera_name(id));
        }
        if let Some(id) = &sources.microphone {
            fix(&mut view.microphones, &input_name(id));
        }
        if let Some(id) = &sources.speaker {
            fix(&mut view.speakers, &output_name(id));
        }
        Self { sources: sources.clone(), view }
    }

    pub(super) fn view(&self) -> DevicesView {
        self.view.clone()
    }

    /// Takes over what the system listed; given devices stay on top of it.
    pub(super) fn found(&mut self, found: Found) {
        merge(&mut self.view.cameras, found.cameras);
        merge(&mut self.view.microphones, found.microphones);
        merge(&mut self.view.speakers, found.speakers);
    }

    pub(super) fn select(&mut self, kind: DeviceKind, id: &str) {
        let list = self.list(kind);
        list.selected = Some(id.to_owned());
        list.trouble = None;
    }

    /// A device is now in use: what was wrong is over.
    pub(super) fn using(&mut self, kind: DeviceKind, name: String) {
        let list = self.list(kind);
        list.trouble = None;
        if list.selected.is_none() {
            list.selected = Some(name);
        }
    }

    pub(super) fn trouble(&mut self, kind: DeviceKind, trouble: DeviceTrouble) {
        self.list(kind).trouble = Some(trouble);
    }

    /// The camera to open.
    pub(super) fn camera(&self) -> CameraId {
        let chosen = self.view.cameras.selected.clone();
        match (&self.sources.camera, chosen) {
            (Some(id), Some(name)) if camera_name(id) == name => id.clone(),
            (Some(id), None) => id.clone(),
            (_, Some(name)) => CameraId::Native(name),
            (None, None) => CameraId::Native(
                self.view.cameras.available.first().map(|d| d.name.clone()).unwrap_or_default(),
            ),
        }
    }

    /// The microphone to open.
    pub(super) fn input(&self) -> InputId {
        match (&self.sources.microphone, &self.view.microphones.selected) {
            (Some(id), Some(name)) if &input_name(id) == name => id.clone(),
            (Some(id), None) => id.clone(),
            (_, Some(name)) => InputId::Native(name.clone()),
            (None, None) => InputId::Default,
        }
    }

    /// The speaker to open.
    pub(super) fn output(&self) -> OutputId {
        match (&self.sources.speaker, &self.view.speakers.selected) {
            (Some(id), Some(name)) if &output_name(id) == name => id.clone(),
            (Some(id), None) => id.clone(),
            (_, Some(name)) => OutputId::Native(name.clone()),
            (None, None) => OutputId::Default,
        }
    }

    const fn list(&mut self, kind: DeviceKind) -> &mut DeviceList {
        match kind {
            DeviceKind::Camera => &mut self.view.cameras,
            DeviceKind::Microphone => &mut self.view.microphones,
            DeviceKind::Speaker => &mut self.view.speakers,
        }
    }
}

/// Puts a given device on top of a list and selects it.
fn fix(list: &mut DeviceList, name: &str) {
    list.available.insert(0, DeviceView { id: name.to_owned(), name: name.to_owned(), is_virtual: true });
    list.selected = Some(name.to_owned());
}

fn merge(list: &mut DeviceList, found: Vec<DeviceView>) {
    list.available.retain(|device| device.is_virtual);
    list.available.extend(found);
    if list.available.is_empty() {
        list.trouble = Some(DeviceTrouble::NoneFound);
    } else if list.trouble == Some(DeviceTrouble::NoneFound) {
        list.trouble = None;
    }
}

fn hardware(name: String) -> DeviceView {
    DeviceView { id: name.clone(), name, is_virtual: false }
}

fn names<Id>(listed: Vec<AudioDeviceInfo<Id>>) -> Vec<DeviceView> {
    listed.into_iter().map(|info| hardware(info.name)).collect()
}

fn camera_name(id: &CameraId) -> String {
    match id {
        CameraId::Native(name) => name.clone(),
        CameraId::Pattern => "Test pattern".to_owned(),
        CameraId::Film(path) => format!("Film: {}", file_name(path)),
    }
}

fn input_name(id: &InputId) -> String {
    match id {
        InputId::Default => "Default microphone".to_owned(),
        InputId::Native(name) => name.clone(),
        InputId::Tone => "Test tone".to_owned(),
        InputId::File(path) => format!("Recording: {}", file_name(path)),
        InputId::Silence => "Silence".to_owned(),
    }
}

fn output_name(id: &OutputId) -> String {
    match id {
        OutputId::Default => "Default speaker".to_owned(),
        OutputId::Native(name) => name.clone(),
        OutputId::File(path) => format!("File: {}", file_name(path)),
        OutputId::Null => "No sound".to_owned(),
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(super) const fn camera_trouble(trouble: CameraTrouble) -> DeviceTrouble {
    match trouble {
        CameraTrouble::NoneFound => DeviceTrouble::NoneFound,
        CameraTrouble::PermissionDenied => DeviceTrouble::PermissionDenied,
        CameraTrouble::InUse => DeviceTrouble::InUse,
        CameraTrouble::Unplugged => DeviceTrouble::Unplugged,
        CameraTrouble::Stalled => DeviceTrouble::Stalled,
        CameraTrouble::Failed => DeviceTrouble::Failed,
    }
}

pub(super) const fn audio_trouble(trouble: AudioTrouble) -> DeviceTrouble {
    match trouble {
        AudioTrouble::NoneFound => DeviceTrouble::NoneFound,
        AudioTrouble::PermissionDenied => DeviceTrouble::PermissionDenied,
        AudioTrouble::InUse => DeviceTrouble::InUse,
        AudioTrouble::Unplugged => DeviceTrouble::Unplugged,
        AudioTrouble::Stalled => DeviceTrouble::Stalled,
        AudioTrouble::Failed => DeviceTrouble::Failed,
    }
}
