//! TLS and log-ins of the databases: who is let in, and what is said to those who are not.

use attestry_pipeline::{Failure, Sink};
use attestry_testkit::{Authority, Issued, MariaDb, Postgres};
use serde_json::{Value, json};

use crate::{parcel, sink_of};

const PASSWORD: &str = "swordfish";
const WRONG_PASSWORD: &str = "red-herring";

/// A sink's `tls`.
fn tls(authority: &Authority, client: Option<&Issued>) -> Value {
    match client {
        None => json!({"ca": authority.ca()}),
        Some(Issued { cert, key }) => json!({"ca": authority.ca(), "cert": cert, "key": key}),
    }
}

/// What is in common: a database that has a certificate of the authority for 127.0.0.1, the user `keeper` with a password, the user `known` with a
/// certificate of that name, and an address `url` for each user. `plain` is said to who comes without TLS, `nobody` to whom `known` is not.
async fn only_friends_are_let_in(
    authority: &Authority,
    url: impl Fn(&str) -> String,
    [plain, wrong_password, nobody]: [&str; 3],
) {
    let other = Authority::new();
    let known = authority.issue("known", &[]);
    let named = |name: &str| json!({"ca": authority.ca(), "server_name": name});
    let keeper = |more: Value| config(url("keeper"), "by_password", more);
    let by_certificate = |tls: Value| config(url("known"), "by_certificate", json!({"tls": tls}));
    let secret = |tls: Value, password: &str| keeper(json!({"tls": tls, "password": password}));
    let own = || tls(authority, None);

    let place = url("keeper").split(['@', '/']).nth(3).unwrap().to_owned();
    for (config, word) in [
        (secret(tls(&other, None), PASSWORD), "certificate"),
        (secret(named("elsewhere.example"), PASSWORD), "not valid for name"),
        (secret(json!({"ca": "/no/such/ca.pem"}), PASSWORD), "/no/such/ca.pem"),
        (secret(own(), WRONG_PASSWORD), wrong_password),
        (keeper(json!({"tls": own()})), "password"),
        (keeper(json!({"password": PASSWORD})), plain),
        (
            keeper(json!({"tls": own(), "password": {"file": "/no/such/password"}})),
            "/no/such/password: no such file",
        ),
        (by_certificate(own()), nobody),
        (by_certificate(tls(authority, Some(&authority.issue("keeper", &[])))), nobody),
        (by_certificate(tls(authority, Some(&other.issue("known", &[])))), "alert"),
    ] {
        let failure = sink_of(config.clone()).deliver(&[parcel(0, &json!({}))]).await;
        let Err(Failure::Again { delivered: 0, reason, .. }) = failure else {
            panic!("{config}: {failure:?}");
        };
        let text = reason.to_lowercase();
        assert!(text.contains(&place) && text.contains(word), "{place:?} and {word:?}, {config}: {reason}");
        for secret in [PASSWORD, WRONG_PASSWORD, "BEGIN"] {
            assert!(!reason.contains(secret), "a secret is shown: {reason}");
        }
    }
    for config in [
        secret(own(), PASSWORD),
        secret(named("localhost"), PASSWORD),
        by_certificate(tls(authority, Some(&known))),
    ] {
        assert_eq!(sink_of(config.clone()).deliver(&[parcel(0, &json!({}))]).await, Ok(vec![]), "{config}");
    }
}

fn config(url: String, table: &str, more: Value) -> Value {
    let mut config = json!({"url": url, "table": table, "timeout": "20s"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_with_certificates_and_a_password() {
    let authority = Authority::new();
    let server = Postgres::started_with_tls(&authority);
    server.query(&format!(
        "CREATE ROLE keeper LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE known LOGIN; GRANT CREATE ON SCHEMA public TO keeper, known"
    ));
    let said = ["no encryption", "password authentication failed", "certificate"];
    let url = |user: &str| server.url().replace("test@", &format!("{user}@"));
    only_friends_are_let_in(&authority, url, said).await;
    for table in ["by_password", "by_certificate"] {
        assert_eq!(server.query(&format!("SELECT count(*) FROM {table}")), "1", "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_with_certificates_and_a_password() {
    let authority = Authority::new();
    let server = MariaDb::started_with_tls(&authority);
    server.query(&format!(
        "CREATE USER keeper@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; CREATE USER known@'127.0.0.1' REQUIRE SUBJECT '/CN=known';
         GRANT ALL ON test.* TO keeper@'127.0.0.1'; GRANT ALL ON test.* TO known@'127.0.0.1'"
    ));
    let said = ["access denied", "access denied", "access denied"];
    let url = |user: &str| server.url().replace("test@", &format!("{user}@"));
    only_friends_are_let_in(&authority, url, said).await;
    for table in ["by_password", "by_certificate"] {
        assert_eq!(server.query(&format!("SELECT count(*) FROM {table}")), "1", "{table}");
    }
}
