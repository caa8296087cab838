//! `GET /query`: a query's pieces for colouring it while it is typed, or where it is wrong.

use axum::Json;
use serde::{Deserialize, Serialize};

use crate::auth::Caller;
use crate::params::Params;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueryQuery {
    /// The query.
    #[serde(default)]
    q: String,
}

/// A query as it was read. Positions are bytes of its UTF-8 text.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(crate) enum QueryAnswer {
    /// It can be read.
    Good {
        ok: bool,
        tokens: Vec<TokenAnswer>,
        /// Places that were perhaps not meant as they were read.
        hints: Vec<HintAnswer>,
    },
    /// It cannot.
    Bad { ok: bool, position: usize, length: usize, message: String, expected: String },
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TokenAnswer {
    /// field, operator, paren, word, number, phrase, wildcard, regex, range, comparison.
    kind: &'static str,
    start: usize,
    end: usize,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct HintAnswer {
    position: usize,
    length: usize,
    message: String,
}

/// Read a query without running it.
#[utoipa::path(get, path = "/query", tag = "search", params(QueryQuery), responses((status = 200, body = QueryAnswer)))]
pub(crate) async fn check(_: Caller, Params(query): Params<QueryQuery>) -> Json<QueryAnswer> {
    Json(match attestry_store::Query::parse(&query.q) {
        Ok(read) => QueryAnswer::Good {
            ok: true,
            tokens: read
                .tokens()
                .iter()
                .map(|token| TokenAnswer { kind: token.kind.name(), start: token.start, end: token.end })
                .collect(),
            hints: read
                .hints()
                .iter()
                .map(|hint| HintAnswer {
                    position: hint.position,
                    length: hint.length,
                    message: hint.message.clone(),
                })
                .collect(),
        },
        Err(error) => QueryAnswer::Bad {
            ok: false,
            position: error.position,
            length: error.length,
            message: error.message,
            expected: error.expected,
        },
    })
}
