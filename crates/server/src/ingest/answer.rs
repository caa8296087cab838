//! The answers of `POST /events`, written by hand: with 10,000 events a request, building them as a tree of JSON values
//! would cost more than parsing what was sent.

use std::fmt::Write;

use attestry_event::Batch;
use attestry_ledger::{Placed, Stored};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Taken;
use crate::problem::{Kind, Problem};

/// The most bytes of the list of what is wrong. A body can hold millions of lines that are wrong in ten ways each; what
/// goes beyond is counted.
const PROBLEMS_MAX_BYTES: usize = 8 << 20;

/// Where the events went.
#[derive(utoipa::ToSchema, Serialize)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct IngestAnswer {
    /// One item an event that is in the ledger now, in the order they were sent.
    events: Vec<PlacedEvent>,
    /// Fields that the server replaced because they are not the sender's to set.
    overwritten: Option<Vec<String>>,
    /// `false` when the index lags: the events are durable, but searches do not find them yet.
    searchable: Option<bool>,
    /// With `wait=checkpoint`: the signed checkpoint that covers the events.
    checkpoint: Option<String>,
    /// With `partial=true`: what was not stored and why.
    problems: Option<Vec<LineProblem<'static>>>,
    /// With `partial=true`: events that were not stored because their id is taken by other content.
    conflicts: Option<Vec<LineConflict>>,
}

#[derive(utoipa::ToSchema, Serialize)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct PlacedEvent {
    /// The event's own id, or the one that was made for it.
    event_id: String,
    ledger: String,
    /// Its number in the ledger: `<ledger>/<index>` is its address for ever.
    index: u64,
    /// Present when the ledger had the event already.
    duplicate: Option<bool>,
}

/// One thing that is wrong with one event.
#[derive(utoipa::ToSchema, Serialize)]
pub(crate) struct LineProblem<'a> {
    /// The line of NDJSON or the element of an array, counted from 1.
    line: u32,
    /// The field, as a path with dots; `event` for the event as a whole.
    field: &'a str,
    /// What was there, cut to 80 characters.
    found: &'a str,
    /// What belongs there.
    expected: &'a str,
}

#[derive(utoipa::ToSchema, Serialize)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct LineConflict {
    line: u32,
    event_id: String,
    ledger: String,
    /// The entry that has the id.
    index: u64,
}

/// What was wrong with a body's events, as the items of a JSON array.
#[derive(Default)]
pub(super) struct Refused {
    pub(super) events: usize,
    text: String,
    omitted: usize,
}

impl Refused {
    pub(super) fn add(&mut self, line: u32, field: &str, found: &str, expected: &str) {
        if self.text.len() > PROBLEMS_MAX_BYTES {
            self.omitted += 1;
            return;
        }
        let problem = LineProblem { line, field, found, expected };
        if !self.text.is_empty() {
            self.text.push(',');
        }
        // A struct of strings and a number always serializes.
        self.text.push_str(&serde_json::to_string(&problem).unwrap_or_default());
    }

    pub(super) fn into_answer(self) -> RefusedAnswer {
        let events = if self.events == 1 { "1 event is" } else { &format!("{} events are", self.events) };
        RefusedAnswer {
            problem: Problem::new(Kind::BadEvents, format!("{events} not acceptable")),
            refused: self,
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str("\"problems\":[");
        out.push_str(&self.text);
        out.push(']');
        if self.omitted > 0 {
            let _ = write!(out, ",\"problems_omitted\":{}", self.omitted);
        }
    }
}

/// The 422 answer, whose list may be long.
pub(super) struct RefusedAnswer {
    problem: Problem,
    refused: Refused,
}

impl RefusedAnswer {
    pub(super) fn respond(self) -> Response {
        let mut text = self.problem.open_json();
        text.push(',');
        self.refused.write(&mut text);
        text.push('}');
        json_response(self.problem.kind().parts().1, "application/problem+json", text)
    }
}

pub(super) fn json_response(status: StatusCode, kind: &'static str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, text).into_response()
}

/// The 201 answer.
pub(super) struct Answer<'a> {
    pub(super) batch: &'a Batch,
    pub(super) ledger: &'a str,
    pub(super) stored: &'a Stored,
    pub(super) taken: &'a Taken,
    pub(super) found: bool,
    pub(super) checkpoint: Option<&'a str>,
}

impl Answer<'_> {
    pub(super) fn write(&self, partial: bool) -> String {
        // Ids are of a set of characters that needs no escaping, and so are the names of ledgers.
        let mut out = String::with_capacity(64 + self.stored.placed.len() * (90 + self.ledger.len()));
        let mut conflicts = String::new();
        out.push_str("{\"events\":[");
        let mut first = true;
        for (row, placed) in self.stored.placed.iter().enumerate() {
            let (id, ledger, index) = (self.batch.event_id(row), self.ledger, placed.index());
            if let Placed::Conflict(_) = placed {
                let line = self.taken.lines.get(row).copied().unwrap_or(0);
                let comma = if conflicts.is_empty() { "" } else { "," };
                let _ = write!(
                    conflicts,
                    "{comma}{{\"line\":{line},\"event_id\":\"{id}\",\"ledger\":\"{ledger}\",\"index\":{index}}}"
                );
                continue;
            }
            out.push_str(if first { "{\"event_id\":\"" } else { ",{\"event_id\":\"" });
            first = false;
            out.push_str(id);
            out.push_str("\",\"ledger\":\"");
            out.push_str(ledger);
            out.push_str("\",\"index\":");
            let _ = write!(out, "{index}");
            out.push_str(if matches!(placed, Placed::Duplicate(_)) { ",\"duplicate\":true}" } else { "}" });
        }
        out.push(']');
        if self.taken.source_overwritten {
            out.push_str(",\"overwritten\":[\"event_source\"]");
        }
        if !self.found {
            out.push_str(",\"searchable\":false");
        }
        if let Some(checkpoint) = self.checkpoint {
            out.push_str(",\"checkpoint\":");
            out.push_str(&serde_json::to_string(checkpoint).unwrap_or_default());
        }
        if partial {
            out.push(',');
            self.taken.refused.write(&mut out);
            if !conflicts.is_empty() {
                let _ = write!(out, ",\"conflicts\":[{conflicts}]");
            }
        }
        out.push('}');
        out
    }
}
