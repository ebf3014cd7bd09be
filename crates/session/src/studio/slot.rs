//! A device that is open, or the one before it on its way to being closed.
//!
//! Closing waits for threads that may be held up in a driver, for seconds. Whoever closes does not wait: a thread does. The
//! next device is opened only once the one before is closed, since it may be the same.

use tokio::sync::watch;

/// See the module.
pub(super) struct Slot<T> {
    device: Option<T>,
    closing: watch::Sender<bool>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { device: None, closing: watch::Sender::new(false) }
    }
}

impl<T: Send + 'static> Slot<T> {
    /// The device, where one is open.
    pub(super) const fn get(&self) -> Option<&T> {
        self.device.as_ref()
    }

    /// Opens a device, unless one is open or being closed. Whether it did.
    pub(super) fn open(&mut self, device: impl FnOnce() -> T) -> bool {
        let free = self.device.is_none() && !*self.closing.borrow();
        if free {
            self.device = Some(device());
        }
        free
    }

    /// Lets go of the device, and says when it is closed. Whether there was one.
    pub(super) fn close(&mut self, closed: impl FnOnce() + Send + 'static) -> bool {
        let Some(device) = self.device.take() else { return false };
        self.closing.send_replace(true);
        let said = Said { closing: self.closing.clone(), closed: Some(closed) };
        let farewell = Farewell { _device: device, _said: said };
        // Without a thread it is closed here and now, by being dropped.
        let thread = std::thread::Builder::new().name("device-close".into()).spawn(move || drop(farewell));
        if let Err(error) = thread {
            tracing::warn!(%error, "no thread to close a device");
        }
        true
    }

    /// Once nothing is being closed.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + Send + use<T> {
        let mut closing = self.closing.subscribe();
        async move {
            let _ = closing.wait_for(|closing| !closing).await;
        }
    }
}

/// Dropped in this order, also where closing panics.
struct Farewell<T, F: FnOnce()> {
    _device: T,
    _said: Said<F>,
}

struct Said<F: FnOnce()> {
    closing: watch::Sender<bool>,
    closed: Option<F>,
}

impl<F: FnOnce()> Drop for Said<F> {
    fn drop(&mut self) {
        self.closing.send_replace(false);
        if let Some(closed) = self.closed.take() {
            closed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Closed once it is allowed to be.
    struct Slow(mpsc::Receiver<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[tokio::test]
    async fn whoever_closes_a_slow_device_goes_on_and_the_next_one_waits() {
        let mut slot = Slot::default();
        let (allow, allowed) = mpsc::channel();
        let (closed, mut told) = tokio::sync::mpsc::unbounded_channel();
        assert!(slot.open(|| Slow(allowed)));
        assert!(slot.close(move || closed.send(()).unwrap()));
        assert!(slot.get().is_none());
        assert!(!slot.open(|| unreachable!("two at a time")), "the one before is still open");
        assert!(told.try_recv().is_err());
        allow.send(()).unwrap();
        told.recv().await.unwrap();
        slot.closed().await;
        assert!(slot.open(|| Slow(mpsc::channel().1)));
    }

    #[tokio::test]
    async fn a_device_that_can_not_be_closed_in_order_is_closed_all_the_same() {
        struct Broken;
        impl Drop for Broken {
            fn drop(&mut self) {
                panic!("the driver is gone");
            }
        }
        let mut slot = Slot::default();
        let (closed, mut told) = tokio::sync::mpsc::unbounded_channel();
        slot.open(|| Broken);
        slot.close(move || closed.send(()).unwrap());
        told.recv().await.unwrap();
        assert!(!slot.close(|| unreachable!("there is none")));
    }
}
