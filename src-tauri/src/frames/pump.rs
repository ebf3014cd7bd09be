//! From a stream of pictures to a carrier: newest first, scaled, paced.

use std::sync::Arc;

use bedside_media::scale::Scaler;
use bedside_session::Frames;
use tokio::time::Instant;

use super::{Carrier, DrawnAges, Feedback, Picture, pace::Pace};

/// Sends pictures until either side is gone.
pub(crate) async fn pump(mut frames: Frames, mut carrier: impl Carrier, ages: Option<Arc<DrawnAges>>) {
    let opened = Instant::now().into_std();
    let mut pace = Pace::default();
    let mut scaler = Scaler::new();
    frames.mark_changed();
    loop {
        tokio::select! {
            feedback = carrier.feedback() => match feedback {
                Some(feedback) => {
                    if let (Some(ages), Feedback::Drawn(sequence)) = (&ages, feedback) {
                        ages.drawn(sequence);
                    }
                    pace.take(feedback);
                }
                None => return,
            },
            changed = frames.changed(), if pace.may_send() => {
                if changed.is_err() {
                    return;
                }
                let Some(frame) = frames.borrow_and_update().clone() else { continue };
                let (width, height) = pace.shown();
                let image = scaler.scale_shared(&frame.image, width, height);
                let age = frame.captured_at.saturating_duration_since(opened);
                let captured_us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
                let sequence = pace.send();
                if let Some(ages) = &ages {
                    ages.sent(sequence, &frame.image);
                }
                if !carrier.send(Picture { sequence, captured_us, image }).await {
                    return;
                }
            }
        }
    }
}
