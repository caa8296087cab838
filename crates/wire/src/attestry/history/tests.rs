use super::*;
use attestry_tlog::{Frontier, Nodes, SigningKey, consistency_proof, leaf_hash, root};
use std::collections::HashMap;

/// A log whose entries are numbers.
pub(super) struct Log {
    pub(super) key: SigningKey,
    pub(super) entries: Vec<u64>,
}

impl Nodes for Log {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let mut tree = Frontier::new();
        let width = 1usize << level;
        for entry in &self.entries[index as usize * width..][..width] {
            tree.push(leaf_hash(&entry.to_be_bytes()));
        }
        Ok(tree.root())
    }
}

impl Log {
    fn new(entries: impl Iterator<Item = u64>) -> Log {
        Log { key: SigningKey::generate("log.example/audit", [3; 32]).unwrap(), entries: entries.collect() }
    }

    fn answer(&self, from: u64) -> Answer {
        let size = self.entries.len() as u64;
        let Ok(root) = root(size, self);
        let note = Checkpoint::new("log.example/audit", size, root).sign(&self.key);
        let proof = consistency_proof(from, size, self).unwrap_or_default();
        let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
        let body = serde_json::json!({"checkpoint": note, "proof": proof}).to_string().into_bytes();
        Answer { status: 200, retry_after: None, body }
    }
}

fn agent(dir: &std::path::Path, log: Option<&Log>) -> Agent {
    let keys: HashMap<_, _> = log.iter().map(|log| ("audit".to_owned(), log.key.verifier())).collect();
    Agent { name: "web1".into(), pins: dir.join("pins"), keys, on_alarm: Arc::new(|_| {}) }
}

#[test]
fn a_log_that_grows_moves_the_pin() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(0..0);
    let agent = agent(dir.path(), Some(&log));
    let mut history = History::open(&agent, "audit").unwrap();
    for size in [0, 1, 2, 3, 3, 7, 8, 64, 100] {
        let log = Log::new(0..size);
        history = history.advance(&log.answer(history.size())).unwrap();
        assert_eq!(history.size(), size);
        let again = History::open(&agent, "audit").unwrap();
        assert_eq!((again.size, again.root, &again.note), (history.size, history.root, &history.note));
    }
    let names: Vec<_> =
        fs::read_dir(dir.path().join("pins")).unwrap().map(|name| name.unwrap().file_name()).collect();
    assert_eq!(names, ["audit"], "nothing is left beside the pin");
}

/// Each is another history, told before the pin moves.
#[test]
fn another_history_is_noticed() {
    let swapped = |size: u64| Log::new((0..size).map(|entry| if entry == 4 { 99 } else { entry }));
    let other_key =
        |size| Log { key: SigningKey::generate("log.example/audit", [4; 32]).unwrap(), ..Log::new(0..size) };
    let told = |log: Log| log.answer(10);
    let proof = |edit: fn(&mut Vec<String>)| {
        let answer = Log::new(0..30).answer(10);
        let mut json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let mut hashes: Vec<String> = serde_json::from_value(json["proof"].take()).unwrap();
        edit(&mut hashes);
        json["proof"] = hashes.into();
        Answer { body: json.to_string().into_bytes(), ..answer }
    };
    for (case, answer, word) in [
        ("cut", told(Log::new(0..9)), "cut"),
        ("cut to nothing", told(Log::new(0..0)), "cut"),
        ("cut, as the server says", Answer { status: 409, ..Answer::default() }, "fewer"),
        ("replaced entry, same size", told(swapped(10)), "does not prove"),
        ("replaced entry, grown", told(swapped(30)), "does not prove"),
        ("another key", told(other_key(30)), "not the word"),
        ("no proof", proof(Vec::clear), "does not prove"),
        ("proof cut", proof(|hashes| drop(hashes.pop())), "does not prove"),
        ("proof longer", proof(|hashes| hashes.push(hashes[0].clone())), "does not prove"),
        ("proof of something else", proof(|hashes| hashes.reverse()), "does not prove"),
        ("proof that is no hash", proof(|hashes| hashes[0] = "x".into()), "does not prove"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let agent = agent(dir.path(), Some(&Log::new(0..0)));
        let history = History::open(&agent, "audit").unwrap();
        let history = history.advance(&Log::new(0..10).answer(0)).unwrap();
        let before = fs::read_to_string(&history.file).unwrap();
        match history.advance(&answer) {
            Err(Doubt::OtherHistory { reason, pinned, .. }) => {
                assert!(reason.contains(word), "{case}: {reason}");
                assert_eq!(pinned, history.note, "{case}");
            }
            other => panic!("{case}: {other:?}"),
        }
        assert_eq!(fs::read_to_string(&history.file).unwrap(), before, "{case}: the pin stays");
    }
}

#[test]
fn what_tells_nothing_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(0..5);
    let history = History::open(&agent(dir.path(), Some(&log)), "audit").unwrap();
    for (status, body) in [(200, ""), (200, "[]"), (200, "{}"), (404, "{}"), (403, ""), (500, ""), (302, "")]
    {
        let answer = Answer { status, retry_after: None, body: body.into() };
        let doubt = history.advance(&answer).unwrap_err();
        assert!(matches!(doubt, Doubt::Unclear(Failure::Again { .. })), "{status} {body}: {doubt:?}");
    }
}

#[test]
fn a_pin_is_believed_over_a_key_and_only_whole() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(0..5);
    let with_key = agent(dir.path(), Some(&log));
    History::open(&with_key, "audit").unwrap().advance(&log.answer(0)).unwrap();
    // Without a key from elsewhere the pin is enough.
    let without = agent(dir.path(), None);
    assert_eq!(History::open(&without, "audit").unwrap().size(), 5);
    assert!(matches!(History::open(&without, "logs"), Err(Doubt::Unclear(_))));
    let file = dir.path().join("pins/audit");
    let text = fs::read_to_string(&file).unwrap();
    for damaged in [text[..text.len() / 2].to_owned(), String::new(), text.replacen("\n5\n", "\n4\n", 1)] {
        fs::write(&file, &damaged).unwrap();
        assert!(matches!(History::open(&with_key, "audit"), Err(Doubt::OtherHistory { .. })), "{damaged:?}");
    }
}
