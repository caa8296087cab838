//! Gathers rows for a part.
//!
//! Every value becomes a term: a number given out by one table (`table`) for all fields. Each row's terms are logged in
//! order; sealing (`seal`) sorts the terms and turns the log around.

use std::borrow::Cow;

use attestry_event::{Entry, Field, Scalar, Text, Walker, id_hash};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use sha2::{Digest, Sha256};

use crate::dict::CUT;
use crate::key::keyed;
use crate::pairs::Common;
use crate::seal::Turned;
use crate::slot::{Kinds, Slot};
use crate::table::TermTable;
use crate::words::{MAX_WORD_BYTES, cut, word_bytes};

/// Of a longer value a term holds the start, and a hash of the whole.
pub(crate) const MAX_VALUE_BYTES: usize = 128;

/// The bytes of that hash: SHA-256, cut to its first half, so that nobody can make two values that look equal.
const VALUE_HASH_BYTES: usize = 16;

/// A path with a longer name is not indexed: rows that have it are loose.
pub(crate) const MAX_PATH_BYTES: usize = 256;

/// Paths beyond this many in one part are not indexed: rows that have them are loose. Each costs about 200 bytes of
/// memory while the part is open.
pub(crate) const MAX_PATHS: usize = 10_000;

/// Up to so many paths keep their place and memory from part to part.
const KEPT_PATHS: usize = 500;

/// No term.
pub(crate) const NONE: u32 = u32::MAX;

/// The fields that are compared as a whole and have one value: for these each row's term is kept.
pub(crate) const COLUMNS: [Field; 11] = [
    Field::EventName,
    Field::Username,
    Field::Resource,
    Field::EventSource,
    Field::SourceIpAddress,
    Field::RequestId,
    Field::ReadOnly,
    Field::Outcome,
    Field::Severity,
    Field::Host,
    Field::Agent,
];

const _: () = assert!(MAX_PATHS + Field::ALL.len() < u16::MAX as usize);

/// One number of one row.
#[derive(Clone, Copy)]
pub(crate) struct Number {
    pub(crate) key: u64,
    pub(crate) row: u32,
    /// Which token; `NONE` when the key says everything.
    pub(crate) token: u32,
}

/// What is gathered of one field.
pub(crate) struct Gathered {
    pub(crate) slot: Slot,
    pub(crate) kinds: Kinds,
    pub(crate) several: bool,
    pub(crate) exists: Vec<u32>,
    pub(crate) refs: Vec<u32>,
    pub(crate) numbers: Vec<Number>,
    /// Hash, shifted left by 32, and row; of a field that is known to have a value of its own in nearly every row.
    pub(crate) hashes: Vec<u64>,
    pub(crate) hashed: bool,
    /// Each row's term, for those of [`COLUMNS`].
    pub(crate) column: Vec<u32>,
}

impl Gathered {
    fn new(slot: Slot, hashed: bool) -> Gathered {
        Gathered {
            slot,
            kinds: Kinds::default(),
            several: false,
            exists: Vec::new(),
            refs: Vec::new(),
            numbers: Vec::new(),
            hashes: Vec::new(),
            hashed,
            column: Vec::new(),
        }
    }

    /// Notes that a row has a value of the field.
    fn exists_in(&mut self, row: u32, kind: Kinds) {
        self.kinds = self.kinds.and(kind);
        if self.exists.last() == Some(&row) {
            self.several = true;
        } else {
            self.exists.push(row);
        }
    }
}

/// The fields whose values are nearly all different, as seen so far.
pub(crate) type Unique = HashSet<Slot, RandomState>;

/// The words come first, then the fields of the entry in table order, then the paths as they appear.
pub(crate) const WORDS: usize = 0;
const FIRST_PATH: usize = 1 + Field::ALL.len();

fn place(field: Field) -> usize {
    1 + field as usize
}

/// Rows on their way into a part.
pub(crate) struct Builder {
    pub(crate) fields: Vec<Gathered>,
    pub(crate) terms: TermTable,
    /// The terms of all rows, row by row; `ends` says where each row's end.
    pub(crate) log: Vec<u32>,
    pub(crate) ends: Vec<u32>,
    /// The words of all rows as they follow each other, [`NONE`] before each text; `order_ends` says where each row's
    /// end.
    pub(crate) order: Vec<u32>,
    pub(crate) order_ends: Vec<u32>,
    /// For each text of the row that is being added, how many words came before; and how many there are.
    texts: Vec<u32>,
    words: u32,
    /// The words whose pairs are kept if they occur.
    pub(crate) common: Common,
    pub(crate) times: Vec<i64>,
    pub(crate) received: Vec<i64>,
    pub(crate) loose: Vec<u32>,
    /// Words that were written with other letters than their lower case has: a bit for each term.
    cased: Vec<u64>,
    /// Tokens of numbers: where in `token_bytes`.
    pub(crate) tokens: Vec<(u32, u32)>,
    pub(crate) token_bytes: Vec<u8>,
    paths: HashMap<Box<str>, u32, RandomState>,
    unique: Unique,
    walker: Option<Walker>,
    scratch: Vec<u8>,
    /// Kept from part to part for their memory.
    pub(crate) turned: Turned,
    pub(crate) encoded: Vec<u8>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            fields: Vec::new(),
            terms: TermTable::new(),
            log: Vec::new(),
            ends: Vec::new(),
            order: Vec::new(),
            order_ends: Vec::new(),
            texts: Vec::new(),
            words: 0,
            common: Common::default(),
            times: Vec::new(),
            received: Vec::new(),
            loose: Vec::new(),
            cased: Vec::new(),
            tokens: Vec::new(),
            token_bytes: Vec::new(),
            paths: HashMap::default(),
            unique: Unique::default(),
            walker: Some(Walker::default()),
            scratch: Vec::new(),
            turned: Turned::default(),
            encoded: Vec::new(),
        }
    }

    /// Forgets all rows and begins anew.
    pub(crate) fn start(&mut self, unique: Unique, common: Common) {
        self.unique = unique;
        self.common = common;
        // The next rows will mostly have the same paths.
        if self.fields.len() > FIRST_PATH + KEPT_PATHS {
            self.fields.truncate(FIRST_PATH);
            self.paths.clear();
        }
        for field in &mut self.fields {
            field.kinds = Kinds::default();
            field.several = false;
            field.exists.clear();
            field.refs.clear();
            field.numbers.clear();
            field.hashes.clear();
            field.hashed = self.unique.contains(&field.slot);
            field.column.clear();
        }
        if self.fields.is_empty() {
            self.fields.push(Gathered::new(Slot::Words, false));
            let hashed = |slot: &Slot| self.unique.contains(slot);
            let keywords = Field::ALL.into_iter().map(Slot::Keyword);
            self.fields.extend(keywords.map(|slot| Gathered::new(slot.clone(), hashed(&slot))));
        }
        self.terms.clear();
        self.log.clear();
        self.ends.clear();
        self.order.clear();
        self.order_ends.clear();
        self.times.clear();
        self.received.clear();
        self.loose.clear();
        self.cased.clear();
        self.tokens.clear();
        self.token_bytes.clear();
    }

    pub(crate) fn rows(&self) -> u32 {
        self.ends.len() as u32
    }

    /// About how much memory it holds, in bytes.
    pub(crate) fn size(&self) -> usize {
        // Numbers and hashes of paths are not summed up: a number takes 16 bytes here and at least 4 in an entry.
        self.terms.size()
            + self.token_bytes.len()
            + (self.log.len() + self.order.len()) * 4
            + self.paths.len() * 256
            + self.ends.len() * 128
    }

    /// Adds the next row.
    pub(crate) fn add(&mut self, entry: &[u8]) {
        let row = self.rows();
        match Entry::parse(entry) {
            Ok(entry) => self.add_entry(row, &entry),
            // An entry of a version to come: it is served as bytes and no filter can look into it.
            Err(_) => {
                let time = self.received.last().copied().unwrap_or(0);
                self.times.push(time);
                self.received.push(time);
            }
        }
        let (mut words, mut texts) = (0, self.texts.iter().peekable());
        self.terms.answer(row, |term| {
            if usize::from(term.field) == WORDS {
                while texts.next_if_eq(&&words).is_some() {
                    self.order.push(NONE);
                }
                self.order.push(term.id);
                words += 1;
            }
            if term.new {
                self.log.push(term.id);
            }
            if term.mark {
                let word = (term.id >> 6) as usize;
                if word >= self.cased.len() {
                    self.cased.resize(word + 1, 0);
                }
                if let Some(word) = self.cased.get_mut(word) {
                    *word |= 1 << (term.id & 63);
                }
            }
            let place = usize::from(term.field);
            if place != WORDS
                && place < FIRST_PATH
                && let Some(field) = self.fields.get_mut(place)
                && field.column.len() == row as usize
            {
                field.column.push(term.id);
            }
        });
        for field in COLUMNS {
            if let Some(column) = self.fields.get_mut(place(field)).map(|field| &mut field.column)
                && column.len() == row as usize
            {
                column.push(NONE);
            }
        }
        self.texts.clear();
        self.words = 0;
        self.order_ends.push(self.order.len() as u32);
        self.ends.push(self.log.len() as u32);
    }

    fn add_entry(&mut self, row: u32, entry: &Entry<'_>) {
        self.times.push(entry.event_time().0);
        self.received.push(entry.received_at().0);
        for field in COLUMNS {
            if let Some(value) = entry.field(field) {
                let kind = match field {
                    Field::Severity => Kinds::NUMBER,
                    Field::ReadOnly => Kinds::BOOL,
                    _ => Kinds::STRING,
                };
                self.value(place(field), row, &value, kind);
                if field == Field::Severity {
                    self.number(place(field), row, &value);
                }
            }
        }
        if entry.raw(Field::Via).is_some() {
            entry.via().for_each(|relay| self.value(place(Field::Via), row, &relay, Kinds::STRING));
        }
        for field in [Field::AgentEpoch, Field::AgentSeq] {
            if let Some(token) = entry.raw(field) {
                self.exists(place(field), row, Kinds::NUMBER);
                self.number(place(field), row, token);
            }
        }
        match entry.message() {
            Some(Text::Inline(text)) => {
                self.exists(place(Field::Message), row, Kinds::STRING);
                self.words(&text);
            }
            Some(Text::Ref { .. }) => self.reference(place(Field::Message), row),
            None => {}
        }
        if let Some(data) = entry.event_data_text() {
            self.data(row, data);
        }
    }

    fn data(&mut self, row: u32, data: &str) {
        // Taken out so that the visitor can borrow the rest.
        let mut walker = self.walker.take().unwrap_or_default();
        let walked = walker.walk_text(data, &mut |path, scalar| {
            if let Scalar::Str(text) = scalar {
                self.words(text);
            }
            let Some(place) = self.path(path) else {
                if let Scalar::Ref { .. } = scalar {
                    self.reference(WORDS, row);
                }
                return self.loosen(row);
            };
            match scalar {
                Scalar::Str(text) => self.value(place, row, text, Kinds::STRING),
                Scalar::Bool(true) => self.value(place, row, "true", Kinds::BOOL),
                Scalar::Bool(false) => self.value(place, row, "false", Kinds::BOOL),
                Scalar::Null => self.value(place, row, "null", Kinds::NULL),
                Scalar::Number(token) => {
                    self.exists(place, row, Kinds::NUMBER);
                    self.number(place, row, token);
                }
                Scalar::Ref { .. } => self.reference(place, row),
            }
        });
        self.walker = Some(walker);
        if walked.is_err() {
            self.loosen(row);
        }
    }

    /// Marks a row whose paths are not all indexed.
    fn loosen(&mut self, row: u32) {
        if self.loose.last() != Some(&row) {
            self.loose.push(row);
        }
    }

    fn path(&mut self, path: &str) -> Option<usize> {
        if let Some(place) = self.paths.get(path) {
            return Some(*place as usize);
        }
        if path.len() > MAX_PATH_BYTES || self.paths.len() >= MAX_PATHS {
            return None;
        }
        let place = self.fields.len();
        let slot = Slot::Path(path.into());
        let hashed = self.unique.contains(&slot);
        self.fields.push(Gathered::new(slot, hashed));
        self.paths.insert(path.into(), place as u32);
        Some(place)
    }

    fn exists(&mut self, place: usize, row: u32, kind: Kinds) {
        if let Some(field) = self.fields.get_mut(place) {
            field.exists_in(row, kind);
        }
    }

    /// A value that stands beside the entry: its words are unknown too.
    fn reference(&mut self, place: usize, row: u32) {
        for place in [place, WORDS] {
            if let Some(field) = self.fields.get_mut(place) {
                if place != WORDS {
                    field.exists_in(row, Kinds::REF);
                }
                if field.refs.last() != Some(&row) {
                    field.refs.push(row);
                }
            }
        }
    }

    fn number(&mut self, place: usize, row: u32, token: &str) {
        let Some(keyed) = keyed(token) else { return self.loosen(row) };
        let mut number = Number { key: keyed.key, row, token: NONE };
        if !keyed.plain {
            number.token = self.tokens.len() as u32;
            self.tokens.push((self.token_bytes.len() as u32, token.len() as u32));
            self.token_bytes.extend_from_slice(token.as_bytes());
        }
        if let Some(field) = self.fields.get_mut(place) {
            field.numbers.push(number);
        }
    }

    fn value(&mut self, place: usize, row: u32, text: &str, kind: Kinds) {
        let term = term_of_value(text);
        let Some(field) = self.fields.get_mut(place) else { return };
        field.exists_in(row, kind);
        if field.hashed {
            field.hashes.push(value_hash(&term, row));
            return;
        }
        self.terms.ask(place as u16, &term, false);
    }

    fn words(&mut self, text: &str) {
        self.texts.push(self.words);
        word_bytes(text, &mut |word, cased| {
            self.words += 1;
            if word.len() <= MAX_WORD_BYTES {
                self.terms.ask(WORDS as u16, word, cased);
            } else {
                cut_word(std::str::from_utf8(word).unwrap_or_default(), &mut self.scratch);
                self.terms.ask(WORDS as u16, &self.scratch, cased);
            }
        });
    }

    /// Whether a word was written with other letters than its lower case has.
    pub(crate) fn is_cased(&self, id: u32) -> bool {
        self.cased.get((id >> 6) as usize).is_some_and(|word| word >> (id & 63) & 1 == 1)
    }
}

/// The term that stands for a value: its text, or of a long one the start and a hash.
pub(crate) fn term_of_value(text: &str) -> Cow<'_, [u8]> {
    if text.len() <= MAX_VALUE_BYTES {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut term = Vec::with_capacity(MAX_VALUE_BYTES + 1 + VALUE_HASH_BYTES);
    term.extend_from_slice(cut(text, MAX_VALUE_BYTES).as_bytes());
    term.push(CUT);
    term.extend_from_slice(Sha256::digest(text.as_bytes()).get(..VALUE_HASH_BYTES).unwrap_or(&[]));
    Cow::Owned(term)
}

/// The term that stands for a long word.
pub(crate) fn cut_word(word: &str, term: &mut Vec<u8>) {
    term.clear();
    term.extend_from_slice(cut(word, MAX_WORD_BYTES).as_bytes());
    term.push(CUT);
}

/// A value's place in a table of hashes: its hash, shifted left by 32, and the row.
pub(crate) fn value_hash(term: &[u8], row: u32) -> u64 {
    id_hash(term) & 0xFFFF_FFFF_0000_0000 | u64::from(row)
}
