use std::{
    collections::VecDeque,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{
    disk::Disk,
    error::Error,
    files::{self, Look, Span},
    format::file_name,
    open::fatal,
    walk::{Step, Walk},
};

/// What a reader comes upon next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record {
        /// Its number.
        seq: u64,
        /// Its payload, until the next call.
        payload: &'a [u8],
    },
    /// Sequences that are not here (any more): removed, dropped at the cap, or damaged.
    Gap(Range<u64>),
}

/// Reads a journal's records in order, in large pieces, up to a horizon that [`Journal::extend`] moves.
///
/// [`Journal::extend`]: crate::Journal::extend
pub struct Reader<D: Disk> {
    disk: D,
    dir: PathBuf,
    /// What comes next.
    seq: u64,
    /// The files from the current one on.
    spans: VecDeque<Span>,
    /// Where the journal ended when this was made or last extended.
    horizon: u64,
    walk: Option<Walk<D::File>>,
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(disk: D, dir: PathBuf, from: u64, spans: VecDeque<Span>, horizon: u64) -> Self {
        let mut reader = Reader { disk, dir, seq: from, spans: VecDeque::new(), horizon, walk: None };
        reader.extend(spans, horizon);
        reader
    }

    pub(crate) fn extend(&mut self, mut spans: VecDeque<Span>, horizon: u64) {
        spans.retain(|span| span.end > self.seq);
        let same = self.spans.front().map(|span| span.first) == spans.front().map(|span| span.first);
        match (&mut self.walk, spans.front()) {
            (Some(walk), Some(span)) if same => walk.extend(span.end),
            _ => self.walk = None,
        }
        (self.spans, self.horizon) = (spans, horizon);
    }

    /// The sequence of the next record that is returned, if it is not in a gap.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The next record or gap; `None` at the horizon.
    ///
    /// # Errors
    /// [`Error::Fatal`] when the disk fails to read. The same call may be tried again.
    #[expect(clippy::should_implement_trait, reason = "an item borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, Error> {
        loop {
            let Some(span) = self.spans.front().copied() else {
                // The last file was set aside.
                return Ok((self.seq < self.horizon).then(|| self.gap(self.horizon)));
            };
            if self.seq >= span.end {
                self.spans.pop_front();
                self.walk = None;
                continue;
            }
            if self.seq < span.first {
                return Ok(Some(self.gap(span.first)));
            }
            let path = self.dir.join(file_name(span.first));
            let walk = match &mut self.walk {
                Some(walk) => walk,
                none => match begin(&self.disk, &self.dir, span, self.seq).map_err(fatal(&path))? {
                    Some(walk) => none.insert(walk),
                    None => return Ok(Some(self.gap(span.end))),
                },
            };
            match walk.step().map_err(fatal(&path))? {
                Step::Record(seq) => {
                    self.seq = seq + 1;
                    let payload = self.walk.as_ref().map_or(&[][..], Walk::payload);
                    return Ok(Some(Item::Record { seq, payload }));
                }
                Step::Damage(damage) if damage.end_seq > self.seq => {
                    return Ok(Some(self.gap(damage.end_seq)));
                }
                Step::Damage(_) => {}
                Step::End => self.seq = span.end,
            }
        }
    }

    fn gap(&mut self, end: u64) -> Item<'static> {
        let gap = self.seq..end;
        self.seq = end;
        Item::Gap(gap)
    }
}

/// Opens a file to read on from a sequence; `None` when it was removed meanwhile, or its header is unreadable.
fn begin<D: Disk>(disk: &D, dir: &Path, span: Span, from: u64) -> io::Result<Option<Walk<D::File>>> {
    match files::look(disk, dir, &file_name(span.first), span.first) {
        Ok(Look::Good { source, .. }) => Ok(Some(Walk::new(source, from, Some(span.end)))),
        Ok(Look::Newer | Look::Bad { .. }) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
