//! What every search has in common: which events it is about, and the exact rows of each part of the index.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;

use attestry_event::{Entry, Nanos};
use attestry_index::{Filter, Matches, Part, RowSet, Snapshot};
use parking_lot::Mutex;

use crate::follow::Followed;
use crate::plan::{looks_through, plan};
use crate::query::{Query, Row};
use crate::{Error, Rows, Stop};

/// The events a search is about.
#[derive(Debug, Clone)]
pub struct Scope {
    /// What they must answer.
    pub query: Query,
    /// The ledgers to look in; all of them when `None`. A key's own restriction belongs here and in `query`.
    pub ledgers: Option<Vec<String>>,
    /// The least `event_time`.
    pub from: Option<Nanos>,
    /// The `event_time` before which they lie.
    pub to: Option<Nanos>,
    /// Ends the search early.
    pub stop: Stop,
}

impl Scope {
    /// All times and ledgers, no deadline.
    pub fn new(query: Query) -> Scope {
        Scope { query, ledgers: None, from: None, to: None, stop: Stop::never() }
    }

    fn wants(&self, ledger: &str) -> bool {
        self.ledgers.as_ref().is_none_or(|wanted| wanted.iter().any(|name| name == ledger))
    }

    /// The least time within.
    pub(crate) fn least_time(&self) -> i64 {
        self.from.map_or(i64::MIN, |from| from.0)
    }

    /// The greatest time within.
    pub(crate) fn last_time(&self) -> i64 {
        self.to.map_or(i64::MAX, |to| to.0.saturating_sub(1))
    }
}

/// How many rows are read and checked between two looks at the stop handle.
const BLOCK_ROWS: usize = 512;

/// Rows to be read for which a further thread is worth its start. Each may be in a block of its own, which takes 50 µs to
/// decompress.
const ROWS_A_THREAD: usize = 128;

/// Parts with fewer rows are looked through in less than a thread needs to start.
const LARGE_PART: u32 = 50_000;

/// So many parts are asked before their answers, a bit for each row, are used.
const WAVE: usize = 32;

/// The most threads of one search.
const MAX_THREADS: usize = 4;

/// One ledger as it was when the search began.
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) rows: Arc<dyn Rows>,
    pub(crate) parts: Vec<Arc<Part>>,
    /// What the parts are from; `None` while there is no index.
    pub(crate) snapshot: Option<Snapshot>,
    filter: Filter,
    /// Rows below it are pruned, though the index may still hold them.
    first: u64,
}

/// A search under way.
pub(crate) struct Running<'a> {
    pub(crate) scope: &'a Scope,
    /// In the order of their names.
    pub(crate) sources: Vec<Source>,
    /// Committed entries that the index had not taken in when the search began.
    pub(crate) behind: u64,
}

impl<'a> Running<'a> {
    pub(crate) fn start(ledgers: &[Arc<Followed>], scope: &'a Scope) -> Result<Running<'a>, Error> {
        if let Some(wanted) = &scope.ledgers
            && let Some(unknown) =
                wanted.iter().find(|name| !ledgers.iter().any(|ledger| *ledger.name == ***name))
        {
            return Err(Error::UnknownLedger(unknown.clone()));
        }
        let mut running = Running { scope, sources: Vec::new(), behind: 0 };
        for ledger in ledgers.iter().filter(|ledger| scope.wants(&ledger.name)) {
            scope.stop.check()?;
            // The plan may name rows that came after the snapshot; they are in none of its parts.
            let filter = plan(&scope.query, &ledger.name, &*ledger.rows)?;
            let snapshot = ledger.index().map(|index| index.snapshot());
            let parts = snapshot.as_ref().map_or_else(Vec::new, |snapshot| snapshot.parts().to_vec());
            let indexed = snapshot.as_ref().map_or(0, |snapshot| snapshot.end());
            let first = ledger.rows.first();
            running.behind += ledger.rows.end().saturating_sub(indexed.max(first));
            running.sources.push(Source {
                name: ledger.name.clone(),
                rows: ledger.rows.clone(),
                parts,
                snapshot,
                filter,
                first,
            });
        }
        Ok(running)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.scope.stop.check()
    }

    /// Whether a part can hold an event of the scope's time.
    pub(crate) fn reaches(&self, part: &Part) -> bool {
        let (least, greatest) = part.times();
        !part.rows().is_empty() && least <= self.scope.last_time() && greatest >= self.scope.least_time()
    }

    /// What a part is asked: the query, the scope's time, and what else is given.
    pub(crate) fn filter(&self, source: &Source, part: &Part, also: Option<Filter>) -> Filter {
        let mut filters = vec![source.filter.clone()];
        let (least, greatest) = part.times();
        let (first, last) = (self.scope.least_time(), self.scope.last_time());
        if least < first || greatest > last {
            filters.push(Filter::EventTime(first..last.saturating_add(1)));
        }
        if part.rows().start < source.first {
            filters.push(Filter::RowRange(source.first..u64::MAX));
        }
        filters.extend(also);
        match filters.len() {
            1 => filters.swap_remove(0),
            _ => Filter::And(filters),
        }
    }

    /// Calls `f` with each part and all of its rows that answer the query; parts without any are left out.
    pub(crate) fn each_part(
        &self,
        mut f: impl FnMut(&Source, &Arc<Part>, RowSet) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.ask_parts(&|part, filter| part.eval(filter), &mut |source, part, matches| {
            let rows = self.exact(source, part, matches)?;
            if rows.is_empty() { Ok(()) } else { f(source, part, rows) }
        })
    }

    /// Calls `then` with what each part within reach says to the query, in their order. Several threads ask them where that
    /// means to look through all values of a field.
    pub(crate) fn ask_parts<T: Send>(
        &self,
        ask: &(impl Fn(&Part, &Filter) -> T + Sync),
        then: &mut impl FnMut(&Source, &Arc<Part>, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for source in &self.sources {
            let parts: Vec<&Arc<Part>> = source.parts.iter().filter(|part| self.reaches(part)).collect();
            let slow = looks_through(&source.filter);
            for wave in parts.chunks(if slow { WAVE } else { 1 }) {
                let large = wave.iter().filter(|part| part.row_count() >= LARGE_PART).count();
                let next = AtomicUsize::new(0);
                let work = || -> Result<Vec<(usize, T)>, Error> {
                    let mut answers = Vec::new();
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(part) = wave.get(place) else { return Ok(answers) };
                        self.check()?;
                        answers.push((place, ask(part, &self.filter(source, part, None))));
                    }
                };
                let mut answers: Vec<(usize, T)> =
                    side_by_side(threads(large), &work)?.into_iter().flatten().collect();
                answers.sort_unstable_by_key(|(place, _)| *place);
                for ((_, answer), part) in answers.into_iter().zip(wave) {
                    self.check()?;
                    then(source, part, answer)?;
                }
            }
        }
        Ok(())
    }

    /// What is certain, and of what is only possible that which the rows themselves confirm.
    pub(crate) fn exact(&self, source: &Source, part: &Part, matches: Matches) -> Result<RowSet, Error> {
        if matches.certain.len() == matches.possible.len() {
            return Ok(matches.certain);
        }
        let count = part.row_count();
        let doubtful = matches.possible.minus(&matches.certain, count);
        let confirmed = self.confirmed(source, part, &doubtful)?;
        if confirmed.is_empty() {
            return Ok(matches.certain);
        }
        Ok(matches.certain.or(&RowSet::Sorted(Arc::new(confirmed)), count))
    }

    /// Which of some rows of a part answer the query, ascending. Many are read by several threads.
    fn confirmed(&self, source: &Source, part: &Part, doubtful: &RowSet) -> Result<Vec<u32>, Error> {
        let first = part.rows().start;
        let rows = doubtful.len() as usize;
        let threads = threads(rows / ROWS_A_THREAD);
        // Small enough that all threads end at about the same time.
        let size = (rows / (threads * 8)).clamp(ROWS_A_THREAD / 4, BLOCK_ROWS);
        let todo = Mutex::new(blocks(part, doubtful, size));
        let work = || -> Result<Vec<u32>, Error> {
            let mut found = Vec::new();
            loop {
                let Some(block) = todo.lock().next() else { return Ok(found) };
                self.verify(source, &block, &mut |index| found.extend(u32::try_from(index - first).ok()))?;
            }
        };
        let mut confirmed = side_by_side(threads, &work)?.concat();
        confirmed.sort_unstable();
        Ok(confirmed)
    }

    /// Calls `f` with the offset and the entry of each row.
    pub(crate) fn read_entries(
        &self,
        source: &Source,
        part: &Part,
        rows: &RowSet,
        f: &mut dyn FnMut(u32, &Entry<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let first = part.rows().start;
        for block in blocks(part, rows, BLOCK_ROWS) {
            self.check()?;
            let mut outcome = Ok(());
            let mut each = |index: u64, bytes: &[u8]| {
                if outcome.is_ok() {
                    outcome = parse(&source.name, index, bytes)
                        .and_then(|entry| f(u32::try_from(index - first).unwrap_or(u32::MAX), &entry));
                }
            };
            let read = source.rows.read(&block, &mut each);
            read.map_err(|error| Error::rows(&source.name, error))?;
            outcome?;
        }
        Ok(())
    }

    /// Where a source stands in [`Running::sources`].
    pub(crate) fn number_of(&self, source: &Source) -> usize {
        self.sources.iter().position(|other| other.name == source.name).unwrap_or(usize::MAX)
    }

    /// Calls `f` with those of the indexes whose entries answer the query, in their order.
    pub(crate) fn verify(
        &self,
        source: &Source,
        indexes: &[u64],
        f: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        self.check()?;
        let value = |hash: &[u8; 32]| source.rows.value(hash);
        let mut failure = None;
        let read = source.rows.read(indexes, &mut |index, bytes| {
            if failure.is_some() {
                return;
            }
            match confirms(&self.scope.query, &source.name, index, bytes, &value) {
                Ok(true) => f(index),
                Ok(false) => {}
                Err(error) => failure = Some(error),
            }
        });
        read.map_err(|error| Error::rows(&source.name, error))?;
        failure.map_or(Ok(()), Err)
    }
}

/// As many threads as there is work for, and processors for one search.
fn threads(work: usize) -> usize {
    // Asking reads files of the control group: 20 µs, more than a part takes to answer.
    static PROCESSORS: LazyLock<usize> =
        LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));
    work.min(*PROCESSORS).clamp(1, MAX_THREADS)
}

/// What `work` gives when so many threads, this one among them, do it until nothing is left.
fn side_by_side<T: Send>(
    threads: usize,
    work: &(dyn Fn() -> Result<Vec<T>, Error> + Sync),
) -> Result<Vec<Vec<T>>, Error> {
    thread::scope(|scope| {
        // Without the threads the work is done all the same.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().name("search".to_owned()).spawn_scoped(scope, work).ok())
            .collect();
        let mut results = vec![work()];
        for other in others {
            results.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        results.into_iter().collect()
    })
}

/// The ledger's indexes of some rows of a part, so many at a time.
fn blocks<'r>(part: &Part, rows: &'r RowSet, size: usize) -> impl Iterator<Item = Vec<u64>> + use<'r> {
    let first = part.rows().start;
    let mut offsets = rows.iter();
    std::iter::from_fn(move || {
        let block: Vec<u64> = offsets.by_ref().take(size).map(|offset| first + u64::from(offset)).collect();
        (!block.is_empty()).then_some(block)
    })
}

fn parse<'b>(ledger: &Arc<str>, index: u64, bytes: &'b [u8]) -> Result<Entry<'b>, Error> {
    Entry::parse(bytes).map_err(|source| Error::Entry {
        ledger: ledger.clone(),
        index,
        source: Arc::new(source),
    })
}

type Value<'a> = &'a dyn Fn(&[u8; 32]) -> Result<Option<Vec<u8>>, crate::RowsError>;

/// Whether an entry answers the query. A large value that cannot be read is an error, one that was erased matches nothing.
fn confirms(
    query: &Query,
    ledger: &Arc<str>,
    index: u64,
    bytes: &[u8],
    value: Value<'_>,
) -> Result<bool, Error> {
    let entry = parse(ledger, index, bytes)?;
    let failed = std::cell::Cell::new(None);
    let value_of = |hash: &[u8; 32]| match value(hash) {
        Ok(found) => found,
        Err(error) => {
            failed.set(Some(error));
            None
        }
    };
    let found = query.matches(&Row { ledger, index, entry: &entry, value_of: Some(&value_of) });
    match failed.take() {
        Some(error) => Err(Error::rows(ledger, error)),
        None => Ok(found),
    }
}
