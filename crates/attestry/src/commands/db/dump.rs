//! `attestry db audit-dump`: what happened between two dumps, or a watch's copy and a dump, and which of it breaks rules.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use attestry_db::copy::{Copy, Watched};
use attestry_db::dump::{DumpAudit, DumpChange, Found, Side, Summary};
use attestry_db::{Cell, MaskKey, Table, WatchConfig, decode_row};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::terminal::{Look, escape, note, paint};

#[derive(Args, Debug)]
pub(crate) struct AuditDump {
    /// The dump before and the dump after, `-` for standard input; with --against, only the dump. As mysqldump, mariadb-dump or pg_dump (plain) write
    /// them, also packed by gzip, zstd or bzip2.
    #[arg(required = true, num_args = 1..=2, value_name = "DUMP")]
    dumps: Vec<PathBuf>,
    /// Compare with what this watch has copied.
    #[arg(long, value_name = "WATCH")]
    against: Option<String>,
    /// The watch whose rules hold. Default: the one the configuration has; without one, the rules that hold without any being written.
    #[arg(long, conflicts_with = "against")]
    watch: Option<String>,
    /// The schema whose tables are compared. Default: that of the watch; without one, public, which is also what a MySQL dump of one database is taken for.
    #[arg(long)]
    schema: Option<String>,
    /// The folder for temporary files, which become as large as the rows of both sides, twice. Default: the system's.
    #[arg(long, value_name = "DIR")]
    temporary: Option<PathBuf>,
    /// As NDJSON, a line for each finding.
    #[arg(long)]
    json: bool,
}

/// Whether nothing was found that somebody must look at: no breach between two dumps, no difference at all from a copy.
pub(super) fn audit(of: &AuditDump, config: &Config) -> Result<bool> {
    let (name, watch) = rules(of, config)?;
    let schema = of.schema.clone().unwrap_or_else(|| schema(&watch));
    let folder = of.temporary.clone().unwrap_or_else(std::env::temp_dir);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut told = |found: Found| if of.json { tell_json(&found, &mut out) } else { tell(&found, &mut out) };
    let mut dumps = of.dumps.iter().map(PathBuf::as_path);
    let (first, second) = (dumps.next(), dumps.next());
    let (before, after, mask) = match (&of.against, first, second) {
        (Some(_), Some(dump), None) => {
            let path = config.copy_of(&name, &watch);
            let copy = Copy::open_to_read(&path)
                .with_context(|| format!("cannot read the copy in {}", path.display()))?;
            let mask = copy.mask().clone();
            (copied(copy)?, dump_of(dump)?, mask)
        }
        (Some(_), ..) => bail!("with --against there is one dump"),
        (None, Some(before), Some(after)) => (dump_of(before)?, dump_of(after)?, MaskKey(rand::random())),
        (None, ..) => {
            bail!("expected two dumps, the one before and the one after; or --against WATCH and one")
        }
    };
    let memory = DumpAudit::MEMORY;
    let audit = DumpAudit { config: &watch, schema: &schema, mask: &mask, folder: &folder, memory };
    let summary = audit.compare(before, after, &mut told)?;
    out.flush()?;
    drop(out);
    let Summary { tables, rows_before, rows_after, inserted, updated, deleted, breaches, others } = summary;
    note(&format!(
        "{tables} tables, {rows_before} rows before, {rows_after} after: {inserted} new, {updated} changed, {deleted} gone; {breaches} breaches of rules, {others} other findings"
    ));
    if tables == 0 {
        bail!("no table of the schema {schema:?} is in them; --schema names another");
    }
    Ok(breaches == 0 && (of.against.is_none() || inserted + updated + deleted + others == 0))
}

/// Whose rules hold, by name.
fn rules(of: &AuditDump, config: &Config) -> Result<(String, WatchConfig)> {
    let audit = &config.written.audit;
    let wanted = of.against.as_ref().or(of.watch.as_ref());
    match (wanted, audit.len()) {
        (Some(name), _) => match audit.get(name) {
            Some(watch) => Ok((name.clone(), watch.clone())),
            None => bail!("the configuration has no audit {name:?}"),
        },
        (None, 0) => Ok((String::new(), serde_saphyr::from_str("url: none")?)),
        (None, 1) => audit
            .iter()
            .next()
            .map(|(name, watch)| (name.clone(), watch.clone()))
            .context("the configuration has no audit"),
        (None, _) => bail!("the configuration has several audits: --watch says whose rules hold"),
    }
}

fn schema(watch: &WatchConfig) -> String {
    let of_mysql = || watch.login().mysql().ok().map(|login| login.database().to_owned());
    watch.schema.clone().or_else(of_mysql).unwrap_or_else(|| "public".to_owned())
}

fn dump_of(path: &Path) -> Result<Side<'static>> {
    let name = path.display().to_string();
    if name == "-" {
        return Ok(Side::Dump { name: "standard input".to_owned(), reader: Box::new(io::stdin()) });
    }
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    Ok(Side::Dump { name, reader: Box::new(file) })
}

/// Rows that are read from the copy at once.
const ROWS: u32 = 1_000;

/// What a copy holds, table by table.
fn copied(mut copy: Copy) -> Result<Side<'static>> {
    copy.begin_view()?;
    let watched: Vec<Watched> = copy.watched()?.into_iter().filter(|table| !table.gone).collect();
    let tables: Vec<Table> = watched.iter().map(|watched| (*watched.layout.table).clone()).collect();
    let mut waiting: std::collections::VecDeque<(usize, Vec<Cell>)> = std::collections::VecDeque::new();
    let (mut table, mut after) = (0, Vec::new());
    let mut next = move || -> Result<Option<(usize, Vec<Cell>)>> {
        while waiting.is_empty() {
            let Some(of) = watched.get(table) else { return Ok(None) };
            let rows = copy.rows_from(of.id, &after, ROWS)?;
            match rows.last() {
                Some(last) => after.clone_from(&last.place),
                None => (table, after) = (table + 1, Vec::new()),
            }
            for row in rows {
                let cells = decode_row(&row.image)?;
                let cells = match row.layout == of.layout.id {
                    true => cells,
                    // Kept as it was when the table had other columns.
                    false => under(&of.layout.table, &copy.layout(row.layout)?.table, &cells),
                };
                waiting.push_back((table, cells));
            }
        }
        Ok(waiting.pop_front())
    };
    let rows = std::iter::from_fn(move || next().map_err(|error| format!("{error:#}")).transpose());
    Ok(Side::Rows { tables, rows: Box::new(rows) })
}

/// Cells of a table's former columns under those it has now, by name.
fn under(now: &Table, then: &Table, cells: &[Cell]) -> Vec<Cell> {
    let cell = |name: &str| cells.get(then.place_of(name)?).cloned();
    now.columns.iter().map(|column| cell(&column.name).unwrap_or(Cell::Null)).collect()
}

fn tell(found: &Found, out: &mut impl Write) -> io::Result<()> {
    match found {
        Found::Note(about) => {
            writeln!(out, "{}, line {}: {}", escape(&about.file), about.line, escape(&about.text))
        }
        Found::Schema(table, what) => writeln!(out, "{}: {}", escape(&table.to_string()), escape(what)),
        Found::Duplicate(table, key) => {
            let key: Vec<String> = key.iter().map(cell).collect();
            writeln!(out, "{}: several rows have the key {}", escape(&table.to_string()), key.join(", "))
        }
        Found::Change(change) => tell_change(change, out),
    }
}

fn tell_change(change: &DumpChange, out: &mut impl Write) -> io::Result<()> {
    let table = &change.table;
    let key = table.key.iter().zip(&change.key).filter_map(|(place, value)| {
        Some(format!("{}={}", escape(&table.columns.get(*place)?.name), cell(value)))
    });
    let key = key.collect::<Vec<_>>().join(" ");
    let what = match (&change.before, &change.after) {
        (None, _) => "new",
        (_, None) => "gone",
        _ => "changed",
    };
    let look = if change.breaches.is_empty() { Look::Plain } else { Look::Bad };
    write!(out, "{} {key} {}", escape(&table.name.to_string()), paint(what, look))?;
    if let (Some(before), Some(after)) = (&change.before, &change.after) {
        for ((column, old), new) in
            table.columns.iter().zip(before).zip(after).filter(|((_, old), new)| old != new)
        {
            write!(out, "  {}: {} -> {}", escape(&column.name), cell(old), cell(new))?;
        }
    }
    writeln!(out)?;
    for breach in &change.breaches {
        let of = breach.field.as_ref().map(|field| format!(" ({})", escape(field))).unwrap_or_default();
        writeln!(out, "    {}{of}: {}", escape(&breach.rule), escape(&breach.description))?;
    }
    Ok(())
}

/// The most of a value on a line, in characters.
const VALUE_CHARS: usize = 100;

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Null => "(NULL)".to_owned(),
        Cell::Masked(_) => "(masked)".to_owned(),
        Cell::Value(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let short: String = text.chars().take(VALUE_CHARS).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            escape(&format!("{short}{more}"))
        }
    }
}

fn tell_json(found: &Found, out: &mut impl Write) -> io::Result<()> {
    let value = match found {
        Found::Note(about) => json!({"note": about.text, "file": about.file, "line": about.line}),
        Found::Schema(table, what) => json!({"table": table.to_string(), "schema": what}),
        Found::Duplicate(table, key) => {
            json!({"table": table.to_string(), "duplicate": key.iter().map(value).collect::<Vec<_>>()})
        }
        Found::Change(change) => {
            let row = |cells: &Vec<Cell>| -> Value {
                let columns = change.table.columns.iter().zip(cells);
                columns.map(|(column, cell)| (column.name.clone(), value(cell))).collect::<Map<_, _>>().into()
            };
            let breaches = change.breaches.iter().map(|breach| {
                json!({"rule": breach.rule, "field": breach.field, "description": breach.description})
            });
            json!({
                "table": change.table.name.to_string(),
                "key": change.key.iter().map(value).collect::<Vec<_>>(),
                "before": change.before.as_ref().map(row),
                "after": change.after.as_ref().map(row),
                "breaches": breaches.collect::<Vec<_>>(),
            })
        }
    };
    writeln!(out, "{value}")
}

/// A value as JSON: text, `{"hex": …}` for bytes that are no text, null, or `{"masked": true}`.
fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Masked(_) => json!({"masked": true}),
        Cell::Value(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => {
                json!({"hex": bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))})
            }
        },
    }
}
