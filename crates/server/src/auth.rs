//! Who sends a request, and what that allows.
//!
//! A bearer key, an agent's certificate, or a session cookie; with the cookie, anything but GET and HEAD must also carry the session's CSRF token.
//! What a caller may read is a [`Scope`]: every endpoint that reads events gets one and has no other way to them.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use attestry_ledger::Ledger;
use attestry_store::Query;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use crate::accounts::{Actor, Agent, Key, KeyKind, Role, Session};
use crate::agents::PeerCertificate;
use crate::app::App;
use crate::gate::ClientAddress;
use crate::problem::{Kind, Problem};

/// The name of the session cookie.
pub(crate) const COOKIE: &str = "attestry_session";

/// The header with the CSRF token.
const CSRF_HEADER: &str = "x-csrf-token";

/// Who sends the request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) who: Who,
    /// Where from.
    pub(crate) address: IpAddr,
}

#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// A program.
    Key(Arc<Key>),
    /// A person, and the token of the session.
    User(Box<Session>, String),
    /// Another host, by its certificate.
    Agent(Arc<Agent>),
}

/// What a caller may read: these ledgers, and in them what the filter lets through.
pub(crate) struct Scope {
    pub(crate) ledgers: Vec<Arc<Ledger>>,
    pub(crate) filter: Option<Query>,
}

impl Caller {
    /// The name that audit events show.
    pub(crate) fn name(&self) -> &str {
        match &self.who {
            Who::Key(key) => &key.name,
            Who::User(session, _) => &session.user.name,
            Who::Agent(agent) => &agent.name,
        }
    }

    pub(crate) fn actor(&self) -> Actor {
        Actor { name: self.name().to_owned(), address: self.address.to_string() }
    }

    /// Whether the caller, let in some time ago, would still be let in. Blocks for a look-up.
    pub(crate) fn still_valid(&self, app: &App) -> Result<bool, Problem> {
        Ok(match &self.who {
            Who::Key(key) => app.accounts.key_is_valid(&key.id)?,
            Who::User(_, token) => app.accounts.session(token)?.is_some(),
            // An agent opens nothing that lasts.
            Who::Agent(_) => false,
        })
    }

    /// The write key that posts events.
    pub(crate) fn writer(&self) -> Result<&Arc<Key>, Problem> {
        match &self.who {
            Who::Key(key) if key.kind == KeyKind::Write => Ok(key),
            Who::Key(_) => Err(Problem::forbidden("a read key cannot post events: it takes a write key")),
            Who::User(..) => Err(Problem::forbidden("people cannot post events: it takes a write key")),
            Who::Agent(_) => Err(Problem::forbidden("this takes a write key")),
        }
    }

    /// The agent that sends this.
    pub(crate) fn agent(&self) -> Result<&Arc<Agent>, Problem> {
        match &self.who {
            Who::Agent(agent) => Ok(agent),
            _ => Err(Problem::forbidden("only an enrolled agent may do this, with its certificate")),
        }
    }

    /// An administrator's session.
    pub(crate) fn admin(&self) -> Result<(), Problem> {
        match &self.who {
            Who::User(session, _) if session.user.role == Role::Admin => Ok(()),
            _ => Err(Problem::forbidden("only an administrator who is logged in may do this")),
        }
    }

    /// An administrator's session, or the key of whoever may read the data directory; whether it is the latter.
    pub(crate) fn admin_or_owner(&self, app: &App) -> Result<bool, Problem> {
        match &self.who {
            Who::Key(key) if app.owner_key.as_ref() == Some(&key.id) => Ok(true),
            Who::User(session, _) if session.user.role == Role::Admin => Ok(false),
            _ => Err(Problem::forbidden(
                "only an administrator who is logged in may do this, or the command line at the server's own host",
            )),
        }
    }

    /// Who does something, for the record: the caller; with the local key, which names nobody, whoever is named.
    pub(crate) fn on_record(&self, app: &App, named: Option<String>) -> Result<String, Problem> {
        match named.filter(|named| !named.is_empty()) {
            None => Ok(self.name().to_owned()),
            Some(named) if self.admin_or_owner(app).is_ok_and(|owner| owner) => Ok(named),
            Some(_) => Err(Problem::bad_request("by: only with the local key").with("field", "by")),
        }
    }

    /// A session, of any role.
    pub(crate) fn session(&self) -> Result<(&Session, &str), Problem> {
        match &self.who {
            Who::User(session, token) => Ok((session, token)),
            Who::Key(_) | Who::Agent(_) => Err(Problem::forbidden("only people have sessions")),
        }
    }

    /// What the caller may read of the ledgers asked for: a list of names separated by commas, or all that the caller
    /// may read.
    pub(crate) fn scope(&self, app: &App, asked: Option<&str>) -> Result<Scope, Problem> {
        let (allowed, filter) = match &self.who {
            Who::Key(key) if key.kind == KeyKind::Read => (key.ledgers.as_slice(), &key.filter),
            Who::Key(_) => return Err(Problem::forbidden("a write key cannot read: it takes a read key")),
            Who::User(session, _) => match session.user.role {
                Role::Admin | Role::Auditor => (&[][..], &None),
                // A reader without a filter is a mistake in the accounts: it must not open everything.
                Role::Reader if session.user.filter.is_none() => {
                    return Err(Problem::forbidden("this reader has no filter yet, so nothing to read"));
                }
                Role::Reader => (&[][..], &session.user.filter),
                Role::Writer => return Err(Problem::forbidden("a writer cannot read")),
            },
            Who::Agent(_) => return Err(Problem::forbidden("an agent cannot read")),
        };
        let filter = match filter {
            None => None,
            Some(text) => Some(Query::parse(text).map_err(|error| {
                tracing::error!(%error, caller = self.name(), "a stored filter cannot be read: access refused");
                Problem::forbidden("the filter of this key or user cannot be read any more")
            })?),
        };
        let may = |name: &str| allowed.is_empty() || allowed.iter().any(|allowed| allowed == name);
        let all = || app.ledgers.iter().map(|part| &part.ledger).filter(|ledger| may(ledger.name()));
        let ledgers = match asked.filter(|asked| !asked.is_empty()) {
            None => all().cloned().collect(),
            Some(asked) => {
                let mut ledgers: Vec<Arc<Ledger>> = Vec::new();
                for name in asked.split(',').map(str::trim) {
                    let found = all().find(|ledger| ledger.name() == name);
                    let missing =
                        || Problem::not_found(format!("there is no ledger {name:.64?} that you may read"));
                    let ledger = found.ok_or_else(missing)?;
                    if !ledgers.iter().any(|known| Arc::ptr_eq(known, ledger)) {
                        ledgers.push(Arc::clone(ledger));
                    }
                }
                ledgers
            }
        };
        Ok(Scope { ledgers, filter })
    }

    /// The whole of one ledger, for raw tiles and proofs, which show more than a filter would.
    pub(crate) fn whole_ledger(&self, app: &App, name: &str) -> Result<Arc<Ledger>, Problem> {
        let scope = self.scope(app, Some(name))?;
        if scope.filter.is_some() {
            return Err(Problem::forbidden("a filtered key or user gets no raw log and no proofs"));
        }
        scope.ledgers.into_iter().next().ok_or_else(|| Problem::not_found("there is no such ledger"))
    }
}

/// Whole-ledger access for anybody if the ledger is public, else for callers who may.
pub(crate) fn whole_ledger(app: &App, caller: Option<&Caller>, name: &str) -> Result<Arc<Ledger>, Problem> {
    match (app.ledger(name), caller) {
        (Some(part), _) if part.public => Ok(Arc::clone(&part.ledger)),
        (_, Some(caller)) => caller.whole_ledger(app, name),
        (_, None) => Err(unauthorized()),
    }
}

pub(crate) fn unauthorized() -> Problem {
    Problem::new(Kind::Unauthorized, "send Authorization: Bearer KEY, or log in")
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name && !value.is_empty()).then_some(value)
    })
}

fn identify(app: &App, parts: &Parts) -> Result<Option<Caller>, Problem> {
    let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
    let Some(address) = address else {
        return Err(Problem::new(Kind::Internal, "the client's address is unknown"));
    };
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let bearer = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let key = match bearer {
            Some((_, text)) => app.accounts.find_key(text.trim())?,
            None => None,
        };
        let wrong = || Problem::new(Kind::Unauthorized, "the key is unknown, expired or revoked");
        let key = key.ok_or_else(wrong)?;
        app.key_used(&key, false);
        return Ok(Some(Caller { who: Who::Key(key), address }));
    }
    if let Some(PeerCertificate(hash)) = parts.extensions.get::<PeerCertificate>() {
        let agent = app.accounts.agent_by_certificate(hash)?;
        let agent = agent.ok_or_else(|| {
            Problem::forbidden(
                "this agent is revoked, was enrolled anew elsewhere, or its certificate has expired",
            )
        })?;
        return Ok(Some(Caller { who: Who::Agent(agent), address }));
    }
    let Some(token) = cookie(&parts.headers, COOKIE) else { return Ok(None) };
    let Some(session) = app.accounts.session(token)? else { return Ok(None) };
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let sent = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !session.csrf_is(sent) {
            return Err(Problem::new(
                Kind::Csrf,
                "X-CSRF-Token: expected the token of the session (GET /session)",
            ));
        }
    }
    Ok(Some(Caller { who: Who::User(Box::new(session), token.to_owned()), address }))
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Problem> {
        identify(app, parts)?.ok_or_else(unauthorized)
    }
}

impl OptionalFromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    /// Nobody is fine; a wrong key is not.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Caller>, Problem> {
        identify(app, parts)
    }
}

impl FromRequestParts<Arc<App>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<ClientAddress, Infallible> {
        let unknown = ClientAddress(IpAddr::from([0, 0, 0, 0]));
        Ok(parts.extensions.get::<ClientAddress>().copied().unwrap_or(unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn cookies() {
        for (line, found) in [
            ("attestry_session=abc", Some("abc")),
            ("a=b; attestry_session=abc; c=d", Some("abc")),
            ("attestry_session=", None),
            ("xattestry_session=abc", None),
            ("attestry_session", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(line));
            assert_eq!(cookie(&headers, COOKIE), found, "{line}");
        }
    }
}
