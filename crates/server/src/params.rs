//! Parameters of a request's query string.
//!
//! A name that nobody reads is refused: with `form=-1h` for `from=-1h` the answer would be right, and to another question.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::problem::Problem;

/// The query string, read as `T`.
pub(crate) struct Params<T>(pub(crate) T);

/// The query string, read as two sets of parameters.
pub(crate) struct BothParams<A, B>(pub(crate) A, pub(crate) B);

impl<T: DeserializeOwned + IntoParams, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Problem> {
        check(parts, &names::<T>())?;
        Ok(Params(read(parts)?))
    }
}

impl<A, B, S> FromRequestParts<S> for BothParams<A, B>
where
    A: DeserializeOwned + IntoParams,
    B: DeserializeOwned + IntoParams,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<BothParams<A, B>, Problem> {
        check(parts, &[names::<A>(), names::<B>()].concat())?;
        Ok(BothParams(read(parts)?, read(parts)?))
    }
}

/// The names that the description of the API gives.
fn names<T: IntoParams>() -> Vec<String> {
    T::into_params(|| None).into_iter().map(|parameter| parameter.name).collect()
}

fn check(parts: &Parts, known: &[String]) -> Result<(), Problem> {
    let query = parts.uri.query().unwrap_or_default();
    let mut names = query.split('&').filter(|pair| !pair.is_empty());
    let unknown = names.find_map(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        (!known.iter().any(|known| known == name)).then_some(name)
    });
    match unknown {
        None => Ok(()),
        Some(name) => Err(Problem::bad_request(format!(
            "there is no parameter {name:.40?} here; there are {}",
            known.join(", ")
        ))),
    }
}

fn read<T: DeserializeOwned>(parts: &Parts) -> Result<T, Problem> {
    let query = Query::<T>::try_from_uri(&parts.uri);
    query.map(|Query(params)| params).map_err(|rejection| Problem::bad_request(rejection.body_text()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use serde::Deserialize;

    #[derive(Deserialize, IntoParams)]
    struct Left {
        a: Option<u8>,
    }

    #[derive(Deserialize, IntoParams)]
    struct Right {
        #[serde(default)]
        b: String,
    }

    #[tokio::test]
    async fn unknown_names_are_refused() {
        for (query, expected) in [
            ("", Some((None, ""))),
            ("?a=7", Some((Some(7), ""))),
            ("?a=7&b=x%20y&", Some((Some(7), "x y"))),
            ("?a=x", None),
            ("?c=1", None),
            ("?a=1&c", None),
            ("?A=1", None),
        ] {
            let (mut parts, ()) = Request::get(format!("/{query}")).body(()).unwrap().into_parts();
            let read = BothParams::<Left, Right>::from_request_parts(&mut parts, &()).await;
            let read = read.ok().map(|BothParams(left, right)| (left.a, right.b));
            assert_eq!(read.as_ref().map(|(a, b)| (*a, b.as_str())), expected, "{query}");
        }
    }
}
