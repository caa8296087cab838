//! One run of a program, within its bounds.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use vrl::compiler::runtime::{ExecutionControl, Runtime, Terminate};
use vrl::compiler::{ExpressionError, Program as Compiled, TargetValueRef, TimeZone};
use vrl::value::{Secrets, Value};

use crate::Zone;

use crate::compile::place;

/// Why a run gave nothing. The event is as it was. None of these goes away by trying again with the same program.
///
/// The messages are for people, and may quote the event: they belong where the event may be seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The event is not JSON that can be read.
    #[error("the event is not JSON: expected {expected} at byte {at}")]
    Json {
        /// Where, in bytes of what was being read.
        at: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// A field of the event that the program reads is of another type than an event has there.
    #[error("{field} of the event must be {expected}")]
    Input {
        /// The field.
        field: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// What the program left in a field is not what an event can have there.
    #[error("the program left {field} as {found}; it must be {expected}")]
    Output {
        /// The field, or `event` for the whole.
        field: String,
        /// What is there.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The program failed: a function marked with `!` had an error, or an `assert` did not hold.
    #[error("line {line}, column {column}: {message}")]
    Failed {
        /// The line within the program's text, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What VRL says of it.
        message: String,
    },
    /// It took longer than it may.
    #[error("the program took longer than {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// What it gives is larger than an event can be.
    #[error("the program gives more than {0} bytes")]
    TooLarge(usize),
    /// A function panicked on this event: a mistake in VRL.
    #[error("a function of the program panicked")]
    Panicked,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With the value of the last expression.
    With(Value),
    /// By `abort`.
    Aborted,
}

pub(crate) fn run(
    program: &Compiled,
    source: &str,
    event: &mut Value,
    metadata: &mut Value,
    time: Duration,
    zone: Zone,
) -> Result<Ended, RunError> {
    let mut deadline = Deadline::new(time);
    let mut secrets = Secrets::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut target = TargetValueRef { value: event, metadata, secrets: &mut secrets };
        Runtime::default().resolve_with_control(&mut target, program, &zone.known(), &mut deadline)
    }));
    match result {
        Err(_) => Err(RunError::Panicked),
        Ok(Ok(value)) => Ok(Ended::With(value)),
        Ok(Err(Terminate::Interrupted)) => Err(RunError::TooSlow(time)),
        Ok(Err(Terminate::Abort(ExpressionError::Abort { .. }))) => Ok(Ended::Aborted),
        Ok(Err(Terminate::Abort(error) | Terminate::Error(error))) => Err(failed(source, &error)),
    }
}

impl Zone {
    fn known(self) -> TimeZone {
        match self {
            // Whatever the zone of the machine.
            Zone::Utc => TimeZone::parse("UTC").unwrap_or_default(),
            Zone::Host => TimeZone::Local,
        }
    }
}

fn failed(source: &str, error: &ExpressionError) -> RunError {
    use vrl::diagnostic::DiagnosticMessage;
    let labels = error.labels();
    let label = labels.iter().find(|label| label.primary).or_else(|| labels.first());
    let mut message = error.message();
    let mut at = label.map_or(0, |label| label.span.start());
    // A failed call names its place in bytes, `function call error for "to_int" at (3:20): …`.
    let call = message.split_once(" at (").and_then(|(call, rest)| Some((call, rest.split_once("): ")?)));
    if let Some((call, (span, reason))) = call
        && let Some(start) = span.split_once(':').and_then(|(start, _)| start.parse().ok())
    {
        at = start;
        message = format!("{call}: {reason}");
    }
    let (line, column) = place(source, at);
    RunError::Failed { line, column, message }
}

/// Ends a run that takes too long.
struct Deadline {
    time: Duration,
    begun: Instant,
    /// The thread's processor time when the time was first over.
    over_at: Option<Duration>,
    checks: u32,
}

/// Every so many expressions the clock is looked at: what they do in between is bounded, too, and the clock costs as much as several.
const CHECK_EVERY: u32 = 8;

impl Deadline {
    fn new(time: Duration) -> Deadline {
        Deadline { time, begun: Instant::now(), over_at: None, checks: 0 }
    }

    fn is_over(&mut self) -> bool {
        if self.begun.elapsed() < self.time {
            return false;
        }
        // The thread may not have been running for most of it.
        let used = thread_time();
        let over_at = *self.over_at.get_or_insert(used);
        used.saturating_sub(over_at) >= self.time
    }
}

impl ExecutionControl for Deadline {
    fn checkpoint(&mut self) -> ControlFlow<()> {
        self.checks = self.checks.wrapping_add(1);
        if self.checks.is_multiple_of(CHECK_EVERY) && self.is_over() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// The processor time this thread has had.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}
