//! Whether an event is wanted.

use attestry_event::Nanos;
use vrl::value::{Kind, Value};

use crate::compile::{Access, last_line};
use crate::program::{Program, utf8};
use crate::run::Ended;
use crate::{CompileError, Finding, Options, RunError};

/// A program that says yes or no of an event, and changes nothing.
#[derive(Clone, Debug)]
pub struct Condition {
    program: Program,
}

impl Condition {
    /// Compiles a condition. Its last expression must be true or false, whatever the event.
    ///
    /// # Errors
    /// All that is wrong with the text, with lines and columns.
    pub fn compile(source: &str, options: &Options) -> Result<Condition, CompileError> {
        let program = Program::compile(source, options, Access::Read)?;
        let result = program.compiled.final_type_info().result;
        let kind: Kind = result.kind().union(result.returns().clone());
        if !kind.is_boolean() {
            let note = format!("this is {kind}");
            let message = "a condition must be true or false";
            return Err(CompileError::one(source, last_line(source), message, &note));
        }
        if program.compiled.info().abortable {
            let at = source.find("abort").unwrap_or(0);
            let span = vrl::diagnostic::Span::new(at, (at + "abort".len()).min(source.len()));
            let message = "a condition cannot abort";
            return Err(CompileError::one(source, span, message, "say true or false"));
        }
        Ok(Condition { program })
    }

    /// What the compiler warns of.
    pub fn warnings(&self) -> &[Finding] {
        &self.program.warnings
    }

    /// The text it was made from.
    pub fn source(&self) -> &str {
        &self.program.source
    }

    /// Whether it is true of this event: one JSON object in the form a client sends. `received` is when the event came in
    /// (`%received_at`). Only the parts that the program names are parsed.
    ///
    /// # Errors
    /// See [`RunError`].
    pub fn holds(&self, event: &[u8], received: Nanos) -> Result<bool, RunError> {
        match self.program.run(utf8(event)?, received)?.1 {
            Ended::With(Value::Boolean(holds)) => Ok(holds),
            Ended::With(other) => Err(RunError::Output {
                field: "the condition".to_owned(),
                found: other.kind_str().to_owned(),
                expected: "true or false",
            }),
            Ended::Aborted => Ok(false),
        }
    }
}
