//! When is an event in the spool? The commit point is [`Spool::commit`], to be read from top to bottom.

use std::ops::Range;
use std::sync::Arc;

use attestry_event::Event;
use attestry_journal::Error;
use attestry_journal::disk::Disk;

use super::chunk::{Body, Chunk, Header, position};
use super::put::Put;
use super::state::Counters;
use super::{Shown, Spool, WhenFull, Writer};

/// What is appended and not yet durable.
struct Staged {
    counters: Counters,
    chunks: Vec<Arc<Chunk>>,
    /// Losses whose events are among the chunks: their places in the state.
    losses: Vec<usize>,
    /// So many of the notices are among the chunks.
    notices: usize,
    unsaid: u64,
}

impl<D: Disk> Spool<D> {
    /// Writes as much of a group as there is room for and makes it durable with one sync; each put knows how much of it that is.
    ///
    /// Only what is durable is shown, and only by it the counters move. So after an error the numbers of what is not durable are given
    /// again; should the disk have kept it nonetheless, the next open finds it and counts on from there.
    ///
    /// # Errors
    /// When not all of it is durable. Trying again later is right.
    pub(super) fn commit(&self, group: &mut [Put]) -> Result<(), Error> {
        let writer = &mut *self.writer.lock();
        let mut staged = Staged {
            counters: writer.counters.clone(),
            chunks: Vec::new(),
            losses: Vec::new(),
            notices: 0,
            unsaid: 0,
        };

        let appended = self
            .append_group(writer, &mut staged, group)
            .and_then(|()| self.append_losses(writer, &mut staged));

        // Where there was no more room, what came before it is whole. After any other error the journal has taken everything back.
        let synced = match &appended {
            Ok(()) | Err(Error::Full) => writer.journal.sync().map(|_| ()),
            Err(_) => {
                writer.journal.rollback();
                Ok(())
            }
        };
        if synced.is_err() || matches!(&appended, Err(error) if !matches!(error, Error::Full)) {
            for put in group.iter_mut() {
                put.take_back();
            }
            synced?;
            return appended;
        }

        // Durable: shown to everybody.
        for put in group.iter_mut() {
            put.durable = put.written;
        }
        for loss in staged.losses {
            if let Some(loss) = writer.state.losses.get_mut(loss) {
                loss.declared = true;
            }
        }
        writer.notices.drain(..staged.notices);
        writer.unsaid -= staged.unsaid;
        writer.counters = staged.counters;
        writer.since_saved += staged.chunks.iter().map(|chunk| chunk.body.len() as u64).sum::<u64>();
        self.show(writer, staged.chunks);
        if writer.journal.bytes() != writer.seen_bytes {
            self.look_at_files(writer);
        }
        self.save_when_due(writer);
        appended
    }

    fn append_group(
        &self,
        writer: &mut Writer<D>,
        staged: &mut Staged,
        group: &mut [Put],
    ) -> Result<(), Error> {
        for put in group {
            while let Some(body) = put.bodies.get(put.written) {
                let seqs = self.append(writer, staged, &put.ledger, body)?;
                put.seqs = Some(put.seqs.as_ref().map_or(seqs.start, |so_far| so_far.start)..seqs.end);
                put.written += 1;
            }
        }
        Ok(())
    }

    /// Puts the events that declare losses behind the others. To make room for one may itself lose something.
    fn append_losses(&self, writer: &mut Writer<D>, staged: &mut Staged) -> Result<(), Error> {
        let ledger: Arc<str> = self.options.gap_ledger.as_str().into();
        let mut nth = 0;
        while let Some(loss) = writer.state.losses.get(nth) {
            if !loss.declared {
                for body in self.encode(&loss.event(staged.counters.epoch)) {
                    self.append(writer, staged, &ledger, &body)?;
                }
                staged.losses.push(nth);
            }
            nth += 1;
        }
        while let Some(body) = writer.notices.get(staged.notices) {
            let body = Body { bytes: body.bytes.clone(), count: body.count };
            self.append(writer, staged, &ledger, &body)?;
            staged.notices += 1;
        }
        if writer.unsaid > 0 && staged.unsaid == 0 {
            let told = Event::new("gap.spool", "-")
                .severity(3)
                .message(format!("{} losses found no place to be told of", writer.unsaid))
                .data("why", "cap")
                .data("losses", writer.unsaid);
            for body in self.encode(&told) {
                self.append(writer, staged, &ledger, &body)?;
            }
            staged.unsaid = writer.unsaid;
        }
        Ok(())
    }

    fn append(
        &self,
        writer: &mut Writer<D>,
        staged: &mut Staged,
        ledger: &Arc<str>,
        body: &Body,
    ) -> Result<Range<u64>, Error> {
        let header = Header {
            epoch: staged.counters.epoch,
            number: staged.counters.number,
            ledger: Arc::clone(ledger),
            seq: staged.counters.next(ledger),
            count: body.count,
        };
        let head = header.encode();
        let record = loop {
            match writer.journal.append(&[&head, &body.bytes]) {
                Err(Error::Full) if self.options.when_full == WhenFull::DropOldest => {
                    let size = (head.len() + body.bytes.len()) as u64;
                    if !self.drop_oldest(writer, size) {
                        return Err(Error::Full);
                    }
                }
                appended => break appended?,
            }
        };
        let seqs = header.seqs();
        staged.counters.number = staged.counters.number.saturating_add(u64::from(body.count));
        staged.counters.ledgers.insert(Arc::clone(ledger), seqs.end);
        staged.chunks.push(Arc::new(Chunk { record, header, body: body.bytes.clone() }));
        Ok(seqs)
    }

    fn show(&self, writer: &Writer<D>, chunks: Vec<Arc<Chunk>>) {
        let end = writer.journal.durable();
        {
            let shown = &mut *self.shown.write();
            for chunk in chunks {
                // A hole would make those who read from memory miss what stands in it.
                if shown.tail.back().is_some_and(|last| last.record + 1 != chunk.record) {
                    shown.tail.clear();
                    shown.tail_bytes = 0;
                }
                shown.tail_bytes += tail_cost(&chunk);
                shown.tail.push_back(chunk);
            }
            let Shown { tail, tail_bytes, .. } = shown;
            while *tail_bytes > self.options.memory_bytes
                && let Some(oldest) = tail.pop_front()
            {
                *tail_bytes -= tail_cost(&oldest);
            }
            shown.end = end;
            shown.total = writer.counters.number;
        }
        self.end.lock().position = position(end, 0);
        self.arrived.notify_all();
    }
}

/// About what a chunk takes in memory, in bytes.
fn tail_cost(chunk: &Chunk) -> usize {
    chunk.body.len() + 160
}

impl Put {
    fn take_back(&mut self) {
        let lost: u64 =
            self.bodies.iter().take(self.written).skip(self.durable).map(|b| u64::from(b.count)).sum();
        self.written = self.durable;
        self.seqs = match self.seqs.take() {
            Some(seqs) if self.durable > 0 => Some(seqs.start..seqs.end - lost),
            _ => None,
        };
    }
}
