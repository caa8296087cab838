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
    assert_eq!(verdict.code, code, "{}", verdict.text);
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
        let cut = &honest[..honest.trim_end().rfind('\n').unwrap() + 1];
        check_export(cut, &pins, 1);
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
}
