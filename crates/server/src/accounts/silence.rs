//! Who has fallen silent, kept so that a restart says nothing twice and notices what ended meanwhile.

use std::collections::HashMap;

use attestry_event::Nanos;
use rusqlite::{Transaction, params};
use serde_json::{Value, json};

use super::outbox::put;
use super::{Accounts, AccountsError};

/// What kind of sender is expected to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sender {
    /// An enrolled agent.
    Agent,
    /// A source of this host or of an agent.
    Source,
    /// A receiver of this host.
    Receiver,
    /// A program that writes with a key.
    Key,
}

impl Sender {
    const ALL: [Sender; 4] = [Sender::Agent, Sender::Source, Sender::Receiver, Sender::Key];

    /// Its name in events and in the file.
    pub fn name(self) -> &'static str {
        match self {
            Sender::Agent => "agent",
            Sender::Source => "source",
            Sender::Receiver => "receiver",
            Sender::Key => "key",
        }
    }
}

/// Somebody who is expected to be heard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party {
    /// What it is.
    pub sender: Sender,
    /// The agent that it is or belongs to; empty for what belongs to this host.
    pub agent: String,
    /// The name of the source, receiver or key; empty for an agent.
    pub name: String,
}

impl Party {
    /// For people: `web1`, `host of web1`, `host`.
    fn shown(&self) -> String {
        match (self.sender, self.agent.as_str()) {
            (Sender::Agent, agent) => format!("the agent {agent}"),
            (sender, "") => format!("the {} {}", sender.name(), self.name),
            (sender, agent) => format!("the {} {} of {agent}", sender.name(), self.name),
        }
    }

    fn resource(&self) -> String {
        match (self.agent.as_str(), self.name.as_str()) {
            (agent, "") => agent.to_owned(),
            ("", name) => name.to_owned(),
            (agent, name) => format!("{agent}/{name}"),
        }
    }
}

/// What was found out about somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Who.
    pub party: Party,
    /// The host it runs on, where that is known.
    pub host: Option<String>,
    /// How often it should be heard, in seconds.
    pub every_s: u64,
    /// Whether it was.
    pub hearing: Hearing,
}

/// Whether somebody was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// In time, the last time then.
    Heard(Nanos),
    /// Not since then.
    Silent(Nanos),
    /// Not once since then, when this program or the sender started.
    NotYet(Nanos),
    /// Nobody can say; what was known of it still holds.
    Unknown,
}

/// A silence that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Whose.
    pub party: Party,
    /// The host it runs on, where that is known.
    pub host: Option<String>,
    /// When it was last heard.
    pub since: Nanos,
    /// How often it should be heard, in seconds.
    pub every_s: u64,
}

impl Silence {
    fn event(&self, name: &str, now: Nanos, severity: u8, message: &str) -> Value {
        let mut data = json!({
            "who": self.party.sender.name(),
            "since": self.since.to_string(),
            "expected_every_s": self.every_s,
        });
        let own = [("agent", &self.party.agent), (self.party.sender.name(), &self.party.name)];
        for (member, value) in own.into_iter().filter(|(_, value)| !value.is_empty()) {
            data[member] = value.as_str().into();
        }
        let mut event = json!({
            "event_id": uuid::Uuid::now_v7().to_string(),
            "event_time": now.to_string(),
            "event_name": name,
            "username": "-",
            "resource": self.party.resource(),
            "severity": severity,
            "message": message,
            "event_data": data,
        });
        if let Some(host) = &self.host {
            event["host"] = host.as_str().into();
        }
        event
    }

    fn begins(&self, now: Nanos) -> Value {
        let message = format!(
            "nothing is heard of {} since {}; expected is something every {} s",
            self.party.shown(),
            self.since,
            self.every_s
        );
        let mut event = self.event("gap.silence", now, 4, &message);
        event["outcome"] = "failure".into();
        event
    }

    fn ends(&self, now: Nanos, heard: Option<Nanos>) -> Value {
        let end = heard.unwrap_or(now);
        let length_s = end.0.saturating_sub(self.since.0).max(0) / 1_000_000_000;
        let (message, why) = match heard {
            Some(_) => (format!("{} is heard again after {length_s} s", self.party.shown()), "heard again"),
            None => (format!("{} is not waited for any more", self.party.shown()), "not expected any more"),
        };
        let mut event = self.event("gap.silence_end", now, 5, &message);
        event["event_data"]["until"] = end.to_string().into();
        event["event_data"]["length_s"] = length_s.into();
        event["event_data"]["why"] = why.into();
        event
    }
}

impl Accounts {
    /// The silences that go on.
    pub fn silences(&self) -> Result<Vec<Silence>, AccountsError> {
        let reader = self.reader.lock();
        open(reader.connection())
    }

    /// Takes in what was found out: silences begin and end, each with its event. Who is not among the findings is not expected
    /// any more, which ends its silence as well. Gives how many began and ended.
    pub fn note_silences(&self, findings: &[Finding]) -> Result<(usize, usize), AccountsError> {
        let now = self.now();
        let found: HashMap<&Party, &Finding> =
            findings.iter().map(|finding| (&finding.party, finding)).collect();
        // Nearly always nothing has changed, and then nothing needs to be written.
        let is_news = |known: &[Silence]| {
            let ended =
                known.iter().any(|silence| ends(silence, found.get(&silence.party).copied()).is_some());
            ended || findings.iter().any(|finding| begins(finding, known).is_some())
        };
        if !is_news(&self.silences()?) {
            return Ok((0, 0));
        }
        self.change(|tx| {
            let (mut began, mut ended) = (0, 0);
            let mut known = open(tx)?;
            let mut going_on = Vec::new();
            for silence in known.drain(..) {
                match ends(&silence, found.get(&silence.party).copied()) {
                    None => going_on.push(silence),
                    Some(heard) => {
                        remove(tx, &silence.party)?;
                        put(tx, &silence.ends(now, heard))?;
                        ended += 1;
                    }
                }
            }
            for finding in findings {
                if let Some(silence) = begins(finding, &going_on) {
                    add(tx, &silence)?;
                    put(tx, &silence.begins(now))?;
                    began += 1;
                }
            }
            Ok((began, ended))
        })
    }
}

/// Whether a silence has ended, and if so, when its party was heard again.
fn ends(silence: &Silence, finding: Option<&Finding>) -> Option<Option<Nanos>> {
    match finding.map(|finding| finding.hearing) {
        None => Some(None),
        Some(Hearing::Heard(at)) => Some(Some(at)),
        // It was heard meanwhile, and is silent anew.
        Some(Hearing::Silent(since)) if since > silence.since => Some(Some(since)),
        Some(Hearing::Silent(_) | Hearing::NotYet(_) | Hearing::Unknown) => None,
    }
}

/// The silence that begins with a finding, unless one goes on already.
fn begins(finding: &Finding, going_on: &[Silence]) -> Option<Silence> {
    let (Hearing::Silent(since) | Hearing::NotYet(since)) = finding.hearing else { return None };
    let known = going_on.iter().any(|silence| silence.party == finding.party);
    let Finding { party, host, every_s, .. } = finding;
    (!known).then(|| Silence { party: party.clone(), host: host.clone(), since, every_s: *every_s })
}

fn open(connection: &rusqlite::Connection) -> Result<Vec<Silence>, AccountsError> {
    let mut query = connection
        .prepare_cached("SELECT sender, agent, name, host, since, every_s FROM silence ORDER BY since")?;
    let rows = query.query_map([], |row| {
        let sender: String = row.get(0)?;
        let sender = Sender::ALL.into_iter().find(|known| known.name() == sender);
        let party = sender
            .map(|sender| Ok::<_, rusqlite::Error>(Party { sender, agent: row.get(1)?, name: row.get(2)? }));
        let (host, since, every_s) = (row.get(3)?, Nanos(row.get(4)?), row.get::<_, i64>(5)? as u64);
        Ok(party.transpose()?.map(|party| Silence { party, host, since, every_s }))
    })?;
    let found = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

fn add(tx: &Transaction<'_>, silence: &Silence) -> Result<(), AccountsError> {
    let Party { sender, agent, name } = &silence.party;
    let every_s = i64::try_from(silence.every_s).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO silence (sender, agent, name, host, since, every_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![sender.name(), agent, name, silence.host, silence.since.0, every_s],
    )?;
    Ok(())
}

fn remove(tx: &Transaction<'_>, party: &Party) -> Result<(), AccountsError> {
    tx.execute(
        "DELETE FROM silence WHERE sender = ?1 AND agent = ?2 AND name = ?3",
        params![party.sender.name(), party.agent, party.name],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{Bench, bench};
    use super::*;

    fn finding(agent: &str, name: &str, hearing: Hearing) -> Finding {
        let sender = if name.is_empty() { Sender::Agent } else { Sender::Source };
        let party = Party { sender, agent: agent.to_owned(), name: name.to_owned() };
        Finding { party, host: None, every_s: 60, hearing }
    }

    /// Takes the events that were put out, as name, resource and length.
    fn said(bench: &Bench) -> Vec<(String, String, Option<i64>)> {
        let pending = bench.accounts.pending(100).unwrap();
        if let Some(last) = pending.last() {
            bench.accounts.delivered(last.id).unwrap();
        }
        let read = |event: &str| {
            let event: Value = serde_json::from_str(event).unwrap();
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            (text("event_name"), text("resource"), event["event_data"]["length_s"].as_i64())
        };
        pending.iter().map(|pending| read(&pending.event)).collect()
    }

    #[test]
    fn a_silence_is_said_once_at_each_end() {
        let bench = bench();
        let second = |n: i64| Nanos(1_700_000_000_000_000_000 + n * 1_000_000_000);
        let silence = |resource: &str| ("gap.silence".to_owned(), resource.to_owned(), None);
        let end = |resource: &str, length| ("gap.silence_end".to_owned(), resource.to_owned(), Some(length));
        for (what, findings, expected) in [
            ("all is well", vec![finding("web1", "", Hearing::Heard(second(0)))], vec![]),
            ("it begins", vec![finding("web1", "", Hearing::Silent(second(10)))], vec![silence("web1")]),
            ("it goes on", vec![finding("web1", "", Hearing::Silent(second(10)))], vec![]),
            ("nobody can say", vec![finding("web1", "", Hearing::Unknown)], vec![]),
            ("not heard since a restart", vec![finding("web1", "", Hearing::NotYet(second(500)))], vec![]),
            ("it ends", vec![finding("web1", "", Hearing::Heard(second(300)))], vec![end("web1", 290)]),
            ("it has ended", vec![finding("web1", "", Hearing::Heard(second(310)))], vec![]),
            (
                "two of one agent",
                vec![
                    finding("web1", "host", Hearing::Silent(second(400))),
                    finding("web1", "", Hearing::Silent(second(410))),
                ],
                vec![silence("web1/host"), silence("web1")],
            ),
            (
                "one was heard and is silent anew",
                vec![
                    finding("web1", "host", Hearing::Silent(second(500))),
                    finding("web1", "", Hearing::Silent(second(410))),
                ],
                vec![end("web1/host", 100), silence("web1/host")],
            ),
            // Revoked, switched off; the clock of the bench stands at 0.
            ("nobody is expected", vec![], vec![end("web1", 0), end("web1/host", 0)]),
            ("never heard", vec![finding("", "host", Hearing::NotYet(second(0)))], vec![silence("host")]),
        ] {
            bench.accounts.note_silences(&findings).unwrap();
            assert_eq!(said(&bench), expected, "{what}");
        }
    }

    #[test]
    fn a_restart_repeats_nothing_and_ends_what_has_ended() {
        let bench = bench();
        let start = bench.accounts.now();
        bench.accounts.note_silences(&[finding("web1", "", Hearing::Silent(start))]).unwrap();
        assert_eq!(said(&bench).len(), 1);
        bench.clock.advance(Duration::from_secs(3600));
        let again = Accounts::open(&bench.dir.path().join("attestry.db"), bench.clock.clone()).unwrap();
        let bench = Bench { accounts: again, clock: bench.clock, dir: bench.dir };
        assert_eq!(bench.accounts.silences().unwrap().len(), 1);
        bench.accounts.note_silences(&[finding("web1", "", Hearing::Silent(start))]).unwrap();
        assert_eq!(said(&bench), []);
        let heard = Hearing::Heard(bench.accounts.now());
        bench.accounts.note_silences(&[finding("web1", "", heard)]).unwrap();
        assert_eq!(said(&bench), [("gap.silence_end".to_owned(), "web1".to_owned(), Some(3600))]);
        assert_eq!(bench.accounts.silences().unwrap(), []);
    }

    #[test]
    fn its_events_pass_the_border() {
        use attestry_event::{Batch, Border};
        let bench = bench();
        let start = bench.accounts.now();
        let receiver = Party { sender: Sender::Receiver, agent: String::new(), name: "office".to_owned() };
        let mut finding = Finding {
            party: receiver,
            host: Some("central".to_owned()),
            every_s: 3600,
            hearing: Hearing::Silent(start),
        };
        bench.accounts.note_silences(std::slice::from_ref(&finding)).unwrap();
        finding.hearing = Hearing::Heard(start);
        bench.accounts.note_silences(std::slice::from_ref(&finding)).unwrap();
        let border = Border {
            event_source: attestry_event::RESERVED_SOURCE,
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: true,
            now: start,
        };
        let pending = bench.accounts.pending(10).unwrap();
        assert_eq!(pending.len(), 2);
        for pending in pending {
            assert_eq!(Batch::new().push_json(pending.event.as_bytes(), &border).map(drop), Ok(()));
            assert!(pending.event.contains("\"receiver\":\"office\""), "{}", pending.event);
        }
    }
}
