//! Events of a binary log made into steps.
//!
//! A *group* of events is a transaction: it begins with a GTID and ends with an XID, a COMMIT, a ROLLBACK or, when it is a single statement, with that. The log has
//! a transaction only when it is committed, so parts of a long one are given before its end is there. Two things may still undo what was given: a server that dies while it
//! writes (the group has no end, and the next begins), and a transaction with tables that cannot roll back (it ends with ROLLBACK); then what was given of it is not so, and the
//! stream is lost.
//!
//! XA transactions are in the log when they are prepared, and count when `XA COMMIT` comes, with that one's id and time. Which ones wait is told, so that a log that is
//! taken up again is read from before the first of them: up to where it was given before, only what is prepared is taken from it.

mod groups;
mod rows;
#[cfg(test)]
mod sample;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bytes::Bytes;
use super::event::{self, Header, Query, kind};
use crate::cell::MaskKey;
use crate::change::{Position, Step, Transaction};
use crate::config::WatchConfig;
use crate::database::DbError;
use crate::table::{Name, Table};
use groups::{Group, PREPARED_BYTES, Waiting};
use rows::Map;

/// How often it is said how far the log was read while nothing in it is of the watched tables.
const PROGRESS: Duration = Duration::from_millis(500);

pub(super) struct Decoder {
    config: WatchConfig,
    schema: String,
    mask: MaskKey,
    tables: HashMap<Name, Arc<Table>>,
    /// What they were before.
    earlier: HashMap<Name, Vec<Arc<Table>>>,
    /// Tables whose rows are not as they are known to be, of which that was said.
    strange: HashSet<Name>,
    /// Not known before the log's format was told: the first event comes before that.
    checksums: Option<bool>,
    /// Where the log is being read.
    file: String,
    at: u64,
    /// Where it can be taken up: after the last group that was given whole.
    resume: (String, u64),
    /// Up to here all was given before, and nothing is given again.
    given: Position,
    /// Places before that from which what is prepared can be read, the last one first.
    back: Vec<Position>,
    maps: HashMap<u64, Map>,
    group: Option<Group>,
    prepared: HashMap<String, Waiting>,
    /// [`PREPARED_BYTES`], or less in a test.
    prepared_most: usize,
    steps: VecDeque<Step>,
    said: Instant,
    /// Whether anything was read since that was last said.
    unsaid: bool,
}

impl Decoder {
    pub(super) fn new(config: WatchConfig, schema: String, mask: MaskKey, file: String, at: u64) -> Decoder {
        Decoder {
            config,
            schema,
            mask,
            tables: HashMap::new(),
            earlier: HashMap::new(),
            strange: HashSet::new(),
            checksums: None,
            resume: (file.clone(), at),
            given: Position::Binlog { file: file.clone(), at },
            back: Vec::new(),
            file,
            at,
            maps: HashMap::new(),
            group: None,
            prepared: HashMap::new(),
            prepared_most: PREPARED_BYTES,
            steps: VecDeque::new(),
            said: Instant::now(),
            unsaid: false,
        }
    }

    pub(super) fn set_tables(&mut self, tables: Vec<Arc<Table>>) {
        (self.tables, self.earlier) = (HashMap::new(), HashMap::new());
        for table in tables.into_iter().filter(|table| !table.key.is_empty()) {
            match self.tables.entry(table.name.clone()) {
                Entry::Vacant(entry) => drop(entry.insert(table)),
                Entry::Occupied(_) => self.earlier.entry(table.name.clone()).or_default().push(table),
            }
        }
        self.strange.clear();
        // A table map is sent anew with every statement; those of the one that is being read are read with what they were.
    }

    /// Where a new connection begins; what was begun on the last one is forgotten.
    pub(super) fn resume(&mut self) -> (String, u64) {
        self.group = None;
        self.maps.clear();
        self.checksums = None;
        (self.file, self.at) = self.resume.clone();
        self.resume.clone()
    }

    /// What was given last, while it reads what comes before that.
    pub(super) fn looks_back(&self) -> Option<(String, u64)> {
        match &self.given {
            Position::Binlog { file, at } if self.position() < self.given => Some((file.clone(), *at)),
            _ => None,
        }
    }

    pub(super) fn step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Where it can be taken up.
    fn position(&self) -> Position {
        let (file, at) = &self.resume;
        Position::Binlog { file: file.clone(), at: *at }
    }

    /// The end of what was read.
    fn here(&self) -> Position {
        Position::Binlog { file: self.file.clone(), at: self.at }
    }

    /// Takes an event.
    pub(super) fn event(&mut self, event: &[u8]) -> Result<(), DbError> {
        let damaged = || DbError::Lost("an event of the server's log is damaged".to_owned());
        let (header, body) = Header::read(event).ok_or_else(damaged)?;
        if header.kind == kind::FORMAT {
            self.checksums = Some(event::has_checksums(body));
        }
        let body = match self.checksums {
            Some(true) => event::checked(event).ok_or_else(damaged)?,
            Some(false) => body,
            None => event::checked(event).unwrap_or(body),
        };
        if header.end != 0 && !header.artificial && !is_heartbeat(header.kind) {
            self.at = reached(self.at, header.end);
        }
        match self.take(&header, body) {
            // It was told when it was read first.
            Err(_) if self.was_given() => self.group = None,
            taken => taken?.ok_or_else(damaged)?,
        }
        if self.group.is_none() && !is_heartbeat(header.kind) {
            let here = (self.file.clone(), self.at);
            self.unsaid |= self.steps.is_empty() && self.resume != here;
            self.resume = here;
            if self.unsaid && self.said.elapsed() > PROGRESS {
                self.give_nothing(&header);
            }
        }
        Ok(())
    }

    /// `Ok(None)` for what cannot be read.
    fn take(&mut self, header: &Header, body: &[u8]) -> Result<Option<()>, DbError> {
        match header.kind {
            kind::ROTATE => return Ok(self.rotate(body)),
            kind::FORMAT => {
                // The log of a server that died while it wrote.
                self.undo()?;
                self.maps.clear();
            }
            kind::MARIADB_GTID => {
                let Some(gtid) = event::mariadb_gtid(header, body) else { return Ok(None) };
                self.begin(header, gtid)?;
            }
            kind::GTID | kind::ANONYMOUS => {
                let Some(mut gtid) = event::mysql_gtid(header.kind, body) else { return Ok(None) };
                if gtid.id.is_empty() {
                    gtid.id = format!("{}:{}", self.file, self.at);
                }
                self.begin(header, gtid)?;
            }
            kind::QUERY => {
                let Some(query) = Query::read(body) else { return Ok(None) };
                self.query(header, &query)?;
            }
            kind::XID => self.commit(),
            kind::XA_PREPARE => return Ok(self.prepare(header, body)),
            kind::TABLE_MAP => return Ok(self.map(header, body)),
            kind::WRITE_1 | kind::UPDATE_1 | kind::DELETE_1 => return self.rows(header, body, false),
            kind::WRITE_2 | kind::UPDATE_2 | kind::DELETE_2 => return self.rows(header, body, true),
            kind::MARIADB_ANNOTATE => self.comment(body),
            kind::ROWS_QUERY => self.comment(body.get(1..).unwrap_or_default()),
            kind::HEARTBEAT | kind::HEARTBEAT_2 => self.heartbeat(header),
            kind::INCIDENT => {
                return Err(DbError::Lost(
                    "the server says that its log may lack changes (an incident)".to_owned(),
                ));
            }
            kind::PARTIAL_UPDATE => {
                return Err(refused("parts of JSON columns", "binlog_row_value_options = ''"));
            }
            kind::PAYLOAD => {
                return Err(refused("compressed transactions", "binlog_transaction_compression = OFF"));
            }
            kind::TAGGED_GTID => return Err(refused("tagged GTID events", "gtid_next = AUTOMATIC")),
            compressed if kind::MARIADB_COMPRESSED.contains(&compressed) => {
                return Err(refused("compressed events", "log_bin_compress = OFF"));
            }

            _ => {}
        }
        Ok(Some(()))
    }

    fn rotate(&mut self, body: &[u8]) -> Option<()> {
        let mut body = Bytes::new(body);
        let at = body.u64()?;
        let file = std::str::from_utf8(body.rest()).ok()?;
        self.file = file.to_owned();
        self.at = at;
        Some(())
    }

    /// The server has nothing more.
    fn heartbeat(&mut self, header: &Header) {
        // A heartbeat in the middle of a transaction says only that the server is there.
        let (_, at) = &self.resume;
        let low = u32::try_from(at & 0xffff_ffff).unwrap_or(0);
        if self.group.is_none() && header.end == low && self.looks_back().is_none() {
            self.say(Step::Reached(self.position()));
        }
    }

    /// Says how far it is without a change: so much was in the log that is not of the watched tables.
    fn give_nothing(&mut self, header: &Header) {
        let position = self.position();
        let transaction = Transaction {
            id: position.to_string(),
            time: header.nanos(),
            account: None,
            connection: None,
            comment: None,
            first: 0,
            changes: Vec::new(),
            within: position.clone(),
            ends: Some(position),
        };
        self.give(Step::Transaction(transaction));
    }

    /// Whether what is read now was given before.
    fn was_given(&self) -> bool {
        self.here() <= self.given
    }

    fn give(&mut self, step: Step) {
        if !self.was_given() {
            self.say(step);
        }
    }

    fn say(&mut self, step: Step) {
        self.steps.push_back(step);
        self.said = Instant::now();
        self.unsaid = false;
    }
}

fn is_heartbeat(kind: u8) -> bool {
    matches!(kind, kind::HEARTBEAT | kind::HEARTBEAT_2)
}

/// A place in a log of which the lowest 32 bits are known, not long after another.
fn reached(at: u64, low: u32) -> u64 {
    let candidate = at & !0xffff_ffff | u64::from(low);
    let wrapped = candidate + (1 << 31) < at;
    if wrapped { candidate + (1 << 32) } else { candidate.max(at) }
}

fn refused(what: &str, remedy: &str) -> DbError {
    DbError::Refused(format!("the server's log has {what}, which are not read here: set {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::sample::{decoder, event, format, gtid, map, query, rows};
    use super::*;

    #[test]
    fn damaged_events_are_refused_and_none_panics() {
        let events = [format(), gtid(), query("BEGIN"), map(), rows(), event(kind::XID, 500, &[0; 8])];
        for (at, broken) in events.iter().enumerate().skip(1) {
            for length in 0..broken.len() {
                let mut decoder = decoder();
                for one in &events[..at] {
                    decoder.event(one).unwrap();
                }
                assert!(decoder.event(&broken[..length]).is_err(), "{at} {length}");
                // Cut before its checksum was made, and with other bytes in it.
                let _ = decoder.event(&event(broken[4], 900, &broken[19.min(length)..length]));
                let mut flipped = broken[19..broken.len() - 4].to_vec();
                if let Some(byte) = flipped.get_mut(length) {
                    *byte ^= 0xff;
                    let _ = decoder.event(&event(broken[4], 900, &flipped));
                }
            }
        }
    }

    #[test]
    fn a_log_may_be_longer_than_its_positions() {
        for (at, low, expected) in [
            (4, 256, 256),
            (0xffff_fff0, 16, 0x1_0000_0010),
            (0x1_0000_0010, 40, 0x1_0000_0028),
            (500, 400, 500),
        ] {
            assert_eq!(reached(at, low), expected, "{at} {low}");
        }
    }
}
