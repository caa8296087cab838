//! What is no event is kept inside of one.

use attestry_event::{Batch, Border, Event, Outcome};
use serde_json::{Value, json};

use super::{Intake, Told, json};
use crate::Verdict;
use crate::filter::ask;

/// Bytes of the text that are kept.
const RAW_BYTES: usize = 1 << 20;

impl Intake {
    /// Adds a `gap.malformed` event to the batch.
    pub(super) fn keep_malformed(&self, raw: Option<Vec<u8>>, problems: Vec<Told>, batch: &mut Batch) {
        // It is Attestry's own, whoever sent what is in it.
        let border = Border { reserved_names: true, lenient: true, agent: false, ..self.border() };
        let event = self.event_of(raw.as_deref(), &problems);
        let added = if self.redactions.is_empty() {
            batch.push(&event, &border)
        } else {
            match self.redacted(json::of_event(&event)) {
                Some(json) => batch.push_json(&json, &border),
                None => batch.push(&self.event_of(None, &problems), &border),
            }
        };
        if added.is_ok() {
            return;
        }
        // A redaction that makes no event of it. Fields of ours, and short, so this is one.
        if let Err(problems) = batch.push(&self.event_of(None, &problems), &border) {
            tracing::error!(problems = format!("{problems:?}"), "what is no event could not be kept");
        }
    }

    /// The event after redaction; `None` when that fails, or would have it dropped.
    fn redacted(&self, mut json: Vec<u8>) -> Option<Vec<u8>> {
        for redaction in &self.redactions {
            match ask(|| redaction(&json)) {
                Verdict::Keep => {}
                Verdict::Change(changed) => json = changed,
                Verdict::Drop | Verdict::Fail(_) => return None,
            }
        }
        Some(json)
    }

    fn event_of(&self, raw: Option<&[u8]>, problems: &[Told]) -> Event {
        let list: Vec<Value> = problems
            .iter()
            .map(|told| match raw {
                Some(_) => json!({ "field": told.field, "found": told.found, "expected": told.expected }),
                // What was found is part of the text.
                None => json!({ "field": told.field, "expected": told.expected }),
            })
            .collect();
        let mut event = Event::new("gap.malformed", "-")
            .outcome(Outcome::Failure)
            .severity(4)
            .message(format!("what {} sent is no event and is kept as it is", self.options.event_source))
            .data("problems", list);
        if let Some(raw) = raw {
            let kept = raw.get(..RAW_BYTES.min(raw.len())).unwrap_or_default();
            // A character that the cut divides goes, too.
            let kept = match std::str::from_utf8(kept) {
                Err(error) if kept.len() < raw.len() && error.error_len().is_none() => {
                    kept.get(..error.valid_up_to()).unwrap_or_default()
                }
                _ => kept,
            };
            let text = String::from_utf8_lossy(kept);
            event = event.data("bytes", raw.len() as u64);
            if matches!(text, std::borrow::Cow::Owned(_)) {
                event = event.data("invalid_utf8", true);
            }
            if kept.len() < raw.len() {
                event = event.data("cut_bytes", (raw.len() - kept.len()) as u64);
            }
            event = event.data("raw", text.into_owned());
        }
        self.decorate(&mut event);
        event
    }
}
