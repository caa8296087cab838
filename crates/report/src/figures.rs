//! Figures from outside. Whoever runs a report takes them first and puts each into the ledger; the report shows what the ledger says.

use std::collections::BTreeMap;

use attestry_event::{Event, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Recipe;

/// The most rows that a figure may have.
pub(crate) const ROWS_MAX: usize = 1_000;

/// A figure from outside; exactly one of `sql`, `http`, `json_rpc`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Figure {
    /// What it is called, in the report and as `{name}` in its texts.
    pub name: String,
    /// A query on a watched database, in a session that can only read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<Sql>,
    /// JSON from an HTTP server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// A call of JSON-RPC over HTTP, as bitcoind answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_rpc: Option<JsonRpc>,
}

/// A query on a watched database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sql {
    /// The watch's name in the section `audit` of the configuration.
    pub watch: String,
    /// One SELECT; at most 1000 rows.
    pub query: String,
    /// The names of the columns, in order. Default: their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

/// JSON from an HTTP server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where. Which addresses may be asked is decided by `reports.private_networks` of the configuration.
    pub url: String,
    /// The place of the figure in the answer, as a JSON pointer (RFC 6901), such as `/data/balance`. Default: all of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pointer: String,
    /// Name of a login under `reports.logins` of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// A call of JSON-RPC.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonRpc {
    /// Where.
    pub url: String,
    /// The method, such as `getbalance`.
    pub method: String,
    /// Its parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Value>,
    /// The place of the figure in the result, as a JSON pointer. Default: all of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pointer: String,
    /// Name of a login under `reports.logins` of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// What a figure turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// One value, as its source wrote it.
    Value(String),
    /// Rows with their columns' names.
    Rows {
        /// The columns' names.
        columns: Vec<String>,
        /// Each with a value for every column, none for NULL.
        rows: Vec<Vec<Option<String>>>,
        /// Whether there were more than a figure may have.
        more: bool,
    },
    /// It could not be had, and why.
    Failed(String),
}

impl Figure {
    pub(crate) fn check(&self) -> Result<(), String> {
        let Figure { name, sql, http, json_rpc } = self;
        if name.is_empty() || name.contains(['{', '}']) {
            return Err("figures: each needs a name, without braces".to_owned());
        }
        let given = [sql.is_some(), http.is_some(), json_rpc.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(format!("figure {name}: expected exactly one of sql, http, json_rpc"));
        }
        // What an address holds is in the report.
        let is_url = |url: &str| {
            let rest =
                url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
            let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
            !place.is_empty() && !place.contains('@')
        };
        let pointer = |pointer: &str| pointer.is_empty() || pointer.starts_with('/');
        let right = match (sql, http, json_rpc) {
            (Some(sql), ..) => !sql.watch.is_empty() && !sql.query.trim().is_empty(),
            (_, Some(http), _) => is_url(&http.url) && pointer(&http.pointer),
            (.., Some(call)) => is_url(&call.url) && !call.method.is_empty() && pointer(&call.pointer),
            _ => true,
        };
        match right {
            true => Ok(()),
            false => Err(format!(
                "figure {name}: expected a watch and a query, or a url (http:// or https://, without a user), a method, and a pointer that begins with /"
            )),
        }
    }

    /// Where it comes from, in words; without what a URL keeps secret.
    pub fn source(&self) -> String {
        let plain = |url: &str| {
            let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
            let rest = rest.split(['?', '#']).next().unwrap_or_default();
            let (place, path) = rest
                .split_once('/')
                .map_or((rest, String::new()), |(place, path)| (place, format!("/{path}")));
            format!("{scheme}://{}{path}", place.rsplit('@').next().unwrap_or_default())
        };
        match (&self.sql, &self.http, &self.json_rpc) {
            (Some(sql), ..) => format!("SQL on {}: {}", sql.watch, sql.query.trim()),
            (_, Some(http), _) => format!("HTTP {} {}", plain(&http.url), http.pointer).trim().to_owned(),
            (.., Some(call)) => {
                let params = match call.params.as_slice() {
                    [] => String::new(),
                    params => Value::from(params.to_vec()).to_string(),
                };
                format!("JSON-RPC {} {}{params} {}", plain(&call.url), call.method, call.pointer)
                    .trim()
                    .to_owned()
            }
            _ => String::new(),
        }
    }

    /// The event that says what it was, for a run of a report.
    pub fn event(&self, report: &str, run: &str, by: &str, taken: &Taken) -> Event {
        let event = Event::new("report.figure", by)
            .resource(report)
            .read_only(true)
            .data("run", run)
            .data("figure", self.name.as_str())
            .data("from", self.source());
        let name = &self.name;
        match taken {
            Taken::Value(value) => event
                .outcome(Outcome::Success)
                .message(format!("{name} is {}", value.chars().take(200).collect::<String>()))
                .data("value", value.as_str()),
            Taken::Rows { columns, rows, more } => event
                .outcome(Outcome::Success)
                .message(format!("{name} has {} rows", rows.len()))
                // One string: a long one is kept beside the entry, where many short ones would be too much for it.
                .data("table", json!({"columns": columns, "rows": rows, "more": more}).to_string()),
            Taken::Failed(why) => event
                .outcome(Outcome::Failure)
                .severity(4)
                .message(format!("{name} could not be had: {}", why.chars().take(500).collect::<String>()))
                .data("error", why.as_str()),
        }
    }

    /// Bounds what a source gave: at most [`ROWS_MAX`] rows.
    pub fn rows(columns: Vec<String>, mut rows: Vec<Vec<Option<String>>>) -> Taken {
        let more = rows.len() > ROWS_MAX;
        rows.truncate(ROWS_MAX);
        Taken::Rows { columns, rows, more }
    }

    /// A JSON answer's figure: the value at `pointer`; a list of objects makes rows.
    pub fn of_json(answer: &Value, pointer: &str) -> Taken {
        let Some(found) = answer.pointer(pointer) else {
            return Taken::Failed(format!("the answer has nothing at {pointer}"));
        };
        let text = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        match found {
            Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_object) => {
                let mut columns: Vec<String> =
                    list.iter().filter_map(Value::as_object).flat_map(|row| row.keys().cloned()).collect();
                columns.sort_unstable();
                columns.dedup();
                let row = |row: &Value| columns.iter().map(|name| row.get(name).and_then(text)).collect();
                let rows = list.iter().map(row).collect();
                Figure::rows(columns, rows)
            }
            other => Taken::Value(text(other).unwrap_or_else(|| "null".to_owned())),
        }
    }
}

/// The most frequent need of a text: a figure's single value by its name.
pub(crate) fn single(taken: &Taken) -> Option<String> {
    match taken {
        Taken::Value(value) => Some(value.clone()),
        Taken::Rows { rows, .. } => match rows.as_slice() {
            [row] => match row.as_slice() {
                [value] => value.clone(),
                _ => None,
            },
            _ => None,
        },
        Taken::Failed(_) => None,
    }
}

/// What the ledger says of the figures of a run, by name, each with the place of its event.
pub(crate) type Figures = BTreeMap<String, (crate::Cite, Taken)>;

/// The query that finds the figures of a run.
pub(crate) fn query_of(recipe: &Recipe) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "event_name:report.figure event_source:attestry resource:\"{}\" event_data.run:\"{}\"",
        quoted(&recipe.name),
        quoted(&recipe.run)
    )
}

/// Reads what a figure's event says in `event_data`.
pub(crate) fn read(data: &Value) -> Option<(String, Taken)> {
    #[derive(Deserialize)]
    struct Rows {
        columns: Vec<String>,
        rows: Vec<Vec<Option<String>>>,
        more: bool,
    }
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let taken = match (text("value"), text("table"), text("error")) {
        (Some(value), ..) => Taken::Value(value.to_owned()),
        (_, Some(table), _) => {
            let Rows { columns, rows, more } = serde_json::from_str(table).ok()?;
            Taken::Rows { columns, rows, more }
        }
        (.., Some(error)) => Taken::Failed(error.to_owned()),
        _ => return None,
    };
    Some((text("figure")?.to_owned(), taken))
}
