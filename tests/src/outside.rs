//! A WebRTC peer that nobody here wrote, behind one small language of JSON messages: `{"type": …}` each way.
//!
//! Test → peer: `begin` (settings), `offer`, `answer`, `candidate`, `message`, `picture`, `sound`, `report`.
//! Peer → test: `offer`, `answer`, `candidate`, `channel`, `message`, `picture`, `sound`, `report`, `connected`,
//! `failure`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bedside_media::frame::I420;
use serde_json::Value;
use tokio::sync::mpsc;

/// The test's end of the line to such a peer; the peer ends with it.
pub struct Outside {
    /// What kind of peer it is, for messages.
    pub name: &'static str,
    say: mpsc::UnboundedSender<Value>,
    told: mpsc::UnboundedReceiver<Value>,
    _running: Box<dyn Send>,
}

impl Outside {
    /// Joins the ends. `running` is what ends the peer when it is dropped.
    pub fn new(
        name: &'static str,
        say: mpsc::UnboundedSender<Value>,
        told: mpsc::UnboundedReceiver<Value>,
        running: Box<dyn Send>,
    ) -> Self {
        Self { name, say, told, _running: running }
    }

    /// Says something to the peer.
    ///
    /// # Panics
    /// When it is gone.
    pub fn say(&self, message: Value) {
        assert!(self.say.send(message).is_ok(), "{} is gone", self.name);
    }

    /// The next thing the peer says.
    ///
    /// # Panics
    /// When it is gone or tells of a failure of its own.
    pub async fn told(&mut self) -> Value {
        let message = self.told.recv().await.unwrap_or_else(|| panic!("{} is gone", self.name));
        if kind(&message) == "failure" {
            panic!("{} failed: {}", self.name, message["what"].as_str().unwrap_or_default());
        }
        message
    }
}

/// What kind of message it is.
#[must_use]
pub fn kind(message: &Value) -> &str {
    message["type"].as_str().unwrap_or_default()
}

fn bytes(message: &Value, field: &str) -> Vec<u8> {
    STANDARD.decode(message[field].as_str().unwrap_or_default()).unwrap_or_default()
}

/// A number of a message; NaN when there is none.
#[must_use]
pub fn number(message: &Value, field: &str) -> f64 {
    message[field].as_f64().unwrap_or(f64::NAN)
}

/// The picture that a message carries: planes (`y`, `u`, `v`) or `rgba`, base64 each. `None` before there is one.
#[must_use]
pub fn picture(message: &Value) -> Option<I420> {
    let (width, height) = (message["width"].as_u64()? as usize, message["height"].as_u64()? as usize);
    let mut image = I420::new(width as u32, height as u32);
    if (image.width() as usize, image.height() as usize) != (width, height) || width == 0 {
        return None;
    }
    let rgba = bytes(message, "rgba");
    let (y, u, v) = image.planes_mut();
    if rgba.len() == width * height * 4 {
        from_rgba(&rgba, width, [y, u, v]);
        return Some(image);
    }
    for (plane, name) in [(y, "y"), (u, "u"), (v, "v")] {
        let samples = bytes(message, name);
        if samples.len() != plane.len() {
            return None;
        }
        plane.copy_from_slice(&samples);
    }
    Some(image)
}

/// BT.601, limited range; chroma from the upper left of four pixels.
fn from_rgba(rgba: &[u8], width: usize, [y, u, v]: [&mut [u8]; 3]) {
    for (at, pixel) in rgba.chunks_exact(4).enumerate() {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
        y[at] = (16.0 + 0.2568 * r + 0.5041 * g + 0.0979 * b).round() as u8;
        let (row, column) = (at / width, at % width);
        if row % 2 == 0 && column % 2 == 0 {
            let half = row / 2 * (width / 2) + column / 2;
            u[half] = (128.0 - 0.1482 * r - 0.2910 * g + 0.4392 * b).round() as u8;
            v[half] = (128.0 + 0.4392 * r - 0.3678 * g - 0.0714 * b).round() as u8;
        }
    }
}

/// The sound that a message carries in `samples`: 32-bit floats, little-endian, base64, mono, 48 kHz.
#[must_use]
pub fn sound(message: &Value) -> Vec<f32> {
    bytes(message, "samples")
        .chunks_exact(4)
        .map(|sample| f32::from_le_bytes([sample[0], sample[1], sample[2], sample[3]]))
        .collect()
}
