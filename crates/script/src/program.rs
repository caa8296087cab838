//! What conditions and transforms have in common: compile, load what is wanted, run.

use std::sync::Arc;

use attestry_event::Nanos;
use vrl::compiler::Program as Compiled;
use vrl::value::{ObjectMap, Value};

use crate::compile::{Access, Output, compile};
use crate::load::load;
use crate::run::{Ended, run};
use crate::wanted::Wanted;
use crate::{CompileError, Finding, Input, Options, RunError};

/// The member of the metadata that says when the event came in.
pub(crate) const RECEIVED_AT: &str = "received_at";

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) source: Arc<str>,
    pub(crate) options: Options,
    pub(crate) warnings: Vec<Finding>,
    pub(crate) wanted: Wanted,
    needs_received: bool,
}

impl Program {
    pub(crate) fn compile(source: &str, options: &Options, access: Access) -> Result<Program, CompileError> {
        let Output { program, warnings, needs_received } = compile(source, options, access)?;
        let info = program.info();
        let wanted = Wanted::from_paths(info.target_queries.iter().chain(&info.target_assignments));
        let options = Options { time: options.time.min(Options::TIME_MAX), ..*options };
        Ok(Program {
            compiled: Arc::new(program),
            source: Arc::from(source),
            options,
            warnings,
            wanted,
            needs_received,
        })
    }

    /// Runs it on an event; `.0` is what it left of the parts that it wanted.
    pub(crate) fn run(&self, json: &str, received: Nanos) -> Result<(Value, Ended), RunError> {
        let mut event = load(json, &self.wanted, self.options.input, received)?;
        let mut metadata = ObjectMap::new();
        if self.needs_received {
            metadata.insert(RECEIVED_AT.into(), crate::load::timestamp(received));
        }
        let mut metadata = Value::Object(metadata);
        let ended = run(
            &self.compiled,
            &self.source,
            &mut event,
            &mut metadata,
            self.options.time,
            self.options.zone,
        )?;
        Ok((event, ended))
    }

    pub(crate) fn is_typed(&self) -> bool {
        self.options.input == Input::Event
    }
}

/// The text of what should be JSON.
pub(crate) fn utf8(json: &[u8]) -> Result<&str, RunError> {
    std::str::from_utf8(json).map_err(|error| RunError::Json { at: error.valid_up_to(), expected: "UTF-8" })
}
