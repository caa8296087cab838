//! All addresses of the server in one place.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::openapi::{self, Description, Texts};
use crate::problem::{Kind, Problem};
use crate::{
    agents, aggregate, alerts, coverage, databases, entries, evidence, find, flow, gate, health, ingest,
    keys, ledgers, log, page, people, prune, query, reports, stats, tail, values,
};

/// The routes with their descriptions.
fn described() -> OpenApiRouter<Arc<App>> {
    let api = OpenApiRouter::new()
        .routes(routes!(find::find, ingest::post))
        .routes(routes!(entries::by_id))
        .routes(routes!(entries::proof_by_id))
        .routes(routes!(entries::by_index))
        .routes(routes!(entries::raw))
        .routes(routes!(entries::value))
        .routes(routes!(entries::proof_by_index))
        .routes(routes!(evidence::export))
        .routes(routes!(aggregate::count))
        .routes(routes!(aggregate::histogram))
        .routes(routes!(stats::stats))
        .routes(routes!(values::top))
        .routes(routes!(values::distinct))
        .routes(routes!(values::values))
        .routes(routes!(values::fields))
        .routes(routes!(tail::tail))
        .routes(routes!(query::check))
        .routes(routes!(ledgers::list))
        .routes(routes!(ledgers::show))
        .routes(routes!(ledgers::verify))
        .routes(routes!(ledgers::consistency))
        .routes(routes!(prune::by_request))
        .routes(routes!(ledgers::sources))
        .routes(routes!(flow::flow))
        .routes(routes!(coverage::coverage))
        .routes(routes!(databases::list))
        .routes(routes!(databases::violations))
        .routes(routes!(databases::history))
        .routes(routes!(databases::sign_off::sign_off))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::deeds::acknowledge))
        .routes(routes!(alerts::deeds::silence))
        .routes(routes!(alerts::deeds::resolve))
        .routes(routes!(alerts::show))
        .routes(routes!(alerts::rules))
        .routes(routes!(reports::list))
        .routes(routes!(reports::run))
        .routes(routes!(reports::history))
        .routes(routes!(reports::file))
        .routes(routes!(reports::replay))
        .routes(routes!(reports::schedules::schedule))
        .routes(routes!(reports::schedules::unschedule))
        .routes(routes!(people::setup_state, people::set_up))
        .routes(routes!(people::show_session, people::start_session, people::end_session))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(agents::list))
        .routes(routes!(agents::revoke))
        .routes(routes!(agents::invite))
        .routes(routes!(agents::enroll))
        .routes(routes!(agents::renew))
        .routes(routes!(agents::status));
    OpenApiRouter::with_openapi(Description::openapi())
        .nest("/api/v1", api)
        .routes(routes!(log::checkpoint))
        .routes(routes!(log::vkey))
        .routes(routes!(log::tile))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// Everything the server answers.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (router, description) = described().split_for_parts();
    let texts = Arc::new(Texts::new(&description));
    let documentation = Router::new()
        .route("/openapi.json", get(openapi::json))
        .route("/docs", get(openapi::html))
        .route("/docs.css", get(openapi::css))
        .with_state(texts);
    router
        .fallback(page::serve)
        .with_state(Arc::clone(&app))
        .merge(documentation)
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "see /docs for the methods of this address")
        })
        // Bodies are bounded where they are read, each by its own limit.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app, gate::pass))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_the_one_that_was_reviewed() {
        let (_, description) = described().split_for_parts();
        insta::assert_json_snapshot!("openapi", description);
    }
}
