//! Every target over its seeds with random changes, in an ordinary test: no substitute for the fuzzer, which learns where it has not been, but it
//! runs with every build, and for as long as it is told without another compiler:
//! `MUTATIONS=100000 cargo test -p attestry-fuzz --test mutations`.

use std::path::Path;

/// How many changed inputs each target gets when nothing is said.
const MUTATIONS: u64 = 200;

/// The longest input, in bytes.
const INPUT_BYTES_MAX: usize = 8_192;

/// What parsers look out for.
const TOKENS: [&[u8]; 22] = [
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"<",
    b"-",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\x1e\x0f",
    b"\x1f\x8b",
    b"99999999999999999999",
    b"-1e309",
    b"\\u0000",
];

/// Numbers that look random and are the same in each run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % (most.max(1) as u64)).expect("it is below a usize")
    }

    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len() + 1);
        start..start + self.below((bytes.len() - start).min(64) + 1)
    }
}

fn changed(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    bytes.truncate(INPUT_BYTES_MAX);
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next().to_le_bytes()[0],
            2 => drop(bytes.drain(random.range(&bytes))),
            3 => {
                let again = bytes[random.range(&bytes)].to_vec();
                bytes.splice(at..at, again);
            }
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let other = other[random.range(other)].to_vec();
                bytes.splice(at..at, other);
            }
            5 => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            _ => bytes.truncate(at),
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

/// Says what the input was when a target panics.
struct Running<'a> {
    target: &'a str,
    bytes: &'a [u8],
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            panic_message(self.target, self.bytes);
        }
    }
}

#[allow(clippy::print_stderr, reason = "the only way out of a panic")]
fn panic_message(target: &str, bytes: &[u8]) {
    eprintln!("{target}: {:?}", String::from_utf8_lossy(bytes));
    eprintln!("{target}, to the byte: {bytes:?}");
}

#[track_caller]
fn check(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the target has seeds")
        .map(|seed| seed.expect("the folder can be listed").path())
        .collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("a file")).collect();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let mut random = Random(number("MUTATIONS_SEED").unwrap_or(0));
    for _ in 0..number("MUTATIONS").unwrap_or(MUTATIONS) {
        let bytes = changed(&seeds, &mut random);
        let _running = Running { target, bytes: &bytes };
        run(&bytes);
    }
}

macro_rules! targets {
    ($($target:ident),*) => {$(
        #[test]
        fn $target() {
            check(stringify!($target), attestry_fuzz::$target::run);
        }
    )*};
}

targets!(
    body_split,
    dump_read,
    event_json,
    gelf_message,
    journal_open,
    ndjson_split,
    otlp_logs,
    pgoutput,
    query_parse,
    stomp_frame,
    syslog_message,
    tlog_text
);
