//! One entry with its inclusion proof, as handed out (C2SP `tlog-proof@v1`).

use attestry_tlog::note::Note;
use attestry_tlog::{Checkpoint, TlogProof, TlogProofError, VerifierKey, leaf_hash, verify_inclusion};

use crate::Options;
use crate::entries::Entries;
use crate::report::{Damage, Kind, Ledger, Report, Signed, Subject};

/// Checks that `entry`, byte for byte, is in the log that signed the proof's checkpoint. A newline behind the entry is passed over.
///
/// The signature is checked with the key from the options, or from a pin of the same log; without either that is left unchecked, and said.
pub fn proof(target: &str, text: &str, entry: &[u8], options: &Options<'_>) -> Report {
    let mut report = Report::new(target, Subject::Proof);
    let mut ledger = Ledger::new("");
    let entry = entry.strip_suffix(b"\n").unwrap_or(entry);
    match text.parse::<TlogProof>() {
        Ok(proof) => check(&proof, entry, options, &mut ledger),
        Err(error) => ledger.add(Damage::general(Kind::File, error.to_string())),
    }
    report.ledgers.push(ledger);
    report
}

fn check(proof: &TlogProof, entry: &[u8], options: &Options<'_>, ledger: &mut Ledger) {
    let Some((checkpoint, vouched)) = open(&proof.checkpoint, options, ledger) else { return };
    ledger.name = ledger_name(&checkpoint.origin);
    if vouched {
        ledger.checkpoint = Some(Signed { size: checkpoint.size, root: checkpoint.root.to_string() });
    }
    let leaf = leaf_hash(entry);
    let range = proof.index..proof.index.saturating_add(1);
    (ledger.first, ledger.end, ledger.hashed) = (range.start, range.end, 1);
    match verify_inclusion(leaf, proof.index, checkpoint.size, &proof.hashes, checkpoint.root) {
        Ok(()) => {}
        Err(error) => {
            let error = TlogProofError::Inclusion(error).to_string();
            ledger.add(Damage::of_entries(Kind::Altered, range, error));
        }
    }
    let mut entries = Entries::default();
    entries.add(proof.index, entry);
    crate::ledger::finish_entries(ledger, entries.damage, entries.uninterpreted);
    if !entries.references.is_empty() {
        ledger.notes.push("the entry refers to large values, which are not part of the proof".into());
    }
    for pinned in options.pins.iter().filter_map(|pin| pin.open().ok()) {
        if pinned.origin == checkpoint.origin
            && pinned.size == checkpoint.size
            && pinned.root != checkpoint.root
        {
            let what = "the pinned checkpoint of the same size has another root: the log has two histories";
            ledger.add(Damage::of_entries(Kind::Pin, 0..pinned.size, what));
        }
    }
    ledger.limits.push("that the log has another history besides this one: only the whole log, compared with a pin, shows that".into());
}

/// The checkpoint, and whether a trusted key vouches for it.
pub(crate) fn open(note: &str, options: &Options<'_>, ledger: &mut Ledger) -> Option<(Checkpoint, bool)> {
    let unverified = Note::parse(note).map_err(|error| error.to_string());
    let unverified =
        unverified.and_then(|note| Checkpoint::parse(&note.text).map_err(|error| error.to_string()));
    let checkpoint = match unverified {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            ledger.add(Damage::general(Kind::Checkpoint, format!("the checkpoint: {error}")));
            return None;
        }
    };
    let Some(key) = trusted_key(&checkpoint.origin, options) else {
        ledger.unchecked.push(format!(
            "the checkpoint's signature: give the verifier key of {} or a pin of it, from a source you trust",
            checkpoint.origin
        ));
        return Some((checkpoint, false));
    };
    ledger.key = Some(key.to_string());
    match Checkpoint::open(note, key) {
        Ok(checkpoint) => Some((checkpoint, true)),
        Err(error) => {
            ledger.add(Damage::general(Kind::Checkpoint, format!("the checkpoint: {error}")));
            None
        }
    }
}

fn trusted_key<'a>(origin: &str, options: &'a Options<'_>) -> Option<&'a VerifierKey> {
    let pinned = options.pins.iter().map(|pin| &pin.key).find(|key| key.name() == origin);
    options.key.as_ref().or(pinned)
}

/// The last part of an origin.
pub(crate) fn ledger_name(origin: &str) -> String {
    origin.rsplit('/').next().unwrap_or_default().to_owned()
}
