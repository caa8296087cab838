//! Events and queries from a seed. Values come from small lists, so that queries find something, and hold what is hard: other
//! scripts, very long values and words, values kept beside the entry, mixed types, equal and unsorted times.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

pub(crate) struct Generator {
    random: StdRng,
    serial: u64,
}

const NAMES: &[&str] = &["login.success", "login.failure", "a.b", "A.B", "café.open", "row.update"];
const USERS: &[&str] = &["alice", "bob", "Alice", "-", "jürgen", "ΣΟΦΟΣ", "LONG1", "LONG2"];
const RESOURCES: &[&str] = &["nginx:1.25", "/etc/passwd", "10.0.0.0/8", "a b (c)", "LONG1", "LONG2", ""];
const HOSTS: &[&str] = &["web1", "web2", "db1"];
const ADDRESSES: &[&str] = &["10.0.0.1", "10.1.2.3", "192.168.1.7", "2001:db8::1", "::ffff:10.0.0.9"];
const WORDS: &[&str] = &[
    "connection",
    "reset",
    "Reset",
    "by",
    "peer",
    "ÄRGER",
    "größe",
    "x",
    "10.0.0.1",
    "user_name",
    "日本",
    "ΟΔΟΣ",
    "WORD70",
];
const PATHS: &[&str] =
    &["status", "took", "ok", "note", "tags", "deep.er", "deep.list", "a b", "LONGPATH", "nothing"];
const NUMBERS: &[&str] =
    &["0", "1", "500", "5e2", "500.0", "-1.5", "9007199254740993", "9007199254740992", "0.25"];

/// Long names are written short in the lists above.
fn spelled(text: &str) -> String {
    match text {
        "LONG1" => format!("{}1", "long/value ".repeat(14)),
        "LONG2" => format!("{}2", "long/value ".repeat(14)),
        "LONGPATH" => "p".repeat(300),
        "WORD70" => "w".repeat(70),
        text => text.to_owned(),
    }
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Generator {
        Generator { random: StdRng::seed_from_u64(seed), serial: 0 }
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick(&mut self, list: &[&str]) -> String {
        spelled(list.choose(&mut self.random).unwrap())
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.below(7) {
            text.push_str(&self.pick(WORDS));
            text.push_str(if self.chance(80) { " " } else { ", " });
        }
        if self.chance(3) {
            text.push_str(&"filler-filler ".repeat(400));
            text.push_str("connection reset at last");
        }
        text
    }

    fn scalar(&mut self) -> Value {
        match self.below(8) {
            0 => Value::Null,
            1 => json!(self.chance(50)),
            2 => json!(self.pick(ADDRESSES)),
            3 => json!(self.pick(&["500", "5e2", "007", "true", "null", "two", "LONG1"])),
            4 => json!(self.text()),
            _ => serde_json::from_str(&self.pick(NUMBERS)).unwrap(),
        }
    }

    /// An event as a client sends it.
    pub(crate) fn event(&mut self) -> String {
        self.serial += 1;
        let mut event = Map::new();
        let id = format!("{}-{}", self.pick(&["id", "ID"]), self.serial);
        event.insert("event_id".into(), json!(id));
        let (minute, second, fraction) = (self.below(40), self.below(3) * 20, self.below(2) * 5);
        event.insert(
            "event_time".into(),
            json!(format!("2026-11-2{}T10:{minute:02}:{second:02}.{fraction}Z", self.below(3))),
        );
        event.insert("event_name".into(), json!(self.pick(NAMES)));
        event.insert("username".into(), json!(self.pick(USERS)));
        if self.chance(60) {
            event.insert("resource".into(), json!(self.pick(RESOURCES)));
        }
        if self.chance(60) {
            event.insert("source_ip_address".into(), json!(self.pick(ADDRESSES)));
        }
        if self.chance(30) {
            event.insert("request_id".into(), json!(format!("req-{}", self.serial)));
        }
        if self.chance(30) {
            event.insert("read_only".into(), json!(true));
        }
        if self.chance(50) {
            event.insert("outcome".into(), json!(self.pick(&["success", "failure"])));
        }
        if self.chance(50) {
            event.insert("severity".into(), json!(self.below(8)));
        }
        if self.chance(70) {
            event.insert("message".into(), json!(self.text()));
        }
        if self.chance(50) {
            event.insert("host".into(), json!(self.pick(HOSTS)));
        }
        let mut data = Map::new();
        for path in ["status", "took", "ok", "note", "a b", "LONGPATH"] {
            if self.chance(if path == "LONGPATH" { 3 } else { 40 }) {
                let value = self.scalar();
                data.insert(spelled(path), value);
            }
        }
        if self.chance(30) {
            let tags: Vec<Value> = (0..self.below(4)).map(|_| self.scalar()).collect();
            data.insert("tags".into(), json!(tags));
        }
        if self.chance(30) {
            let (er, list) = (self.scalar(), json!([self.scalar(), [self.scalar()]]));
            data.insert("deep".into(), json!({ "er": er, "list": list }));
        }
        if self.chance(80) {
            event.insert("event_data".into(), Value::Object(data));
        }
        Value::Object(event).to_string()
    }

    pub(crate) fn relays(&mut self) -> Vec<String> {
        (0..self.below(3)).map(|_| self.pick(&["relay-a", "relay-b", "relay-c"])).collect()
    }

    /// A query; every one of them can be read.
    pub(crate) fn query(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 5 } else { 9 }) {
            0..=4 => self.term(),
            5 => format!("{} {}", self.query(depth - 1), self.query(depth - 1)),
            6 => format!("({} OR {})", self.query(depth - 1), self.query(depth - 1)),
            7 => format!("NOT ({})", self.query(depth - 1)),
            _ => format!("-({}) {}", self.query(depth - 1), self.query(depth - 1)),
        }
    }

    fn term(&mut self) -> String {
        match self.below(20) {
            0 => quoted(&self.pick(WORDS)),
            1 => quoted(&format!("{} {}", self.pick(WORDS), self.pick(WORDS))),
            2 => format!("message:{}", self.message_value()),
            3 => self.message_value(),
            4..=7 => {
                let (field, values) = self.keyword();
                let value = self.pick(values);
                let value = self.value(&value);
                format!("{field}:{value}")
            }
            8 => {
                let (field, _) = self.keyword();
                format!("{field}:*")
            }
            9 => self.pick(&[
                "severity:3",
                "severity:>=4",
                "severity:[2 TO 5}",
                "severity:*",
                "read_only:true",
                "read_only:false",
            ]),
            10 => {
                let network = self.pick(&[
                    "10.0.0.0/8",
                    "10.0.0.0/24",
                    "2001:db8::/32",
                    "0.0.0.0/0",
                    "[10.0.0.0 TO 10.1.255.255]",
                ]);
                let field =
                    self.pick(&["source_ip_address", "event_data.status", "event_data.note", "resource"]);
                format!("{field}:{network}")
            }
            11 => {
                let second = self.pick(&["", ":00", ":20", ":20.5"]);
                let zone = if second.is_empty() { "" } else { "Z" };
                let time = format!("2026-11-2{}T10:{:02}{second}{zone}", self.below(3), self.below(40));
                let compare = self.pick(&[">", ">=", "<", "<=", ""]);
                format!("event_time:{compare}{time}")
            }
            12 => format!("_index:[{} TO {}]", self.below(300), self.below(600)),
            13 => self.pick(&["_ledger:l0", "_ledger:l1", "_ledger:l*", "event_source:l0"]),
            14 => {
                let id = format!("{}-{}", self.pick(&["id", "ID"]), self.below(600));
                if self.chance(50) { format!("event_id:{id}") } else { quoted(&id) }
            }
            15 => format!("request_id:req-{}{}", self.below(99), self.pick(&["", "?", "*"])),
            _ => self.path_term(),
        }
    }

    fn message_value(&mut self) -> String {
        match self.below(8) {
            0 => quoted(&self.pick(WORDS)),
            1 => quoted(&format!("{} {}", self.pick(WORDS), self.pick(WORDS))),
            5 => quoted(&format!("{} {}, {}", self.pick(WORDS), self.pick(WORDS), self.pick(WORDS))),
            // Within a word, in the letters of the text or others: of some the index decides, of some the rows.
            6 => self.pick(&[
                "/Reset/",
                "/RESET/",
                "/ese/",
                "/ESE/i",
                "/eset/i",
                "/[rR]eset/",
                "/peer|conn/",
                "/x{1}/",
                "/k/i",
                "/Ä?RGER/",
                "/ärger/",
                "/ärger/i",
                "/ΔΟ/",
                "/δο/i",
                "/w{70}/",
                "/ww+/",
                "/ser_n/",
                "/(?i:RES)et/",
                "/(?-i:RES)et/i",
                "/c?/",
                "/[0-9]/",
                "/日/",
                "/10\\.0/",
                "/n\\b/",
                "/e[st]+/",
            ]),
            7 => self.pick(&[
                "*ese*", "*ESE*", "*e*e*", "*x*", "*0.0*", "*ÄRG*", "*rg*", "*www*", "?ese*", "*日*", "*δο*",
                "*long*", "*/value*", "*b1*", "*eb?", "*0.*.1*",
            ]),
            2 => self
                .pick(&[
                    "re*", "*set", "?eset", "c*n", "größ?", "w*", "10.0.*", "*ΔΟΣ", "last", "at last",
                    "user-*",
                ])
                .replace(' ', "\\ "),
            3 => self.pick(&[
                "/reset/",
                "/RESET/i",
                "/conn.*reset/",
                "/^x/",
                "/peer, $/",
                "/at last$/",
                "/größe|ärger/i",
                "/w{70}/",
            ]),
            _ => quoted("connection reset"),
        }
    }

    fn keyword(&mut self) -> (&'static str, &'static [&'static str]) {
        let fields: [(&str, &[&str]); 7] = [
            ("event_name", NAMES),
            ("username", USERS),
            ("resource", RESOURCES),
            ("host", HOSTS),
            ("source_ip_address", ADDRESSES),
            ("via", &["relay-a", "relay-b", "relay-z"]),
            ("outcome", &["success", "failure"]),
        ];
        *fields.choose(&mut self.random).unwrap()
    }

    /// The value itself, or something that may match it.
    fn value(&mut self, value: &str) -> String {
        let chars: Vec<char> = value.chars().collect();
        let cut = self.below(chars.len() + 1);
        let (start, end): (String, String) = (chars[..cut].iter().collect(), chars[cut..].iter().collect());
        match self.below(8) {
            0..=2 => quoted(value),
            3 => format!("{}*", escaped(&start)),
            4 => format!("*{}", escaped(&end)),
            5 => format!("?{}*", escaped(&chars.iter().skip(1).take(2).collect::<String>())),
            6 if !start.is_empty() => format!("/{}/i", escaped(&start).replace("\\é", "é")),
            _ => format!("{}{}", self.pick(&[">", ">=", "<", "<="]), quoted(value)),
        }
    }

    fn path_term(&mut self) -> String {
        let path = escaped(&self.pick(PATHS)).replace("\\.", ".");
        let number = self.pick(NUMBERS);
        let value = match self.below(9) {
            0 => "*".to_owned(),
            1 => number,
            2 => format!("{}{number}", self.pick(&[">", ">=", "<", "<="])),
            3 => format!("[{number} TO {}}}", self.pick(NUMBERS)),
            4 => self.pick(&["true", "false", "null", "t*", "*", "\"\""]),
            5 => {
                let value = self.pick(&["500", "two", "LONG1", "LONG2"]);
                self.value(&value)
            }
            6 => self.pick(&["/connection/", "/reset at last/", "/^5/", "*last", "*reset*"]),
            7 => quoted(&self.pick(ADDRESSES)),
            _ => "10.0.0.0/8".to_owned(),
        };
        format!("event_data.{path}:{value}")
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// With a backslash before everything in ASCII that is no letter or digit: right in values and in regular expressions.
fn escaped(text: &str) -> String {
    let escape =
        |c: char| if c.is_ascii() && !c.is_ascii_alphanumeric() { format!("\\{c}") } else { c.to_string() };
    text.chars().map(escape).collect()
}
