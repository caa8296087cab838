//! What `attestry export` wrote: entries with the nodes that tie them to a checkpoint (`docs/formats.md`, section 8).

use std::io::{self, BufRead};

use attestry_tlog::{Frontier, Hash, leaf_hash};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Deserialize;

use crate::entries::{Entries, parse_reference};
use crate::ledger::finish_entries;
use crate::proof::open;
use crate::report::{Damage, Kind, Ledger, Report, Signed, Subject};
use crate::values::Loose;
use crate::{CannotCheck, Options};

/// How an export begins.
pub(crate) const HEAD: &str = "{\"attestry_export\":1,";

#[derive(Deserialize)]
struct Head {
    ledger: String,
    vkey: String,
    checkpoint: String,
    first: Option<u64>,
    end: Option<u64>,
}

#[derive(Deserialize)]
struct Value {
    value: String,
    salt: String,
    content: String,
}

#[derive(Deserialize)]
struct Tail {
    nodes: Vec<(u8, u64, String)>,
    count: u64,
}

/// Checks an export.
///
/// Without a key or pin in the options, the key that the export itself names is used, and the report says what that leaves open.
///
/// # Errors
/// [`CannotCheck`] when `lines` cannot be read.
pub fn export(target: &str, lines: impl BufRead, options: &Options<'_>) -> Result<Report, CannotCheck> {
    let mut lines = lines.lines();
    let mut next = || -> Result<Option<String>, CannotCheck> {
        match lines.next() {
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(String::new())),
            Some(Err(error)) => Err(CannotCheck::io(target.as_ref())(error)),
            Some(Ok(line)) => Ok(Some(line)),
            None => Ok(None),
        }
    };
    let mut report = Report::new(target, Subject::Export);
    let mut ledger = Ledger::new("");
    let Some(head) = next()?.and_then(|line| serde_json::from_str::<Head>(&line).ok()) else {
        return Err(CannotCheck::Unknown(target.to_owned()));
    };
    ledger.name.clone_from(&head.ledger);
    let mut read = Lines {
        ledger: &mut ledger,
        entries: Entries::default(),
        values: Loose::default(),
        tree: Vec::new(),
        count: 0,
        done: false,
    };
    while let Some(line) = next()? {
        read.line(&line);
        if read.count.is_multiple_of(4096) {
            options.progress(&head.ledger, read.count, read.count);
        }
    }
    let Lines { mut entries, values, mut tree, count, done, .. } = read;
    if !done {
        ledger.add(Damage::general(Kind::File, "the export was cut: its last line is missing"));
    }
    ledger.hashed = count;
    (ledger.first, ledger.end) =
        match (tree.iter().find(|part| part.1 == 0), tree.iter().rfind(|part| part.1 == 0)) {
            (Some(first), Some(last)) => (first.0, last.0 + 1),
            _ => (0, 0),
        };
    if let (Some(first), Some(end)) = (head.first, head.end) {
        report_holes(first..end, tree.iter().filter(|part| part.1 == 0).map(|part| part.0), &mut ledger);
    }
    judge(&head, &mut tree, options, &mut ledger);
    finish_entries(&mut ledger, entries.damage, entries.uninterpreted);
    let absent = values.settle(std::mem::take(&mut entries.references), &mut ledger);
    if !absent.is_empty() {
        ledger
            .notes
            .push(format!("{} large values are not in the export: erased, or left out", absent.len()));
    }
    report.ledgers.push(ledger);
    Ok(report)
}

struct Lines<'a> {
    ledger: &'a mut Ledger,
    entries: Entries,
    values: Loose,
    /// First leaf, level and root of each complete subtree that is given; level 0 are the exported entries.
    tree: Vec<(u64, u8, Hash)>,
    count: u64,
    done: bool,
}

impl Lines<'_> {
    fn line(&mut self, line: &str) {
        let known = if let Some(rest) = line.strip_prefix("{\"index\":") {
            self.entry(rest)
        } else if line.starts_with("{\"value\":") {
            self.value(line)
        } else {
            self.tail(line)
        };
        if known.is_none() || (self.done && !line.starts_with("{\"nodes\":")) {
            let what = format!("a line that is not in form, after {} entries", self.count);
            self.ledger.add(Damage::general(Kind::File, what));
        }
    }

    fn entry(&mut self, rest: &str) -> Option<()> {
        let (index, rest) = rest.split_once(",\"entry\":")?;
        let (index, entry) = (index.parse().ok()?, rest.strip_suffix('}')?);
        if self.tree.last().is_some_and(|last| last.0 >= index) {
            self.ledger.add(Damage::of_entries(Kind::Order, index..index + 1, "not in the order of the log"));
        }
        self.entries.add(index, entry.as_bytes());
        self.tree.push((index, 0, leaf_hash(entry.as_bytes())));
        self.count += 1;
        Some(())
    }

    fn value(&mut self, line: &str) -> Option<()> {
        let value: Value = serde_json::from_str(line).ok()?;
        let salt = BASE64_STANDARD.decode(value.salt).ok()?.try_into().ok()?;
        self.values.add(parse_reference(&value.value)?, &salt, value.content.as_bytes());
        Some(())
    }

    fn tail(&mut self, line: &str) -> Option<()> {
        let tail: Tail = serde_json::from_str(line).ok()?;
        if tail.count != self.count {
            let what = format!("there are {} entries, the last line says {}", self.count, tail.count);
            self.ledger.add(Damage::general(Kind::File, what));
        }
        for (level, index, hash) in tail.nodes {
            let first =
                index.checked_shl(level.into()).filter(|first| level < 64 && first >> level == index)?;
            self.tree.push((first, level, Hash::from_base64(&hash)?));
        }
        self.done = true;
        Some(())
    }
}

/// Entries missing from a range that the export claims to be complete over.
fn report_holes(range: std::ops::Range<u64>, found: impl Iterator<Item = u64>, ledger: &mut Ledger) {
    const WHAT: &str = "missing: the export claims to be complete";
    let mut expected = range.start;
    for index in found {
        if index > expected {
            ledger.add(Damage::of_entries(Kind::Missing, expected..index, WHAT));
        }
        expected = expected.max(index.saturating_add(1));
    }
    if expected < range.end {
        ledger.add(Damage::of_entries(Kind::Missing, expected..range.end, WHAT));
    }
}

/// Puts entries and nodes together to the whole tree, whose root must be the signed one.
fn judge(head: &Head, tree: &mut [(u64, u8, Hash)], options: &Options<'_>, ledger: &mut Ledger) {
    let named;
    let mut options = options;
    let origin = head.checkpoint.lines().next().unwrap_or_default();
    let has_key = options.key.is_some() || options.pins.iter().any(|pin| pin.key.name() == origin);
    if !has_key {
        named = Options { key: head.vkey.parse().ok(), ..Options::default() };
        options = &named;
        ledger.limits.push("that the key named in the export is not the log's: compare it with one from a source you trust, or give a pin".into());
    }
    let Some((checkpoint, vouched)) = open(&head.checkpoint, options, ledger) else { return };
    if !vouched {
        return;
    }
    ledger.checkpoint = Some(Signed { size: checkpoint.size, root: checkpoint.root.to_string() });
    tree.sort_by_key(|part| (part.0, part.1));
    let exported = ledger.first..ledger.end;
    let mut frontier = Frontier::new();
    for (first, level, hash) in &*tree {
        let end = 1_u64.checked_shl((*level).into()).and_then(|width| first.checked_add(width));
        let fits =
            first.trailing_zeros() >= u32::from(*level) && end.is_some_and(|end| end <= checkpoint.size);
        if *first != frontier.size() || !fits {
            let what = "the entries and nodes do not make a whole tree: some are missing, or given twice";
            ledger.add(Damage::of_entries(Kind::Diverged, exported, what));
            return;
        }
        frontier.push_node(*level, *hash);
    }
    if (frontier.size(), frontier.root()) != (checkpoint.size, checkpoint.root) {
        let what = "the entries do not lead to the root of the checkpoint: at least one of them, or a node, was changed";
        ledger.add(Damage::of_entries(Kind::Diverged, exported, what));
    }
}
