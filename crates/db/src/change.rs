//! What a change stream says.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use attestry_event::Nanos;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::table::{Key, Name, Table};

/// A place in a change stream. Its text is what is stored.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Position {
    /// A binary log and the byte after an event: `mariadb-bin.000003:4711`.
    Binlog {
        /// The file.
        file: String,
        /// The byte in it.
        at: u64,
    },
    /// A PostgreSQL's log sequence number: `0/16B3740`.
    Wal(u64),
}

impl PartialOrd for Position {
    /// Binary logs of one server are numbered: `mariadb-bin.000009` comes before `mariadb-bin.000010`, and `.999999` before `.1000000`.
    fn partial_cmp(&self, other: &Position) -> Option<Ordering> {
        match (self, other) {
            (Position::Wal(one), Position::Wal(two)) => Some(one.cmp(two)),
            (Position::Binlog { file, at }, Position::Binlog { file: other, at: other_at }) => {
                Some(number_of(file)?.cmp(&number_of(other)?).then(at.cmp(other_at)))
            }
            _ => None,
        }
    }
}

fn number_of(file: &str) -> Option<u64> {
    file.rsplit_once('.')?.1.parse().ok()
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Binlog { file, at } => write!(f, "{file}:{at}"),
            Position::Wal(number) => write!(f, "{:X}/{:X}", number >> 32, number & 0xffff_ffff),
        }
    }
}

/// A text is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}, expected a position such as mariadb-bin.000003:4711 or 0/16B3740")]
pub struct PositionError(String);

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Position, PositionError> {
        let wrong = || PositionError(text.to_owned());
        if let Some((file, at)) = text.rsplit_once(':') {
            let at = at.parse().map_err(|_| wrong())?;
            let position = Position::Binlog { file: file.to_owned(), at };
            return number_of(file).map(|_| position).ok_or_else(wrong);
        }
        let (high, low) = text.split_once('/').ok_or_else(wrong)?;
        let part = |text: &str| u32::from_str_radix(text, 16).map_err(|_| wrong());
        Ok(Position::Wal(u64::from(part(high)?) << 32 | u64::from(part(low)?)))
    }
}

impl TryFrom<String> for Position {
    type Error = PositionError;

    fn try_from(text: String) -> Result<Position, PositionError> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> String {
        position.to_string()
    }
}

/// A cell of a new row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// As it is now. Masked columns come masked.
    Cell(Cell),
    /// Not sent, because it did not change (PostgreSQL's large values): as it was.
    AsBefore,
}

/// What happened to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// There is a new one.
    Insert {
        /// It.
        new: Vec<Sent>,
    },
    /// One is different.
    Update {
        /// Its key before.
        key: Key,
        /// All of it before, where the stream says so.
        before: Option<Vec<Cell>>,
        /// All of it now.
        new: Vec<Sent>,
    },
    /// One is gone.
    Delete {
        /// Its key.
        key: Key,
        /// All of it before, where the stream says so.
        before: Option<Vec<Cell>>,
    },
    /// All are gone.
    Truncate,
}

/// A change of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table, with the columns that the rows of this change have.
    pub table: Arc<Table>,
    /// What happened.
    pub op: Op,
}

/// Changes that were committed together, or a part of them: what one transaction changed may be more than fits in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// What the database calls it: a GTID (`0-1-42`), or PostgreSQL's number.
    pub id: String,
    /// When it was committed, as the server says: in microseconds at best.
    pub time: Nanos,
    /// Whose it was, where the server tells.
    pub account: Option<String>,
    /// The connection's number, where the server tells.
    pub connection: Option<String>,
    /// The application's own words: the comment of a statement, `application_name`.
    pub comment: Option<String>,
    /// A place in the stream after its beginning and not after its end: a view of the database that is as far as this has all of it, and one that is
    /// not has nothing. Every part has it.
    pub within: Position,
    /// The number of the first change within the transaction, from 0.
    pub first: u64,
    /// The changes, in order, of watched tables only.
    pub changes: Vec<Change>,
    /// Where the stream is after it, if this is the last part: only then it is committed, and the stream can be taken up from there.
    pub ends: Option<Position>,
}

/// How much of an application's own words is kept, in characters.
const WORDS_MAX: usize = 200;

impl Transaction {
    /// Whose it was: the account, or else what the application itself says: the name where it says `user=NAME`, or all of its words.
    pub fn who(&self) -> Option<String> {
        let said = || {
            let words = self.comment.as_deref()?.trim();
            Some(user(words).unwrap_or(words).chars().take(WORDS_MAX).collect())
        };
        self.account.clone().or_else(said)
    }
}

/// The name in `user=NAME`, which may be quoted and stand among other words (`app=till, user='ada'`).
fn user(words: &str) -> Option<&str> {
    let separates = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
    let name = words.split(separates).find_map(|word| word.strip_prefix("user="))?;
    Some(name.trim_matches(['\'', '"'])).filter(|name| !name.is_empty())
}

/// A transaction that XA has prepared and that is neither committed nor rolled back: the log has what it changed only there.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// What the server calls it: `X'71',X'',1`.
    pub number: String,
    /// A place in the stream before it.
    pub since: Position,
    /// The tables that it changed, watched or not.
    pub tables: BTreeSet<Name>,
}

/// What a stream gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A transaction, or a part.
    Transaction(Transaction),
    /// A watched table, or one that would be, was created, altered or dropped. What follows of it may have other columns.
    Schema {
        /// After it.
        position: Position,
        /// When.
        time: Nanos,
        /// Which tables, as far as the server tells; none: perhaps any.
        tables: Vec<Name>,
        /// The statement, where the server tells.
        statement: Option<String>,
        /// Whose it was, where the server tells.
        account: Option<String>,
    },
    /// What is prepared, which whoever takes the stream up again has to know.
    Prepared {
        /// At this place.
        position: Position,
        /// All of it.
        prepared: Vec<Prepared>,
    },
    /// Something was committed of which it is not known what it changed. The stream goes on after it.
    Gap {
        /// After it.
        position: Position,
        /// When.
        time: Nanos,
        /// What it is, and why it is not known.
        reason: String,
    },
    /// Everything up to here was given, and nothing more is there now.
    Reached(Position),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_texts_that_sort() {
        let sorted = [
            "mariadb-bin.000009:900",
            "mariadb-bin.000010:4",
            "mariadb-bin.000010:40",
            "mariadb-bin.1000000:4",
        ];
        let wal = ["0/0", "0/16B3740", "0/FFFFFFFF", "1/0", "FFFFFFFF/FFFFFFFF"];
        for texts in [&sorted[..], &wal] {
            let parsed: Vec<Position> = texts.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(parsed.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
            assert!(parsed.windows(2).all(|two| two[0] < two[1]), "{texts:?}");
        }
        for wrong in ["", "4711", "a:b", "nonumber:4", "0/", "0/xyz", "1/100000000"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
        assert_eq!("0/1".parse::<Position>().unwrap().partial_cmp(&"a.1:1".parse().unwrap()), None);
    }

    #[test]
    fn names_in_the_words_of_an_application() {
        for (words, expected) in [
            ("user=ada", Some("ada")),
            ("app=till, user='ada'; shop=7", Some("ada")),
            ("user=", None),
            ("superuser=no", None),
            ("the nightly run", None),
        ] {
            assert_eq!(user(words), expected, "{words}");
        }
    }
}
