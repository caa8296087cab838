//! Random entries, small vocabularies so that things meet, and everything that is awkward.

use attestry_event::Nanos;

/// A small generator (xorshift64*), so that a seed says everything.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }
}

pub(crate) const START: i64 = 1_790_000_000_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;

pub(crate) const NAMES: [&str; 6] =
    ["login.success", "login.failure", "container.start", "package.upgrade", "row.update", "naïve.café"];
pub(crate) const USERS: [&str; 6] = ["alice", "bob", "Alice", "-", "root", "日本"];
pub(crate) const TEXTS: [&str; 14] = [
    "Connection reset by peer",
    "connection refused from 10.0.0.1:8080",
    "ÄRGER über Größe ΟΔΟΣ",
    "user_name=O'Brien \\\"quoted\\\" tab\\there",
    "true",
    "null",
    "200",
    "",
    "--",
    "日本語、テスト",
    "CONNECTION Reset",
    "x",
    "disk full /var/log",
    "a\\u0001b reset",
];
pub(crate) const NUMBERS: [&str; 18] = [
    "0",
    "-0",
    "1",
    "200",
    "2e2",
    "200.0",
    "404",
    "500",
    "-5",
    "0.1",
    "0.10000000000000000001",
    "9007199254740992",
    "9007199254740993",
    "1e400",
    "-1e400",
    "1e-400",
    "18446744073709551616",
    "3.25",
];
pub(crate) const PATHS: [&str; 6] = ["status", "path", "ok", "tags", "größe", "id"];

/// A word longer than the index keeps, whose start is shared.
pub(crate) fn long_word(tail: &str) -> String {
    format!("{}{tail}", "Lö".repeat(40))
}

/// A value longer than the index keeps, whose start is shared.
pub(crate) fn long_value(tail: &str) -> String {
    format!("/{}é/{tail}", "segment/".repeat(18))
}

pub(crate) fn identifier(random: &mut Random) -> String {
    format!("{:016x}{:016x}", random.next(), random.next())
}

fn text(random: &mut Random) -> String {
    match random.below(40) {
        0 => long_word(random.pick(&["a", "b"])),
        1 => long_value(random.pick(&["a", "b"])),
        2 => format!("{} {}", long_word("c"), random.pick(&TEXTS)),
        3 => format!("unique{}", random.below(1_000_000)),
        _ => random.pick(&TEXTS).to_owned(),
    }
}

fn value_ref(random: &mut Random) -> String {
    format!("{{\"$ref\":\"sha256:{:064x}\",\"bytes\":{}}}", random.next(), 5000 + random.below(100))
}

fn scalar(random: &mut Random) -> String {
    match random.below(20) {
        0..8 => format!("\"{}\"", text(random)),
        8..14 => random.pick(&NUMBERS).to_owned(),
        14 => "true".to_owned(),
        15 => "false".to_owned(),
        16 => "null".to_owned(),
        17 => value_ref(random),
        _ => random.below(300).to_string(),
    }
}

fn value(random: &mut Random, depth: u32) -> String {
    match random.below(20) {
        0..3 => {
            let items: Vec<String> = (0..random.below(4)).map(|_| value(random, depth + 1)).collect();
            format!("[{}]", items.join(","))
        }
        3..5 if depth < 3 => object(random, depth + 1),
        _ => scalar(random),
    }
}

fn object(random: &mut Random, depth: u32) -> String {
    let mut names: Vec<String> = Vec::new();
    for _ in 0..random.below(5) {
        let name = match random.below(60) {
            0 => format!("rare{}", random.below(500)),
            1 => "n".repeat(300),
            2 => "a.b".to_owned(),
            _ => random.pick(&PATHS).to_owned(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let members: Vec<String> =
        names.iter().map(|name| format!("\"{name}\":{}", member(random, name, depth))).collect();
    format!("{{{}}}", members.join(","))
}

fn member(random: &mut Random, name: &str, depth: u32) -> String {
    if name == "id" { format!("\"{}\"", identifier(random)) } else { value(random, depth) }
}

/// One entry; its event time lies around row × 1 s, sometimes far off.
pub(crate) fn entry(random: &mut Random, row: u64) -> Vec<u8> {
    let received = START + row as i64 * SECOND;
    let time = match random.below(30) {
        0 => received - 86_400 * SECOND,
        1 => received + 3_600 * SECOND,
        _ => received - random.below(3 * SECOND as u64) as i64,
    };
    let mut entry = format!(
        "{{\"v\":1,\"event_id\":\"{}\",\"event_time\":\"{}\",\"received_at\":\"{}\",\"event_name\":\"{}\",\"username\":\"{}\"",
        identifier(random),
        Nanos(time),
        Nanos(received),
        random.pick(&NAMES),
        random.pick(&USERS),
    );
    let mut put = |member: String| entry += &member;
    match random.below(6) {
        0 => put(format!(",\"resource\":\"{}\"", long_value(random.pick(&["a", "b"])))),
        1..4 => put(format!(",\"resource\":\"res/{}\"", random.below(200))),
        _ => {}
    }
    put(format!(",\"event_source\":\"source{}\"", random.below(3)));
    match random.below(6) {
        0 => put(",\"via\":[\"relay1\"]".to_owned()),
        1 => put(",\"via\":[\"relay1\",\"relay2\",\"relay1\"]".to_owned()),
        _ => {}
    }
    put(format!(",\"source_ip_address\":\"10.0.{}.{}\"", random.below(3), random.below(20)));
    if random.chance(70) {
        put(format!(",\"request_id\":\"{}\"", identifier(random)));
    }
    put(format!(",\"read_only\":{}", random.chance(20)));
    if random.chance(50) {
        put(format!(",\"outcome\":\"{}\"", random.pick(&["success", "failure"])));
    }
    if random.chance(40) {
        put(format!(",\"severity\":{}", random.below(8)));
    }
    match random.below(12) {
        0 => put(format!(",\"message\":{}", value_ref(random))),
        1..8 => put(format!(",\"message\":\"{} {}\"", text(random), text(random))),
        _ => {}
    }
    if random.chance(50) {
        put(format!(",\"host\":\"web{}\"", random.below(4)));
    }
    if random.chance(30) {
        put(format!(
            ",\"agent\":\"agent{}\",\"agent_epoch\":{},\"agent_seq\":{row}",
            random.below(2),
            random.below(3)
        ));
    }
    if random.chance(80) {
        let data = object(random, 0);
        put(format!(",\"event_data\":{data}"));
    }
    entry.push('}');
    entry.into_bytes()
}

pub(crate) fn entries(seed: u64, count: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count).map(|row| entry(&mut random, row)).collect()
}
