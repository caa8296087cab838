//! The text of a line: `{field}` and `{event_data.path}` in between of what is written as it is.

use attestry_event::{Field, nearest_name};

use super::line::{escape, quote};
use crate::outgoing::Outgoing;

/// What a line says when nothing else is asked for. The free text comes last, so that it can imitate none of what stands before.
pub(crate) const DEFAULT: &str = "{event_name:quoted} {outcome} username={username:quoted} resource={resource:quoted} \
                                  source_ip_address={source_ip_address:quoted} {message}";

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    Value(Source, As),
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Field(Field),
    /// A path of `event_data`; all of it when empty.
    Data(String),
    /// The event as a client would send it.
    Event,
}

/// How a value is printed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum As {
    /// A string without quotes, everything else as JSON.
    Plain,
    /// A string in quotes where it could be taken for more than one word, or is empty.
    Quoted,
    /// JSON in any case, `null` when absent.
    Json,
}

/// What stands for what is not there.
const ABSENT: &str = "-";

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// With what is wrong, for people.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = after.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = after.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else if let Some(after) = after.strip_prefix('{') {
                let Some((name, after)) = after.split_once('}') else {
                    return Err(format!("{{{after} has no closing brace; write {{{{ for a brace"));
                };
                push_literal(&mut parts, &mut literal);
                parts.push(value(name)?);
                rest = after;
            } else {
                return Err(format!(
                    "a closing brace without an opening one before {:?}; write }}}} for a brace",
                    &after[1..]
                ));
            }
        }
        literal.push_str(rest);
        push_literal(&mut parts, &mut literal);
        if parts.is_empty() {
            return Err("it is empty, expected a text such as {event_name} {username} {message}".to_owned());
        }
        Ok(Template { parts })
    }

    /// Appends the line of an event.
    pub(crate) fn render(&self, event: &Outgoing<'_>, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Value(Source::Field(field), form) => match event.field(*field) {
                    Some(text) => print(out, &text, *form),
                    None => print_absent(out, *form),
                },
                Part::Value(Source::Data(path), form) => match event.at(path) {
                    Some(json) => print_json(out, json, *form),
                    None => print_absent(out, *form),
                },
                Part::Value(Source::Event, form) => {
                    let json = event.json().unwrap_or_default();
                    print_json(out, &String::from_utf8_lossy(&json), *form);
                }
            }
        }
    }
}

fn push_literal(parts: &mut Vec<Part>, literal: &mut String) {
    if !literal.is_empty() {
        let mut safe = String::new();
        escape(&mut safe, literal);
        parts.push(Part::Literal(safe));
        literal.clear();
    }
}

fn value(text: &str) -> Result<Part, String> {
    let (name, form) = match text.rsplit_once(':') {
        None => (text, As::Plain),
        Some((name, "quoted")) => (name, As::Quoted),
        Some((name, "json")) => (name, As::Json),
        Some((_, other)) => {
            return Err(format!("{{{text}}}: there is no form {other:?}, expected quoted or json"));
        }
    };
    let source = match name.strip_prefix("event_data.") {
        _ if name == "event" => Source::Event,
        _ if name == "event_data" => Source::Data(String::new()),
        Some("") => return Err(format!("{{{text}}}: a path is missing after event_data.")),
        Some(path) => Source::Data(path.to_owned()),
        None => match Field::from_name(name) {
            Some(field) => Source::Field(field),
            None => return Err(unknown(text, name)),
        },
    };
    Ok(Part::Value(source, form))
}

fn unknown(text: &str, name: &str) -> String {
    let head = name.split('.').next().unwrap_or(name);
    match nearest_name(head) {
        Some("event_data") => {
            format!("{{{text}}}: there is no field {name:?}; did you mean event_data.<path>?")
        }
        Some(near) => format!("{{{text}}}: there is no field {name:?}; did you mean {near}?"),
        None => format!(
            "{{{text}}}: there is no field {name:?}; what is not a field of every event stands in event_data.<path>"
        ),
    }
}

fn print_absent(out: &mut String, form: As) {
    out.push_str(if form == As::Json { "null" } else { ABSENT });
}

fn print(out: &mut String, text: &str, form: As) {
    match form {
        As::Plain => escape(out, text),
        As::Quoted if is_one_word(text) => escape(out, text),
        As::Quoted | As::Json => quote(out, text),
    }
}

/// Whether a text can stand without quotes and be taken for nothing else.
fn is_one_word(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|ch: char| ch.is_whitespace() || ch.is_control() || matches!(ch, '"' | '\\' | '='))
}

fn print_json(out: &mut String, json: &str, form: As) {
    if form != As::Json && json == "null" {
        out.push_str(ABSENT);
    } else if form != As::Json && json.starts_with('"') {
        let text: String = serde_json::from_str(json).unwrap_or_default();
        print(out, &text, form);
    } else {
        escape(out, json);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::tests::parcel;

    fn render(template: &str, event: &str) -> String {
        let parcel = parcel(event);
        let mut out = String::new();
        Template::parse(template).unwrap().render(&Outgoing::new(&parcel).unwrap(), &mut out);
        out
    }

    #[test]
    fn prints_fields_and_paths() {
        let event = r#"{"event_name":"events.get","username":"USER","resource":"audit-log/pryv-api","read_only":true,
            "event_time":"2026-11-21T03:04:05.5Z","event_data":{"zero":0,"no":false,"empty":"","none":null,"big":9007199254740993,
            "list":[1,"two",{"x":1e5}],"deep":{"a":{"b":"c"}},"dotted.name":"d"}}"#;
        for (template, expected) in [
            ("{event_name}", "events.get"),
            ("[{username}] {resource}", "[USER] audit-log/pryv-api"),
            ("{event_time}", "2026-11-21T03:04:05.500000000Z"),
            ("{read_only} {severity} {outcome}", "true - -"),
            // A defect of Pryv: these were printed as the placeholder.
            ("{event_data.zero}|{event_data.no}|{event_data.empty}|", "0|false||"),
            ("{event_data.none} {event_data.missing}", "- -"),
            ("{event_data.none:json} {event_data.missing:json} {outcome:json}", "null null null"),
            ("{event_data.big}", "9007199254740993"),
            ("{event_data.list} {event_data.list.1} {event_data.list.2.x}", r#"[1,"two",{"x":1e5}] two 1e5"#),
            ("{event_data.deep} {event_data.deep.a.b}", r#"{"a":{"b":"c"}} c"#),
            ("{event_data.dotted.name}", "d"),
            ("{{{username}}} {{}}", "{USER} {}"),
            ("no field at all", "no field at all"),
            ("{event_data.empty:quoted} {username:quoted} {username:json}", r#""" USER "USER""#),
            ("a\nb", "a\\nb"),
        ] {
            assert_eq!(render(template, event), expected, "{template}");
        }
    }

    #[test]
    fn one_event_is_one_line_whatever_it_holds() {
        let event = r#"{"event_name":"a","username":"eve\nNov 21 03:04:05 host sshd[1]: Accepted","message":"x\u001b[2J\u202e\u0085",
            "event_data":{"s":"a\tb","o":{"k\n":"v\u009b"}}}"#;
        for (template, expected) in [
            ("{username}", "eve\\nNov 21 03:04:05 host sshd[1]: Accepted"),
            ("{username:quoted}", "\"eve\\nNov 21 03:04:05 host sshd[1]: Accepted\""),
            ("{message}", "x\\u001b[2J\\u202e\\u0085"),
            ("{event_data.s} {event_data.o}", r#"a\tb {"k\n":"v\u009b"}"#),
        ] {
            assert_eq!(render(template, event), expected, "{template}");
        }
    }

    #[test]
    fn the_default_is_a_good_line() {
        for (event, expected) in [
            (
                r#"{"event_name":"login.failure","username":"alice","resource":"web","source_ip_address":"192.0.2.7","outcome":"failure","message":"wrong password"}"#,
                "login.failure failure username=alice resource=web source_ip_address=192.0.2.7 wrong password",
            ),
            (
                r#"{"event_name":"a","username":"a b=c"}"#,
                r#"a - username="a b=c" resource=- source_ip_address=- -"#,
            ),
        ] {
            assert_eq!(render(DEFAULT, event), expected);
        }
    }

    #[test]
    fn what_is_mistyped_is_refused_with_the_nearest() {
        for (template, expected) in [
            ("{usrname}", "did you mean username?"),
            ("{event_dat.x}", "did you mean event_data.<path>?"),
            ("{data.x}", "did you mean event_data.<path>?"),
            ("{createdBy}", "stands in event_data.<path>"),
            ("{event_data.}", "a path is missing"),
            ("{username:upper}", "expected quoted or json"),
            ("{username", "no closing brace"),
            ("a } b", "without an opening one"),
            ("{}", "there is no field"),
            ("", "it is empty"),
        ] {
            let error = Template::parse(template).unwrap_err();
            assert!(error.contains(expected), "{template}: {error}");
        }
    }
}
