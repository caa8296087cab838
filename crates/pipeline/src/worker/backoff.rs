//! How long to wait before the next attempt.

use std::time::Duration;

use rand::Rng;

/// How a failed delivery is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The bound of the first wait.
    pub first: Duration,
    /// The greatest bound.
    pub most: Duration,
}

impl Default for Retry {
    /// 1 second, doubled up to 5 minutes.
    fn default() -> Self {
        Retry { first: Duration::from_secs(1), most: Duration::from_secs(300) }
    }
}

impl Retry {
    /// The wait after so many failures in a row: anything between nothing and a bound that doubles ("full jitter"), so that a
    /// thousand who failed together do not come back together. Not less than the far side asked for.
    pub(super) fn wait(&self, failures: u32, after: Option<Duration>, random: &mut impl Rng) -> Duration {
        let bound = self.first.saturating_mul(1 << failures.saturating_sub(1).min(30)).min(self.most);
        let wait = bound.mul_f64(random.random_range(0.0..=1.0));
        match after {
            // Those who were all told the same do not come at the same moment either.
            Some(after) => after.saturating_add(wait.min(self.first)),
            None => wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn waits_are_spread_and_bounded() {
        let retry = Retry::default();
        let mut random = StdRng::seed_from_u64(1);
        for (failures, after, least, most) in [
            (1, None, 0, 1_000),
            (2, None, 0, 2_000),
            (5, None, 0, 16_000),
            (10, None, 0, 300_000),
            (u32::MAX, None, 0, 300_000),
            (1, Some(30_000), 30_000, 31_000),
            (9, Some(600_000), 600_000, 601_000),
        ] {
            let waits: Vec<u128> = (0..1_000)
                .map(|_| retry.wait(failures, after.map(Duration::from_millis), &mut random).as_millis())
                .collect();
            let (low, high) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
            assert!(low >= least && high <= most, "{failures}: {low} to {high}");
            let spread = most - least;
            assert!(low < least + spread / 5 && high > most - spread / 5, "{failures}: {low} to {high}");
        }
    }
}
