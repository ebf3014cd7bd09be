//! What the engine tells its messenger, in the order in which it is told.
//!
//! Nothing is dropped here: what a person asked for must not be. What comes from the server is taken only while there is
//! room ([`Outbox::room`]); the rest waits on the line and then with the server, so that one that says a lot slows down
//! itself and fills no memory here.

use tokio::sync::{mpsc, watch};

/// As many may wait before nothing more is taken from the server. A busy clinic says a few a second.
const ROOM: usize = 256;

/// Where the engine puts what it tells.
pub(crate) struct Outbox<T> {
    sender: mpsc::UnboundedSender<T>,
    waiting: watch::Sender<usize>,
}

/// Where the messenger takes it. With it goes whatever still waits.
pub(crate) struct Inbox<T> {
    receiver: mpsc::UnboundedReceiver<T>,
    waiting: watch::Sender<usize>,
}

/// Both ends.
pub(crate) fn channel<T>() -> (Outbox<T>, Inbox<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = watch::Sender::new(0);
    (Outbox { sender, waiting: waiting.clone() }, Inbox { receiver, waiting })
}

impl<T> Outbox<T> {
    /// Tells something.
    pub(crate) fn tell(&self, input: T) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        // A task that has ended was told to, or panicked and has said so.
        if self.sender.send(input).is_err() {
            self.waiting.send_replace(0);
        }
    }

    /// Waits until the messenger has taken in enough of what it was told.
    pub(crate) fn room(&self) -> impl Future<Output = ()> + Send + use<T> {
        let mut waiting = self.waiting.subscribe();
        async move {
            // An error would mean that both ends are gone.
            let _ = waiting.wait_for(|waiting| *waiting < ROOM).await;
        }
    }
}

impl<T> Inbox<T> {
    /// The next input; `None` when nobody can tell anything any more.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        let input = self.receiver.recv().await?;
        self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
        Some(input)
    }

    /// Whether nobody can tell anything any more, and nothing is left to take in.
    pub(crate) fn is_over(&self) -> bool {
        self.receiver.is_closed() && self.receiver.is_empty()
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.receiver.close();
        // Nobody waits for somebody who is not there.
        self.waiting.send_replace(0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_tells_more_than_is_taken_in_waits_and_nothing_is_lost_or_reordered() {
        let (outbox, mut inbox) = channel();
        for number in 0..ROOM {
            assert!(number != ROOM - 1 || outbox.room().now_or_never().is_some(), "there is room for one");
            outbox.tell(number);
        }
        assert!(outbox.room().now_or_never().is_none(), "it is full");
        // What the person wants is taken all the same.
        outbox.tell(ROOM);
        assert_eq!(inbox.recv().await, Some(0));
        assert!(outbox.room().now_or_never().is_none(), "as full as it should be");
        let room = tokio::spawn(outbox.room());
        for number in 1..=ROOM {
            assert_eq!(inbox.recv().await, Some(number));
        }
        tokio::time::timeout(Duration::from_secs(60), room).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_for_a_messenger_that_has_ended() {
        let (outbox, inbox) = channel();
        for number in 0..2 * ROOM {
            outbox.tell(number);
        }
        let room = tokio::spawn(outbox.room());
        drop(inbox);
        tokio::time::timeout(Duration::from_secs(60), room).await.unwrap().unwrap();
        for number in 0..2 * ROOM {
            outbox.tell(number);
        }
        outbox.room().now_or_never().expect("nothing waits");
    }
}
