//! Making a program of its text, and saying where and why that fails.

use std::collections::BTreeMap;
use std::fmt;

use attestry_event::{Field, nearest_name};
use vrl::compiler::state::{ExternalEnv, TypeState};
use vrl::compiler::{CompilationResult, CompileConfig, Program as Compiled};
use vrl::diagnostic::{Diagnostic, DiagnosticList, Formatter, Severity, Span};
use vrl::path::{OwnedSegment, OwnedTargetPath, PathPrefix};
use vrl::value::Kind;
use vrl::value::kind::Collection;

use crate::load::Expected;
use crate::program::RECEIVED_AT;
use crate::syslog::NeedsReceived;
use crate::{Input, Options, functions};

/// Something the compiler has to say of a program's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line within the text, from 1.
    pub line: usize,
    /// The column within the line in characters, from 1.
    pub column: usize,
    /// What it is, in one line.
    pub message: String,
    /// The message with the line of the text and marks below it: several lines, for a terminal or a page.
    pub rendered: String,
}

/// The text is no program that can be run. Holds all that was found, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    findings: Vec<Finding>,
}

impl CompileError {
    /// What is wrong, in the order of the text.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Where the first mistake is: line and column, from 1.
    pub fn place(&self) -> (usize, usize) {
        self.findings.first().map_or((1, 1), |finding| (finding.line, finding.column))
    }

    /// All of it with the lines of the text.
    pub fn rendered(&self) -> String {
        let parts: Vec<&str> = self.findings.iter().map(|finding| finding.rendered.as_str()).collect();
        parts.join("\n")
    }

    /// Of what was found, at least one.
    pub(crate) fn of(findings: Vec<Finding>) -> CompileError {
        CompileError { findings }
    }

    /// Several as one, in the order of the text.
    pub(crate) fn all(errors: Vec<CompileError>) -> Option<CompileError> {
        let mut findings: Vec<Finding> = errors.into_iter().flat_map(|error| error.findings).collect();
        findings.sort_by_key(|finding| (finding.line, finding.column));
        (!findings.is_empty()).then_some(CompileError { findings })
    }

    pub(crate) fn one(source: &str, span: Span, message: &str, note: &str) -> CompileError {
        let diagnostic = Diagnostic::new(Severity::Error, CODE, message, vec![], vec![]);
        CompileError { findings: findings(source, diagnostic.with_primary(note, span).into()) }
    }
}

/// The number of our own messages; VRL's have three digits below.
const CODE: usize = 900;

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, finding) in self.findings.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "line {}, column {}: {}", finding.line, finding.column, finding.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}

/// What the compiler gives.
pub(crate) struct Output {
    pub(crate) program: Compiled,
    pub(crate) warnings: Vec<Finding>,
    pub(crate) needs_received: bool,
}

/// Whether a program may change the event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

pub(crate) fn compile(source: &str, options: &Options, access: Access) -> Result<Output, CompileError> {
    let mut config = CompileConfig::default();
    config.set_custom(NeedsReceived::default());
    match access {
        Access::Read => config.set_read_only(),
        Access::Write => config.set_read_only_path(OwnedTargetPath::metadata_root(), true),
    }
    let state = TypeState { external: environment(options.input), ..TypeState::default() };
    let result = vrl::compiler::compile_with_state(source, functions::of(options.profile), &state, config);
    let CompilationResult { program, warnings, config } = match result {
        Ok(result) => result,
        Err(diagnostics) => {
            let unknown = match options.input {
                Input::Event => unknown_names(source, &diagnostics),
                Input::Json => Vec::new(),
            };
            let mut findings = findings(source, diagnostics);
            for (span, name) in unknown {
                findings.extend(no_field(source, span, name).findings);
            }
            findings.sort_by_key(|finding| (finding.line, finding.column));
            return Err(CompileError { findings });
        }
    };
    if options.input == Input::Event {
        check_names(source, &program)?;
    }
    if access == Access::Write {
        check_outcome(source, &program, options.input)?;
    }
    let info = program.info();
    let needs_received = config.get_custom::<NeedsReceived>().is_some_and(|needs| needs.0)
        || info.target_queries.iter().any(|path| path.prefix == PathPrefix::Metadata);
    Ok(Output { warnings: findings(source, warnings), needs_received, program })
}

/// The types of what a program gets.
fn environment(input: Input) -> ExternalEnv {
    let metadata = object([(RECEIVED_AT, Kind::timestamp())]);
    let target = match input {
        Input::Json => Kind::object(Collection::json()),
        Input::Event => {
            let names = Field::ALL.iter().map(|field| field.name()).chain(["event_data"]);
            object(names.filter_map(|name| Some((name, kind(Expected::of(name)?)))))
        }
    };
    ExternalEnv::new_with_kind(target, metadata)
}

pub(crate) fn object<'n>(members: impl IntoIterator<Item = (&'n str, Kind)>) -> Kind {
    let known: BTreeMap<_, _> = members.into_iter().map(|(name, kind)| (name.into(), kind)).collect();
    Kind::object(Collection::from_parts(known, Kind::undefined()))
}

/// The type a program sees.
fn kind(expected: Expected) -> Kind {
    match expected {
        Expected::Name | Expected::Address => Kind::bytes(),
        Expected::Time => Kind::timestamp(),
        Expected::Bool => Kind::boolean(),
        Expected::Data => Kind::object(Collection::json()),
        Expected::Severity => Kind::integer().or_null(),
        Expected::Count => Kind::integer().or_bytes().or_null(),
        Expected::Relays => Kind::array(Collection::from_unknown(Kind::bytes())).or_null(),
        Expected::Text => Kind::bytes().or_null(),
    }
}

/// Names of the event that a program uses must be fields; those that say where an event came from are not the program's to write.
fn check_names(source: &str, program: &Compiled) -> Result<(), CompileError> {
    let info = program.info();
    for path in info.target_queries.iter().chain(&info.target_assignments) {
        let Some(name) = first_name(path) else { continue };
        if Expected::of(name).is_some() {
            continue;
        }
        return Err(no_field(source, find(source, name), name));
    }
    for path in &info.target_assignments {
        let Some(name) = first_name(path) else { continue };
        if OF_THE_WAY.contains(&name) {
            let message = format!("{name} cannot be changed");
            let note = "it says which way the event came";
            return Err(CompileError::one(source, find(source, name), &message, note));
        }
    }
    Ok(())
}

fn no_field(source: &str, span: Span, name: &str) -> CompileError {
    let note = match nearest_name(name) {
        _ if name == "received_at" => "when the event came in is %received_at".to_owned(),
        Some(near) => format!("did you mean .{near}, or .event_data.{name}?"),
        None => format!("what is no field of the event stands in .event_data: .event_data.{name}"),
    };
    CompileError::one(source, span, &format!("an event has no field {name}"), &note)
}

/// Names that are no field in what the compiler complains of: to the compiler they are null, and its complaint is of that.
fn unknown_names<'s>(source: &'s str, diagnostics: &DiagnosticList) -> Vec<(Span, &'s str)> {
    let mut unknown = Vec::new();
    for label in diagnostics.iter().flat_map(|diagnostic| &diagnostic.labels) {
        let Some(text) = source.get(label.span.range()) else { continue };
        for (at, _) in text.match_indices('.') {
            let in_path = |before: char| before.is_alphanumeric() || "_@)]}\"'.".contains(before);
            let rest = text.get(at + 1..).unwrap_or_default();
            let end =
                rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(rest.len());
            let name = rest.get(..end).unwrap_or_default();
            if name.is_empty() || text.get(..at).is_some_and(|before| before.ends_with(in_path)) {
                continue;
            }
            let start = label.span.start() + at;
            let found = (Span::new(start, start + 1 + end), name);
            if Expected::of(name).is_none() && !unknown.contains(&found) {
                unknown.push(found);
            }
        }
    }
    unknown
}

/// What a program can read and not change: losses are counted by it.
pub(crate) const OF_THE_WAY: &[&str] = &["via", "agent", "agent_epoch", "agent_seq"];

/// What a transform leaves must be able to be an event.
fn check_outcome(source: &str, program: &Compiled, input: Input) -> Result<(), CompileError> {
    let end = program.final_type_info().state.external;
    let event = end.target_kind();
    if !event.contains_object() && !event.is_never() {
        let note = "one event stays one event: . must be an object";
        return Err(CompileError::one(source, last_line(source), "the program leaves no event", note));
    }
    let Some(members) = event.as_object() else { return Ok(()) };
    for (name, left) in members.known() {
        let name = name.as_str();
        let Some(expected) = Expected::of(name) else {
            if input == Input::Json || left.is_undefined() {
                continue;
            }
            let message = format!("the program leaves {name}, which is no field of an event");
            let note = format!("it can stand in event_data: .event_data.{name}");
            return Err(CompileError::one(source, find(source, name), &message, &note));
        };
        let mut taken = kind(expected).or_null().or_undefined();
        if expected == Expected::Time {
            taken = taken.or_bytes();
        }
        if !left.intersects(&taken) && !left.is_never() {
            let message = format!("the program leaves {name} as {left}");
            let note = format!("it must be {}", expected.text());
            return Err(CompileError::one(source, find(source, name), &message, &note));
        }
    }
    Ok(())
}

fn first_name(path: &OwnedTargetPath) -> Option<&str> {
    match (path.prefix, path.path.segments.first()) {
        (PathPrefix::Event, Some(OwnedSegment::Field(name))) => Some(name.as_str()),
        _ => None,
    }
}

/// Where the field is named: the compiler does not keep it.
fn find(source: &str, name: &str) -> Span {
    let bounded = |end: usize| {
        !source.get(end..).is_some_and(|rest| {
            rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_' || next == '@')
        })
    };
    let named = |dotted: String| {
        let places = source.match_indices(&dotted);
        let mut ends = places.map(|(start, text)| (start, start + text.len()));
        ends.find(|(_, end)| bounded(*end)).map(|(start, end)| Span::new(start, end))
    };
    named(format!(".{name}")).or_else(|| named(name.to_owned())).unwrap_or_else(|| last_line(source))
}

/// The last line that says something: its value is the program's.
pub(crate) fn last_line(source: &str) -> Span {
    let text = source.trim_end();
    let start = text.rfind('\n').map_or(0, |newline| newline + 1);
    let blank = text.get(start..).map_or(0, |line| line.len() - line.trim_start().len());
    Span::new(start + blank, text.len())
}

/// What VRL says, one by one. The links below each message, that lead to the language's web pages, are left out.
pub(crate) fn findings(source: &str, diagnostics: DiagnosticList) -> Vec<Finding> {
    let each = diagnostics.into_iter().map(|diagnostic| {
        let labels = &diagnostic.labels;
        let label = labels.iter().find(|label| label.primary).or_else(|| labels.first());
        let (line, column) = place(source, label.map_or(0, |label| label.span.start()));
        let message = match label {
            Some(label) if !label.message.is_empty() && label.message != diagnostic.message => {
                format!("{}: {}", diagnostic.message, label.message)
            }
            _ => diagnostic.message.clone(),
        };
        let rendered = Formatter::new(source, diagnostic).to_string();
        let kept = rendered.lines().filter(|line| {
            let note = line.trim_start();
            !note.starts_with("= see ")
                && !note.starts_with("= try your code")
                && !note.starts_with("= learn more")
        });
        let rendered = kept.collect::<Vec<_>>().join("\n").trim().to_owned();
        Finding { line, column, message: message.replace('\n', " "), rendered }
    });
    let mut findings: Vec<Finding> = each.collect();
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings
}

/// Line and column of a byte, from 1.
pub(crate) fn place(source: &str, at: usize) -> (usize, usize) {
    let before = source.char_indices().take_while(|(start, _)| *start < at);
    before.fold((1, 1), |(line, column), (_, char)| match char {
        '\n' => (line + 1, 1),
        _ => (line, column + 1),
    })
}
