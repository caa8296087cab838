//! A place in a sorted list of events. It names the last event that was shown, so the next page begins behind it
//! whatever has been added in between.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Error;

/// Which end of time comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The greatest (`event_time`, ledger, index) first.
    #[default]
    NewestFirst,
    /// The least first.
    OldestFirst,
}

/// What events are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) time: i64,
    pub(crate) ledger: String,
    pub(crate) index: u64,
}

/// Where the next page begins: an opaque text of URL-safe base64, at most 128 characters for ledger names of up to 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) order: Order,
    pub(crate) after: Place,
}

/// Version 1: order, event_time and index little-endian, the ledger's name.
const VERSION: u8 = 1;

impl Cursor {
    /// The text to hand out.
    pub fn encode(&self) -> String {
        let mut bytes = vec![VERSION, u8::from(self.order == Order::OldestFirst)];
        bytes.extend(self.after.time.to_le_bytes());
        bytes.extend(self.after.index.to_le_bytes());
        bytes.extend(self.after.ledger.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] wrote.
    pub fn decode(text: &str) -> Result<Cursor, Error> {
        let bytes = if text.len() <= 1024 { URL_SAFE_NO_PAD.decode(text).ok() } else { None };
        bytes.and_then(|bytes| Cursor::from_bytes(&bytes)).ok_or(Error::BadCursor)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Cursor> {
        let ([version, order], rest) = bytes.split_first_chunk::<2>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (index, ledger) = rest.split_first_chunk::<8>()?;
        let order = match (*version, *order) {
            (VERSION, 0) => Order::NewestFirst,
            (VERSION, 1) => Order::OldestFirst,
            _ => return None,
        };
        let ledger = std::str::from_utf8(ledger).ok()?.to_owned();
        let after = Place { time: i64::from_le_bytes(*time), ledger, index: u64::from_le_bytes(*index) };
        Some(Cursor { order, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for time in [i64::MIN, -1, 0, i64::MAX] {
                let cursor =
                    Cursor { order, after: Place { time, ledger: "audit".to_owned(), index: u64::MAX } };
                assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
            }
        }
    }

    #[test]
    fn refuses() {
        let good = Cursor {
            order: Order::NewestFirst,
            after: Place { time: 1, ledger: "audit".to_owned(), index: 2 },
        };
        let good = good.encode();
        for bad in ["", "AA", "!", &good[1..], &good[..10], &format!("{good}="), &"A".repeat(10_000)] {
            assert!(matches!(Cursor::decode(bad), Err(Error::BadCursor)), "{bad}");
        }
    }
}
