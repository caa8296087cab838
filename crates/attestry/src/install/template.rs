//! Text with `{{variables}}`: replaced, never executed.
//!
//! `{{name}}` must be given; `{{name=default}}` need not be. The default ends at the first `}}`. Anything else between braces stays as it is, so
//! Docker's own `{{.Name}}` needs no escape.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// A piece of a template.
enum Piece<'t> {
    Text(&'t str),
    Variable { line: usize, name: &'t str, default: Option<&'t str> },
}

/// The variables of a template with their defaults; `None` for one that must be given.
pub(crate) fn variables(template: &str) -> BTreeMap<&str, Option<&str>> {
    let mut found: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for piece in pieces(template) {
        if let Piece::Variable { name, default, .. } = piece {
            let known = found.entry(name).or_default();
            *known = known.or(default);
        }
    }
    found
}

/// The template with each variable replaced by what is given, else by its default.
///
/// # Errors
/// A variable without a default that is not given, one that the template does not have, a value of more than one line.
pub(crate) fn fill(template: &str, given: &BTreeMap<String, String>) -> Result<String> {
    let defaults = variables(template);
    for (name, value) in given {
        if !defaults.contains_key(name.as_str()) {
            let known = defaults.keys().copied().collect::<Vec<_>>().join(", ");
            bail!("there is no variable {name:?}, there are {known}");
        }
        if value.chars().any(char::is_control) {
            bail!("the value of {name:?} has a line break or another control character, expected one line");
        }
    }
    let mut out = String::with_capacity(template.len());
    for piece in pieces(template) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable { line, name, .. } => {
                let value = given.get(name).map(String::as_str).or(defaults.get(name).copied().flatten());
                out.push_str(value.with_context(|| {
                    format!("line {line}: the variable {name:?} has no default and is not given (--set {name}=...)")
                })?);
            }
        }
    }
    Ok(out)
}

fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut rest, mut line) = (template, 1);
    while let Some(start) = rest.find("{{") {
        let (before, from) = rest.split_at(start);
        line += before.matches('\n').count();
        pieces.push(Piece::Text(before));
        let inner = from[2..].split_once("}}");
        match inner.and_then(|(inner, after)| Some((variable(inner)?, after))) {
            Some(((name, default), after)) => {
                pieces.push(Piece::Variable { line, name, default });
                rest = after;
            }
            None => {
                pieces.push(Piece::Text(&from[..2]));
                rest = &from[2..];
            }
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// A variable's name and its default.
fn variable(inner: &str) -> Option<(&str, Option<&str>)> {
    let (name, default) = match inner.split_once('=') {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let one_line = default.is_none_or(|default| !default.contains('\n'));
    (fits && one_line).then_some((name, default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, given: &[(&str, &str)], expected: Result<&str, &str>) {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let filled = fill(template, &given).map_err(|error| error.to_string());
        match (&filled, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            _ => panic!("{filled:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn variables_are_replaced() {
        check("", &[], Ok(""));
        check("a {{x}} b {{x}}", &[("x", "1")], Ok("a 1 b 1"));
        check("{{x=one two}}|{{x}}", &[], Ok("one two|one two"));
        check("{{x}}|{{x=late}}", &[], Ok("late|late"));
        check("{{x=one}}", &[("x", "")], Ok(""));
        check("{{x=}}.", &[], Ok("."));
        check("{{x=a=b}}", &[], Ok("a=b"));
    }

    #[test]
    fn what_is_no_variable_stays() {
        for text in ["{{.Name}}", "{{", "a }} b", "{{ x }}", "{{X}}", "{{x=a\nb}}", "{{}}", "{{{{.ID}}"] {
            check(text, &[], Ok(text));
        }
    }

    #[test]
    fn nothing_given_is_executed_or_replaced_again() {
        for value in ["$(touch /tmp/x)", "`id`", "{{y=2}}", "'; rm -rf /", "${HOME}", "%n"] {
            check("{{x}}", &[("x", value)], Ok(value));
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        check("a\nb {{x}}", &[], Err("line 2: the variable \"x\""));
        check("{{x=1}} {{y=2}}", &[("z", "3")], Err("there is no variable \"z\", there are x, y"));
        check("{{x}}", &[("x", "a\nExecStart=/bin/sh")], Err("line break"));
    }
}
