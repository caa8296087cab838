use super::*;
use crate::made::parcel;
use serde_json::{Value, json};

fn config(url: &str) -> SinkConfig {
    serde_json::from_value(json!({"url": url, "timeout": "10s"})).unwrap()
}

/// One event with everything, one with little, and one that is offered twice.
pub(super) fn events() -> Vec<Parcel> {
    let long = "ü".repeat(10_000);
    vec![
        parcel(
            0,
            "audit",
            &json!({
                "event_time": "2026-11-21T03:04:05.123456789Z",
                "resource": "r",
                "via": ["relay"],
                "source_ip_address": "192.0.2.1",
                "request_id": "q",
                "read_only": true,
                "outcome": "failure",
                "severity": 3,
                "message": long,
                "host": "web1",
                "agent": "web1",
                "agent_epoch": u64::MAX,
                "agent_seq": 7,
                "event_data": {"text": "it's \"quoted\" \\ 😀 ?", "big": 9_007_199_254_740_993u64, "long": long},
            }),
        ),
        parcel(1, "audit", &json!({})),
        parcel(1, "audit", &json!({})),
        parcel(1, "logs", &json!({})),
        parcel(2, "audit", &json!({"event_id": "E1"})),
    ]
}

#[tokio::test]
async fn sqlite_holds_every_field() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.db");
    let url = format!("sqlite://{}", path.display());
    assert_eq!(config(&url).check(), []);
    let mut sink = SqlSink::new(&config(&url)).unwrap();
    for _ in 0..2 {
        assert_eq!(sink.deliver(&events()).await, Ok(vec![]));
    }
    let connection = rusqlite::Connection::open(&path).unwrap();
    let one =
        |sql: &str| connection.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
    let text = |sql: &str| match one(sql) {
        rusqlite::types::Value::Text(text) => text,
        other => format!("{other:?}"),
    };
    assert_eq!(one("SELECT count(*) FROM attestry_events"), rusqlite::types::Value::Integer(4));
    assert_eq!(
        text("SELECT event_time FROM attestry_events WHERE event_id = 'e0'"),
        "2026-11-21T03:04:05.123456789Z"
    );
    assert_eq!(text("SELECT via FROM attestry_events WHERE event_id = 'e0'"), "[\"relay\"]");
    assert_eq!(text("SELECT length(message) FROM attestry_events WHERE event_id = 'e0'"), "Integer(10000)");
    assert_eq!(
        text("SELECT event_data ->> 'big' FROM attestry_events WHERE event_id = 'e0'"),
        "Integer(9007199254740993)"
    );
    assert_eq!(
        text("SELECT max(version) FROM attestry_events_schema"),
        format!("Integer({})", schema::VERSION)
    );
    assert_eq!(text("SELECT loaded_at IS NOT NULL FROM attestry_events LIMIT 1"), "Integer(1)");
}

#[tokio::test]
async fn an_older_table_is_migrated_and_a_newer_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.db");
    let url = format!("sqlite://{}", path.display());
    let connection = rusqlite::Connection::open(&path).unwrap();
    let first = schema::migration(schema::Dialect::Sqlite, "attestry_events", 1).join(";");
    connection
        .execute_batch(&format!("{first}; CREATE TABLE attestry_events_schema (version INTEGER); INSERT INTO attestry_events_schema VALUES (1)"))
        .unwrap();
    assert_eq!(SqlSink::new(&config(&url)).unwrap().deliver(&events()).await, Ok(vec![]));
    let indexes: i64 = connection
        .query_row(
            "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name LIKE 'attestry_events_%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(indexes, 2);
    connection.execute_batch("INSERT INTO attestry_events_schema VALUES (99)").unwrap();
    let failure = SqlSink::new(&config(&url)).unwrap().deliver(&events()).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Again { reason, .. } if reason.contains("version 99")),
        "{failure:?}"
    );
}

#[tokio::test]
async fn sqlite_that_is_locked_or_gone_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("below/events.db");
    let settings =
        SinkConfig { timeout: Period::millis(100), ..config(&format!("sqlite://{}", path.display())) };
    let mut sink = SqlSink::new(&settings).unwrap();
    assert!(matches!(sink.deliver(&events()).await, Err(Failure::Again { delivered: 0, .. })));
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    assert_eq!(sink.deliver(&events()[..1]).await, Ok(vec![]));
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(sink.deliver(&events()).await, Err(Failure::Again { delivered: 0, .. })));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(sink.deliver(&events()).await, Ok(vec![]));
}

/// The one that the table does not take is refused; whatever its place, the others go in.
#[tokio::test]
async fn a_bad_row_is_found() {
    for bad in [0, 3, 6] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        let table = schema::migration(schema::Dialect::Sqlite, "attestry_events", 1).join(";");
        let check = table.replacen("username TEXT", "username TEXT CHECK (username <> 'bad')", 1);
        connection
            .execute_batch(&format!("{check}; CREATE TABLE attestry_events_schema (version INTEGER); INSERT INTO attestry_events_schema VALUES (2)"))
            .unwrap();
        let name = |number| if number == bad { "bad" } else { "good" };
        let events: Vec<Parcel> =
            (0..7).map(|number| parcel(number, "audit", &json!({"username": name(number)}))).collect();
        let url = format!("sqlite://{}", path.display());
        let refused = SqlSink::new(&config(&url)).unwrap().deliver(&events).await.unwrap();
        assert_eq!(refused.iter().map(|refused| refused.at).collect::<Vec<_>>(), [bad]);
        let count: i64 =
            connection.query_row("SELECT count(*) FROM attestry_events", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 6);
    }
}

#[test]
fn statements_are_bounded() {
    let events: Vec<Parcel> =
        (0..5).map(|number| parcel(number, "audit", &json!({"message": "x".repeat(100 * number)}))).collect();
    let rows: Vec<Row> = events.iter().enumerate().map(|(at, event)| Row::of(at, event).unwrap()).collect();
    let sizes = |most| statements(&rows, most).iter().map(|part| part.len()).collect::<Vec<_>>();
    assert_eq!(sizes((2, usize::MAX)), [2, 2, 1]);
    assert_eq!(sizes((9, 1)), [1, 1, 1, 1, 1]);
    assert_eq!(sizes((9, rows[0].bytes() + rows[1].bytes())), [2, 1, 1, 1]);
    assert!(statements(&[], (1, 1)).is_empty());
}

#[test]
fn says_what_is_wrong_with_a_configuration() {
    for (config, fields) in [
        (json!({"url": "postgres://u@db.example/d"}), &[][..]),
        (json!({"url": "postgres://u@localhost:5432/d", "password": {"env": "X"}}), &[]),
        (json!({"url": "mysql://u@db.example:3306/d", "tls": {}}), &[]),
        (json!({"url": "mariadb://u@127.0.0.1/d", "table": "audit.events"}), &[]),
        (json!({"url": "sqlite:///var/lib/x.db"}), &[]),
        (json!({"url": "sqlite://x.db"}), &["url"]),
        (json!({"url": "sqlite:///x.db", "password": "x"}), &["password"]),
        (json!({"url": "postgres://u:secret@db.example/d"}), &["url"]),
        (json!({"url": "mysql://u:secret@db.example/d"}), &["url"]),
        (json!({"url": "mysql://u@db.example"}), &["url"]),
        (json!({"url": "oracle://u@db.example/d"}), &["url"]),
        (json!({"url": "postgres://u@db/d", "table": "x;y", "timeout": "0s"}), &["table", "timeout"]),
        (json!({"url": "postgres://u@db/d", "tls": {}, "plaintext": true}), &["plaintext"]),
    ] {
        let parsed: SinkConfig = serde_json::from_value(config.clone()).unwrap();
        let found = parsed.check();
        assert_eq!(found.iter().map(|(field, _)| *field).collect::<Vec<_>>(), fields, "{config}");
        assert!(found.iter().all(|(_, reason)| !reason.contains("secret")), "{found:?}");
    }
}

#[test]
fn tls_unless_on_this_host_or_told_otherwise() {
    let with = |more: Value| -> SinkConfig {
        let mut config = json!({"url": "sqlite:///x"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(config).unwrap()
    };
    for (more, own_host, expected) in [
        (json!({}), true, false),
        (json!({}), false, true),
        (json!({"plaintext": true}), false, false),
        (json!({"tls": {}}), true, true),
    ] {
        assert_eq!(with(more.clone()).login().tls_to(own_host).is_some(), expected, "{more} {own_host}");
    }
}
