//! Violations: opened once, repeated, signed off.

use rusqlite::{OptionalExtension as _, params, types::Value};
use sha2::{Digest as _, Sha256};

use super::{Copy, CopyError, Layout, Place, unsigned};
use crate::cell::{Cell, MaskKey, decode_row};
use crate::table::{Name, Table};

/// The most that a row may be, in bytes, that is listed with its violation.
const LISTED_BYTES: usize = 16 << 10;

/// How many hexadecimal digits a fingerprint has.
const FINGERPRINT_DIGITS: usize = 20;

/// Something that was not allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// What it is called by.
    pub fingerprint: String,
    /// The table, by number.
    pub watched: i64,
    /// The columns of both rows.
    pub layout: Layout,
    /// Where the row is kept; empty: it is of the table.
    pub place: Place,
    /// The row's key.
    pub key: Vec<Cell>,
    /// The column.
    pub field: Option<String>,
    /// The rule.
    pub rule: String,
    /// What the rule says.
    pub description: String,
    /// The row before.
    pub old: Option<Vec<Cell>>,
    /// The row after.
    pub new: Option<Vec<Cell>>,
    /// The rows are too large for a list, and left out; not of a violation that is asked for by its fingerprint.
    pub left_out: bool,
    /// Their versions' numbers.
    pub old_version: Option<u64>,
    /// See `old_version`.
    pub new_version: Option<u64>,
    /// The change's event.
    pub event: Option<String>,
    /// Whose change opened it.
    pub account: Option<String>,
    /// When it was opened: microseconds since 1970, as all times here.
    pub opened: i64,
    /// How often it was seen again.
    pub repeated: u64,
    /// When it was seen last.
    pub last_seen: i64,
    /// Who signed it off, why and when; none: it is pending.
    pub signed: Option<Signed>,
}

/// Who signed a violation off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Who.
    pub by: String,
    /// From which address.
    pub from: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: i64,
}

/// A violation that is to be opened, or seen again.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The table.
    pub watched: i64,
    /// The columns of both images.
    pub layout: i64,
    /// Where the row is kept.
    pub place: &'a [u8],
    /// The row bytes of its key.
    pub key: &'a [u8],
    /// The column.
    pub field: Option<&'a str>,
    /// The rule.
    pub rule: &'a str,
    /// What it says.
    pub description: &'a str,
    /// The row bytes before, and their version.
    pub old: Option<(&'a [u8], u64)>,
    /// And after.
    pub new: Option<(&'a [u8], u64)>,
    /// The change's event.
    pub event: Option<&'a str>,
    /// Whose change it is.
    pub account: Option<&'a str>,
    /// When.
    pub time: i64,
}

impl<'a> Opening<'a> {
    /// Of a table as such, rather than of a row.
    pub fn of_table(
        watched: i64,
        layout: i64,
        rule: &'a str,
        description: &'a str,
        time: i64,
    ) -> Opening<'a> {
        Opening {
            watched,
            layout,
            place: &[],
            key: &[],
            field: None,
            rule,
            description,
            old: None,
            new: None,
            event: None,
            account: None,
            time,
        }
    }
}

/// What became of an [`Opening`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What it is called by.
    pub fingerprint: String,
    /// How often it was seen before, since it was opened; none: it is new.
    pub repeated: Option<u64>,
}

/// Which violations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only pending ones, or only those that were signed off.
    pub pending: Option<bool>,
    /// Only of this table.
    pub table: Option<Name>,
    /// Only of this column.
    pub field: Option<String>,
    /// Only of this rule.
    pub rule: Option<String>,
    /// Only opened from this time on.
    pub since: Option<i64>,
    /// Only opened before this time.
    pub until: Option<i64>,
    /// Only those that come after the one with this time of opening and this fingerprint.
    pub after: Option<(i64, String)>,
}

/// A change of the schema that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaChange {
    /// The violation that has to be signed off.
    pub fingerprint: String,
    /// The table, by number.
    pub watched: i64,
    /// What it is now; none: gone.
    pub table: Option<Table>,
}

pub(super) const COLUMNS: &str = "fingerprint, watched, layout, place, key, field, rule, description, old_image, new_image, \
                       old_version, new_version, event, opened, repeated, last_seen, signed_by, signed_from, signed_why, signed_at, account";

/// [`COLUMNS`] without rows that are too large: they are empty, which no row is.
fn listed() -> String {
    let bounded =
        |image: &str| format!("CASE WHEN length({image}) > {LISTED_BYTES} THEN x'' ELSE {image} END");
    let images = format!("{}, {}", bounded("old_image"), bounded("new_image"));
    COLUMNS.replace("old_image, new_image", &images)
}

impl Copy {
    /// Opens a violation, unless one of the same row, column and rule is pending: then that one was seen again. In a transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open_violation(&mut self, opening: &Opening<'_>) -> Result<Opened, CopyError> {
        let field = opening.field.unwrap_or_default();
        let mut again = self.connection.prepare_cached(
            "UPDATE violation SET repeated = repeated + 1, last_seen = ?5
             WHERE watched = ?1 AND place = ?2 AND field = ?3 AND rule = ?4 AND signed_at IS NULL
             RETURNING fingerprint, repeated",
        )?;
        let known = again
            .query_row(params![opening.watched, opening.place, field, opening.rule, opening.time], |row| {
                Ok(Opened { fingerprint: row.get(0)?, repeated: Some(unsigned(row, 1)?) })
            })
            .optional()?;
        if let Some(known) = known {
            return Ok(known);
        }
        let fingerprint = fingerprint(&self.mask, opening);
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO violation (fingerprint, watched, layout, place, key, field, rule, description, old_image,
             new_image, old_version, new_version, event, opened, last_seen, account)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15)",
        )?;
        insert.execute(params![
            fingerprint,
            opening.watched,
            opening.layout,
            opening.place,
            opening.key,
            field,
            opening.rule,
            opening.description,
            opening.old.map(|old| old.0),
            opening.new.map(|new| new.0),
            opening.old.map(|old| super::signed(old.1)),
            opening.new.map(|new| super::signed(new.1)),
            opening.event,
            opening.time,
            opening.account
        ])?;
        Ok(Opened { fingerprint, repeated: None })
    }

    /// The violation with a fingerprint.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn violation(&mut self, fingerprint: &str) -> Result<Option<Violation>, CopyError> {
        let sql = format!("SELECT {COLUMNS} FROM violation WHERE fingerprint = ?1");
        Ok(self.find(&sql, vec![Value::Text(fingerprint.to_owned())])?.pop())
    }

    /// The newest violations that fit, the newest first, without rows that are too large for a list.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn violations(&mut self, filter: &Filter, limit: u32) -> Result<Vec<Violation>, CopyError> {
        let (conditions, values) = conditions(filter);
        let sql = format!(
            "SELECT {} FROM violation WHERE {conditions} ORDER BY opened DESC, fingerprint DESC LIMIT {limit}",
            listed()
        );
        self.find(&sql, values)
    }

    /// What violations that fit are called by, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn fingerprints(&self, filter: &Filter, limit: u32) -> Result<Vec<String>, CopyError> {
        let (conditions, values) = conditions(filter);
        let sql = format!(
            "SELECT fingerprint FROM violation WHERE {conditions} ORDER BY opened, fingerprint LIMIT {limit}"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let found = select.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Fingerprints that begin like this; none for what is not hexadecimal digits.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn fingerprints_like(&self, beginning: &str, limit: u32) -> Result<Vec<String>, CopyError> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if beginning.is_empty() || !beginning.bytes().all(digit) {
            return Ok(Vec::new());
        }
        // `g` comes after every digit.
        let mut select = self.connection.prepare_cached(
            "SELECT fingerprint FROM violation WHERE fingerprint >= ?1 AND fingerprint < ?1 || 'g' ORDER BY fingerprint LIMIT ?2",
        )?;
        let found = select.query_map(params![beginning, limit], |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// How many violations of each table are pending, by its number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pending(&self) -> Result<Vec<(i64, u64)>, CopyError> {
        let mut select = self.connection.prepare_cached(
            "SELECT watched, count(*) FROM violation WHERE signed_at IS NULL GROUP BY watched ORDER BY watched",
        )?;
        let counts = select.query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
        Ok(counts.collect::<Result<_, _>>()?)
    }

    /// Whether a row has a violation that is pending.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_pending(&self, watched: i64, place: &[u8]) -> Result<bool, CopyError> {
        let mut select = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM violation WHERE watched = ?1 AND place = ?2 AND signed_at IS NULL)",
        )?;
        Ok(select.query_row(params![watched, place], |row| row.get(0))?)
    }

    pub(super) fn find(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Violation>, CopyError> {
        let mut found = Vec::new();
        {
            let mut select = self.connection.prepare_cached(sql)?;
            let mut rows = select.query(rusqlite::params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                found.push(Raw::read(row)?);
            }
        }
        found.into_iter().map(|raw| raw.violation(self)).collect()
    }
}

/// What a filter says in SQL.
fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let (mut conditions, mut values) = (vec!["1".to_owned()], Vec::new());
    let mut condition = |sql: &str, given: Vec<Value>| {
        conditions.push(sql.to_owned());
        values.extend(given);
    };
    match filter.pending {
        Some(true) => condition("signed_at IS NULL", Vec::new()),
        Some(false) => condition("signed_at IS NOT NULL", Vec::new()),
        None => {}
    }
    if let Some(name) = &filter.table {
        condition(
            "watched = (SELECT id FROM watched WHERE schema = ? AND name = ?)",
            vec![Value::Text(name.schema.clone()), Value::Text(name.table.clone())],
        );
    }
    for (sql, text) in [("field = ?", &filter.field), ("rule = ?", &filter.rule)] {
        if let Some(text) = text {
            condition(sql, vec![Value::Text(text.clone())]);
        }
    }
    for (sql, time) in [("opened >= ?", filter.since), ("opened < ?", filter.until)] {
        if let Some(time) = time {
            condition(sql, vec![Value::Integer(time)]);
        }
    }
    if let Some((opened, fingerprint)) = &filter.after {
        condition(
            "(opened, fingerprint) < (?, ?)",
            vec![Value::Integer(*opened), Value::Text(fingerprint.clone())],
        );
    }
    (conditions.join(" AND "), values)
}

/// Under the copy's own key: another copy of the same database gives other fingerprints, and whoever writes into the database cannot look for two
/// violations that would have the same one.
fn fingerprint(key: &MaskKey, opening: &Opening<'_>) -> String {
    let mut hash = Sha256::new();
    for part in [
        key.0.as_slice(),
        opening.watched.to_string().as_bytes(),
        opening.key,
        opening.field.unwrap_or_default().as_bytes(),
        opening.rule.as_bytes(),
        opening.event.unwrap_or_default().as_bytes(),
        opening.time.to_string().as_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digits = crate::hex(&hash.finalize());
    digits.truncate(FINGERPRINT_DIGITS);
    digits
}

struct Raw {
    layout: i64,
    key: Vec<u8>,
    field: String,
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
    violation: Box<dyn FnOnce(Layout) -> Violation>,
}

impl Raw {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Raw> {
        let (fingerprint, watched, place) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let (rule, description) = (row.get(6)?, row.get(7)?);
        let version =
            |at: usize| row.get::<_, Option<i64>>(at).map(|version| version.map(i64::cast_unsigned));
        let (old_version, new_version, event) = (version(10)?, version(11)?, row.get(12)?);
        let (opened, repeated, last_seen) = (row.get(13)?, unsigned(row, 14)?, row.get(15)?);
        let signed = match row.get::<_, Option<i64>>(19)? {
            Some(at) => Some(Signed { by: row.get(16)?, from: row.get(17)?, why: row.get(18)?, at }),
            None => None,
        };
        let account = row.get(20)?;
        let violation = move |layout| Violation {
            fingerprint,
            watched,
            layout,
            place,
            key: Vec::new(),
            field: None,
            rule,
            description,
            old: None,
            new: None,
            left_out: false,
            old_version,
            new_version,
            event,
            account,
            opened,
            repeated,
            last_seen,
            signed,
        };
        Ok(Raw {
            layout: row.get(2)?,
            key: row.get(4)?,
            field: row.get(5)?,
            old: row.get(8)?,
            new: row.get(9)?,
            violation: Box::new(violation),
        })
    }

    fn violation(self, copy: &mut Copy) -> Result<Violation, CopyError> {
        let layout = copy.layout(self.layout)?;
        let is_there = |image: &Vec<u8>| !image.is_empty();
        let left_out = [&self.old, &self.new].into_iter().flatten().any(|image| !is_there(image));
        Ok(Violation {
            key: decode_row(&self.key)?,
            field: Some(self.field).filter(|field| !field.is_empty()),
            old: self.old.filter(is_there).map(|image| decode_row(&image)).transpose()?,
            new: self.new.filter(is_there).map(|image| decode_row(&image)).transpose()?,
            left_out,
            ..(self.violation)(layout)
        })
    }
}
