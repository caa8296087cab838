//! `GET /coverage`: per host, source and hour what came, what should have come, what is known to be missing, and why.
//!
//! What came is counted by the search index. What is missing is what `gap.*` events say: where nobody counts, no number is made up. What
//! should have come is known where a source gives its events at a fixed pace, and is reckoned with the pace it has today.

mod gaps;
mod grid;

use std::sync::Arc;

use attestry_event::Nanos;
use attestry_store::{
    Calculation, Error, Figure, HistogramRequest, Interval, Query, Scope, StatsRequest, Store,
};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use self::gaps::Gap;
use self::grid::{Grid, Hours};
use crate::accounts::Silence;
use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::params::Params;
use crate::parts::AUDIT_LEDGER;
use crate::problem::{Problem, ProblemDetails, Refused};
use crate::search::{SearchAnswer, Which, run};
use crate::silence::{Cadence, cadences};
use crate::times;

const HOUR: i64 = 3_600_000_000_000;

/// How far back when nothing is said.
const DEFAULT_FROM: &str = "-24h";

/// The most hours: 31 days.
const HOURS_MAX: i64 = 31 * 24;

/// The most pairs of host and source that are told apart; each is a search of its own.
const PAIRS_MAX: usize = 2_000;

/// An event that a source with a cadence gives once each time it looks.
const SAMPLE: &str = "host.stats";

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CoverageQuery {
    /// RFC 3339, or relative such as `-7d`; rounded down to a full hour (UTC). Default: `-24h`.
    #[param(example = "-24h")]
    from: Option<String>,
    /// RFC 3339, relative, or `now`; rounded up to a full hour (UTC). At most 31 days after `from`. Default: `now`.
    to: Option<String>,
    /// The ledgers to look in, separated by commas; default: all that the caller may read.
    ledger: Option<String>,
}

/// What came and what did not.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CoverageAnswer {
    /// Where the first hour begins.
    #[schema(value_type = String, format = DateTime)]
    from: Nanos,
    /// Where the last hour ends.
    #[schema(value_type = String, format = DateTime)]
    to: Nanos,
    /// How many hours: the length of each row's lists.
    hours: usize,
    /// A row for each host and source, in the order of their names.
    rows: Vec<RowAnswer>,
    /// Whether there are more pairs of host and source, or more gaps, than are given.
    cut: bool,
}

/// A host's source, hour by hour.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RowAnswer {
    /// Empty for events without a host.
    host: String,
    /// The `event_source`; empty for what is about a host or agent as a whole.
    source: String,
    /// How often the source gives something, in seconds, where that is fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    every_s: Option<u64>,
    /// Events found.
    seen: Vec<u64>,
    /// Events that should be there; null where nobody knows. Absent when it is null in all hours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expected: Vec<Option<u64>>,
    /// Events that are known to be missing. Absent when it is 0 in all hours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<u64>,
    /// Seconds of silence. Absent when it is 0 in all hours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    silent_s: Vec<u64>,
    /// What is known of the gaps, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<GapAnswer>,
}

/// A gap event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct GapAnswer {
    /// In which of the hours, counted from 0.
    hour: usize,
    /// The event's name.
    name: String,
    /// How many events are missing; null when nobody knows, 0 when none is.
    missing: Option<u64>,
    /// What happened, in words.
    why: String,
    /// Where the event is.
    ledger: String,
    /// Its index there.
    index: u64,
}

/// What came, what did not, and why, per host, source and hour.
#[utoipa::path(
    get,
    path = "/coverage",
    tag = "search",
    params(CoverageQuery),
    responses(
        (status = 200, body = SearchAnswer<CoverageAnswer>),
        Refused<400>,
        (status = 403, body = ProblemDetails, content_type = "application/problem+json", description = "A filtered key or user"),
    )
)]
pub(crate) async fn coverage(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(query): Params<CoverageQuery>,
) -> Result<Json<SearchAnswer<CoverageAnswer>>, Problem> {
    let all = caller.scope(&app, None)?;
    if all.filter.is_some() {
        return Err(Problem::forbidden("a filtered key or user does not see what is missing"));
    }
    let now = app.clock.now();
    let hours = hours(&query, now)?;
    // Gaps are told of in `audit`, whichever ledger they are about.
    let told_in: Vec<String> = all.ledgers.iter().map(|ledger| ledger.name().to_owned()).collect();
    let sees_audit = told_in.iter().any(|name| name == AUDIT_LEDGER);
    let asked = query.ledger.as_deref().filter(|asked| !asked.is_empty());
    let asked = asked.map(|asked| asked.split(',').map(|name| name.trim().to_owned()).collect());
    let working = Arc::clone(&app);
    let (agents, silences) =
        blocking(move || Ok((working.accounts.agents()?, working.accounts.silences()?))).await?;
    let ask = Ask {
        hours,
        now,
        told_in,
        asked,
        cadences: cadences(&agents, &app.operations.sources()),
        silences: if sees_audit { silences } else { Vec::new() },
        own_host: app.watch.host.clone().unwrap_or_default(),
    };
    let which = Which {
        q: String::new(),
        from: Some(hours.from.to_string()),
        to: Some(hours.to().to_string()),
        ledger: query.ledger,
    };
    let work = move |store: &Store, scope: Scope| look(store, &scope, &ask);
    let answer = run(&app, &caller, &which, "coverage", work, |found| found.grid.len() as u64).await?;
    Ok(answer.json(
        |found| found.behind,
        |found: Found| CoverageAnswer {
            from: hours.from,
            to: hours.to(),
            hours: hours.number,
            rows: found.grid.into_rows(),
            cut: found.cut,
        },
    ))
}

fn hours(query: &CoverageQuery, now: Nanos) -> Result<Hours, Problem> {
    let time = |name, text: &Option<String>, default: &str| {
        let text = text.as_deref().filter(|text| !text.is_empty()).unwrap_or(default);
        times::parse(name, text, now)
    };
    let (from, to) = (time("from", &query.from, DEFAULT_FROM)?, time("to", &query.to, "now")?);
    if from >= to {
        return Err(Problem::bad_request("from: expected a time before to").with("field", "from"));
    }
    let first = from.0.div_euclid(HOUR);
    let number = to.0.saturating_sub(1).div_euclid(HOUR) - first + 1;
    // Rounding to full hours may add one.
    if number > HOURS_MAX + 1 {
        let detail = format!("from and to are {} days apart; expected at most 31", number / 24);
        return Err(Problem::bad_request(detail).with("field", "from"));
    }
    let from = Nanos(first.saturating_mul(HOUR));
    Ok(Hours { from, number: usize::try_from(number).unwrap_or(0) })
}

/// What is to be found out, and what is known without the index.
struct Ask {
    hours: Hours,
    now: Nanos,
    /// The ledgers whose gap events the caller may read.
    told_in: Vec<String>,
    /// The ledgers that the caller asks about; `None`: all.
    asked: Option<Vec<String>>,
    cadences: Vec<Cadence>,
    silences: Vec<Silence>,
    own_host: String,
}

struct Found {
    grid: Grid,
    cut: bool,
    behind: u64,
}

fn look(store: &Store, scope: &Scope, ask: &Ask) -> Result<Found, Error> {
    let Groups { pairs, mut cut, behind } = groups(store, scope, ["host", "event_source"])?;
    let mut grid = Grid::new(ask.hours);
    for (host, source) in &pairs {
        let scope = Scope {
            query: scope.query.and(&of(&[("host", host), ("event_source", source)])?),
            ..scope.clone()
        };
        grid.row(host, source).seen = by_hour(store, scope)?;
    }
    let agents = Hosts::read(store, scope, &ask.own_host)?;
    for cadence in &ask.cadences {
        let host = agents.host(&cadence.agent);
        let pair = scope.query.and(&of(&[("host", &host), ("event_source", &cadence.source)])?);
        // Of what never came into these ledgers nothing is expected there, and nothing is told.
        let ever = Scope { query: pair.clone(), from: None, to: None, ..scope.clone() };
        let Some(first) = gaps::first(store, ever)? else { continue };
        let row = grid.row(&host, &cadence.source);
        row.every_s = Some(cadence.every_s);
        row.expected =
            expected(store, Scope { query: pair, ..scope.clone() }, ask, cadence, first, &row.seen)?;
    }
    let told_in = Scope { ledgers: Some(ask.told_in.clone()), ..scope.clone() };
    let (gaps, more) = gaps::read(store, &told_in)?;
    cut |= more;
    for gap in gaps.iter().filter(|gap| gap.concerns(ask.asked.as_deref())) {
        let host = host_of(gap, &agents, &grid);
        grid.gap(&host, gap);
    }
    let ended = gaps::silences(store, &told_in)?;
    let open = ask.silences.iter().map(|silence| Gap::of_silence(silence, ask.now));
    for gap in ended.into_iter().chain(open) {
        let host = host_of(&gap, &agents, &grid);
        grid.silence(&host, &gap);
    }
    Ok(Found { grid, cut, behind })
}

/// The host that a gap is about.
fn host_of(gap: &Gap, agents: &Hosts, grid: &Grid) -> String {
    match &gap.host {
        Some(host) => host.clone(),
        None if gap.of_key => grid.host_of(&gap.source),
        None => agents.host(&gap.agent),
    }
}

struct Groups {
    pairs: Vec<(String, String)>,
    /// Whether there are more.
    cut: bool,
    behind: u64,
}

/// The different pairs of two fields' values, empty where there is none.
fn groups(store: &Store, scope: &Scope, by: [&str; 2]) -> Result<Groups, Error> {
    let request = StatsRequest {
        scope: scope.clone(),
        by: by.iter().map(|name| (*name).to_owned()).collect(),
        calculations: vec![Calculation { figure: Figure::Events, field: String::new() }],
        limit: PAIRS_MAX,
    };
    let stats = store.stats(&request)?;
    let pairs = stats.rows.into_iter().map(|row| {
        let mut values = row.by.into_iter().map(Option::unwrap_or_default);
        (values.next().unwrap_or_default(), values.next().unwrap_or_default())
    });
    Ok(Groups { pairs: pairs.collect(), cut: stats.cut, behind: stats.behind })
}

fn by_hour(store: &Store, scope: Scope) -> Result<Vec<u64>, Error> {
    let request = HistogramRequest { scope, interval: Interval::Nanos(HOUR), by: None, by_limit: 0 };
    Ok(store.histogram(&request)?.buckets.into_iter().map(|bucket| bucket.count).collect())
}

/// A query for exactly these values; an empty one stands for a field that is not there.
fn of(values: &[(&str, &str)]) -> Result<Query, Error> {
    let term = |(field, value): &(&str, &str)| match *value {
        "" => format!("-{field}:*"),
        value => format!("{field}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    let text = values.iter().map(term).collect::<Vec<_>>().join(" ");
    Query::parse(&text).map_err(|error| Error::Refused(error.message))
}

/// How many events each hour should have had: the source's pace, times what it gives each time. Null before its first event and after now.
fn expected(
    store: &Store,
    scope: Scope,
    ask: &Ask,
    cadence: &Cadence,
    first: Nanos,
    seen: &[u64],
) -> Result<Vec<Option<u64>>, Error> {
    let query = scope.query.and(&of(&[("event_name", SAMPLE)])?);
    let samples = store.count(&Scope { query, ..scope })?.count;
    if samples == 0 {
        return Ok(Vec::new());
    }
    let each = seen.iter().sum::<u64>() as f64 / samples as f64;
    let an_hour = 3_600.0 / cadence.every_s as f64 * each;
    Ok(pace(ask.hours, first, ask.now, an_hour))
}

/// What a steady pace gives in each hour between two times.
fn pace(hours: Hours, first: Nanos, last: Nanos, an_hour: f64) -> Vec<Option<u64>> {
    let in_hour = |(from, to): (i64, i64)| {
        let (from, to) = (from.max(first.0), to.min(last.0));
        (from < to).then(|| (an_hour * (to - from) as f64 / HOUR as f64).round() as u64)
    };
    hours.each().map(in_hour).collect()
}

/// Which host each agent runs on, as its events say.
struct Hosts {
    /// Agent and host; an agent that passes on what others send has several.
    pairs: Vec<(String, String)>,
    own: String,
}

impl Hosts {
    fn read(store: &Store, scope: &Scope, own: &str) -> Result<Hosts, Error> {
        let Groups { mut pairs, .. } = groups(store, scope, ["agent", "host"])?;
        pairs.retain(|(agent, host)| !agent.is_empty() && !host.is_empty());
        Ok(Hosts { pairs, own: own.to_owned() })
    }

    /// The host of an agent, or its name when nothing tells; this host for the empty name.
    fn host(&self, agent: &str) -> String {
        if agent.is_empty() {
            return self.own.clone();
        }
        let mut of_agent = self.pairs.iter().filter(|(name, _)| name == agent);
        match (of_agent.next(), of_agent.next()) {
            (Some((_, host)), None) => host.clone(),
            _ => agent.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_full_ones() {
        let now = Nanos::parse("2026-11-21T12:30:00Z").unwrap();
        for (from, to, expected) in [
            (None, None, Some(("2026-11-20T12:00:00.000000000Z", 25))),
            (Some("-1h"), Some("now"), Some(("2026-11-21T11:00:00.000000000Z", 2))),
            (
                Some("2026-11-21T10:00:00Z"),
                Some("2026-11-21T11:00:00Z"),
                Some(("2026-11-21T10:00:00.000000000Z", 1)),
            ),
            (
                Some("2026-11-21T10:59:59Z"),
                Some("2026-11-21T11:00:01Z"),
                Some(("2026-11-21T10:00:00.000000000Z", 2)),
            ),
            (Some("-31d"), None, Some(("2026-10-21T12:00:00.000000000Z", 745))),
            (Some("-32d"), None, None),
            (Some("now"), Some("-1h"), None),
            (Some("now"), Some("now"), None),
            (Some("yesterday"), None, None),
            (Some("0001-01-01T00:00:00Z"), None, None),
        ] {
            let query =
                CoverageQuery { from: from.map(str::to_owned), to: to.map(str::to_owned), ledger: None };
            let found = hours(&query, now).ok().map(|hours| (hours.from.to_string(), hours.number));
            let expected = expected.map(|(from, number)| (from.to_owned(), number));
            assert_eq!(found, expected, "{from:?} {to:?}");
        }
    }

    #[test]
    fn nothing_is_expected_before_the_first_event_and_after_now() {
        let hours = Hours { from: Nanos(10 * HOUR), number: 4 };
        let at = |minutes: i64| Nanos(10 * HOUR + minutes * (HOUR / 60));
        for (first, last, expected) in [
            (at(-600), at(600), [Some(120), Some(120), Some(120), Some(120)]),
            (at(90), at(195), [None, Some(60), Some(120), Some(30)]),
            (at(10), at(15), [Some(10), None, None, None]),
            (at(300), at(195), [None, None, None, None]),
        ] {
            assert_eq!(pace(hours, first, last, 120.0), expected);
        }
    }

    #[test]
    fn a_value_is_never_read_as_a_query() {
        let row = |host: &str| {
            format!(
                r#"{{"v":1,"event_id":"a","event_time":"2026-11-21T00:00:00.000000000Z","received_at":"2026-11-21T00:00:00.000000000Z","event_name":"a.b","username":"-","event_source":"s","source_ip_address":"-","read_only":false,"host":{}}}"#,
                serde_json::Value::from(host)
            )
        };
        for host in
            ["web1", "a b", "a\"b", "a\\", "*", "web?", "10.0.0.0/8", "/x/", ">5", "[a TO b]", "NOT", "ä\n"]
        {
            let query = of(&[("host", host), ("event_source", "s")]).unwrap();
            for (other, matches) in [(host, true), ("web2", false), ("", false)] {
                let text = row(other);
                let entry = attestry_event::Entry::parse(text.as_bytes()).unwrap();
                let found = query.matches(&attestry_store::Row {
                    ledger: "audit",
                    index: 0,
                    entry: &entry,
                    value_of: None,
                });
                assert_eq!(found, matches, "{host} {other}");
            }
        }
        assert!(of(&[("host", "")]).is_ok());
    }

    #[test]
    fn an_agent_is_on_the_host_that_its_events_name() {
        let pair = |agent: &str, host: &str| (agent.to_owned(), host.to_owned());
        let pairs = vec![pair("a", "web1"), pair("relay", "x"), pair("relay", "y")];
        let hosts = Hosts { pairs, own: "central".to_owned() };
        for (agent, host) in [("a", "web1"), ("relay", "relay"), ("unheard", "unheard"), ("", "central")] {
            assert_eq!(hosts.host(agent), host);
        }
    }
}
