//! What a part has of one field, and where: a record of the part's directory.

use std::sync::OnceLock;

use attestry_event::Field;

use crate::dict::DictSpan;
use crate::needle::Bigrams;
use crate::number::NumberSpan;
use crate::out::Span;
use crate::pack::{Cursor, put_varint};

/// What a field of a part is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Slot {
    Words,
    Keyword(Field),
    Path(Box<str>),
    Loose,
    /// Common words side by side.
    Pairs,
}

impl Slot {
    pub(crate) fn kind(&self) -> u64 {
        match self {
            Slot::Words => 0,
            Slot::Keyword(_) => 1,
            Slot::Path(_) => 2,
            Slot::Loose => 3,
            Slot::Pairs => 4,
        }
    }

    fn name(&self) -> &str {
        match self {
            Slot::Words | Slot::Loose | Slot::Pairs => "",
            Slot::Keyword(field) => field.name(),
            Slot::Path(path) => path,
        }
    }

    fn read(kind: u64, name: &str) -> Option<Slot> {
        match kind {
            0 => Some(Slot::Words),
            1 => Field::from_name(name).map(Slot::Keyword),
            2 => Some(Slot::Path(name.into())),
            3 => Some(Slot::Loose),
            4 => Some(Slot::Pairs),
            _ => None,
        }
    }
}

/// The kinds of values that a path has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(pub(crate) u8);

impl Kinds {
    pub(crate) const STRING: Kinds = Kinds(1);
    pub(crate) const NUMBER: Kinds = Kinds(2);
    pub(crate) const BOOL: Kinds = Kinds(4);
    pub(crate) const NULL: Kinds = Kinds(8);
    pub(crate) const REF: Kinds = Kinds(16);

    /// Both.
    pub fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn has(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    /// Some are strings, in the entry or beside it.
    pub fn string(self) -> bool {
        self.has(Kinds::STRING) || self.has(Kinds::REF)
    }

    /// Some are numbers.
    pub fn number(self) -> bool {
        self.has(Kinds::NUMBER)
    }

    /// Some are true or false.
    pub fn bool(self) -> bool {
        self.has(Kinds::BOOL)
    }

    /// Some are null.
    pub fn null(self) -> bool {
        self.has(Kinds::NULL)
    }
}

/// Where a stored list is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ListSpan {
    pub(crate) count: u32,
    pub(crate) bytes: Span,
}

/// What a field of a part has.
#[derive(Debug, Clone)]
pub(crate) struct FieldSpan {
    pub(crate) slot: Slot,
    pub(crate) kinds: Kinds,
    /// Some row may have more than one value.
    pub(crate) several: bool,
    /// Some terms of the dictionary are not whole.
    pub(crate) cut: bool,
    pub(crate) exists: ListSpan,
    pub(crate) refs: ListSpan,
    pub(crate) dict: DictSpan,
    pub(crate) hashes: ListSpan,
    pub(crate) ordinal_bits: u8,
    pub(crate) ordinals: Span,
    pub(crate) numbers: NumberSpan,
    /// Of words: the ordinals of those that were also written with other letters than their lower case has.
    pub(crate) cased: ListSpan,
    /// In no file: gathered when they are first asked for.
    pub(crate) bigrams: OnceLock<Box<Bigrams>>,
}

impl FieldSpan {
    pub(crate) fn new(slot: Slot) -> FieldSpan {
        FieldSpan {
            slot,
            kinds: Kinds::default(),
            several: false,
            cut: false,
            exists: ListSpan::default(),
            refs: ListSpan::default(),
            dict: DictSpan::default(),
            hashes: ListSpan::default(),
            ordinal_bits: 0,
            ordinals: Span::default(),
            numbers: NumberSpan::default(),
            cased: ListSpan::default(),
            bigrams: OnceLock::new(),
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let name = self.slot.name();
        put_varint(out, self.slot.kind());
        put_varint(out, name.len() as u64);
        out.extend_from_slice(name.as_bytes());
        put_varint(out, u64::from(self.kinds.0));
        put_varint(out, u64::from(self.several) | u64::from(self.cut) << 1);
        let mut span = |count: u64, spans: &[Span]| {
            put_varint(out, count);
            for span in spans {
                put_varint(out, span.offset as u64);
                put_varint(out, span.len as u64);
            }
        };
        span(u64::from(self.exists.count), &[self.exists.bytes]);
        span(u64::from(self.refs.count), &[self.refs.bytes]);
        span(u64::from(self.dict.count), &[self.dict.postings, self.dict.terms, self.dict.index]);
        span(u64::from(self.hashes.count), &[self.hashes.bytes]);
        span(u64::from(self.ordinal_bits), &[self.ordinals]);
        span(u64::from(self.numbers.count), &[]);
        span(u64::from(self.numbers.entries), &[self.numbers.bytes]);
        span(u64::from(self.cased.count), &[self.cased.bytes]);
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Option<FieldSpan> {
        let kind = cursor.varint();
        let len = cursor.varint() as usize;
        let name = std::str::from_utf8(cursor.take(len)).ok()?;
        let mut field = FieldSpan::new(Slot::read(kind, name)?);
        field.kinds = Kinds(cursor.varint() as u8);
        let flags = cursor.varint();
        field.several = flags & 1 != 0;
        field.cut = flags & 2 != 0;
        let span = |cursor: &mut Cursor<'_>| Span {
            offset: cursor.varint() as usize,
            len: cursor.varint() as usize,
        };
        let list = |cursor: &mut Cursor<'_>| ListSpan { count: cursor.varint32(), bytes: span(cursor) };
        field.exists = list(cursor);
        field.refs = list(cursor);
        field.dict = DictSpan {
            count: cursor.varint32(),
            postings: span(cursor),
            terms: span(cursor),
            index: span(cursor),
        };
        field.hashes = list(cursor);
        field.ordinal_bits = cursor.varint() as u8;
        field.ordinals = span(cursor);
        field.numbers =
            NumberSpan { count: cursor.varint32(), entries: cursor.varint32(), bytes: span(cursor) };
        field.cased = list(cursor);
        Some(field)
    }
}
