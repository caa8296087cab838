//! Own rules, ready to run.

use attestry_event::{Entry, Field, LargeValue, write_event};
use attestry_script::{Condition, Options, Profile};
use attestry_store::{Expr, Query, Row, Subject, Test};

use crate::due::{Due, nanos};
use crate::limits::{BY_MAX, COUNT_MAX, STEPS_MAX};
use crate::message::Template;
use crate::path::Path;
use crate::written::WrittenRule;

/// What a rule looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each event.
    Match,
    /// So many within a time.
    Threshold,
    /// So many different values within a time.
    Distinct,
    /// One after the other.
    Sequence,
    /// What does not come.
    Absence,
    /// What was not there before.
    FirstSeen,
    /// A Sigma rule over single events.
    Sigma,
    /// A Sigma correlation.
    Correlation,
}

impl Kind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Match => "match",
            Kind::Threshold => "threshold",
            Kind::Distinct => "distinct",
            Kind::Sequence => "sequence",
            Kind::Absence => "absence",
            Kind::FirstSeen => "first_seen",
            Kind::Sigma => "sigma",
            Kind::Correlation => "correlation",
        }
    }
}

/// Which events.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    query: Option<Query>,
    script: Option<Condition>,
}

/// An entry with its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) row: Row<'a>,
    pub(crate) bytes: &'a [u8],
}

impl Seen<'_> {
    pub(crate) fn entry(&self) -> &Entry<'_> {
        self.row.entry
    }
}

impl Wanted {
    fn of(when: Option<&str>, vrl: Option<&str>, place: &str) -> Result<Wanted, String> {
        if when.is_none() && vrl.is_none() {
            return Err(format!("{place}: expected when or vrl"));
        }
        let read = |text: &str| {
            Query::parse(text).map_err(|error| {
                format!(
                    "{place}.when: {} at character {}; expected {}",
                    error.message,
                    error.position + 1,
                    error.expected
                )
            })
        };
        let options = Options { profile: Profile::Rules, ..Options::default() };
        let compile =
            |text: &str| Condition::compile(text, &options).map_err(|error| format!("{place}.vrl: {error}"));
        Ok(Wanted { query: when.map(read).transpose()?, script: vrl.map(compile).transpose()? })
    }

    /// Whether an entry is meant. A program that fails on it says no, and is counted.
    pub(crate) fn holds(&self, seen: &Seen<'_>, failures: &mut u64) -> bool {
        if self.query.as_ref().is_some_and(|query| !query.matches(&seen.row)) {
            return false;
        }
        let Some(script) = &self.script else { return true };
        let mut json = Vec::with_capacity(seen.bytes.len());
        let no_values: &[LargeValue] = &[];
        let done = write_event(seen.bytes, no_values, &mut json)
            .ok()
            .and_then(|()| script.holds(&json, seen.entry().received_at()).ok());
        *failures += u64::from(done.is_none());
        done.unwrap_or(false)
    }

    /// The event names that it can hold for; `None` when it can hold for any.
    fn names(&self) -> Option<Vec<String>> {
        self.query.as_ref().and_then(|query| names(query.expr()))
    }
}

/// The event names that an expression can hold for.
fn names(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Term(term) => match (&term.subject, &term.test) {
            (Subject::Field(Field::EventName), Test::Equals(name)) => Some(vec![name.clone()]),
            _ => None,
        },
        Expr::And(parts) => parts.iter().find_map(names),
        Expr::Or(parts) => {
            let each: Option<Vec<Vec<String>>> = parts.iter().map(names).collect();
            each.map(|each| each.concat())
        }
        Expr::All | Expr::Not(_) => None,
    }
}

/// What it looks for, with its numbers; times in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) enum Looks {
    Match(Wanted),
    Threshold { when: Wanted, count: u32, within: i64 },
    Distinct { when: Wanted, field: Path, count: u32, within: i64 },
    Sequence { steps: Vec<(Wanted, u32)>, within: i64 },
    Absence { when: Wanted, due: Due, expect: Vec<Vec<String>> },
    FirstSeen { when: Wanted, learn: i64, forget: i64 },
}

/// An own rule.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) looks: Looks,
    pub(crate) by: Vec<Path>,
    pub(crate) over: Option<Wanted>,
    pub(crate) over_after: i64,
    pub(crate) message: Option<Template>,
}

impl Own {
    /// Makes a rule ready.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of(written: &WrittenRule) -> Result<Own, String> {
        let WrittenRule { threshold, distinct, sequence, absence, first_seen, .. } = written;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if written.id.is_empty() || written.id.len() > 64 || !written.id.chars().all(fits) {
            return Err(format!("id: {:?}, expected 1 to 64 of a-z, 0-9, -, _ and .", written.id));
        }
        if written.title.trim().is_empty() {
            return Err("title: expected what has happened, in a few words".to_owned());
        }
        if written.by.len() > BY_MAX {
            return Err(format!("by: {} fields, expected at most {BY_MAX}", written.by.len()));
        }
        let by: Vec<Path> = written
            .by
            .iter()
            .map(|name| Path::parse(name).map_err(|what| format!("by: {what}")))
            .collect::<Result<_, _>>()?;
        let given = [
            threshold.is_some(),
            distinct.is_some(),
            sequence.is_some(),
            absence.is_some(),
            first_seen.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            return Err(
                "expected at most one of threshold, distinct, sequence, absence and first_seen".to_owned()
            );
        }
        let when = || Wanted::of(written.when.as_deref(), written.vrl.as_deref(), "the rule");
        let count = |place: &str, count: u32| match count {
            2..=COUNT_MAX => Ok(count),
            _ => Err(format!("{place}.count: {count}, expected 2 to {COUNT_MAX}")),
        };
        let looks = if let Some(of) = threshold {
            Looks::Threshold {
                when: when()?,
                count: count("threshold", of.count)?,
                within: nanos(of.within.0),
            }
        } else if let Some(of) = distinct {
            let field = Path::parse(&of.field).map_err(|what| format!("distinct.field: {what}"))?;
            Looks::Distinct {
                when: when()?,
                field,
                count: count("distinct", of.count)?,
                within: nanos(of.within.0),
            }
        } else if let Some(of) = sequence {
            if written.when.is_some() || written.vrl.is_some() {
                return Err("a sequence has when and vrl in its steps, not beside them".to_owned());
            }
            if !(2..=STEPS_MAX).contains(&of.steps.len()) {
                return Err(format!("sequence.steps: {}, expected 2 to {STEPS_MAX}", of.steps.len()));
            }
            let mut steps = Vec::new();
            for (nth, step) in of.steps.iter().enumerate() {
                let place = format!("sequence.steps[{nth}]");
                if !(1..=COUNT_MAX).contains(&step.count) {
                    return Err(format!("{place}.count: {}, expected 1 to {COUNT_MAX}", step.count));
                }
                steps.push((Wanted::of(step.when.as_deref(), step.vrl.as_deref(), &place)?, step.count));
            }
            Looks::Sequence { steps, within: nanos(of.within.0) }
        } else if let Some(of) = absence {
            if of.expect.iter().any(|group| group.len() != by.len()) {
                return Err(format!(
                    "absence.expect: expected {} values in each, as many as by has",
                    by.len()
                ));
            }
            let due = Due::of(of)?;
            Looks::Absence { when: when()?, due, expect: of.expect.clone() }
        } else if let Some(of) = first_seen {
            if by.is_empty() {
                return Err("first_seen: expected by: what may be new".to_owned());
            }
            Looks::FirstSeen { when: when()?, learn: nanos(of.learn.0), forget: nanos(of.forget.0) }
        } else {
            Looks::Match(when()?)
        };
        let over = written.resolve.when.as_deref();
        let over = over.map(|text| Wanted::of(Some(text), None, "resolve")).transpose()?;
        if written.resolve.after.0.as_secs() == 0 {
            return Err("resolve.after: expected at least a second".to_owned());
        }
        let message = written.message.as_deref().map(Template::parse).transpose();
        let message = message.map_err(|what| format!("message: {what}"))?;
        Ok(Own { looks, by, over, over_after: nanos(written.resolve.after.0), message })
    }

    /// Whether it tells the new from the usual.
    pub(crate) fn learns(&self) -> bool {
        matches!(self.looks, Looks::FirstSeen { .. })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.looks {
            Looks::Match(_) => Kind::Match,
            Looks::Threshold { .. } => Kind::Threshold,
            Looks::Distinct { .. } => Kind::Distinct,
            Looks::Sequence { .. } => Kind::Sequence,
            Looks::Absence { .. } => Kind::Absence,
            Looks::FirstSeen { .. } => Kind::FirstSeen,
        }
    }

    /// The event names that concern it; `None` for all.
    pub(crate) fn names(&self) -> Option<Vec<String>> {
        let looks = match &self.looks {
            Looks::Match(when)
            | Looks::Threshold { when, .. }
            | Looks::Distinct { when, .. }
            | Looks::Absence { when, .. }
            | Looks::FirstSeen { when, .. } => when.names()?,
            Looks::Sequence { steps, .. } => {
                let each: Option<Vec<Vec<String>>> = steps.iter().map(|(when, _)| when.names()).collect();
                each?.concat()
            }
        };
        let over = match &self.over {
            Some(over) => over.names()?,
            None => Vec::new(),
        };
        let mut all: Vec<String> = looks.into_iter().chain(over).collect();
        all.sort();
        all.dedup();
        Some(all)
    }
}
