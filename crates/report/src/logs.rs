//! The ledgers and the search over them.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Entry, LargeValue, Scalar, Text, walk, write_event};
use attestry_ledger::{Ledger, ReadError};
use attestry_store::{Hit, Store};
use attestry_tlog::{Hash, Nodes};
use serde_json::Value;

use crate::{Error, LedgerAt};

/// The ledgers that reports are made from.
#[derive(Clone)]
pub struct Logs {
    /// What finds events.
    pub store: Arc<Store>,
    /// The ledgers it searches.
    pub ledgers: Vec<Arc<Ledger>>,
}

/// A ledger's tree, as proofs want it.
pub(crate) struct Tree<'a>(pub(crate) &'a Ledger);

impl Nodes for Tree<'_> {
    type Error = ReadError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        self.0.tree_node(level, index)
    }
}

impl Logs {
    /// The ledger with this name.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is none.
    pub fn ledger(&self, name: &str) -> Result<&Arc<Ledger>, Error> {
        let found = self.ledgers.iter().find(|ledger| ledger.name() == name);
        found.ok_or_else(|| Error::refused(format!("there is no ledger {name:?}")))
    }

    /// These ledgers as they are now, signed, each with the checkpoint's note; all of them when none is named. Waits for the checkpoints and the index.
    ///
    /// # Errors
    /// [`Error::Behind`] when `patience` is over first.
    pub fn now(&self, names: &[String], patience: Duration) -> Result<Vec<(LedgerAt, String)>, Error> {
        let mut ledgers: Vec<&Arc<Ledger>> = match names {
            [] => self.ledgers.iter().collect(),
            names => names.iter().map(|name| self.ledger(name)).collect::<Result<_, _>>()?,
        };
        ledgers.sort_by(|one, other| one.name().cmp(other.name()));
        ledgers.dedup_by(|one, other| one.name() == other.name());
        ledgers.into_iter().map(|ledger| self.signed(ledger, patience)).collect()
    }

    fn signed(&self, ledger: &Ledger, patience: Duration) -> Result<(LedgerAt, String), Error> {
        let name = ledger.name();
        let behind = |what: &str| Error::Behind(format!("{what} of {name}: try again in a moment"));
        if !ledger.wait_signed(ledger.size(), patience) {
            return Err(behind("there is no checkpoint of the newest entries"));
        }
        let signed = ledger.signed().ok_or_else(|| behind("there is no checkpoint"))?;
        if !self.store.wait_indexed(name, signed.size, patience)? {
            return Err(behind("the search has not taken in the newest entries"));
        }
        let at = LedgerAt {
            name: name.to_owned(),
            origin: ledger.origin().to_owned(),
            first: ledger.first(),
            size: signed.size,
            root: signed.root.to_string(),
        };
        Ok((at, signed.note.to_string()))
    }

    /// An event as its sender wrote it, with its large values in their places.
    ///
    /// # Errors
    /// When the entry or a value cannot be read.
    pub fn event(&self, hit: &Hit) -> Result<Value, Error> {
        let unreadable = |error: &dyn std::error::Error| Error::NoReport(error.to_string());
        let entry = Entry::parse(&hit.entry).map_err(|error| unreadable(&error))?;
        let ledger = self.ledger(&hit.ledger)?;
        let mut references = Vec::new();
        if let Some(Text::Ref { hash, .. }) = entry.message() {
            references.push(hash);
        }
        let walked = walk(entry.event_data().unwrap_or(b"{}"), &mut |_: &str, scalar: Scalar<'_>| {
            if let Scalar::Ref { hash, .. } = scalar {
                references.push(hash);
            }
        });
        walked.map_err(|error| unreadable(&error))?;
        let mut values = Vec::new();
        for hash in references {
            if let Some(value) = ledger.value(&hash)? {
                values.push(LargeValue { hash, salt: value.salt, content: value.content });
            }
        }
        let mut out = Vec::new();
        write_event(&hit.entry, &values, &mut out).map_err(|error| unreadable(&error))?;
        serde_json::from_slice(&out).map_err(|error| unreadable(&error))
    }

    /// Whether a ledger is still the one that a report speaks of; gives what was pruned of it since, for people.
    pub(crate) fn holds(&self, at: &LedgerAt) -> Result<Option<String>, Error> {
        let found = self.ledgers.iter().find(|ledger| ledger.name() == at.name);
        let other = |what: String| Err(Error::OtherLog(what));
        let Some(ledger) = found else { return other(format!("there is no ledger {:?} here", at.name)) };
        if ledger.origin() != at.origin {
            return other(format!("the report was made from {}, and this is {}", at.origin, ledger.origin()));
        }
        if ledger.size() < at.size {
            let size = ledger.size();
            return other(format!(
                "{} has {size} entries, and the report was made from {}",
                at.name, at.size
            ));
        }
        match attestry_tlog::proof::root(at.size, &Tree(ledger)) {
            Ok(root) if root.to_string() != at.root => {
                return other(format!(
                    "the first {} entries of {} have the root {root}, and the report says {}",
                    at.size, at.name, at.root
                ));
            }
            Ok(_) => {}
            // None of them is left. That this ledger signed the root is looked at with the evidence.
            Err(ReadError::Pruned { .. }) if ledger.first() > at.first => {}
            Err(error) => return Err(error.into()),
        }
        if !self.store.wait_indexed(&at.name, at.size, INDEXED)? {
            return Err(Error::Behind(format!("the search has not taken in the entries of {}", at.name)));
        }
        let first = ledger.first();
        Ok((first > at.first).then(|| {
            format!("entries {}..{first} of {} were pruned since the report was made", at.first, at.name)
        }))
    }
}

/// How long a replay waits for the index, which may have to be built anew.
const INDEXED: Duration = Duration::from_secs(600);
