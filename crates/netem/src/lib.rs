//! A one-way network link as arithmetic: bottleneck with a drop-tail queue, delay, jitter, loss, duplication, damage.
//!
//! The same model serves tests in virtual time (`crates/flow`) and the network inside the process that carries real
//! datagrams in real time (`crates/testkit`). It is told the time, in milliseconds since a moment of the user's
//! choosing, and what it decides depends on its seed and on the number of the packet alone. Nothing here ships.

mod dice;
mod loss;
mod shape;

pub use dice::Dice;
pub use loss::Loss;
pub use shape::Shape;

/// What becomes of a packet that is not lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When it arrives, ms.
    pub at_ms: f64,
    /// When a second copy arrives, ms.
    pub again_ms: Option<f64>,
    /// The bit that the way has flipped, to be taken modulo the packet's length in bits.
    pub flipped_bit: Option<u64>,
}

/// What a link has done so far, packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Given to the link.
    pub sent: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Found the queue full.
    pub overflowed: u64,
    /// Arriving twice.
    pub duplicated: u64,
    /// Arriving with a bit flipped.
    pub damaged: u64,
}

/// One direction of a way between two machines.
#[derive(Debug)]
pub struct Link {
    /// How the link behaves from the next packet on.
    pub shape: Shape,
    dice: Dice,
    free_at_ms: f64,
    last_arrival_ms: f64,
    bad: bool,
    worst_queue_ms: f64,
    counts: Counts,
}

impl Link {
    /// A link that repeats itself with the same seed. The seed is printed, for a failing test to be run again.
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        println!("link seed {seed}");
        Self {
            shape,
            dice: Dice::new(seed),
            free_at_ms: 0.0,
            last_arrival_ms: 0.0,
            bad: false,
            worst_queue_ms: 0.0,
            counts: Counts::default(),
        }
    }

    /// When a packet of `bytes` that is sent at `now_ms` arrives; `None` when it is lost. `now_ms` never decreases.
    pub fn send(&mut self, now_ms: f64, bytes: usize) -> Option<Arrival> {
        let Shape { rate_bps, queue_ms, delay_ms, jitter_ms, loss, duplicate, damage, largest, .. } =
            self.shape;
        self.counts.sent += 1;
        // The same number of rolls for each packet: one setting does not change what another decides.
        let [state, lost, jitter, twice, again, damaged] = std::array::from_fn(|_| self.dice.roll());
        let flipped_bit = self.dice.number();

        let waiting = (self.free_at_ms - now_ms).max(0.0);
        if waiting > queue_ms {
            self.counts.overflowed += 1;
            return None;
        }
        self.worst_queue_ms = self.worst_queue_ms.max(waiting);
        self.free_at_ms = now_ms + waiting + bytes as f64 * 8e3 / rate_bps;

        self.bad = if self.bad { state >= loss.to_good } else { state < loss.to_bad };
        if bytes > largest || lost < if self.bad { loss.in_bad } else { loss.in_good } {
            self.counts.lost += 1;
            return None;
        }
        let at_ms = self.arrival(delay_ms + jitter * jitter_ms);
        let again_ms = (twice < duplicate).then(|| self.arrival(delay_ms + again * jitter_ms));
        let flipped_bit = (damaged < damage).then_some(flipped_bit);
        self.counts.duplicated += u64::from(again_ms.is_some());
        self.counts.damaged += u64::from(flipped_bit.is_some());
        Some(Arrival { at_ms, again_ms, flipped_bit })
    }

    fn arrival(&mut self, delay_ms: f64) -> f64 {
        let Shape { reorder, bunch_ms, .. } = self.shape;
        let arrival = self.free_at_ms + delay_ms;
        let arrival = if bunch_ms > 0.0 { (arrival / bunch_ms).ceil() * bunch_ms } else { arrival };
        let arrival = if reorder { arrival } else { arrival.max(self.last_arrival_ms) };
        self.last_arrival_ms = self.last_arrival_ms.max(arrival);
        arrival
    }

    /// What the link has done so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The longest that a packet has waited before the bottleneck, ms.
    #[must_use]
    pub const fn worst_queue_ms(&self) -> f64 {
        self.worst_queue_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: u32 = 100_000;

    fn arrivals(shape: Shape, seed: u64) -> Vec<Option<Arrival>> {
        let mut link = Link::new(shape, seed);
        (0..PACKETS).map(|number| link.send(f64::from(number), 100)).collect()
    }

    /// Share of lost packets and mean length of a run of them.
    fn losses(arrivals: &[Option<Arrival>]) -> (f64, f64) {
        let lost = arrivals.iter().filter(|arrival| arrival.is_none()).count();
        let runs =
            arrivals.chunk_by(|a, b| a.is_none() == b.is_none()).filter(|run| run[0].is_none()).count();
        (lost as f64 / f64::from(PACKETS), lost as f64 / runs.max(1) as f64)
    }

    #[test]
    fn a_seed_repeats_itself_and_another_does_not() {
        let shape = Shape { loss: Loss::independent(0.2), jitter_ms: 10.0, ..Shape::PERFECT };
        assert_eq!(arrivals(shape, 1), arrivals(shape, 1));
        assert_ne!(arrivals(shape, 1), arrivals(shape, 2));
    }

    #[test]
    fn independent_loss_has_its_share_and_short_runs() {
        let (share, run) = losses(&arrivals(Shape { loss: Loss::independent(0.2), ..Shape::PERFECT }, 3));
        assert!((share - 0.2).abs() < 0.01, "{share}");
        assert!((run - 1.25).abs() < 0.05, "{run}");
    }

    #[test]
    fn bursts_have_their_share_and_length() {
        let (share, run) = losses(&arrivals(Shape { loss: Loss::bursts(0.1, 8.0), ..Shape::PERFECT }, 4));
        assert!((share - 0.1).abs() < 0.01, "{share}");
        assert!((run - 8.0).abs() < 0.5, "{run}");
    }

    #[test]
    fn a_bad_state_may_lose_only_a_part() {
        let loss = Loss { to_bad: 0.01, to_good: 0.03, in_good: 0.01, in_bad: 0.5 };
        let (share, _) = losses(&arrivals(Shape { loss, ..Shape::PERFECT }, 5));
        assert!((share - loss.share()).abs() < 0.02, "{share}, expected {}", loss.share());
    }

    #[test]
    fn jitter_changes_the_order_only_where_it_may() {
        let times = |reorder| {
            let shape = Shape { jitter_ms: 20.0, reorder, ..Shape::PERFECT };
            arrivals(shape, 6).iter().flatten().map(|arrival| arrival.at_ms).collect::<Vec<_>>()
        };
        assert!(times(false).is_sorted());
        assert!(!times(true).is_sorted());
    }

    #[test]
    fn a_bunch_arrives_together() {
        let shape = Shape { delay_ms: 20.0, bunch_ms: 100.0, ..Shape::PERFECT };
        let mut link = Link::new(shape, 9);
        let arrivals =
            [0.0, 30.0, 79.0, 85.0, 180.0].map(|now| link.send(now, 100).map(|arrival| arrival.at_ms));
        assert_eq!(arrivals, [100.0, 100.0, 100.0, 200.0, 300.0].map(Some));
    }

    #[test]
    fn a_bottleneck_delays_then_drops() {
        let mut link =
            Link::new(Shape { rate_bps: 80e3, queue_ms: 50.0, delay_ms: 0.0, ..Shape::PERFECT }, 7);
        let sent: Vec<_> = (0..10).map(|_| link.send(0.0, 100).map(|arrival| arrival.at_ms)).collect();
        let expected = (1..=6).map(|place| Some(f64::from(place) * 10.0)).chain(std::iter::repeat_n(None, 4));
        assert_eq!(sent, expected.collect::<Vec<_>>());
        assert_eq!(link.counts().overflowed, 4);
    }

    #[test]
    fn copies_and_damage_come_as_often_as_asked() {
        let shape = Shape { duplicate: 0.1, damage: 0.05, ..Shape::PERFECT };
        let mut link = Link::new(shape, 8);
        for number in 0..PACKETS {
            link.send(f64::from(number), 100);
        }
        let share = |count: u64| count as f64 / f64::from(PACKETS);
        assert!((share(link.counts().duplicated) - 0.1).abs() < 0.01);
        assert!((share(link.counts().damaged) - 0.05).abs() < 0.01);
    }
}
