//! What a statement of the binary log is about: control of a transaction, a table's form, or neither. No value of it is kept.

use crate::table::Name;

/// The longest comment that is kept, in bytes.
const COMMENT_BYTES: usize = 256;

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    XaStart,
    /// The number as it is written: `X'71',X'',1`.
    XaCommit(String),
    XaRollback(String),
    /// All rows of tables are gone.
    Truncate(Vec<Name>),
    /// Tables were made, altered, renamed or dropped.
    Tables(Vec<Name>),
    /// A whole database was dropped.
    Database(String),
    /// Changes of rows that are logged as the statement that made them: it cannot be told which rows.
    Rows,
    /// Nothing that concerns tables: accounts, views, triggers, temporary tables, …
    Other,
}

impl Statement {
    /// What a statement does, given in the database `schema`.
    pub(super) fn of(sql: &str, schema: &str) -> Statement {
        let tokens = tokens(sql);
        let mut words = Words { tokens: &tokens, schema };
        words.statement().unwrap_or(Statement::Other)
    }
}

/// The application's own comment in a statement: the first that is none for the server (`/*!`, `/*+`). The rest of the statement is not kept.
pub(super) fn comment(sql: &str) -> Option<String> {
    let mut found = None;
    scan(sql, |piece| {
        if let Piece::Comment(text) = piece
            && found.is_none()
            && !text.trim().is_empty()
        {
            let text = text.trim();
            let end = (0..=text.len().min(COMMENT_BYTES)).rev().find(|at| text.is_char_boundary(*at));
            found = text.get(..end.unwrap_or(0)).map(str::to_owned);
        }
    });
    found
}

/// Numbers with more digits than the length of a column's type may be values.
const DIGITS_OF_A_TYPE: usize = 5;

/// A statement without its comments and without what may be a value: in a watch that masks columns, one of those may stand in a DEFAULT, a CHECK or a WHERE.
pub(crate) fn without_values(sql: &str) -> String {
    let mut out = String::new();
    let mut apart = false;
    scan(sql, |piece| {
        let (text, sticks_before, sticks_after) = match piece {
            Piece::Comment(_) => return,
            Piece::Quoted(name) => (format!("`{}`", name.replace('`', "``")), false, false),
            Piece::Word(word)
                if word.starts_with(|c: char| c.is_ascii_digit()) && word.len() > DIGITS_OF_A_TYPE =>
            {
                ("…".to_owned(), false, false)
            }
            Piece::Word(word) => (word.to_owned(), false, false),
            Piece::Literal => ("'…'".to_owned(), false, false),
            Piece::Sign(sign) => {
                (sign.to_string(), matches!(sign, ',' | ')' | ';' | '.'), matches!(sign, '(' | '.'))
            }
        };
        if apart && !sticks_before {
            out.push(' ');
        }
        out.push_str(&text);
        apart = !sticks_after;
    });
    out
}

enum Piece<'a> {
    Comment(&'a str),
    /// Between backquotes.
    Quoted(String),
    Word(&'a str),
    /// Anything between quotes.
    Literal,
    Sign(char),
}

/// Cuts a statement into pieces.
fn scan<'a>(sql: &'a str, mut each: impl FnMut(Piece<'a>)) {
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("/*") {
            if comment.starts_with(['!', 'M']) && !comment.starts_with("M ") {
                // What is in it is part of the statement; its end is skipped below.
                rest =
                    comment.trim_start_matches(['!', 'M']).trim_start_matches(|c: char| c.is_ascii_digit());
                continue;
            }
            let (text, after) = comment.split_once("*/").unwrap_or((comment, ""));
            if !comment.starts_with('+') {
                each(Piece::Comment(text));
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix("*/") {
            rest = after;
        } else if rest.starts_with('#') || rest.starts_with("-- ") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if matches!(first, '\'' | '"') {
            rest = after_quoted(rest, first, true).1;
            each(Piece::Literal);
        } else if first == '`' {
            let (text, after) = after_quoted(rest, first, false);
            each(Piece::Quoted(text));
            rest = after;
        } else if first.is_alphanumeric() || matches!(first, '_' | '$' | '@') {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '@')));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            each(Piece::Word(word));
            rest = after;
        } else {
            if !first.is_whitespace() {
                each(Piece::Sign(first));
            }
            rest = rest.get(first.len_utf8()..).unwrap_or("");
        }
    }
}

/// What stands between quotes, and what comes after.
fn after_quoted(text: &str, quote: char, escapes: bool) -> (String, &str) {
    let mut inner = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
                inner.push(quote);
            } else {
                return (inner, text.get(at + 1..).unwrap_or(""));
            }
        } else {
            inner.push(c);
        }
    }
    (inner, "")
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Name(String),
    Word(String),
    Sign(char),
    Literal,
}

/// At most so many are looked at: what a statement does and to which tables stands at its beginning, but for a list of tables.
const TOKENS: usize = 20_000;

fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    scan(sql, |piece| {
        if tokens.len() < TOKENS {
            tokens.extend(match piece {
                Piece::Comment(_) => None,
                Piece::Quoted(name) => Some(Token::Name(name)),
                Piece::Word(word) => Some(Token::Word(word.to_owned())),
                Piece::Literal => Some(Token::Literal),
                Piece::Sign(sign) => Some(Token::Sign(sign)),
            });
        }
    });
    tokens
}

struct Words<'a> {
    tokens: &'a [Token],
    schema: &'a str,
}

impl Words<'_> {
    fn skip(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    /// Takes a word if it is the next.
    fn is(&mut self, expected: &str) -> bool {
        let found =
            matches!(self.tokens.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(expected));
        if found {
            self.skip();
        }
        found
    }

    fn sign(&mut self, expected: char) -> bool {
        let found = matches!(self.tokens.first(), Some(Token::Sign(sign)) if *sign == expected);
        if found {
            self.skip();
        }
        found
    }

    fn any(&mut self, expected: &[&str]) {
        while expected.iter().any(|word| self.is(word)) {}
    }

    fn part(&mut self) -> Option<String> {
        let part = match self.tokens.first()? {
            Token::Name(name) | Token::Word(name) => name.clone(),
            _ => return None,
        };
        self.skip();
        Some(part)
    }

    fn table(&mut self) -> Option<Name> {
        let first = self.part()?;
        if self.sign('.') {
            return Some(Name { schema: first, table: self.part()? });
        }
        Some(Name { schema: self.schema.to_owned(), table: first })
    }

    fn tables(&mut self) -> Option<Vec<Name>> {
        let mut found = vec![self.table()?];
        while self.sign(',') {
            found.push(self.table()?);
        }
        Some(found)
    }

    fn statement(&mut self) -> Option<Statement> {
        let Some(Token::Word(verb)) = self.tokens.first() else { return None };
        let verb = verb.to_ascii_uppercase();
        self.skip();
        Some(match verb.as_str() {
            "BEGIN" => Statement::Begin,
            "START" if self.is("TRANSACTION") => Statement::Begin,
            "COMMIT" => Statement::Commit,
            "ROLLBACK" if self.is("TO") => {
                self.any(&["SAVEPOINT"]);
                Statement::RollbackTo(self.part()?)
            }
            "ROLLBACK" => Statement::Rollback,
            "SAVEPOINT" => Statement::Savepoint(self.part()?),
            "TRUNCATE" => {
                self.any(&["TABLE"]);
                Statement::Truncate(self.tables()?)
            }
            "RENAME" => {
                if !(self.is("TABLE") || self.is("TABLES")) {
                    return None;
                }
                let mut found = Vec::new();
                loop {
                    self.any(&["IF", "EXISTS"]);
                    found.push(self.table()?);
                    while !self.is("TO") {
                        // WAIT 5, NOWAIT
                        self.tokens.first()?;
                        self.skip();
                    }
                    found.push(self.table()?);
                    if !self.sign(',') {
                        return Some(Statement::Tables(found));
                    }
                }
            }
            "DROP" => return self.drop(),
            "CREATE" => return self.create(),
            "ALTER" => return self.alter(),
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "CALL" => Statement::Rows,
            _ => Statement::Other,
        })
    }

    fn drop(&mut self) -> Option<Statement> {
        if self.is("DATABASE") || self.is("SCHEMA") {
            self.any(&["IF", "EXISTS"]);
            return Some(Statement::Database(self.part()?));
        }
        if self.is("TABLE") || self.is("TABLES") {
            self.any(&["IF", "EXISTS"]);
            return Some(Statement::Tables(self.tables()?));
        }
        self.index()
    }

    /// `INDEX name ON table`.
    fn index(&mut self) -> Option<Statement> {
        self.any(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
        if !self.is("INDEX") {
            return None;
        }
        while !self.is("ON") {
            self.tokens.first()?;
            self.skip();
        }
        Some(Statement::Tables(vec![self.table()?]))
    }

    fn create(&mut self) -> Option<Statement> {
        self.any(&["OR", "REPLACE"]);
        if self.is("TABLE") {
            self.any(&["IF", "NOT", "EXISTS"]);
            return Some(Statement::Tables(vec![self.table()?]));
        }
        self.index()
    }

    fn alter(&mut self) -> Option<Statement> {
        self.any(&["ONLINE", "OFFLINE", "IGNORE"]);
        if !self.is("TABLE") {
            return None;
        }
        self.any(&["IF", "EXISTS"]);
        let mut found = vec![self.table()?];
        while !self.tokens.is_empty() {
            if self.is("RENAME") {
                let of_a_part = ["COLUMN", "INDEX", "KEY"].iter().any(|word| self.is(word));
                if !of_a_part {
                    self.any(&["TO", "AS"]);
                    self.sign('=');
                    found.extend(self.table());
                }
            } else if self.is("WITH") {
                // EXCHANGE PARTITION p WITH TABLE t
                if self.is("TABLE") {
                    found.extend(self.table());
                }
            } else {
                self.skip();
            }
        }
        Some(Statement::Tables(found))
    }
}

/// The number of an XA transaction in `XA COMMIT X'71',X'',1`, and whether that is a commit.
pub(super) fn xa(sql: &str) -> Option<Statement> {
    let rest = sql.strip_prefix("XA ")?;
    if let Some(number) = rest.strip_prefix("COMMIT ") {
        return Some(Statement::XaCommit(number.trim().to_owned()));
    }
    if let Some(number) = rest.strip_prefix("ROLLBACK ") {
        return Some(Statement::XaRollback(number.trim().to_owned()));
    }
    // XA START, XA END.
    Some(if rest.starts_with("START ") { Statement::XaStart } else { Statement::Begin })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[(&str, &str)]) -> Vec<Name> {
        names.iter().map(|(s, t)| Name { schema: (*s).to_owned(), table: (*t).to_owned() }).collect()
    }

    #[test]
    fn values_are_left_out() {
        for (sql, expected) in [
            (
                "ALTER TABLE `odd``name` ADD pin VARCHAR(40) DEFAULT 'swordfish'",
                "ALTER TABLE `odd``name` ADD pin VARCHAR (40) DEFAULT '…'",
            ),
            (
                "CREATE TABLE x AS SELECT a.b FROM t /* swordfish */ WHERE s=\"it's \\\" swordfish\" AND n = 4711471147 -- swordfish",
                "CREATE TABLE x AS SELECT a.b FROM t WHERE s = '…' AND n = …",
            ),
            (
                "CREATE TABLE t (a DECIMAL(9, 2), b TEXT) /*!50100 COMMENT='swordfish' */",
                "CREATE TABLE t (a DECIMAL (9, 2), b TEXT) COMMENT = '…'",
            ),
            ("ALTER TABLE t COMMENT 'swordfish", "ALTER TABLE t COMMENT '…'"),
        ] {
            assert_eq!(without_values(sql), expected);
        }
    }

    #[test]
    fn which_tables_a_statement_is_about() {
        let here = |tables: &[&str]| names(&tables.iter().map(|t| ("d", *t)).collect::<Vec<_>>());
        for (sql, expected) in [
            ("BEGIN", Statement::Begin),
            ("COMMIT", Statement::Commit),
            ("SAVEPOINT `s``1`", Statement::Savepoint("s`1".into())),
            ("ROLLBACK TO `s`", Statement::RollbackTo("s".into())),
            ("ROLLBACK", Statement::Rollback),
            ("truncate xa", Statement::Truncate(here(&["xa"]))),
            ("TRUNCATE TABLE `o`.`a b`", Statement::Truncate(names(&[("o", "a b")]))),
            ("create or replace table t(id int primary key)", Statement::Tables(here(&["t"]))),
            ("CREATE TABLE IF NOT EXISTS `x`.t LIKE u", Statement::Tables(names(&[("x", "t")]))),
            ("CREATE TEMPORARY TABLE t (a INT)", Statement::Other),
            ("ALTER TABLE t ADD w INT COMMENT 'RENAME TO z'", Statement::Tables(here(&["t"]))),
            ("ALTER TABLE t RENAME COLUMN a TO b, RENAME TO u", Statement::Tables(here(&["t", "u"]))),
            ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", Statement::Tables(here(&["t", "u"]))),
            ("/*!40000 ALTER TABLE `t` DISABLE KEYS */", Statement::Tables(here(&["t"]))),
            (
                "DROP TABLE IF EXISTS `a`,`b`.`c` /* generated by server */",
                Statement::Tables(names(&[("d", "a"), ("b", "c")])),
            ),
            (
                "RENAME TABLE a TO b, c WAIT 5 TO e.f",
                Statement::Tables(names(&[("d", "a"), ("d", "b"), ("d", "c"), ("e", "f")])),
            ),
            ("DROP DATABASE IF EXISTS `d`", Statement::Database("d".into())),
            ("CREATE UNIQUE INDEX i ON t (a)", Statement::Tables(here(&["t"]))),
            ("DROP INDEX `i` ON `t`", Statement::Tables(here(&["t"]))),
            ("INSERT INTO t VALUES (1)", Statement::Rows),
            ("GRANT ALL ON *.* TO x", Statement::Other),
            ("CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW SET @a = 1", Statement::Other),
            ("", Statement::Other),
        ] {
            assert_eq!(Statement::of(sql, "d"), expected, "{sql}");
        }
        assert_eq!(xa("XA COMMIT X'71',X'',1"), Some(Statement::XaCommit("X'71',X'',1".into())));
        assert_eq!(xa("XA START X'71',X'',1"), Some(Statement::XaStart));
        assert_eq!(xa("XA END X'71',X'',1"), Some(Statement::Begin));
    }

    #[test]
    fn only_the_comment_is_taken() {
        for (sql, expected) in [
            ("insert into t values ('swordfish') /* user=joe */", Some("user=joe")),
            ("/* a */ update t set a = '/* b */' /* c */", Some("a")),
            ("update t set a = 'it''s /* b */', b = \"\\\" /* d */\"", None),
            ("insert /*! ignore */ into t values (1)", None),
            ("insert into t values (1) -- /* x */\n /* y */", Some("y")),
            ("select '", None),
        ] {
            assert_eq!(comment(sql).as_deref(), expected, "{sql}");
        }
        let long = format!("/*{}*/", "\u{e9}".repeat(500));
        assert_eq!(comment(&long).unwrap().len(), 256);
    }
}
