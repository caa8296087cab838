//! How fast the index takes rows in and answers: `cargo run --release -p attestry-index --example index_speed [ROWS]`.
//!
//! Entries of about 520 bytes: 200 event names and 50,000 users (zipf), 100,000 resources, 20 sources, random ids,
//! `event_data` of 3 to 8 members with a message of 5 to 20 words and a nested object.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement prints, and ends where something is wrong"
)]

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestry_event::{Decimal, Field, Nanos};
use attestry_index::{Bounds, Filter, Index, Matcher, Needle, Options, Order, RowSet, Snapshot, Target};

const BATCH: usize = 10_000;
const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_790_000_000 * SECOND;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A rank below `end`, rank r about as often as 1/r.
    fn zipf(&mut self, end: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((end as f64 + 1.0).powf(unit) - 1.0) as u64
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xFFFF,
            high & 0xFFFF,
            low >> 48,
            low & 0xFFFF_FFFF_FFFF
        )
    }
}

const VERBS: [&str; 10] =
    ["create", "delete", "update", "login", "logout", "read", "grant", "revoke", "start", "stop"];

/// 4,000 words of two to eight letters; word 0 is the most frequent.
fn vocabulary() -> Vec<String> {
    let mut random = Random(42);
    (0..4_000)
        .map(|_| (0..2 + random.below(7)).map(|_| char::from(b'a' + random.below(26) as u8)).collect())
        .collect()
}

fn entry(random: &mut Random, words: &[String], row: usize, rows: usize, out: &mut Vec<u8>) {
    use std::io::Write;
    // 30 days in all.
    let received = START + (row as i64) * (30 * 86_400 * SECOND / rows as i64);
    let time = received - random.below(2_000) as i64 * 1_000_000;
    let name = random.zipf(200);
    write!(
        out,
        "{{\"v\":1,\"event_id\":\"{}\",\"event_time\":\"{}\",\"received_at\":\"{}\",\"event_name\":\"thing{}.{}\",\"username\":\"user{:05}\",\"resource\":\"res/{:06}\",\"event_source\":\"source{:02}\",\"source_ip_address\":\"10.{}.{}.{}\",\"request_id\":\"{}\",\"read_only\":{}",
        random.uuid(), Nanos(time), Nanos(received), name / 10, VERBS[name as usize % 10], random.zipf(50_000),
        random.below(100_000), random.below(20), random.below(4), random.below(16), random.below(256), random.uuid(), random.below(10) < 3,
    )
    .unwrap();
    if random.below(2) == 0 {
        write!(
            out,
            ",\"outcome\":\"{}\",\"severity\":{}",
            if random.below(10) == 0 { "failure" } else { "success" },
            random.below(8)
        )
        .unwrap();
    }
    write!(out, ",\"event_data\":{{\"message\":\"").unwrap();
    for place in 0..5 + random.below(16) {
        let space = if place == 0 { "" } else { " " };
        write!(out, "{space}{}", words[random.zipf(4_000) as usize]).unwrap();
    }
    write!(
        out,
        "\",\"status\":{}",
        [200, 200, 200, 201, 204, 301, 400, 404, 500, 503][random.below(10) as usize]
    )
    .unwrap();
    write!(
        out,
        ",\"http\":{{\"method\":\"{}\",\"bytes\":{}}}",
        ["GET", "POST", "PUT"][random.below(3) as usize],
        random.below(100_000)
    )
    .unwrap();
    for member in 0..random.below(6) {
        match member {
            0 => write!(out, ",\"duration_ms\":{}.{}", random.below(3_000), random.below(10)),
            1 => write!(out, ",\"region\":\"eu-{}\"", random.below(8)),
            2 => write!(out, ",\"retry\":{}", random.below(4)),
            3 => write!(out, ",\"cached\":{}", random.below(2) == 0),
            _ => write!(out, ",\"tag\":\"tag{}\"", random.below(500)),
        }
        .unwrap();
    }
    write!(out, "}}}}").unwrap();
}

/// CPU time of the process, all threads, user and system.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// The median of some warm runs.
fn measure<T: std::fmt::Debug>(what: &str, target: &str, mut run: impl FnMut() -> T) {
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..9 {
        let start = Instant::now();
        last = Some(run());
        times.push(start.elapsed());
    }
    times.sort();
    println!("{what:44} {:>10.1?}  (target {target})  {:?}", times[4], last.unwrap());
}

fn sets(snapshot: &Snapshot, filter: &Filter) -> Vec<RowSet> {
    snapshot.parts().iter().map(|part| part.eval(filter).possible).collect()
}

fn total(sets: &[RowSet]) -> u64 {
    sets.iter().map(|set| u64::from(set.len())).sum()
}

fn count(snapshot: &Snapshot, filter: &Filter) -> u64 {
    snapshot.parts().iter().map(|part| u64::from(part.count(filter).possible)).sum()
}

fn newest(snapshot: &Snapshot, filter: &Filter, wanted: usize) -> usize {
    let mut found: Vec<(i64, u64)> = Vec::new();
    for part in snapshot.parts().iter().rev() {
        if found.len() >= wanted && found.iter().map(|(time, _)| *time).min() > Some(part.times().1) {
            break;
        }
        let page = part.page(&part.eval(filter).possible, Order::Newest, None, wanted);
        found.extend(page.into_iter().map(|(time, row)| (time, part.rows().start + u64::from(row))));
        found.sort_unstable_by(|left, right| right.cmp(left));
        found.truncate(wanted);
    }
    found.len()
}

fn queries(snapshot: &Snapshot, words: &[String]) {
    let equals = |field, value: &str| Filter::Equals(Target::Keyword(field), value.to_owned());
    let path = |path: &str| Target::Path(path.to_owned());
    let number = |low: &str, high: &str| Bounds {
        low: Bound::Included(Decimal::parse(low).unwrap()),
        high: Bound::Excluded(Decimal::parse(high).unwrap()),
    };
    let regex = |prefix: &str, pattern: &str| Matcher::Regex {
        prefix: prefix.to_owned(),
        regex: regex_automata::meta::Regex::new(&format!("^(?s:{pattern})$")).unwrap(),
    };
    println!("{} parts", snapshot.parts().len());
    for (what, word) in [("common", &words[0]), ("middling", &words[100]), ("rare", &words[3_900])] {
        let filter = Filter::Word(word.clone());
        measure(&format!("count of a {what} word"), "50 µs", || count(snapshot, &filter));
        measure(&format!("rows of a {what} word"), "-", || total(&sets(snapshot, &filter)));
        measure(&format!("newest 100 of a {what} word"), "-", || newest(snapshot, &filter, 100));
    }
    for (what, name) in [("frequent", "thing0.create"), ("rare", "thing15.start")] {
        let name = equals(Field::EventName, name);
        measure(&format!("hourly histogram of a {what} event name"), "2 ms", || {
            let mut buckets = vec![0; 30 * 24];
            for part in snapshot.parts() {
                part.histogram(&part.eval(&name).certain, START, 3_600 * SECOND, &mut buckets);
            }
            buckets.iter().sum::<u64>()
        });
        measure(&format!("top 10 users of a {what} event name"), "4 ms", || {
            let tally = snapshot.tally(&Target::Keyword(Field::Username), &sets(snapshot, &name), 10);
            (tally.top[0].clone(), tally.distinct)
        });
    }
    for field in [Field::Username, Field::EventName, Field::Resource, Field::SourceIpAddress] {
        measure(&format!("top 10 {}", field.name()), "4 ms", || {
            let tally = snapshot.tally(&Target::Keyword(field), &sets(snapshot, &Filter::All), 10);
            (tally.top[0].clone(), tally.distinct)
        });
    }
    measure("top 10 event_data.tag", "-", || {
        let tally = snapshot.tally(&path("tag"), &sets(snapshot, &Filter::All), 10);
        (tally.top[0].clone(), tally.distinct)
    });
    for user in ["user00000", "user00600", "user40000"] {
        let filter = equals(Field::Username, user);
        let rows = count(snapshot, &filter);
        measure(&format!("newest 100 of {user} with {rows}"), "1 ms", || newest(snapshot, &filter, 100));
    }
    let filter = Filter::WordMatch(regex("", &format!(".*{}.*", &words[50][1..])));
    measure("regex within a word, count", "10 ms", || count(snapshot, &filter));
    let filter = Filter::WordMatch(regex("", "[a-f]+[m-z]{2,}"));
    measure("wide regex within a word, count", "10 ms", || count(snapshot, &filter));
    let filter = Filter::WordMatch(Matcher::Prefix(words[7][..2].to_owned()));
    measure("words with a prefix, count", "-", || count(snapshot, &filter));
    for (what, text) in [("letters", &words[50][1..]), ("digits", "4711")] {
        let contains = || Matcher::Contains(Needle::exact(text));
        let fields =
            Field::KEYWORDS.into_iter().map(|field| Filter::Match(Target::Keyword(field), contains()));
        let filter = Filter::Or(std::iter::once(Filter::WordMatch(contains())).chain(fields).collect());
        measure(&format!("{what} anywhere, count"), "10 ms", || count(snapshot, &filter));
    }
    let phrase = |words: &[&String]| Filter::Phrase(words.iter().map(|word| word.to_string()).collect());
    let filter = phrase(&[&words[0], &words[1]]);
    measure("phrase of the two commonest words, count", "-", || {
        let counts = snapshot.parts().iter().map(|part| part.count(&filter));
        counts.fold((0, 0), |sum, part| (sum.0 + part.certain, sum.1 + part.possible))
    });
    let filter = Filter::Match(Target::Keyword(Field::Username), regex("user0", "user0.*7"));
    measure("regex of users, count", "10 ms", || count(snapshot, &filter));
    let filter = Filter::Number(path("http.bytes"), number("5000", "6000"));
    measure("numeric range of 1 %", "1 ms", || count(snapshot, &filter));
    let filter = Filter::Number(path("http.bytes"), number("25000", "75000"));
    measure("numeric range of 50 %", "1 ms", || count(snapshot, &filter));
    let filter = Filter::Number(path("status"), number("500", "600"));
    measure("status ≥ 500", "1 ms", || count(snapshot, &filter));
    let filter = Filter::Equals(path("http.method"), "PUT".to_owned());
    measure("nested path=value", "1 ms", || total(&sets(snapshot, &filter)));
    let filter = Filter::And(vec![
        Filter::Word(words[3].clone()),
        Filter::Number(path("status"), number("500", "600")),
        Filter::Not(Box::new(equals(Field::Outcome, "success"))),
        Filter::EventTime(START + 10 * 86_400 * SECOND..START + 20 * 86_400 * SECOND),
    ]);
    measure("four conditions", "-", || total(&sets(snapshot, &filter)));
    let filter = Filter::And(vec![equals(Field::Username, "user00600"), Filter::Word(words[0].clone())]);
    measure("a user and a common word", "-", || total(&sets(snapshot, &filter)));
    let mut sum = 0.0;
    measure("average of a path over all", "-", || {
        for part in snapshot.parts() {
            part.numeric(&path("http.bytes"), &RowSet::Range(0..part.row_count()), &mut |_, number| {
                sum += number
            });
        }
        sum
    });
}

/// Queries of all kinds, again and again while rows come in: the times they took, ascending.
fn busy_queries(index: &Index, words: &[String], done: &AtomicBool) -> Vec<Duration> {
    let name = Filter::Equals(Target::Keyword(Field::EventName), "thing0.create".to_owned());
    let regex = regex_automata::meta::Regex::new("^(?s:.*qu.*)$").unwrap();
    let regex = Filter::WordMatch(Matcher::Regex { prefix: String::new(), regex });
    let mut times = Vec::new();
    while !done.load(Ordering::Relaxed) {
        for kind in 0..5 {
            let begun = Instant::now();
            let snapshot = index.snapshot();
            match kind {
                0 => drop(count(&snapshot, &Filter::Word(words[10].clone()))),
                1 => drop(newest(&snapshot, &Filter::Word(words[0].clone()), 100)),
                2 => drop(snapshot.tally(&Target::Keyword(Field::Username), &sets(&snapshot, &name), 10)),
                3 => drop(snapshot.tally(
                    &Target::Keyword(Field::Resource),
                    &sets(&snapshot, &Filter::All),
                    10,
                )),
                _ => drop(count(&snapshot, &regex)),
            }
            times.push(begun.elapsed());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    times.sort();
    times
}

/// Feeds rows at about half speed while another thread asks.
fn busy(bytes: &[u8], ends: &[usize], words: &[String]) {
    const ROWS_PER_SECOND: usize = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let (index, _) = Index::open(dir.path(), Options::default()).unwrap();
    let done = AtomicBool::new(false);
    let rows = ends.len() - 1;
    let start = Instant::now();
    let times = std::thread::scope(|scope| {
        let asking = scope.spawn(|| busy_queries(&index, words, &done));
        for batch in (0..rows).step_by(BATCH) {
            feed(&index, bytes, ends, batch);
            let due = Duration::from_secs_f64((batch + BATCH) as f64 / ROWS_PER_SECOND as f64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "while {:.0} rows/s come in: {} queries, median {:.1?}, 99th percentile {:.1?}, slowest {:.1?}",
        rows as f64 / start.elapsed().as_secs_f64(),
        times.len(),
        at(50),
        at(99),
        at(100),
    );
}

fn feed(index: &Index, bytes: &[u8], ends: &[usize], batch: usize) {
    let ends = &ends[batch..(batch + BATCH + 1).min(ends.len())];
    index.add(batch as u64, &mut ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]])).unwrap();
}

/// What a call of `add` costs when few rows come at a time.
fn small_batches(bytes: &[u8], ends: &[usize]) {
    for size in [1, 10, 100, 1_000] {
        let dir = tempfile::tempdir().unwrap();
        let (index, _) = Index::open(dir.path(), Options::default()).unwrap();
        let rows = (size * 3_000).min(ends.len() - 1);
        let (start, used) = (Instant::now(), cpu());
        for first in (0..rows).step_by(size) {
            let ends = &ends[first..first + size + 1];
            index.add(first as u64, &mut ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]])).unwrap();
        }
        println!(
            "{size} rows a call: {:.1} µs wall a call, {:.1} µs CPU a row, {} parts",
            start.elapsed().as_secs_f64() * 1e6 / (rows / size) as f64,
            (cpu() - used).as_secs_f64() * 1e6 / rows as f64,
            index.snapshot().parts().len(),
        );
    }
}

/// Entries in which every string and word is another.
fn hostile(rows: usize) {
    let mut random = Random(9);
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    for row in 0..rows {
        use std::io::Write;
        let time = Nanos(START + row as i64 * SECOND);
        let words: Vec<String> = (0..12).map(|_| format!("{:x}", random.next() >> 20)).collect();
        let (words, more) = words.split_at(6);
        write!(
            bytes,
            "{{\"v\":1,\"event_id\":\"{}\",\"event_time\":\"{time}\",\"received_at\":\"{time}\",\"event_name\":\"n{:x}\",\"username\":\"u{:x}\",\"resource\":\"r{:x}\",\"event_source\":\"s\",\"source_ip_address\":\"-\",\"request_id\":\"{}\",\"read_only\":false,\"message\":\"{}\",\"event_data\":{{\"p{}\":\"{}\",\"n\":{}}}}}",
            random.uuid(), random.next(), random.next(), random.next(), random.uuid(), words.join(" "),
            random.below(1_000_000), more.join(" "), random.next() >> 1,
        )
        .unwrap();
        ends.push(bytes.len());
    }
    let dir = tempfile::tempdir().unwrap();
    let (index, _) = Index::open(dir.path(), Options::default()).unwrap();
    let (start, used, before) = (Instant::now(), cpu(), resident());
    let mut most = 0;
    for batch in (0..rows).step_by(BATCH) {
        feed(&index, &bytes, &ends, batch);
        most = most.max(resident().saturating_sub(before));
    }
    index.flush().unwrap();
    let wall = start.elapsed();
    std::thread::sleep(Duration::from_secs(4));
    let stats = index.stats();
    println!(
        "hostile: {rows} entries of {} bytes, {:.2} µs wall and {:.2} µs CPU a row, up to {most} MiB, {:.1} bytes a row",
        bytes.len() / rows,
        wall.as_secs_f64() * 1e6 / rows as f64,
        (cpu() - used).as_secs_f64() * 1e6 / rows as f64,
        stats.file_bytes as f64 / rows as f64,
    );
}

fn main() {
    let rows: usize = std::env::args().nth(1).map_or(2_000_000, |rows| rows.parse().unwrap());
    // With a second argument, rows are added and nothing more: for a profile.
    let all = std::env::args().nth(2).is_none();
    let words = vocabulary();
    let mut random = Random(7);
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    for row in 0..rows {
        entry(&mut random, &words, row, rows, &mut bytes);
        ends.push(bytes.len());
    }
    println!("{rows} entries of {} bytes", bytes.len() / rows);
    let dir = tempfile::tempdir().unwrap();
    let (index, _) = Index::open(dir.path(), Options::default()).unwrap();
    let before = resident();
    let (start, used) = (Instant::now(), cpu());
    let (mut slowest, mut most_parts, mut most_memory) = (Duration::ZERO, 0, 0);
    for batch in (0..rows).step_by(BATCH) {
        let begun = Instant::now();
        feed(&index, &bytes, &ends, batch);
        slowest = slowest.max(begun.elapsed());
        most_parts = most_parts.max(index.snapshot().parts().len());
        if batch % 100_000 == 0 {
            most_memory = most_memory.max(resident().saturating_sub(before));
        }
    }
    let added = start.elapsed();
    println!(
        "add: {:.2} µs wall a row, slowest batch {slowest:.1?}, up to {most_parts} parts, {most_memory} MiB",
        added.as_secs_f64() * 1e6 / rows as f64
    );
    let pause = cpu();
    if all {
        queries(&index.snapshot(), &words);
    }
    let pause = cpu() - pause;
    index.flush().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    let spent = cpu() - used - pause;
    let stats = index.stats();
    println!(
        "with everything: {:.2} µs CPU a row; {:.1} bytes a row in {} files",
        spent.as_secs_f64() * 1e6 / rows as f64,
        stats.file_bytes as f64 / rows as f64,
        stats.files,
    );
    let mut space = std::collections::BTreeMap::new();
    for part in index.snapshot().parts() {
        for (what, bytes) in part.space() {
            *space.entry(what).or_insert(0) += bytes;
        }
    }
    for (what, bytes) in space {
        if bytes > rows / 2 {
            println!("{:6.2} {what}", bytes as f64 / rows as f64);
        }
    }
    if all {
        queries(&index.snapshot(), &words);
    }
    drop(index);
    let start = Instant::now();
    let (_, opened) = Index::open(dir.path(), Options::default()).unwrap();
    println!("opened {:?} in {:.1?}", opened.rows, start.elapsed());
    drop(dir);
    if all {
        busy(&bytes, &ends, &words);
        small_batches(&bytes, &ends);
        hostile(rows / 4);
    }
}
