//! Violations: the list, one with its row's history, and signing off.

use std::io::{self, Write};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::text;
use crate::client::Client;
use crate::terminal::{Look, Table, escape, note, paint};

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only those of this watch.
    #[arg(long)]
    watch: Option<String>,
    /// Only those of this table.
    #[arg(long)]
    table: Option<String>,
    /// Those that are signed off, too.
    #[arg(long)]
    all: bool,
    /// How many, the newest first.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Names the watches that the answer lacks; whether there are none.
fn is_whole(answer: &Value) -> bool {
    let unreadable = answer["unreadable"].as_array().map(Vec::as_slice).unwrap_or_default();
    for copy in unreadable {
        let (watch, why) = (text(&copy["watch"]), text(&copy["why"]));
        note(&format!("without the violations of {watch}: its copy cannot be used: {why}"));
    }
    unreadable.is_empty()
}

/// Lists them, and says whether all copies could be read.
pub(crate) fn list(client: &Client, list: &List) -> Result<bool> {
    let limit = list.limit.to_string();
    let parameters = [
        ("watch", list.watch.as_deref()),
        ("table", list.table.as_deref()),
        ("state", Some(if list.all { "all" } else { "pending" })),
        ("limit", Some(limit.as_str())),
    ];
    let answer = client.json("/api/v1/violations", &parameters)?;
    let mut out = io::stdout().lock();
    if list.json {
        writeln!(out, "{}", answer["violations"])?;
    } else {
        let violations = answer["violations"].as_array().map(Vec::as_slice).unwrap_or_default();
        match violations.is_empty() {
            true => note(if list.all { "there are no violations" } else { "no violation is pending" }),
            false => table(violations).print(&mut out)?,
        }
    }
    if answer["more"] == true {
        note("there are more: --limit shows up to 1000");
    }
    Ok(is_whole(&answer))
}

fn table(violations: &[Value]) -> Table {
    let mut table = Table::new(&["fingerprint", "opened", "watch", "table", "key", "rule", "description"]);
    for violation in violations {
        let done = violation["signed_off"].is_object();
        let look = if done { Look::Dim } else { Look::Plain };
        let rule = match violation["field"].as_str() {
            Some(field) => format!("{} ({})", text(&violation["rule"]), escape(field)),
            None => text(&violation["rule"]),
        };
        table.row([
            (text(&violation["fingerprint"]), if done { Look::Dim } else { Look::Bold }),
            (text(&violation["opened"]), Look::Dim),
            (text(&violation["watch"]), look),
            (text(&violation["table"]), look),
            (fields(&violation["key"]), look),
            (rule, look),
            (text(&violation["description"]), look),
        ]);
    }
    table
}

/// `id=7 region=eu`.
fn fields(fields: &Value) -> String {
    let parts = fields.as_array().into_iter().flatten();
    parts.map(|field| format!("{}={}", text(&field["column"]), value(field))).collect::<Vec<_>>().join(" ")
}

/// How much of a value is shown that is too long to be shown whole.
const START_CHARS: usize = 100;

/// A column's value. The brackets tell NULL and masked values from texts that say so.
fn value(field: &Value) -> String {
    match (&field["value"], &field["masked"]) {
        (_, Value::Bool(true)) => "(masked)".to_owned(),
        (Value::Null, _) => "(NULL)".to_owned(),
        (value, _) => match &field["whole"] {
            Value::Null => text(value),
            // What tells it from another that begins alike; JSON has more of it.
            whole => {
                let start: String = text(value).chars().take(START_CHARS).collect();
                format!("{start}… ({} bytes, SHA-256 {})", text(&whole["bytes"]), text(&whole["sha256"]))
            }
        },
    }
}

pub(crate) fn show(client: &Client, fingerprint: &str, as_json: bool) -> Result<bool> {
    let parameters = [("fingerprint", Some(fingerprint)), ("state", Some("all"))];
    let answer = client.json("/api/v1/violations", &parameters)?;
    let Some(violation) = answer["violations"].as_array().and_then(|found| found.first()) else {
        is_whole(&answer);
        bail!("there is no violation {fingerprint:?}");
    };
    let fingerprint = text(&violation["fingerprint"]);
    let mut history = Vec::new();
    let mut before = None::<String>;
    loop {
        let path = format!("/api/v1/violations/{fingerprint}/history");
        let page = client.json(&path, &[("before", before.as_deref())])?;
        history.extend(page["versions"].as_array().cloned().unwrap_or_default());
        match history.last() {
            Some(last) if page["more"] == true => before = Some(text(&last["version"])),
            _ => break,
        }
    }
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json!({"violation": violation, "versions": history}))?;
        return Ok(is_whole(&answer));
    }
    head(violation, &mut out)?;
    writeln!(out)?;
    beside(violation).print(&mut out)?;
    writeln!(out)?;
    versions(&history).print(&mut out)?;
    Ok(is_whole(&answer))
}

fn head(violation: &Value, out: &mut impl Write) -> Result<()> {
    let fingerprint = paint(&text(&violation["fingerprint"]), Look::Bold);
    writeln!(out, "{fingerprint}  {}", text(&violation["description"]))?;
    let seen = format!("{}, {} times in all", text(&violation["last_seen"]), text(&violation["count"]));
    for (name, shown) in [
        ("watch", text(&violation["watch"])),
        ("table", text(&violation["table"])),
        ("key", fields(&violation["key"])),
        ("field", text(&violation["field"])),
        ("rule", text(&violation["rule"])),
        ("opened", text(&violation["opened"])),
        ("last seen", seen),
        ("account", text(&violation["account"])),
        ("event", text(&violation["event_id"])),
    ] {
        if !shown.is_empty() {
            writeln!(out, "  {name:<10} {shown}")?;
        }
    }
    if let Value::Object(done) = &violation["signed_off"] {
        let part = |name: &str| text(done.get(name).unwrap_or(&Value::Null));
        writeln!(out, "  {:<10} by {} at {}: {}", "signed off", part("by"), part("at"), part("reason"))?;
    }
    Ok(())
}

/// The row before and since, column by column.
fn beside(violation: &Value) -> Table {
    let row = |name: &str| violation[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let (old, new) = (row("old"), row("new"));
    let only_new = new.iter().filter(|field| old.iter().all(|other| other["column"] != field["column"]));
    let mut table = Table::new(&["column", "before", "since"]);
    for field in old.iter().chain(only_new) {
        let column = &field["column"];
        let find = |row: &[Value]| row.iter().find(|field| field["column"] == *column).map(value);
        let (before, since) = (find(old), find(new));
        let look = if before == since { Look::Dim } else { Look::Bad };
        table.row([
            (text(column), Look::Plain),
            (before.unwrap_or_default(), look),
            (since.unwrap_or_default(), look),
        ]);
    }
    table
}

fn versions(list: &[Value]) -> Table {
    let mut table = Table::new(&["version", "at", "read at", "operation", "transaction", "account", "row"]);
    for version in list {
        let unexplained = version["unexplained"] == true;
        let mut operation = text(&version["operation"]);
        if unexplained {
            operation.push_str(", unexplained");
        }
        table.row([
            (text(&version["version"]), Look::Plain),
            (text(&version["at"]), Look::Dim),
            (text(&version["seen_at"]), Look::Dim),
            (operation, if unexplained { Look::Bad } else { Look::Plain }),
            (text(&version["transaction"]), Look::Dim),
            (text(&version["account"]), Look::Dim),
            (fields(&version["row"]), Look::Plain),
        ]);
    }
    table
}

#[derive(Args, Debug)]
pub(crate) struct SignOff {
    /// Their fingerprints, or the beginnings of them.
    #[arg(required_unless_present_any = ["watch", "table", "field", "rule", "before"],
          conflicts_with_all = ["watch", "table", "field", "rule", "before"])]
    fingerprints: Vec<String>,
    /// All of this watch.
    #[arg(long)]
    watch: Option<String>,
    /// All of this table.
    #[arg(long)]
    table: Option<String>,
    /// All of this column.
    #[arg(long)]
    field: Option<String>,
    /// All of this rule.
    #[arg(long)]
    rule: Option<String>,
    /// All that were opened before: RFC 3339, or relative such as -24h.
    #[arg(long, allow_hyphen_values = true)]
    before: Option<String>,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Sign off all that fit; without it they are only counted.
    #[arg(long)]
    yes: bool,
}

/// Signs off, and says whether a filter was held against all copies. `by` is who asks, where only the key of this host's owner says so.
pub(crate) fn sign_off(client: &Client, of: &SignOff, by: Option<String>) -> Result<bool> {
    let mut body = json!({"reason": of.reason});
    if let Some(by) = by {
        body["by"] = by.into();
    }
    if of.fingerprints.is_empty() {
        let mut filter = json!({});
        for (name, value) in [
            ("watch", &of.watch),
            ("table", &of.table),
            ("field", &of.field),
            ("rule", &of.rule),
            ("before", &of.before),
        ] {
            if let Some(value) = value {
                filter[name] = value.as_str().into();
            }
        }
        body["filter"] = filter;
        let counted = client.post_json("/api/v1/violations/sign-off", &body)?;
        let count = counted["matching"].as_u64().unwrap_or(0);
        if count == 0 {
            note("no pending violation fits");
            return Ok(is_whole(&counted));
        }
        if !of.yes {
            is_whole(&counted);
            bail!("{count} pending violations fit; --yes signs them off");
        }
        note(&format!("{count} pending violations fit"));
        body["count"] = count.into();
    } else {
        body["fingerprints"] = json!(of.fingerprints);
    }
    let answer = client.post_json("/api/v1/violations/sign-off", &body)?;
    writeln!(io::stdout(), "Signed off: {}.", text(&answer["signed_off"]))?;
    Ok(is_whole(&answer))
}
