//! Events made to hurt: what they cost is bounded, and the answers stay right.

use std::ops::Bound;

use attestry_event::{Decimal, Field};
use attestry_index::{Bounds, Filter, Index, Matcher, Needle, Options, RowSet, Target};

use crate::scan;

const HEAD: &str = "{\"v\":1,\"event_id\":\"e\",\"event_time\":\"2026-01-01T00:00:00.000000000Z\",\"received_at\":\"2026-01-01T00:00:00.000000000Z\",\"event_name\":\"n\",\"username\":\"u\",\"event_source\":\"s\",\"source_ip_address\":\"-\",\"read_only\":false";

fn entry(rest: &str) -> Vec<u8> {
    format!("{HEAD}{rest}}}").into_bytes()
}

/// An entry's members have one order, and this one comes before the end of the head.
fn with_request(id: &str) -> Vec<u8> {
    let (before, after) = HEAD.split_once(",\"read_only\"").unwrap();
    format!("{before},\"request_id\":\"{id}\",\"read_only\"{after}}}").into_bytes()
}

/// Adds, merges, and compares each filter with a scan.
fn check(all: &[Vec<u8>], filters: &[Filter]) -> Index {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { background: false, part_rows: 64, ..Options::default() };
    let (index, _) = Index::open(dir.path(), options).unwrap();
    let compare = || {
        for filter in filters {
            for part in index.snapshot().parts() {
                let found = part.eval(filter);
                for offset in 0..part.row_count() {
                    let row = part.rows().start + u64::from(offset);
                    match scan::passes(filter, row, &all[row as usize]) {
                        Some(true) => assert!(found.possible.contains(offset), "row {row} {filter:?}"),
                        Some(false) => assert!(!found.certain.contains(offset), "row {row} {filter:?}"),
                        None => {}
                    }
                }
            }
        }
    };
    index.add(0, &mut all.iter().map(Vec::as_slice)).unwrap();
    compare();
    index.flush().unwrap();
    compare();
    index
}

fn path_equals(path: &str, value: &str) -> Filter {
    Filter::Equals(Target::Path(path.to_owned()), value.to_owned())
}

#[test]
fn more_paths_than_are_indexed() {
    let data = |row: usize| {
        let members: Vec<String> =
            (0..60).map(|member| format!("\"p{row}x{member}\":\"v{}\"", member % 7)).collect();
        format!(",\"event_data\":{{\"same\":\"v{}\",{}}}", row % 5, members.join(","))
    };
    let all: Vec<Vec<u8>> = (0..500).map(|row| entry(&data(row))).collect();
    let filters = [
        path_equals("same", "v1"),
        path_equals("p0x0", "v0"),
        path_equals("p499x59", "v3"),
        path_equals("p250x3", "v3"),
        path_equals("p250x3", "v4"),
        Filter::Exists(Target::Path("p499x7".to_owned())),
        Filter::Not(Box::new(Filter::Exists(Target::Path("p0x7".to_owned())))),
        Filter::Word("v3".to_owned()),
    ];
    let index = check(&all, &filters);
    let snapshot = index.snapshot();
    let part = &snapshot.parts()[0];
    assert_eq!(part.row_count(), 500);
    assert!(part.has_loose());
    assert!(part.paths().count() <= 10_000);
    // The path that all have is among those that stay, and its values are still certain where nothing was left out.
    assert!(part.paths().any(|path| path.path == "same" && path.rows == 500));
    let found = part.eval(&path_equals("same", "v1"));
    assert!(found.certain.len() >= 100, "{}", found.certain.len());
    assert!(part.eval(&path_equals("p499x59", "v3")).possible.len() < 500);
}

#[test]
fn words_without_end() {
    let words = |row: usize| (0..9_000).map(|word| format!("w{row}x{word}")).collect::<Vec<_>>().join(" ");
    let all: Vec<Vec<u8>> = (0..40)
        .map(|row| entry(&format!(",\"message\":\"{} {}\"", words(row % 3), "q".repeat(3_000))))
        .collect();
    let filters = [
        Filter::Word("w0x8999".to_owned()),
        Filter::Word("w2x17".to_owned()),
        Filter::Word("w3x0".to_owned()),
        Filter::Word("q".repeat(3_000)),
        Filter::Word("q".repeat(2_999)),
        Filter::Word("q".repeat(64)),
    ];
    check(&all, &filters);
}

#[test]
fn numbers_at_their_limits() {
    let tokens = [
        "1e999999999999999999999",
        "1e1000000",
        "-1e-1000000",
        "0e999999999",
        "123456789012345678901234567890.5",
    ];
    let long = format!("0.{}1", "0".repeat(3_000));
    let all: Vec<Vec<u8>> = tokens
        .into_iter()
        .chain([long.as_str()])
        .map(|token| entry(&format!(",\"event_data\":{{\"n\":[{token},1,{token},1]}}")))
        .collect();
    let number = |low: &str| {
        let bounds = Bounds { low: Bound::Included(Decimal::parse(low).unwrap()), high: Bound::Unbounded };
        Filter::Number(Target::Path("n".to_owned()), bounds)
    };
    let filters =
        ["1e1000000", "1e1000001", "0", "1", "-1e-1000000", "123456789012345678901234567890.5", &long]
            .map(number);
    let index = check(&all, &filters);
    // A number that a row has twice counts once.
    let target = Target::Path("n".to_owned());
    for part in index.snapshot().parts() {
        let rows = RowSet::from(0..part.row_count());
        let mut ones = 0;
        part.numeric(&target, &rows, &mut |_, number| ones += u32::from(number == 1.0));
        assert_eq!(ones, part.row_count());
        assert!(part.counts(&target, &rows).values.contains(&("1".to_owned(), part.row_count())));
    }
}

#[test]
fn strange_names_and_values() {
    let all = [
        entry(""),
        entry(",\"event_data\":{}"),
        entry(",\"event_data\":{\"\":\"\",\".\":{\"\":\"x\"},\"a\":[[],[[]],{}]}"),
        entry(",\"event_data\":{\"a\":{\"b\":1},\"a.b\":\"1\"}"),
        entry(
            ",\"event_data\":{\"a\":[1,\"1\",true,null,{\"$ref\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",\"bytes\":1}]}",
        ),
        entry(&format!(",\"event_data\":{{\"a\":{}1{}}}", "[".repeat(29), "]".repeat(29))),
        entry(",\"message\":\"\""),
        // Not entries of this version: no filter but those without a condition finds them for certain.
        b"{\"v\":2,\"what\":\"ever\"}".to_vec(),
        Vec::new(),
    ];
    let readable = &all[..7];
    let path = |path: &str| Target::Path(path.to_owned());
    let filters: Vec<Filter> = ["", ".", "..", "a", "a.b", "b", "a..b"]
        .into_iter()
        .flat_map(|name| {
            [
                Filter::Exists(path(name)),
                path_equals(name, ""),
                path_equals(name, "1"),
                path_equals(name, "null"),
                Filter::Number(path(name), Bounds::exactly(Decimal::from(1))),
            ]
        })
        .collect();
    check(readable, &filters);

    let dir = tempfile::tempdir().unwrap();
    let (index, _) = Index::open(dir.path(), Options::default()).unwrap();
    index.add(0, &mut all.iter().map(Vec::as_slice)).unwrap();
    let snapshot = index.snapshot();
    let found =
        |filter: &Filter| snapshot.parts().iter().map(|part| part.eval(filter).possible.len()).sum::<u32>();
    assert_eq!(found(&Filter::All), 9);
    assert_eq!(found(&Filter::Equals(Target::Keyword(Field::Username), "u".to_owned())), 7);
    assert_eq!(found(&Filter::Exists(Target::Keyword(Field::Message))), 1);
}

/// A field that looks unique and then is not: hashed values are found all the same, and the index learns.
#[test]
fn identifiers_that_repeat() {
    let all: Vec<Vec<u8>> = (0..12_000_u64)
        .map(|row| {
            let id = if row < 6_000 { row } else { row % 5 };
            with_request(&format!("{:032x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        })
        .collect();
    let id = |row: u64| {
        let value = format!("{:032x}", row.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Filter::Equals(Target::Keyword(Field::RequestId), value)
    };
    let dir = tempfile::tempdir().unwrap();
    let options = Options { background: false, part_rows: 3_000, ..Options::default() };
    let (index, _) = Index::open(dir.path(), options).unwrap();
    index.add(0, &mut all.iter().map(Vec::as_slice)).unwrap();
    for _ in 0..2 {
        let snapshot = index.snapshot();
        for row in [0, 4, 5, 5_999, 6_000] {
            let expected =
                all.iter().filter(|entry| **entry == all[if row < 6_000 { row } else { 6_000 }]).count();
            let expected = if row == 6_000 { 0 } else { expected };
            let found: Vec<RowSet> =
                snapshot.parts().iter().map(|part| part.eval(&id(row as u64)).possible).collect();
            assert_eq!(found.iter().map(|rows| rows.len() as usize).sum::<usize>(), expected, "{row}");
        }
        index.flush().unwrap();
    }
    // The first part's ids are hashes only, the last one's are not.
    let last = with_request(&format!("{:032x}", 0));
    index.add(12_000, &mut std::iter::repeat_n(last.as_slice(), 3_000)).unwrap();
    let snapshot = index.snapshot();
    let newest = snapshot.parts().last().unwrap();
    assert_eq!(newest.eval(&id(0)).certain.len(), 3_000);
}

/// Enough values that their pairs of letters are gathered, and words of which the index knows how they were written.
#[test]
fn patterns_over_many_values() {
    let text = |row: usize| {
        let first = if row.is_multiple_of(3) { "Reset" } else { "plain" };
        format!(",\"event_data\":{{\"k\":\"k/{:x}\",\"t\":\"{first} word{row}\"}}", row * 7_919)
    };
    let all: Vec<Vec<u8>> = (0..3_000).map(|row| entry(&text(row))).collect();
    let path = || Target::Path("k".to_owned());
    let contains = |text: &str| Matcher::Contains(Needle::exact(text));
    let written = |text: &str, any_case: bool| Filter::WordAsWritten {
        exact: Matcher::Contains(if any_case { Needle::any_case(text) } else { Needle::exact(text) }),
        lower: contains(&text.to_lowercase()),
        any_case,
    };
    let mut filters = Vec::new();
    for text in ["", "k", "k/", "K/", "f0", "zz", "/1", "ab", "AB", "k/1e", "0", "1\u{e9}"] {
        filters.push(Filter::Match(path(), contains(text)));
        filters.push(Filter::Match(path(), Matcher::Contains(Needle::any_case(text))));
        filters.push(Filter::WordMatch(contains(text)));
        filters.push(written(text, false));
    }
    let index = check(&all, &filters);
    let snapshot = index.snapshot();
    let count = |filter: &Filter| {
        snapshot.parts().iter().map(|part| part.count(filter)).fold((0, 0), |(certain, possible), counted| {
            (certain + counted.certain, possible + counted.possible)
        })
    };
    for (filter, expected) in [
        (written("lain", false), (2_000, 2_000)),
        (written("Lain", false), (0, 0)),
        (written("eset", false), (0, 1_000)),
        (written("Reset", false), (0, 1_000)),
        (written("eset", true), (1_000, 1_000)),
        (Filter::Match(path(), contains("zz")), (0, 0)),
        (Filter::Match(path(), contains("k/")), (3_000, 3_000)),
    ] {
        assert_eq!(count(&filter), expected, "{filter:?}");
    }
}

/// Pairs of common words are decided in the index, whatever was merged; those of words that were not always common are not.
#[test]
fn phrases_of_common_words() {
    let text = |row: usize| {
        let text = match row % 4 {
            0 => "\"a\":\"The user logged in\"",
            1 => "\"a\":\"the user\",\"b\":\"logged in\"",
            2 => "\"a\":\"logged the user out\",\"b\":\"user\"",
            _ => "\"a\":\"USER-logged\"",
        };
        // Once among the first rows, and in each of the last.
        let seldom = if row == 100 || row >= 400 { ",\"c\":\"seldom user\"" } else { "" };
        // In the last rows only.
        let late = if row >= 400 { ",\"d\":\"late word\"" } else { "" };
        format!(",\"event_data\":{{{text}{seldom}{late}}}")
    };
    let all: Vec<Vec<u8>> = (0..600).map(|row| entry(&text(row))).collect();
    let phrase = |text: &str| Filter::Phrase(text.split(' ').map(str::to_owned).collect());
    let phrases = [
        "user logged",
        "logged user",
        "the user",
        "the user logged",
        "user user",
        "in logged",
        "late word",
        "word late",
        "seldom user",
        "user seldom",
        "user unknown",
        "unknown",
        "user",
    ];
    let index = check(&all, &phrases.map(phrase));
    let snapshot = index.snapshot();
    assert_eq!(snapshot.parts().len(), 1);
    for (words, certain, possible) in [
        ("user logged", 300, 300),
        ("the user", 450, 450),
        ("logged user", 0, 0),
        ("late word", 200, 200),
        ("word late", 0, 0),
        ("the user logged", 0, 150),
        ("seldom user", 0, 201),
        ("user unknown", 0, 0),
    ] {
        let counted = snapshot.parts()[0].count(&phrase(words));
        assert_eq!((counted.certain, counted.possible), (certain, possible), "{words}");
    }
}

/// What was common before a restart is so after it, in parts too small to tell.
#[test]
fn common_words_outlast_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { background: false, ..Options::default() };
    let row = entry(",\"event_data\":{\"a\":\"user logged in\"}");
    let (index, _) = Index::open(dir.path(), options.clone()).unwrap();
    index.add(0, &mut std::iter::repeat_n(row.as_slice(), 200)).unwrap();
    index.flush().unwrap();
    drop(index);
    let (index, _) = Index::open(dir.path(), options).unwrap();
    index.add(200, &mut std::iter::once(row.as_slice())).unwrap();
    let phrase = Filter::Phrase(vec!["user".to_owned(), "logged".to_owned()]);
    let counts: Vec<u32> = index.snapshot().parts().iter().map(|part| part.count(&phrase).certain).collect();
    assert_eq!(counts, [200, 1]);
}
