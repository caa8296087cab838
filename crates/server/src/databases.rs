//! Databases that are watched row by row: how each watch is doing, what broke a rule, what a row has been, and signing off.

mod answers;
pub(crate) mod sign_off;

use std::collections::BTreeSet;
use std::sync::Arc;

use attestry_event::Nanos;
use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

pub use answers::{
    Field, Found, Projection, RowVersion, SignedOff, TableStatus, Unreadable, Violation, WatchStatus, Whole,
};
pub use sign_off::{SIGN_OFF_MAX, SignOff};

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::limit::{USUAL, cut, limit};
use crate::params::Params;
use crate::parts::AUDIT_LEDGER;
use crate::problem::{Kind, Problem, Refused};
use crate::times;

/// The most violations in one answer.
pub const VIOLATIONS_MAX: usize = 1_000;

/// What the binary knows of the databases that it watches. What reads the copy may take a while, and is called where that does no harm.
pub trait Databases: Send + Sync {
    /// How each watch is doing. Must not block.
    fn watches(&self) -> Vec<WatchStatus>;

    /// What broke a rule, the newest first, at most `limit` (and one more, to tell that there are more). A copy that cannot be read is named, unless
    /// what is wanted is elsewhere as a whole.
    ///
    /// # Errors
    /// When there is no such watch, or no violation `after`.
    fn violations(&self, wanted: &Wanted) -> Result<Found<Violation>, WatchError>;

    /// What violations that fit and can be signed off are called by, at most `limit`.
    ///
    /// # Errors
    /// When there is no such watch.
    fn matching(&self, wanted: &Wanted) -> Result<Found<String>, WatchError>;

    /// The known versions of the row that a violation is about, the newest first, and whether there are more. Fingerprints may be shortened, here
    /// and elsewhere, as long as they fit one violation.
    ///
    /// # Errors
    /// When there is no such violation, several begin so, or the copy that may have it cannot be read.
    fn history(&self, of: &History) -> Result<(Vec<RowVersion>, bool), WatchError>;

    /// Signs off violations and schema changes; returns when the events that say so are durable.
    ///
    /// # Errors
    /// Names the first fingerprint that is unknown or signed off already, or the copy that cannot be written; then none is signed off, or as many
    /// as [`WatchError::Partly`] says.
    fn sign_off(&self, sign_off: &SignOff) -> Result<(), WatchError>;
}

/// Nothing is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDatabases;

impl Databases for NoDatabases {
    fn watches(&self) -> Vec<WatchStatus> {
        Vec::new()
    }

    fn violations(&self, wanted: &Wanted) -> Result<Found<Violation>, WatchError> {
        match &wanted.watch {
            Some(watch) => Err(WatchError::Unknown(format!("there is no watch {watch:?}"))),
            None => Ok(Found::default()),
        }
    }

    fn matching(&self, wanted: &Wanted) -> Result<Found<String>, WatchError> {
        self.violations(wanted).map(|_| Found::default())
    }

    fn history(&self, of: &History) -> Result<(Vec<RowVersion>, bool), WatchError> {
        Err(WatchError::Unknown(format!("there is no violation {:?}", of.fingerprint)))
    }

    fn sign_off(&self, sign_off: &SignOff) -> Result<(), WatchError> {
        let first = sign_off.fingerprints.first().map_or("", String::as_str);
        Err(WatchError::Unknown(format!("there is no violation {first:?}")))
    }
}

/// Why a question about a watched database has no answer.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no such watch or violation.
    #[error("{0}")]
    Unknown(String),
    /// It is signed off already.
    #[error("{0}")]
    Done(String),
    /// Several violations begin like this.
    #[error("{0}")]
    Ambiguous(String),
    /// The copy or the ledger does not work at present.
    #[error("{0}")]
    Unavailable(String),
    /// What was to be signed off is of several watches, and the first ones are.
    #[error("{signed_off} were signed off, but not the others: {why}")]
    Partly {
        /// How many are.
        signed_off: usize,
        /// Why the others are not.
        why: Box<WatchError>,
    },
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Problem {
        let detail = error.to_string();
        match error {
            WatchError::Unknown(_) => Problem::new(Kind::NotFound, detail),
            WatchError::Done(_) | WatchError::Ambiguous(_) => Problem::new(Kind::Conflict, detail),
            WatchError::Unavailable(_) => Problem::new(Kind::Unavailable, detail),
            WatchError::Partly { signed_off, .. } => {
                Problem::new(Kind::Conflict, detail).with("signed_off", signed_off)
            }
        }
    }
}

/// Which watches somebody may see.
pub type Among = BTreeSet<String>;

/// Which versions of a row.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The violation that is about it, among these watches.
    pub fingerprint: String,
    /// None: all.
    pub among: Option<Among>,
    /// Only versions with a smaller number.
    pub before: Option<u64>,
}

/// Which violations.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of these watches; none: all.
    pub among: Option<Among>,
    /// Of one watch.
    pub watch: Option<String>,
    /// Of one table.
    pub table: Option<String>,
    /// Of one column.
    pub field: Option<String>,
    /// Of one rule.
    pub rule: Option<String>,
    /// Opened before this time.
    pub before: Option<Nanos>,
    /// Pending ones, signed-off ones, or all.
    pub state: States,
    /// One, by its fingerprint.
    pub fingerprint: Option<String>,
    /// Only those that come after this one in the list, by its fingerprint.
    pub after: Option<String>,
    /// How many.
    pub limit: usize,
}

/// Which states of violations are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum States {
    /// Those that nobody has signed off.
    #[default]
    Pending,
    /// Those that somebody has.
    SignedOff,
    /// Both.
    All,
}

/// The watched databases.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct WatchesAnswer {
    watches: Vec<WatchStatus>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ViolationsAnswer {
    /// The newest first.
    violations: Vec<Violation>,
    /// Whether there are more.
    more: bool,
    /// Watches whose copies cannot be read at present: what broke a rule there is not in this answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct HistoryAnswer {
    /// The newest first.
    versions: Vec<RowVersion>,
    /// Whether there are older ones: those `before` the last of these.
    more: bool,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// Only versions with a smaller number. Default: the newest.
    before: Option<u64>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ViolationsQuery {
    /// Only those of this watch.
    watch: Option<String>,
    /// Only those of this table.
    table: Option<String>,
    /// Only those of this column.
    field: Option<String>,
    /// Only those of this rule.
    rule: Option<String>,
    /// Only those that were opened before: RFC 3339, or relative such as `-24h`.
    before: Option<String>,
    /// `pending`, `signed_off` or `all`. Default: `pending`.
    #[serde(default)]
    state: States,
    /// Only the one with this fingerprint, or whose fingerprint alone begins so.
    fingerprint: Option<String>,
    /// Only those that come after the one with this fingerprint, the last one of the page before.
    after: Option<String>,
    /// How many, at most 1000. Default: 100.
    limit: Option<usize>,
}

/// The time of `before`.
fn before(app: &App, text: Option<&str>) -> Result<Option<Nanos>, Problem> {
    text.map(|text| times::parse("before", text, app.clock.now())).transpose()
}

/// Rows hold whatever the watched tables hold: they are for those who may read all of what is recorded of that watch.
fn readable(app: &App, caller: &Caller) -> Result<Vec<WatchStatus>, Problem> {
    let may = |ledger: &str| caller.whole_ledger(app, ledger);
    let mut watches = app.databases.watches();
    watches.retain(|watch| may(&watch.ledger).is_ok());
    if watches.is_empty() {
        may(AUDIT_LEDGER).map_err(|_| {
            Problem::forbidden("a watched database is shown to those who may read all of its ledger")
        })?;
    }
    Ok(watches)
}

fn among(app: &App, caller: &Caller) -> Result<Among, Problem> {
    Ok(readable(app, caller)?.into_iter().map(|watch| watch.name).collect())
}

/// The watched databases, and how each table is doing.
#[utoipa::path(get, path = "/databases", tag = "databases", responses((status = 200, body = WatchesAnswer)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<WatchesAnswer>, Problem> {
    Ok(Json(WatchesAnswer { watches: readable(&app, &caller)? }))
}

/// Rows that broke a rule.
#[utoipa::path(
    get,
    path = "/violations",
    tag = "databases",
    params(ViolationsQuery),
    responses((status = 200, body = ViolationsAnswer), Refused<404>)
)]
pub(crate) async fn violations(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(query): Params<ViolationsQuery>,
) -> Result<Json<ViolationsAnswer>, Problem> {
    let among = among(&app, &caller)?;
    let limit = limit(query.limit, USUAL, VIOLATIONS_MAX)?;
    let wanted = Wanted {
        among: Some(among),
        watch: query.watch,
        table: query.table,
        field: query.field,
        rule: query.rule,
        before: before(&app, query.before.as_deref())?,
        state: query.state,
        fingerprint: query.fingerprint,
        after: query.after,
        limit,
    };
    let answered = blocking(move || Ok(app.databases.violations(&wanted)?)).await?;
    let Found { found: mut violations, unreadable } = answered;
    let more = cut(&mut violations, limit);
    Ok(Json(ViolationsAnswer { violations, more, unreadable }))
}

/// What the row of a violation has been.
#[utoipa::path(
    get,
    path = "/violations/{fingerprint}/history",
    tag = "databases",
    params(("fingerprint" = String, Path, description = "The violation's fingerprint"), HistoryQuery),
    responses((status = 200, body = HistoryAnswer), Refused<404>)
)]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(fingerprint): Path<String>,
    Params(HistoryQuery { before }): Params<HistoryQuery>,
) -> Result<Json<HistoryAnswer>, Problem> {
    let of = History { fingerprint, among: Some(among(&app, &caller)?), before };
    let (versions, more) = blocking(move || Ok(app.databases.history(&of)?)).await?;
    Ok(Json(HistoryAnswer { versions, more }))
}
