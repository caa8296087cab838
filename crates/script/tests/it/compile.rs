//! What the compiler says, and where.

use attestry_event::Nanos;
use attestry_script::{CompileError, Condition, Options, Profile, Transform};

fn condition(source: &str) -> Result<Condition, CompileError> {
    Condition::compile(source, &Options::default())
}

fn transform(source: &str) -> Result<Transform, CompileError> {
    Transform::compile(source, &Options::default())
}

fn check(source: &str, error: Option<CompileError>, place: (usize, usize), says: &str) {
    let Some(error) = error else { panic!("{source}: compiles") };
    let rendered = error.rendered();
    assert_eq!(error.place(), place, "{source}\n{rendered}");
    assert!(error.to_string().contains(says), "{source}: {error}");
    assert!(!error.findings().is_empty());
    for finding in error.findings() {
        // The line of the text is shown.
        let line = source.lines().nth(finding.line - 1).unwrap_or_default().trim();
        assert!(finding.rendered.contains(line), "{source}: {}", finding.rendered);
        assert!(!finding.rendered.contains("vrl.dev"), "{}", finding.rendered);
    }
}

#[test]
fn conditions_that_are_none() {
    for (source, place, says) in [
        ("", (1, 1), "a condition must be true or false"),
        ("1", (1, 1), "a condition must be true or false"),
        ("x = true\n  .username\n", (2, 3), "a condition must be true or false"),
        ("if .read_only { true }", (1, 1), "a condition must be true or false"),
        (".event_name = \"x\"\ntrue", (1, 1), "mutation of read-only value"),
        ("del(.event_data.x)\ntrue", (1, 1), "read-only"),
        ("%received_at = .event_time\ntrue", (1, 1), "read-only"),
        ("if .read_only {\n  abort\n}\ntrue", (2, 3), "a condition cannot abort"),
        (".event_name ==", (1, 15), "syntax error"),
        (".event_name == \"x", (1, 16), "invalid string literal"),
        ("é = 1", (1, 1), "syntax error"),
        (".severity > 3", (1, 1), "unhandled"),
        (
            "starts_with(.message, \"x\")",
            (1, 13),
            "invalid argument type: this expression resolves to one of string or null",
        ),
        ("nope(.message)", (1, 1), "undefined function"),
        (
            "true && now() > .event_time",
            (1, 9),
            "now is not allowed here: the same event must always give the same",
        ),
        ("log(\"x\")\ntrue", (1, 1), "log is not allowed here"),
        (".usrname == \"x\"", (1, 1), "an event has no field usrname"),
        ("true &&\n  .nonsense_thing == 1", (2, 3), "an event has no field nonsense_thing"),
        (".received_at > t'2026-01-01T00:00:00Z'", (1, 1), "when the event came in is %received_at"),
        ("match(.username, to_regex!(.event_data.x))", (1, 18), "to_regex is not allowed here"),
        ("match(.username, r'(')", (1, 18), "invalid regular expression"),
    ] {
        check(source, condition(source).err(), place, says);
    }
}

#[test]
fn transforms_that_are_none() {
    for (source, place, says) in [
        (".severity = \"high\"", (1, 1), "the program leaves severity as string"),
        (".event_data = 1", (1, 1), "the program leaves event_data as integer"),
        (". = [1]", (1, 1), "the program leaves no event"),
        (".foo = 1", (1, 1), "an event has no field foo"),
        (". = { \"event_name\": \"a\", \"username\": \"b\", \"foo\": 1 }", (1, 44), "the program leaves foo"),
        ("x = 1\n.agent_seq = 7", (2, 1), "agent_seq cannot be changed"),
        (".message = parse_json(.message)", (1, 12), "unhandled fallible assignment"),
        (".event_data.x = decode_gzip!(.message)", (1, 17), "has no bound"),
        (".event_data.x = uuid_v7()", (1, 17), "uuid_v7 is not allowed"),
        (". = unnest!(.event_data.x)", (1, 5), "one event stays one event"),
        (
            ".event_data.x = parse_groks!(.message, patterns: [\"%{x}\"], alias_sources: [\"/etc/passwd\"])",
            (1, 17),
            "parse_groks is not allowed",
        ),
    ] {
        check(source, transform(source).err(), place, says);
    }
}

#[test]
fn all_that_is_wrong_is_told_in_order() {
    let error = transform(".severity = nope()\n.host = nope_too()\n").unwrap_err();
    let places: Vec<_> = error.findings().iter().map(|finding| (finding.line, finding.column)).collect();
    assert_eq!(places, [(1, 13), (2, 9)]);
    let messages = error.findings().iter().map(|finding| &finding.message);
    assert_eq!(messages.filter(|message| message.contains("undefined function")).count(), 2);
}

#[test]
fn what_is_unused_is_warned_of() {
    let transform = transform(".severity = 3\n\"unused\"\ntrue").unwrap();
    let [warning] = transform.warnings() else { panic!("{:?}", transform.warnings()) };
    assert_eq!((warning.line, warning.column), (2, 1));
    assert!(warning.message.contains("unused literal"), "{}", warning.message);
    assert!(warning.rendered.contains("\"unused\""), "{}", warning.rendered);
    assert!(condition(".read_only").unwrap().warnings().is_empty());
}

#[test]
fn rules_may_less() {
    let source = "_, error = parse_grok(.message, \"%{GREEDYDATA:x}\")\nerror == null";
    assert!(condition(source).is_ok());
    let rules = Options { profile: Profile::Rules, ..Options::default() };
    let error = Condition::compile(source, &rules).unwrap_err();
    assert!(error.to_string().contains("parse_grok is not allowed here"), "{error}");
    assert!(Condition::compile("match(.username, r'^a')", &rules).is_ok());
}

#[test]
fn conditions_hold_or_not() {
    let event = r#"{"event_id":"1","event_time":"2026-11-21T03:00:00Z","event_name":"login.failure","username":"alice","via":["r1","r2"],"source_ip_address":"10.0.0.7","severity":4,"event_data":{"status":503,"big":18446744073709551615,"deep":{"list":[{"k":"v"}]},"\u006eame":"é"}}"#.as_bytes();
    for (source, expected) in [
        (".event_name == \"login.failure\"", true),
        ("starts_with(.event_name, \"logout.\")", false),
        (".event_time > t'2026-11-21T02:59:59Z'", true),
        (".event_time <= %received_at", true),
        ("%received_at < t'2026-11-21T02:00:00Z'", false),
        (".severity != null && int!(.severity) <= 4", true),
        ("exists(.resource)", false),
        (".resource == null", true),
        (".read_only", false),
        ("includes(array(.via) ?? [], \"r2\")", true),
        ("ip_cidr_contains(\"10.0.0.0/8\", .source_ip_address) ?? false", true),
        (".event_data.status == 503", true),
        (".event_data.big == \"18446744073709551615\"", true),
        (".event_data.deep.list[0].k == \"v\"", true),
        (".event_data.deep.list[-1].k == \"v\"", true),
        (".event_data.name == \"é\"", true),
        ("length(keys(.event_data)) == 4", true),
        ("x = .\nx.username == \"alice\"", true),
        ("if .username == \"alice\" { return true }\nfalse", true),
        ("match(.username, r'^A')", false),
        ("match(.username, r'(?i)^A')", true),
    ] {
        let condition = condition(source).unwrap_or_else(|error| panic!("{source}\n{}", error.rendered()));
        assert_eq!(condition.holds(event, Nanos(1_795_230_000_000_000_000)), Ok(expected), "{source}");
    }
}
