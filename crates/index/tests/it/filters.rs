//! Random filters over the vocabulary of the entries.

use std::ops::{Bound, Range};
use std::sync::Arc;

use attestry_event::{Decimal, Field};
use attestry_index::{Bounds, Filter, Matcher, Needle, Target};
use regex_automata::meta::Regex;

use crate::entries::{NAMES, NUMBERS, PATHS, Random, SECOND, START, TEXTS, USERS, long_value, long_word};

fn target(random: &mut Random) -> Target {
    match random.below(10) {
        0..5 => Target::Keyword(Field::ALL[random.below(Field::ALL.len() as u64) as usize]),
        5 => Target::AnyKeyword,
        6 => Target::Path(format!("{}.{}", random.pick(&PATHS), random.pick(&PATHS))),
        7 => Target::Path(random.pick(&["rare7", "rare77", "a.b", "nowhere", &"n".repeat(300)]).to_owned()),
        _ => Target::Path(random.pick(&PATHS).to_owned()),
    }
}

/// Some text that may be a value.
fn value(random: &mut Random, known: &[String]) -> String {
    match random.below(16) {
        0 => random.pick(&NAMES).to_owned(),
        1 => random.pick(&USERS).to_owned(),
        2 => random.pick(&["success", "relay1", "relay2", "web1", "agent0", "source2", "nothing"]).to_owned(),
        3 => random.pick(&["true", "false", "null"]).to_owned(),
        4 => random.pick(&NUMBERS).to_owned(),
        5 => format!("res/{}", random.below(250)),
        6 => format!("10.0.{}.{}", random.below(3), random.below(20)),
        7 => long_value(random.pick(&["a", "b", "c"])),
        8 => long_word(random.pick(&["a", "b"])),
        9..12 if !known.is_empty() => known[random.below(known.len() as u64) as usize].clone(),
        _ => random.pick(&TEXTS).to_owned(),
    }
}

fn word(random: &mut Random) -> String {
    match random.below(8) {
        0 => long_word(random.pick(&["a", "b", "z"])).to_lowercase(),
        1 => random.pick(&["οδος", "größe", "日本語", "o", "brien", "user_name", "x", "200"]).to_owned(),
        2 => "lö".repeat(40).chars().take(42).collect(),
        _ => random
            .pick(&["connection", "reset", "peer", "refused", "true", "10", "0", "a", "nothing"])
            .to_owned(),
    }
}

fn matcher(random: &mut Random) -> Matcher {
    let regex = |prefix: &str, pattern: &str| Matcher::Regex {
        prefix: prefix.to_owned(),
        regex: Regex::new(&format!("^(?s:{pattern})$")).unwrap(),
    };
    let needle = |random: &mut Random| {
        let text = random.pick(&["e", "re", "on", "10", "0.1", "es/", "ü", "user", "ww", "zz", "x", "Re"]);
        if random.chance(50) { Needle::exact(text) } else { Needle::any_case(text) }
    };
    match random.below(12) {
        0 => Matcher::Prefix(String::new()),
        1 => Matcher::Prefix(
            random.pick(&["log", "con", "a", "10.0.1.", "res/1", "日", "größ", "tr"]).to_owned(),
        ),
        2 => {
            let long = if random.chance(50) { long_value("a") } else { long_word("a").to_lowercase() };
            let chars = long.chars().count() as u64;
            Matcher::Prefix(long.chars().take(random.below(chars + 1) as usize).collect())
        }
        3 => regex("", ".*e.*"),
        4 => regex("lo", "lo.*[se]"),
        5 => regex("", "[0-9]+"),
        6 => regex("", ".*(a|b)"),
        7 => regex(&long_value(""), &format!("{}.", long_value(""))),
        8 => Matcher::Test {
            prefix: String::new(),
            needle: needle(random),
            test: Arc::new(|text| text.len() % 3 == 0),
        },
        9..11 => Matcher::Contains(needle(random)),
        _ => Matcher::Test {
            prefix: "10.".to_owned(),
            needle: Needle::none(),
            test: Arc::new(|text| text.ends_with('7')),
        },
    }
}

fn bound(random: &mut Random) -> Bound<Decimal> {
    let number = if random.chance(70) {
        Decimal::parse(random.pick(&NUMBERS)).unwrap()
    } else {
        Decimal::from(random.below(300))
    };
    match random.below(5) {
        0 => Bound::Unbounded,
        1..3 => Bound::Excluded(number),
        _ => Bound::Included(number),
    }
}

fn times(random: &mut Random, rows: u64) -> Range<i64> {
    let point = |random: &mut Random| START + (random.below(rows * 2) as i64 - rows as i64 / 2) * SECOND;
    let start = point(random);
    match random.below(4) {
        0 => start..i64::MAX,
        1 => i64::MIN..start,
        2 => start..start - 1,
        _ => start..point(random),
    }
}

pub(crate) fn filter(random: &mut Random, rows: u64, known: &[String], depth: u32) -> Filter {
    let several = |random: &mut Random| -> Vec<Filter> {
        (0..random.below(4)).map(|_| filter(random, rows, known, depth + 1)).collect()
    };
    match random.below(if depth < 3 { 24 } else { 18 }) {
        0 => Filter::All,
        1 => Filter::None,
        2 => Filter::Word(word(random)),
        3 => {
            let phrases = [
                "connection reset",
                "reset by",
                "reset by peer",
                "connection refused from",
                "by peer x",
                "over größe",
                "ärger über",
                "reset connection",
                "10 0 0",
                "0 0",
                "peer connection",
                "disk full",
            ];
            match random.below(4) {
                0 => Filter::Phrase((0..random.below(4)).map(|_| word(random)).collect()),
                _ => Filter::Phrase(random.pick(&phrases).split(' ').map(str::to_owned).collect()),
            }
        }
        4 if random.chance(50) => Filter::WordMatch(matcher(random)),
        4 => {
            let text =
                random.pick(&["on", "Conn", "re", "e", "ÄR", "är", "λ", "LOG", "x", "RESET", "a", "eset"]);
            let lower = match random.below(3) {
                0 => Matcher::Prefix(String::new()),
                _ if text.is_ascii() => Matcher::Contains(Needle::exact(text.to_lowercase())),
                _ => Matcher::Contains(Needle::none()),
            };
            let any_case = random.chance(50) && text.is_ascii();
            let needle = if any_case { Needle::any_case(text) } else { Needle::exact(text) };
            Filter::WordAsWritten { exact: Matcher::Contains(needle), lower, any_case }
        }
        5..8 => Filter::Equals(target(random), value(random, known)),
        8..10 => Filter::Match(target(random), matcher(random)),
        10..12 => Filter::Number(target(random), Bounds { low: bound(random), high: bound(random) }),
        12 => Filter::Number(target(random), Bounds::exactly(Decimal::parse(random.pick(&NUMBERS)).unwrap())),
        13 => Filter::Exists(target(random)),
        14 => Filter::EventTime(times(random, rows)),
        15 => Filter::ReceivedAt(times(random, rows)),
        16 => Filter::Rows((0..random.below(20)).map(|_| random.below(rows + 5)).collect()),
        17 => {
            let start = random.below(rows);
            Filter::RowRange(start..start + random.below(rows))
        }
        18..20 => Filter::And(several(random)),
        20..22 => Filter::Or(several(random)),
        22 => Filter::Not(Box::new(filter(random, rows, known, depth + 1))),
        _ => Filter::Maybe(Box::new(filter(random, rows, known, depth + 1))),
    }
}

/// Whether the interface promises that nothing of this filter is left open, on entries without `$ref`s, long words,
/// long values, loose paths and hashed fields.
pub(crate) fn promises_certainty(filter: &Filter) -> bool {
    let held = |target: &Target| {
        !matches!(
            target,
            Target::Keyword(Field::EventId | Field::EventTime | Field::ReceivedAt | Field::Message)
        )
    };
    match filter {
        Filter::And(filters) | Filter::Or(filters) => filters.iter().all(promises_certainty),
        Filter::Not(filter) => promises_certainty(filter),
        // The entries have words in several cases.
        Filter::Maybe(_) | Filter::WordAsWritten { .. } | Filter::Phrase(_) => false,
        Filter::Equals(target, _) | Filter::Number(target, _) => held(target),
        Filter::Match(Target::Keyword(Field::AgentEpoch | Field::AgentSeq), _) => false,
        Filter::Match(target, _) => held(target),
        _ => true,
    }
}
