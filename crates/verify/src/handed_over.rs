//! A report that Attestry handed over, as HTML, Markdown, JSON or CSV (`docs/formats.md`, section 12): the checkpoints it was made at, and
//! the proof of each entry that it shows.
//!
//! What the report says *about* these entries, its counts and sums, follows from the whole ledger: `attestry report replay` computes it again.

use std::collections::BTreeSet;

use attestry_tlog::{Hash, leaf_hash, verify_inclusion};
use serde::Deserialize;

use crate::Options;
use crate::entries::Entries;
use crate::ledger::finish_entries;
use crate::proof::open;
use crate::report::{Damage, Kind, Ledger, Report, Signed, Subject};

/// What the line for programs begins with, after what leads to it.
const HTML: [&str; 2] = ["<script type=\"application/json\" id=\"attestry-report\">", "</script>"];
const MARKDOWN: [&str; 2] = ["<!-- attestry-report\n", "\n-->"];
const CSV: &str = "\r\nattestry-report,\"";

#[derive(Deserialize)]
struct Document {
    attestry_report: u32,
    recipe: Recipe,
    body: serde_json::Value,
    evidence: Vec<Evidence>,
}

#[derive(Deserialize)]
struct Recipe {
    ledgers: Vec<LedgerAt>,
}

#[derive(Deserialize)]
struct LedgerAt {
    name: String,
    origin: String,
    size: u64,
    root: String,
}

#[derive(Deserialize)]
struct Evidence {
    ledger: String,
    vkey: String,
    checkpoint: String,
    events: Vec<Proven>,
}

#[derive(Deserialize)]
struct Proven {
    index: u64,
    entry: String,
    proof: Vec<String>,
}

/// The part for programs of a text that may be a report: none when it has none. The last one counts.
fn part(text: &str) -> Option<String> {
    if text.starts_with('{') {
        return text.contains("\"attestry_report\"").then(|| text.to_owned());
    }
    let between = |[open, close]: [&str; 2]| {
        let rest = text.get(text.rfind(open)? + open.len()..)?;
        Some(rest.get(..rest.find(close)?)?.to_owned())
    };
    if text.starts_with("<!DOCTYPE html>") {
        return between(HTML);
    }
    between(MARKDOWN).or_else(|| {
        let rest = text.get(text.rfind(CSV)? + CSV.len()..)?;
        Some(rest.trim_end().strip_suffix('"')?.replace("\"\"", "\""))
    })
}

/// Checks a report that was read already; none when the text is no report.
///
/// Without a key or pin in the options, the keys that the report itself names are used, and what that leaves open is said.
pub fn handed_over(target: &str, text: &str, options: &Options<'_>) -> Option<Report> {
    part(text).map(|part| checked(target, &part, options))
}

fn checked(target: &str, part: &str, options: &Options<'_>) -> Report {
    let mut report = Report::new(target, Subject::Report);
    let document: Document = match serde_json::from_str(part) {
        Ok(document) => document,
        Err(error) => {
            report.damage.push(Damage::general(Kind::File, format!("its part for programs: {error}")));
            return report;
        }
    };
    if document.attestry_report != 1 {
        let what = format!("its format is version {}, expected 1", document.attestry_report);
        report.damage.push(Damage::general(Kind::File, what));
        return report;
    }
    let mut shown = BTreeSet::new();
    cites(&document.body, &mut shown);
    for at in &document.recipe.ledgers {
        let mut ledger = Ledger::new(&at.name);
        match document.evidence.iter().find(|of| of.ledger == at.name) {
            Some(evidence) => check(at, evidence, &mut shown, options, &mut ledger),
            None => ledger.add(Damage::general(Kind::Checkpoint, "its checkpoint is missing")),
        }
        report.ledgers.push(ledger);
    }
    for (ledger, index) in shown {
        let what = format!("the report shows entry {index} of {ledger} without its proof");
        report.damage.push(Damage::general(Kind::Missing, what));
    }
    report
}

fn check(
    at: &LedgerAt,
    evidence: &Evidence,
    shown: &mut BTreeSet<(String, u64)>,
    options: &Options<'_>,
    ledger: &mut Ledger,
) {
    // One key on the command line cannot be that of several ledgers: it counts for the one it is of.
    let of_this = |key: &&crate::VerifierKey| key.name() == at.origin;
    let given = options.key.as_ref().filter(of_this);
    let pinned = options.pins.iter().map(|pin| &pin.key).find(of_this);
    let key = given.or(pinned).cloned();
    if key.is_none() {
        ledger.limits.push("that the key named in the report is not the log's: compare it with one from a source you trust, or give a pin".into());
    }
    let keyed = Options { key: key.or_else(|| evidence.vkey.parse().ok()), ..Options::default() };
    let Some((checkpoint, true)) = open(&evidence.checkpoint, &keyed, ledger) else { return };
    ledger.checkpoint = Some(Signed { size: checkpoint.size, root: checkpoint.root.to_string() });
    let said = (at.origin.as_str(), at.size, at.root.as_str());
    if said != (checkpoint.origin.as_str(), checkpoint.size, checkpoint.root.to_string().as_str()) {
        let what = "the report names another tree than the checkpoint in it";
        ledger.add(Damage::general(Kind::Checkpoint, what));
    }
    for pinned in options.pins.iter().filter_map(|pin| pin.open().ok()) {
        let same = pinned.origin == checkpoint.origin && pinned.size == checkpoint.size;
        if same && pinned.root != checkpoint.root {
            let what = "the pinned checkpoint of the same size has another root: the log has two histories";
            ledger.add(Damage::of_entries(Kind::Pin, 0..pinned.size, what));
        }
    }
    let mut entries = Entries::default();
    let mut newest = None;
    for event in &evidence.events {
        let range = event.index..event.index.saturating_add(1);
        if newest.is_some_and(|newest| newest >= event.index) {
            ledger.add(Damage::of_entries(Kind::Order, range.clone(), "not in the order of the log"));
        }
        newest = Some(event.index);
        let hashes: Option<Vec<Hash>> = event.proof.iter().map(|hash| Hash::from_base64(hash)).collect();
        let leaf = leaf_hash(event.entry.as_bytes());
        let proved = match &hashes {
            Some(hashes) => {
                verify_inclusion(leaf, event.index, checkpoint.size, hashes, checkpoint.root).is_ok()
            }
            None => false,
        };
        if proved {
            entries.add(event.index, event.entry.as_bytes());
        } else {
            let what =
                "the proof does not lead to the root of the checkpoint: the entry or the proof was changed";
            ledger.add(Damage::of_entries(Kind::Altered, range, what));
        }
        shown.remove(&(at.name.clone(), event.index));
        ledger.hashed += 1;
    }
    (ledger.first, ledger.end) = match (evidence.events.first(), evidence.events.last()) {
        (Some(first), Some(last)) => (first.index, last.index.saturating_add(1)),
        _ => (0, 0),
    };
    finish_entries(ledger, entries.damage, entries.uninterpreted);
    if !entries.references.is_empty() {
        ledger.notes.push("entries refer to large values, which are not part of the report".into());
    }
    ledger.limits.push("that the report leaves something out, or counts wrongly: `attestry report replay` with the log makes it again".into());
}

/// Every entry that a body shows.
fn cites(value: &serde_json::Value, found: &mut BTreeSet<(String, u64)>) {
    match value {
        serde_json::Value::Array(list) => list.iter().for_each(|value| cites(value, found)),
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                let cite = value.get("ledger").and_then(|ledger| ledger.as_str());
                match (name.as_str(), cite, value.get("index").and_then(serde_json::Value::as_u64)) {
                    ("cite", Some(ledger), Some(index)) => drop(found.insert((ledger.to_owned(), index))),
                    _ => cites(value, found),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_for_programs_counts() {
        for (text, expected) in [
            ("{\"attestry_report\":1}", Some("{\"attestry_report\":1}")),
            ("{\"a\":1}", None),
            (
                "<!DOCTYPE html>x<script type=\"application/json\" id=\"attestry-report\">1</script><script type=\"application/json\" id=\"attestry-report\">2</script>",
                Some("2"),
            ),
            ("# T\n<!-- attestry-report\n1\n-->\n<!-- attestry-report\n2\n-->\n", Some("2")),
            ("report,x\r\n\r\nattestry-report,\"{\"\"a\"\":1}\"\r\n", Some("{\"a\":1}")),
            ("<!DOCTYPE html>", None),
            ("", None),
        ] {
            assert_eq!(part(text).as_deref(), expected, "{text}");
        }
    }
}
