//! What an agent was shown of a ledger's tree, kept in a file, and what it demands of the next one.
//!
//! The pin file holds the key that signs and the newest checkpoint that was proved (`attestry_tlog::pin`); it is replaced as a whole,
//! and only by a tree that begins with the one it holds.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use attestry_pipeline::Failure;
use attestry_tlog::{Checkpoint, EMPTY_ROOT, Hash, Pin, VerifierKey, verify_consistency};
use serde::Deserialize;

use super::Agent;
use crate::http::Answer;

/// The server shows another history than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The ledger.
    pub ledger: String,
    /// What does not fit, for people.
    pub reason: String,
    /// The signed checkpoint that was pinned, if there was one.
    pub pinned: Option<String>,
    /// What the server shows instead, verbatim: signed by its key, it convicts whoever holds it. None when it showed nothing.
    pub shown: Option<String>,
}

/// What is called with an alarm.
pub type OnAlarm = Arc<dyn Fn(&Alarm) + Send + Sync>;

/// Why a history is not believed.
#[derive(Debug)]
pub(super) enum Doubt {
    /// It could not be looked at.
    Unclear(Failure),
    /// It is not the one that was shown before.
    OtherHistory { reason: String, pinned: Option<String>, shown: Option<String> },
}

/// One ledger's tree as it was last shown.
#[derive(Clone, Debug)]
pub(super) struct History {
    file: PathBuf,
    key: VerifierKey,
    /// The newest checkpoint, as it was signed.
    note: Option<String>,
    size: u64,
    root: Hash,
}

#[derive(Deserialize)]
struct Shown {
    checkpoint: String,
    #[serde(default)]
    proof: Vec<String>,
}

impl History {
    /// Reads the pin of a ledger; where there is none, the ledger's key must be known.
    pub(super) fn open(agent: &Agent, ledger: &str) -> Result<History, Doubt> {
        let file = agent.pins.join(ledger);
        match fs::read_to_string(&file) {
            Ok(text) => {
                let damaged = |_| Doubt::OtherHistory {
                    reason: format!(
                        "{} is damaged, so nobody can tell whether the server still shows the same history: compare with another copy of the \
                         pin, or accept the server's history by removing the file",
                        file.display()
                    ),
                    pinned: Some(text.clone()),
                    shown: None,
                };
                let pin: Pin = text.parse().map_err(|_| damaged(()))?;
                let pinned = pin.open().map_err(|_| damaged(()))?;
                let (size, root) = (pinned.size, pinned.root);
                Ok(History { file, key: pin.key, note: Some(pin.checkpoint), size, root })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let Some(key) = agent.keys.get(ledger).cloned() else {
                    return Err(unclear(format!(
                        "the key of the ledger {ledger:?} is not known, so its history cannot be checked: enrol the agent again, for this \
                         ledger too"
                    )));
                };
                Ok(History { file, key, note: None, size: 0, root: EMPTY_ROOT })
            }
            Err(error) => Err(unclear(format!("{}: {error}", file.display()))),
        }
    }

    /// How many entries the pinned tree has.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The history after an answer that proves it, with its pin written. Blocks.
    pub(super) fn advance(&self, answer: &Answer) -> Result<History, Doubt> {
        let next = self.judge(answer)?;
        if next.note != self.note {
            next.write().map_err(|error| unclear(format!("{}: {error}", self.file.display())))?;
        }
        Ok(next)
    }

    fn judge(&self, answer: &Answer) -> Result<History, Doubt> {
        let pinned = self.size;
        match answer.status {
            200 => {}
            409 => {
                let reason = format!(
                    "the server's log has fewer than the {pinned} entries that it had: it was cut or an older copy was put back"
                );
                return Err(self.other(reason, None));
            }
            status => {
                return Err(Doubt::Unclear(Failure::Again {
                    delivered: 0,
                    reason: format!(
                        "the server answered {status} when asked to prove that its log only grew"
                    ),
                    after: answer.retry_after,
                }));
            }
        }
        let Ok(shown) = serde_json::from_slice::<Shown>(&answer.body) else {
            return Err(unclear("the server's proof that its log only grew cannot be read".to_owned()));
        };
        let note = shown.checkpoint;
        let checkpoint = match Checkpoint::open(&note, &self.key) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                let reason =
                    format!("the server's checkpoint is not the word of the log that was pinned: {error}");
                return Err(self.other(reason, Some(note)));
            }
        };
        if checkpoint.size < pinned {
            let size = checkpoint.size;
            let reason = format!(
                "the server's log has {size} entries and had {pinned}: it was cut or an older copy was put back"
            );
            return Err(self.other(reason, Some(note)));
        }
        let hashes: Option<Vec<Hash>> = shown.proof.iter().map(|text| Hash::from_base64(text)).collect();
        let proved = hashes.is_some_and(|proof| {
            verify_consistency(pinned, self.root, checkpoint.size, checkpoint.root, &proof).is_ok()
        });
        if !proved {
            let size = checkpoint.size;
            let reason = format!(
                "the server does not prove that its {size} entries begin with the {pinned} that it had: entries were changed or replaced"
            );
            return Err(self.other(reason, Some(note)));
        }
        Ok(History {
            file: self.file.clone(),
            key: self.key.clone(),
            note: Some(note),
            size: checkpoint.size,
            root: checkpoint.root,
        })
    }

    fn other(&self, reason: String, shown: Option<String>) -> Doubt {
        Doubt::OtherHistory { reason, pinned: self.note.clone(), shown }
    }

    fn write(&self) -> io::Result<()> {
        let Some(checkpoint) = self.note.clone() else { return Ok(()) };
        let pin = Pin { key: self.key.clone(), checkpoint };
        let folder = self.file.parent().ok_or(io::ErrorKind::NotFound)?;
        fs::create_dir_all(folder)?;
        let temporary = self.file.with_added_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(pin.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &self.file)?;
        File::open(folder)?.sync_all()
    }
}

fn unclear(reason: String) -> Doubt {
    Doubt::Unclear(Failure::again(reason))
}

#[cfg(test)]
mod tests;
