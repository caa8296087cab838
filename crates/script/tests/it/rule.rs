//! Rules over rows of a table.

use std::borrow::Cow;
use std::time::Duration;

use attestry_script::{CompileError, Given, Options, Rule, RuleColumn, RunError, Seen};
use proptest::prelude::*;

const COLUMNS: &[(&str, Seen, bool)] = &[
    ("id", Seen::Unsigned, false),
    ("name", Seen::Text, false),
    ("score", Seen::Int, true),
    ("balance", Seen::Decimal, false),
    ("rate", Seen::Float, false),
    ("open", Seen::Bool, false),
    ("updated_at", Seen::Time, false),
    ("closed_at", Seen::Time, true),
    ("password_hash", Seen::Text, false),
    ("odd name", Seen::Int, false),
];

fn columns() -> Vec<RuleColumn> {
    let each = COLUMNS.iter().map(|(name, seen, nullable)| RuleColumn {
        name: (*name).to_owned(),
        seen: *seen,
        nullable: *nullable,
        masked: *name == "password_hash",
    });
    each.collect()
}

fn update(source: &str) -> Result<Rule, CompileError> {
    Rule::compile(source, &["original", "updated"], &columns(), Options::TIME)
}

#[test]
fn what_is_no_rule_is_refused_where_it_is_wrong() {
    for (source, place, says) in [
        ("1", (1, 1), "a rule must give a string"),
        ("true", (1, 1), "a rule must give a string"),
        ("if .row.open { 1 }", (1, 4), "this rule sees .original and .updated"),
        ("if .updated.open { 1 }", (1, 1), "a rule must give a string"),
        ("if .updated.opem { \"x\" }", (1, 4), "the table has no column opem: did you mean open?"),
        (
            "x = 1\nif .updated.nonsense == 1 { \"x\" }",
            (2, 4),
            "the table has no column nonsense: it has id, name",
        ),
        ("if .updated.password_hash == \"x\" { \"y\" }", (1, 4), "the column password_hash is masked"),
        ("if .updated.name.x == 1 { \"y\" }", (1, 4), "the column name has no parts: it is a string"),
        ("%received_at", (1, 1), "a rule has no metadata"),
        ("abort", (1, 1), "a rule cannot abort"),
        (".updated.name = \"x\"\nnull", (1, 1), "read-only"),
        ("if now() > .updated.updated_at { \"x\" }", (1, 4), "now is not allowed here"),
        ("uuid_v4()", (1, 1), "uuid_v4 is not allowed here"),
        ("random_int(1, 2)\nnull", (1, 1), "random_int is not allowed here"),
        ("if .updated.score > 5 { \"x\" }", (1, 4), "score can be NULL: write (int(.updated.score) ?? 0)"),
        (
            "if true {\n  if .original.closed_at > .updated.updated_at { \"x\" }\n}",
            (2, 6),
            "closed_at can be NULL: write (timestamp(.original.closed_at) ??",
        ),
        (
            "if .original.balance > .updated.balance { \"x\" }",
            (1, 4),
            "> does not know exact numbers: use decimal_gt!(…)",
        ),
        (
            "x = string!(.original.balance)\nif x <= \"10\" { \"x\" }",
            (2, 4),
            "<= does not know exact numbers",
        ),
        ("if .updated.balance == 0 { \"x\" }", (1, 4), "== does not know exact numbers: use decimal_eq!(…)"),
        (
            "x = .original.balance + .updated.balance\nx",
            (1, 5),
            "+ does not know exact numbers: use decimal_add!(…)",
        ),
        (".original.balance * 2", (1, 1), "use decimal_multiply!(…)"),
        ("if .updated.id > 7 ?? false { \"x\" }", (1, 4), "> does not know exact numbers"),
        ("decimal_gt(.original.balance, .updated.balance)\nnull", (1, 1), "can result in runtime error"),
    ] {
        let Err(error) = update(source) else { panic!("{source}: compiles") };
        assert!(error.to_string().contains(says), "{source}: {error}");
        assert_eq!(error.place(), place, "{source}\n{}", error.rendered());
    }
}

fn cell(row: usize, column: usize) -> Given<'static> {
    match (row, COLUMNS[column].0) {
        (0, "id") => Given::Text(Cow::Borrowed(b"18446744073709551615")),
        (1, "id") => Given::Int(7),
        (0, "name") => Given::Text(Cow::Borrowed(b"Alice")),
        (1, "name") => Given::Text(Cow::Borrowed(b"al\xffice")),
        (_, "score" | "closed_at") => Given::Null,
        (0, "balance") => Given::Text(Cow::Borrowed(b"10.00")),
        (1, "balance") => Given::Text(Cow::Borrowed(b"9.00")),
        (0, "rate") => Given::Float(0.5),
        (1, "rate") => Given::Float(f64::NAN),
        (row, "open") => Given::Bool(row == 0),
        (row, "updated_at") => Given::Time(253_402_300_799 - i64::try_from(row).unwrap(), 0),
        (_, "odd name") => Given::Int(1),
        (row, other) => panic!("row {row} was asked for {other}"),
    }
}

#[test]
fn rules_say_what_is_wrong_or_nothing() {
    for (source, expected) in [
        ("null", None),
        ("\"always\"", Some("always")),
        (
            "if .original.updated_at > .updated.updated_at { \"updated_at went backwards\" }",
            Some("updated_at went backwards"),
        ),
        ("if .original.updated_at < .updated.updated_at { \"x\" }", None),
        ("if decimal_gt!(.original.balance, .updated.balance) { \"less\" }", Some("less")),
        ("if decimal_lt!(.original.id, .updated.id) { \"x\" }", None),
        ("decimal_subtract!(.original.balance, .updated.balance)", Some("1.00")),
        ("\"it was \" + .original.balance", Some("it was 10.00")),
        ("if .original.balance != .updated.balance { \"differs\" }", Some("differs")),
        ("if .updated.id == 7 { \"seven\" }", Some("seven")),
        ("if (int(.updated.score) ?? 0) > 5 { \"x\" }", None),
        ("if .updated.score != null && int!(.updated.score) > 5 { \"x\" }", None),
        ("if !match(.updated.name, r'^[A-Z]') { \"bad name\" }", Some("bad name")),
        ("if .updated.\"odd name\" == 1 { \"odd\" }", Some("odd")),
        ("if .original.open && !.updated.open { \"closed\" }", Some("closed")),
        ("if .original.rate > 0.4 { \"high\" } else { null }", Some("high")),
        (
            "join!(keys(.original), \",\")",
            Some("balance,closed_at,id,name,odd name,open,rate,score,updated_at"),
        ),
    ] {
        let rule = update(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(rule.run(cell).unwrap().as_deref(), expected, "{source}");
    }
}

#[test]
fn a_rule_that_fails_says_where() {
    let check = |source: &str, expected: &str| {
        let error = update(source).unwrap().run(cell).unwrap_err().to_string();
        assert!(error.contains(expected), "{source}: {error}");
    };
    check("if int!(.updated.score) > 5 { \"x\" }", "line 1, column 4");
    check("\n  decimal_add!(.original.name, 1)", "line 2, column 3");
    // What the type does not have: never a wrong answer.
    check("if .updated.rate > 0.1 { \"x\" }", "line 1, column 1");
    let slow = "x = 0\nfor_each(array!(parse_json!(s'[' + join!(map_values(split(\"a\" * 3000, \"\")) -> |v| { \"1\" }, \",\") + \"]\"))) -> |_i, _v| { for_each(split(\"a\" * 3000, \"\")) -> |_i, _v| { x = x + 1 } }\nnull";
    let rule = Rule::compile(slow, &["row"], &columns(), Duration::from_millis(2)).unwrap();
    assert_eq!(rule.run(cell), Err(RunError::TooSlow(Duration::from_millis(2))));
}

fn given() -> impl Strategy<Value = Given<'static>> {
    prop_oneof![
        Just(Given::Null),
        any::<i64>().prop_map(Given::Int),
        any::<f64>().prop_map(Given::Float),
        any::<bool>().prop_map(Given::Bool),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Given::Text(Cow::Owned(bytes))),
        "-?[0-9]{0,30}[.]?[0-9]{0,10}".prop_map(|text| Given::Text(Cow::Owned(text.into_bytes()))),
        (any::<i64>(), any::<u32>()).prop_map(|(seconds, nanos)| Given::Time(seconds, nanos)),
    ]
}

proptest! {
    #[test]
    fn no_row_panics_a_rule(row in prop::collection::vec(given(), COLUMNS.len())) {
        let rules = [
            "if .original.updated_at > .updated.updated_at { \"x\" }",
            "decimal_multiply!(.original.balance, .updated.balance)",
            "if decimal_compare!(.original.id, .updated.balance) == 1 { \"x\" }",
            "if .original.rate * 2.0 > .updated.rate { \"x\" }",
            "encode_json(.)",
            "to_string!(.updated.closed_at)",
        ];
        for source in rules {
            let outcome = update(source).unwrap().run(|_, column| row[column].clone());
            prop_assert_ne!(outcome, Err(RunError::Panicked), "{}", source);
        }
    }
}
