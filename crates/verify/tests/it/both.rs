//! Running both verifiers and comparing what they say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use attestry_tlog::Pin;
use attestry_verify::{Options, Report, check};

/// What a verifier says: its exit code, and the entries that its findings name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) code: i64,
    pub(crate) named: BTreeSet<u64>,
    pub(crate) limits: bool,
    pub(crate) text: String,
}

/// Checks `target` with this crate's library.
pub(crate) fn ours(target: &Path, pins: &[Pin], more: Options<'_>) -> (Verdict, Report) {
    let options = Options { pins: pins.to_vec(), ..more };
    let report = check(target.to_str().unwrap(), &options).unwrap();
    let mut named = BTreeSet::new();
    for (_, damage) in report.all_damage() {
        named.extend(damage.first.unwrap_or(0)..damage.end.unwrap_or(0));
    }
    let limits = report.ledgers.iter().any(|ledger| !ledger.limits.is_empty());
    (Verdict { code: report.exit_code().into(), named, limits, text: report.to_string() }, report)
}

/// Checks `target` with `tools/verify.py`.
pub(crate) fn python(target: &Path, pins: &[Pin], more: &[&str]) -> Verdict {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/verify.py");
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(target).arg("--json").args(more);
    for (nth, pin) in pins.iter().enumerate() {
        let path = dir.path().join(format!("{nth}.pin"));
        std::fs::write(&path, pin.to_string()).unwrap();
        command.arg("--pin").arg(path);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = i64::from(output.status.code().unwrap());
    let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) else {
        panic!("verify.py gave no report: {text}{errors}");
    };
    assert_eq!(json["exit"], code, "{text}{errors}");
    let (mut named, mut limits) = (BTreeSet::new(), false);
    let mut readable = String::new();
    for ledger in json["ledgers"].as_array().unwrap() {
        limits |= !ledger["limits"].as_array().unwrap().is_empty();
        for damage in ledger["damage"].as_array().unwrap() {
            named.extend(damage["first"].as_u64().unwrap_or(0)..damage["end"].as_u64().unwrap_or(0));
            writeln!(readable, "{damage}").unwrap();
        }
    }
    Verdict { code, named, limits, text: format!("{readable}{}", json["ledgers"]) }
}

/// Both verdicts on a directory, which must agree.
pub(crate) fn agreed(target: &Path, pins: &[Pin]) -> Verdict {
    let (ours, report) = ours(target, pins, Options::default());
    let theirs = python(target, pins, &[]);
    assert_eq!(ours.code, theirs.code, "ours:\n{}\ntheirs:\n{}", ours.text, theirs.text);
    assert_eq!(ours.named, theirs.named, "ours:\n{}\ntheirs:\n{}", ours.text, theirs.text);
    assert_eq!(report.to_json()["exit"], ours.code);
    ours
}
