//! What `gap.*` events say: whom they are about, and how many events are missing.

use attestry_event::{Entry, Field, Nanos, RESERVED_SOURCE};
use attestry_store::{Error, Hit, Order, Query, Scope, SearchRequest, Store};
use serde_json::Value;

use crate::accounts::{Sender, Silence};

/// The most gap events that are read for one answer.
const GAPS_MAX: usize = 10_000;

/// How many are read at a time.
const PAGE: usize = 1_000;

/// The gaps that tell of events which never came into a ledger, and the member of `event_data` that counts them. Of the others nothing is
/// missing here: what is malformed or clashes is kept, and what a sink did not get is still in the log that it follows.
const COUNTED: [(&str, &str); 4] = [
    ("gap.sequence", "count"),
    ("gap.datagram", "count"),
    ("gap.spool", "events"),
    ("gap.collect", "events"),
];

/// A gap event, as coverage needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) time: Nanos,
    pub(super) name: String,
    /// The host it names.
    pub(super) host: Option<String>,
    /// The agent that it is about or comes from; empty for this host's own.
    pub(super) agent: String,
    /// The source it is about; empty when it is about all of them.
    pub(super) source: String,
    /// Whether that source is a program with a key, of which only its events say where it runs.
    pub(super) of_key: bool,
    /// How many are missing; `None` when nobody knows.
    pub(super) missing: Option<u64>,
    pub(super) why: String,
    /// From when to when it was silent.
    pub(super) silent: Option<(Nanos, Nanos)>,
    /// The ledgers that miss something; empty: unsaid.
    pub(super) about: Vec<String>,
    pub(super) ledger: String,
    pub(super) index: u64,
}

impl Gap {
    fn read(hit: &Hit) -> Option<Gap> {
        let entry = Entry::parse(&hit.entry).ok()?;
        let data: Value = entry.event_data_text().and_then(|data| serde_json::from_str(data).ok())?;
        let text = |name: &str| data[name].as_str().map(str::to_owned);
        let time = |name: &str| data[name].as_str().and_then(|time| Nanos::parse(time).ok());
        let field = |field| entry.field(field).map(|value| value.into_owned());
        let name = entry.event_name().into_owned();
        let counted = COUNTED.iter().find(|(known, _)| *known == name);
        let missing = match counted {
            Some((_, member)) => data[*member].as_u64(),
            None => Some(0),
        };
        // An event of a source itself bears its name; our own tell of it.
        let told_by = entry.event_source();
        let own = if told_by == RESERVED_SOURCE { String::new() } else { told_by.into_owned() };
        // A spool tells of each ledger by its name.
        let several = data["ledgers"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        Some(Gap {
            time: entry.event_time(),
            host: field(Field::Host).or_else(|| text("host")).filter(|host| !host.is_empty()),
            agent: text("agent").or_else(|| field(Field::Agent)).unwrap_or_default(),
            source: text("source").or_else(|| text("receiver")).or_else(|| text("key")).unwrap_or(own),
            of_key: data["who"] == Sender::Key.name(),
            missing,
            why: field(Field::Message).or_else(|| text("why")).or_else(|| text("reason")).unwrap_or_default(),
            silent: time("since").zip(time("until")),
            about: several.map(str::to_owned).chain(text("ledger")).collect(),
            ledger: hit.ledger.to_string(),
            index: hit.index,
            name,
        })
    }

    /// A silence that goes on.
    pub(super) fn of_silence(silence: &Silence, now: Nanos) -> Gap {
        let source =
            if silence.party.sender == Sender::Agent { String::new() } else { silence.party.name.clone() };
        let (host, agent) = (silence.host.clone(), silence.party.agent.clone());
        let of_key = silence.party.sender == Sender::Key;
        Gap { host, agent, source, of_key, silent: Some((silence.since, now)), ..Gap::default() }
    }

    /// Whether it is about one of these ledgers, as far as it says.
    pub(super) fn concerns(&self, ledgers: Option<&[String]>) -> bool {
        ledgers
            .is_none_or(|asked| self.about.is_empty() || self.about.iter().any(|name| asked.contains(name)))
    }
}

fn found(store: &Store, scope: &Scope, query: &str, most: usize) -> Result<(Vec<Gap>, bool), Error> {
    let query = Query::parse(query).map_err(|error| Error::Refused(error.message))?;
    let scope = Scope { query: scope.query.and(&query), ..scope.clone() };
    let mut request = SearchRequest { scope, order: Order::OldestFirst, limit: PAGE, cursor: None };
    let mut gaps = Vec::new();
    loop {
        let page = store.search(&request)?;
        gaps.extend(page.hits.iter().filter_map(Gap::read));
        match page.next {
            None => return Ok((gaps, false)),
            Some(_) if gaps.len() >= most => return Ok((gaps, true)),
            Some(next) => request.cursor = Some(next),
        }
    }
}

/// The gaps that were told of in the scope's time, and whether there are more.
pub(super) fn read(store: &Store, scope: &Scope) -> Result<(Vec<Gap>, bool), Error> {
    found(store, scope, "event_name:gap.*", GAPS_MAX)
}

/// The silences that ended in the scope's time or later: they may have begun before its end.
pub(super) fn silences(store: &Store, scope: &Scope) -> Result<Vec<Gap>, Error> {
    let scope = Scope { to: None, ..scope.clone() };
    Ok(found(store, &scope, "event_name:gap.silence_end", GAPS_MAX)?.0)
}

/// The time of the first event in a scope.
pub(super) fn first(store: &Store, scope: Scope) -> Result<Option<Nanos>, Error> {
    let page = store.search(&SearchRequest { scope, order: Order::OldestFirst, limit: 1, cursor: None })?;
    Ok(page.hits.first().map(|hit| hit.event_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `source` is the `event_source`, `place` the members for host and agent.
    fn gap(name: &str, source: &str, place: &str, data: &str) -> Gap {
        let entry = format!(
            r#"{{"v":1,"event_id":"a","event_time":"2026-11-21T00:00:00.000000000Z","received_at":"2026-11-21T00:00:00.000000000Z","event_name":"{name}","username":"-","event_source":"{source}","source_ip_address":"-","read_only":false,"message":"m",{place}"event_data":{data}}}"#
        );
        let hit = Hit { ledger: "audit".into(), index: 7, event_time: Nanos(0), entry: entry.into_bytes() };
        Gap::read(&hit).unwrap()
    }

    #[test]
    fn events_say_whom_they_are_about() {
        for (name, own, place, data, host, agent, source, missing) in [
            (
                "gap.sequence",
                "attestry",
                "",
                r#"{"agent":"web1","ledger":"audit","count":5}"#,
                None,
                "web1",
                "",
                Some(5),
            ),
            ("gap.sequence", "attestry", "", r#"{"agent":"web1"}"#, None, "web1", "", None),
            (
                "gap.datagram",
                "office",
                r#""host":"central","#,
                r#"{"count":7}"#,
                Some("central"),
                "",
                "office",
                Some(7),
            ),
            (
                "gap.spool",
                "attestry",
                r#""host":"h","agent":"web1","#,
                r#"{"events":3}"#,
                Some("h"),
                "web1",
                "",
                Some(3),
            ),
            ("gap.spool", "attestry", r#""agent":"web1","#, r#"{"why":"damage"}"#, None, "web1", "", None),
            (
                "gap.collect",
                "auth",
                r#""host":"h","#,
                r#"{"file":"/var/log/auth.log"}"#,
                Some("h"),
                "",
                "auth",
                None,
            ),
            ("gap.malformed", "orders", "", r#"{"count":9}"#, None, "", "orders", Some(0)),
            ("gap.sink", "attestry", "", r#"{"events":9}"#, None, "", "", Some(0)),
            (
                "gap.silence",
                "attestry",
                "",
                r#"{"who":"source","agent":"web1","source":"host"}"#,
                None,
                "web1",
                "host",
                Some(0),
            ),
            (
                "gap.silence",
                "attestry",
                "",
                r#"{"who":"receiver","receiver":"office"}"#,
                None,
                "",
                "office",
                Some(0),
            ),
            ("gap.silence", "attestry", "", r#"{"who":"key","key":"shop"}"#, None, "", "shop", Some(0)),
        ] {
            let gap = gap(name, own, place, data);
            let found = (gap.host.as_deref(), gap.agent.as_str(), gap.source.as_str(), gap.missing);
            assert_eq!(found, (host, agent, source, missing), "{name} {own} {place} {data}");
        }
    }

    #[test]
    fn a_gap_concerns_the_ledgers_it_names() {
        let of = |data: &str| gap("gap.spool", "attestry", "", data);
        let logs = ["logs".to_owned()];
        for (data, concerned) in [
            (r#"{"ledger":"logs"}"#, true),
            (r#"{"ledger":"audit"}"#, false),
            (r#"{"ledgers":{"audit":{"events":2},"logs":{"events":1}}}"#, true),
            (r#"{"ledgers":{"audit":{"events":2}}}"#, false),
            (r#"{}"#, true),
        ] {
            assert_eq!(of(data).concerns(Some(&logs)), concerned, "{data}");
            assert!(of(data).concerns(None));
        }
    }

    #[test]
    fn a_silence_that_ended_has_its_time() {
        let data = r#"{"since":"2026-11-21T00:00:00Z","until":"2026-11-21T01:00:00Z"}"#;
        let gap = gap("gap.silence_end", "attestry", "", data);
        let (from, to) = gap.silent.unwrap();
        assert_eq!(to.0 - from.0, 3_600_000_000_000);
    }
}
