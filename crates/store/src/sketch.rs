//! Percentiles: exact while there is room for every value, then with a stated error.
//!
//! Beyond the room, values are counted in buckets whose bounds grow by a constant factor (the idea of DDSketch, Masson et al.,
//! VLDB 2019): a percentile is then off by at most [`RELATIVE_ERROR`] of itself.

use std::collections::BTreeMap;

/// The greatest error of a percentile that is not exact, relative to it: half a percent.
pub const RELATIVE_ERROR: f64 = 0.005;

const GAMMA: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);

/// The values of one group.
#[derive(Debug, Clone)]
pub(crate) enum Sketch {
    Exact(Vec<f64>),
    /// Counts by signed bucket: 0 holds zero, ±k the values whose magnitude is about γ^(k − [`OFFSET`]).
    Buckets(BTreeMap<i32, u64>),
}

/// γ^−OFFSET is below the smallest positive float, so magnitudes have positive bucket numbers. ln(5e-324)/ln γ = −74,450.
const OFFSET: i32 = 75_000;

impl Sketch {
    pub(crate) fn new() -> Sketch {
        Sketch::Exact(Vec::new())
    }

    pub(crate) fn add(&mut self, value: f64) {
        match self {
            Sketch::Exact(values) => values.push(value),
            Sketch::Buckets(counts) => *counts.entry(bucket(value)).or_default() += 1,
        }
    }

    /// How many values it keeps one by one.
    pub(crate) fn kept(&self) -> usize {
        match self {
            Sketch::Exact(values) => values.len(),
            Sketch::Buckets(_) => 0,
        }
    }

    /// Gives up the single values for counts.
    pub(crate) fn shrink(&mut self) {
        if let Sketch::Exact(values) = self {
            let mut counts = BTreeMap::new();
            for value in values {
                *counts.entry(bucket(*value)).or_default() += 1;
            }
            *self = Sketch::Buckets(counts);
        }
    }

    /// Sorts the values; call it before [`Sketch::percentile`].
    pub(crate) fn sort(&mut self) {
        if let Sketch::Exact(values) = self {
            values.sort_by(f64::total_cmp);
        }
    }

    /// The least value that at least `fraction` of all values do not exceed (nearest rank); `None` of no values.
    pub(crate) fn percentile(&self, fraction: f64) -> Option<f64> {
        let rank = |count: u64| ((fraction * count as f64).ceil() as u64).clamp(1, count.max(1)) - 1;
        match self {
            Sketch::Exact(values) => values.get(usize::try_from(rank(values.len() as u64)).ok()?).copied(),
            Sketch::Buckets(counts) => {
                let mut left = rank(counts.values().sum());
                for (bucket, count) in counts {
                    if left < *count {
                        return Some(middle(*bucket));
                    }
                    left -= count;
                }
                None
            }
        }
    }
}

fn bucket(value: f64) -> i32 {
    if value == 0.0 {
        return 0;
    }
    let size = (value.abs().ln() / GAMMA.ln()).ceil() as i32 + OFFSET;
    if value < 0.0 { -size } else { size }
}

fn middle(bucket: i32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    // By logarithms, because the power itself leaves the range of a float before the product does.
    let exponent = f64::from(bucket.abs() - OFFSET) * GAMMA.ln() + (2.0 / (GAMMA + 1.0)).ln();
    let size = exponent.exp().min(f64::MAX);
    if bucket < 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let mut sketch = Sketch::new();
        assert_eq!(sketch.percentile(0.5), None);
        for value in (1..=10).rev() {
            sketch.add(f64::from(value));
        }
        sketch.sort();
        for (fraction, expected) in
            [(0.5, 5.0), (0.9, 9.0), (0.95, 10.0), (0.99, 10.0), (0.0, 1.0), (1.0, 10.0)]
        {
            assert_eq!(sketch.percentile(fraction), Some(expected), "{fraction}");
        }
    }

    #[test]
    fn the_error_is_as_stated() {
        let mut exact = Sketch::new();
        for step in 0..20_000_i64 {
            let spread = ((step * 7919) % 20_011 - 8_000) as f64;
            exact.add(spread * spread * spread / 1e4);
        }
        for value in [f64::MIN_POSITIVE, 1e-300, -1e300, f64::MAX] {
            exact.add(value);
        }
        let mut rough = exact.clone();
        rough.shrink();
        assert_eq!(rough.kept(), 0);
        exact.sort();
        for percent in 0..=100 {
            let fraction = f64::from(percent) / 100.0;
            let (right, found) = (exact.percentile(fraction).unwrap(), rough.percentile(fraction).unwrap());
            let error = (right - found).abs();
            assert!(error <= right.abs() * (RELATIVE_ERROR + 1e-9), "p{percent}: {right} and {found}");
        }
    }
}
