//! Which devices there are and which one is used.

use bedside_media::{
    audio::{self, AudioDeviceInfo, AudioTrouble, InputId, OutputId},
    camera::{CameraId, CameraTrouble, Cameras},
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
    pub(super) fn list(machine: &Cameras) -> Self {
        Self {
            cameras: machine.list().into_iter().map(|name| device(name, false)).collect(),
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
        let mut inventory = Self { sources: sources.clone(), view };
        for (kind, list) in inventory.given() {
            if let Some(first) = list.first() {
                inventory.list(kind).selected = Some(first.id.clone());
            }
            inventory.list(kind).available = list;
        }
        inventory
    }

    pub(super) fn view(&self) -> DevicesView {
        self.view.clone()
    }

    /// Takes over what the system listed; given devices stay on top of it.
    pub(super) fn found(&mut self, found: Found) {
        let found = [found.cameras, found.microphones, found.speakers];
        for ((kind, mut all), found) in self.given().into_iter().zip(found) {
            let others = found.into_iter().filter(|device| all.iter().all(|given| given.id != device.id));
            all.extend(others.collect::<Vec<_>>());
            let list = self.list(kind);
            list.available = all;
            if list.available.is_empty() {
                list.trouble = Some(DeviceTrouble::NoneFound);
            } else if list.trouble == Some(DeviceTrouble::NoneFound) {
                list.trouble = None;
            }
        }
    }

    /// Uses another one from now on. Returns whether the choice is worth remembering: one that was given lasts as
    /// long as this start of the engine.
    pub(super) fn select(&mut self, kind: DeviceKind, id: &str) -> bool {
        let list = self.list(kind);
        list.selected = Some(id.to_owned());
        list.in_use = None;
        list.trouble = None;
        self.given()
            .into_iter()
            .all(|(given, list)| given != kind || list.iter().all(|device| device.id != id))
    }

    /// The device that is wanted is in use: what was wrong is over.
    pub(super) fn using(&mut self, kind: DeviceKind, name: String) {
        let list = self.list(kind);
        list.trouble = None;
        list.in_use = Some(name);
    }

    /// The device that is wanted does not work; another one may have taken over.
    pub(super) fn trouble(&mut self, kind: DeviceKind, trouble: DeviceTrouble, replaced_by: Option<String>) {
        let list = self.list(kind);
        list.trouble = Some(trouble);
        list.in_use = replaced_by;
    }

    /// The camera to open.
    pub(super) fn camera(&self) -> CameraId {
        chosen(&self.sources.cameras, camera_name, &self.view.cameras)
            .unwrap_or_else(|name| name.map_or(CameraId::Default, CameraId::Native))
    }

    /// The microphone to open.
    pub(super) fn input(&self) -> InputId {
        chosen(&self.sources.microphones, input_name, &self.view.microphones)
            .unwrap_or_else(|name| name.map_or(InputId::Default, InputId::Native))
    }

    /// The speaker to open.
    pub(super) fn output(&self) -> OutputId {
        chosen(&self.sources.speakers, output_name, &self.view.speakers)
            .unwrap_or_else(|name| name.map_or(OutputId::Default, OutputId::Native))
    }

    /// The devices given by whoever started the engine, as they are listed.
    fn given(&self) -> [(DeviceKind, Vec<DeviceView>); 3] {
        let Sources { cameras, microphones, speakers, .. } = &self.sources;
        let camera = |id| device(camera_name(id), !matches!(id, CameraId::Native(_) | CameraId::Default));
        let input = |id| device(input_name(id), !matches!(id, InputId::Native(_) | InputId::Default));
        let output = |id| device(output_name(id), !matches!(id, OutputId::Native(_) | OutputId::Default));
        [
            (DeviceKind::Camera, cameras.iter().map(camera).collect()),
            (DeviceKind::Microphone, microphones.iter().map(input).collect()),
            (DeviceKind::Speaker, speakers.iter().map(output).collect()),
        ]
    }

    const fn list(&mut self, kind: DeviceKind) -> &mut DeviceList {
        match kind {
            DeviceKind::Camera => &mut self.view.cameras,
            DeviceKind::Microphone => &mut self.view.microphones,
            DeviceKind::Speaker => &mut self.view.speakers,
        }
    }
}

/// The given device that is selected, else the name of the one that is.
fn chosen<Id: Clone>(
    given: &[Id],
    name_of: fn(&Id) -> String,
    list: &DeviceList,
) -> Result<Id, Option<String>> {
    let found = given.iter().find(|id| list.selected.as_ref().is_none_or(|name| *name == name_of(id)));
    found.cloned().ok_or_else(|| list.selected.clone())
}

fn device(name: String, is_virtual: bool) -> DeviceView {
    DeviceView { id: name.clone(), name, is_virtual }
}

fn names<Id>(listed: Vec<AudioDeviceInfo<Id>>) -> Vec<DeviceView> {
    listed.into_iter().map(|info| device(info.name, false)).collect()
}

fn camera_name(id: &CameraId) -> String {
    match id {
        CameraId::Default => "Default camera".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn film() -> CameraId {
        CameraId::Film("ward.y4m".into())
    }

    fn inventory(cameras: Vec<CameraId>) -> Inventory {
        let remembered = Remembered { camera: Some("Webcam".to_owned()), ..Remembered::default() };
        Inventory::new(&Sources { cameras, ..Sources::default() }, &remembered)
    }

    fn webcam() -> Found {
        let cameras = vec![device("Webcam".to_owned(), false)];
        Found { cameras, microphones: Vec::new(), speakers: Vec::new() }
    }

    fn listed(inventory: &Inventory) -> Vec<(String, bool)> {
        inventory
            .view()
            .cameras
            .available
            .into_iter()
            .map(|device| (device.name, device.is_virtual))
            .collect()
    }

    #[test]
    fn given_devices_stand_before_those_of_the_machine_and_the_first_is_used() {
        let mut inventory = inventory(vec![CameraId::Pattern, film()]);
        inventory.found(webcam());
        let expected = [("Test pattern", true), ("Film: ward.y4m", true), ("Webcam", false)];
        assert_eq!(listed(&inventory), expected.map(|(name, virtual_)| (name.to_owned(), virtual_)));
        assert_eq!(inventory.camera(), CameraId::Pattern);
    }

    #[test]
    fn any_listed_device_can_be_chosen_and_only_the_machines_own_are_remembered() {
        let mut inventory = inventory(vec![CameraId::Pattern, film()]);
        inventory.found(webcam());
        assert!(!inventory.select(DeviceKind::Camera, "Film: ward.y4m"));
        assert_eq!(inventory.camera(), film());
        assert!(inventory.select(DeviceKind::Camera, "Webcam"));
        assert_eq!(inventory.camera(), CameraId::Native("Webcam".to_owned()));
    }

    #[test]
    fn without_given_devices_the_persons_choice_counts() {
        let mut inventory = inventory(Vec::new());
        assert_eq!(inventory.camera(), CameraId::Native("Webcam".to_owned()));
        assert_eq!(inventory.input(), InputId::Default);
        inventory.found(webcam());
        assert_eq!(inventory.view().microphones.trouble, Some(DeviceTrouble::NoneFound));
    }

    #[test]
    fn what_the_system_gives_is_shown_and_not_taken_for_a_choice() {
        let mut inventory = Inventory::new(&Sources::default(), &Remembered::default());
        inventory.using(DeviceKind::Microphone, "Laptop".to_owned());
        assert_eq!(inventory.view().microphones.in_use.as_deref(), Some("Laptop"));
        assert_eq!(inventory.input(), InputId::Default, "the next call follows the system again");
        inventory.using(DeviceKind::Camera, "Webcam".to_owned());
        assert_eq!(inventory.camera(), CameraId::Default);
    }

    #[test]
    fn a_device_of_the_machine_that_is_given_by_name_is_listed_once() {
        let mut inventory = inventory(vec![CameraId::Native("Webcam".to_owned())]);
        inventory.found(webcam());
        assert_eq!(listed(&inventory), [("Webcam".to_owned(), false)]);
    }
}
