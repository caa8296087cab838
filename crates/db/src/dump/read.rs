//! Reading a dump: its tables and their rows, one after the other.
//!
//! Understood is what `mysqldump`, `mariadb-dump` and `pg_dump` write: `CREATE TABLE`, keys that `ALTER TABLE` adds later, `INSERT` of any length,
//! `COPY … FROM stdin`, and the settings that change how values are written. Statements that have nothing to do with rows are passed over;
//! what could change rows and is not understood is told as a note, and rows that cannot be read are an error.

use std::io::Read;

use super::input::Input;
use super::table::DumpTable;
use super::token::{Dialect, Token, token};
use super::value::{Form, Literal, cell};
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
    let has = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
    let postgres = ["PostgreSQL database dump", "SET standard_conforming_strings", "pg_catalog."];
    let mysql = ["MySQL dump", "MariaDB dump", "/*!", "/*M!", "`"];
    if head.is_empty() {
        return Err(input.wrong("nothing", "a dump"));
    }
    if head.starts_with(b"PGDMP") {
        return Err(input.wrong("pg_dump's custom format", "a plain dump: pg_restore -f makes one of it"));
    }
    if postgres.iter().any(|text| has(text)) {
        return Ok(Dialect { mysql: false, backslash: false });
    }
    if mysql.iter().any(|text| has(text)) {
        return Ok(Dialect { mysql: true, backslash: true });
    }
    Err(input.wrong("something else", "a dump by mysqldump, mariadb-dump or pg_dump (plain)"))
}

struct Reading<'r, 's> {
    input: Input<'r>,
    dialect: Dialect,
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

    fn create(&mut self) -> Result<(), DumpError> {
        let mut word = self.token()?;
        while ["UNLOGGED", "TEMPORARY", "GLOBAL", "LOCAL"].iter().any(|known| word.is(known)) {
            word = self.token()?;
        }
        if !word.is("TABLE") {
            self.rest()?;
            return Ok(());
        }
        word = self.token()?;
        while ["IF", "NOT", "EXISTS"].iter().any(|known| word.is(known)) {
            word = self.token()?;
        }
        let line = self.input.line;
        let (name, next) = self.name(word)?;
        if next != Token::Symbol(b'(') {
            self.rest()?;
            return self.note(line, format!("the table {name} is created in a way that is not understood"));
        }
        let mut items = vec![Vec::new()];
        let mut depth = 0;
        let mut tokens = 0;
        loop {
            let token = self.token()?;
            match token {
                Token::End => return Err(self.input.wrong("the end of the dump", "')'")),
                Token::Symbol(b')') if depth == 0 => break,
                Token::Symbol(b',') if depth == 0 => {
                    items.push(Vec::new());
                    continue;
                }
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth -= 1,
                _ => {}
            }
            tokens += 1;
            if tokens > MAX_TOKENS {
                return Err(self.input.wrong("a table's definition that goes on", "its end"));
            }
            if let Some(item) = items.last_mut() {
                item.push(token);
            }
        }
        let options = self.rest()?;
        let mysql = self.dialect.mysql;
        let table = DumpTable::new(name, &items, &options, mysql, self.config);
        let mut table = table.map_err(|found| self.input.wrong(found, "the definition of a table"))?;
        table.watched &= table.name.schema == self.wanted;
        let inherits = options.iter().skip_while(|token| !token.is("INHERITS")).skip(2);
        let parents: Vec<&Token> = inherits.take_while(|token| **token != Token::Symbol(b')')).collect();
        for parent in parents.split(|token| **token == Token::Symbol(b',')) {
            let schema = parent.first().and_then(|token| token.name()).filter(|_| parent.len() == 3);
            let name = parent.last().and_then(|token| token.name());
            let schema = schema.or(self.schema.as_deref()).unwrap_or(&self.wanted);
            let known = self
                .tables
                .iter()
                .find(|known| known.name.schema == schema && Some(known.name.table.as_str()) == name);
            if let Some(known) = known {
                table.inherit(known, self.config);
            }
        }
        match self.tables.iter_mut().find(|known| known.name == table.name) {
            Some(known) if known.rows == 0 => *known = table,
            Some(_) => return Err(self.input.wrong(format!("the table {} again", table.name), "each once")),
            None => self.tables.push(table),
        }
        Ok(())
    }

    fn alter(&mut self, line: u64) -> Result<(), DumpError> {
        if !self.token()?.is("TABLE") {
            self.rest()?;
            return Ok(());
        }
        let mut word = self.token()?;
        while ["ONLY", "IF", "EXISTS"].iter().any(|known| word.is(known)) {
            word = self.token()?;
        }
        let (name, next) = self.name(word)?;
        let mut rest = vec![next];
        if rest != [Token::Symbol(b';')] {
            rest.extend(self.rest()?);
        }
        let Some(table) = self.tables.iter_mut().find(|table| table.name == name) else { return Ok(()) };
        for item in rest.split(|token| *token == Token::Symbol(b',')) {
            // A comma within brackets splits a key's columns, too: it is taken as a whole below.
            let adds_column = item.first().is_some_and(|word| word.is("ADD"))
                && item.get(1).is_some_and(|word| word.is("COLUMN") || matches!(word, Token::Name(_)));
            if adds_column || item.first().is_some_and(|word| word.is("CHANGE") || word.is("MODIFY")) {
                let text =
                    format!("ALTER TABLE {name} changes columns, which is not understood and was left out");
                return self.note(line, text);
            }
        }
        if rest.first().is_some_and(|word| word.is("ADD")) {
            let mut depth = 0;
            let each = rest.split(|token| {
                depth += i32::from(*token == Token::Symbol(b'(')) - i32::from(*token == Token::Symbol(b')'));
                depth == 0 && *token == Token::Symbol(b',')
            });
            for item in each {
                table.constrain(item);
            }
        }
        Ok(())
    }

    /// What stood for a view is dropped again before the view is created.
    fn drop(&mut self, line: u64) -> Result<(), DumpError> {
        let rest = self.rest()?;
        if !rest.first().is_some_and(|word| word.is("TABLE")) {
            return Ok(());
        }
        let Some(name) = rest.iter().rev().find_map(Token::name).map(str::to_owned) else { return Ok(()) };
        let dropped = |table: &DumpTable| {
            table.name.table == name && table.name.schema == self.schema.as_deref().unwrap_or(&self.wanted)
        };
        let Some(place) = self.tables.iter().position(dropped) else { return Ok(()) };
        let rows = self.tables.get(place).map_or(0, |table| table.rows);
        if rows > 0 {
            return self.note(
                line,
                format!("the table {name} is dropped after its rows, which were read all the same"),
            );
        }
        // Places of others must stay.
        if let Some(table) = self.tables.get_mut(place) {
            table.watched = false;
            table.columns.clear();
        }
        Ok(())
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
            // `@OLD_SQL_MODE=@@SQL_MODE` keeps what was.
            let kept = at > 0 && rest.get(at - 1) == Some(&Token::Symbol(b'@'));
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
                if value.to_ascii_uppercase().contains("ANSI") {
                    return Err(self.input.wrong("a dump in the mode ANSI", "one without --compatible"));
                }
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

    fn insert(&mut self) -> Result<(), DumpError> {
        let mut word = self.token()?;
        while ["INTO", "IGNORE", "DELAYED", "LOW_PRIORITY", "HIGH_PRIORITY"]
            .iter()
            .any(|known| word.is(known))
        {
            word = self.token()?;
        }
        let (name, mut next) = self.name(word)?;
        let mut listed = None;
        if next == Token::Symbol(b'(') {
            listed = Some(self.listed()?);
            next = self.token()?;
        }
        while ["OVERRIDING", "SYSTEM", "USER", "VALUE"].iter().any(|known| next.is(known)) {
            next = self.token()?;
        }
        if next.is("DEFAULT") {
            // Of a table without columns.
            self.of_rows(&name, Some(Vec::new()))?;
            self.rest()?;
            return Ok(());
        }
        if !next.is("VALUES") {
            return Err(self.input.wrong(next.told(), "VALUES"));
        }
        let table = self.of_rows(&name, listed)?;
        loop {
            self.tuple(table)?;
            match self.token()? {
                Token::Symbol(b',') => {}
                Token::Symbol(b';') => return Ok(()),
                word if word.is("ON") => {
                    self.rest()?;
                    return Ok(());
                }
                other => return Err(self.input.wrong(other.told(), "',' or ';'")),
            }
        }
    }

    /// Names up to the closing bracket.
    fn listed(&mut self) -> Result<Vec<String>, DumpError> {
        let mut names = Vec::new();
        loop {
            let token = self.token()?;
            let Some(name) = token.name() else {
                return Err(self.input.wrong(token.told(), "a column's name"));
            };
            names.push(name.to_owned());
            match self.token()? {
                Token::Symbol(b',') => {}
                Token::Symbol(b')') => return Ok(names),
                other => return Err(self.input.wrong(other.told(), "',' or ')'")),
            }
        }
    }

    /// The table whose rows follow, with the order of its columns.
    fn of_rows(&mut self, name: &Name, listed: Option<Vec<String>>) -> Result<usize, DumpError> {
        let Some(place) = self.tables.iter().position(|table| table.name == *name) else {
            let expected = "CREATE TABLE before it: a dump without --no-create-info or --data-only";
            return Err(self.input.wrong(format!("rows of the table {name}"), expected));
        };
        let Some(table) = self.tables.get_mut(place) else { return Ok(place) };
        let layout: Vec<usize> = match &listed {
            None => (0..table.columns.len()).collect(),
            Some(names) => {
                let mut layout = Vec::with_capacity(names.len());
                for name in names {
                    match table.place(name) {
                        Some(place) if !layout.contains(&place) => layout.push(place),
                        _ => {
                            let found = format!("the column {name}");
                            return Err(self
                                .input
                                .wrong(found, format!("each column of {} once", table.name)));
                        }
                    }
                }
                layout
            }
        };
        if let Some(missing) = (0..table.columns.len())
            .filter(|place| !layout.contains(place))
            .find_map(|place| table.columns.get(place).filter(|column| !column.column.generated))
        {
            let found = format!("rows without the column {}", missing.column.name);
            return Err(self.input.wrong(found, "all that the database does not compute"));
        }
        match &table.layout {
            Some(known) if *known != layout => {
                Err(self.input.wrong("columns in another order", "that of the rows before"))
            }
            Some(_) => Ok(place),
            None => {
                table.layout = Some(layout);
                Ok(place)
            }
        }
    }

    fn tuple(&mut self, table: usize) -> Result<(), DumpError> {
        self.expect(b'(')?;
        let columns = self.tables.get(table).and_then(|table| table.layout.as_ref()).map_or(0, Vec::len);
        let mut literals = Vec::with_capacity(columns);
        loop {
            literals.push(self.literal()?);
            match self.token()? {
                Token::Symbol(b',') if literals.len() < columns => {}
                Token::Symbol(b')') if literals.len() == columns => return self.row(table, literals),
                other => {
                    let found = format!("{} after {} values", other.told(), literals.len());
                    return Err(self.input.wrong(found, format!("{columns} values")));
                }
            }
        }
    }

    fn literal(&mut self) -> Result<Literal, DumpError> {
        let mut token = self.token()?;
        let mut minus = false;
        if matches!(token, Token::Symbol(b'-' | b'+')) {
            minus = token == Token::Symbol(b'-');
            token = self.token()?;
        }
        Ok(match token {
            Token::Text(text) => Literal::Text(text),
            Token::Bytes(bytes) => Literal::Bytes(bytes),
            Token::Bits(bits) => Literal::Bits(bits),
            word if word.is("NULL") => Literal::Null,
            Token::Word(word) if word.starts_with('_') && self.dialect.mysql => match self.token()? {
                Token::Text(bytes) | Token::Bytes(bytes) => Literal::Bytes(bytes),
                other => return Err(self.input.wrong(other.told(), "a text")),
            },
            Token::Word(word) if minus => Literal::Bare(format!("-{word}").into_bytes()),
            Token::Word(word) => Literal::Bare(word.into_bytes()),
            // .5
            Token::Symbol(b'.') => match self.token()? {
                Token::Word(word) => {
                    Literal::Bare(format!("{}.{word}", if minus { "-" } else { "" }).into_bytes())
                }
                other => return Err(self.input.wrong(other.told(), "digits")),
            },
            other => return Err(self.input.wrong(other.told(), "a value")),
        })
    }

    fn row(&mut self, place: usize, literals: Vec<Literal>) -> Result<(), DumpError> {
        let Some(table) = self.tables.get_mut(place) else { return Ok(()) };
        table.rows += 1;
        if !table.watched {
            return Ok(());
        }
        let Some(layout) = &table.layout else { return Ok(()) };
        let mut cells: Vec<(usize, Cell)> = Vec::with_capacity(layout.len());
        for (place, literal) in layout.iter().zip(literals) {
            let Some(column) = table.columns.get(*place).filter(|column| !column.left_out()) else {
                continue;
            };
            let made = match (column.form, &literal) {
                (Form::Plain, Literal::Text(_)) | (Form::Plain, Literal::Bytes(_)) => match literal {
                    Literal::Text(bytes) | Literal::Bytes(bytes) => Ok(Cell::Value(bytes)),
                    _ => Ok(Cell::Null),
                },
                _ => cell(column.form, &column.column.kind, literal),
            };
            let mut made = made.map_err(|expected| {
                let found = format!("a value of the column {} of {}", column.column.name, table.name);
                self.input.wrong(found, expected)
            })?;
            if column.column.masked {
                made = self.mask.mask(&made);
            }
            cells.push((*place, made));
        }
        cells.sort_by_key(|(place, _)| *place);
        let cells: Vec<Cell> = cells.into_iter().map(|(_, cell)| cell).collect();
        self.sink.row(place, &cells)
    }

    fn copy(&mut self) -> Result<(), DumpError> {
        let word = self.token()?;
        let (name, mut next) = self.name(word)?;
        let mut listed = None;
        if next == Token::Symbol(b'(') {
            listed = Some(self.listed()?);
            next = self.token()?;
        }
        let rest = self.rest()?;
        if !next.is("FROM") || rest.len() != 1 || !rest.first().is_some_and(|word| word.is("stdin")) {
            return Err(self.input.wrong("COPY of another kind", "COPY … FROM stdin;"));
        }
        // What is left of the line.
        self.input.line()?;
        let table = self.of_rows(&name, listed)?;
        let columns = self.tables.get(table).and_then(|table| table.layout.as_ref()).map_or(0, Vec::len);
        loop {
            let Some(line) = self.input.line()? else {
                return Err(self.input.wrong("the end of the dump", "\\."));
            };
            if line == b"\\." {
                return Ok(());
            }
            let mut literals = Vec::with_capacity(columns);
            if columns > 0 || !line.is_empty() {
                literals.extend(line.split(|byte| *byte == b'\t').map(copied));
            }
            if literals.len() != columns {
                let found = format!("a line of {} values", literals.len());
                return Err(self.input.wrong(found, format!("{columns} values")));
            }
            self.row(table, literals)?;
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

/// A value of COPY.
fn copied(field: &[u8]) -> Literal {
    if field == b"\\N" {
        return Literal::Null;
    }
    if !field.contains(&b'\\') {
        return Literal::Text(field.to_vec());
    }
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'v') => out.push(11),
            Some(digit @ b'0'..=b'7') => {
                let mut number = u32::from(digit - b'0');
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(|byte| (b'0'..=b'7').contains(byte)) else { break };
                    number = number * 8 + u32::from(digit - b'0');
                }
                out.push(u8::try_from(number & 0xff).unwrap_or(0));
            }
            Some(b'x') if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => {
                let mut number = 0;
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(u8::is_ascii_hexdigit) else { break };
                    number = number * 16 + char::from(digit).to_digit(16).unwrap_or(0);
                }
                out.push(u8::try_from(number).unwrap_or(0));
            }
            Some(other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
    Literal::Text(out)
}

/// Statements that change no rows, or only settings.
const HARMLESS: &[&str] = &[
    "LOCK", "UNLOCK", "START", "BEGIN", "COMMIT", "FLUSH", "ANALYZE", "OPTIMIZE", "SELECT", "COMMENT",
    "GRANT", "REVOKE", "REFRESH", "CHANGE", "SECURITY", "RESET", "DISCARD", "VACUUM", "STOP", "PURGE",
];
