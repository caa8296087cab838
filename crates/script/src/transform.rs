//! Another event made of an event.

use attestry_event::Nanos;

use crate::compile::Access;
use crate::program::{Program, utf8};
use crate::rewrite::rewrite;
use crate::run::Ended;
use crate::{CompileError, Finding, Options, RunError};

/// A program that changes events, or drops them by `abort`.
#[derive(Clone, Debug)]
pub struct Transform {
    program: Program,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is as it was, byte for byte.
    Unchanged,
    /// It is now this: one JSON object without line breaks of its own.
    Changed(Vec<u8>),
    /// The program said `abort`: there is no event any more.
    Dropped,
}

impl Transform {
    /// Compiles a transform.
    ///
    /// # Errors
    /// All that is wrong with the text, with lines and columns.
    pub fn compile(source: &str, options: &Options) -> Result<Transform, CompileError> {
        Ok(Transform { program: Program::compile(source, options, Access::Write)? })
    }

    /// What the compiler warns of.
    pub fn warnings(&self) -> &[Finding] {
        &self.program.warnings
    }

    /// The text it was made from.
    pub fn source(&self) -> &str {
        &self.program.source
    }

    /// Applies it to an event: one JSON object in the form a client sends. `received` is when the event came in (`%received_at`).
    ///
    /// What the program does not change keeps its bytes: order, number tokens, escapes. What it adds follows behind, top-level fields
    /// in the order of the event's fields, all else by name. Times are written in UTC with nine fractional digits; bytes that are no
    /// UTF-8 as U+FFFD.
    ///
    /// # Errors
    /// See [`RunError`].
    pub fn apply(&self, event: &[u8], received: Nanos) -> Result<Applied, RunError> {
        let json = utf8(event)?;
        match self.program.run(json, received)? {
            (_, Ended::Aborted) => Ok(Applied::Dropped),
            (left, Ended::With(_)) => {
                let changed = rewrite(json, &left, &self.program, received)?;
                Ok(changed.map_or(Applied::Unchanged, Applied::Changed))
            }
        }
    }
}
