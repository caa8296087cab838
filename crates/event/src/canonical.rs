//! The visitor that checks a JSON value and writes its canonical form in the same pass.
//!
//! Kept as they came: the order of members and the tokens of numbers. Changed: white space goes, strings are escaped
//! as RFC 8785 says, and a string of more than [`LARGE_VALUE_BYTES`] becomes a `$ref`. Refused: a name twice in one
//! object, a member named `$ref`, nesting beyond [`MAX_DEPTH`]. Duplicates are found on the canonical names, so an
//! escape cannot hide one.

use std::io::Write;
use std::ops::Range;

use rand::RngCore;
use rand::rngs::StdRng;

use crate::batch::LargeValue;
use crate::json::{Reader, Syntax};
use crate::problem::{MAX_PROBLEMS, Problem};
use crate::text::Str;
use crate::{LARGE_VALUE_BYTES, MAX_DEPTH, hex, value_hash};

/// Why reading ended early.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// The text is no JSON that we take; the reader says where.
    Syntax,
    /// A tree nests deeper than [`MAX_DEPTH`].
    TooDeep,
    /// So much is wrong with the event that the rest does not matter.
    Enough,
}

impl From<Syntax> for Stop {
    fn from(_: Syntax) -> Stop {
        Stop::Syntax
    }
}

/// A member's name, by its place in the output.
#[derive(Debug, Clone, Copy)]
struct Name {
    /// Differs only if the names do: spares most comparisons.
    key: u64,
    start: usize,
    end: usize,
}

/// The visitor's memory, kept from event to event.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The names of all open objects, outermost first.
    names: Vec<Name>,
    /// Where each open object's names begin in `names`.
    open: Vec<usize>,
}

/// Writes canonical values to one output and large values to another.
pub(crate) struct Canonical<'w> {
    pub(crate) scratch: &'w mut Scratch,
    pub(crate) values: &'w mut Vec<LargeValue>,
    pub(crate) problems: &'w mut Vec<Problem>,
    pub(crate) random: &'w mut StdRng,
}

impl Canonical<'_> {
    /// Reads one value inside of `depth` open objects and arrays. The reader stands on its first byte.
    pub(crate) fn value(
        &mut self,
        reader: &mut Reader<'_>,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Stop> {
        match reader.peek() {
            Some(b'"') => {
                let start = reader.pos();
                match reader.string()? {
                    // The most common case is its own canonical form, quotes included.
                    text if text.is_clean() && text.text.len() <= LARGE_VALUE_BYTES => {
                        out.extend_from_slice(reader.since(start).as_bytes());
                    }
                    text => self.string(text, out),
                }
            }
            Some(b'{') => self.object(reader, out, depth + 1)?,
            Some(b'[') => self.array(reader, out, depth + 1)?,
            Some(b't' | b'f' | b'n') => out.extend_from_slice(reader.literal()?.as_bytes()),
            _ => out.extend_from_slice(reader.number()?.as_bytes()),
        }
        Ok(())
    }

    fn object(&mut self, reader: &mut Reader<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), Stop> {
        check_depth(reader, depth)?;
        reader.take(b'{');
        out.push(b'{');
        self.begin();
        reader.skip_white();
        if !reader.take(b'}') {
            loop {
                self.member_name(reader, out)?;
                reader.skip_white();
                self.value(reader, out, depth)?;
                reader.skip_white();
                if reader.take(b'}') {
                    break;
                }
                if !reader.take(b',') {
                    return Ok(reader.fail("a comma or a closing brace")?);
                }
                out.push(b',');
                reader.skip_white();
            }
        }
        out.push(b'}');
        self.end(out)
    }

    fn array(&mut self, reader: &mut Reader<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), Stop> {
        check_depth(reader, depth)?;
        reader.take(b'[');
        out.push(b'[');
        reader.skip_white();
        if !reader.take(b']') {
            loop {
                self.value(reader, out, depth)?;
                reader.skip_white();
                if reader.take(b']') {
                    break;
                }
                if !reader.take(b',') {
                    return Ok(reader.fail("a comma or a closing bracket")?);
                }
                out.push(b',');
                reader.skip_white();
            }
        }
        out.push(b']');
        Ok(())
    }

    /// Writes an object that was made inside Attestry, by the same rules.
    pub(crate) fn tree_object(
        &mut self,
        members: &serde_json::Map<String, serde_json::Value>,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        out.push(b'{');
        self.begin();
        for (place, (name, value)) in members.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            self.name(Str::plain(name), out)?;
            self.tree_value(value, out, depth)?;
        }
        out.push(b'}');
        self.end(out)
    }

    fn tree_value(&mut self, value: &serde_json::Value, out: &mut Vec<u8>, depth: usize) -> Result<(), Stop> {
        use serde_json::Value;
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Number(number) => {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "{number}");
            }
            Value::String(text) => self.string(Str::plain(text), out),
            Value::Array(elements) => {
                if depth + 1 > MAX_DEPTH {
                    return Err(Stop::TooDeep);
                }
                out.push(b'[');
                for (place, element) in elements.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    self.tree_value(element, out, depth + 1)?;
                }
                out.push(b']');
            }
            Value::Object(members) => self.tree_object(members, out, depth + 1)?,
        }
        Ok(())
    }

    /// Writes a string value, beside the entry if it is large.
    pub(crate) fn string(&mut self, text: Str<'_>, out: &mut Vec<u8>) {
        if text.text.len() > LARGE_VALUE_BYTES && text.decoded_len() > LARGE_VALUE_BYTES {
            self.large(text, out);
        } else {
            text.write_quoted(out);
        }
    }

    fn large(&mut self, text: Str<'_>, out: &mut Vec<u8>) {
        let content = text.decoded().into_owned().into_bytes();
        let mut salt = [0; 16];
        self.random.fill_bytes(&mut salt);
        let hash = value_hash(&salt, &content);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{{\"$ref\":\"sha256:{}\",\"bytes\":{}}}", hex(hash), content.len());
        self.values.push(LargeValue { hash, salt, content });
    }

    fn begin(&mut self) {
        self.scratch.open.push(self.scratch.names.len());
    }

    /// Reads and writes a member's name and the colon.
    fn member_name(&mut self, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let start = reader.pos();
        let name = reader.string()?;
        if name.is_clean() && reader.take(b':') {
            let begin = out.len() + 1;
            out.extend_from_slice(reader.since(start).as_bytes());
            return self.remember(begin..begin + name.text.len(), out);
        }
        reader.skip_white();
        if !reader.take(b':') {
            return Ok(reader.fail("a colon")?);
        }
        self.name(name, out)
    }

    /// Writes a member's name and the colon.
    fn name(&mut self, name: Str<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let begin = out.len() + 1;
        name.write_quoted(out);
        let end = out.len() - 1;
        out.push(b':');
        self.remember(begin..end, out)
    }

    /// Keeps the name that was written for [`Canonical::end`], and refuses the one that is the server's.
    fn remember(&mut self, place: Range<usize>, out: &[u8]) -> Result<(), Stop> {
        let bytes = out.get(place.clone()).unwrap_or_default();
        self.scratch.names.push(Name { key: key(bytes), start: place.start, end: place.end });
        if bytes == b"$ref" {
            let field = self.path(out, None);
            self.problem(Problem::new(
                &field,
                "$ref",
                "a name other than $ref, which only the server writes",
            ))?;
        }
        Ok(())
    }

    /// Closes the innermost object: no two of its names may be equal.
    fn end(&mut self, out: &[u8]) -> Result<(), Stop> {
        let from = self.scratch.open.last().copied().unwrap_or(0);
        let names = self.scratch.names.get_mut(from..).unwrap_or_default();
        let text = |name: &Name| out.get(name.start..name.end).unwrap_or_default();
        let mut twice = None;
        // Comparing all pairs is the fastest for a few; sorting keeps a hostile object with thousands cheap.
        if names.len() <= 16 {
            'all: for (place, name) in names.iter().enumerate() {
                for other in names.iter().take(place) {
                    if name.key == other.key && text(name) == text(other) {
                        twice = Some(*name);
                        break 'all;
                    }
                }
            }
        } else {
            names.sort_unstable_by(|a, b| a.key.cmp(&b.key).then_with(|| text(a).cmp(text(b))));
            twice = names
                .array_windows::<2>()
                .find(|[a, b]| a.key == b.key && text(a) == text(b))
                .map(|pair| pair[1]);
        }
        if let Some(name) = twice {
            let field = self.path(out, Some(name));
            self.problem(Problem::new(&field, "the name twice", "every name once in an object"))?;
        }
        self.scratch.open.pop();
        self.scratch.names.truncate(from);
        Ok(())
    }

    /// The path of the innermost open object's newest member, or of `last` in it.
    fn path(&self, out: &[u8], last: Option<Name>) -> String {
        let ends = self.scratch.open.iter().skip(1).copied().chain([self.scratch.names.len()]);
        let mut newest: Vec<Name> = ends
            .filter_map(|end| end.checked_sub(1))
            .filter_map(|place| self.scratch.names.get(place).copied())
            .collect();
        if let Some(name) = last {
            newest.pop();
            newest.push(name);
        }
        let names = newest
            .iter()
            .map(|name| String::from_utf8_lossy(out.get(name.start..name.end).unwrap_or_default()));
        names.collect::<Vec<_>>().join(".")
    }

    pub(crate) fn problem(&mut self, problem: Problem) -> Result<(), Stop> {
        self.problems.push(problem);
        if self.problems.len() >= MAX_PROBLEMS { Err(Stop::Enough) } else { Ok(()) }
    }

    /// Forgets the objects that an early end left open.
    pub(crate) fn reset(&mut self) {
        self.scratch.names.clear();
        self.scratch.open.clear();
    }
}

pub(crate) const TOO_DEEP: &str = "objects and arrays at most 32 deep";

fn check_depth(reader: &mut Reader<'_>, depth: usize) -> Result<(), Stop> {
    if depth > MAX_DEPTH { Ok(reader.fail(TOO_DEEP)?) } else { Ok(()) }
}

/// The length and the ends of a name, mixed.
fn key(name: &[u8]) -> u64 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map(|bytes| u64::from_le_bytes(*bytes));
    let ends = match (word(name.first_chunk()), word(name.last_chunk())) {
        (Some(first), Some(last)) => first ^ last.rotate_left(29),
        _ => name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    ends ^ (name.len() as u64) << 56
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// The canonical form of `json` as the value of a member, or the problems' fields.
    fn canonical(json: &str) -> Result<String, String> {
        let (mut values, mut problems, mut out) = (Vec::new(), Vec::new(), Vec::new());
        let mut visitor = Canonical {
            scratch: &mut Scratch::default(),
            values: &mut values,
            problems: &mut problems,
            random: &mut StdRng::from_seed([0; 32]),
        };
        let mut reader = Reader::new(json);
        match visitor.value(&mut reader, &mut out, 1) {
            Err(Stop::Syntax) => return Err(format!("{}: {}", reader.pos(), reader.expected())),
            Err(stop) => return Err(format!("{stop:?}")),
            Ok(()) => {}
        }
        assert_eq!(reader.rest(), "");
        if problems.is_empty() {
            Ok(String::from_utf8(out).unwrap())
        } else {
            let fields: Vec<String> = problems.into_iter().map(|problem| problem.field).collect();
            Err(fields.join(" "))
        }
    }

    #[test]
    fn keeps_order_and_tokens_and_drops_white_space() {
        for (json, expected) in [
            ("{ }", "{}"),
            ("[\n]", "[]"),
            ("{\"b\" : 1 ,\r\n\t\"a\" : [ 1 , { \"x\" : null } ] }", r#"{"b":1,"a":[1,{"x":null}]}"#),
            ("[9007199254740993,1e5,1E400,-0,0.10]", "[9007199254740993,1e5,1E400,-0,0.10]"),
            (r#"{"\u0061":"\/\u00e9"}"#, r#"{"a":"/é"}"#),
            (r#"{"a":{"x":1},"b":{"x":1}}"#, r#"{"a":{"x":1},"b":{"x":1}}"#),
            (r#"[{"x":1},{"x":1}]"#, r#"[{"x":1},{"x":1}]"#),
            (r#"{"":1}"#, r#"{"":1}"#),
            (r#"{"a\u0000":1,"a":2}"#, r#"{"a\u0000":1,"a":2}"#),
        ] {
            assert_eq!(canonical(json), Ok(expected.to_owned()), "{json}");
        }
    }

    #[test]
    fn finds_names_that_stand_twice() {
        for (json, path) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"a":1,"\u0061":2}"#, "a"),
            (r#"{"x":{"y":[{"k":1,"b":2,"k":3}]}}"#, "x.y.k"),
            (r#"{"longer than eight":1,"b":0,"longer than eight":2}"#, "longer than eight"),
            (r#"{"a":{"c":1,"c":2},"b":{"d":1,"d":2}}"#, "a.c b.d"),
            (r#"{"":1,"":2}"#, ""),
        ] {
            assert_eq!(canonical(json), Err(path.to_owned()), "{json}");
        }
    }

    #[test]
    fn finds_one_in_thousands() {
        let mut names: Vec<String> = (0..5_000).map(|number| format!("\"name{number}\":0")).collect();
        assert!(canonical(&format!("{{{}}}", names.join(","))).is_ok());
        names.push("\"name\\u00317\":0".to_owned());
        assert_eq!(canonical(&format!("{{{}}}", names.join(","))), Err("name17".to_owned()));
    }

    #[test]
    fn refuses_references() {
        assert_eq!(canonical(r#"{"a":{"$ref":"x"}}"#), Err("a.$ref".to_owned()));
        assert_eq!(canonical(r#"{"a":[{"\u0024ref":"x"}]}"#), Err("a.$ref".to_owned()));
        assert!(canonical(r#"{"$reference":1,"ref":2,"a":"$ref"}"#).is_ok());
    }

    #[test]
    fn counts_the_depth() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(canonical(&nested(31)).is_ok());
        assert_eq!(canonical(&nested(32)), Err("31: objects and arrays at most 32 deep".to_owned()));
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(canonical(&nested(31)).is_ok());
        assert!(canonical(&nested(32)).is_err());
    }

    #[test]
    fn says_where_the_syntax_breaks() {
        for (json, error) in [
            ("{\"a\" 1}", "5: a colon"),
            ("{\"a\":1 \"b\":2}", "7: a comma or a closing brace"),
            ("{\"a\":1,}", "7: a string"),
            ("[1,]", "3: a JSON value"),
            ("[1 2]", "3: a comma or a closing bracket"),
            ("{a:1}", "1: a string"),
            ("[tru]", "1: a JSON value"),
            ("[", "1: a JSON value"),
            ("{\"a\":", "5: a JSON value"),
            ("['a']", "1: a JSON value"),
        ] {
            assert_eq!(canonical(json), Err(error.to_owned()), "{json}");
        }
    }
}
