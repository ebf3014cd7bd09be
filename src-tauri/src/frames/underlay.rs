//! Pictures painted by the window's toolkit, under a page that leaves holes for them.
//!
//! Where no GPU draws, a web view turns every picture into a page of its own making: copied to its process, converted,
//! painted on a canvas, and the page around it painted again. Here the picture never goes there. The page says where
//! each picture belongs ([`Place`]) and is transparent in that spot; the toolkit paints the pictures first and the page,
//! with everything that lies over them, on top.

mod paint;
mod pixels;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bedside_session::StreamKind;
use serde::Deserialize;
use tauri::{WebviewWindow, ipc::Channel};
use tokio::sync::mpsc;

use self::{
    paint::{Canvas, Layer},
    pixels::Pixels,
};
use super::{Carrier, DrawnAges, Feedback, FrameSource, Picture, pump::pump};

/// The size of the pictures that are shown, told to the page when it changes.
pub(crate) type Sizes = Channel<(u32, u32)>;

/// Where a picture belongs, in the page's pixels.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    /// Device pixels for each of the page's.
    scale: f64,
    /// Fills its place and is cut at the edges; else it is shown whole.
    cover: bool,
    mirror: bool,
    /// Of the corners.
    radius: f64,
    /// What is seen where there is no picture: red, green, blue.
    background: [u8; 3],
}

/// The pictures under one window's page.
pub(crate) struct Underlay {
    source: Arc<dyn FrameSource>,
    ages: Option<Arc<DrawnAges>>,
    canvas: Canvas,
    next: AtomicU32,
}

impl Underlay {
    /// Makes a window's page transparent and paints under it.
    pub(crate) fn new(
        source: Arc<dyn FrameSource>,
        window: &WebviewWindow,
        ages: Option<Arc<DrawnAges>>,
    ) -> tauri::Result<Self> {
        Ok(Self { source, ages, canvas: Canvas::new(window)?, next: AtomicU32::new(1) })
    }

    /// Shows a stream until it is closed, once it has a place; gives the number for the other calls.
    pub(crate) fn open(&self, stream: StreamKind, sizes: Sizes) -> u32 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (said, hears) = mpsc::unbounded_channel();
        self.canvas.add(Layer::new(id, stream, said));
        let carrier = Beneath {
            id,
            canvas: self.canvas.clone(),
            pixels: Pixels::default(),
            hears,
            sizes,
            size: (0, 0),
        };
        let ages = self.ages.clone().filter(|_| stream == StreamKind::Remote);
        tauri::async_runtime::spawn(pump(self.source.frames(stream), carrier, ages));
        id
    }

    /// Says where picture `id` is to be.
    pub(crate) fn place(&self, id: u32, place: Place) {
        self.canvas.place(id, place);
    }

    /// Ends picture `id`.
    pub(crate) fn close(&self, id: u32) {
        self.canvas.remove(id);
    }
}

/// The way under the page.
struct Beneath {
    id: u32,
    canvas: Canvas,
    pixels: Pixels,
    hears: mpsc::UnboundedReceiver<Feedback>,
    sizes: Sizes,
    size: (u32, u32),
}

impl Carrier for Beneath {
    async fn send(&mut self, picture: Picture) -> bool {
        let size = (picture.image.width(), picture.image.height());
        let Some(pixels) = self.pixels.convert(&picture.image) else { return false };
        if !self.canvas.show(self.id, picture.sequence, pixels) {
            return false;
        }
        let same = std::mem::replace(&mut self.size, size) == size;
        same || self.sizes.send(size).is_ok()
    }

    async fn feedback(&mut self) -> Option<Feedback> {
        self.hears.recv().await
    }
}
