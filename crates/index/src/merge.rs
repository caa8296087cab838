//! Makes one part of several that follow each other.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use crate::build::{MAX_PATHS, Unique, value_hash};
use crate::dict::Terms;
use crate::number::{Numbers, compare};
use crate::pairs::{Common, Complete, STILL_ENOUGH};
use crate::part::{Part, PartWriter, Summary};
use crate::seal::{Learned, is_column, is_unique};
use crate::slot::{FieldSpan, ListSpan, Slot};

/// A part among those that are merged.
struct Source<'a> {
    part: &'a Part,
    /// What its row offsets grow by.
    offset: u32,
}

/// A field as the sources have it, by their place.
type Fields<'a> = Vec<(usize, &'a FieldSpan)>;

/// Writes one part with the rows of all `parts`, which follow each other and have fewer than 2³² rows.
pub(crate) fn merge(
    parts: &[Arc<Part>],
    unique: &Unique,
    common: &Common,
    to: &mut dyn Write,
) -> io::Result<Learned> {
    let mut sources = Vec::with_capacity(parts.len());
    let mut rows = 0_u32;
    for part in parts {
        sources.push(Source { part, offset: rows });
        rows = rows
            .checked_add(part.row_count())
            .ok_or_else(|| io::Error::other("more than 2^32 rows in a part"))?;
    }
    let mut fields: BTreeMap<&Slot, Fields<'_>> = BTreeMap::new();
    for (place, source) in sources.iter().enumerate() {
        for field in source.part.fields() {
            fields.entry(&field.slot).or_default().push((place, field));
        }
    }
    let mut merger = Merger {
        sources,
        unique,
        writer: PartWriter::new(to, rows)?,
        learned: Learned { rows, ..Learned::default() },
        common,
        list: Vec::new(),
    };
    let loose = merger.loose_rows(&mut fields);
    for (slot, fields) in &fields {
        if !matches!(slot, Slot::Loose | Slot::Pairs) {
            merger.put_field(slot, fields)?;
        }
    }
    if !loose.is_empty() {
        let mut field = FieldSpan::new(Slot::Loose);
        field.exists = merger.writer.put_list(&loose)?;
        merger.writer.end_field(&field);
    }
    if let Some(pairs) = fields.get(&Slot::Pairs) {
        merger.put_field(&Slot::Pairs, pairs)?;
    }
    merger.finish()
}

struct Merger<'a, 'b> {
    sources: Vec<Source<'a>>,
    unique: &'a Unique,
    writer: PartWriter<'b>,
    learned: Learned,
    common: &'a Common,
    /// Rows of one list.
    list: Vec<u32>,
}

impl<'a> Merger<'a, '_> {
    /// The loose rows; when there are too many paths, the rarest are left out and their rows become loose.
    fn loose_rows(&self, fields: &mut BTreeMap<&'a Slot, Fields<'a>>) -> Vec<u32> {
        let rows_of =
            |fields: &Fields<'_>| fields.iter().map(|(_, field)| u64::from(field.exists.count)).sum::<u64>();
        let mut paths: Vec<(u64, &Slot)> = fields
            .iter()
            .filter(|(slot, _)| matches!(slot, Slot::Path(_)))
            .map(|(slot, fields)| (rows_of(fields), *slot))
            .collect();
        let mut loose = Vec::new();
        let mut loosen = |fields: &Fields<'_>| {
            for (place, field) in fields {
                if let Some(source) = self.sources.get(*place) {
                    source.part.list(&field.exists).decode(source.offset, &mut loose);
                }
            }
        };
        if let Some(fields) = fields.get(&Slot::Loose) {
            loosen(fields);
        }
        if paths.len() > MAX_PATHS {
            paths.sort_unstable_by_key(|(rows, _)| std::cmp::Reverse(*rows));
            for (_, slot) in paths.get(MAX_PATHS..).unwrap_or(&[]) {
                if let Some(fields) = fields.remove(slot) {
                    loosen(&fields);
                }
            }
        }
        loose.sort_unstable();
        loose.dedup();
        loose
    }

    fn put_lists(
        &mut self,
        fields: &Fields<'_>,
        of: impl Fn(&FieldSpan) -> ListSpan,
    ) -> io::Result<ListSpan> {
        self.list.clear();
        for (place, field) in fields {
            if let Some(source) = self.sources.get(*place) {
                source.part.list(&of(field)).decode(source.offset, &mut self.list);
            }
        }
        self.writer.put_list(&self.list)
    }

    fn put_field(&mut self, slot: &Slot, fields: &Fields<'a>) -> io::Result<()> {
        let mut merged = FieldSpan::new(slot.clone());
        for (_, field) in fields {
            merged.kinds = merged.kinds.and(field.kinds);
            merged.several |= field.several;
            merged.cut |= field.cut;
        }
        merged.exists = self.put_lists(fields, |field| field.exists)?;
        merged.refs = self.put_lists(fields, |field| field.refs)?;
        let mut hashes = Vec::new();
        for (place, field) in fields {
            if let Some(source) = self.sources.get(*place) {
                hashes.extend(source.part.hashes(field).iter().map(|hash| hash + u64::from(source.offset)));
            }
        }
        if self.unique.contains(slot) {
            self.hash_terms(fields, &mut hashes);
        } else {
            self.put_terms(slot, fields, &mut merged, hashes.is_empty())?;
        }
        if !hashes.is_empty() {
            (merged.hashes, _) = self.writer.put_hashes(&hashes)?;
        }
        self.put_numbers(fields, &mut merged)?;
        self.writer.end_field(&merged);
        Ok(())
    }

    fn hash_terms(&mut self, fields: &Fields<'a>, hashes: &mut Vec<u64>) {
        for (place, field) in fields {
            let Some(source) = self.sources.get(*place) else { continue };
            let mut terms = source.part.dict(field).iter();
            while terms.advance() {
                self.list.clear();
                terms.list().decode(source.offset, &mut self.list);
                hashes.extend(self.list.iter().map(|row| value_hash(terms.term(), *row)));
            }
        }
    }

    /// The dictionaries of a field, each before its first term.
    fn heads(&self, fields: &Fields<'a>) -> Vec<Head<'a>> {
        let mut heads = Vec::new();
        // What all terms begin with, the first and the last of all dictionaries have in common.
        let mut sample: Option<Vec<u8>> = None;
        let mut skip = usize::MAX;
        for (place, field) in fields {
            let Some(source) = self.sources.get(*place) else { continue };
            let dict = source.part.dict(field);
            for term in
                [Some(0), dict.count().checked_sub(1)].into_iter().flatten().filter_map(|at| dict.term(at))
            {
                let sample = sample.get_or_insert_with(|| term.clone());
                skip = skip.min(sample.iter().zip(&term).take_while(|(left, right)| left == right).count());
            }
            let mut cased = Vec::new();
            source.part.cased(field).decode(0, &mut cased);
            heads.push(Head {
                place: *place,
                offset: source.offset,
                terms: dict.iter(),
                skip: 0,
                key: 0,
                cased: cased.into_iter().peekable(),
            });
        }
        heads.retain_mut(|head| {
            head.skip = skip;
            head.advance()
        });
        heads
    }

    fn put_terms(
        &mut self,
        slot: &Slot,
        fields: &Fields<'a>,
        merged: &mut FieldSpan,
        nothing_hashed: bool,
    ) -> io::Result<()> {
        let mut heads = self.heads(fields);
        if heads.is_empty() {
            return Ok(());
        }
        let wants_column = is_column(slot) && nothing_hashed;
        let mut new_ordinals: Vec<Vec<u32>> = vec![Vec::new(); self.sources.len()];
        let (mut occurrences, mut bytes) = (0, 0);
        let mut term = Vec::new();
        let mut cased = Vec::new();
        let complete =
            (*slot == Slot::Pairs).then(|| Complete::of(self.sources.iter().map(|source| source.part)));
        let mut words = Vec::new();
        let writer = &mut self.writer;
        writer.dict.start(&writer.out);
        let mut heap = Heap::new(heads.len(), |left, right| before(&heads, left, right));
        while let Some(top) = heap.top() {
            term.clear();
            term.extend_from_slice(heads.get(top).map_or(&[], |head| head.terms.term()));
            self.list.clear();
            let ordinal = writer.dict.count();
            let mut is_cased = false;
            while let Some(top) = heap.top() {
                let Some(head) = heads.get_mut(top) else { break };
                if head.terms.term() != term {
                    break;
                }
                head.terms.list().decode(head.offset, &mut self.list);
                if wants_column && let Some(ordinals) = new_ordinals.get_mut(head.place) {
                    ordinals.push(ordinal + 1);
                }
                is_cased |= head.cased.next_if_eq(&head.terms.ordinal()).is_some();
                let more = head.advance();
                heap.next(more, |left, right| before(&heads, left, right));
            }
            if is_cased {
                cased.push(ordinal);
            }
            if complete.as_ref().is_some_and(|complete| !complete.keeps(&term)) {
                continue;
            }
            if *slot == Slot::Words && self.list.len() as u64 * STILL_ENOUGH >= u64::from(writer.rows) {
                words.push((term.as_slice().into(), self.list.len() as u32));
            }
            occurrences += self.list.len() as u64;
            bytes += term.len() as u64;
            writer.dict.push(&mut writer.out, &term, &self.list)?;
        }
        merged.dict = writer.dict.finish(&mut writer.out)?;
        if *slot == Slot::Words {
            let words = words.iter().map(|(word, count): &(Box<[u8]>, u32)| (word, *count));
            self.learned.words = self.common.choose(words, writer.rows);
        }
        merged.cased = writer.put_cased(&cased, merged.dict.count)?;
        if wants_column {
            let zeros = Vec::new();
            let column = self.sources.iter().enumerate().flat_map(|(place, source)| {
                let field = source.part.field(slot);
                let old = field.map(|field| source.part.ordinals(field));
                let new = new_ordinals.get(place).unwrap_or(&zeros);
                (0..source.part.row_count() as usize).map(move |row| {
                    let old = old.map_or(0, |old| old.get(row) as usize);
                    old.checked_sub(1).and_then(|old| new.get(old)).copied().unwrap_or(0)
                })
            });
            (merged.ordinal_bits, merged.ordinals) = writer.put_ordinals(merged.dict.count, column)?;
        }
        let distinct = u64::from(merged.dict.count);
        if is_unique(slot, occurrences, distinct, bytes) {
            self.learned.unique.push(slot.clone());
        }
        Ok(())
    }

    fn put_numbers(&mut self, fields: &Fields<'a>, merged: &mut FieldSpan) -> io::Result<()> {
        let mut heads: Vec<NumberHead<'a>> = Vec::new();
        for (place, field) in fields {
            if let Some(source) = self.sources.get(*place)
                && field.numbers.count > 0
            {
                let numbers = source.part.numbers(field);
                heads.push(NumberHead { numbers, next: 0, key: numbers.key(0), offset: source.offset });
            }
        }
        if heads.is_empty() {
            return Ok(());
        }
        let less =
            |heads: &[NumberHead<'_>], left: usize, right: usize| match (heads.get(left), heads.get(right)) {
                (Some(a), Some(b)) => a.compare(b).then(left.cmp(&right)).is_lt(),
                _ => false,
            };
        let mut heap = Heap::new(heads.len(), |left, right| less(&heads, left, right));
        while let Some(top) = heap.top() {
            let Some(first) = heads.get(top).copied() else { break };
            self.list.clear();
            while let Some(top) = heap.top() {
                let Some(head) = heads.get_mut(top) else { break };
                if head.compare(&first).is_ne() {
                    break;
                }
                head.numbers.each_row(head.next..head.next + 1, |row| self.list.push(row + head.offset));
                let more = head.advance();
                heap.next(more, |left, right| less(&heads, left, right));
            }
            self.writer.numbers.push(first.key, first.numbers.token(first.next), &self.list);
        }
        merged.numbers = self.writer.numbers.finish(&mut self.writer.out, self.writer.rows)?;
        Ok(())
    }

    fn finish(self) -> io::Result<Learned> {
        let sources = &self.sources;
        let first = sources.first().map_or(0, |source| source.part.rows().start);
        let times = || sources.iter().flat_map(|source| source.part.all_times());
        let received = sources.iter().flat_map(|source| source.part.all_received());
        let summary = Summary::of_times(first, times());
        self.writer.finish(&summary, times(), received)?;
        Ok(self.learned)
    }
}

/// A dictionary on its way through a merge.
struct Head<'a> {
    /// Which of the sources.
    place: usize,
    /// What its row offsets grow by.
    offset: u32,
    terms: Terms<'a>,
    /// So many bytes are the same in all terms of the field.
    skip: usize,
    /// The eight bytes after those: they mostly decide a comparison.
    key: u64,
    /// The ordinals of words written with other letters than their lower case has, from here on.
    cased: std::iter::Peekable<std::vec::IntoIter<u32>>,
}

impl Head<'_> {
    fn advance(&mut self) -> bool {
        let more = self.terms.advance();
        let rest = self.terms.term().get(self.skip..).unwrap_or(&[]);
        self.key = match rest.first_chunk::<8>() {
            Some(chunk) => u64::from_be_bytes(*chunk),
            None => {
                rest.iter().enumerate().fold(0, |key, (at, byte)| key | u64::from(*byte) << (56 - 8 * at))
            }
        };
        more
    }
}

fn before(heads: &[Head<'_>], left: usize, right: usize) -> bool {
    match (heads.get(left), heads.get(right)) {
        (Some(a), Some(b)) if a.key != b.key => a.key < b.key,
        (Some(a), Some(b)) => a.terms.term().cmp(b.terms.term()).then(left.cmp(&right)).is_lt(),
        _ => false,
    }
}

#[derive(Clone, Copy)]
struct NumberHead<'a> {
    numbers: Numbers<'a>,
    next: u32,
    key: u64,
    offset: u32,
}

impl NumberHead<'_> {
    fn advance(&mut self) -> bool {
        self.next += 1;
        let more = self.next < self.numbers.count();
        if more {
            self.key = self.numbers.key(self.next);
        }
        more
    }

    fn compare(&self, other: &NumberHead<'_>) -> std::cmp::Ordering {
        self.key.cmp(&other.key).then_with(|| {
            compare((self.key, self.numbers.token(self.next)), (other.key, other.numbers.token(other.next)))
        })
    }
}

/// A binary heap of places whose order lies outside it.
struct Heap {
    order: Vec<usize>,
}

impl Heap {
    fn new(count: usize, less: impl Fn(usize, usize) -> bool) -> Heap {
        let mut heap = Heap { order: (0..count).collect() };
        for at in (0..count / 2).rev() {
            heap.sink(at, &less);
        }
        heap
    }

    fn top(&self) -> Option<usize> {
        self.order.first().copied()
    }

    /// The top has moved on, or has no more.
    fn next(&mut self, more: bool, less: impl Fn(usize, usize) -> bool) {
        if !more && !self.order.is_empty() {
            self.order.swap_remove(0);
        }
        self.sink(0, &less);
    }

    fn sink(&mut self, mut at: usize, less: &impl Fn(usize, usize) -> bool) {
        loop {
            let Some(&here) = self.order.get(at) else { return };
            let left = at * 2 + 1;
            let Some(&first) = self.order.get(left) else { return };
            let least = match self.order.get(left + 1) {
                Some(&second) if less(second, first) => left + 1,
                _ => left,
            };
            if !self.order.get(least).is_some_and(|child| less(*child, here)) {
                return;
            }
            self.order.swap(at, least);
            at = least;
        }
    }
}
