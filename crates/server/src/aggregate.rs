//! Counting instead of listing, at once or over time.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestry_event::Nanos;
use attestry_store::{Histogram, HistogramRequest, Interval, MAX_STACK};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::auth::Caller;
use crate::params::{BothParams, Params};
use crate::problem::{Problem, Refused};
use crate::search::{SearchAnswer, Which, run};
use crate::times;

/// How many buckets a histogram has when nothing is said.
const BUCKETS: usize = 100;

/// How many values a histogram is stacked by.
const STACK: usize = 10;

/// How many.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CountAnswer {
    count: u64,
}

/// Count events.
#[utoipa::path(
    get,
    path = "/count",
    tag = "search",
    params(Which),
    responses((status = 200, body = SearchAnswer<CountAnswer>), Refused<400>)
)]
pub(crate) async fn count(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<Json<SearchAnswer<CountAnswer>>, Problem> {
    let work = |store: &attestry_store::Store, scope| store.count(&scope);
    let answer = run(&app, &caller, &which, "count", work, |count| count.count).await?;
    Ok(answer.json(|found| found.behind, |count| CountAnswer { count: count.count }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistogramQuery {
    /// The width of a bucket, such as `60s`, `15m`, `1h`; default `auto`: a round width that makes at most `buckets`.
    interval: Option<String>,
    /// With `interval=auto`: how many buckets at most (default 100).
    buckets: Option<usize>,
    /// A field by whose most frequent values each bucket is divided.
    by: Option<String>,
}

/// Counts over time.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct HistogramAnswer {
    #[schema(value_type = String, format = DateTime)]
    from: Nanos,
    #[schema(value_type = String, format = DateTime)]
    to: Nanos,
    /// The width of a bucket in seconds.
    interval_s: f64,
    buckets: Vec<BucketAnswer>,
    /// The values of `by`, the most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by_values: Vec<String>,
    /// How many more values `by` has; their events are in `count` only.
    #[serde(skip_serializing_if = "is_zero")]
    more_values: u64,
    count: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One bucket.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct BucketAnswer {
    /// Where it begins.
    #[schema(value_type = String, format = DateTime)]
    time: Nanos,
    count: u64,
    /// How many have each value of `by`; values without any are left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by: BTreeMap<String, u64>,
}

/// Count events over time.
#[utoipa::path(
    get,
    path = "/histogram",
    tag = "search",
    params(Which, HistogramQuery),
    responses((status = 200, body = SearchAnswer<HistogramAnswer>), Refused<400>)
)]
pub(crate) async fn histogram(
    State(app): State<Arc<App>>,
    caller: Caller,
    BothParams(which, query): BothParams<Which, HistogramQuery>,
) -> Result<Json<SearchAnswer<HistogramAnswer>>, Problem> {
    let interval = match query.interval.as_deref() {
        None | Some("" | "auto") => Interval::AtMost(query.buckets.unwrap_or(BUCKETS)),
        Some(width) => {
            let nanos = times::duration(width).filter(|nanos| *nanos > 0);
            let bad = || Problem::bad_request("interval: auto, or a duration such as 60s, 15m, 1h, 1d");
            Interval::Nanos(nanos.ok_or_else(bad)?)
        }
    };
    let by = query.by.filter(|by| !by.is_empty());
    let work = move |store: &attestry_store::Store, scope| {
        store.histogram(&HistogramRequest { scope, interval, by, by_limit: STACK.min(MAX_STACK) })
    };
    let answer = run(&app, &caller, &which, "histogram", work, |histogram| histogram.count).await?;
    Ok(answer.json(|found| found.behind, histogram_answer))
}

fn histogram_answer(histogram: Histogram) -> HistogramAnswer {
    let Histogram { from, to, interval, buckets, by_values, more_values, count, .. } = histogram;
    let bucket = |bucket: attestry_store::Bucket| {
        let counts = by_values.iter().zip(&bucket.by).filter(|(_, count)| **count > 0);
        let by = counts.map(|(value, count)| (value.clone(), *count)).collect();
        BucketAnswer { time: bucket.time, count: bucket.count, by }
    };
    let buckets = buckets.into_iter().map(bucket).collect();
    let interval_s = interval as f64 / 1e9;
    HistogramAnswer { from, to, interval_s, buckets, by_values, more_values, count }
}
