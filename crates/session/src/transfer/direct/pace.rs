//! How much of a file may be on its way at once, so that sound and picture beside it do not suffer: LEDBAT (RFC 6817).
//!
//! A file has no deadline, a call has. The window grows while the round trip stays near the shortest one seen, and
//! shrinks as soon as a queue of more than 25 ms builds up anywhere on the way, whoever fills it: below what the
//! call's own estimator takes for congestion. Where nothing else is sent a file takes the whole path. No clock of its
//! own.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::message::MAX_PIECE_BYTES;

/// The queue on the way that this may cause.
const TARGET: Duration = Duration::from_millis(25);
/// Least bytes on their way: two packets, so that a slow path is not filled even by one burst.
const LEAST: f64 = 2.0 * LEAST_PIECE as f64;
/// Most bytes on their way: below the transport's own limit.
const MOST: f64 = 768.0 * 1024.0;
/// The window at the beginning.
const FIRST: f64 = 16.0 * 1024.0;
/// The smallest piece: what fits into one packet.
const LEAST_PIECE: usize = 1_100;
/// How long the shortest round trip is remembered, so that a new and longer path is not taken for a queue for ever.
const MEMORY: Duration = Duration::from_secs(60);

/// The sender's side of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    window: f64,
    starting: bool,
    /// Ends of pieces on their way, and when each left.
    flying: VecDeque<(u64, Instant)>,
    acked: u64,
    sent: u64,
    /// Shortest round trip of this stretch of time and of the one before.
    shortest: [Option<Duration>; 2],
    since: Option<Instant>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            window: FIRST,
            starting: true,
            flying: VecDeque::new(),
            acked: 0,
            sent: 0,
            shortest: [None; 2],
            since: None,
        }
    }

    /// Another stream, or the same from another place. What was learnt of the path stays.
    pub(super) fn begin(&mut self, offset: u64) {
        self.flying.clear();
        (self.acked, self.sent) = (offset, offset);
    }

    /// How many bytes the next piece may have; `None` while enough is on its way.
    pub(super) fn room(&self) -> Option<usize> {
        let flying = (self.sent - self.acked) as f64;
        let piece = ((self.window / 4.0) as usize).clamp(LEAST_PIECE, MAX_PIECE_BYTES);
        (flying + piece as f64 <= self.window).then_some(piece)
    }

    pub(super) fn sent(&mut self, now: Instant, bytes: usize) {
        self.sent += bytes as u64;
        self.flying.push_back((self.sent, now));
    }

    /// The other side has taken everything up to `offset`. One that says so of what was never sent is not believed.
    pub(super) fn acknowledged(&mut self, now: Instant, offset: u64) {
        if offset <= self.acked || offset > self.sent {
            return;
        }
        let bytes = (offset - self.acked) as f64;
        self.acked = offset;
        let mut newest = None;
        while let Some((end, left)) = self.flying.front().copied() {
            if end > offset {
                break;
            }
            newest = Some(left);
            self.flying.pop_front();
        }
        let Some(left) = newest else { return };
        let round_trip = now.saturating_duration_since(left);
        let queue = round_trip.saturating_sub(self.shortest(now, round_trip));
        if self.starting && queue < TARGET / 2 {
            self.window += bytes;
        } else {
            self.starting = false;
            let off = (TARGET.as_secs_f64() - queue.as_secs_f64()) / TARGET.as_secs_f64();
            self.window += off.max(-1.0) * bytes * LEAST_PIECE as f64 / self.window;
            if queue > 4 * TARGET {
                self.window *= 0.9;
            }
        }
        self.window = self.window.clamp(LEAST, MOST);
    }

    fn shortest(&mut self, now: Instant, round_trip: Duration) -> Duration {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) > MEMORY {
            self.shortest = [None, self.shortest[0]];
            self.since = Some(now);
        }
        let current = self.shortest[0].map_or(round_trip, |shortest| shortest.min(round_trip));
        self.shortest[0] = Some(current);
        self.shortest[1].map_or(current, |before| before.min(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path with a queue: bytes leave it at `rate`, `delay` later they are acknowledged.
    struct Path {
        rate: f64,
        delay: Duration,
        /// When the queue is empty.
        free: Instant,
        acks: VecDeque<(Instant, u64)>,
    }

    impl Path {
        /// Runs for `time`; gives bytes carried and the longest queue of the second half.
        fn run(&mut self, pace: &mut Pace, from: Instant, time: Duration) -> (u64, Duration) {
            let (mut carried, mut worst, mut offset) = (0, Duration::ZERO, 0);
            pace.begin(0);
            for step in 0..time.as_millis() as u64 {
                let now = from + Duration::from_millis(step);
                while let Some((at, end)) = self.acks.front().copied()
                    && at <= now
                {
                    pace.acknowledged(now, end);
                    carried = end;
                    self.acks.pop_front();
                }
                while let Some(bytes) = pace.room() {
                    pace.sent(now, bytes);
                    offset += bytes as u64;
                    self.free = self.free.max(now) + Duration::from_secs_f64(bytes as f64 / self.rate);
                    self.acks.push_back((self.free + self.delay, offset));
                }
                if step > time.as_millis() as u64 / 2 {
                    worst = worst.max(self.free.saturating_duration_since(now));
                }
            }
            (carried, worst)
        }
    }

    #[test]
    fn a_file_takes_the_path_and_hardly_fills_its_queue() {
        for (rate, delay) in [(30_000.0, 100), (125_000.0, 40), (1_000_000.0, 40), (10_000_000.0, 10)] {
            let now = Instant::now();
            let mut path =
                Path { rate, delay: Duration::from_millis(delay), free: now, acks: VecDeque::new() };
            let (carried, queue) = path.run(&mut Pace::new(), now, Duration::from_secs(20));
            let share = carried as f64 / (rate * 20.0);
            println!("{rate} bytes/s: {:.0} %, queue {queue:?}", share * 100.0);
            assert!(share > 0.6, "{share:.2} of {rate} bytes/s is used");
            assert!(queue < Duration::from_millis(120), "{queue:?} of queue at {rate} bytes/s");
        }
    }

    #[test]
    fn it_makes_way_when_somebody_else_fills_the_queue() {
        let (now, mut pace) = (Instant::now(), Pace::new());
        let mut path = Path { rate: 1e6, delay: Duration::from_millis(20), free: now, acks: VecDeque::new() };
        path.run(&mut pace, now, Duration::from_secs(5));
        let before = pace.window;
        // Every round trip is 150 ms longer now.
        let mut at = now + Duration::from_secs(5);
        pace.begin(0);
        for _ in 0..100 {
            while let Some(bytes) = pace.room() {
                pace.sent(at, bytes);
            }
            at += Duration::from_millis(180);
            let sent = pace.sent;
            pace.acknowledged(at, sent);
        }
        assert!(pace.window < before / 8.0, "{} after {before}", pace.window);
    }

    #[test]
    fn a_liar_gets_no_more_than_the_window() {
        let (now, mut pace) = (Instant::now(), Pace::new());
        pace.begin(0);
        pace.sent(now, 1_000);
        pace.acknowledged(now, u64::MAX);
        pace.acknowledged(now, 0);
        assert_eq!(pace.acked, 0);
        let mut sent = 0;
        while let Some(bytes) = pace.room() {
            pace.sent(now, bytes);
            sent += bytes;
        }
        assert!(sent as f64 <= FIRST);
    }
}
