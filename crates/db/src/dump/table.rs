//! A table as a dump creates it.

use super::token::Token;
use super::value::Form;
use crate::config::{Identify, WatchConfig};
use crate::table::{Column, Kind, Name, Table};

/// A table of a dump, and how its rows are read.
#[derive(Clone, Debug)]
pub(super) struct DumpTable {
    pub(super) name: Name,
    pub(super) columns: Vec<DumpColumn>,
    primary: Option<Vec<String>>,
    uniques: Vec<Vec<String>>,
    /// Whether its rows are wanted.
    pub(super) watched: bool,
    pub(super) rows: u64,
    /// The places of the columns that its rows have, in the order in which they stand in the dump.
    pub(super) layout: Option<Vec<usize>>,
}

#[derive(Clone, Debug)]
pub(super) struct DumpColumn {
    pub(super) column: Column,
    pub(super) form: Form,
    mysql: bool,
}

impl DumpColumn {
    /// Whether a dump never has values of it: with INSERT, `pg_dump` writes DEFAULT for what the database computes. MariaDB's dumps have such values.
    pub(super) fn left_out(&self) -> bool {
        self.column.generated && !self.mysql
    }
}

impl DumpTable {
    /// A table of what stands between the brackets of `CREATE TABLE`, split at its commas, and of what follows them. Or what is not understood.
    pub(super) fn new(
        name: Name,
        items: &[Vec<Token>],
        options: &[Token],
        mysql: bool,
        config: &WatchConfig,
    ) -> Result<DumpTable, String> {
        let charset = default_charset(options);
        let mut table = DumpTable {
            watched: config.watches(&name.table),
            name,
            columns: Vec::new(),
            primary: None,
            uniques: Vec::new(),
            rows: 0,
            layout: None,
        };
        for item in items {
            let Some(first) = item.first() else { continue };
            if is_constraint(item, mysql) {
                table.constrain(item);
                continue;
            }
            let name = first.name().ok_or_else(|| format!("{}, where a column should be", first.told()))?;
            let mut column = if mysql {
                mysql_column(name, item, charset.as_deref())
            } else {
                postgres_column(name, item)
            };
            column.column.masked = config.masks(&table.name.table, name);
            if has(item, &["PRIMARY", "KEY"]) {
                table.primary = Some(vec![name.to_owned()]);
            }
            table.columns.push(column);
        }
        Ok(table)
    }

    /// Puts the columns of a table that it inherits from before its own.
    pub(super) fn inherit(&mut self, parent: &DumpTable, config: &WatchConfig) {
        let own = std::mem::take(&mut self.columns);
        let (inherited, rest): (Vec<DumpColumn>, Vec<DumpColumn>) =
            own.into_iter().partition(|column| parent.place(&column.column.name).is_some());
        self.columns.extend(parent.columns.iter().cloned());
        for column in inherited {
            if let Some(known) = self.columns.iter_mut().find(|known| known.column.name == column.column.name)
            {
                *known = column;
            }
        }
        self.columns.extend(rest);
        for column in &mut self.columns {
            column.column.masked = config.masks(&self.name.table, &column.column.name);
        }
    }

    /// Takes up a key: `PRIMARY KEY (…)`, `CONSTRAINT name UNIQUE (…)`. Everything else that begins so has nothing to do with rows.
    pub(super) fn constrain(&mut self, item: &[Token]) {
        let words = item.iter().take_while(|token| **token != Token::Symbol(b'('));
        let (primary, unique) = words.fold((false, false), |(primary, unique), token| {
            (primary || token.is("PRIMARY"), unique || token.is("UNIQUE"))
        });
        if !primary && !unique {
            return;
        }
        let open = item.iter().position(|token| *token == Token::Symbol(b'(')).unwrap_or(item.len());
        let mut names = Vec::new();
        let mut depth = 0;
        let mut fresh = false;
        for token in item.iter().skip(open) {
            match token {
                Token::Symbol(b'(') => {
                    depth += 1;
                    fresh = depth == 1;
                }
                Token::Symbol(b')') => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                Token::Symbol(b',') => fresh = depth == 1,
                token if fresh => {
                    names.extend(token.name().map(str::to_owned));
                    fresh = false;
                }
                _ => {}
            }
        }
        // A key over an expression has no column's name.
        if names.is_empty() || names.iter().any(|name| self.place(name).is_none() && !self.columns.is_empty())
        {
            return;
        }
        if primary {
            self.primary = Some(names);
        } else if !item.iter().any(|token| token.is("WHERE") || token.is("NULLS")) {
            self.uniques.push(names);
        }
    }

    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.column.name == name)
    }

    /// The table with the columns that the dump has values of, and its key; and the columns that it has no values of, because the database computes them.
    pub(super) fn finished(&self, config: &WatchConfig) -> (Table, Vec<Column>) {
        let given = |place: usize, column: &DumpColumn| match &self.layout {
            Some(layout) => layout.contains(&place) && !column.left_out(),
            None => !column.column.generated,
        };
        let (mut columns, mut missing) = (Vec::new(), Vec::new());
        for (place, column) in self.columns.iter().enumerate() {
            let to = if given(place, column) { &mut columns } else { &mut missing };
            to.push(column.column.clone());
        }
        for name in self.primary.iter().flatten() {
            for column in columns.iter_mut().filter(|column| column.name == *name) {
                column.nullable = false;
            }
        }
        let places = |names: &[String], nullable: bool| -> Option<Vec<usize>> {
            let place = |name: &String| {
                let found = columns.iter().position(|column| column.name == *name)?;
                (nullable || !columns.get(found)?.nullable).then_some(found)
            };
            names.iter().map(place).collect()
        };
        let declared = self.primary.iter().chain(&self.uniques).find_map(|names| places(names, false));
        let key = declared.or_else(|| match config.identifies(&self.name.table)? {
            Identify::Columns(names) => places(names, true),
        });
        (Table { name: self.name.clone(), key: key.unwrap_or_default(), columns }, missing)
    }
}

/// Whether it is a key or another condition rather than a column: by words that are no name without quotes there.
fn is_constraint(item: &[Token], mysql: bool) -> bool {
    let first = |words: &[&str]| words.iter().any(|word| item.first().is_some_and(|token| token.is(word)));
    let then = |words: &[&str]| words.iter().any(|word| item.get(1).is_some_and(|token| token.is(word)));
    if first(&["PRIMARY", "UNIQUE", "CONSTRAINT", "FOREIGN", "CHECK", "LIKE"]) {
        return true;
    }
    mysql
        && (first(&["KEY", "INDEX", "FULLTEXT", "SPATIAL"])
            || first(&["PERIOD"]) && then(&["FOR"])
            || first(&["VECTOR"]) && then(&["KEY", "INDEX"]))
}

/// The words that stand in no brackets.
fn outside(item: &[Token]) -> impl Iterator<Item = &Token> {
    let mut depth = 0;
    item.iter().filter(move |token| {
        let at = depth;
        depth += i32::from(**token == Token::Symbol(b'(')) - i32::from(**token == Token::Symbol(b')'));
        at == 0
    })
}

fn has(item: &[Token], words: &[&str]) -> bool {
    item.windows(words.len()).any(|window| window.iter().zip(words).all(|(token, word)| token.is(word)))
}

/// The character set of `… DEFAULT CHARSET=latin1 COLLATE=latin1_bin`.
fn default_charset(options: &[Token]) -> Option<String> {
    let at = options.iter().position(|token| token.is("CHARSET"))?;
    options.get(at + 1..)?.iter().find_map(Token::name).map(str::to_owned)
}

/// The type of a column as it is written, up to the first of these words.
fn sql_type(item: &[Token], ends: &[&str]) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for token in item.iter().skip(1) {
        if depth == 0 && ends.iter().any(|end| token.is(end)) {
            break;
        }
        match token {
            Token::Word(word) | Token::Name(word) => {
                if out.ends_with(|last: char| last.is_alphanumeric() || last == ')' || last == '_') {
                    out.push(' ');
                }
                out.push_str(word);
            }
            Token::Text(text) => out.push_str(&format!("'{}'", String::from_utf8_lossy(text))),
            Token::Symbol(byte) => {
                depth += i32::from(*byte == b'(') - i32::from(*byte == b')');
                out.push(char::from(*byte));
            }
            _ => {}
        }
    }
    out
}

fn mysql_column(name: &str, item: &[Token], default: Option<&str>) -> DumpColumn {
    let ends = [
        "NOT",
        "NULL",
        "DEFAULT",
        "AUTO_INCREMENT",
        "COMMENT",
        "GENERATED",
        "AS",
        "COLLATE",
        "CHARACTER",
        "CHARSET",
        "ON",
        "PRIMARY",
        "UNIQUE",
        "KEY",
        "CHECK",
        "VIRTUAL",
        "STORED",
        "PERSISTENT",
        "INVISIBLE",
        "VISIBLE",
        "SRID",
        "REF_SYSTEM_ID",
        "WITHOUT",
        "WITH",
        "COLUMN_FORMAT",
        "STORAGE",
        "REFERENCES",
        "COMPRESSED",
    ];
    let sql_type = sql_type(item, &ends).to_ascii_lowercase();
    let base = sql_type.split(|char: char| !char.is_ascii_alphanumeric()).next().unwrap_or_default();
    let named = |word: &str| {
        let at = item.iter().position(|token| token.is(word))?;
        item.get(at + 1)?.name().map(str::to_ascii_lowercase)
    };
    let at_set = item
        .windows(2)
        .position(|two| two.iter().zip(["CHARACTER", "SET"]).all(|(token, word)| token.is(word)));
    let set = at_set.and_then(|at| item.get(at + 2)).and_then(Token::name).map(str::to_ascii_lowercase);
    let collated = named("COLLATE").and_then(|collation| collation.split('_').next().map(str::to_owned));
    let set = set
        .or(collated)
        .or_else(|| default.map(str::to_ascii_lowercase))
        .unwrap_or_else(|| "utf8mb4".to_owned());
    let json = item.iter().any(|token| token.is("json_valid"));
    let text = || match set.as_str() {
        "utf8mb4" | "utf8" | "utf8mb3" | "ascii" if json => Kind::Json,
        "utf8mb4" | "utf8" | "utf8mb3" | "ascii" => Kind::Text,
        "binary" => Kind::Bytes,
        other => Kind::TextIn(other.to_owned()),
    };
    let kind = match base {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint"
            if sql_type.contains("unsigned") =>
        {
            Kind::Unsigned
        }
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => Kind::Int,
        "bit" | "year" => Kind::Unsigned,
        "decimal" | "numeric" => Kind::Decimal,
        "float" => Kind::Float,
        "double" | "real" => Kind::Double,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "datetime" => Kind::DateTime,
        "timestamp" => Kind::Timestamp,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => text(),
        // Their labels are the table's, and UTF-8 everywhere.
        "enum" | "set" => Kind::Text,
        "json" => Kind::Json,
        "uuid" => Kind::Uuid,
        "inet6" | "inet4" => Kind::Other,
        _ => Kind::Bytes,
    };
    let form = match (&kind, set.as_str()) {
        _ if base == "bit" => Form::Bit,
        (Kind::Int | Kind::Unsigned | Kind::Decimal, _)
            if sql_type.contains("zerofill") || base == "year" =>
        {
            Form::Number
        }
        (Kind::TextIn(_), "latin1") => Form::Latin1,
        (Kind::TextIn(_), "ucs2" | "utf16") => Form::Utf16,
        (Kind::TextIn(_), "utf16le") => Form::Utf16Le,
        (Kind::TextIn(_), "utf32") => Form::Utf32,
        _ => Form::Plain,
    };
    let generated = has(item, &["GENERATED", "ALWAYS"]) || outside(item).any(|token| token.is("AS"));
    DumpColumn { mysql: true, ..column(name, kind, sql_type, !has(item, &["NOT", "NULL"]), generated, form) }
}

fn postgres_column(name: &str, item: &[Token]) -> DumpColumn {
    let ends = [
        "NOT",
        "NULL",
        "DEFAULT",
        "GENERATED",
        "COLLATE",
        "CONSTRAINT",
        "PRIMARY",
        "UNIQUE",
        "CHECK",
        "REFERENCES",
        "STORAGE",
        "COMPRESSION",
    ];
    let sql_type = sql_type(item, &ends);
    let lower = sql_type.to_ascii_lowercase();
    let base = lower.split('(').next().unwrap_or_default().trim();
    let zoned =
        lower.starts_with("timestamp") && lower.contains("with time zone") || lower.starts_with("tstz");
    let (kind, form) = match base {
        _ if zoned && !lower.ends_with("zone") => (Kind::Other, Form::ZonedWithin),
        _ if lower.ends_with(']') => (Kind::Other, Form::Plain),
        "smallint" | "integer" | "bigint" => (Kind::Int, Form::Plain),
        "oid" => (Kind::Unsigned, Form::Plain),
        "numeric" => (Kind::Decimal, Form::Plain),
        "real" => (Kind::Float, Form::Plain),
        "double precision" => (Kind::Double, Form::Plain),
        "boolean" => (Kind::Bool, Form::Bool),
        "text" | "character varying" | "character" | "name" | "char" | "bpchar" => (Kind::Text, Form::Plain),
        "bytea" => (Kind::Bytes, Form::Bytea),
        "date" => (Kind::Date, Form::Plain),
        "json" | "jsonb" => (Kind::Json, Form::Plain),
        "uuid" => (Kind::Uuid, Form::Plain),
        "bit" | "bit varying" => (Kind::Other, Form::Digits),
        _ if zoned => (Kind::Timestamp, Form::Zoned),
        _ if lower.starts_with("timestamp") => (Kind::DateTime, Form::Plain),
        _ if lower.starts_with("time") && lower.ends_with("without time zone") => (Kind::Time, Form::Plain),
        _ => (Kind::Other, Form::Plain),
    };
    // GENERATED … AS IDENTITY is a default.
    let generated = has(item, &["GENERATED", "ALWAYS", "AS"]) && !has(item, &["AS", "IDENTITY"]);
    column(name, kind, sql_type, !has(item, &["NOT", "NULL"]), generated, form)
}

fn column(
    name: &str,
    kind: Kind,
    sql_type: String,
    nullable: bool,
    generated: bool,
    form: Form,
) -> DumpColumn {
    let name = name.to_owned();
    let column = Column { name, kind, sql_type, nullable, generated, binary_order: false, masked: false };
    DumpColumn { column, form, mysql: false }
}
