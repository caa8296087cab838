//! Large values: each that an entry refers to is there and matches its salted hash, or an event says that it was erased.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use attestry_event::value_hash;
use attestry_segment::Values;
use attestry_tlog::Hash;

use crate::entries::{Entries, Reference};
use crate::report::{Damage, Kind, Ledger};
use crate::segments::describe;

/// Values by their hash, with their length; none where what is stored does not match.
#[derive(Debug, Default)]
pub(crate) struct Loose(HashMap<[u8; 32], Option<u64>>);

impl Loose {
    /// Takes in a value from the journal or an export.
    pub(crate) fn add(&mut self, hash: [u8; 32], salt: &[u8; 16], content: &[u8]) {
        let matches = value_hash(salt, content) == hash;
        let found = self.0.entry(hash).or_default();
        *found = found.or(matches.then_some(content.len() as u64));
    }

    /// Settles the references whose values are here; the others are returned.
    pub(crate) fn settle(&self, references: Vec<Reference>, ledger: &mut Ledger) -> Vec<Reference> {
        references
            .into_iter()
            .filter(|reference| match self.0.get(&reference.hash) {
                None => true,
                Some(found) => {
                    judge(reference, *found, ledger);
                    false
                }
            })
            .collect()
    }
}

fn judge(reference: &Reference, found: Option<u64>, ledger: &mut Ledger) {
    let range = reference.index..reference.index + 1;
    match found {
        Some(bytes) if bytes == reference.bytes => ledger.values += 1,
        Some(_) => ledger.add(Damage::of_entries(Kind::Value, range, "its large value has another length")),
        None => ledger.add(Damage::of_entries(
            Kind::Value,
            range,
            "its large value was altered or cannot be read",
        )),
    }
}

/// Settles what a segment's entries refer to with the value file beside it; what is not in the file is returned.
pub(crate) fn settle_file(path: &Path, references: Vec<Reference>, ledger: &mut Ledger) -> Vec<Reference> {
    if references.is_empty() {
        return references;
    }
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return references,
        file => file,
    };
    let name = format!("segments/{}", path.file_name().unwrap_or_default().to_string_lossy());
    let values = match file.map_err(attestry_segment::Error::from).and_then(Values::open) {
        Ok(values) => values,
        Err(error) => {
            ledger.add(Damage::general(Kind::File, format!("{name}: {}", describe(&error))));
            references.iter().for_each(|reference| judge(reference, None, ledger));
            return Vec::new();
        }
    };
    references
        .into_iter()
        .filter(|reference| match values.get(&Hash(reference.hash)) {
            Ok(Some(value)) => {
                judge(reference, Some(value.content.len() as u64), ledger);
                false
            }
            Ok(None) => true,
            Err(_) => {
                judge(reference, None, ledger);
                false
            }
        })
        .collect()
}

/// What is nowhere was erased, if one of the `signed` first entries says so; else it is missing.
pub(crate) fn settle_rest(references: &[Reference], entries: &Entries, signed: u64, ledger: &mut Ledger) {
    for reference in references {
        if entries.is_erased(&reference.hash, signed) {
            ledger.erased += 1;
        } else {
            let range = reference.index..reference.index + 1;
            let what = "its large value is missing, and no signed value.erased event explains it";
            ledger.add(Damage::of_entries(Kind::Value, range, what));
        }
    }
}
