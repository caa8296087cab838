//! `GET /stats`: figures of numbers, grouped by up to three fields.

use std::sync::Arc;

use attestry_store::{Calculation, Figure, StatsRequest, Store};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::auth::Caller;
use crate::params::BothParams;
use crate::problem::{Problem, Refused};
use crate::search::{SearchAnswer, Which, failed, run};

/// How many groups are given when nothing is said.
const LIMIT: usize = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsQuery {
    /// Up to three fields to group by, separated by commas.
    #[serde(default)]
    by: String,
    /// What to compute, separated by commas: `count`, and `count`, `sum`, `avg`, `min`, `max`, `p1` to `p99` of a field.
    #[serde(default)]
    #[param(example = "count,avg(event_data.took),p95(event_data.took)")]
    calc: String,
    /// How many groups at most, the largest first; default 1,000, at most 10,000.
    limit: Option<usize>,
}

/// A table: a row a group, its values first, then its figures.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct StatsAnswer {
    /// The fields grouped by, then the calculations.
    columns: Vec<String>,
    /// Strings and numbers; null where a group has none.
    #[schema(value_type = Vec<Vec<Object>>)]
    rows: Vec<Vec<Value>>,
    /// Whether there are more groups than rows.
    cut: bool,
    /// How many groups there are.
    groups: u64,
    /// Whether there were too many values for exact percentiles.
    approximate: bool,
    /// How many events were found.
    count: u64,
}

/// Counts, sums, means, extremes and percentiles of numbers.
#[utoipa::path(
    get,
    path = "/stats",
    tag = "search",
    params(Which, StatsQuery),
    responses((status = 200, body = SearchAnswer<StatsAnswer>), Refused<400>)
)]
pub(crate) async fn stats(
    State(app): State<Arc<App>>,
    caller: Caller,
    BothParams(which, query): BothParams<Which, StatsQuery>,
) -> Result<Json<SearchAnswer<StatsAnswer>>, Problem> {
    let list = |text: &str| -> Vec<String> {
        text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    };
    let by = list(&query.by);
    let calculations = list(if query.calc.trim().is_empty() { "count" } else { &query.calc });
    let calculations = calculations.iter().map(|calculation| calculation.parse::<Calculation>());
    let calculations = calculations.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&app, error))?;
    let mut columns = by.clone();
    columns.extend(calculations.iter().map(ToString::to_string));
    let whole: Vec<bool> = calculations
        .iter()
        .map(|calculation| matches!(calculation.figure, Figure::Events | Figure::Count))
        .collect();
    let limit = query.limit.unwrap_or(LIMIT);
    let work = move |store: &Store, scope| store.stats(&StatsRequest { scope, by, calculations, limit });
    let answer = run(&app, &caller, &which, "stats", work, |stats| stats.count).await?;
    Ok(answer.json(
        |found| found.behind,
        |stats| {
            let rows = stats.rows.into_iter().map(|row| {
                let by = row.by.into_iter().map(|value| value.map_or(Value::Null, Value::from));
                let figures = row.figures.iter().zip(&whole).map(|(figure, whole)| number(*figure, *whole));
                by.chain(figures).collect()
            });
            StatsAnswer {
                columns,
                rows: rows.collect(),
                cut: stats.cut,
                groups: stats.groups,
                approximate: stats.approximate,
                count: stats.count,
            }
        },
    ))
}

/// Counts are whole numbers and are written so; JSON has no infinity, which becomes null.
fn number(figure: Option<f64>, whole: bool) -> Value {
    match figure {
        Some(figure) if whole => Value::from(figure as u64),
        Some(figure) => Value::from(figure),
        None => Value::Null,
    }
}
