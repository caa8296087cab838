//! What values there are: the most frequent, how many different ones, and suggestions while a query is typed.

use std::sync::Arc;

use attestry_store::{Store, Top};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::auth::Caller;
use crate::limit::limit;
use crate::params::{BothParams, Params};
use crate::problem::{Problem, Refused};
use crate::search::{SearchAnswer, Which, run};

/// How many values are given when nothing is said.
const LIMIT: usize = 10;

/// The most values in an answer.
const LIMIT_MAX: usize = 10_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FieldQuery {
    /// A field of the event, or a path such as `event_data.user.id`.
    field: String,
    /// How many values: 1 to 10,000, default 10.
    limit: Option<usize>,
    /// What the values begin with (suggestions only).
    #[serde(default)]
    prefix: String,
}

/// A value and in how many events it is.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ValueCount {
    value: String,
    count: u64,
}

impl From<(String, u64)> for ValueCount {
    fn from((value, count): (String, u64)) -> ValueCount {
        ValueCount { value, count }
    }
}

/// The most frequent values of a field.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TopAnswer {
    field: String,
    /// The most frequent first.
    values: Vec<ValueCount>,
    /// How many different values there are.
    distinct: u64,
    /// How many events have none.
    missing: u64,
    /// How many events were found.
    count: u64,
}

/// The most frequent values of a field among the events found. Exact.
#[utoipa::path(
    get,
    path = "/top",
    tag = "search",
    params(Which, FieldQuery),
    responses((status = 200, body = SearchAnswer<TopAnswer>), Refused<400>)
)]
pub(crate) async fn top(
    State(app): State<Arc<App>>,
    caller: Caller,
    BothParams(which, query): BothParams<Which, FieldQuery>,
) -> Result<Json<SearchAnswer<TopAnswer>>, Problem> {
    let limit = limit(query.limit, LIMIT, LIMIT_MAX)?;
    let field = query.field.clone();
    let work = move |store: &Store, scope| store.top(&scope, &field, limit);
    let answer = run(&app, &caller, &which, "top", work, |top| top.count).await?;
    Ok(answer.json(
        |found| found.behind,
        |top| TopAnswer {
            field: query.field,
            values: top.values.into_iter().map(ValueCount::from).collect(),
            distinct: top.distinct,
            missing: top.missing,
            count: top.count,
        },
    ))
}

/// How many different values a field has.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DistinctAnswer {
    field: String,
    distinct: u64,
}

/// How many different values a field has among the events found. Exact.
#[utoipa::path(
    get,
    path = "/distinct",
    tag = "search",
    params(Which, ("field" = String, Query, description = "A field of the event, or a path such as `event_data.user.id`")),
    responses((status = 200, body = SearchAnswer<DistinctAnswer>), Refused<400>)
)]
pub(crate) async fn distinct(
    State(app): State<Arc<App>>,
    caller: Caller,
    BothParams(which, query): BothParams<Which, FieldQuery>,
) -> Result<Json<SearchAnswer<DistinctAnswer>>, Problem> {
    let field = query.field.clone();
    let work = move |store: &Store, scope| store.top(&scope, &field, 0);
    let answer = run(&app, &caller, &which, "distinct", work, |top| top.distinct).await?;
    let found = |top: Top| DistinctAnswer { field: query.field, distinct: top.distinct };
    Ok(answer.json(|found| found.behind, found))
}

/// Suggested values.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ValuesAnswer {
    /// The most frequent first.
    values: Vec<ValueCount>,
    /// Whether more values than were looked at begin so: the counts may then be too low.
    cut: bool,
}

/// Suggest values of a field, for completing a query. Fast rather than exact: see `/top`.
#[utoipa::path(
    get,
    path = "/values",
    tag = "search",
    params(Which, FieldQuery),
    responses((status = 200, body = SearchAnswer<ValuesAnswer>), Refused<400>)
)]
pub(crate) async fn values(
    State(app): State<Arc<App>>,
    caller: Caller,
    BothParams(which, query): BothParams<Which, FieldQuery>,
) -> Result<Json<SearchAnswer<ValuesAnswer>>, Problem> {
    let limit = limit(query.limit, LIMIT, LIMIT_MAX)?;
    let work = move |store: &Store, scope| store.values(&scope, &query.field, &query.prefix, limit);
    let answer = run(&app, &caller, &which, "values", work, |values| values.values.len() as u64).await?;
    Ok(answer.json(
        |found| found.behind,
        |found| ValuesAnswer {
            values: found.values.into_iter().map(ValueCount::from).collect(),
            cut: found.cut,
        },
    ))
}

/// The fields there are.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct FieldsAnswer {
    fields: Vec<FieldAnswer>,
    /// Whether there are more.
    cut: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct FieldAnswer {
    name: String,
    /// keyword, text, number, time, bool or mixed.
    kind: &'static str,
}

/// The fields that the events found have, paths of `event_data` included.
#[utoipa::path(
    get,
    path = "/fields",
    tag = "search",
    params(Which),
    responses((status = 200, body = SearchAnswer<FieldsAnswer>), Refused<400>)
)]
pub(crate) async fn fields(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<Json<SearchAnswer<FieldsAnswer>>, Problem> {
    let work = |store: &Store, scope| store.fields(&scope);
    let answer = run(&app, &caller, &which, "fields", work, |fields| fields.fields.len() as u64).await?;
    let field = |(name, kind): (String, attestry_store::FieldKind)| FieldAnswer { name, kind: kind.name() };
    Ok(answer.json(
        |found| found.behind,
        |found| FieldsAnswer { fields: found.fields.into_iter().map(field).collect(), cut: found.cut },
    ))
}
