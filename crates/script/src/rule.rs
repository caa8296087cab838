//! What a rule says of a row of a table.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use vrl::compiler::state::TypeState;
use vrl::compiler::{CompilationResult, CompileConfig, Program as Compiled};
use vrl::diagnostic::{DiagnosticList, Span};
use vrl::path::{OwnedSegment, PathPrefix};
use vrl::value::{Kind, ObjectMap, Value};

use crate::columns::{Walk, walk};
use crate::compile::{findings, last_line, object};
use crate::run::{Ended, run};
use crate::syslog::NeedsReceived;
use crate::{CompileError, Finding, Options, Profile, RunError, Zone, functions};

/// A column as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleColumn {
    /// Its name.
    pub name: String,
    /// What its values are to a rule.
    pub seen: Seen,
    /// Whether it can be NULL: a rule must say what then.
    pub nullable: bool,
    /// Whether no rule may see it.
    pub masked: bool,
}

/// What values of a column are to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An integer of 64 signed bits.
    Int,
    /// An integer, and beyond 64 signed bits a string of digits, for the `decimal_` functions.
    Unsigned,
    /// A string, for the `decimal_` functions: `>` and the like would compare it as text and are refused.
    Decimal,
    /// A float.
    Float,
    /// True or false.
    Bool,
    /// A string.
    Text,
    /// A timestamp.
    Time,
}

/// A value that a rule is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Given<'a> {
    /// NULL, and what cannot be had in the column's type.
    Null,
    /// An integer.
    Int(i64),
    /// A float; NaN becomes the string `NaN`.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A string of any bytes.
    Text(Cow<'a, [u8]>),
    /// A time: seconds since 1970 in UTC and nanoseconds.
    Time(i64, u32),
}

/// A program that says what is wrong with a row, or with the change of one, if anything is.
#[derive(Clone, Debug)]
pub struct Rule {
    compiled: Arc<Compiled>,
    source: Arc<str>,
    time: Duration,
    warnings: Vec<Finding>,
    /// The rows it looks at: the place among the rows, the name, and the columns that it wants.
    wanted: Vec<WantedRow>,
}

#[derive(Clone, Debug)]
struct WantedRow {
    place: usize,
    name: &'static str,
    columns: Vec<(usize, String)>,
}

impl Rule {
    /// Compiles a rule over rows of these names (`row`, or `original` and `updated`), which all have these columns. It must give a string
    /// (what is wrong) or null (nothing is), whatever the row.
    ///
    /// # Errors
    /// All that is wrong with the text, with lines and columns.
    pub fn compile(
        source: &str,
        rows: &[&'static str],
        columns: &[RuleColumn],
        time: Duration,
    ) -> Result<Rule, CompileError> {
        let walked = walk(source, rows, columns)?;
        let row =
            || object(columns.iter().filter(|column| !column.masked).map(|c| (c.name.as_str(), kind(c))));
        let target = object(rows.iter().map(|name| (*name, row())));
        let external = vrl::compiler::state::ExternalEnv::new_with_kind(target, object([]));
        let mut config = CompileConfig::default();
        config.set_custom(NeedsReceived::default());
        config.set_read_only();
        let state = TypeState { external, ..TypeState::default() };
        let functions = functions::of(Profile::Rules);
        let CompilationResult { program, warnings, config } =
            vrl::compiler::compile_with_state(source, functions, &state, config)
                .map_err(|diagnostics| explained(source, diagnostics, &walked, columns))?;
        if config.get_custom::<NeedsReceived>().is_some_and(|needs| needs.0) {
            let note = "it needs the time at which an event came in";
            return Err(CompileError::one(source, last_line(source), "a rule cannot parse syslog", note));
        }
        let info = program.final_type_info();
        let gives = info.result.kind().union(info.result.returns().clone());
        if Kind::bytes().or_null().or_undefined().is_superset(&gives).is_err() {
            let note = format!("this is {gives}");
            let message = "a rule must give a string, which says what is wrong, or null";
            return Err(CompileError::one(source, last_line(source), message, &note));
        }
        if program.info().abortable {
            let at = source.find("abort").unwrap_or(0);
            let span = Span::new(at, (at + "abort".len()).min(source.len()));
            return Err(CompileError::one(source, span, "a rule cannot abort", "say a string or null"));
        }
        Ok(Rule {
            wanted: wanted(&program, rows, columns),
            warnings: findings(source, warnings),
            compiled: Arc::new(program),
            source: Arc::from(source),
            time: time.min(Options::TIME_MAX),
        })
    }

    /// What the compiler warns of.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The text it was made from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What is wrong, if anything is. `given` says the value of a column: the row's place, the column's place. It is asked only for columns
    /// that the rule names.
    ///
    /// # Errors
    /// See [`RunError`].
    pub fn run<'a>(&self, given: impl Fn(usize, usize) -> Given<'a>) -> Result<Option<String>, RunError> {
        let mut rows = ObjectMap::new();
        for row in &self.wanted {
            let mut members = ObjectMap::new();
            for (column, name) in &row.columns {
                members.insert(name.as_str().into(), value(given(row.place, *column)));
            }
            rows.insert(row.name.into(), Value::Object(members));
        }
        let mut target = Value::Object(rows);
        let mut metadata = Value::Object(ObjectMap::new());
        let ended = run(&self.compiled, &self.source, &mut target, &mut metadata, self.time, Zone::Utc)?;
        let found = match ended {
            Ended::With(Value::Null) => return Ok(None),
            Ended::With(value) => match value.to_str_lossy() {
                Some(text) => return Ok(Some(text.into_owned())),
                None => value.kind_str().to_owned(),
            },
            Ended::Aborted => "abort".to_owned(),
        };
        Err(RunError::Output { field: "the rule".to_owned(), found, expected: "a string or null" })
    }
}

fn kind(column: &RuleColumn) -> Kind {
    let kind = match column.seen {
        Seen::Int => Kind::integer(),
        Seen::Unsigned => Kind::integer().or_bytes(),
        Seen::Decimal | Seen::Text => Kind::bytes(),
        Seen::Float => Kind::float(),
        Seen::Bool => Kind::boolean(),
        Seen::Time => Kind::timestamp(),
    };
    if column.nullable { kind.or_null() } else { kind }
}

fn value(given: Given<'_>) -> Value {
    match given {
        Given::Null => Value::Null,
        Given::Int(number) => Value::Integer(number),
        Given::Float(number) if number.is_nan() => Value::from("NaN"),
        Given::Float(number) => Value::from_f64_or_zero(number),
        Given::Bool(is) => Value::Boolean(is),
        Given::Text(bytes) => Value::Bytes(bytes.into_owned().into()),
        Given::Time(seconds, nanos) => {
            chrono::DateTime::from_timestamp(seconds, nanos).map_or(Value::Null, Value::Timestamp)
        }
    }
}

/// The columns that a program asks for; all that are not masked where it names a row as a whole.
fn wanted(program: &Compiled, rows: &[&'static str], columns: &[RuleColumn]) -> Vec<WantedRow> {
    let queries = &program.info().target_queries;
    let each = rows.iter().enumerate().map(|(place, name)| {
        let mut wants = vec![false; columns.len()];
        for path in queries.iter().filter(|path| path.prefix == PathPrefix::Event) {
            let mut segments = path.path.segments.iter();
            match segments.next() {
                Some(OwnedSegment::Field(row)) if row.as_str() != *name => continue,
                _ => {}
            }
            match segments.next() {
                Some(OwnedSegment::Field(column)) => {
                    for (want, known) in wants.iter_mut().zip(columns) {
                        *want |= known.name == column.as_str();
                    }
                }
                _ => wants.fill(true),
            }
        }
        let named =
            columns.iter().enumerate().zip(wants).filter(|((_, column), want)| *want && !column.masked);
        let columns = named.map(|((place, column), _)| (place, column.name.clone())).collect();
        WantedRow { place, name, columns }
    });
    each.collect()
}

/// What the compiler says, and what that has to do with the columns: it knows no NULL.
fn explained(
    source: &str,
    diagnostics: DiagnosticList,
    walked: &Walk,
    columns: &[RuleColumn],
) -> CompileError {
    let mut all = Vec::new();
    for diagnostic in diagnostics {
        let spans: Vec<Span> = diagnostic.labels.iter().map(|label| label.span).collect();
        let mut notes: Vec<String> = Vec::new();
        for used in &walked.used {
            let inside =
                |span: &Span| span.start() <= used.span.start() && used.span.start() < span.end().max(1);
            let Some(column) = columns.get(used.column).filter(|_| spans.iter().any(inside)) else {
                continue;
            };
            notes.extend(guard(column, used.text(source)).filter(|note| !notes.contains(note)));
        }
        for mut finding in findings(source, DiagnosticList::from(vec![diagnostic])) {
            for note in &notes {
                finding.message.push_str("; ");
                finding.message.push_str(note);
                finding.rendered.push_str("\n = ");
                finding.rendered.push_str(note);
            }
            all.push(finding);
        }
    }
    all.sort_by_key(|finding| (finding.line, finding.column));
    CompileError::of(all)
}

/// How a program says what is to be when a column has no value of its type.
fn guard(column: &RuleColumn, path: &str) -> Option<String> {
    let (function, instead) = match column.seen {
        Seen::Unsigned => {
            return Some(format!(
                "{} can be beyond 64 signed bits, and is a string then: use decimal_gt!({path}, …) and the like",
                column.name
            ));
        }
        _ if !column.nullable => return None,
        Seen::Int => ("int", "0"),
        Seen::Decimal => ("string", "\"0\""),
        Seen::Float => ("float", "0.0"),
        Seen::Bool => ("bool", "false"),
        Seen::Text => ("string", "\"\""),
        Seen::Time => ("timestamp", "t'1970-01-01T00:00:00Z'"),
    };
    Some(format!(
        "{name} can be NULL: write ({function}({path}) ?? {instead}), or {path} != null && … {function}!({path})",
        name = column.name
    ))
}
