//! Which questions were recorded lately: a page that asks for a list, a histogram and ten columns of values asks one question.
//!
//! The record of a question says who asked what of which ledgers and times. Asking it again within a minute, in another form or
//! to refresh a page, is not recorded again; the first thing anybody does to see other events is.

use std::collections::HashMap;
use std::time::Duration;

use attestry_event::Nanos;
use parking_lot::Mutex;

use crate::auth::Caller;
use crate::search::Which;

/// How long a question counts as asked.
const REMEMBERED: Duration = Duration::from_secs(60);

/// More questions than this within a minute are all recorded.
const MOST: usize = 10_000;

/// The questions of the last minute.
#[derive(Default)]
pub(crate) struct Searched(Mutex<HashMap<String, Nanos>>);

impl Searched {
    /// Whether this question is to be recorded: it was not asked by this caller, from this address, within the last minute.
    pub(crate) fn is_new(&self, caller: &Caller, which: &Which, now: Nanos) -> bool {
        let asked =
            format!("{:?}", (caller.name(), caller.address, &which.q, &which.from, &which.to, &which.ledger));
        let oldest = Nanos(now.0.saturating_sub(REMEMBERED.as_nanos() as i64));
        let mut questions = self.0.lock();
        if questions.get(&asked).is_some_and(|at| *at > oldest && *at <= now) {
            return false;
        }
        if questions.len() >= MOST {
            questions.retain(|_, at| *at > oldest);
        }
        if questions.len() < MOST {
            questions.insert(asked, now);
        }
        true
    }
}
