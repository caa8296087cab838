//! The newest or the oldest of some rows.

use crate::part::Part;
use crate::rows::RowSet;
use crate::times::BLOCK;

/// In which order rows are wanted: by event time, then by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    Newest,
    /// The oldest first.
    Oldest,
}

impl Order {
    /// A number that rises in this order.
    fn key(self, time: i64) -> i64 {
        match self {
            Order::Newest => !time,
            Order::Oldest => time,
        }
    }

    fn row_key(self, row: u64) -> u64 {
        match self {
            Order::Newest => !row,
            Order::Oldest => row,
        }
    }
}

impl Part {
    /// The first `limit` of some rows in this order, as event times and row offsets; only those that come after
    /// `after`, an event time and a row of the ledger. Does not look at the times of rows that cannot be among them.
    pub fn page(
        &self,
        rows: &RowSet,
        order: Order,
        after: Option<(i64, u64)>,
        limit: usize,
    ) -> Vec<(i64, u32)> {
        let first = self.rows().start;
        let after = after.map(|(time, row)| (order.key(time), order.row_key(row)));
        let mut best = Best { limit, found: Vec::new(), worst: None };
        let offer = |best: &mut Best, time: i64, row: u32| {
            let key = (order.key(time), order.row_key(first + u64::from(row)));
            if after.is_none_or(|after| key > after) {
                best.offer((key, row));
            }
        };
        if limit == 0 || rows.is_empty() {
            return Vec::new();
        }
        let times = self.event_times();
        let blocks = self.row_count().div_ceil(BLOCK);
        if u64::from(rows.len()) < u64::from(blocks) * 2 {
            rows.for_each(|row| offer(&mut best, times.get(row), row));
            return best.finish(order);
        }
        // What a block's rows have at best, and what all blocks that are still to come have.
        let heads: Vec<i64> = (0..blocks)
            .map(|number| match order {
                Order::Newest => order.key(times.block(number).greatest),
                Order::Oldest => order.key(times.block(number).least),
            })
            .collect();
        let walk: Vec<u32> = match order {
            Order::Newest => (0..blocks).rev().collect(),
            Order::Oldest => (0..blocks).collect(),
        };
        let mut to_come = vec![i64::MAX; blocks as usize + 1];
        for (place, number) in walk.iter().enumerate().rev() {
            let head = heads.get(*number as usize).copied().unwrap_or(i64::MIN);
            let later = to_come.get(place + 1).copied().unwrap_or(i64::MAX);
            if let Some(here) = to_come.get_mut(place) {
                *here = head.min(later);
            }
        }
        for (place, number) in walk.into_iter().enumerate() {
            let beats =
                |head: Option<&i64>| best.worst.is_none_or(|worst| head.is_some_and(|head| *head <= worst.0));
            if !beats(to_come.get(place)) {
                break;
            }
            if !beats(heads.get(number as usize)) {
                continue;
            }
            let start = number * BLOCK;
            let block = times.block(number);
            rows.for_each_in(start..(start + BLOCK).min(self.row_count()), |row| {
                offer(&mut best, block.time(row - start), row);
            });
        }
        best.finish(order)
    }
}

type Key = (i64, u64);

/// The least of what was offered.
struct Best {
    limit: usize,
    found: Vec<(Key, u32)>,
    /// The greatest that can still be among them, once there are enough.
    worst: Option<Key>,
}

impl Best {
    #[inline]
    fn offer(&mut self, row: (Key, u32)) {
        if self.worst.is_some_and(|worst| row.0 > worst) {
            return;
        }
        self.found.push(row);
        // Sorting out is put off until there is as much again, so that it costs little for each.
        if self.found.len() >= self.limit.saturating_mul(2).max(64) {
            self.sort_out();
        }
    }

    fn sort_out(&mut self) {
        if let Some(last) = self.limit.checked_sub(1).filter(|last| *last < self.found.len()) {
            let (_, worst, _) = self.found.select_nth_unstable(last);
            self.worst = Some(worst.0);
            self.found.truncate(self.limit);
        }
    }

    fn finish(mut self, order: Order) -> Vec<(i64, u32)> {
        self.sort_out();
        self.found.sort_unstable();
        // `key` is its own inverse.
        self.found.into_iter().map(|((time, _), row)| (order.key(time), row)).collect()
    }
}
