use std::sync::Arc;

use attestry_event::Nanos;
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::testing::clock;

/// Keeps what lands, as JSON.
#[derive(Default)]
struct Kept(Mutex<Vec<Value>>);

impl Landing for Kept {
    fn land(&self, ledger: &str, batch: Batch) -> Result<usize, Closed> {
        assert_eq!(ledger, "logs");
        for row in 0..batch.len() {
            let mut json = Vec::new();
            attestry_event::write_event(batch.entry(row), batch.values_of(row), &mut json).unwrap();
            self.0.lock().push(serde_json::from_slice(&json).unwrap());
        }
        Ok(batch.len())
    }
}

fn options() -> IntakeOptions {
    IntakeOptions { ledger: "logs".to_owned(), event_source: "office".to_owned(), ..IntakeOptions::default() }
}

/// Puts events in, and returns what was said of them and what landed.
fn put(
    options: IntakeOptions,
    redactions: Vec<Hook>,
    hooks: Vec<Hook>,
    events: Vec<Incoming>,
) -> (Taken, Vec<Value>) {
    let kept = Arc::new(Kept::default());
    let landing: Arc<dyn Landing> = Arc::clone(&kept) as _;
    let intake = Intake::new(landing, options, redactions, hooks, clock());
    let taken = intake.put(events).unwrap();
    let landed = kept.0.lock().clone();
    assert_eq!(taken.kept, landed.len());
    (taken, landed)
}

fn text(json: &str) -> Incoming {
    Incoming::Json(json.as_bytes().to_vec())
}

const GOOD: &str = r#"{"event_name":"a.b","username":"alice","event_data":{"password":"secret"}}"#;

#[test]
fn events_and_json_come_in_by_the_same_rules() {
    let event = Event::new("a.b", "alice").data("password", "secret").time(Nanos(1_700_000_000_000_000_000));
    for options in [
        options(),
        IntakeOptions { host: Some("web1".to_owned()), ..options() },
        IntakeOptions { unauthenticated: true, ..options() },
    ] {
        for hooks in [0, 1] {
            let hooks = (0..hooks).map(|_| Box::new(|_: &[u8]| Verdict::Keep) as Hook).collect();
            let json = String::from_utf8(json::of_event(&event)).unwrap();
            let events = vec![event.clone().into(), text(&json)];
            let (taken, landed) = put(options.clone(), Vec::new(), hooks, events);
            assert_eq!(taken, Taken { kept: 2, filtered: 0, malformed: 0 });
            for landed in &landed {
                assert_eq!(landed["event_name"], "a.b");
                assert_eq!(landed["event_source"], "office");
                assert_eq!(landed["event_time"], "2023-11-14T22:13:20.000000000Z");
                assert_eq!(landed["event_data"]["password"], "secret");
                assert_eq!(landed["host"].as_str(), options.host.as_deref());
                assert_eq!(landed["event_data"]["unauthenticated"] == true, options.unauthenticated);
            }
        }
    }
}

#[test]
fn filters_and_hooks_decide() {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let methods = Methods::new(&names(&["a.all"]), &names(&["a.quiet"])).unwrap();
    let options = IntakeOptions { methods: Some(methods), ..options() };
    let hook: Hook = Box::new(|json| {
        let text = String::from_utf8(json.to_vec()).unwrap();
        match () {
            () if text.contains("drop me") => Verdict::Drop,
            () if text.contains("rename me") => Verdict::Change(text.replace("b.x", "a.x").into_bytes()),
            () if text.contains("fail me") => Verdict::Fail("no such path".to_owned()),
            () if text.contains("panic") => panic!("grok"),
            () => Verdict::Keep,
        }
    });
    let events = [
        ("a.b", "alice"),
        ("a.quiet", "alice"),
        ("b.x", "alice"),
        ("b.x", "rename me"),
        ("a.b", "drop me"),
        ("a.b", "fail me"),
        ("a.b", "panic"),
    ];
    let events = events
        .iter()
        .map(|(name, user)| text(&format!(r#"{{"event_name":"{name}","username":"{user}"}}"#)))
        .collect();
    let (taken, landed) = put(options, Vec::new(), vec![hook], events);
    assert_eq!(taken, Taken { kept: 4, filtered: 3, malformed: 2 });
    let names: Vec<&str> = landed.iter().map(|event| event["event_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.b", "a.x", "gap.malformed", "gap.malformed"]);
    assert_eq!(landed[2]["event_data"]["problems"][0]["found"], "no such path");
    assert_eq!(landed[2]["event_data"]["raw"], r#"{"event_name":"a.b","username":"fail me"}"#);
}

#[test]
fn what_is_no_event_is_kept() {
    let large = format!(r#"{{"event_name":"a.b","username":"{}ü"}}"#, "ü".repeat(10 << 20));
    let cases: [(&[u8], &str, &str); 9] = [
        (b"not json", "event", "not json"),
        (b"", "event", ""),
        (b"{\"event_name\":\"a.b\"}", "username", "{\"event_name\":\"a.b\"}"),
        (b"[1]", "event", "[1]"),
        (b"{\"event_name\":1,\"username\":\"u\"}", "event_name", "{\"event_name\":1,\"username\":\"u\"}"),
        (b"\xff\xfe", "event", "\u{fffd}\u{fffd}"),
        (
            b"{\"event_name\":\"gap.x\",\"username\":\"u\"}",
            "event_name",
            "{\"event_name\":\"gap.x\",\"username\":\"u\"}",
        ),
        (b"{\"a\":1,\"a\":1}", "a", "{\"a\":1,\"a\":1}"),
        (large.as_bytes(), "event", ""),
    ];
    for (raw, field, expected) in cases {
        for unauthenticated in [false, true] {
            let options = IntakeOptions { host: Some("web1".to_owned()), unauthenticated, ..options() };
            let (taken, landed) = put(options, Vec::new(), Vec::new(), vec![Incoming::Json(raw.to_vec())]);
            assert_eq!(taken, Taken { kept: 1, filtered: 0, malformed: 1 });
            let event = &landed[0];
            let data = &event["event_data"];
            assert_eq!(event["event_name"], "gap.malformed");
            assert_eq!(event["host"], "web1");
            assert_eq!(data["unauthenticated"] == true, unauthenticated);
            let fields: Vec<_> =
                data["problems"].as_array().unwrap().iter().map(|told| &told["field"]).collect();
            assert!(fields.contains(&&Value::from(field)), "{fields:?} of {expected}");
            if raw.len() < 100 {
                assert_eq!(data["raw"], expected);
                assert_eq!(data["invalid_utf8"] == true, expected.contains('\u{fffd}'));
                assert!(data.get("cut_bytes").is_none());
            } else {
                assert!(data["raw"].as_str().unwrap().ends_with('ü'));
                let kept = data["raw"].as_str().unwrap().len();
                assert!((RAW - 1..=RAW).contains(&kept));
                assert_eq!(
                    data["bytes"].as_u64().unwrap() - data["cut_bytes"].as_u64().unwrap(),
                    kept as u64
                );
                assert!(data.get("invalid_utf8").is_none());
            }
        }
    }
}

const RAW: usize = 1 << 20;

#[test]
fn redaction_comes_before_everything_and_nothing_gets_past_it() {
    fn redact(json: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(json);
        if text.contains("break") {
            return Verdict::Fail("cannot".to_owned());
        }
        Verdict::Change(text.replace("secret", "[redacted]").into_bytes())
    }
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let sees = Arc::clone(&seen);
    let hook: Hook = Box::new(move |json| {
        sees.lock().push(json.to_vec());
        Verdict::Keep
    });
    let events = vec![
        text(GOOD),
        Event::new("a.b", "bob").data("password", "secret").into(),
        text("secret, but no json"),
        text(r#"{"event_name":"a.b","username":"secret","unknown":1}"#),
        text(r#"{"event_name":"a.b","username":"secret break"}"#),
        text("secret break, and no json"),
    ];
    let (taken, landed) = put(options(), vec![Box::new(redact)], vec![hook], events);
    assert_eq!(taken, Taken { kept: 6, filtered: 0, malformed: 4 });
    let all = serde_json::to_string(&landed).unwrap();
    assert!(!all.contains("secret"), "{all}");
    assert_eq!(landed[2]["event_data"]["raw"], "[redacted], but no json");
    assert!(landed[4]["event_data"].get("raw").is_none());
    assert!(landed[5]["event_data"].get("raw").is_none());
    assert!(seen.lock().iter().all(|json| !String::from_utf8_lossy(json).contains("secret")));
}

#[test]
fn much_comes_in_pieces_and_the_order_stays() {
    let events = (0..300)
        .map(|n| {
            let filler = "x".repeat(100_000);
            text(&format!(r#"{{"event_name":"a.b","username":"u{n}","message":"{filler}"}}"#))
        })
        .collect();
    let (taken, landed) = put(options(), Vec::new(), Vec::new(), events);
    assert_eq!(taken.kept, 300);
    for (n, event) in landed.iter().enumerate() {
        assert_eq!(event["username"], format!("u{n}"));
    }
}

#[test]
fn nothing_counts_as_taken_when_it_is_closed() {
    struct Shut;
    impl Landing for Shut {
        fn land(&self, _: &str, _: Batch) -> Result<usize, Closed> {
            Err(Closed)
        }
    }
    let intake = Intake::new(Arc::new(Shut), options(), Vec::new(), Vec::new(), clock());
    assert_eq!(intake.put(vec![text(GOOD)]), Err(Closed));
    assert_eq!(intake.put(Vec::new()), Ok(Taken::default()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_comes_is_kept(
        raws in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                r#"\{"event_name":"[a-c.]{0,4}","(username|host|event_data|x)":("[a-z\\"]{0,3}"|1e[0-9]{1,4}|null|\{"unauthenticated":1\})\}"#
                    .prop_map(String::into_bytes),
            ],
            0..6,
        ),
        lenient: bool,
        unauthenticated: bool,
        agent: bool,
    ) {
        let options =
            IntakeOptions { lenient, unauthenticated, agent, host: Some("h".to_owned()), ..options() };
        let count = raws.len();
        let (taken, landed) =
            put(options, Vec::new(), Vec::new(), raws.into_iter().map(Incoming::Json).collect());
        prop_assert_eq!(taken.kept, count);
        prop_assert_eq!(landed.len(), count);
        for event in landed {
            prop_assert!(!unauthenticated || event["event_data"]["unauthenticated"] == true);
            prop_assert!(event["host"].is_string());
        }
    }
}

#[test]
fn what_a_receiver_lost_passes_every_filter() {
    let nothing = || Methods::new(&[], &["all".to_owned()]).unwrap();
    let drop: fn() -> Vec<Hook> = || vec![Box::new(|_: &[u8]| Verdict::Drop)];
    let lost = Event::new("gap.datagram", "-").data("count", 7);
    let options = IntakeOptions { methods: Some(nothing()), ..options() };
    let (taken, landed) = put(options, vec![], drop(), vec![lost.into(), Event::new("a.b", "c").into()]);
    assert_eq!(taken, Taken { kept: 1, filtered: 1, malformed: 0 });
    assert_eq!(landed[0]["event_name"], "gap.datagram");
    // A sender that only says so is held to the rules.
    let (taken, _) =
        put(self::options(), vec![], vec![], vec![text(r#"{"event_name":"gap.datagram","username":"x"}"#)]);
    assert_eq!(taken.malformed, 1);
}
