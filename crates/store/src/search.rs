//! Pages of events, sorted by (`event_time`, ledger, index).
//!
//! The parts of the index are visited in the order of the best event each can hold. A part whose best cannot reach the page any
//! more ends the search: everything after it is worse. Within a part, rows are taken best first, and those the index is not sure
//! of are checked on the entry before they count.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use attestry_event::Nanos;
use attestry_index::{Filter, Matches, Part};

use crate::cursor::Place;
use crate::scope::{Running, Source};
use crate::{Cursor, Error, Order, Scope};

/// The most events in a page.
pub const MAX_PAGE: usize = 10_000;

/// A page ends early when its entries take more than this, 16 MiB, so that ten thousand of the largest do not take 600.
pub const MAX_PAGE_BYTES: usize = 16 << 20;

/// How many entries are read between two looks at the size of the page: at most 15 MiB.
const FETCH_ROWS: usize = 256;

/// How many rows are taken from a part at first, when some of them must be checked; each further time twice as many.
const FIRST_CHUNK: usize = 64;

/// The most rows taken at once.
const LAST_CHUNK: usize = 1024;

/// In a part whose rows are not in the order of time, the first stretch of time is as long as would hold so many times the page
/// if all rows answered the query and were spread evenly.
const FIRST_STRETCH: usize = 8;

/// Each further stretch is so many times as long.
const STRETCH_GROWTH: u64 = 8;

/// A request for a page of events.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// Which events.
    pub scope: Scope,
    /// Which end of time comes first.
    pub order: Order,
    /// How many, 1 to [`MAX_PAGE`].
    pub limit: usize,
    /// Where the page begins: behind the last page's end.
    pub cursor: Option<Cursor>,
}

/// A page of events.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events, in order. Fewer than asked for when they take more than [`MAX_PAGE_BYTES`].
    pub hits: Vec<Hit>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Cursor>,
    /// How many committed entries could not be found yet because the index has not taken them in.
    pub behind: u64,
}

/// A found event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The ledger it is in.
    pub ledger: Arc<str>,
    /// Its index there.
    pub index: u64,
    /// When it happened.
    pub event_time: Nanos,
    /// Its entry, byte for byte.
    pub entry: Vec<u8>,
}

/// A row's place in the page, the first being the least: (`event_time`, source, index), complemented for newest first, which turns
/// the order around and is undone by doing it again.
type Rank = (i64, u32, u64);

fn rank(order: Order, (time, source, index): Rank) -> Rank {
    match order {
        Order::OldestFirst => (time, source, index),
        Order::NewestFirst => (!time, !source, !index),
    }
}

pub(crate) fn search(running: &Running<'_>, request: &SearchRequest) -> Result<Page, Error> {
    if request.limit == 0 || request.limit > MAX_PAGE {
        return Err(Error::Refused(format!("a page holds 1 to {MAX_PAGE} events")));
    }
    let after = match &request.cursor {
        Some(cursor) if cursor.order != request.order => return Err(Error::BadCursor),
        Some(cursor) => Some(&cursor.after),
        None => None,
    };
    // One more than asked for tells whether there is a next page.
    let mut best = Best { order: request.order, room: request.limit + 1, after, heap: BinaryHeap::new() };
    let mut parts: Vec<(Rank, u32, &Source, &Arc<Part>)> = Vec::new();
    for (number, source) in running.sources.iter().enumerate() {
        let number = number as u32;
        for part in source.parts.iter().filter(|part| running.reaches(part)) {
            let (least, greatest) = part.times();
            let reach = match request.order {
                Order::OldestFirst => (least, 0, 0),
                Order::NewestFirst => (!greatest, 0, 0),
            };
            parts.push((reach, number, source, part));
        }
    }
    parts.sort_by_key(|(reach, ..)| *reach);
    for (reach, number, source, part) in parts {
        running.check()?;
        if best.is_full_before(reach) {
            break;
        }
        best.take_from(running, number, source, part)?;
    }
    let mut ranks = best.heap.into_sorted_vec();
    let mut more = ranks.len() > request.limit;
    ranks.truncate(request.limit);
    let places: Vec<Rank> = ranks.into_iter().map(|found| rank(request.order, found)).collect();
    let (hits, read) = fetch(running, &places)?;
    more |= read < places.len();
    let last = places.get(read.wrapping_sub(1)).filter(|_| more);
    let next = last.and_then(|(time, source, index)| {
        let ledger = running.sources.get(*source as usize)?.name.to_string();
        Some(Cursor { order: request.order, after: Place { time: *time, ledger, index: *index } })
    });
    Ok(Page { hits, next, behind: running.behind })
}

/// The best rows so far, the worst on top.
struct Best<'a> {
    order: Order,
    room: usize,
    after: Option<&'a Place>,
    heap: BinaryHeap<Rank>,
}

impl Best<'_> {
    /// Whether the page is full and nothing from `reach` on can enter it.
    fn is_full_before(&self, reach: Rank) -> bool {
        self.heap.len() >= self.room && self.heap.peek().is_some_and(|worst| reach > *worst)
    }

    fn push(&mut self, found: Rank) {
        self.heap.push(found);
        if self.heap.len() > self.room {
            self.heap.pop();
        }
    }

    /// Takes what a part has. Where its rows are not in the order of time, only those of the best times are looked at first, and
    /// of ever longer stretches of time until the page is full.
    fn take_from(
        &mut self,
        running: &Running<'_>,
        number: u32,
        source: &Source,
        part: &Part,
    ) -> Result<(), Error> {
        let (least, greatest) = part.times();
        let (mut first, mut last) =
            (least.max(running.scope.least_time()), greatest.min(running.scope.last_time()));
        if let Some(after) = self.after {
            match self.order {
                Order::OldestFirst => first = first.max(after.time),
                Order::NewestFirst => last = last.min(after.time),
            }
        }
        let stretches = (part.row_count() as usize / (self.room * FIRST_STRETCH)).max(1);
        let mut width = match part.times_sorted() {
            true => u64::MAX,
            false => last.abs_diff(first) / stretches as u64 + 1,
        };
        let (mut again, mut whole) = (false, None);
        while first <= last {
            let stretch = match self.order {
                Order::OldestFirst => first..=first.saturating_add_unsigned(width - 1).min(last),
                Order::NewestFirst => last.saturating_sub_unsigned(width - 1).max(first)..=last,
            };
            let reach = match self.order {
                Order::OldestFirst => (first, 0, 0),
                Order::NewestFirst => (!last, 0, 0),
            };
            if self.is_full_before(reach) {
                return Ok(());
            }
            let (from, to) = (*stretch.start(), *stretch.end());
            let in_time = Filter::EventTime(from..to.saturating_add(1));
            let matches = if from <= least && to >= greatest {
                part.eval(&running.filter(source, part, None))
            } else if !again {
                part.eval(&running.filter(source, part, Some(in_time)))
            } else {
                // A pattern is compared with all values of a field each time it is asked for: once for all further stretches.
                let Matches { certain, possible } =
                    whole.get_or_insert_with(|| part.eval(&running.filter(source, part, None)));
                let in_time = part.eval(&in_time).certain;
                Matches { certain: certain.and(&in_time), possible: possible.and(&in_time) }
            };
            again = true;
            self.take_matches(running, number, source, part, matches)?;
            match self.order {
                Order::OldestFirst if to < i64::MAX => first = to + 1,
                Order::NewestFirst if from > i64::MIN => last = from - 1,
                _ => return Ok(()),
            }
            width = width.saturating_mul(STRETCH_GROWTH);
        }
        Ok(())
    }

    /// Takes the best of what was found in a part.
    fn take_matches(
        &mut self,
        running: &Running<'_>,
        number: u32,
        source: &Source,
        part: &Part,
        Matches { certain, possible }: Matches,
    ) -> Result<(), Error> {
        let sure = certain.len() == possible.len();
        let first_row = part.rows().start;
        let order = self.order;
        let ranked = |offset: u32| rank(order, (part.time(offset), number, first_row + u64::from(offset)));
        let mut candidates: Box<dyn Iterator<Item = Rank>> = match (part.times_sorted(), order) {
            (true, Order::OldestFirst) => Box::new(possible.iter().map(ranked)),
            (true, Order::NewestFirst) => Box::new(possible.iter_desc().map(ranked)),
            (false, _) => {
                let heap: BinaryHeap<Reverse<Rank>> = possible
                    .iter()
                    .map(ranked)
                    .filter(|found| !self.is_full_before(*found))
                    .map(Reverse)
                    .collect();
                Box::new(Drain(heap))
            }
        };
        let mut size = if sure { self.room.min(LAST_CHUNK) } else { FIRST_CHUNK };
        let mut chunk: Vec<Rank> = Vec::new();
        loop {
            running.check()?;
            chunk.clear();
            let mut done = true;
            for found in candidates.by_ref() {
                if self.is_full_before(found) {
                    break;
                }
                if self.is_shown(running, found) {
                    continue;
                }
                chunk.push(found);
                if chunk.len() >= size {
                    done = false;
                    break;
                }
            }
            if sure {
                chunk.iter().for_each(|found| self.push(*found));
            } else {
                let mut doubtful = Vec::new();
                for found in &chunk {
                    let (_, _, index) = rank(order, *found);
                    match u32::try_from(index - first_row) {
                        Ok(offset) if certain.contains(offset) => self.push(*found),
                        _ => doubtful.push(index),
                    }
                }
                doubtful.sort_unstable();
                running.verify(source, &doubtful, &mut |index| {
                    if let Ok(offset) = u32::try_from(index - first_row) {
                        self.push(ranked(offset));
                    }
                })?;
            }
            if done {
                return Ok(());
            }
            size = (size * 2).min(LAST_CHUNK);
        }
    }

    /// Whether a row was on an earlier page.
    fn is_shown(&self, running: &Running<'_>, found: Rank) -> bool {
        let Some(after) = self.after else { return false };
        let (time, source, index) = rank(self.order, found);
        let name = running.sources.get(source as usize).map_or("", |source| &*source.name);
        let place = (time, name, index);
        let after = (after.time, after.ledger.as_str(), after.index);
        match self.order {
            Order::OldestFirst => place <= after,
            Order::NewestFirst => place >= after,
        }
    }
}

/// Takes the least first.
struct Drain(BinaryHeap<Reverse<Rank>>);

impl Iterator for Drain {
    type Item = Rank;

    fn next(&mut self) -> Option<Rank> {
        self.0.pop().map(|Reverse(found)| found)
    }
}

/// Reads the entries of places, in their order, until they take [`MAX_PAGE_BYTES`]; gives also how many places were dealt with.
/// Entries that were pruned since they were found are left out.
pub(crate) fn fetch(running: &Running<'_>, places: &[Rank]) -> Result<(Vec<Hit>, usize), Error> {
    let (mut hits, mut bytes, mut read) = (Vec::with_capacity(places.len()), 0, 0);
    for block in places.chunks(FETCH_ROWS) {
        if bytes >= MAX_PAGE_BYTES {
            break;
        }
        let found = fetch_block(running, block)?;
        bytes += found.iter().map(|hit| hit.entry.len()).sum::<usize>();
        hits.extend(found);
        read += block.len();
    }
    Ok((hits, read))
}

fn fetch_block(running: &Running<'_>, places: &[Rank]) -> Result<Vec<Hit>, Error> {
    let mut hits: Vec<Option<Hit>> = vec![None; places.len()];
    for (number, source) in running.sources.iter().enumerate() {
        running.check()?;
        let of_source = places.iter().enumerate().filter(|(_, (_, of, _))| *of as usize == number);
        let mut wanted: Vec<(u64, usize, i64)> =
            of_source.map(|(slot, (time, _, index))| (*index, slot, *time)).collect();
        if wanted.is_empty() {
            continue;
        }
        wanted.sort_unstable();
        let indexes: Vec<u64> = wanted.iter().map(|(index, ..)| *index).collect();
        let read = source.rows.read(&indexes, &mut |index, entry| {
            let Ok(at) = wanted.binary_search_by_key(&index, |(index, ..)| *index) else { return };
            if let Some((_, slot, time)) = wanted.get(at)
                && let Some(hit) = hits.get_mut(*slot)
            {
                let (ledger, event_time) = (source.name.clone(), Nanos(*time));
                *hit = Some(Hit { ledger, index, event_time, entry: entry.to_vec() });
            }
        });
        read.map_err(|error| Error::rows(&source.name, error))?;
    }
    Ok(hits.into_iter().flatten().collect())
}
