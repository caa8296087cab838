//! Reading a dump: its tables and their rows, one after the other.
//!
//! Understood is what `mysqldump`, `mariadb-dump` and `pg_dump` write: `CREATE TABLE`, keys that `ALTER TABLE` adds later, `INSERT` of any length,
//! `COPY … FROM stdin`, and the settings that change how values are written. Statements that have nothing to do with rows are passed over;
//! what could change rows and is not understood is told as a note, and rows that cannot be read are an error.

mod copy;
mod rows;
mod tables;

use std::collections::BTreeMap;
use std::io::Read;

use super::input::Input;
use super::table::DumpTable;
use super::token::{Dialect, Token, token};
use super::{DumpError, Note};
use crate::cell::{Cell, MaskKey};
use crate::config::WatchConfig;
use crate::table::{Kind, Name};

/// What is made of rows and notes.
pub(super) trait Sink {
    /// A row of the table at this place, in the order of the table's columns, without those that the dump has no values of.
    fn row(&mut self, table: usize, cells: &[Cell]) -> Result<(), DumpError>;

    /// Something that whoever reads the result should know.
    fn note(&mut self, note: Note) -> Result<(), DumpError>;
}

/// The most words of one statement that creates or alters a table.
const MAX_TOKENS: usize = 1 << 20;

/// Reads a whole dump; its tables in their order.
pub(super) fn read(
    file: &str,
    reader: impl Read,
    schema: &str,
    config: &WatchConfig,
    mask: &MaskKey,
    sink: &mut dyn Sink,
) -> Result<Vec<DumpTable>, DumpError> {
    let mut input = Input::new(file, reader)?;
    let dialect = dialect(&mut input)?;
    let mut reading = Reading {
        input,
        dialect,
        ansi: false,
        modes: BTreeMap::new(),
        config,
        mask,
        sink,
        wanted: schema.to_owned(),
        schema: None,
        tables: Vec::new(),
        zone: false,
    };
    while reading.statement()? {}
    reading.end()?;
    Ok(reading.tables)
}

/// Whose dump it is: both families say so at the beginning, or write something that only they write.
fn dialect(input: &mut Input<'_>) -> Result<Dialect, DumpError> {
    let head = input.ahead()?;
    // Rows may hold anything: what stands first decides.
    let first =
        |marks: &[&str]| marks.iter().filter_map(|mark| memchr::memmem::find(head, mark.as_bytes())).min();
    let postgres = ["PostgreSQL database dump", "SET standard_conforming_strings", "pg_catalog."];
    let mysql = ["MySQL dump", "MariaDB dump", "/*!", "/*M!", "`"];
    if head.is_empty() {
        return Err(input.wrong("nothing", "a dump"));
    }
    if head.starts_with(b"PGDMP") {
        return Err(input.wrong("pg_dump's custom format", "a plain dump: pg_restore -f makes one of it"));
    }
    match (first(&postgres), first(&mysql)) {
        (Some(postgres), mysql) if mysql.is_none_or(|mysql| postgres < mysql) => {
            Ok(Dialect { mysql: false, backslash: false })
        }
        (_, Some(_)) => Ok(Dialect { mysql: true, backslash: true }),
        _ => Err(input.wrong("something else", "a dump by mysqldump, mariadb-dump or pg_dump (plain)")),
    }
}

struct Reading<'r, 's> {
    input: Input<'r>,
    dialect: Dialect,
    /// Whether MySQL's mode makes names of `"…"`, which are not read here.
    ansi: bool,
    /// What a MySQL dump keeps of its mode in variables while it creates a trigger or a routine: [`Dialect::backslash`] and `ansi` by the variable.
    modes: BTreeMap<String, (bool, bool)>,
    config: &'s WatchConfig,
    mask: &'s MaskKey,
    sink: &'s mut dyn Sink,
    /// The schema whose tables are wanted.
    wanted: String,
    /// The schema that names without one are in, if the dump says so.
    schema: Option<String>,
    tables: Vec<DumpTable>,
    /// Whether times are in UTC.
    zone: bool,
}

impl Reading<'_, '_> {
    fn token(&mut self) -> Result<Token, DumpError> {
        token(&mut self.input, self.dialect)
    }

    fn expect(&mut self, symbol: u8) -> Result<(), DumpError> {
        match self.token()? {
            Token::Symbol(found) if found == symbol => Ok(()),
            other => Err(self.input.wrong(other.told(), format!("{:?}", char::from(symbol)))),
        }
    }

    fn note(&mut self, line: u64, text: String) -> Result<(), DumpError> {
        self.sink.note(Note { file: self.input.file.clone(), line, text })
    }

    /// Reads a statement; false at the end.
    fn statement(&mut self) -> Result<bool, DumpError> {
        let first = self.token()?;
        let line = self.input.line;
        match &first {
            Token::End => return Ok(false),
            Token::Symbol(b';') => {}
            // psql's own commands: \connect, \restrict.
            Token::Symbol(b'\\') if !self.dialect.mysql => {
                self.input.line()?;
            }
            word if word.is("INSERT") || word.is("REPLACE") => self.insert()?,
            word if word.is("COPY") && !self.dialect.mysql => self.copy()?,
            word if word.is("CREATE") => self.create()?,
            word if word.is("ALTER") => self.alter(line)?,
            word if word.is("DROP") => self.drop(line)?,
            word if word.is("SET") => self.set(line)?,
            word if word.is("USE") && self.dialect.mysql => {
                let name = self.token()?;
                self.schema = name.name().map(str::to_owned);
                self.rest()?;
            }
            word if word.is("DELIMITER") && self.dialect.mysql => self.delimiter()?,
            word if HARMLESS.iter().any(|known| word.is(known)) => {
                self.rest()?;
            }
            other => {
                let text =
                    format!("a statement that is not understood, and was left out: {} …", other.told());
                self.note(line, text)?;
                self.rest()?;
            }
        }
        Ok(true)
    }

    /// The words up to the statement's end.
    fn rest(&mut self) -> Result<Vec<Token>, DumpError> {
        let mut tokens = Vec::new();
        // Functions of PostgreSQL may have statements in them.
        let mut depth = 0;
        let mut begin = false;
        loop {
            let token = self.token()?;
            let begun = std::mem::replace(&mut begin, token.is("BEGIN"));
            match &token {
                Token::Symbol(b';') if depth == 0 => return Ok(tokens),
                Token::End => return Err(self.input.wrong("the end of the dump", "';'")),
                word if begun && word.is("ATOMIC") || depth > 0 && word.is("CASE") => depth += 1,
                word if depth > 0 && word.is("END") => depth -= 1,
                _ => {}
            }
            if tokens.len() < MAX_TOKENS {
                tokens.push(token);
            }
        }
    }

    /// Routines and triggers stand between two of these; they are lines that end with what it says.
    fn delimiter(&mut self) -> Result<(), DumpError> {
        let line = self.input.line()?.unwrap_or_default();
        let delimiter = line.trim_ascii().to_vec();
        if delimiter == b";" || delimiter.is_empty() {
            return Ok(());
        }
        while let Some(line) = self.input.line()? {
            let line = line.trim_ascii();
            if line.get(..9).is_some_and(|word| word.eq_ignore_ascii_case(b"DELIMITER")) {
                return Ok(());
            }
        }
        Err(self.input.wrong("the end of the dump", "DELIMITER ;"))
    }

    /// A name with or without a schema before it, which begins with this word; and the word after it.
    fn name(&mut self, first: Token) -> Result<(Name, Token), DumpError> {
        let Some(one) = first.name().map(str::to_owned) else {
            return Err(self.input.wrong(first.told(), "a table's name"));
        };
        let next = self.token()?;
        if next != Token::Symbol(b'.') {
            let schema = self.schema.clone().unwrap_or_else(|| self.wanted.clone());
            return Ok((Name { schema, table: one }, next));
        }
        let second = self.token()?;
        let Some(table) = second.name().map(str::to_owned) else {
            return Err(self.input.wrong(second.told(), "a table's name"));
        };
        Ok((Name { schema: one, table }, self.token()?))
    }

    fn set(&mut self, line: u64) -> Result<(), DumpError> {
        let rest = self.rest()?;
        let text = |token: &Token| match token {
            Token::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => other.name().unwrap_or_default().to_owned(),
        };
        for (at, word) in rest.iter().enumerate() {
            let value = || {
                rest.iter()
                    .skip(at + 1)
                    .find(|token| !matches!(token, Token::Symbol(b'=')) && !token.is("TO"))
            };
            let kept = at > 0 && rest.get(at - 1) == Some(&Token::Symbol(b'@'));
            self.keep_mode(rest.get(at..).unwrap_or_default(), kept);
            let Some(value) = value().filter(|value| !kept && **value != Token::Symbol(b'@')).map(text)
            else {
                continue;
            };
            if word.is("NAMES") || word.is("client_encoding") {
                let known = ["utf8", "utf8mb4", "utf8mb3", "UTF8", "UTF-8"].contains(&value.as_str());
                if !known && !value.is_empty() {
                    let expected = "UTF-8: --default-character-set=utf8mb4, or --encoding=UTF8";
                    return Err(self.input.wrong(format!("a dump in {value}"), expected));
                }
            } else if word.is("SQL_MODE") {
                self.dialect.backslash = !value.to_ascii_uppercase().contains("NO_BACKSLASH_ESCAPES");
                // Triggers and routines may be in this mode, tables and rows may not.
                self.ansi = value.to_ascii_uppercase().contains("ANSI");
            } else if word.is("TIME_ZONE") || word.is("TimeZone") {
                self.zone |= value == "+00:00" || value.eq_ignore_ascii_case("UTC");
            } else if word.is("standard_conforming_strings") {
                self.dialect.backslash = value == "off";
            } else if word.is("search_path") && !value.is_empty() && value != "pg_catalog" {
                self.schema = Some(value);
            } else if word.is("PASSWORD") {
                self.note(line, "a statement that sets a password, and was left out".to_owned())?;
            }
        }
        Ok(())
    }

    /// `@saved_sql_mode = @@sql_mode` keeps the mode, `sql_mode = @saved_sql_mode` brings it back.
    fn keep_mode(&mut self, words: &[Token], variable: bool) {
        use Token::{Symbol, Word};
        match words {
            [Word(name), Symbol(b'='), Symbol(b'@'), Symbol(b'@'), mode, ..]
                if variable && mode.is("SQL_MODE") =>
            {
                self.modes.insert(name.to_ascii_lowercase(), (self.dialect.backslash, self.ansi));
            }
            [mode, Symbol(b'='), Symbol(b'@'), Word(name), ..] if !variable && mode.is("SQL_MODE") => {
                if let Some(kept) = self.modes.get(&name.to_ascii_lowercase()) {
                    (self.dialect.backslash, self.ansi) = *kept;
                }
            }
            _ => {}
        }
    }

    /// That what follows is not in the mode ANSI.
    fn not_ansi(&self) -> Result<(), DumpError> {
        match self.ansi {
            true => Err(self.input.wrong("a dump in the mode ANSI", "one without --compatible")),
            false => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), DumpError> {
        let line = self.input.line;
        if !self.input.complete {
            let text = "the mark at its end is missing: it may be cut off, or was made without comments";
            self.note(line, text.to_owned())?;
        }
        let times = |table: &DumpTable| {
            table.rows > 0
                && table.watched
                && table.columns.iter().any(|column| column.column.kind == Kind::Timestamp)
        };
        if self.dialect.mysql && !self.zone && self.tables.iter().any(times) {
            let text = "TIMESTAMPs are in the time zone of whoever made the dump: --tz-utc is missing";
            self.note(line, text.to_owned())?;
        }
        let elsewhere: Vec<String> = self
            .tables
            .iter()
            .filter(|table| table.name.schema != self.wanted && !table.columns.is_empty())
            .map(|table| table.name.to_string())
            .collect();
        if !elsewhere.is_empty() {
            let some: Vec<&str> = elsewhere.iter().take(10).map(String::as_str).collect();
            let more = if elsewhere.len() > some.len() { " …" } else { "" };
            let text = format!(
                "{} tables of other schemas than {}, left out: {}{more}",
                elsewhere.len(),
                self.wanted,
                some.join(", ")
            );
            self.note(line, text)?;
        }
        Ok(())
    }
}

/// Statements that change no rows, or only settings.
const HARMLESS: &[&str] = &[
    "LOCK", "UNLOCK", "START", "BEGIN", "COMMIT", "FLUSH", "ANALYZE", "OPTIMIZE", "SELECT", "COMMENT",
    "GRANT", "REVOKE", "REFRESH", "CHANGE", "SECURITY", "RESET", "DISCARD", "VACUUM", "STOP", "PURGE",
];
