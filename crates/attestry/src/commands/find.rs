//! `search`, `count`, `top`, `histogram` and `tail`.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::client::{Client, Connection};
use crate::terminal::{Look, Table, csv, escape, json, note, note_behind};

/// What to look for, and when and where.
#[derive(Args, Debug)]
pub(crate) struct What {
    /// The query, such as `event_name:login.* -username:root "connection reset"`. Nothing finds everything.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Not before: RFC 3339, or relative such as -90s, -15m, -24h, -7d or -2w. Default: the first event.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Not after: RFC 3339, relative, or now. Default: the last event.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only in these ledgers, separated by commas. Default: all that the key may read.
    #[arg(long)]
    ledger: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// How the answer is written.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Format {
    /// As JSON, one object a line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// As CSV.
    #[arg(long)]
    csv: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Order {
    /// Newest first.
    Desc,
    /// Oldest first.
    Asc,
}

#[derive(Args, Debug)]
pub(crate) struct Search {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    format: Format,
    /// How many events at most.
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: u64,
    /// Which come first.
    #[arg(long, value_enum, default_value = "desc")]
    order: Order,
    /// The columns, separated by commas: fields, or paths such as event_data.status.
    #[arg(long, default_value = "event_time,event_source,event_name,username,resource,outcome,message")]
    columns: String,
}

#[derive(Args, Debug)]
pub(crate) struct Count {
    #[command(flatten)]
    what: What,
}

#[derive(Args, Debug)]
pub(crate) struct Top {
    /// The field, or a path such as event_data.status.
    field: String,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    format: Format,
    /// How many values at most.
    #[arg(short = 'n', long, default_value_t = 10)]
    limit: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Histogram {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    format: Format,
    /// Width of a bucket, such as 60s, 1h or 1d; auto makes about 48 buckets.
    #[arg(long, default_value = "auto")]
    interval: String,
}

#[derive(Args, Debug)]
pub(crate) struct Tail {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    format: Format,
    /// The columns, as in search.
    #[arg(long, default_value = "event_time,event_source,event_name,username,resource,outcome,message")]
    columns: String,
}

impl What {
    fn query(&self) -> String {
        self.query.join(" ")
    }

    fn ask(&self, client: &Client, path: &str, more: &[(&str, Option<&str>)]) -> Result<Value> {
        let query = self.query();
        let mut parameters = vec![
            ("q", Some(query.as_str())),
            ("from", self.from.as_deref()),
            ("to", self.to.as_deref()),
            ("ledger", self.ledger.as_deref()),
        ];
        parameters.extend_from_slice(more);
        client.json(path, &parameters)
    }

    /// Says where the query was perhaps not meant as it is read. A query that cannot be read is the server's to refuse.
    fn note_hints(&self) {
        if let Ok(query) = attestry_store::Query::parse(&self.query()) {
            query.hints().iter().for_each(|hint| note(&escape(&hint.message)));
        }
    }
}

pub(crate) fn search(search: &Search) -> Result<()> {
    search.what.note_hints();
    let client = search.what.connection.client()?;
    let order = match search.order {
        Order::Desc => "desc",
        Order::Asc => "asc",
    };
    let columns: Vec<&str> = search.columns.split(',').map(str::trim).collect();
    let mut out = io::stdout().lock();
    let mut left = search.limit;
    let mut cursor: Option<String> = None;
    let mut table = Table::new(&columns);
    if search.format.csv {
        let terminal = io::stdout().is_terminal();
        writeln!(
            out,
            "{}",
            columns.iter().map(|column| csv(column, terminal)).collect::<Vec<_>>().join(",")
        )?;
    }
    let (mut more, mut behind) = (false, 0);
    while left > 0 {
        let limit = left.min(1_000).to_string();
        let page = search.what.ask(
            &client,
            "/api/v1/events",
            &[("order", Some(order)), ("limit", Some(&limit)), ("cursor", cursor.as_deref())],
        )?;
        let events = page["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        for found in events {
            write_event(&mut out, &mut table, found, &columns, search.format)?;
        }
        left = left.saturating_sub(events.len() as u64);
        behind = page["behind"].as_u64().unwrap_or(0).max(behind);
        cursor = page["next"].as_str().map(str::to_owned);
        more = cursor.is_some();
        if !more || events.is_empty() {
            break;
        }
    }
    if !search.format.json && !search.format.csv {
        table.print(&mut out)?;
        if more && io::stderr().is_terminal() {
            note(&format!("there are more; -n shows up to as many as it says, not only {}", search.limit));
        }
    }
    note_behind(behind);
    Ok(())
}

fn write_event(
    out: &mut dyn Write,
    table: &mut Table,
    found: &Value,
    columns: &[&str],
    format: Format,
) -> Result<()> {
    if format.json {
        writeln!(out, "{}", json(found, io::stdout().is_terminal()))?;
        return Ok(());
    }
    let cells = columns.iter().map(|column| cell(found, column));
    if format.csv {
        let terminal = io::stdout().is_terminal();
        writeln!(out, "{}", cells.map(|cell| csv(&cell, terminal)).collect::<Vec<_>>().join(","))?;
        return Ok(());
    }
    let event = &found["event"];
    let bad =
        event["outcome"] == "failure" || event["severity"].as_u64().is_some_and(|severity| severity <= 3);
    table.row(cells.zip(columns).map(|(cell, column)| {
        let look = match *column {
            "event_time" | "received_at" => Look::Dim,
            "event_name" if bad => Look::Bad,
            "event_name" => Look::Bold,
            "outcome" if cell == "failure" => Look::Bad,
            _ => Look::Plain,
        };
        (cell, look)
    }));
    Ok(())
}

/// A column's value as text; nanoseconds are left away where nobody looks for them.
fn cell(found: &Value, column: &str) -> String {
    let mut value = match column {
        "ledger" | "index" => &found[column],
        _ => &found["event"][column.split('.').next().unwrap_or(column)],
    };
    if let Some(rest) = column.strip_prefix("event_data.") {
        value = rest.split('.').fold(value, |value, name| &value[name]);
    }
    match value {
        Value::Null => String::new(),
        Value::String(text) if column == "event_time" || column == "received_at" => {
            text.chars().take(23).collect()
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(crate) fn count(count: &Count) -> Result<()> {
    count.what.note_hints();
    let answer = count.what.ask(&count.what.connection.client()?, "/api/v1/count", &[])?;
    writeln!(io::stdout(), "{}", answer["count"])?;
    note_behind(answer["behind"].as_u64().unwrap_or(0));
    Ok(())
}

pub(crate) fn top(top: &Top) -> Result<()> {
    top.what.note_hints();
    let limit = top.limit.to_string();
    let parameters = [("field", Some(top.field.as_str())), ("limit", Some(limit.as_str()))];
    let answer = top.what.ask(&top.what.connection.client()?, "/api/v1/top", &parameters)?;
    let rows = answer["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let total = answer["count"].as_u64().unwrap_or(0);
    let named = |row: &Value| row["value"].as_str().map_or_else(|| row["value"].to_string(), str::to_owned);
    pairs(
        rows.iter().map(|row| (named(row), row["count"].as_u64().unwrap_or(0))),
        &top.field,
        total,
        top.format,
        &answer,
    )?;
    if !top.format.json && !top.format.csv {
        note(&format!(
            "{} different values in {total} events, {} without one",
            answer["distinct"], answer["missing"]
        ));
    }
    Ok(())
}

pub(crate) fn histogram(histogram: &Histogram) -> Result<()> {
    histogram.what.note_hints();
    let parameters = [("interval", Some(histogram.interval.as_str())), ("buckets", Some("48"))];
    let answer =
        histogram.what.ask(&histogram.what.connection.client()?, "/api/v1/histogram", &parameters)?;
    let rows = answer["buckets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let most = rows.iter().filter_map(|row| row["count"].as_u64()).max().unwrap_or(0);
    let named = |row: &Value| row["time"].as_str().unwrap_or("").chars().take(19).collect::<String>();
    pairs(
        rows.iter().map(|row| (named(row), row["count"].as_u64().unwrap_or(0))),
        "time",
        most,
        histogram.format,
        &answer,
    )
}

/// Values with their counts, and a bar that shows each one's part of `whole`.
fn pairs(
    rows: impl Iterator<Item = (String, u64)>,
    name: &str,
    whole: u64,
    format: Format,
    answer: &Value,
) -> Result<()> {
    const BAR: u64 = 40;
    let mut out = io::stdout().lock();
    let terminal = io::stdout().is_terminal();
    note_behind(answer["behind"].as_u64().unwrap_or(0));
    if format.json {
        writeln!(out, "{}", json(answer, terminal))?;
        return Ok(());
    }
    let mut table = Table::new(&[name, "count", ""]);
    if format.csv {
        writeln!(out, "{},count", csv(name, terminal))?;
    }
    for (value, count) in rows {
        if format.csv {
            writeln!(out, "{},{count}", csv(&value, terminal))?;
            continue;
        }
        let bar = "▇".repeat((count * BAR).checked_div(whole).unwrap_or(0) as usize);
        table.row([(value, Look::Bold), (count.to_string(), Look::Plain), (bar, Look::Dim)]);
    }
    if !format.csv {
        table.print(&mut out)?;
    }
    Ok(())
}

pub(crate) fn tail(tail: &Tail) -> Result<()> {
    tail.what.note_hints();
    let client = tail.what.connection.client()?;
    let query = tail.what.query();
    let parameters = [("q", Some(query.as_str())), ("ledger", tail.what.ledger.as_deref())];
    let response = client.get_as("/api/v1/tail", &parameters, "text/event-stream")?;
    let columns: Vec<&str> = tail.columns.split(',').map(str::trim).collect();
    let mut out = io::stdout().lock();
    let mut kind = String::new();
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let line = line.context("the server ended the tail")?;
        if let Some(name) = line.strip_prefix("event:") {
            kind = name.trim().to_owned();
        } else if let Some(data) = line.strip_prefix("data:") {
            let found: Value =
                serde_json::from_str(data.trim()).context("the server sent what is no event")?;
            if kind == "dropped" {
                note(&format!("{} events were left out: this end is too slow", found["count"]));
                continue;
            }
            if tail.format.json || tail.format.csv {
                write_event(&mut out, &mut Table::default(), &found, &columns, tail.format)?;
            } else {
                let cells: Vec<String> = columns.iter().map(|column| escape(&cell(&found, column))).collect();
                writeln!(out, "{}", cells.join("  "))?;
            }
            out.flush()?;
        }
    }
    Ok(())
}
