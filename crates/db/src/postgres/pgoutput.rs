//! The messages of `pgoutput`, protocol version 1 (PostgreSQL's documentation, section 55.9, "Logical Replication Message Formats").
//!
//! Each begins with a letter; numbers are big-endian, strings end with a zero byte. Values are texts: `t` with a length, `n` for NULL, `u` for
//! a large one that was not sent because it did not change.

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `B`: a transaction begins, of which it is known already that it was committed.
    Begin {
        /// Where in the log its commit is.
        commit: u64,
        /// When it was committed: microseconds since 2000-01-01 UTC.
        time: i64,
        /// Its number, the low 32 bits.
        number: u32,
    },
    /// `C`: the transaction ends.
    Commit {
        /// Where the log goes on after its commit.
        end: u64,
    },
    /// `R`: what the rows of a table look like from here on.
    Relation(Relation),
    /// `I`: a new row.
    Insert {
        /// The relation's number.
        relation: u32,
        /// It.
        new: Vec<Value<'a>>,
    },
    /// `U`: a row is different.
    Update {
        /// The relation's number.
        relation: u32,
        /// As it was, if its key changed or the replica identity is FULL.
        old: Option<Old<'a>>,
        /// As it is.
        new: Vec<Value<'a>>,
    },
    /// `D`: a row is gone.
    Delete {
        /// The relation's number.
        relation: u32,
        /// As it was.
        old: Old<'a>,
    },
    /// `T`: all rows of these relations are gone.
    Truncate {
        /// The relations' numbers.
        relations: Vec<u32>,
    },
    /// `M`: what somebody had put into the log (`pg_logical_emit_message`).
    Said {
        /// Whether it belongs to the transaction.
        transactional: bool,
        /// Whom it is for.
        prefix: String,
        /// It.
        text: &'a [u8],
    },
    /// `O`, `Y`: where a change came from, a type's name. Nothing that is needed.
    Other,
}

/// What the rows of a table look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The table's number (`pg_class.oid`).
    pub number: u32,
    /// The schema it is in.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// The replica identity: `d`, `n`, `f` or `i`.
    pub identity: u8,
    /// Its columns.
    pub columns: Vec<RelationColumn>,
}

/// A column of a [`Relation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Whether it belongs to the replica identity.
    pub key: bool,
    /// Its name.
    pub name: String,
    /// Its type's number (`pg_type.oid`).
    pub kind: u32,
    /// Its type's modifier (`pg_attribute.atttypmod`).
    pub modifier: i32,
}

/// A row as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Old<'a> {
    /// `K`: only the columns of its replica identity; the others are NULL here.
    Key(Vec<Value<'a>>),
    /// `O`: all of it.
    Row(Vec<Value<'a>>),
}

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Large, and as it was before.
    Unchanged,
    /// Its text.
    Text(&'a [u8]),
}

/// These bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message of pgoutput: {expected} expected at byte {at}")]
pub struct NoMessage {
    /// What should be there.
    pub expected: &'static str,
    /// Where.
    pub at: usize,
}

/// Reads a message.
///
/// # Errors
/// When it is none, or of another version of the protocol.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, NoMessage> {
    let mut rest = Bytes { all: bytes, at: 0 };
    let message = match rest.byte()? {
        b'B' => Message::Begin { commit: rest.u64()?, time: rest.u64()?.cast_signed(), number: rest.u32()? },
        b'C' => {
            rest.take(9)?;
            let end = rest.u64()?;
            rest.take(8)?;
            Message::Commit { end }
        }
        b'R' => Message::Relation(relation(&mut rest)?),
        b'I' => {
            let relation = rest.u32()?;
            rest.letter(b'N', "a new row")?;
            Message::Insert { relation, new: rest.row()? }
        }
        b'U' => {
            let relation = rest.u32()?;
            let (old, mark) = match rest.byte()? {
                b'K' => (Some(Old::Key(rest.row()?)), rest.byte()?),
                b'O' => (Some(Old::Row(rest.row()?)), rest.byte()?),
                mark => (None, mark),
            };
            if mark != b'N' {
                return Err(NoMessage { expected: "a new row", at: rest.at - 1 });
            }
            Message::Update { relation, old, new: rest.row()? }
        }
        b'D' => {
            let relation = rest.u32()?;
            let old = match rest.byte()? {
                b'K' => Old::Key(rest.row()?),
                b'O' => Old::Row(rest.row()?),
                _ => return Err(NoMessage { expected: "an old row", at: rest.at - 1 }),
            };
            Message::Delete { relation, old }
        }
        b'T' => {
            let count = rest.u32()?;
            rest.byte()?;
            // Not reserved by what is claimed: each takes four bytes that must be there.
            let relations = (0..count).map(|_| rest.u32()).collect::<Result<_, _>>()?;
            Message::Truncate { relations }
        }
        b'M' => {
            let transactional = rest.byte()? & 1 != 0;
            rest.take(8)?;
            let prefix = rest.text()?;
            let length = usize::try_from(rest.u32()?).unwrap_or(usize::MAX);
            Message::Said { transactional, prefix, text: rest.take(length)? }
        }
        b'O' | b'Y' => return Ok(Message::Other),
        _ => return Err(NoMessage { expected: "a known letter", at: 0 }),
    };
    match rest.at == bytes.len() {
        true => Ok(message),
        false => Err(NoMessage { expected: "the end", at: rest.at }),
    }
}

fn relation(rest: &mut Bytes<'_>) -> Result<Relation, NoMessage> {
    let number = rest.u32()?;
    let schema = match rest.text()? {
        schema if schema.is_empty() => "pg_catalog".to_owned(),
        schema => schema,
    };
    let (table, identity) = (rest.text()?, rest.byte()?);
    let mut columns = Vec::new();
    for _ in 0..rest.u16()? {
        let key = rest.byte()? & 1 != 0;
        let (name, kind) = (rest.text()?, rest.u32()?);
        columns.push(RelationColumn { key, name, kind, modifier: rest.u32()?.cast_signed() });
    }
    Ok(Relation { number, schema, table, identity, columns })
}

struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NoMessage> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.all.get(self.at..end));
        let taken = taken.ok_or(NoMessage { expected: "more", at: self.at })?;
        self.at += length;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], NoMessage> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| NoMessage { expected: "more", at })
    }

    fn byte(&mut self) -> Result<u8, NoMessage> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, NoMessage> {
        self.fixed().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, NoMessage> {
        self.fixed().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, NoMessage> {
        self.fixed().map(u64::from_be_bytes)
    }

    fn letter(&mut self, letter: u8, expected: &'static str) -> Result<(), NoMessage> {
        let at = self.at;
        if self.byte()? == letter { Ok(()) } else { Err(NoMessage { expected, at }) }
    }

    fn text(&mut self) -> Result<String, NoMessage> {
        let rest = self.all.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == 0);
        let length = length.ok_or(NoMessage { expected: "the end of a text", at: self.at })?;
        let text = self.take(length)?;
        self.at += 1;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn row(&mut self) -> Result<Vec<Value<'a>>, NoMessage> {
        let count = self.u16()?;
        let mut values = Vec::new();
        for _ in 0..count {
            let at = self.at;
            values.push(match self.byte()? {
                b'n' => Value::Null,
                b'u' => Value::Unchanged,
                b't' => {
                    let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
                    Value::Text(self.take(length)?)
                }
                _ => return Err(NoMessage { expected: "a value as text", at }),
            });
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &Message<'_>) {
        assert_eq!(parse(bytes).as_ref(), Ok(expected));
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end]).is_err(), "the first {end} bytes of {expected:?}");
        }
        assert!(parse(&[bytes, b"x"].concat()).is_err());
    }

    /// Made by hand, by the documentation; what a server sends is in the integration tests.
    #[test]
    fn messages() {
        check(
            b"B\0\0\0\0\x01\x52\x8a\x40\0\x02\xa1\x0b\x5e\x5d\xf4\x01\0\0\x02\xe5",
            &Message::Begin { commit: 0x0152_8a40, time: 0x0002_a10b_5e5d_f401, number: 741 },
        );
        check(
            &[&b"C\0"[..], &[1; 8], &[0, 0, 0, 0, 0, 0, 1, 2], &[3; 8]].concat(),
            &Message::Commit { end: 258 },
        );
        let column =
            |key, name: &str, kind| RelationColumn { key, name: name.to_owned(), kind, modifier: -1 };
        check(
            b"R\0\0\x40\x01public\0a\0d\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0v\0\0\0\0\x19\xff\xff\xff\xff",
            &Message::Relation(Relation {
                number: 16_385,
                schema: "public".to_owned(),
                table: "a".to_owned(),
                identity: b'd',
                columns: vec![column(true, "id", 23), column(false, "v", 25)],
            }),
        );
        check(
            b"I\0\0\x40\x01N\0\x03t\0\0\0\x02-1nt\0\0\0\0",
            &Message::Insert {
                relation: 16_385,
                new: vec![Value::Text(b"-1"), Value::Null, Value::Text(b"")],
            },
        );
        check(
            b"U\0\0\x40\x01K\0\x02t\0\0\0\x011nN\0\x02t\0\0\0\x012u",
            &Message::Update {
                relation: 16_385,
                old: Some(Old::Key(vec![Value::Text(b"1"), Value::Null])),
                new: vec![Value::Text(b"2"), Value::Unchanged],
            },
        );
        check(
            b"D\0\0\x40\x01O\0\x01n",
            &Message::Delete { relation: 16_385, old: Old::Row(vec![Value::Null]) },
        );
        check(b"T\0\0\0\x02\x01\0\0\0\x05\0\0\0\x06", &Message::Truncate { relations: vec![5, 6] });
        check(
            b"M\x01\0\0\0\0\0\0\0\x07attestry\0\0\0\0\x08user=ada",
            &Message::Said { transactional: true, prefix: "attestry".to_owned(), text: b"user=ada" },
        );
        assert_eq!(parse(b"Oanything"), Ok(Message::Other));
        for (wrong, at) in [(&b"Sx"[..], 0), (b"", 0), (b"I\0\0\0\x01X", 5), (b"I\0\0\0\x01N\0\x01b", 8)] {
            assert_eq!(parse(wrong).unwrap_err().at, at, "{}", wrong.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_row_is_read_as_it_was_written(cells in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)), 0..9)) {
            let mut bytes = b"I\0\0\0\x07N".to_vec();
            bytes.extend_from_slice(&u16::try_from(cells.len()).unwrap().to_be_bytes());
            for cell in &cells {
                match cell {
                    None => bytes.push(b'n'),
                    Some(text) => {
                        bytes.push(b't');
                        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
                        bytes.extend_from_slice(text);
                    }
                }
            }
            let new = cells.iter().map(|cell| cell.as_ref().map_or(Value::Null, |text| Value::Text(text))).collect();
            prop_assert_eq!(parse(&bytes), Ok(Message::Insert { relation: 7, new }));
        }

        #[test]
        fn anything_is_read_or_refused(letter in proptest::sample::select(b"BCRIUDTOYMX".to_vec()), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&[&[letter], bytes.as_slice()].concat());
        }
    }
}
