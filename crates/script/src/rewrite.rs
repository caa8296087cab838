//! What a program left, written over the event that it got.
//!
//! Members that the program did not ask for are copied as they are, and so is each that it left as it found it: what `1e5` looked like
//! to the program still equals what `1e5` looks like, and the token stays. Only the rest is written anew.

use std::borrow::Cow;
use std::collections::BTreeSet;

use attestry_event::{Field, MAX_DEPTH, MAX_EVENT_BYTES, Nanos};
use vrl::value::{ObjectMap, Value};

use crate::RunError;
use crate::compile::OF_THE_WAY;
use crate::json::Reader;
use crate::load::{Expected, absent, member, value};
use crate::program::Program;
use crate::wanted::Wanted;

/// The event as the program left it; `None` when nothing changed.
pub(crate) fn rewrite(
    json: &str,
    left: &Value,
    program: &Program,
    received: Nanos,
) -> Result<Option<Vec<u8>>, RunError> {
    let Value::Object(fields) = left else {
        return Err(RunError::Output {
            field: "event".to_owned(),
            found: left.kind_str().to_owned(),
            expected: "an object",
        });
    };
    let mut rewriting = Rewriting { out: Vec::with_capacity(json.len() + 64), changed: false };
    if program.is_typed() {
        rewriting.event(json, fields, &program.wanted, received)?;
    } else {
        rewriting.value(&mut Reader::new(json), &program.wanted, left, 1)?;
    }
    Ok(rewriting.changed.then_some(rewriting.out))
}

struct Rewriting {
    out: Vec<u8>,
    changed: bool,
}

/// A member of the event as it came.
struct Member<'a> {
    name: Cow<'a, str>,
    name_token: &'a str,
    token: &'a str,
}

/// Where a field stands in the order of fields; `event_data` is the last.
fn rank(name: &str) -> Option<usize> {
    match name {
        "event_data" => Some(Field::ALL.len()),
        name => Field::from_name(name).map(|field| field as usize),
    }
}

impl Rewriting {
    fn event(
        &mut self,
        json: &str,
        left: &ObjectMap,
        wanted: &Wanted,
        received: Nanos,
    ) -> Result<(), RunError> {
        let mut members: Vec<Member<'_>> = Vec::with_capacity(Field::ALL.len());
        Reader::new(json).members(|name, reader| {
            reader.peek();
            members.push(Member { name: name.text()?, name_token: name.token, token: reader.token()? });
            Ok(())
        })?;
        let is_new = |name: &str| !members.iter().any(|member| member.name == name);
        let all = || Field::ALL.iter().map(|field| field.name()).chain(["event_data"]);
        let mut added: Vec<&str> = all().filter(|name| left.contains_key(*name) && is_new(name)).collect();
        added.reverse();
        self.out.push(b'{');
        for member in &members {
            while let Some(name) = added.pop_if(|name| rank(&member.name) > rank(name)) {
                self.added(name, left, received)?;
            }
            match wanted.member(&member.name) {
                None => self.copy(member),
                Some(part) => self.field(member, part, left.get(&*member.name), received)?,
            }
        }
        while let Some(name) = added.pop() {
            self.added(name, left, received)?;
        }
        self.out.push(b'}');
        match left.keys().find(|name| rank(name).is_none() && is_new(name)) {
            None => Ok(()),
            Some(name) => Err(RunError::Output {
                field: name.to_string(),
                found: "a member of the event".to_owned(),
                expected: "a field of an event, or stand in event_data",
            }),
        }
    }

    fn copy(&mut self, member: &Member<'_>) {
        self.comma();
        self.out.extend_from_slice(member.name_token.as_bytes());
        self.out.push(b':');
        self.out.extend_from_slice(member.token.as_bytes());
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[') | None) {
            self.out.push(b',');
        }
    }

    /// A field that was there and that the program could see.
    fn field(
        &mut self,
        found: &Member<'_>,
        wanted: &Wanted,
        left: Option<&Value>,
        received: Nanos,
    ) -> Result<(), RunError> {
        let name = &*found.name;
        let expected = Expected::of(name);
        if expected == Some(Expected::Data) && found.token.starts_with('{') {
            let begin = self.out.len();
            let before = self.changed;
            self.comma();
            self.out.extend_from_slice(found.name_token.as_bytes());
            self.out.push(b':');
            let left = match left {
                Some(Value::Null) | None => &Value::Object(ObjectMap::new()),
                Some(left) => checked(name, Expected::Data, left)?,
            };
            self.value(&mut Reader::new(found.token), wanted, left, 2)?;
            if self.out.ends_with(b":{}") && self.changed != before {
                self.out.truncate(begin);
            }
            return Ok(());
        }
        let shown = match expected {
            Some(_) => member(name, found.token, wanted, received)?,
            None => Some(value(&mut Reader::new(found.token), wanted, 2)?),
        };
        let shown = shown.unwrap_or_else(|| absent(name, received));
        if shown == *left.unwrap_or(&Value::Null) {
            self.copy(found);
            return Ok(());
        }
        self.write_field(name, left)
    }

    /// A field that was not there.
    fn added(&mut self, name: &str, left: &ObjectMap, received: Nanos) -> Result<(), RunError> {
        match left.get(name) {
            Some(value) if *value != absent(name, received) => self.write_field(name, Some(value)),
            _ => Ok(()),
        }
    }

    fn write_field(&mut self, name: &str, left: Option<&Value>) -> Result<(), RunError> {
        self.changed = true;
        if OF_THE_WAY.contains(&name) {
            return Err(RunError::Output {
                field: name.to_owned(),
                found: "another value".to_owned(),
                expected: "as it was: it says which way the event came",
            });
        }
        let expected = Expected::of(name);
        let value = match (expected, left) {
            (Some(Expected::Name), None) => checked(name, Expected::Name, &Value::Null)?,
            (Some(Expected::Name), Some(value)) => checked(name, Expected::Name, value)?,
            (_, None | Some(Value::Null)) => return Ok(()),
            (Some(expected), Some(value)) => checked(name, expected, value)?,
            (None, Some(value)) => value,
        };
        self.comma();
        self.string(name)?;
        self.out.push(b':');
        match value.to_str() {
            // Checked to be one.
            Some(text) if expected == Some(Expected::Time) => match Nanos::parse(text) {
                Ok(time) => self.time(time),
                Err(_) => self.string(text)?,
            },
            _ => self.write(value, 2)?,
        }
        Ok(())
    }

    /// Writes what the program left over what was there, inside of `depth - 1` objects and arrays.
    fn value(
        &mut self,
        reader: &mut Reader<'_>,
        wanted: &Wanted,
        left: &Value,
        depth: usize,
    ) -> Result<(), RunError> {
        match (reader.peek(), left) {
            (Some(b'{'), Value::Object(left)) => self.object(reader, wanted, left, depth),
            (Some(b'['), Value::Array(left)) => self.array(reader, left, depth),
            (Some(b'"'), left) => {
                let quoted = reader.quoted()?;
                if left.to_str() == Some(&*quoted.text()?) {
                    self.out.extend_from_slice(quoted.token.as_bytes());
                    return Ok(());
                }
                self.changed = true;
                self.write(left, depth)
            }
            (Some(b'{' | b'['), left) => {
                reader.token()?;
                self.changed = true;
                self.write(left, depth)
            }
            (_, left) => {
                let token = reader.token()?;
                if value(&mut Reader::new(token), wanted, depth)? == *left {
                    self.out.extend_from_slice(token.as_bytes());
                    return Ok(());
                }
                self.changed = true;
                self.write(left, depth)
            }
        }
    }

    fn object(
        &mut self,
        reader: &mut Reader<'_>,
        wanted: &Wanted,
        left: &ObjectMap,
        depth: usize,
    ) -> Result<(), RunError> {
        let mut kept: Vec<Cow<'_, str>> = Vec::new();
        self.out.push(b'{');
        reader.members(|name, reader| {
            reader.peek();
            let text = name.text()?;
            let Some(part) = wanted.member(&text) else {
                let token = reader.token()?;
                self.copy(&Member { name: text, name_token: name.token, token });
                return Ok(());
            };
            let begin = self.out.len();
            self.comma();
            self.out.extend_from_slice(name.token.as_bytes());
            self.out.push(b':');
            match left.get(&*text) {
                Some(left) => {
                    self.value(reader, part, left, depth + 1)?;
                    kept.push(text);
                }
                // Taken away with all that the program saw of it; there may be more.
                None if matches!(part, Wanted::Members(_)) && reader.peek() == Some(b'{') => {
                    self.object(reader, part, &ObjectMap::new(), depth + 1)?;
                    if self.out.ends_with(b":{}") {
                        self.out.truncate(begin);
                        self.changed = true;
                    }
                }
                None => {
                    reader.token()?;
                    self.out.truncate(begin);
                    self.changed = true;
                }
            }
            Ok(())
        })?;
        if left.len() > kept.len() {
            self.changed = true;
            let kept: BTreeSet<&str> = kept.iter().map(|name| &**name).collect();
            for (name, value) in left.iter().filter(|(name, _)| !kept.contains(name.as_str())) {
                self.comma();
                self.string(name)?;
                self.out.push(b':');
                self.write(value, depth + 1)?;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn array(&mut self, reader: &mut Reader<'_>, left: &[Value], depth: usize) -> Result<(), RunError> {
        let mut rest = left.iter();
        self.out.push(b'[');
        reader.elements(|reader| match rest.next() {
            Some(left) => {
                self.comma();
                self.value(reader, &Wanted::All, left, depth + 1)
            }
            None => {
                self.changed = true;
                reader.token().map(drop)
            }
        })?;
        for value in rest {
            self.changed = true;
            self.comma();
            self.write(value, depth + 1)?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Writes a value that was not there.
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), RunError> {
        if depth > MAX_DEPTH && matches!(value, Value::Object(_) | Value::Array(_)) {
            return Err(RunError::Output {
                field: "event".to_owned(),
                found: "deeper nesting".to_owned(),
                expected: "objects and arrays at most 32 deep",
            });
        }
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Integer(number) => self.json(number)?,
            Value::Float(number) if number.is_finite() => self.json(&number.into_inner())?,
            Value::Float(number) => {
                return Err(RunError::Output {
                    field: "a number".to_owned(),
                    found: number.to_string(),
                    expected: "finite, as JSON's numbers are",
                });
            }
            Value::Timestamp(time) => match time.timestamp_nanos_opt() {
                Some(nanos) => self.time(Nanos(nanos)),
                None => self.string(&time.to_rfc3339())?,
            },
            Value::Regex(regex) => self.string(regex.as_str())?,
            Value::Bytes(_) | Value::String(_) => self.string(&value.to_str_lossy().unwrap_or_default())?,
            Value::Array(elements) => {
                self.out.push(b'[');
                for element in elements {
                    self.comma();
                    self.write(element, depth + 1)?;
                }
                self.out.push(b']');
            }
            Value::Object(members) => {
                self.out.push(b'{');
                for (name, value) in members {
                    self.comma();
                    self.string(name)?;
                    self.out.push(b':');
                    self.write(value, depth + 1)?;
                }
                self.out.push(b'}');
            }
        }
        Ok(())
    }

    fn time(&mut self, time: Nanos) {
        self.out.push(b'"');
        self.out.extend_from_slice(&time.to_bytes());
        self.out.push(b'"');
    }

    fn string(&mut self, text: &str) -> Result<(), RunError> {
        self.json(text)
    }

    fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), RunError> {
        // Writing to a Vec cannot fail, nor can a string or a number.
        let _ = serde_json::to_writer(&mut self.out, value);
        if self.out.len() > MAX_EVENT_BYTES { Err(RunError::TooLarge(MAX_EVENT_BYTES)) } else { Ok(()) }
    }
}

fn checked<'v>(name: &str, expected: Expected, value: &'v Value) -> Result<&'v Value, RunError> {
    if expected.takes(value) {
        return Ok(value);
    }
    let found = match value.to_str_lossy() {
        Some(text) if text.is_empty() => "an empty string".to_owned(),
        Some(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
        None if value.is_object() || value.is_array() => value.kind_str().to_owned(),
        None => value.to_string(),
    };
    Err(RunError::Output { field: name.to_owned(), found, expected: expected.text() })
}
