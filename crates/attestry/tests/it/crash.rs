//! Kill -9 at any moment: what was acknowledged is there, once, where it was said to be.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestry_testkit::{Client, Scenario};
use serde_json::Value;

use crate::{ATTESTRY, event};

const CLIENTS: usize = 2;
/// A pause after each answer, which keeps the log small enough to be looked through every round.
const PAUSE: Duration = Duration::from_millis(3);
/// Numbers that look random, from a seed that a failed test prints.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From another seed each time.
    pub(crate) fn seeded() -> Random {
        let seed = RandomState::new().build_hasher().finish();
        #[allow(clippy::print_stdout, reason = "shown when the test fails")]
        {
            println!("seed {seed:#x}");
        }
        Random(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A client that posts batches one after the other. What has no answer is posted again, unchanged, as a careful program does.
struct Poster {
    client: Client,
    name: String,
    random: Random,
    made: u64,
    unanswered: Option<Vec<String>>,
    /// The index of every acknowledged event.
    acknowledged: BTreeMap<String, u64>,
}

impl Poster {
    fn post_until(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let ids = self.unanswered.take().unwrap_or_else(|| {
                let first = self.made;
                // Mostly a few, now and then many, so that groups of all sizes are cut off.
                self.made += if self.random.below(30) == 0 { 300 } else { 1 + self.random.below(10) };
                (first..self.made).map(|number| format!("{}-{number}", self.name)).collect()
            });
            let body: String = ids.iter().map(|id| event(id).to_string() + "\n").collect();
            match self.client.try_post("/api/v1/events", "application/x-ndjson", &body) {
                Ok(answer) if answer.status == 201 => {
                    self.note(&ids, &answer.json());
                    std::thread::sleep(PAUSE);
                }
                // Refused as a whole, which a server that is stopping may do.
                Ok(answer) if answer.status == 503 => self.unanswered = Some(ids),
                Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
                Err(_) => {
                    self.unanswered = Some(ids);
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    fn note(&mut self, ids: &[String], answer: &Value) {
        let events = answer["events"].as_array().unwrap();
        assert_eq!(events.len(), ids.len());
        for (id, placed) in ids.iter().zip(events) {
            assert_eq!(placed["event_id"], **id);
            let index = placed["index"].as_u64().unwrap();
            assert!(self.acknowledged.insert(id.clone(), index).is_none(), "{id} was answered twice");
        }
    }
}

/// All events of the clients, as a search finds them: the index of each.
fn found(reader: &Client) -> BTreeMap<String, u64> {
    let export = [("q", "event_name:door.open"), ("format", "ndjson"), ("limit", "0"), ("order", "asc")];
    let text = reader.get("/api/v1/events", &export).is(200).text();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let hit: Value = serde_json::from_str(line).unwrap();
        let id = hit["event"]["event_id"].as_str().unwrap().to_owned();
        let index = hit["index"].as_u64().unwrap();
        let before = found.insert(id, index);
        assert_eq!(before, None, "{hit} is stored twice");
    }
    found
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    check(25, 0);
}

/// A ledger seals 65,536 entries at a time: with nearly so many there from the beginning, the rounds kill it while it does.
#[test]
fn a_kill_while_a_segment_is_sealed_loses_nothing_either() {
    check(5, 65_400);
}

/// So many rounds of posting, killing and starting again, on a ledger with so many entries.
fn check(rounds: u64, before: usize) {
    let mut random = Random::seeded();
    let seed = random.0;
    let mut scenario = Scenario::started(ATTESTRY);
    let key = scenario.key(&["shop", "--write"]);
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    let mut posters: Vec<Poster> = (0..CLIENTS)
        .map(|nth| Poster {
            client: scenario.client(&key),
            name: format!("c{nth}"),
            random: Random(seed ^ (nth as u64 + 1)),
            made: 0,
            unanswered: None,
            acknowledged: BTreeMap::new(),
        })
        .collect();
    if before > 0 {
        let line = "{\"event_name\":\"before\",\"username\":\"-\"}\n";
        scenario.client(&key).post("/api/v1/events", "application/x-ndjson", line.repeat(before)).is(201);
    }
    let mut acknowledged_in_all = 0;
    for round in 0..rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let running: Vec<_> = posters
            .drain(..)
            .map(|mut poster| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || {
                    poster.post_until(&stop);
                    poster
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(random.below(500)));
        // Some rounds hold the newest checkpoint against everything that comes after.
        if round % 3 == 2 {
            scenario.pin("audit");
        }
        scenario.kill();
        stop.store(true, Ordering::Relaxed);
        posters.extend(running.into_iter().map(|poster| poster.join().unwrap()));

        // What the kill left is whole before anybody repairs it, and continues every tree that was seen.
        scenario.verify_quickly().is(0);
        scenario.start();
        let found = found(&reader);
        let mut acknowledged = 0;
        for (id, index) in posters.iter().flat_map(|poster| &poster.acknowledged) {
            assert_eq!(found.get(id), Some(index), "round {round}: {id} was acknowledged as audit/{index}");
            acknowledged += 1;
        }
        let pending: usize =
            posters.iter().filter_map(|poster| Some(poster.unanswered.as_ref()?.len())).sum();
        assert!(found.len() <= acknowledged + pending, "round {round}: there is what nobody sent");
        acknowledged_in_all = acknowledged;
    }
    assert!(acknowledged_in_all as u64 > 20 * rounds, "only {acknowledged_in_all} events in {rounds} rounds");
    assert_eq!(reader.count("event_name:before"), before as u64);
    scenario.pin("audit");
    scenario.finish();
}
