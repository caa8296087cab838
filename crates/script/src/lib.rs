//! What does a program in VRL say of an event?
//!
//! A [`Condition`] says whether an event is wanted, a [`Transform`] makes another event of it, or drops it. Both are written in VRL (the
//! Vector Remap Language), compiled once against the types of an event's fields, and run on an event's JSON in the form that a client
//! sends and `attestry_event::write_event` gives. `docs/scripts.md` is the users' manual; the [`cases`](run_cases) that stand beside a
//! program in the configuration show that it does what it should.
//!
//! What a program can do is bounded: its functions are [chosen by name](Profile) and reach nothing outside, its time is
//! [limited](Options::time), a panic in a function ends the run and nothing else (so this must not be built with `panic = "abort"`), and
//! what it gives is at most 16 MiB. Whatever fails leaves the event as it was and says so in a [`RunError`]; what becomes of that event is
//! the caller's to decide. After a redaction that failed it must not be passed on as it is.
//!
//! A [`Rule`] says what is wrong with a row of a table, or with the change of one; its columns have types, and exact numbers stay exact.
//!
//! A [`Parser`] is a transform that is there by name, for the lines of well-known programs.
//!
//! This crate knows no disk, no network and no pipeline.

mod cases;
mod columns;
mod compile;
mod condition;
mod decimal;
mod exact;
mod functions;
mod json;
mod load;
mod number;
mod parsers;
mod program;
mod rewrite;
mod rule;
mod run;
mod syslog;
mod transform;
mod wanted;

use std::time::Duration;

pub use cases::{Case, CaseResult, Expect, Scripts, run_cases};
pub use columns::nearest;
pub use compile::{CompileError, Finding};
pub use condition::Condition;
pub use decimal::{Decimal, DecimalError, MAX_DIGITS};
pub use parsers::Parser;
pub use rule::{Given, Rule, RuleColumn, Seen};
pub use run::RunError;
pub use transform::{Applied, Transform};

/// How a program is compiled and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The functions it may call.
    pub profile: Profile,
    /// What it gets.
    pub input: Input,
    /// How long one run may take: so much of time as it passes, and when that is over once more as much of the thread's processor time,
    /// so that a busy machine ends no innocent program. Looked at between expressions: one call of a function is not interrupted.
    /// At most [`Options::TIME_MAX`], by default [`Options::TIME`].
    pub time: Duration,
    /// What times without a zone mean: those of lines that programs of this host write.
    pub zone: Zone,
}

impl Options {
    /// The default of [`time`](Self::time), 10 ms: some thousand times what a usual program takes.
    pub const TIME: Duration = Duration::from_millis(10);

    /// The most that [`time`](Self::time) can be, 100 ms. What a loop can build in that time (depth of nesting, memory) is what the stack
    /// and the memory of a server bear.
    pub const TIME_MAX: Duration = Duration::from_millis(100);
}

impl Default for Options {
    fn default() -> Options {
        Options { profile: Profile::Filter, input: Input::Event, time: Options::TIME, zone: Zone::Utc }
    }
}

/// The functions a program may call. None reaches the network, a file, the environment or the log, or knows the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// For conditions and transforms.
    Filter,
    /// For rules that are replayed: without those functions whose cost depends on the text so much that a run could end in time on
    /// one machine and not on another; with those for exact decimals.
    Rules,
}

/// What times without a zone are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// UTC, wherever the program runs: the same event always gives the same.
    Utc,
    /// The zone of this host.
    Host,
}

/// What a program gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// An event as a client would send it. Its fields have types, a name that is no field is a mistake of the program.
    Event,
    /// Any JSON object, of which a transform is to make an event: a foreign queue's messages.
    Json,
}
