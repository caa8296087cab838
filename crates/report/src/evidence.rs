//! What lets somebody who trusts nobody check that the events shown are in the signed log.

use attestry_store::Stop;
use attestry_tlog::proof::ProofError;
use attestry_tlog::{Checkpoint, VerifierKey, inclusion_proof};
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::logs::Tree;
use crate::{Error, Logs, Recipe};

/// What ties the events of one ledger to its signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The ledger.
    pub ledger: String,
    /// Its verifier key, as signed-note writes it. Compare it with one from a source you trust.
    pub vkey: String,
    /// The signed checkpoint that the report was made at (C2SP tlog-checkpoint).
    pub checkpoint: String,
    /// The events that the report shows, by index.
    pub events: Vec<Proven>,
}

/// An event that the report shows, with its inclusion proof. Together with the checkpoint it is a C2SP tlog-proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// Its index in the ledger.
    pub index: u64,
    /// Its entry, byte for byte.
    pub entry: String,
    /// The hashes of the inclusion proof (RFC 6962), the leaf's sibling first, in base64.
    pub proof: Vec<String>,
}

/// The evidence for what a body shows. `notes` are the checkpoints of the recipe's ledgers.
pub(crate) fn of(
    logs: &Logs,
    recipe: &Recipe,
    notes: &[String],
    body: &Body,
    stop: &Stop,
) -> Result<Vec<Evidence>, Error> {
    let cites = body.cites();
    let mut evidence = Vec::with_capacity(recipe.ledgers.len());
    for (nth, at) in recipe.ledgers.iter().enumerate() {
        let ledger = logs.ledger(&at.name)?;
        let vkey = ledger.vkey();
        let note = notes.get(nth).ok_or_else(|| Error::refused("a ledger's checkpoint is missing"))?;
        let signed = vkey.parse::<VerifierKey>().ok().and_then(|key| Checkpoint::open(note, &key).ok());
        if signed.is_none_or(|signed| (signed.size, signed.root.to_string()) != (at.size, at.root.clone())) {
            let what =
                format!("the checkpoint of {} is not one that its key signed over these entries", at.name);
            return Err(Error::OtherLog(what));
        }
        let mut events = Vec::new();
        for cite in cites.iter().filter(|cite| cite.ledger == at.name) {
            stop.check()?;
            let proof = inclusion_proof(cite.index, at.size, &Tree(ledger)).map_err(|error| match error {
                ProofError::Nodes(error) => Error::Read(error),
                ProofError::OutOfRange { .. } => {
                    Error::refused("an event lies beyond the report's checkpoint")
                }
            })?;
            // An entry is JSON, which is UTF-8.
            let entry = ledger.with_entry(cite.index, |entry| String::from_utf8_lossy(entry).into_owned())?;
            let proof = proof.iter().map(ToString::to_string).collect();
            events.push(Proven { index: cite.index, entry, proof });
        }
        evidence.push(Evidence { ledger: at.name.clone(), vkey, checkpoint: note.clone(), events });
    }
    Ok(evidence)
}
