//! The records of the dead letters' journal.

use std::sync::Arc;

use attestry_event::Nanos;
use bytes::Bytes;

use super::{Letter, Refusal};
use crate::Parcel;
use crate::spool::{get_event, put_event, take, take_u32, take_u64};

const LETTER: u8 = 1;
const GONE: u8 = 2;
/// Bytes of a reason that are kept.
const REASON_BYTES: usize = 4_096;

pub(super) enum Record {
    Letter(Box<Letter>),
    /// Letters that are done with.
    Gone(Vec<u64>),
}

pub(super) fn letter(refusal: &Refusal<'_>, at: Nanos) -> Vec<u8> {
    let Refusal { parcel, reason, attempts } = refusal;
    let reason = reason.get(..reason.floor_char_boundary(REASON_BYTES)).unwrap_or_default();
    let mut out = Vec::with_capacity(parcel.bytes() + reason.len() + 128);
    out.push(LETTER);
    out.extend_from_slice(&at.0.to_le_bytes());
    out.extend_from_slice(&attempts.to_le_bytes());
    for text in [reason, &parcel.ledger] {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    put_event(&parcel.entry, &parcel.values, &mut out);
    out
}

pub(super) fn gone(ids: &[u64]) -> Vec<u8> {
    let mut out = vec![GONE];
    ids.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    out
}

impl Record {
    /// Reads a record; `None` when this version cannot.
    pub(super) fn decode(id: u64, payload: &[u8]) -> Option<Record> {
        let mut rest = payload;
        match take(&mut rest, 1)? {
            [LETTER] => {}
            [GONE] => {
                let (ids, left) = rest.as_chunks::<8>();
                let ids = ids.iter().map(|id| u64::from_le_bytes(*id)).collect();
                return left.is_empty().then_some(Record::Gone(ids));
            }
            _ => return None,
        }
        let at = Nanos(take_u64(&mut rest)? as i64);
        let attempts = take_u32(&mut rest)?;
        let mut text = || {
            let len = take_u32(&mut rest)? as usize;
            std::str::from_utf8(take(&mut rest, len)?).ok()
        };
        let (reason, ledger) = (text()?.to_owned(), Arc::from(text()?));
        let (entry, values, _) = get_event(rest, 0)?;
        let entry = Bytes::copy_from_slice(rest.get(entry)?);
        let parcel = Parcel { ledger, number: id, seq: None, entry, values };
        Some(Record::Letter(Box::new(Letter { id, at, reason, attempts, parcel })))
    }
}
