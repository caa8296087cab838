//! What stands between a way in or out and the events: names, a transform, a condition, and the cases that show what they do.

use attestry_event::Methods;
use attestry_script::{Case, CompileError, Condition, Input, Options, Parser, Transform, Zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::methods;

/// Which events, by name.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MethodLists {
    /// Names such as `login.failure`, `login.all` or `all`. Empty, with something excluded: everything else.
    pub(crate) include: Vec<String>,
    /// Names that are left out, whatever is included.
    pub(crate) exclude: Vec<String>,
}

/// The items of a receiver, source or sink that filter, as they are written.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) methods: Option<&'a MethodLists>,
    pub(crate) redact: Option<&'a str>,
    pub(crate) parser: Option<&'a str>,
    /// What times without a zone mean in lines that are parsed.
    pub(crate) zone: Zone,
    pub(crate) transform: Option<&'a str>,
    pub(crate) condition: Option<&'a str>,
    pub(crate) tests: &'a [Case],
}

/// The same, ready to be asked: redaction, then the parser, then the transform, then the condition of what the transform left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    pub(crate) methods: Option<Methods>,
    pub(crate) redact: Option<Transform>,
    pub(crate) parser: Option<Parser>,
    pub(crate) transform: Option<Transform>,
    pub(crate) condition: Option<Condition>,
    pub(crate) tests: Vec<Case>,
}

/// A mistake in one of the items: its name, the line within a script's text (from 1) if it is one, and what is wrong.
pub(crate) type Wrong = (&'static str, Option<usize>, String);

impl Written<'_> {
    /// Compiles everything. `input` is what a transform gets: an event, or any JSON of a foreign queue.
    pub(crate) fn compile(self, input: Input) -> (Filters, Vec<Wrong>) {
        let mut wrong: Vec<Wrong> = Vec::new();
        let methods = self.methods.and_then(|lists| {
            let found = Methods::new(&lists.include, &lists.exclude);
            let found = found.map_err(|error| wrong.push(("methods", None, error.to_string()))).ok();
            for name in lists.include.iter().chain(&lists.exclude) {
                if let Some(problem) = methods::unknown(name) {
                    wrong.push(("methods", None, problem));
                }
            }
            found
        });
        let parser = self.parser.and_then(|name| {
            let options = Options { zone: self.zone, ..Options::default() };
            match Parser::named(name, &options) {
                _ if input == Input::Json => {
                    let what = "it reads events, and `input` is json".to_owned();
                    wrong.push(("parser", None, what));
                    None
                }
                None => {
                    let known = Parser::names().collect::<Vec<_>>().join(", ");
                    wrong.push(("parser", None, format!("there is no parser {name:?}, there are {known}")));
                    None
                }
                Some(Err(error)) => {
                    wrong.push(("parser", None, error.to_string()));
                    None
                }
                Some(Ok(parser)) => Some(parser),
            }
        });
        let mut script = |item: &'static str, error: CompileError| {
            wrong.push((item, Some(error.place().0), error.to_string()));
        };
        let options = Options { input, ..Options::default() };
        let mut program = |item: &'static str, source: Option<&str>| {
            source.and_then(|source| {
                Transform::compile(source, &options).map_err(|error| script(item, error)).ok()
            })
        };
        let redact = program("redact", self.redact);
        let transform = program("transform", self.transform);
        let condition = self.condition.and_then(|source| {
            Condition::compile(source, &Options::default()).map_err(|error| script("where", error)).ok()
        });
        (Filters { methods, redact, parser, transform, condition, tests: self.tests.to_vec() }, wrong)
    }
}
