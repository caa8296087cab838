//! Reading and writing queries: meaning, errors with their places, colours.

use proptest::prelude::*;

use super::*;

/// Texts, and the same meaning written canonically.
#[test]
fn reads() {
    let cases = [
        ("", "*"),
        ("  ", "*"),
        ("*", "*"),
        ("*:*", "*"),
        ("alice", "alice"),
        ("a b", "a b"),
        ("a AND b", "a b"),
        ("a && b", "a b"),
        ("a b OR c d", "a b OR c d"),
        ("a || b", "a OR b"),
        ("a (b OR c)", "a (b OR c)"),
        ("(a)", "a"),
        ("(a b) c", "(a b) c"),
        ("-a", "NOT a"),
        ("!a", "NOT a"),
        ("NOT a OR b", "NOT a OR b"),
        ("NOT (a OR b)", "NOT (a OR b)"),
        ("--a", "NOT NOT a"),
        ("+a -b", "a NOT b"),
        ("and or not", "and or not"),
        ("username:alice", "username:alice"),
        ("username: alice", "username:alice"),
        ("username:\"alice smith\"", "username:\"alice smith\""),
        ("username:alice\\ smith", "username:\"alice smith\""),
        ("username:-", "username:\"-\""),
        ("username:*", "username:*"),
        ("username:**", "username:*"),
        ("username:al\\*ce", "username:\"al*ce\""),
        ("username:al*c?", "username:al*c?"),
        ("event_name:login.*", "event_name:login.*"),
        ("host:(web1 OR web2)", "host:web1 OR host:web2"),
        ("x host:(web1 -web2)", "x (host:web1 NOT host:web2)"),
        ("host:(a:b)", "host:\"a:b\""),
        ("resource:arn:aws:iam", "resource:\"arn:aws:iam\""),
        ("status:500", "event_data.status:500"),
        ("event_data.status:>=500", "event_data.status:[500 TO *]"),
        ("event_data.status:> 500", "event_data.status:{500 TO *]"),
        ("event_data.status:<5e2", "event_data.status:[* TO 500}"),
        ("event_data.status:[400 TO 499]", "event_data.status:[400 TO 499]"),
        ("event_data.status:{400 TO 499]", "event_data.status:{400 TO 499]"),
        ("event_data.status:[500 TO 500]", "event_data.status:[500 TO 500]"),
        ("event_data.status:[* TO *]", "event_data.status:*"),
        ("event_data.status:-5", "event_data.status:\"-5\""),
        ("event_data.v:[\"1\" TO \"2\"]", "event_data.v:[\"1\" TO \"2\"]"),
        ("event_data.v:[a TO 2]", "event_data.v:[\"a\" TO \"2\"]"),
        ("event_data.a\\ b:x", "event_data.a\\ b:x"),
        ("username:>m", "username:{\"m\" TO *]"),
        ("username:>5", "username:{\"5\" TO *]"),
        ("severity:3", "severity:3"),
        ("severity:<=warning", "severity:[* TO 4]"),
        ("_index:[5 TO 10}", "_index:[5 TO 10}"),
        ("_ledger:audit", "_ledger:audit"),
        ("read_only:true", "read_only:true"),
        ("/conn.*/", "/conn.*/"),
        ("resource:/^\\/var\\/log/i", "resource:/^\\/var\\/log/i"),
        ("source_ip_address:10.0.0.0/8", "source_ip_address:10.0.0.0/8"),
        ("source_ip_address:\"10.0.0.0/8\"", "source_ip_address:\"10.0.0.0/8\""),
        ("source_ip_address:2001:db8::/32", "source_ip_address:2001:db8::/32"),
        ("source_ip_address:[10.0.0.1 TO 10.0.0.9]", "source_ip_address:[10.0.0.1 TO 10.0.0.9]"),
        ("2001:db8::1", "\"2001:db8::1\""),
        ("::1", "\"::1\""),
        (
            "event_time:2026-11-21",
            "event_time:[2026-11-21T00:00:00.000000000Z TO 2026-11-22T00:00:00.000000000Z}",
        ),
        ("event_time:>2026-11-21", "event_time:[2026-11-22T00:00:00.000000000Z TO *]"),
        ("received_at:<=2026-11-21T10:00", "received_at:[* TO 2026-11-21T10:01:00.000000000Z}"),
        ("message:\"a \\\"b\\\"\"", "message:\"a \\\"b\\\"\""),
        ("foo-bar", "\"foo-bar\""),
        ("a(b)", "a b"),
        ("\"AND\"", "\"AND\""),
        ("\\AND", "\"AND\""),
    ];
    for (text, canonical) in cases {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(query.to_string(), canonical, "{text}");
        assert_eq!(Query::parse(canonical).unwrap(), query, "{text}");
    }
}

/// Each text with the place, `^` marks (one for an empty place), and words of the message or of what is expected.
#[test]
fn refuses() {
    let cases = [
        ("(a", "^", "not closed"),
        ("a)", " ^", "closes nothing"),
        ("()", " ^", "missing before the parenthesis"),
        ("a AND", "     ^", "ends where a term is missing"),
        ("a OR OR b", "     ^^", "OR stands where a term"),
        ("AND a", "^^^", "AND stands where a term"),
        ("NOT", "   ^", "ends where a term"),
        ("a -", "  ^", "nothing follows the sign"),
        ("- a", "^", "nothing follows the sign"),
        ("username:", "         ^", "a value is missing"),
        ("username:)", "         ^", "a value is missing"),
        ("username:AND b", "         ^^^", "AND stands where a value"),
        (":x", "^", "no field"),
        ("user*:x", "^^^^^", "no wildcards"),
        ("event_data:x", "^^^^^^^^^^", "path in it"),
        ("\"abc", "^^^^", "closing"),
        ("\"abc\"d", "     ^", "without a space"),
        ("\"a b\"~5", "     ^", "without a space"),
        ("ab\"c\"", "  ^", "quotation mark"),
        ("a\\", " ^", "backslash"),
        ("[a TO b]", "^", "a range has no field"),
        (">5", "^", "a range has no field"),
        ("x:[1 TO 2", "  ^^^^^^^", "not closed"),
        ("x:[1 2]", "  ^^^", "no TO"),
        ("x:[1* TO 2]", "   ^^", "no wildcards"),
        ("x:>", "   ^", "a value is missing"),
        ("x:>*", "  ^^", "everything compares"),
        ("message:>a", "        ^^", "no order"),
        ("read_only:yes", "          ^^^", "true or false"),
        ("read_only:t*", "          ^^", "no pattern"),
        ("read_only:[a TO b]", "          ^^^^^^^^", "true or false"),
        ("severity:high", "         ^^^^", "0 (emergency)"),
        ("severity:/3/", "         ^^^", "no pattern"),
        ("_index:x", "       ^", "holds numbers"),
        ("event_time:yesterday", "           ^^^^^^^^^", "RFC 3339"),
        ("event_time:>=2026-13-01", "             ^^^^^^^^^^", "RFC 3339"),
        ("event_time:2026*", "           ^^^^^", "RFC 3339"),
        ("source_ip_address:10.0.0.0/33", "                  ^^^^^^^^^^^", "0 to 32"),
        ("event_data.ip:::/129", "              ^^^^^^", "0 to 128"),
        ("x:[10.0.0.1 TO ::1]", "  ^^^^^^^^^^^^^^^^^", "one family"),
        ("/abc", "^^^^", "has no end"),
        ("/abc\\", "^^^^^", "has no end"),
        ("resource:/etc/passwd", "         ^^^^^^^^^^^", "must be in quotes"),
        ("http://example.com/", "     ^^^^^^^^^^^^^^", "must be in quotes"),
        ("x://", "  ^^", "empty"),
        ("x:/a(b/", "    ^", "unclosed group"),
        ("ü:/[/", "   ^", "unclosed character class"),
    ];
    for (text, marks, words) in cases {
        let error = Query::parse(text).expect_err(text);
        let chars: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let first = marks.find('^').unwrap();
        assert_eq!(error.position, chars[first], "{text}: {error}");
        let expected = marks.len() - first;
        let found = text[error.position..error.position + error.length].chars().count();
        assert_eq!(found.max(1), expected, "{text}: {error}");
        let said = format!("{} / {}", error.message, error.expected);
        assert!(said.contains(words), "{text}: {said}");
    }
}

#[test]
fn is_bounded() {
    let deep = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Query::parse(&deep(MAX_DEPTH)).is_ok());
    assert!(Query::parse(&deep(MAX_DEPTH + 1)).is_err());
    assert!(Query::parse(&deep(8_000)).is_err());
    assert!(Query::parse(&"-".repeat(MAX_QUERY_BYTES)).is_err());
    assert!(Query::parse(&format!("{}a", "NOT ".repeat(65))).is_err());
    assert!(Query::parse(&"a ".repeat(MAX_TERMS)).is_ok());
    assert!(Query::parse(&"a ".repeat(MAX_TERMS + 1)).is_err());
    assert!(Query::parse(&"a".repeat(MAX_QUERY_BYTES)).is_ok());
    assert!(Query::parse(&"a".repeat(MAX_QUERY_BYTES + 1)).is_err());
    assert!(Query::parse(&"/a/ ".repeat(MAX_REGEXES)).is_ok());
    assert!(Query::parse(&"/a/ ".repeat(MAX_REGEXES + 1)).is_err());
    assert!(Query::parse(&format!("a{}", "*b".repeat(400))).is_err());
    assert!(Query::parse(r"/\pL{1000}{1000}/").is_err());
}

#[test]
fn colours() {
    let text = "event_name:login.* -(x:>=5 OR \"a b\") y:[1 TO c} /re/i";
    let query = Query::parse(text).unwrap();
    let tokens: Vec<(&str, &str)> =
        query.tokens().iter().map(|token| (token.kind.name(), &text[token.start..token.end])).collect();
    let expected = [
        ("field", "event_name:"),
        ("wildcard", "login.*"),
        ("operator", "-"),
        ("paren", "("),
        ("field", "x:"),
        ("comparison", ">="),
        ("number", "5"),
        ("operator", "OR"),
        ("phrase", "\"a b\""),
        ("paren", ")"),
        ("field", "y:"),
        ("range", "["),
        ("number", "1"),
        ("range", "TO"),
        ("word", "c"),
        ("range", "}"),
        ("regex", "/re/i"),
    ];
    assert_eq!(tokens, expected);
}

#[test]
fn hints() {
    let cases = [
        ("usrname:alice", Some("did you mean username?")),
        ("ledger:audit", Some("did you mean _ledger?")),
        ("index:>7", Some("did you mean _index?")),
        ("event_data.ledger:audit", None),
        ("_ledger:audit", None),
        ("status:500", None),
        ("event_data.usrname:alice", None),
        ("status>=500", Some("put a colon behind the field: status:>=500")),
        ("a=b", Some("a:b")),
        ("username:a=b", None),
    ];
    for (text, expected) in cases {
        let query = Query::parse(text).unwrap();
        let said: Vec<&str> = query.hints().iter().map(|hint| hint.message.as_str()).collect();
        match expected {
            None => assert!(said.is_empty(), "{text}: {said:?}"),
            Some(words) => assert!(said.len() == 1 && said[0].contains(words), "{text}: {said:?}"),
        }
    }
}

#[test]
fn and_keeps_both() {
    let query = |text: &str| Query::parse(text).unwrap();
    assert_eq!(query("a OR b").and(&query("c OR d")).to_string(), "(a OR b) (c OR d)");
    assert_eq!(query("a").and(&Query::all()), query("a"));
    assert_eq!(Query::all().and(&query("a")), query("a"));
}

/// Texts made of the language's own pieces: they parse far more often than random characters do.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("(".to_owned()),
        Just(")".to_owned()),
        Just(" ".to_owned()),
        Just(" AND ".to_owned()),
        Just(" OR ".to_owned()),
        Just("NOT ".to_owned()),
        Just("-".to_owned()),
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just("/".to_owned()),
        Just("*".to_owned()),
        Just("?".to_owned()),
        Just("[a TO b]".to_owned()),
        Just("{1 TO *]".to_owned()),
        Just(">=".to_owned()),
        Just("<7".to_owned()),
        Just("\"x y\"".to_owned()),
        Just("/a+/i".to_owned()),
        Just("10.0.0.0/8".to_owned()),
        Just("2026-11-21".to_owned()),
        Just("-1.5e3".to_owned()),
        prop::sample::select(vec![
            "username:",
            "x:",
            "a.b:",
            "event_time:",
            "severity:",
            "read_only:",
            "_index:",
            "_ledger:",
            "message:",
            "event_id:",
            "source_ip_address:",
            "event_data.q\\ r:",
        ])
        .prop_map(str::to_owned),
        "[a-cÄß0-9_.:@=<>&|!+~^-]{1,4}",
        "\\PC{1,3}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn writing_what_was_read_keeps_its_meaning(text in text()) {
        match Query::parse(&text) {
            Ok(query) => {
                let written = query.to_string();
                let again = Query::parse(&written);
                prop_assert_eq!(again.as_ref(), Ok(&query), "{} became {}", text, written);
                for pair in query.tokens().windows(2) {
                    prop_assert!(pair[0].end <= pair[1].start);
                }
            }
            Err(error) => {
                prop_assert!(text.get(error.position..error.position + error.length).is_some(), "{:?}", error);
            }
        }
    }

    #[test]
    fn reading_never_panics(text in any::<String>()) {
        if let Err(error) = Query::parse(&text) {
            prop_assert!(text.get(error.position..error.position + error.length).is_some(), "{:?}", error);
        }
    }
}
