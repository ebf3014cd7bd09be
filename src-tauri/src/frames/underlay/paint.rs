//! The toolkit's side: GTK draws the web view, we draw before it.
//!
//! The web view paints opaquely over whatever is there. So its `draw` signal is taken before it reaches the web view,
//! which is made to draw into a group of its own; the pictures are painted, and then the group over them. No widget is
//! added, so that focus, input and accessibility stay as they are.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    f64::consts::{FRAC_PI_2, PI},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bedside_session::StreamKind;
use gtk::{
    cairo::{Context, Error, Filter, Format, ImageSurface, Operator},
    gdk::RGBA,
    glib::{self, Propagation, SendWeakRef},
    prelude::*,
};
use tauri::WebviewWindow;
use tokio::sync::mpsc;
use webkit2gtk::{WebView, WebViewExt as _};

use super::{Place, pixels::Converted};
use crate::frames::Feedback;

/// What is painted under a page. Cheap to clone; safe to use from any thread.
#[derive(Clone)]
pub(super) struct Canvas {
    layers: Arc<Mutex<Vec<Layer>>>,
    view: SendWeakRef<WebView>,
}

/// One picture.
pub(super) struct Layer {
    id: u32,
    stream: StreamKind,
    place: Option<Place>,
    /// The newest picture, until it is painted for the first time.
    newest: Option<(u32, Converted)>,
    said: mpsc::UnboundedSender<Feedback>,
}

impl Layer {
    pub(super) fn new(id: u32, stream: StreamKind, said: mpsc::UnboundedSender<Feedback>) -> Self {
        Self { id, stream, place: None, newest: None, said }
    }
}

impl Canvas {
    /// Makes the page transparent and paints under it from now on.
    pub(super) fn new(window: &WebviewWindow) -> tauri::Result<Self> {
        let (give, get) = std::sync::mpsc::channel();
        window.with_webview(move |view| {
            let _ = give.send(Self::under(&view.inner()));
        })?;
        get.recv().map_err(|_| tauri::Error::FailedToReceiveMessage)
    }

    fn under(view: &WebView) -> Self {
        view.set_background_color(&RGBA::new(0.0, 0.0, 0.0, 0.0));
        let canvas = Self { layers: Arc::default(), view: view.downgrade().into() };
        let painter =
            Painter { layers: canvas.layers.clone(), kept: RefCell::default(), inside: Cell::new(false) };
        view.connect_draw(move |view, context| match painter.draw(view, context) {
            Ok(propagation) => propagation,
            Err(error) => {
                tracing::warn!(%error, "pictures could not be painted");
                Propagation::Proceed
            }
        });
        canvas
    }

    fn layers(&self) -> MutexGuard<'_, Vec<Layer>> {
        lock(&self.layers)
    }

    pub(super) fn add(&self, layer: Layer) {
        let mut layers = self.layers();
        layers.push(layer);
        // Oneself lies over the other person.
        layers.sort_by_key(|layer| layer.stream == StreamKind::SelfView);
    }

    pub(super) fn remove(&self, id: u32) {
        let removed = {
            let mut layers = self.layers();
            let at = layers.iter().position(|layer| layer.id == id);
            at.map(|at| layers.remove(at))
        };
        self.paint_again(removed.and_then(|layer| layer.place));
    }

    pub(super) fn place(&self, id: u32, place: Place) {
        let before = {
            let mut layers = self.layers();
            let Some(layer) = layers.iter_mut().find(|layer| layer.id == id) else { return };
            let pixels = |side: f64| (side * place.scale).ceil().clamp(0.0, f64::from(u16::MAX)) as u32;
            let _ =
                layer.said.send(Feedback::Shown { width: pixels(place.width), height: pixels(place.height) });
            layer.place.replace(place)
        };
        self.paint_again(before);
        self.paint_again(Some(place));
    }

    /// Shows a picture as soon as the toolkit paints next; false when nobody wants it any more.
    pub(super) fn show(&self, id: u32, sequence: u32, pixels: Converted) -> bool {
        let place = {
            let mut layers = self.layers();
            let Some(layer) = layers.iter_mut().find(|layer| layer.id == id) else { return false };
            if let Some((skipped, _)) = layer.newest.replace((sequence, pixels)) {
                let _ = layer.said.send(Feedback::Drawn(skipped));
            }
            layer.place
        };
        self.paint_again(place);
        true
    }

    fn paint_again(&self, place: Option<Place>) {
        let Some(place) = place else { return };
        let view = self.view.clone();
        glib::MainContext::default().invoke(move || {
            if let Some(view) = view.upgrade() {
                let (left, top) = (place.x.floor(), place.y.floor());
                let (right, bottom) = ((place.x + place.width).ceil(), (place.y + place.height).ceil());
                view.queue_draw_area(left as i32, top as i32, (right - left) as i32, (bottom - top) as i32);
            }
        });
    }
}

/// What belongs to the toolkit's thread.
struct Painter {
    layers: Arc<Mutex<Vec<Layer>>>,
    /// The picture of each layer as it was painted last.
    kept: RefCell<HashMap<u32, ImageSurface>>,
    /// The web view is drawing, at our request.
    inside: Cell<bool>,
}

impl Painter {
    /// Paints the pictures and then the page, all in this handler's turn.
    fn draw(&self, view: &WebView, context: &Context) -> Result<Propagation, Error> {
        if self.inside.get() || lock(&self.layers).is_empty() {
            return Ok(Propagation::Proceed);
        }
        context.push_group();
        self.inside.set(true);
        view.draw(context);
        self.inside.set(false);
        let page = context.pop_group()?;
        let mut layers = lock(&self.layers);
        let mut kept = self.kept.borrow_mut();
        kept.retain(|id, _| layers.iter().any(|layer| layer.id == *id));
        let mut background = true;
        for layer in layers.iter_mut() {
            let Some(place) = layer.place else { continue };
            if let Some((sequence, pixels)) = layer.newest.take() {
                let (width, height) = (pixels.width, pixels.height);
                let surface = ImageSurface::create_for_data(pixels, Format::Rgb24, width, height, width * 4)?;
                kept.insert(layer.id, surface);
                let _ = layer.said.send(Feedback::Drawn(sequence));
            }
            let picture = kept.get(&layer.id).map(|surface| Fitted::new(surface, &place));
            if std::mem::take(&mut background)
                && !picture.as_ref().is_some_and(|picture| picture.fills(context))
            {
                let [red, green, blue] = place.background.map(|part| f64::from(part) / 255.0);
                context.set_source_rgb(red, green, blue);
                context.paint()?;
            }
            if let Some(picture) = picture {
                context.save()?;
                picture.paint(context)?;
                context.restore()?;
            }
        }
        drop(layers);
        context.set_source(&page)?;
        context.paint()?;
        Ok(Propagation::Stop)
    }
}

/// A picture as it lies in its place.
struct Fitted<'a> {
    surface: &'a ImageSurface,
    place: &'a Place,
    scale: f64,
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl<'a> Fitted<'a> {
    fn new(surface: &'a ImageSurface, place: &'a Place) -> Self {
        let (wide, high) = (f64::from(surface.width().max(1)), f64::from(surface.height().max(1)));
        let (across, down) = (place.width / wide, place.height / high);
        let scale = if place.cover { across.max(down) } else { across.min(down) };
        let (width, height) = (wide * scale, high * scale);
        let (left, top) = (place.x + (place.width - width) / 2.0, place.y + (place.height - height) / 2.0);
        Self { surface, place, scale, left, top, width, height }
    }

    /// Whether nothing else is seen in what is to be painted.
    fn fills(&self, context: &Context) -> bool {
        let Ok((left, top, right, bottom)) = context.clip_extents() else { return false };
        let inside = |from: f64, length: f64, start: f64, end: f64| from <= start && end <= from + length;
        let Place { x, y, width, height, radius, .. } = *self.place;
        radius <= 0.0
            && inside(x, width, left, right)
            && inside(y, height, top, bottom)
            && inside(self.left, self.width, left, right)
            && inside(self.top, self.height, top, bottom)
    }

    fn paint(&self, context: &Context) -> Result<(), Error> {
        outline(context, self.place);
        context.clip();
        context.translate(self.left, self.top);
        if self.place.mirror {
            context.translate(self.width, 0.0);
            context.scale(-1.0, 1.0);
        }
        context.scale(self.scale, self.scale);
        context.set_source_surface(self.surface, 0.0, 0.0)?;
        let enlarged = self.scale * self.place.scale > 1.0;
        context.source().set_filter(if enlarged { Filter::Bilinear } else { Filter::Fast });
        context.set_operator(Operator::Source);
        context.rectangle(0.0, 0.0, f64::from(self.surface.width()), f64::from(self.surface.height()));
        context.fill()
    }
}

fn outline(context: &Context, place: &Place) {
    let radius = place.radius.min(place.width / 2.0).min(place.height / 2.0);
    if radius <= 0.0 {
        return context.rectangle(place.x, place.y, place.width, place.height);
    }
    let (left, top) = (place.x + radius, place.y + radius);
    let (right, bottom) = (place.x + place.width - radius, place.y + place.height - radius);
    context.new_sub_path();
    context.arc(right, top, radius, -FRAC_PI_2, 0.0);
    context.arc(right, bottom, radius, 0.0, FRAC_PI_2);
    context.arc(left, bottom, radius, FRAC_PI_2, PI);
    context.arc(left, top, radius, PI, PI + FRAC_PI_2);
    context.close_path();
}

fn lock(layers: &Mutex<Vec<Layer>>) -> MutexGuard<'_, Vec<Layer>> {
    layers.lock().unwrap_or_else(PoisonError::into_inner)
}
