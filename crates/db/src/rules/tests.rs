//! Rules on rows, and mistakes in them.

use proptest::prelude::*;

use super::*;
use crate::config::WatchConfig;
use crate::table::{Column, Kind, Name};

const COLUMNS: &[(&str, Kind, &str, bool)] = &[
    ("id", Kind::Unsigned, "bigint(20) unsigned", false),
    ("name", Kind::Text, "varchar(40)", false),
    ("balance", Kind::Decimal, "decimal(20,2)", false),
    ("sign_in_count", Kind::Int, "int(11)", false),
    ("confirmed_at", Kind::DateTime, "datetime", true),
    ("updated_at", Kind::DateTime, "datetime(6)", false),
    ("password_hash", Kind::Text, "varchar(80)", true),
];

fn table() -> Table {
    let columns = COLUMNS.iter().map(|(name, kind, sql_type, nullable)| Column {
        name: (*name).to_owned(),
        kind: kind.clone(),
        sql_type: (*sql_type).to_owned(),
        nullable: *nullable,
        generated: false,
        binary_order: false,
        masked: *name == "password_hash",
    });
    let name = Name { schema: "bank".to_owned(), table: "accounts".to_owned() };
    Table { name, columns: columns.collect(), key: vec![0] }
}

fn compile(tables: &str) -> Result<TableRules, Vec<RuleError>> {
    let config: WatchConfig = serde_saphyr::from_str(&format!("url: x\ntables:\n{tables}")).unwrap();
    TableRules::compile(&config, &table())
}

fn row() -> Vec<Cell> {
    let cells = ["7", "Alice", "10.00", "3", "", "2026-11-21 12:00:00.000000"];
    let mut row: Vec<Cell> = cells.iter().map(|text| Cell::of(*text)).collect();
    row[4] = Cell::Null;
    row.push(Cell::Masked([1; 32]));
    row
}

fn with(changes: &[(usize, Cell)]) -> Vec<Cell> {
    let mut row = row();
    for (place, cell) in changes {
        row[*place] = cell.clone();
    }
    row
}

fn written(breaches: &[Breach]) -> Vec<String> {
    let each = breaches.iter().map(|breach| {
        let field = breach.field.as_deref().unwrap_or("-");
        format!("{field} {}: {}", breach.rule, breach.description)
    });
    each.collect()
}

#[test]
fn changes_breach_rules_or_not() {
    let check = |tables: &str, changes: &[(usize, Cell)], expected: &[&str]| {
        let rules = compile(tables).unwrap_or_else(|errors| panic!("{tables}: {errors:?}"));
        assert_eq!(written(&rules.updated(&row(), &with(changes))), expected, "{tables}");
    };
    let name = (1, Cell::of("Bob"));
    let different = "name different: Field name is different (Alice -- Bob)";
    check("  {}", &[], &[]);
    check("  {}", std::slice::from_ref(&name), &[different]);
    check("  {}", &[(1, Cell::of("alice"))], &["name different: Field name is different (Alice -- alice)"]);
    check("  {}", &[(1, Cell::of("Alice "))], &["name different: Field name is different (Alice -- Alice )"]);
    check(
        "  {}",
        &[(4, Cell::of("2026-01-01 00:00:00")), (6, Cell::Masked([2; 32]))],
        &[
            "confirmed_at different: Field confirmed_at is different (NULL -- 2026-01-01 00:00:00)",
            "password_hash different: Field password_hash is different ((masked) -- (masked))",
        ],
    );
    // A table's rule does not switch the columns' default off; `allow` does.
    check("  accounts: {on_update: {never: 'null'}}", std::slice::from_ref(&name), &[different]);
    check(
        "  accounts: {on_update: {never: '\"no\"'}}",
        std::slice::from_ref(&name),
        &["- never: no", different],
    );
    check("  accounts: {allow: all_updates}", std::slice::from_ref(&name), &[]);
    check("  '*': {allow: all_updates}", std::slice::from_ref(&name), &[]);
    check(
        "  accounts: {allow: update_from_null}\n  '*': {allow: all_updates}",
        std::slice::from_ref(&name),
        &[different],
    );
    check("  accounts: {fields: {name: {allow: all_updates}}}", std::slice::from_ref(&name), &[]);
    check("  accounts: {fields: {'n*': {allow: all_updates}}}", std::slice::from_ref(&name), &[]);
    check("  'other*': {allow: all_updates}", std::slice::from_ref(&name), &[different]);
    check(
        "  accounts: {allow: all_updates, fields: {name: {allow: update_from_null}}}",
        std::slice::from_ref(&name),
        &[different],
    );
    // From NULL to a value, and no other way.
    let from_null = "  accounts: {fields: {confirmed_at: {allow: update_from_null}}}";
    check(from_null, &[(4, Cell::of("2026-01-01 00:00:00"))], &[]);
    let rules = compile(from_null).unwrap();
    let confirmed = with(&[(4, Cell::of("2026-01-01 00:00:00"))]);
    assert_eq!(
        written(&rules.updated(&confirmed, &row())),
        ["confirmed_at different: Field confirmed_at is different (2026-01-01 00:00:00 -- NULL)"]
    );
    // A column's rules decide alone, and run only when it changed.
    let decides = "  accounts: {fields: {name: {on_update: {same_start: 'if slice!(.original.name, 0, 1) != slice!(.updated.name, 0, 1) { \"other start\" }'}}}}";
    check(decides, &[(1, Cell::of("Alf"))], &[]);
    check(decides, std::slice::from_ref(&name), &["name same_start: other start"]);
    check(
        decides,
        &[(3, Cell::of("4"))],
        &["sign_in_count different: Field sign_in_count is different (3 -- 4)"],
    );
    // The rule of the table's own name replaces a pattern's; others of patterns hold beside it.
    check(
        "  accounts: {allow: all_updates, on_update: {one: '\"own\"'}}\n  'acc*': {on_update: {one: '\"pattern\"', two: '\"two\"'}}",
        &[],
        &["- one: own", "- two: two"],
    );
    let backwards = "  accounts: {allow: all_updates, on_update: {went_backwards: 'if .original.updated_at > .updated.updated_at { \"updated_at went backwards\" }'}}";
    check(
        backwards,
        &[(5, Cell::of("2026-11-21 11:59:59.999999"))],
        &["- went_backwards: updated_at went backwards"],
    );
    check(backwards, &[(5, Cell::of("2026-11-21 12:00:00.000001"))], &[]);
    // What is no time fails the rule, with none of the data in what is said.
    check(
        backwards,
        &[(5, Cell::of("0000-00-00 00:00:00"))],
        &["- went_backwards:failed: The rule went_backwards failed"],
    );
    check(
        "  accounts: {allow: all_updates, on_update: {less: 'if decimal_lt!(.updated.balance, .original.balance) { \"balance fell by \" + decimal_subtract!(.original.balance, .updated.balance) }'}}",
        &[(2, Cell::of("9.99"))],
        &["- less: balance fell by 0.01"],
    );
    check(
        "  accounts: {allow: all_updates, on_update: {number: 'to_string(int!(parse_json!(.updated.name)))'}}",
        &[(1, Cell::of("secret"))],
        &["- number:failed: The rule number failed"],
    );
    check(
        "  accounts: {allow: all_updates, on_update: {odd: '\"new\\nline \" + .updated.name'}}",
        &[(1, Cell::of("\u{202e}x"))],
        &["- odd: new\\nline \\u{202e}x"],
    );
}

#[test]
fn new_and_deleted_rows_breach_rules_or_not() {
    let check = |tables: &str, inserted: &[&str], deleted: &[&str]| {
        let rules = compile(tables).unwrap_or_else(|errors| panic!("{tables}: {errors:?}"));
        assert_eq!(written(&rules.inserted(&row())), inserted, "{tables}");
        assert_eq!(written(&rules.deleted(&row())), deleted, "{tables}");
    };
    let gone = "- deleted: Row was deleted";
    check("  {}", &[], &[gone]);
    check("  accounts: {on_delete: {fine: 'null'}}", &[], &[]);
    check("  'a*': {on_delete: {fine: 'null'}}", &[], &[]);
    check("  accounts: {on_delete: {never: '.row.name + \" is gone\"'}}", &[], &["- never: Alice is gone"]);
    check("  accounts: {allow: all_updates}", &[], &[gone]);
    check(
        "  accounts: {fields: {name: {on_delete: {note: '\"x\"'}, on_insert: {format: 'if !match(.row.name, r''^[B-Z]'') { \"bad name\" }'}}}}",
        &["name format: bad name"],
        &[gone, "name note: x"],
    );
    check("  accounts: {on_insert: {a: '\"a\"', b: 'null', c: '\"c\"'}}", &["- a: a", "- c: c"], &[gone]);
}

#[test]
fn mistakes_name_table_rule_line_and_column() {
    for (tables, expected) in [
        (
            "  accounts: {on_update: {bad: 'if .original.updated_at > .updated.updatd_at { \"x\" }'}}",
            "table bank.accounts, rule bad, line 1, column 27: the table has no column updatd_at: did you mean updated_at?",
        ),
        (
            "  'acc*':\n    fields:\n      name:\n        on_insert:\n          bad: |\n            x = 1\n            .row.nme\n",
            "table bank.accounts, field name, rule bad, line 2, column 1: the table has no column nme: did you mean name?",
        ),
        (
            "  accounts: {on_insert: {bad: 'if .row.password_hash == \"x\" { \"y\" }'}}",
            "table bank.accounts, rule bad, line 1, column 4: the column password_hash is masked: what is masked is not known to rules either",
        ),
        (
            "  accounts: {on_insert: {bad: 'if .row.confirmed_at > .row.updated_at { \"y\" }'}}",
            "confirmed_at can be NULL: write (timestamp(.row.confirmed_at) ?? t'1970-01-01T00:00:00Z'), or .row.confirmed_at != null",
        ),
        ("  accounts: {on_insert: {bad: '1'}}", "rule bad, line 1, column 1: a rule must give a string"),
        (
            "  accounts: {on_insert: {bad: '.original.name'}}",
            "rule bad, line 1, column 1: this rule sees .row",
        ),
        ("  accounts: {on_insert: {'a b': 'null'}}", "a rule's name has 1 to 64 letters, digits, _ and -"),
        (
            "  accounts: {on_insert: {different: 'null'}}",
            "different is the name of a rule that is there by itself",
        ),
        (
            "  '*': {fields: {name: {on_update: {unexplained: 'null'}}}}",
            "field name, rule unexplained, line 1, column 1: unexplained is the name of a rule that is there by itself",
        ),
        (
            "  accounts: {fields: {nam: {allow: all_updates}}}",
            "table bank.accounts, field nam: the table has no column nam: did you mean name?",
        ),
        ("  accounts: {mask: [password]}", "field password: the table has no column password"),
    ] {
        let errors = compile(tables).expect_err(tables);
        assert!(errors[0].to_string().contains(expected), "{tables}\n{}", errors[0]);
    }
    // A pattern may be meant for other tables; all mistakes are told.
    assert!(compile("  'a*': {fields: {nam: {allow: all_updates}}}").is_ok());
    let errors =
        compile("  accounts: {on_insert: {a: '1', b: '.row.x'}, on_delete: {c: 'nope()'}}").unwrap_err();
    assert_eq!(errors.iter().map(|error| error.rule.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn rules_that_need_what_is_missing_are_left_out() {
    let config: WatchConfig = serde_saphyr::from_str(
        "url: x\ntables:\n  accounts:\n    mask: [password_hash]\n    on_update: {less: 'if .updated.balance == \"\" { \"x\" }', other: 'if .updated.name == \"\" { \"x\" }'}\n    on_delete: {empty: 'if .row.balance != \"0\" { \"x\" }'}\n    fields:\n      balance: {allow: all_updates, on_insert: {format: 'null'}}\n      sign_in_count: {on_update: {never: '.updated.balance'}}\n",
    )
    .unwrap();
    let mut table = table();
    let missing = [table.columns.remove(2), table.columns.remove(5)];
    let (rules, left_out) = TableRules::compile_without(&config, &table, &missing).unwrap();
    let expected = [
        "the rule less",
        "the rule empty",
        "the rule never of the column sign_in_count",
        "the rule format of the column balance",
    ];
    assert_eq!(left_out, expected);
    // What is not decided by a rule that is left out is not decided otherwise.
    let row = ["7", "Alice", "3", "", "2026-11-21 12:00:00.000000"].map(Cell::of);
    let mut counted = row.clone();
    counted[2] = Cell::of("4");
    assert!(rules.deleted(&row).is_empty() && rules.updated(&row, &counted).is_empty());
    let errors = TableRules::compile_without(&config, &table, &missing[..1]).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn a_slow_rule_is_a_breach_and_stops_nothing() {
    let config = "url: x\ndefaults: {rule_time: 1ms}\ntables:\n  accounts:\n    on_insert:\n      slow: |\n        n = 0\n        for_each(split(\"a\" * 2000, \"\")) -> |_i, _v| { for_each(split(\"a\" * 2000, \"\")) -> |_i, _v| { n = n + 1 } }\n        null\n      then: '\"next\"'\n";
    let config: WatchConfig = serde_saphyr::from_str(config).unwrap();
    let rules = TableRules::compile(&config, &table()).unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert_eq!(
        written(&rules.inserted(&row())),
        ["- slow:failed: The rule slow took longer than 1 ms", "- then: next"]
    );
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Null),
        Just(Cell::Masked([3; 32])),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Cell::Value),
        "-?[0-9]{1,25}([.][0-9]{1,5})?".prop_map(Cell::of),
        "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?".prop_map(Cell::of),
    ]
}

proptest! {
    #[test]
    fn no_row_panics_a_rule(one in prop::collection::vec(cell(), 0..9), two in prop::collection::vec(cell(), 0..9)) {
        let rules = compile(
            "  accounts:\n    on_update:\n      a: 'if .original.updated_at > .updated.updated_at { \"x\" }'\n      b: 'decimal_add!(.original.balance, .updated.id)'\n      c: 'encode_json(.)'\n      d: 'if .updated.sign_in_count - .original.sign_in_count > 1 { \"jump\" }'\n    on_insert: {a: 'encode_json(.)'}\n",
        )
        .unwrap();
        for breach in rules.updated(&one, &two).into_iter().chain(rules.inserted(&one)).chain(rules.deleted(&two)) {
            prop_assert!(!breach.description.contains('\n'));
        }
    }
}
