//! `attestry coverage`: what came, what did not, and why, by host, source and hour.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use attestry_event::Nanos;
use clap::Args;
use serde_json::Value;

use crate::client::Connection;
use crate::terminal::{Look, Table, csv, json, note, note_behind};

/// A table has at most so many cells beside the names; more hours become one cell.
const CELLS: usize = 48;
const HOUR: i64 = 3_600_000_000_000;
/// Below this part of what was expected there are too few.
const FEW: f64 = 0.8;

#[derive(Args, Debug)]
pub(crate) struct Coverage {
    /// Since when: 7d or -7d, or RFC 3339; at most 31 days.
    #[arg(long, default_value = "24h", allow_hyphen_values = true)]
    since: String,
    /// Until when: RFC 3339, relative such as -24h, or now.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    to: String,
    /// Only this host.
    #[arg(long)]
    host: Option<String>,
    /// Only this source.
    #[arg(long)]
    source: Option<String>,
    /// The ledgers to look in, separated by commas. Default: all that the key may read.
    #[arg(long)]
    ledger: Option<String>,
    /// As JSON, as the server gives it.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// As CSV, a line for each host, source and hour.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn coverage(coverage: &Coverage) -> Result<()> {
    let client = coverage.connection.client()?;
    let since = relative(&coverage.since);
    let to = relative(&coverage.to);
    let parameters =
        [("from", Some(since.as_str())), ("to", Some(to.as_str())), ("ledger", coverage.ledger.as_deref())];
    let mut answer = client.json("/api/v1/coverage", &parameters)?;
    if let Some(rows) = answer["rows"].as_array_mut() {
        let is = |row: &Value, name: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| row[name] == wanted)
        };
        rows.retain(|row| is(row, "host", &coverage.host) && is(row, "source", &coverage.source));
    }
    let terminal = io::stdout().is_terminal();
    let mut out = io::stdout().lock();
    if coverage.json {
        writeln!(out, "{}", json(&answer, terminal))?;
    } else if coverage.csv {
        write_csv(&answer, terminal, &mut out)?;
    } else {
        write_table(&answer, &mut out)?;
    }
    note_behind(answer["behind"].as_u64().unwrap_or(0));
    if answer["cut"].as_bool() == Some(true) {
        note("there are more hosts, sources or gaps than these: choose a shorter time or one ledger");
    }
    Ok(())
}

/// `7d` is `-7d`: a time to come is of no use here.
fn relative(text: &str) -> String {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_length =
        !digits.is_empty() && digits.len() < text.len() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_length { format!("-{text}") } else { text.to_owned() }
}

/// One or several hours of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cell {
    seen: u64,
    expected: Option<u64>,
    missing: u64,
    /// Something is missing, and nobody knows how much.
    uncounted: bool,
    silent_s: u64,
    gaps: usize,
}

impl Cell {
    /// The hours from `first` up to `end` of a row.
    fn of(row: &Value, first: usize, end: usize) -> Cell {
        let of = |name: &'static str| (first..end).filter_map(move |hour| row[name][hour].as_u64());
        let in_it = |gap: &&Value| {
            gap["hour"].as_u64().is_some_and(|hour| (first as u64..end as u64).contains(&hour))
        };
        let gaps = || row["gaps"].as_array().into_iter().flatten().filter(in_it);
        let expected: Vec<u64> = of("expected").collect();
        Cell {
            seen: of("seen").sum(),
            expected: (!expected.is_empty()).then(|| expected.iter().sum()),
            missing: of("missing").fold(0, u64::saturating_add),
            uncounted: gaps().any(|gap| gap["missing"].is_null()),
            silent_s: of("silent_s").sum(),
            gaps: gaps().count(),
        }
    }

    /// `.` none, `1` to `9` the power of ten of how many, `-` fewer than expected, `s` silent, `!` some are missing.
    fn sign(self) -> (char, Look) {
        let few = self.expected.is_some_and(|expected| (self.seen as f64) < expected as f64 * FEW);
        match self {
            Cell { missing: 1.., .. } | Cell { uncounted: true, .. } => ('!', Look::Bad),
            Cell { silent_s: 1.., .. } => ('s', Look::Bad),
            _ if few => ('-', Look::Bad),
            Cell { seen: 0, .. } => ('.', Look::Dim),
            Cell { seen, .. } => (char::from_digit(seen.ilog10().min(8) + 1, 10).unwrap_or('9'), Look::Plain),
        }
    }
}

fn hours(answer: &Value) -> Result<(Nanos, usize)> {
    let from = answer["from"].as_str().and_then(|from| Nanos::parse(from).ok());
    let hours = answer["hours"].as_u64().and_then(|hours| usize::try_from(hours).ok());
    from.zip(hours).context("the server's answer has no hours: is it an Attestry server of this version?")
}

fn write_table(answer: &Value, out: &mut dyn Write) -> Result<()> {
    let (from, hours) = hours(answer)?;
    let step = hours.div_ceil(CELLS).max(1);
    let mut table = Table::new(&["host", "source", "seen", "expected", "missing", "silent", "hours"]);
    let mut why: Vec<&Value> = Vec::new();
    for row in answer["rows"].as_array().into_iter().flatten() {
        let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
        let all = Cell::of(row, 0, hours);
        let bad = |is: bool| if is { Look::Bad } else { Look::Dim };
        let signs =
            (0..hours).step_by(step).map(|first| Cell::of(row, first, (first + step).min(hours)).sign().0);
        let missing = match all {
            Cell { uncounted: true, missing: 0, .. } => "?".to_owned(),
            Cell { uncounted: true, missing, .. } => format!("{missing}+"),
            Cell { missing, .. } => missing.to_string(),
        };
        table.row([
            (text("host"), Look::Bold),
            (text("source"), Look::Plain),
            (all.seen.to_string(), Look::Plain),
            (all.expected.map_or_else(String::new, |expected| expected.to_string()), Look::Dim),
            (missing, bad(all.missing > 0 || all.uncounted)),
            (format!("{} min", all.silent_s / 60), bad(all.silent_s > 0)),
            (signs.collect(), Look::Plain),
        ]);
        why.extend(row["gaps"].as_array().into_iter().flatten());
    }
    table.print(out)?;
    if !why.is_empty() {
        why.sort_by_key(|gap| gap["hour"].as_u64());
        writeln!(out)?;
        let mut table = Table::new(&["hour (UTC)", "gap", "missing", "why"]);
        for gap in why {
            let hour = gap["hour"].as_i64().unwrap_or(0);
            let time = Nanos(from.0.saturating_add(hour.saturating_mul(HOUR))).to_string();
            let text = |name: &str| gap[name].as_str().unwrap_or_default().to_owned();
            let missing =
                gap["missing"].as_u64().map_or_else(|| "?".to_owned(), |missing| missing.to_string());
            table.row([
                (time.get(..13).unwrap_or(&time).replace('T', " "), Look::Dim),
                (text("name"), Look::Plain),
                (missing, Look::Plain),
                (text("why"), Look::Plain),
            ]);
        }
        table.print(out)?;
    }
    note(&format!(
        "a sign for each {step} h from {from} on: . nothing, 1 to 9 the digits of how many came, - fewer than expected, s silent, ! some are missing"
    ));
    Ok(())
}

fn write_csv(answer: &Value, terminal: bool, out: &mut dyn Write) -> Result<()> {
    let (from, hours) = hours(answer)?;
    writeln!(out, "host,source,hour,seen,expected,missing,silent_s,why")?;
    for row in answer["rows"].as_array().into_iter().flatten() {
        let text = |name: &str| csv(row[name].as_str().unwrap_or_default(), terminal);
        for hour in 0..hours {
            let cell = Cell::of(row, hour, hour + 1);
            let time = Nanos(from.0.saturating_add(HOUR.saturating_mul(hour as i64)));
            let expected = cell.expected.map_or_else(String::new, |expected| expected.to_string());
            // Without a number: something is missing, and nobody knows how much.
            let missing = match cell {
                Cell { uncounted: true, missing: 0, .. } => String::new(),
                Cell { missing, .. } => missing.to_string(),
            };
            let gaps = row["gaps"].as_array().into_iter().flatten();
            let gaps = gaps.filter(|gap| gap["hour"].as_u64() == Some(hour as u64));
            let why =
                gaps.filter_map(|gap| Some(format!("{}: {}", gap["name"].as_str()?, gap["why"].as_str()?)));
            let why = csv(&why.collect::<Vec<_>>().join("; "), terminal);
            let (seen, silent_s) = (cell.seen, cell.silent_s);
            writeln!(
                out,
                "{},{},{time},{seen},{expected},{missing},{silent_s},{why}",
                text("host"),
                text("source")
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> Value {
        json!({
            "from": "2026-11-21T10:00:00.000000000Z",
            "to": "2026-11-21T14:00:00.000000000Z",
            "hours": 4,
            "rows": [
                {"host": "", "source": "shop", "seen": [0, 1, 42, 1000]},
                {"host": "web1", "source": "host", "seen": [120, 60, 0, 120], "expected": [120, 120, 120, 120],
                 "missing": [0, 0, 0, 7], "silent_s": [0, 0, 3600, 0],
                 "gaps": [{"hour": 3, "name": "gap.spool", "missing": 7, "why": "=full", "ledger": "audit", "index": 1}]},
                {"host": "web1", "source": "auth", "seen": [1, 1, 1, 1],
                 "gaps": [{"hour": 0, "name": "gap.collect", "missing": null, "why": "cut", "ledger": "audit", "index": 2}]},
            ],
        })
    }

    #[test]
    fn a_table_has_a_sign_for_each_hour() {
        let mut out = Vec::new();
        write_table(&answer(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["-", "shop", "1043", "0", "0", "min", ".124"]);
        assert_eq!(lines[2], ["web1", "host", "300", "480", "7", "60", "min", "3-s!"]);
        assert_eq!(lines[3], ["web1", "auth", "4", "?", "0", "min", "!111"]);
        assert_eq!(lines[6], ["2026-11-21", "10", "gap.collect", "?", "cut"]);
        assert_eq!(lines[7], ["2026-11-21", "13", "gap.spool", "7", "=full"]);
    }

    #[test]
    fn csv_has_a_line_for_each_hour() {
        let mut out = Vec::new();
        write_csv(&answer(), false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 13);
        assert_eq!(lines[4], ",shop,2026-11-21T13:00:00.000000000Z,1000,,0,0,");
        assert_eq!(lines[8], "web1,host,2026-11-21T13:00:00.000000000Z,120,120,7,0,gap.spool: =full");
        assert_eq!(lines[9], "web1,auth,2026-11-21T10:00:00.000000000Z,1,,,0,gap.collect: cut");
    }

    #[test]
    fn lengths_reach_back() {
        for (text, read) in [
            ("7d", "-7d"),
            ("-7d", "-7d"),
            ("now", "now"),
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
            ("", ""),
        ] {
            assert_eq!(relative(text), read);
        }
    }
}
