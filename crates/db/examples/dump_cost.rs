//! What it costs to compare two dumps, and to hold rows against rules: `cargo run --release -p attestry-db --example dump_cost BEFORE AFTER`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for whoever measures")]

use std::fs::File;
use std::time::Instant;

use attestry_db::dump::{DumpAudit, Side};
use attestry_db::{Cell, Column, Kind, MaskKey, Name, Table, TableRules, WatchConfig};

/// How often rules are run.
const RUNS: u32 = 200_000;

fn rules() {
    let column = |name: &str, kind| Column {
        name: name.to_owned(),
        kind,
        sql_type: String::new(),
        nullable: false,
        generated: false,
        binary_order: false,
        masked: false,
    };
    let columns =
        vec![column("id", Kind::Int), column("balance", Kind::Decimal), column("at", Kind::DateTime)];
    let table = Table { name: Name { schema: "s".to_owned(), table: "t".to_owned() }, columns, key: vec![0] };
    let row = |balance: &str| vec![Cell::of("7"), Cell::of(balance), Cell::of("2026-11-21 12:00:00.000001")];
    for (what, rule) in [
        ("no rule, one default breach", ""),
        ("times", "on_update: {a: 'if .original.at > .updated.at { \"backwards\" }'}"),
        ("decimals", "on_update: {a: 'if decimal_lt!(.updated.balance, .original.balance) { \"less\" }'}"),
    ] {
        let yaml = format!("url: x\ntables: {{t: {{{rule}}}}}");
        let config: WatchConfig = serde_saphyr::from_str(&yaml).unwrap();
        let rules = TableRules::compile(&config, &table).unwrap();
        let (before, after) = (row("10.00"), row("11.00"));
        let begun = Instant::now();
        let breaches: usize = (0..RUNS).map(|_| rules.updated(&before, &after).len()).sum();
        println!("{what}: {:?} a row, {breaches} breaches", begun.elapsed() / RUNS);
    }
}

fn main() {
    rules();
    let mut files = std::env::args().skip(1);
    let (Some(before), Some(after)) = (files.next(), files.next()) else { return };
    let config: WatchConfig = serde_saphyr::from_str("url: x").unwrap();
    let folder = std::env::temp_dir();
    let audit = DumpAudit {
        config: &config,
        schema: "test",
        mask: &MaskKey([7; 32]),
        folder: &folder,
        memory: DumpAudit::MEMORY,
    };
    let side = |name: &str| Side::Dump { name: name.to_owned(), reader: Box::new(File::open(name).unwrap()) };
    let summary = audit.compare(side(&before), side(&after), &mut |_| Ok(())).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("{summary:?}\n{peak}");
}
