//! Finding on the command line: what is printed, for people and for programs.

use attestry_testkit::Scenario;
use serde_json::{Value, json};

use crate::ATTESTRY;

/// Thirty events on three days, by four people; the first tries to steer whatever shows it.
fn events() -> Value {
    let event = |number: u64| {
        let message =
            if number == 0 { "=cmd \u{1b}[31m,\"x\"\nnext".to_owned() } else { format!("step {number}") };
        json!({
            "event_id": format!("e{number}"),
            "event_time": format!("2026-01-0{}T00:00:{number:02}Z", number % 3 + 1),
            "event_name": "door.open",
            "username": format!("u{}", number % 4),
            "message": message,
            "event_data": {"n": number, "deep": {"k": format!("v{}", number % 2)}},
        })
    };
    (0..30).map(event).collect()
}

#[test]
fn the_commands_print_what_was_found() {
    let scenario = Scenario::started(ATTESTRY);
    scenario.client(&scenario.key(&["shop", "--write"])).store(&events());
    // Without a key: the server's owner reads with the one in the data directory.
    let run = |arguments: &[&str]| scenario.attestry(arguments).is(0).out;

    let table = run(&[
        "search",
        "event_source:shop",
        "-n",
        "2",
        "--order",
        "asc",
        "--columns",
        "event_id,message,event_data.deep.k",
    ]);
    assert_eq!(
        table,
        "event_id  message                    event_data.deep.k\n\
         e0        =cmd \\u{1b}[31m,\"x\"\\nnext  v0\n\
         e3        step 3                     v1\n"
    );
    let csv = run(&["search", "event_id:e0", "--csv", "--columns", "event_id,message,username"]);
    assert_eq!(csv, "event_id,message,username\ne0,\"'=cmd \u{1b}[31m,\"\"x\"\"\nnext\",u0\n");
    let found: Value = serde_json::from_str(&run(&["search", "event_id:e7", "--json"])).unwrap();
    assert_eq!((&found["ledger"], &found["event"]["event_data"]["n"]), (&json!("audit"), &json!(7)));

    // More than a page of the server's, newest first, none twice.
    let ids = run(&["search", "event_source:shop", "-n", "30", "--csv", "--columns", "event_time,event_id"]);
    let mut lines: Vec<&str> = ids.lines().skip(1).collect();
    assert_eq!(lines.len(), 30);
    assert!(lines.is_sorted_by(|a, b| a > b), "{ids}");
    lines.dedup();
    assert_eq!(lines.len(), 30);

    for (arguments, out) in [
        (&["count", "event_source:shop"][..], "30\n"),
        (&["count", "event_source:shop", "event_data.n:>=20"], "10\n"),
        (&["count", "event_source:shop", "-username:u0", "\"step 7\""], "1\n"),
        (&["count", "event_id:/^e[12].$/"], "20\n"),
        (&["count", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-03T00:00:00Z"], "10\n"),
        (&["count", "event_source:shop", "--from", "-24h"], "0\n"),
        (&["count", "event_source:shop", "--ledger", "logs"], "0\n"),
        (
            &["top", "event_data.deep.k", "event_source:shop", "--csv"],
            "event_data.deep.k,count\nv0,15\nv1,15\n",
        ),
        (
            &["histogram", "event_source:shop", "--interval", "1d", "--csv"],
            "time,count\n2026-01-01T00:00:00,10\n2026-01-02T00:00:00,10\n2026-01-03T00:00:00,10\n",
        ),
    ] {
        assert_eq!(run(arguments), out, "{arguments:?}");
    }
    let top = scenario.attestry(&["top", "username", "event_source:shop", "-n", "2"]).is(0);
    assert_eq!(top.out.lines().count(), 3, "{}", top.out);
    assert_eq!(top.err, "4 different values in 30 events, 0 without one\n");
    assert!(!top.out.contains('\u{1b}'), "colours without a terminal: {}", top.out);
    let top: Value = serde_json::from_str(&run(&["top", "username", "event_source:shop", "--json"])).unwrap();
    assert_eq!(top["values"][0], json!({"value": "u0", "count": 8}));

    for (arguments, words) in [
        (&["search", "event_name:("][..], "(at byte 12; expected "),
        (&["count", "username:u0 AND"], "(at byte 15; expected "),
        (&["count", "read_only:perhaps"], "(at byte 10; expected "),
        (&["search", "--from", "yesterday"], "from: \"yesterday\" is neither"),
        (&["count", "--ledger", "nowhere"], "there is no ledger \"nowhere\""),
        (&["top"], "Usage: attestry top"),
        (
            &["search", "--url", "nonsense"],
            "\"nonsense\" is no address of a server, expected one such as https://",
        ),
        (&["search", "--url", "ftp://127.0.0.1"], "is no address of a server"),
        (&["key", "create", "new"], "<--write|--read>"),
        (&["key", "revoke", "nothing"], "cannot revoke \"nothing\"; `attestry key list` shows which"),
    ] {
        let ran = scenario.attestry(arguments);
        assert!(matches!(ran.code, Some(1 | 2)) && ran.out.is_empty(), "{ran:?}");
        ran.says(words);
    }
    let writer = scenario.key(&["writer", "--write"]);
    for key in [&writer, "ak_guess"] {
        scenario.attestry_with(&["count"], key, b"").is(1).says("the variable ATTESTRY_KEY is set");
    }
    scenario.finish();
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let mut scenario = Scenario::started(ATTESTRY);
    scenario.stop();
    for command in [&["search"][..], &["count"], &["tail"], &["ledger", "list"]] {
        scenario.attestry(command).is(1).says("is it running?");
    }
    // Keys are made all the same.
    scenario.key(&["later", "--read"]);
    scenario.start();
    scenario.finish();
}
