//! Proofs and exports, true and forged.

use std::fs;

use attestry_tlog::{Pin, SigningKey, TlogProof, inclusion_proof, leaf_hash, subtree_root};
use attestry_verify::Options;
use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::both::{ours, python};
use crate::model::{Model, PINNED, SIGNED, edited, hex};

fn proof_of(model: &Model, index: u64) -> TlogProof {
    let hashes = inclusion_proof(index, SIGNED, &model.tree()).unwrap();
    TlogProof { index, hashes, checkpoint: model.signed(SIGNED), extra: Some(b"beside".to_vec()) }
}

/// Writes a proof and its entry, checks them with both, and expects the exit code.
#[track_caller]
fn check_proof(proof: &str, entry: &[u8], pins: &[Pin], vkey: Option<&str>, code: i64) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.tlog-proof");
    fs::write(&path, proof).unwrap();
    fs::write(dir.path().join("e.json"), entry).unwrap();
    let key = vkey.map(|key| key.parse().unwrap());
    let (verdict, _) = ours(&path, pins, Options { key, ..Options::default() });
    let more: Vec<&str> = vkey.map_or(Vec::new(), |key| vec!["--vkey", key]);
    let theirs = python(&path, pins, &more);
    assert_eq!((verdict.code, theirs.code), (code, code), "{}\n{}", verdict.text, theirs.text);
    verdict.text
}

#[test]
fn proofs() {
    let model = Model::sample();
    let pins = [model.pin(PINNED)];
    for index in [0, 77, 1_000, SIGNED - 1] {
        let (proof, entry) = (proof_of(&model, index), &model.entries[index as usize]);
        let text = proof.to_string();
        check_proof(&text, entry, &pins, None, 0);
        check_proof(&text, entry, &[], Some(&model.vkey), 0);
        check_proof(&text, &[entry, &b"\n"[..]].concat(), &pins, None, 0);
        let said = check_proof(&text, entry, &[], None, 2);
        assert!(said.contains("signature"), "{said}");
        check_proof(&text, &edited(index), &pins, None, 1);
        for position in 0..proof.hashes.len() {
            let mut changed = proof.clone();
            changed.hashes[position].0[0] ^= 1;
            let (verdict, entry) = (changed.to_string(), entry.clone());
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("e.tlog-proof"), verdict).unwrap();
            fs::write(dir.path().join("e.json"), entry).unwrap();
            let options = Options { pins: pins.to_vec(), ..Options::default() };
            let report = attestry_verify::check(dir.path().join("e.tlog-proof").to_str().unwrap(), &options);
            assert_eq!(report.unwrap().exit_code(), 1, "hash {position}");
        }
        check_proof(&TlogProof { index: index ^ 1, ..proof.clone() }.to_string(), entry, &pins, None, 1);
    }
    let proof = proof_of(&model, 5);
    let other = SigningKey::generate(model.key.name(), [8; 32]).unwrap().verifier().to_string();
    check_proof(&proof.to_string(), &model.entries[5], &[], Some(&other), 1);
    check_proof(&proof.to_string().replace("index 5", "index 05"), &model.entries[5], &pins, None, 1);
    check_proof(&proof.to_string().replace("\n1090\n", "\n1091\n"), &model.entries[5], &pins, None, 1);
}

/// The export of some entries, with the nodes between them.
fn export_of(model: &Model, indexes: &[u64], complete: bool) -> String {
    let (first, end) = (indexes[0], indexes[indexes.len() - 1] + 1);
    let range = if complete { (first.to_string(), end.to_string()) } else { ("null".into(), "null".into()) };
    let mut lines = vec![format!(
        "{{\"attestry_export\":1,\"ledger\":\"audit\",\"vkey\":\"{}\",\"checkpoint\":{},\"first\":{},\"end\":{},\"query\":null}}",
        model.vkey,
        serde_json::Value::from(model.signed(SIGNED)),
        range.0,
        range.1
    )];
    for (_, value) in model.values.iter().filter(|(index, _)| indexes.contains(index)) {
        let content = serde_json::Value::from(String::from_utf8_lossy(&value.content));
        let (hash, salt) = (hex(&value.hash), BASE64_STANDARD.encode(value.salt));
        lines.push(format!("{{\"value\":\"sha256:{hash}\",\"salt\":\"{salt}\",\"content\":{content}}}"));
    }
    for index in indexes {
        lines.push(format!(
            "{{\"index\":{index},\"entry\":{}}}",
            std::str::from_utf8(&model.entries[*index as usize]).unwrap()
        ));
    }
    let mut nodes = Vec::new();
    let mut at = 0;
    while at < SIGNED {
        if indexes.contains(&at) {
            at += 1;
            continue;
        }
        let mut level = 0;
        while at.is_multiple_of(2 << level)
            && at + (2 << level) <= SIGNED
            && !indexes.iter().any(|index| (at..at + (2 << level)).contains(index))
        {
            level += 1;
        }
        let leaves: Vec<_> = model.entries[at as usize..(at + (1 << level)) as usize]
            .iter()
            .map(|entry| leaf_hash(entry))
            .collect();
        nodes.push(format!("[{level},{},\"{}\"]", at >> level, subtree_root(&leaves)));
        at += 1 << level;
    }
    lines.push(format!("{{\"nodes\":[{}],\"count\":{}}}", nodes.join(","), indexes.len()));
    lines.join("\n") + "\n"
}

#[track_caller]
fn check_export(text: &str, pins: &[Pin], code: i64) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.ndjson");
    fs::write(&path, text).unwrap();
    let (verdict, _) = ours(&path, pins, Options::default());
    let theirs = python(&path, pins, &[]);
    assert_eq!((verdict.code, theirs.code), (code, code), "{}\n{}", verdict.text, theirs.text);
    // Either tells, where no key was given from elsewhere, that the one in the export may be anybody's.
    assert_eq!((verdict.limits, theirs.limits), (pins.is_empty(), pins.is_empty()), "{}", theirs.text);
    verdict.text
}

#[test]
fn exports() {
    let model = Model::sample();
    let pins = [model.pin(PINNED)];
    let range: Vec<u64> = (70..330).collect();
    let some = vec![0, 3, 77, 500, 600, 1_050, SIGNED - 1];
    for (indexes, complete) in [(range.clone(), true), (some.clone(), false)] {
        let honest = export_of(&model, &indexes, complete);
        check_export(&honest, &pins, 0);
        let said = check_export(&honest, &[], 0);
        assert!(said.contains("compare it with one from a source you trust"), "{said}");

        let entry = |index: u64| String::from_utf8(model.entries[index as usize].clone()).unwrap();
        let forged = String::from_utf8(edited(indexes[1])).unwrap();
        check_export(&honest.replace(&entry(indexes[1]), &forged), &pins, 1);
        let line = format!("{{\"index\":{},\"entry\":{}}}\n", indexes[2], entry(indexes[2]));
        let dropped = honest.replace(&line, "");
        assert_ne!(dropped, honest);
        check_export(&dropped, &pins, 1);
        let count = format!("\"count\":{}", indexes.len());
        check_export(&dropped.replace(&count, &format!("\"count\":{}", indexes.len() - 1)), &pins, 1);
        check_export(&honest.replace("value 77 ", "value 78 "), &pins, 1);
        check_export(&honest.replace("\\n1090\\n", "\\n1089\\n"), &pins, 1);
        check_export(&honest.replace("\"salt\":\"TU1N", "\"salt\":\"TU1M"), &pins, 1);
        let cut = &honest[..honest.trim_end().rfind('\n').unwrap() + 1];
        check_export(cut, &pins, 1);
        // A value that is not there may have been erased: the entry stands.
        let value = honest.lines().find(|line| line.starts_with("{\"value\"")).unwrap();
        check_export(&honest.replace(&format!("{value}\n"), ""), &pins, 0);
        check_export(&format!("{honest}{value}\n"), &pins, 1);
        check_export(&format!("{honest}{line}"), &pins, 1);
        check_export(&honest.replace(&line, &format!("{line}{line}")), &pins, 1);
        check_export(&honest.replace(&line, &format!("{line}{{}}\n")), &pins, 1);
        check_export(&honest.replace(&line, &format!("{line}no JSON\n")), &pins, 1);
        // Two lines in another order.
        let before = format!("{{\"index\":{},\"entry\":{}}}\n", indexes[3], entry(indexes[3]));
        let (swapped, both) = (format!("{before}{line}"), format!("{line}{before}"));
        assert!(honest.contains(&both));
        check_export(&honest.replace(&both, &swapped), &pins, 1);
        // A node that is another, is gone, or lies nowhere.
        let tail = honest.lines().last().unwrap();
        let node = &tail[tail.find('[').unwrap() + 1..=tail.find(']').unwrap()];
        check_export(&honest.replace(&format!("{node},"), ""), &pins, 1);
        check_export(&honest.replace(node, &format!("{node},{node}")), &pins, 1);
        check_export(&honest.replace("[[", "[[6"), &pins, 1);
        let level = &node[..node.find(',').unwrap() + 1];
        check_export(&honest.replace(node, &node.replace(level, "[18446744073709551615,")), &pins, 1);
        check_export(&honest.replace("\"nodes\"", "\"notes\""), &pins, 1);
    }
    // An entry left out of what claims to be complete, with the node that fits.
    let mut holed = range;
    holed.remove(100);
    check_export(&export_of(&model, &holed, false), &pins, 0);
    let said = check_export(&export_of(&model, &holed, true), &pins, 1);
    assert!(said.contains("entry 170: missing"), "{said}");
    // Another history under another key: clean by itself, not with the pin.
    let mut other = Model::sample();
    other.key = SigningKey::generate(other.key.name(), [8; 32]).unwrap();
    other.vkey = other.key.verifier().to_string();
    check_export(&export_of(&other, &some, false), &[], 0);
    check_export(&export_of(&other, &some, false), &pins, 1);
    // A key by hand: the right one, and that of the other history.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.ndjson");
    fs::write(&path, export_of(&model, &some, false)).unwrap();
    for (vkey, code) in [(&model.vkey, 0), (&other.vkey, 1)] {
        let (verdict, _) = ours(&path, &[], Options { key: vkey.parse().ok(), ..Options::default() });
        let theirs = python(&path, &[], &["--vkey", vkey]);
        assert_eq!((verdict.code, theirs.code), (code, code), "{}\n{}", verdict.text, theirs.text);
        assert!(!verdict.limits && !theirs.limits, "{}", theirs.text);
    }
}

/// The forgeries that a ledger's directory is tried with, handed out as exports.
#[test]
fn forged_histories() {
    let all: Vec<u64> = (0..SIGNED).collect();
    let pins = [Model::sample().pin(PINNED)];
    // Each keeps the honest checkpoint.
    type Forge = fn(&mut Model);
    let forgeries: [(&str, Forge); 4] = [
        ("edited", |model| model.set(300, edited(300))),
        ("dropped", |model| drop(model.entries.remove(900))),
        ("inserted", |model| model.entries.insert(900, edited(899))),
        ("reordered", |model| model.entries.swap(300, 310)),
    ];
    for (what, forge) in forgeries {
        let mut model = Model::sample();
        let honest = model.signed(SIGNED);
        forge(&mut model);
        let forged = export_of(&model, &all, true);
        let own = serde_json::Value::from(model.signed(SIGNED)).to_string();
        let forged = forged.replace(&own, &serde_json::Value::from(honest).to_string());
        let said = check_export(&forged, &pins, 1);
        assert!(said.contains("entries 0 to 1,089: the entries do not lead to the root"), "{what}: {said}");
    }
}

#[test]
fn a_newer_format_is_named() {
    let dir = tempfile::tempdir().unwrap();
    Model::sample().write(dir.path());
    fs::write(dir.path().join("FORMAT"), "attestry-data 27\n").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/verify.py");
    let ran = std::process::Command::new("python3").args(["-B", script]).arg(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.code() == Some(2) && said.contains("'attestry-data 27'"), "{said}");
    let report = attestry_verify::directory(dir.path(), &Options::default());
    assert!(report.unwrap_err().to_string().contains("\"attestry-data 27\""));
}
