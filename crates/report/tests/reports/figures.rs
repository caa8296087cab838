//! Figures from outside are shown as their events say, and sums are exact.

use attestry_report::{Content, Definition, Figure, Format, Taken, render, replay};
use attestry_store::Stop;
use serde_json::json;

use crate::month;
use crate::world::{World, wish_of};

const YAML: &str = "
name: btc
title: Bitcoin
query: 'event_name:row.*'
sections:
  - title: Wallet
    figures:
      - {name: balance, json_rpc: {url: 'http://127.0.0.1:8332/', method: getbalance, login: node}}
      - {name: wallets, json_rpc: {url: 'http://127.0.0.1:8332/', method: listwallets}}
      - {name: customers, sql: {watch: bank, query: 'SELECT currency, sum(balance) FROM accounts GROUP BY 1'}}
      - {name: missing, http: {url: 'https://example.org/a?token=secret', pointer: /a}}
  - title: In words
    text: |
      The node says {balance} BTC at {window.to}; {unknown} stays.
  - title: Booked
    aggregate: {sums: {query: 'event_name:row.insert', by: [event_data.table], of: [event_data.amount]}}
";

#[test]
fn figures_are_what_the_ledger_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    month::record(&mut world);
    let definition = Definition::parse(YAML).unwrap();
    let wish = wish_of(definition.clone(), &[]);
    let figures: Vec<Figure> = definition.sections[0].figures.clone();
    let many: Vec<Vec<Option<String>>> = (0..1_500).map(|n| vec![Some(format!("C{n}")), None]).collect();
    let answers = [
        Taken::Value("21.00000001".to_owned()),
        Taken::Failed("connection refused".to_owned()),
        Figure::rows(vec!["currency".to_owned(), "sum".to_owned()], many),
    ];
    for (figure, taken) in figures.iter().zip(&answers) {
        let event = figure.event("btc", &wish.run, "dora", taken);
        assert!(!format!("{event:?}").contains("secret"));
        world.own(event);
    }
    // Of another run, and a second one of this: neither counts.
    world.own(figures[0].event("btc", "another run", "dora", &Taken::Value("1".to_owned())));
    world.own(figures[0].event("btc", &wish.run, "dora", &Taken::Value("2".to_owned())));
    let document = world.make(&wish).unwrap();
    let Content::Facts(facts) = &document.body.parts[0].content[0] else { panic!("no facts") };
    let values: Vec<&str> = facts.iter().map(|fact| fact.value.as_str()).collect();
    assert_eq!(
        values,
        [
            "21.00000001",
            "(could not be had: connection refused)",
            "the first 1000 rows; there are more",
            "(was not taken for this report)"
        ]
    );
    assert_eq!(facts.iter().filter(|fact| fact.cite.is_some()).count(), 3);
    let Content::Table(table) = &document.body.parts[0].content[1] else { panic!("no table") };
    assert_eq!(
        (table.rows.len(), table.rows[7].cells.clone()),
        (1_000, vec!["C7".to_owned(), "(NULL)".to_owned()])
    );
    let Content::Text(text) = &document.body.parts[1].content[0] else { panic!("no text") };
    assert_eq!(text, "The node says 21.00000001 BTC at 2026-11-01T00:00:00Z; {unknown} stays.");
    let page = render(&document, Format::Html).unwrap();
    let replayed = replay(&world.logs, &page, &Stop::never(), &|_| {}).unwrap();
    assert!(replayed.same, "{}", replayed.difference);
}

#[test]
fn answers_become_figures() {
    let rows = |columns: &[&str], rows: &[&[Option<&str>]]| Taken::Rows {
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        rows: rows.iter().map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect()).collect(),
        more: false,
    };
    let value = |text: &str| Taken::Value(text.to_owned());
    for (answer, pointer, expected) in [
        (json!(1.5), "", value("1.5")),
        (json!({"a": {"b": "x"}}), "/a/b", value("x")),
        (json!({"a": null}), "/a", value("null")),
        (json!({"a": [1, 2]}), "/a", value("[1,2]")),
        (
            json!([{"b": 1, "a": "x"}, {"a": null, "c": true}]),
            "",
            rows(&["a", "b", "c"], &[&[Some("x"), Some("1"), None], &[None, None, Some("true")]]),
        ),
        (json!({}), "/a", Taken::Failed("the answer has nothing at /a".to_owned())),
    ] {
        assert_eq!(Figure::of_json(&answer, pointer), expected, "{answer}");
    }
}
