//! Who should have been heard and was not: agents, sources with a cadence, receivers and write keys of which something is expected.
//!
//! Looked at once a minute. What is found goes to the accounts, which know the silences that go on and put out `gap.silence` and
//! `gap.silence_end` in the transaction that notes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use attestry_event::Nanos;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::accounts::{Agent, Finding, Hearing, Key, KeyKind, Party, Sender};
use crate::app::App;
use crate::flow::FlowStatus;
use crate::parts::SourceStatus;
use crate::problem::{Problem, chain};

/// How often an agent says how it is, when it does not say how often.
const AGENT_EVERY_S: u64 = 30;

/// Nobody is silent before this time has passed, however often it should be heard: one lost report is no silence.
const LEAST: Duration = Duration::from_secs(180);

/// How many times its cadence a source may be late.
const PATIENCE: u64 = 3;

/// What is remembered while the server runs.
pub(crate) struct Watch {
    started: Nanos,
    /// The name of this host.
    pub(crate) host: Option<String>,
    /// Since when somebody is waited for of whom nothing came yet.
    unheard: Mutex<HashMap<Party, Nanos>>,
}

/// What silence needs of an agent's own words, whichever version it has.
#[derive(Deserialize)]
struct Said {
    now: Nanos,
    every_s: Option<u64>,
    #[serde(default)]
    sources: Vec<SaidOfSource>,
}

#[derive(Deserialize)]
struct SaidOfSource {
    name: String,
    #[serde(default)]
    on: bool,
    every_s: Option<u64>,
    last_event: Option<Nanos>,
}

/// A source with a cadence, for coverage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cadence {
    /// The agent it belongs to; empty for this host.
    pub(crate) agent: String,
    pub(crate) source: String,
    pub(crate) every_s: u64,
}

impl Watch {
    pub(crate) fn new(started: Nanos) -> Watch {
        // proc(5); elsewhere the name is unknown, and nothing depends on it.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Watch { started, host, unheard: Mutex::default() }
    }

    /// What is known of everybody who is expected to be heard.
    fn findings(
        &self,
        agents: &[Agent],
        sources: &[SourceStatus],
        flow: &FlowStatus,
        keys: &[Key],
        now: Nanos,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        for agent in agents.iter().filter(|agent| agent.revoked_at.is_none()) {
            let Some(seen) = agent.last_seen else { continue };
            let party = Party { sender: Sender::Agent, agent: agent.name.clone(), name: String::new() };
            let said = said(agent);
            let every_s = said.as_ref().and_then(|said| said.every_s).unwrap_or(AGENT_EVERY_S);
            let limit = late(every_s);
            let hearing = match (is_over(seen, now, limit), is_over(self.started.max(seen), now, limit)) {
                (false, _) => Hearing::Heard(seen),
                (true, true) => Hearing::Silent(seen),
                // The server itself was away, and the agent has not had the time to come back.
                (true, false) => Hearing::Unknown,
            };
            let is_here = matches!(hearing, Hearing::Heard(_));
            findings.push(Finding { party, host: None, every_s, hearing });
            let Some(said) = said else { continue };
            for source in said.sources.iter().filter(|source| source.on) {
                let Some(every_s) = source.every_s else { continue };
                let party =
                    Party { sender: Sender::Source, agent: agent.name.clone(), name: source.name.clone() };
                // Its last words are old: what its sources have done since, nobody here knows.
                let hearing = match is_here {
                    true => self.judge(&party, source.last_event, late(every_s), said.now, now),
                    false => Hearing::Unknown,
                };
                findings.push(Finding { party, host: None, every_s, hearing });
            }
        }
        let own = |sender, name: &str| Party { sender, agent: String::new(), name: name.to_owned() };
        for source in sources.iter().filter(|source| source.on) {
            let Some(every_s) = source.every_s else { continue };
            let party = own(Sender::Source, &source.name);
            let hearing = self.judge(&party, source.last_event, late(every_s), now, now);
            findings.push(Finding { party, host: self.host.clone(), every_s, hearing });
        }
        for receiver in &flow.receivers {
            let Some(every_s) = receiver.every_s else { continue };
            let party = own(Sender::Receiver, &receiver.name);
            // What a person wrote is meant: "at least once an hour", and no patience on top.
            let limit = Duration::from_secs(every_s).max(LEAST);
            let hearing = self.judge(&party, receiver.last, limit, now, now);
            findings.push(Finding { party, host: self.host.clone(), every_s, hearing });
        }
        findings.extend(self.of_keys(keys, now));
        let mut unheard = self.unheard.lock();
        unheard.retain(|party, _| findings.iter().any(|finding| finding.party == *party));
        findings
    }

    /// The write keys of which something is expected. Keys of one name are one source: where one key takes the place of another, the source
    /// goes on.
    fn of_keys(&self, keys: &[Key], now: Nanos) -> Vec<Finding> {
        let valid =
            |key: &&Key| key.revoked_at.is_none() && key.expires_at.is_none_or(|expires| expires > now);
        let writes = || keys.iter().filter(|key| key.kind == KeyKind::Write);
        let mut expected: BTreeMap<&str, (Duration, Nanos)> = BTreeMap::new();
        for key in writes().filter(valid) {
            let Some(expect) = key.expect else { continue };
            let of = expected.entry(&key.name).or_insert((expect, key.created_at));
            *of = (of.0.min(expect), of.1.max(key.created_at));
        }
        let judge = |(name, (expect, since)): (&str, (Duration, Nanos))| {
            let party = Party { sender: Sender::Key, agent: String::new(), name: name.to_owned() };
            let last = writes().filter(|key| key.name == name).filter_map(|key| key.last_event_at).max();
            // What was sent before anything was expected says nothing.
            let heard = last.filter(|last| *last >= since);
            let from = heard.unwrap_or(since);
            let limit = expect.max(LEAST);
            let hearing = match (heard, is_over(from, now, limit), is_over(self.started, now, limit)) {
                (Some(last), false, _) => Hearing::Heard(last),
                (Some(last), true, true) => Hearing::Silent(last),
                (None, true, true) => Hearing::NotYet(since),
                // It is new, or the server itself was away, and nobody could send.
                _ => Hearing::Unknown,
            };
            Finding { party, host: None, every_s: expect.as_secs(), hearing }
        };
        expected.into_iter().map(judge).collect()
    }

    /// `judged` is the time by the clock that gave `last`.
    fn judge(
        &self,
        party: &Party,
        last: Option<Nanos>,
        limit: Duration,
        judged: Nanos,
        now: Nanos,
    ) -> Hearing {
        let mut unheard = self.unheard.lock();
        match last {
            Some(last) => {
                unheard.remove(party);
                if is_over(last, judged, limit) { Hearing::Silent(last) } else { Hearing::Heard(last) }
            }
            None => {
                let since = *unheard.entry(party.clone()).or_insert(now);
                if is_over(since, now, limit) { Hearing::NotYet(since) } else { Hearing::Unknown }
            }
        }
    }
}

fn late(every_s: u64) -> Duration {
    Duration::from_secs(every_s.saturating_mul(PATIENCE)).max(LEAST)
}

fn is_over(since: Nanos, now: Nanos, limit: Duration) -> bool {
    i128::from(now.0) - i128::from(since.0) > limit.as_nanos() as i128
}

fn said(agent: &Agent) -> Option<Said> {
    serde_json::from_str(agent.status.as_deref()?).ok()
}

/// The sources whose cadence is known.
pub(crate) fn cadences(agents: &[Agent], sources: &[SourceStatus]) -> Vec<Cadence> {
    let of_agents = agents.iter().filter(|agent| agent.revoked_at.is_none()).flat_map(|agent| {
        let sources = said(agent).map_or_else(Vec::new, |said| said.sources);
        let on = sources.into_iter().filter(|source| source.on);
        on.filter_map(|source| {
            Some(Cadence { agent: agent.name.clone(), source: source.name, every_s: source.every_s? })
        })
    });
    let own = sources.iter().filter(|source| source.on).filter_map(|source| {
        Some(Cadence { agent: String::new(), source: source.name.clone(), every_s: source.every_s? })
    });
    of_agents.chain(own).filter(|cadence| cadence.every_s > 0).collect()
}

/// Looks once.
pub(crate) async fn look(app: &Arc<App>) {
    let working = Arc::clone(app);
    let looked = tokio::task::spawn_blocking(move || -> Result<_, Problem> {
        let agents = working.accounts.agents()?;
        let (sources, flow) = (working.operations.sources(), working.operations.flow());
        let keys = working.accounts.keys()?;
        let findings = working.watch.findings(&agents, &sources, &flow, &keys, working.clock.now());
        Ok(working.accounts.note_silences(&findings)?)
    })
    .await;
    match looked {
        Ok(Ok((0, 0))) => {}
        Ok(Ok((began, ended))) => tracing::info!(began, ended, "silences"),
        Ok(Err(problem)) => tracing::warn!(?problem, "who is silent could not be looked at"),
        Err(error) => tracing::error!(error = chain(&error), "the look at who is silent ended early"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::ReceiverStatus;
    use attestry_event::{Clock, ManualClock};

    fn agent(name: &str, seen: Option<Nanos>, status: Option<String>) -> Agent {
        Agent {
            name: name.to_owned(),
            ledgers: vec!["audit".to_owned()],
            enrolled_at: Nanos(0),
            revoked_at: None,
            last_seen: seen,
            address: None,
            status,
            expires_at: None,
            progress: Vec::new(),
        }
    }

    fn status(now: Nanos, last_event: Option<Nanos>) -> Option<String> {
        let source = |name: &str, on: bool, every_s: Option<u64>| serde_json::json!({"name": name, "on": on, "every_s": every_s, "last_event": last_event, "events": 0});
        let sources =
            [source("host", true, Some(60)), source("auth", true, None), source("off", false, Some(60))];
        Some(serde_json::json!({"version": "1", "now": now, "sources": sources}).to_string())
    }

    fn own(on: bool, last_event: Option<Nanos>) -> SourceStatus {
        SourceStatus {
            name: "host".to_owned(),
            on,
            why: None,
            needs: String::new(),
            last_event,
            events: 0,
            losses: 0,
            every_s: Some(60),
        }
    }

    fn flow(last: Option<Nanos>) -> FlowStatus {
        let receiver = |name: &str, every_s| ReceiverStatus {
            name: name.to_owned(),
            last,
            every_s,
            ..ReceiverStatus::default()
        };
        FlowStatus { receivers: vec![receiver("office", Some(3600)), receiver("any", None)], sinks: vec![] }
    }

    fn seconds(clock: &ManualClock, ago: u64) -> Nanos {
        Nanos(clock.now().0 - ago as i64 * 1_000_000_000)
    }

    #[test]
    fn each_has_its_own_patience() {
        let clock = ManualClock::new(Nanos(1_700_000_000_000_000_000));
        let watch = Watch::new(clock.now());
        clock.advance(Duration::from_secs(100_000));
        let now = clock.now();
        let at = |ago: u64| seconds(&clock, ago);
        let (heard, silent) = (Hearing::Heard, Hearing::Silent);
        let none = FlowStatus::default();
        let here = |last| agent("web1", Some(now), status(now, last));
        let mut revoked = agent("web1", Some(at(9_000)), None);
        revoked.revoked_at = Some(at(10));
        // An agent whose clock is an hour behind is judged by its own clock.
        let behind = agent("web1", Some(now), status(at(3_600), Some(at(3_650))));
        for (what, agents, sources, receivers, expected) in [
            (
                "an agent in time",
                vec![agent("web1", Some(at(180)), None)],
                vec![],
                &none,
                vec![heard(at(180))],
            ),
            ("an agent late", vec![agent("web1", Some(at(181)), None)], vec![], &none, vec![silent(at(181))]),
            ("never seen", vec![agent("web1", None, None)], vec![], &none, vec![]),
            ("revoked", vec![revoked], vec![], &none, vec![]),
            (
                "its source in time",
                vec![here(Some(at(180)))],
                vec![],
                &none,
                vec![heard(now), heard(at(180))],
            ),
            ("its source late", vec![here(Some(at(181)))], vec![], &none, vec![heard(now), silent(at(181))]),
            ("its clock is wrong", vec![behind], vec![], &none, vec![heard(now), heard(at(3_650))]),
            (
                "a silent agent's source",
                vec![agent("web1", Some(at(400)), status(at(400), Some(at(400))))],
                vec![],
                &none,
                vec![silent(at(400)), Hearing::Unknown],
            ),
            (
                "a status that nobody can read",
                vec![agent("web1", Some(now), Some("{".to_owned()))],
                vec![],
                &none,
                vec![heard(now)],
            ),
            ("own source in time", vec![], vec![own(true, Some(at(10)))], &none, vec![heard(at(10))]),
            ("own source late", vec![], vec![own(true, Some(at(181)))], &none, vec![silent(at(181))]),
            ("own source off", vec![], vec![own(false, Some(at(9_000)))], &none, vec![]),
            ("a receiver in time", vec![], vec![], &flow(Some(at(3_600))), vec![heard(at(3_600))]),
            ("a receiver late", vec![], vec![], &flow(Some(at(3_601))), vec![silent(at(3_601))]),
        ] {
            let findings = watch.findings(&agents, &sources, receivers, &[], now);
            let hearings: Vec<Hearing> = findings.iter().map(|finding| finding.hearing).collect();
            assert_eq!(hearings, expected, "{what}");
        }
    }

    #[test]
    fn after_a_start_everybody_has_time_to_come_back() {
        let clock = ManualClock::new(Nanos(1_700_000_000_000_000_000));
        let gone = seconds(&clock, 9_000);
        let watch = Watch::new(clock.now());
        let none = FlowStatus::default();
        let look = |sources: &[SourceStatus]| {
            let agents = [agent("web1", Some(gone), None)];
            let findings = watch.findings(&agents, sources, &none, &[], clock.now());
            findings.iter().map(|finding| finding.hearing).collect::<Vec<_>>()
        };
        let started = clock.now();
        assert_eq!(look(&[own(true, None)]), [Hearing::Unknown, Hearing::Unknown]);
        clock.advance(Duration::from_secs(180));
        assert_eq!(look(&[own(true, None)]), [Hearing::Unknown, Hearing::Unknown]);
        clock.advance(Duration::from_secs(1));
        assert_eq!(look(&[own(true, None)]), [Hearing::Silent(gone), Hearing::NotYet(started)]);
        // Switched off and on again, it is waited for anew.
        assert_eq!(look(&[own(false, None)]), [Hearing::Silent(gone)]);
        assert_eq!(look(&[own(true, None)]), [Hearing::Silent(gone), Hearing::Unknown]);
    }

    /// A write key of which something is expected every hour, made at one time and last heard at another.
    fn key(name: &str, made: Nanos, last_event_at: Option<Nanos>) -> Key {
        Key {
            id: name.to_owned(),
            name: name.to_owned(),
            kind: KeyKind::Write,
            ledgers: vec!["audit".to_owned()],
            filter: None,
            lenient: false,
            created_at: made,
            created_by: "-".to_owned(),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            expect: Some(Duration::from_secs(3_600)),
            last_event_at,
        }
    }

    #[test]
    fn a_key_is_waited_for_as_long_as_it_said() {
        let clock = ManualClock::new(Nanos(1_700_000_000_000_000_000));
        let (now, at) = (clock.now(), |ago| seconds(&clock, ago));
        let watch = Watch::new(at(100_000));
        let long_ago = at(90_000);
        let silent = |name, ago| key(name, long_ago, Some(at(ago)));
        let changed = |mut key: Key, change: fn(&mut Key)| {
            change(&mut key);
            key
        };
        let off = |key: &mut Key| key.revoked_at = Some(Nanos(0));
        let unexpected = |key: &mut Key| key.expect = None;
        for (what, keys, expected) in [
            ("in time", vec![silent("a", 3_600)], vec![Hearing::Heard(at(3_600))]),
            ("late", vec![silent("a", 3_601)], vec![Hearing::Silent(at(3_601))]),
            ("never heard", vec![key("a", long_ago, None)], vec![Hearing::NotYet(long_ago)]),
            ("new", vec![key("a", at(60), None)], vec![Hearing::Unknown]),
            ("revoked", vec![changed(silent("a", 9_000), off)], vec![]),
            ("expired", vec![changed(silent("a", 9_000), |key| key.expires_at = Some(Nanos(1)))], vec![]),
            ("may be silent", vec![changed(silent("a", 9_000), unexpected)], vec![]),
            (
                "each for itself",
                vec![silent("a", 9_000), silent("b", 5)],
                vec![Hearing::Silent(at(9_000)), Hearing::Heard(at(5))],
            ),
            (
                "one takes the place of another",
                vec![silent("a", 9_000), changed(silent("a", 5), unexpected)],
                vec![Hearing::Heard(at(5))],
            ),
            (
                "one has taken the place of another, and is new",
                vec![changed(silent("a", 9_000), off), key("a", at(60), None)],
                vec![Hearing::Unknown],
            ),
            (
                "the expectation is soon over",
                vec![changed(silent("a", 170), |key| key.expect = Some(Duration::from_secs(1)))],
                vec![Hearing::Heard(at(170))],
            ),
        ] {
            let findings = watch.findings(&[], &[], &FlowStatus::default(), &keys, now);
            let hearings: Vec<Hearing> = findings.iter().map(|finding| finding.hearing).collect();
            assert_eq!(hearings, expected, "{what}");
        }
        // The server was away for longer than that, so nobody could send.
        let watch = Watch::new(at(60));
        let findings = watch.findings(&[], &[], &FlowStatus::default(), &[silent("a", 9_000)], now);
        assert_eq!(findings[0].hearing, Hearing::Unknown);
    }
}
