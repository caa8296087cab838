//! Reading one file, from where it was left to its end.

use std::io;

use attestry_event::Nanos;

use super::{
    super::{
        events::Events,
        known::{Print, read_at},
        lines::{Lines, Record},
    },
    Files, MAX_OPEN, TURN_BYTES, Turn, gap,
    opened::Input,
    position,
};
use crate::{
    follow::{at_rest, family::Rank},
    source::Stopped,
};

impl Files {
    /// Reads a file to its end, or until its turn is over: then true.
    pub(super) fn read(&mut self, turn: Turn, now: Nanos, events: &mut Events<'_>) -> Result<bool, Stopped> {
        let Turn { file: key, mut input, size, modified, complete, .. } = turn;
        let Some(mut file) = self.files.remove(&key) else { return Ok(false) };
        let (others, ids, first) = (&self.files, &self.ids, self.first);
        let mut lines = Lines::new(&self.framing, file.offset);
        let mut left = TURN_BYTES;
        let ended = loop {
            let base = lines.at();
            let chunk = match input.fill(&mut self.buffer, base) {
                Ok(0) => break Ended::All,
                Ok(filled) => self.buffer.get(..filled).unwrap_or_default(),
                Err(error) => break Ended::Failed(error),
            };
            // It may have been emptied and filled again just now.
            if let Input::Plain(open) = &input
                && !read_at(open, 0, file.head.len).is_ok_and(|head| file.head.begins(&head))
            {
                break Ended::Elsewhere;
            }
            let mut out = |record: Record<'_>| -> Result<(), Stopped> {
                let end = usize::try_from(record.end.saturating_sub(base)).unwrap_or(0);
                (file.offset, file.tail) = (record.end, Print::default());
                events.record(&file, &record, modified, now);
                if events.is_full() {
                    file.tail = Print::of_end(chunk.get(..end).unwrap_or_default());
                    events.send(|| position(others, Some(&file), ids, first))?;
                }
                Ok(())
            };
            lines.take(chunk, &mut out)?;
            let end = usize::try_from(file.offset.saturating_sub(base)).unwrap_or(0);
            if file.offset > base {
                file.tail = Print::of_end(chunk.get(..end).unwrap_or_default());
            }
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                break Ended::Turn;
            }
        };
        let waited =
            now.0.saturating_sub(modified.0) >= i64::try_from(self.wait.as_nanos()).unwrap_or(i64::MAX);
        if matches!(ended, Ended::All) && (complete || waited) {
            let mut out = |record: Record<'_>| -> Result<(), Stopped> {
                (file.offset, file.tail) = (record.end, Print::default());
                events.record(&file, &record, modified, now);
                Ok(())
            };
            lines.finish(complete, &mut out)?;
        }
        let half = lines.at() > file.offset;
        file.half = half;
        match &ended {
            // Half a line at the end of a log comes with a change of it; all else has to be looked at again without one.
            Ended::All if !half || !lines.is_waiting() && file.rank == Rank::Live => {
                file.settled = Some((size, modified));
            }
            Ended::Failed(error) if at_rest(modified, now) => {
                file.settled = Some((size, modified));
                let reason = format!("is damaged from byte {} of its content on: {error}", lines.at());
                events.lose(gap(&file.path, &reason));
            }
            _ => file.settled = None,
        }
        if let Input::Plain(open) = input
            && file.rank == Rank::Live
            && !at_rest(modified, now)
            && self.open < MAX_OPEN
        {
            self.open += 1;
            file.open = Some(open);
        }
        self.files.insert(key, file);
        Ok(matches!(ended, Ended::Turn))
    }
}

/// Why reading stopped.
enum Ended {
    All,
    Turn,
    /// The file is not the one any more that it was.
    Elsewhere,
    Failed(io::Error),
}
