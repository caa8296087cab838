//! Events for measuring: the same ones in every run, with the skew of real ones.
//!
//! About 520 bytes each: 200 event names and 50,000 users after Zipf, 100,000 resources, random ids, a message of 5 to 20 words,
//! `event_data` of 3 to 8 fields with a nested object.

use std::collections::HashMap;
use std::fmt::Write;

const EVENT_NAMES: usize = 200;
const USERS: usize = 50_000;
const RESOURCES: u64 = 100_000;
const WORDS: usize = 20_000;
/// The first event's time, 2026-10-01T00:00:00Z, and the mean distance between events: two million of them are about four weeks.
const START_SECONDS: u64 = 1_790_812_800;
const STEP_MILLIS: u64 = 1_200;

/// xoshiro256**: quick, and the same everywhere.
pub(crate) struct Random([u64; 4]);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Random([0; 4].map(|_: u64| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }))
    }

    pub(crate) fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// Ranks after Zipf with exponent 1.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        Zipf((1..=ranks).map(|rank| (sum += 1.0 / rank as f64, sum).1).collect())
    }

    fn draw(&self, random: &mut Random) -> usize {
        let total = self.0.last().copied().unwrap_or(1.0);
        let point = random.next() as f64 / u64::MAX as f64 * total;
        self.0.partition_point(|sum| *sum < point).min(self.0.len() - 1)
    }
}

/// What kind of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As in the module's description.
    Usual,
    /// Every string and word is unique: what a dictionary likes least.
    Hostile,
}

/// Makes events, and remembers what the queries need to know of them.
pub(crate) struct Generator {
    random: Random,
    kind: Kind,
    names: Zipf,
    users: Zipf,
    words: Zipf,
    made: u64,
    pub(crate) users_seen: HashMap<usize, u32>,
    pub(crate) words_seen: HashMap<usize, u32>,
    pub(crate) some_id: String,
    pub(crate) last_time: String,
}

/// See [`Generator::said`].
pub(crate) struct Said {
    /// Milliseconds since 1970.
    pub(crate) millis: u64,
    pub(crate) time: String,
    pub(crate) host: String,
    pub(crate) user: String,
    pub(crate) number: u64,
    pub(crate) message: String,
}

pub(crate) fn user(rank: usize) -> String {
    format!("user{:05x}", rank.wrapping_mul(7919) % 0x10_0000)
}

pub(crate) fn event_name(rank: usize) -> String {
    const RESOURCES: [&str; 20] = [
        "signin",
        "basket",
        "file",
        "bucket",
        "role",
        "policy",
        "container",
        "image",
        "invoice",
        "payment",
        "order",
        "ticket",
        "invite",
        "account",
        "token",
        "volume",
        "network",
        "package",
        "job",
        "record",
    ];
    const VERBS: [&str; 10] =
        ["create", "read", "update", "delete", "list", "grant", "revoke", "start", "stop", "failure"];
    format!("{}.{}", RESOURCES[rank % 20], VERBS[rank / 20 % 10])
}

pub(crate) fn word(rank: usize) -> String {
    const SYLLABLES: [&str; 30] = [
        "ba", "con", "de", "er", "fo", "gra", "hi", "in", "jo", "ka", "lo", "mi", "nu", "or", "pe", "qui",
        "re", "sta", "ti", "ul", "ver", "wo", "xe", "yo", "za", "tra", "pli", "mon", "den", "rus",
    ];
    let mut text = String::new();
    let mut rest = rank + 30;
    while rest > 0 {
        text.push_str(SYLLABLES[rest % 30]);
        rest /= 30;
    }
    text
}

impl Generator {
    pub(crate) fn new(seed: u64, kind: Kind) -> Self {
        Generator {
            random: Random::new(seed),
            kind,
            names: Zipf::new(EVENT_NAMES),
            users: Zipf::new(USERS),
            words: Zipf::new(WORDS),
            made: 0,
            users_seen: HashMap::new(),
            words_seen: HashMap::new(),
            some_id: String::new(),
            last_time: String::new(),
        }
    }

    /// A batch as NDJSON.
    pub(crate) fn batch(&mut self, events: u64) -> String {
        let mut out = String::with_capacity(events as usize * 540);
        for _ in 0..events {
            self.event(&mut out);
            out.push('\n');
        }
        out
    }

    fn event(&mut self, out: &mut String) {
        let id = self.id();
        let millis = START_SECONDS * 1_000 + self.made * STEP_MILLIS + self.random.below(STEP_MILLIS);
        let time = rfc3339(millis);
        let user_rank = self.users.draw(&mut self.random);
        *self.users_seen.entry(user_rank).or_default() += 1;
        let name_rank = self.names.draw(&mut self.random);
        let resource = self.random.below(RESOURCES);
        let address = self.random.next();
        let failed = name_rank / 20 % 10 == 9 || self.random.below(50) == 0;
        // Writing to a string does not fail.
        let _ = write!(
            out,
            r#"{{"event_id":"{id}","event_time":"{time}","event_name":"{}","username":"{}","resource":"res/{}/{resource:06}","source_ip_address":"10.{}.{}.{}","outcome":"{}","severity":{},"message":"{}","host":"host{:02}","event_data":{{"#,
            event_name(name_rank),
            self.unique(&user(user_rank)),
            resource % 17,
            address & 15,
            address >> 8 & 255,
            address >> 16 & 255,
            if failed { "failure" } else { "success" },
            if failed { 4 } else { 6 },
            self.message(),
            self.random.below(40),
        );
        let status = [200, 200, 200, 201, 204, 302, 400, 403, 404, 500][self.random.below(10) as usize];
        let _ = write!(
            out,
            r#""status":{status},"duration_ms":{}.{:02},"request":{{"method":"{}","path":"/v1/{}/{resource}","bytes":{}}}"#,
            self.random.below(900),
            self.random.below(100),
            ["GET", "POST", "PUT", "DELETE"][self.random.below(4) as usize],
            ["items", "users", "orders", "files"][self.random.below(4) as usize],
            self.random.below(100_000),
        );
        let trace = format!("{:08x}", self.random.below(1 << 16));
        let more = [
            format!(r#","region":"eu-{}""#, self.random.below(6)),
            format!(r#","retries":{}"#, self.random.below(4)),
            format!(r#","tenant":"t{:04}""#, self.random.below(2_000)),
            format!(r#","cached":{}"#, self.random.below(2) == 0),
            format!(r#","trace":"{}""#, self.unique(&trace)),
        ];
        let extra = self.random.below(6) as usize;
        more.iter().take(extra).for_each(|field| out.push_str(field));
        out.push_str("}}");
        if self.made == 777_777 || self.made == 7 {
            self.some_id = id;
        }
        self.last_time = time;
        self.made += 1;
    }

    /// The string itself, or in hostile events one that no other event has.
    fn unique(&mut self, text: &str) -> String {
        match self.kind {
            Kind::Usual => text.to_owned(),
            Kind::Hostile => format!("{text}-{:x}", self.random.next()),
        }
    }

    fn message(&mut self) -> String {
        let words = 5 + self.random.below(16);
        let mut text = String::new();
        for nth in 0..words {
            if nth > 0 {
                text.push(' ');
            }
            let rank = self.words.draw(&mut self.random);
            *self.words_seen.entry(rank).or_default() += 1;
            let drawn = word(rank);
            text.push_str(&match self.kind {
                Kind::Usual => drawn,
                Kind::Hostile => format!("{drawn}{:x}", self.random.next() >> 20),
            });
        }
        text
    }

    /// What a program says that knows no events: the parts of a message of syslog or GELF.
    pub(crate) fn said(&mut self) -> Said {
        let millis = START_SECONDS * 1_000 + self.made * STEP_MILLIS + self.random.below(STEP_MILLIS);
        self.made += 1;
        Said {
            millis,
            time: rfc3339(millis),
            host: format!("host{:02}", self.random.below(40)),
            user: user(self.users.draw(&mut self.random)),
            number: self.random.below(100_000),
            message: self.message(),
        }
    }

    /// A random UUID, version 4.
    fn id(&mut self) -> String {
        let (a, b) = (self.random.next(), self.random.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xFFFF,
            a & 0xFFF,
            b >> 48 & 0x3FFF | 0x8000,
            b & 0xFFFF_FFFF_FFFF
        )
    }
}

/// Days to a civil date after Howard Hinnant's `civil_from_days`.
fn rfc3339(millis: u64) -> String {
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_in_every_run_and_of_the_promised_size() {
        let (mut one, mut two) = (Generator::new(1, Kind::Usual), Generator::new(1, Kind::Usual));
        let batch = one.batch(5_000);
        assert_eq!(batch, two.batch(5_000));
        let mean = batch.len() / 5_000;
        assert!((490..=550).contains(&mean), "{mean} bytes an event");
        for line in batch.lines().take(200) {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!((3..=8).contains(&event["event_data"].as_object().unwrap().len()), "{line}");
        }
        assert_eq!(rfc3339(START_SECONDS * 1_000), "2026-10-01T00:00:00.000Z");
    }

    #[test]
    fn names_and_words_are_different() {
        let count = |texts: Vec<String>| texts.into_iter().collect::<std::collections::HashSet<_>>().len();
        assert_eq!(count((0..EVENT_NAMES).map(event_name).collect()), EVENT_NAMES);
        assert_eq!(count((0..USERS).map(user).collect()), USERS);
        assert_eq!(count((0..WORDS).map(word).collect()), WORDS);
    }
}
