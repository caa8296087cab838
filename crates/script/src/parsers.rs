//! Programs that are there by name: they make of a line what an event has fields for.
//!
//! Each is a VRL program in `parsers/`, held to the same bounds as anybody's. It sees the line in `.message`. What it cannot read it
//! leaves as it is with `event_data.unparsed` true; a parser never drops an event, and never fails one.

use attestry_event::Nanos;

use crate::{Applied, CompileError, Options, Transform};

/// The programs by name. Some share a beginning or an end.
const PARSERS: &[(&str, &str)] = &[
    (
        "apache",
        concat!(
            include_str!("parsers/access.vrl"),
            include_str!("parsers/apache.vrl"),
            include_str!("parsers/end.vrl")
        ),
    ),
    ("auditd", concat!(include_str!("parsers/auditd.vrl"), include_str!("parsers/end.vrl"))),
    (
        "json",
        concat!(
            include_str!("parsers/json.vrl"),
            include_str!("parsers/fields.vrl"),
            include_str!("parsers/end.vrl")
        ),
    ),
    (
        "logfmt",
        concat!(
            include_str!("parsers/logfmt.vrl"),
            include_str!("parsers/fields.vrl"),
            include_str!("parsers/end.vrl")
        ),
    ),
    ("mysql", concat!(include_str!("parsers/mysql.vrl"), include_str!("parsers/end.vrl"))),
    (
        "nginx",
        concat!(
            include_str!("parsers/access.vrl"),
            include_str!("parsers/nginx.vrl"),
            include_str!("parsers/end.vrl")
        ),
    ),
    ("postgresql", concat!(include_str!("parsers/postgresql.vrl"), include_str!("parsers/end.vrl"))),
    ("syslog", concat!(include_str!("parsers/syslog.vrl"), include_str!("parsers/end.vrl"))),
];

/// What a line is when its parser failed.
const UNPARSED: &str = ".event_data.unparsed = true";

/// A parser, ready to run.
#[derive(Clone, Debug)]
pub struct Parser {
    program: Transform,
    unparsed: Transform,
}

impl Parser {
    /// The names there are, sorted.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PARSERS.iter().map(|(name, _)| *name)
    }

    /// The parser of that name; `None` when there is none.
    ///
    /// # Errors
    /// Never for a program that was shipped; a test holds them to that.
    pub fn named(name: &str, options: &Options) -> Option<Result<Parser, CompileError>> {
        let (_, source) = PARSERS.iter().find(|(known, _)| *known == name)?;
        let compile = || {
            Ok(Parser {
                program: Transform::compile(source, options)?,
                unparsed: Transform::compile(UNPARSED, options)?,
            })
        };
        Some(compile())
    }

    /// Reads an event's line, as [`Transform::apply`]; never gives [`Applied::Dropped`].
    pub fn apply(&self, event: &[u8], received: Nanos) -> Applied {
        match self.program.apply(event, received) {
            Ok(applied) => applied,
            // Too slow, or what the line says is nothing that an event can have.
            Err(_) => self.unparsed.apply(event, received).unwrap_or(Applied::Unchanged),
        }
    }
}

#[cfg(test)]
mod tests;
