//! Logging in and out, and making the first user.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::accounts::{Actor, Login, LoginError, Role, SESSION_LIFE, User};
use crate::app::{App, blocking};
use crate::auth::{COOKIE, Caller};
use crate::body;
use crate::gate::ClientAddress;
use crate::problem::{Kind, Problem, ProblemDetails};

/// A user name and a password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    username: String,
    #[schema(format = Password)]
    password: String,
}

/// What makes the first user.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUp {
    /// The token of the set-up link.
    token: String,
    username: String,
    #[schema(format = Password)]
    password: String,
}

/// Whether there is no user yet.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SetUpState {
    needed: bool,
}

/// A session that is valid now.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SessionAnswer {
    user: UserAnswer,
    /// To be sent as `X-CSRF-Token` with everything that changes something.
    csrf: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct UserAnswer {
    name: String,
    role: Role,
    /// What limits what the user sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
}

impl From<User> for UserAnswer {
    fn from(user: User) -> UserAnswer {
        UserAnswer { name: user.name, role: user.role, filter: user.filter }
    }
}

/// Whether the first user is still to be made.
#[utoipa::path(get, path = "/setup", tag = "people", security(()), responses((status = 200, body = SetUpState)))]
pub(crate) async fn setup_state(State(app): State<Arc<App>>) -> Result<Json<SetUpState>, Problem> {
    Ok(Json(SetUpState { needed: !app.accounts.has_users()? }))
}

/// Make the first user, an administrator, with the token of the set-up link, and log in.
#[utoipa::path(
    post,
    path = "/setup",
    tag = "people",
    security(()),
    request_body = SetUp,
    responses(
        (status = 201, body = SessionAnswer, description = "Sets the session cookie"),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json", description = "The token was used, is too old, or never was"),
    )
)]
pub(crate) async fn set_up(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: SetUp = body::json(&headers, body, &app.budget).await?;
    let actor = Actor { name: "-".to_owned(), address: address.0.to_string() };
    let working = Arc::clone(&app);
    let login = hashing(&app, move || {
        let SetUp { token, username, password } = &request;
        working.accounts.set_up(&working.data_dir, token, username, password, &actor)?;
        log_in(&working, username, password, &actor)
    })
    .await?;
    Ok(logged_in(&app, StatusCode::CREATED, login))
}

/// Log in.
#[utoipa::path(
    post,
    path = "/session",
    tag = "people",
    security(()),
    request_body = Credentials,
    responses(
        (status = 200, body = SessionAnswer, description = "Sets the session cookie"),
        (status = 401, body = ProblemDetails, content_type = "application/problem+json", description = "Wrong user name or password"),
        (status = 429, body = ProblemDetails, content_type = "application/problem+json", description = "Locked after five failures; `Retry-After` says for how long"),
    )
)]
pub(crate) async fn start_session(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: Credentials = body::json(&headers, body, &app.budget).await?;
    let actor = Actor { name: "-".to_owned(), address: address.0.to_string() };
    let working = Arc::clone(&app);
    let login = hashing(&app, move || log_in(&working, &request.username, &request.password, &actor)).await?;
    Ok(logged_in(&app, StatusCode::OK, login))
}

/// Who is logged in.
#[utoipa::path(get, path = "/session", tag = "people", responses((status = 200, body = SessionAnswer)))]
pub(crate) async fn show_session(caller: Caller) -> Result<Json<SessionAnswer>, Problem> {
    let (session, _) = caller.session()?;
    Ok(Json(SessionAnswer { user: session.user.clone().into(), csrf: session.csrf.clone() }))
}

/// Log out.
#[utoipa::path(delete, path = "/session", tag = "people", responses((status = 204, description = "The session is over")))]
pub(crate) async fn end_session(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Problem> {
    let (_, token) = caller.session()?;
    let (working, token, actor) = (Arc::clone(&app), token.to_owned(), caller.actor());
    blocking(move || Ok(working.accounts.log_out(&token, &actor)?)).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(&app, "", 0))]).into_response())
}

/// Runs work that hashes a password, of which only a few run at a time.
async fn hashing<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let permit = Arc::clone(&app.passwords).acquire_owned().await;
    blocking(move || {
        let done = work();
        drop(permit);
        done
    })
    .await
}

fn log_in(app: &App, name: &str, password: &str, actor: &Actor) -> Result<Login, Problem> {
    app.accounts.log_in(name, password, actor).map_err(|error| match error {
        LoginError::Wrong => Problem::new(Kind::Unauthorized, "wrong user name or password"),
        LoginError::Locked(left) => {
            Problem::new(Kind::Locked, "wait before the next attempt").retry_after(left.as_secs().max(1))
        }
        LoginError::Accounts(error) => error.into(),
    })
}

fn logged_in(app: &App, status: StatusCode, login: Login) -> Response {
    let cookie = cookie(app, &login.token, SESSION_LIFE.as_secs());
    let answer = SessionAnswer { user: login.user.into(), csrf: login.csrf };
    let headers =
        [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, headers, Json(answer)).into_response()
}

/// The session cookie: out of reach of scripts, never sent with another site's request, encrypted only where we are.
fn cookie(app: &App, token: &str, life_s: u64) -> HeaderValue {
    let secure = if app.names.secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life_s}{secure}");
    // Tokens are base64url, so the text always is a header value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}
