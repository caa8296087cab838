//! What a check found: one structure for programs, and the text made from it for people.

use serde::Serialize;

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The path or URL.
    pub target: String,
    /// What kind of thing it is.
    pub subject: Subject,
    /// Damage that belongs to no single ledger.
    pub damage: Vec<Damage>,
    /// One for each ledger; for a proof or an export, the one it is of.
    pub ledgers: Vec<Ledger>,
}

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A data directory.
    Directory,
    /// A log served over HTTP.
    Server,
    /// Lines of entries with the nodes that tie them to a checkpoint.
    Export,
    /// One entry with its inclusion proof.
    Proof,
    /// A report, with the proofs of the entries that it shows.
    Report,
}

/// What was found of one ledger.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    /// Its name.
    pub name: String,
    /// The verifier key.
    pub key: Option<String>,
    /// The checkpoint, when its signature holds.
    pub checkpoint: Option<Signed>,
    /// The first entry that was not pruned.
    pub first: u64,
    /// One past the last entry.
    pub end: u64,
    /// How many entries were read and hashed.
    pub hashed: u64,
    /// How many of the entries are newer than the checkpoint.
    pub unsigned: u64,
    /// Large values whose hash was checked.
    pub values: u64,
    /// Large values that are gone, as an event in the ledger says.
    pub erased: u64,
    /// The pins that are of this ledger.
    pub pins: Vec<Pinned>,
    /// Everything that is damaged or missing.
    pub damage: Vec<Damage>,
    /// What should have been checked and could not be.
    pub unchecked: Vec<String>,
    /// What is worth knowing, and no damage.
    pub notes: Vec<String>,
    /// What a check of this kind cannot exclude.
    pub limits: Vec<String>,
}

/// A tree that a key vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// How many entries.
    pub size: u64,
    /// The root over them, in base64.
    pub root: String,
}

/// What became of a pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// The pinned tree's size.
    pub size: u64,
    /// Whether the present log was shown to begin with the pinned one, under the same key.
    pub holds: bool,
}

/// Something damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What kind.
    pub kind: Kind,
    /// The first entry concerned, when it concerns entries.
    pub first: Option<u64>,
    /// One past the last entry concerned.
    pub end: Option<u64>,
    /// In words.
    pub what: String,
}

/// The kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Entries that are not what the signed tree has there.
    Altered,
    /// Entries that should be there.
    Missing,
    /// Entries whose bytes cannot be read.
    Unreadable,
    /// The entries of this range lead to another root than the signed one; which of them were changed is not known.
    Diverged,
    /// An entry that was received before the one before it.
    Order,
    /// An entry that is not in the format.
    Malformed,
    /// An entry's large value.
    Value,
    /// Entries removed without an event that allows it.
    Pruned,
    /// A stored hash is wrong, the entries are right.
    StoredHash,
    /// A file, or a part of one, that holds no entries of its own or none that are missed.
    File,
    /// The verifier key.
    Key,
    /// The checkpoint.
    Checkpoint,
    /// A pin that the log does not agree with.
    Pin,
}

impl Damage {
    pub(crate) fn of_entries(kind: Kind, range: std::ops::Range<u64>, what: impl Into<String>) -> Self {
        Self { kind, first: Some(range.start), end: Some(range.end), what: what.into() }
    }

    pub(crate) fn general(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, first: None, end: None, what: what.into() }
    }
}

impl Ledger {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds damage; what continues the range before it in the same words becomes one with it.
    pub(crate) fn add(&mut self, damage: Damage) {
        match self.damage.last_mut() {
            Some(last)
                if last.end.is_some()
                    && last.end == damage.first
                    && (last.kind, &last.what) == (damage.kind, &damage.what) =>
            {
                last.end = damage.end;
            }
            _ => self.damage.push(damage),
        }
    }
}

impl Report {
    pub(crate) fn new(target: impl Into<String>, subject: Subject) -> Self {
        Self { target: target.into(), subject, damage: Vec::new(), ledgers: Vec::new() }
    }

    /// Everything damaged or missing, with the ledger's name where it is of one.
    pub fn all_damage(&self) -> impl Iterator<Item = (Option<&str>, &Damage)> {
        let general = self.damage.iter().map(|damage| (None, damage));
        general.chain(
            self.ledgers
                .iter()
                .flat_map(|ledger| ledger.damage.iter().map(|damage| (Some(ledger.name.as_str()), damage))),
        )
    }

    /// Nothing is damaged, and nothing that should have been checked was left out.
    pub fn is_clean(&self) -> bool {
        self.exit_code() == 0
    }

    /// 0 clean, 1 damage, 2 no damage but not everything could be checked.
    pub fn exit_code(&self) -> u8 {
        if self.all_damage().next().is_some() {
            1
        } else if self.ledgers.iter().any(|ledger| !ledger.unchecked.is_empty()) {
            2
        } else {
            0
        }
    }

    /// The report as JSON, with `exit` for the exit code.
    pub fn to_json(&self) -> serde_json::Value {
        // Every field is a plain string, number or list of such, so this cannot fail.
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = json.as_object_mut() {
            members.insert("exit".into(), self.exit_code().into());
        }
        json
    }
}
