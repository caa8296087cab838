//! Agents: enrolled with a token, known by their certificate, and counted, so that a hole in their numbering is seen.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::Nanos;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::outbox::{Note, record};
use super::{Accounts, AccountsError, Actor, plus, secret};

/// How long an enrolment token is good.
pub const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// The most characters of an agent's name.
const NAME_MAX: usize = 64;

/// An enrolled agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its name, which is the `agent` of its events.
    pub name: String,
    /// The ledgers it may write to.
    pub ledgers: Vec<String>,
    /// When it was enrolled, the last time.
    pub enrolled_at: Nanos,
    /// Since when it is refused.
    pub revoked_at: Option<Nanos>,
    /// When it last sent anything, to about half a minute.
    pub last_seen: Option<Nanos>,
    /// The address it was last seen at.
    pub address: Option<String>,
    /// What it last said of itself, JSON.
    pub status: Option<String>,
    /// When its newest certificate expires.
    pub expires_at: Option<Nanos>,
    /// How far each of its ledgers is accounted for.
    pub progress: Vec<Progress>,
}

/// How far an agent's numbering for one ledger is accounted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The ledger.
    pub ledger: String,
    /// Which numbering: a new spool begins a new one.
    pub epoch: u64,
    /// Everything below this is accounted for.
    pub next: u64,
    /// Events that nobody accounted for, since the enrolment.
    pub lost: u64,
}

/// What a token allows, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The only name that can be enrolled with it.
    pub name: String,
    /// The ledgers the agent may write to.
    pub ledgers: Vec<String>,
}

fn names(joined: &str) -> Vec<String> {
    joined.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

const COLUMNS: &str = "name, ledgers, enrolled_at, revoked_at, last_seen, address, status,
    (SELECT max(expires_at) FROM agent_certificate WHERE agent = agent.name)";

fn agent_of(row: &Row<'_>) -> rusqlite::Result<Agent> {
    Ok(Agent {
        name: row.get(0)?,
        ledgers: names(&row.get::<_, String>(1)?),
        enrolled_at: Nanos(row.get(2)?),
        revoked_at: row.get::<_, Option<i64>>(3)?.map(Nanos),
        last_seen: row.get::<_, Option<i64>>(4)?.map(Nanos),
        address: row.get(5)?,
        status: row.get(6)?,
        expires_at: row.get::<_, Option<i64>>(7)?.map(Nanos),
        progress: Vec::new(),
    })
}

impl Accounts {
    /// Makes a token with which one agent of this name can be enrolled, once, within [`TOKEN_LIFE`]. It is shown once and not stored.
    pub fn invite_agent(&self, invitation: &Invitation, actor: &Actor) -> Result<String, AccountsError> {
        check_name(&invitation.name)?;
        if invitation.ledgers.is_empty() {
            return Err(AccountsError::invalid("ledger", "an agent writes to at least one ledger"));
        }
        let text = secret::random()?;
        let now = self.now();
        let expires = plus(now, TOKEN_LIFE);
        self.change(|tx| {
            tx.execute(
                "DELETE FROM agent_token WHERE expires_at <= ?1 OR name = ?2",
                params![now.0, invitation.name],
            )?;
            tx.execute(
                "INSERT INTO agent_token (hash, name, ledgers, expires_at) VALUES (?1, ?2, ?3, ?4)",
                params![secret::hash(&text), invitation.name, invitation.ledgers.join(","), expires.0],
            )?;
            let note = Note::new("agent.token").resource(&invitation.name);
            record(
                tx,
                now,
                actor,
                note.data("ledgers", invitation.ledgers.clone()).data("expires_at", expires.to_string()),
            )
        })?;
        Ok(text)
    }

    /// What a token allows; `None` when it is unknown, used or expired. It is used up by [`enroll_agent`](Self::enroll_agent).
    pub fn agent_invitation(&self, token: &str) -> Result<Option<Invitation>, AccountsError> {
        let reader = self.reader.lock();
        let mut query = reader
            .connection()
            .prepare_cached("SELECT name, ledgers FROM agent_token WHERE hash = ?1 AND expires_at > ?2")?;
        let found = query.query_row(params![secret::hash(token), self.now().0], |row| {
            Ok(Invitation { name: row.get(0)?, ledgers: names(&row.get::<_, String>(1)?) })
        });
        Ok(found.optional()?)
    }

    /// Uses a token up and notes the certificate that was made with it. An agent enrolled under this name before is replaced: its
    /// certificates are refused from now on.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] when the token was used or expired meanwhile.
    pub fn enroll_agent(
        &self,
        token: &str,
        certificate: &[u8; 32],
        expires_at: Nanos,
        actor: &Actor,
    ) -> Result<Invitation, AccountsError> {
        let now = self.now();
        self.change(|tx| {
            let used = tx
                .query_row(
                    "DELETE FROM agent_token WHERE hash = ?1 AND expires_at > ?2 RETURNING name, ledgers",
                    params![secret::hash(token), now.0],
                    |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
                )
                .optional()?;
            let (name, ledgers) = used.ok_or(AccountsError::NotFound("enrolment token"))?;
            let replaced = tx.execute("DELETE FROM agent_certificate WHERE agent = ?1", [&name])? > 0;
            tx.execute(
                "INSERT INTO agent (name, ledgers, enrolled_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET ledgers = ?2, enrolled_at = ?3, revoked_at = NULL, status = NULL",
                params![name, ledgers, now.0],
            )?;
            add_certificate(tx, &name, certificate, expires_at)?;
            let note = Note::new("agent.enroll").resource(&name).data("replaced", replaced);
            record(tx, now, actor, note.data("expires_at", expires_at.to_string()))?;
            Ok(Invitation { ledgers: names(&ledgers), name })
        })
    }

    /// Notes one more certificate of an agent. The ones before stay good until they expire: the new one may not have arrived.
    pub fn renew_agent(
        &self,
        name: &str,
        certificate: &[u8; 32],
        expires_at: Nanos,
        actor: &Actor,
    ) -> Result<(), AccountsError> {
        let now = self.now();
        self.change(|tx| {
            tx.execute("DELETE FROM agent_certificate WHERE expires_at <= ?1", [now.0])?;
            add_certificate(tx, name, certificate, expires_at)?;
            let note = Note::new("agent.renew").resource(name).data("expires_at", expires_at.to_string());
            record(tx, now, actor, note)
        })
    }

    /// Refuses an agent from now on.
    pub fn revoke_agent(&self, name: &str, actor: &Actor) -> Result<(), AccountsError> {
        let now = self.now();
        self.change(|tx| {
            let revoked = tx.execute(
                "UPDATE agent SET revoked_at = ?1 WHERE name = ?2 AND revoked_at IS NULL",
                params![now.0, name],
            )?;
            if revoked == 0 {
                let known: bool =
                    tx.query_row("SELECT EXISTS (SELECT 1 FROM agent WHERE name = ?1)", [name], |row| {
                        row.get(0)
                    })?;
                return if known { Ok(()) } else { Err(AccountsError::NotFound("agent")) };
            }
            tx.execute("DELETE FROM agent_token WHERE name = ?1", [name])?;
            record(tx, now, actor, Note::new("agent.revoke").resource(name))
        })
    }

    /// The agent with this certificate; `None` when it is unknown, expired, replaced or revoked.
    pub fn agent_by_certificate(&self, certificate: &[u8; 32]) -> Result<Option<Arc<Agent>>, AccountsError> {
        let reader = self.reader.lock();
        let sql = format!(
            "SELECT {COLUMNS} FROM agent WHERE revoked_at IS NULL
             AND name = (SELECT agent FROM agent_certificate WHERE hash = ?1 AND expires_at > ?2)"
        );
        let mut query = reader.connection().prepare_cached(&sql)?;
        Ok(query.query_row(params![certificate, self.now().0], agent_of).optional()?.map(Arc::new))
    }

    /// All agents, revoked ones too, by name.
    pub fn agents(&self) -> Result<Vec<Agent>, AccountsError> {
        let reader = self.reader.lock();
        let sql = format!("SELECT {COLUMNS} FROM agent ORDER BY name");
        let mut query = reader.connection().prepare_cached(&sql)?;
        let mut agents = query.query_map([], agent_of)?.collect::<Result<Vec<_>, _>>()?;
        let mut query = reader.connection().prepare_cached(
            "SELECT agent, ledger, epoch, next, lost FROM agent_progress ORDER BY agent, ledger",
        )?;
        let progress = query.query_map([], |row| {
            let next = |column| row.get::<_, i64>(column).map(|number| number as u64);
            let of = Progress { ledger: row.get(1)?, epoch: next(2)?, next: next(3)?, lost: next(4)? };
            Ok((row.get::<_, String>(0)?, of))
        })?;
        for row in progress {
            let (name, of) = row?;
            if let Some(agent) = agents.iter_mut().find(|agent| agent.name == name) {
                agent.progress.push(of);
            }
        }
        Ok(agents)
    }

    /// Notes that an agent was there, and what it said of itself, if it did.
    pub fn agent_seen(&self, name: &str, address: &str, status: Option<&str>) -> Result<(), AccountsError> {
        let now = self.now();
        self.change(|tx| {
            tx.execute(
                "UPDATE agent SET last_seen = ?1, address = ?2, status = coalesce(?3, status) WHERE name = ?4",
                params![now.0, address, status, name],
            )?;
            Ok(())
        })
    }

    /// How far an agent's numbering for a ledger is accounted for; `None` before its first event.
    pub fn agent_progress(&self, agent: &str, ledger: &str) -> Result<Option<Progress>, AccountsError> {
        let reader = self.reader.lock();
        let mut query = reader.connection().prepare_cached(
            "SELECT epoch, next, lost FROM agent_progress WHERE agent = ?1 AND ledger = ?2",
        )?;
        let found = query.query_row([agent, ledger], |row| {
            let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
            Ok(Progress { ledger: ledger.to_owned(), epoch: number(0)?, next: number(1)?, lost: number(2)? })
        });
        Ok(found.optional()?)
    }

    /// Keeps how far an agent's numbering is accounted for.
    pub fn keep_agent_progress(&self, agent: &str, progress: &Progress) -> Result<(), AccountsError> {
        self.change(|tx| {
            tx.execute(
                "INSERT INTO agent_progress (agent, ledger, epoch, next, lost) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (agent, ledger) DO UPDATE SET epoch = ?3, next = ?4, lost = ?5",
                params![
                    agent,
                    progress.ledger,
                    progress.epoch as i64,
                    progress.next as i64,
                    progress.lost as i64
                ],
            )?;
            Ok(())
        })
    }
}

fn add_certificate(
    tx: &Transaction<'_>,
    agent: &str,
    hash: &[u8; 32],
    expires_at: Nanos,
) -> Result<(), AccountsError> {
    tx.execute(
        "INSERT INTO agent_certificate (hash, agent, expires_at) VALUES (?1, ?2, ?3)",
        params![hash, agent, expires_at.0],
    )?;
    Ok(())
}

fn check_name(name: &str) -> Result<(), AccountsError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fits) {
        return Err(AccountsError::invalid(
            "name",
            format!("1 to {NAME_MAX} of A-Z, a-z, 0-9, dot, - and _"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, bench, root};
    use super::*;

    const FAR: Nanos = Nanos(1_800_000_000_000_000_000);

    fn invite(bench: &Bench, name: &str) -> Result<String, AccountsError> {
        let invitation =
            Invitation { name: name.to_owned(), ledgers: vec!["audit".to_owned(), "logs".to_owned()] };
        bench.accounts.invite_agent(&invitation, &root())
    }

    fn known(bench: &Bench, certificate: u8) -> Option<String> {
        bench.accounts.agent_by_certificate(&[certificate; 32]).unwrap().map(|agent| agent.name.clone())
    }

    #[test]
    fn a_token_enrolls_one_name_once() {
        let bench = bench();
        let token = invite(&bench, "web1").unwrap();
        assert_eq!(bench.accounts.agent_invitation("other").unwrap(), None);
        assert_eq!(bench.accounts.agent_invitation(&token).unwrap().unwrap().name, "web1");
        let enrolled = bench.accounts.enroll_agent(&token, &[1; 32], FAR, &root()).unwrap();
        assert_eq!(enrolled.ledgers, ["audit", "logs"]);
        assert_eq!(known(&bench, 1).as_deref(), Some("web1"));
        assert_eq!(known(&bench, 2), None);
        assert!(matches!(
            bench.accounts.enroll_agent(&token, &[2; 32], FAR, &root()),
            Err(AccountsError::NotFound(_))
        ));
        assert_eq!(bench.accounts.agent_invitation(&token).unwrap(), None);
    }

    #[test]
    fn a_token_ends_after_an_hour_or_with_the_next_one() {
        let bench = bench();
        let first = invite(&bench, "web1").unwrap();
        let second = invite(&bench, "web1").unwrap();
        assert_eq!(bench.accounts.agent_invitation(&first).unwrap(), None);
        bench.clock.advance(TOKEN_LIFE);
        assert_eq!(bench.accounts.agent_invitation(&second).unwrap(), None);
        assert!(bench.accounts.enroll_agent(&second, &[1; 32], FAR, &root()).is_err());
    }

    #[test]
    fn certificates_end_when_they_should() {
        let bench = bench();
        let token = invite(&bench, "web1").unwrap();
        let soon = plus(bench.accounts.now(), Duration::from_secs(60));
        bench.accounts.enroll_agent(&token, &[1; 32], soon, &root()).unwrap();
        bench.accounts.renew_agent("web1", &[2; 32], FAR, &root()).unwrap();
        assert_eq!((known(&bench, 1).is_some(), known(&bench, 2).is_some()), (true, true));
        bench.clock.advance(Duration::from_secs(60));
        assert_eq!((known(&bench, 1).is_some(), known(&bench, 2).is_some()), (false, true));
        let again = invite(&bench, "web1").unwrap();
        bench.accounts.enroll_agent(&again, &[3; 32], FAR, &root()).unwrap();
        assert_eq!((known(&bench, 2).is_some(), known(&bench, 3).is_some()), (false, true));
        bench.accounts.revoke_agent("web1", &root()).unwrap();
        assert_eq!(known(&bench, 3), None);
        bench.accounts.revoke_agent("web1", &root()).unwrap();
        assert!(matches!(bench.accounts.revoke_agent("web2", &root()), Err(AccountsError::NotFound(_))));
    }

    #[test]
    fn what_is_noted_is_listed() {
        let bench = bench();
        let token = invite(&bench, "web1").unwrap();
        bench.accounts.enroll_agent(&token, &[1; 32], FAR, &root()).unwrap();
        bench.accounts.agent_seen("web1", "10.0.0.7", Some("{\"version\":\"1\"}")).unwrap();
        bench.accounts.agent_seen("web1", "10.0.0.8", None).unwrap();
        assert_eq!(bench.accounts.agent_progress("web1", "audit").unwrap(), None);
        let progress = Progress { ledger: "audit".to_owned(), epoch: u64::MAX, next: 7, lost: 2 };
        bench.accounts.keep_agent_progress("web1", &progress).unwrap();
        assert_eq!(bench.accounts.agent_progress("web1", "audit").unwrap().unwrap(), progress);
        let agents = bench.accounts.agents().unwrap();
        assert_eq!(agents.len(), 1);
        assert_eq!(agents[0].address.as_deref(), Some("10.0.0.8"));
        assert_eq!(agents[0].status.as_deref(), Some("{\"version\":\"1\"}"));
        assert_eq!((agents[0].progress.as_slice(), agents[0].expires_at), (&[progress][..], Some(FAR)));
    }

    #[test]
    fn names_are_plain() {
        let bench = bench();
        for (name, good) in
            [("web-1.example_a", true), ("", false), ("a b", false), ("ä", false), ("a/b", false)]
        {
            assert_eq!(invite(&bench, name).is_ok(), good, "{name:?}");
        }
    }
}
