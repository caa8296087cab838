//! Finds the events in a request's body: one object, an array, or NDJSON, told apart by looking.
//!
//! Only the borders between events are found here. Whether an event is JSON at all is decided by the event's own
//! parser, which is stricter than any scan; so this one may be as simple as it is fast.

use memchr::{memchr, memchr2};

/// The events of a body with their numbers, counted from 1: the line of NDJSON (empty lines count and are skipped), the
/// element of an array.
pub(crate) struct Events<'a> {
    rest: &'a [u8],
    shape: Shape,
    number: u32,
}

enum Shape {
    Lines,
    One,
    /// Within the brackets of an array, before its first element or after one.
    Array {
        first: bool,
    },
    Done,
}

impl<'a> Events<'a> {
    /// Looks at the body. `ndjson` when its content type says so; otherwise the first bytes decide.
    pub(crate) fn new(body: &'a [u8], ndjson: bool) -> Events<'a> {
        // A byte order mark is no JSON, but Windows programs put it before theirs.
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let start = skip_space(body);
        let (rest, shape) = match start.first() {
            None => (start, Shape::Done),
            _ if ndjson => (body, Shape::Lines),
            Some(b'[') => (&start[1..], Shape::Array { first: true }),
            // One object may stretch over many lines: it is NDJSON only if something follows it.
            Some(_) => match value_end(start) {
                Some(end) if !skip_space(&start[end..]).is_empty() => (body, Shape::Lines),
                Some(end) => (&start[..end], Shape::One),
                None => (start, Shape::One),
            },
        };
        Events { rest, shape, number: 0 }
    }

    fn next_line(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (line, rest) = match memchr(b'\n', self.rest) {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            self.number += 1;
            if !skip_space(line).is_empty() {
                return Some(line);
            }
        }
        None
    }

    fn next_element(&mut self, first: bool) -> Option<Result<&'a [u8], &'static str>> {
        let start = skip_space(self.rest);
        self.number += 1;
        self.shape = Shape::Done;
        if let Some(after) = start.strip_prefix(b"]")
            && first
        {
            return if skip_space(after).is_empty() { None } else { Some(Err("nothing after the array")) };
        }
        let Some(end) = value_end(start) else { return Some(Err("an array that is closed by ]")) };
        let (element, rest) = start.split_at(end);
        let rest = skip_space(rest);
        match rest.split_first() {
            Some((b',', rest)) => {
                self.rest = rest;
                self.shape = Shape::Array { first: false };
            }
            Some((b']', rest)) if skip_space(rest).is_empty() => {}
            Some((b']', _)) => return Some(Err("nothing after the array")),
            Some(_) => return Some(Err("a comma between the events of an array")),
            None => return Some(Err("an array that is closed by ]")),
        }
        Some(Ok(element))
    }
}

impl<'a> Iterator for Events<'a> {
    /// The event's number and its bytes, or what was expected where the array is broken.
    type Item = (u32, Result<&'a [u8], &'static str>);

    fn next(&mut self) -> Option<Self::Item> {
        let event = match self.shape {
            Shape::Lines => Ok(self.next_line()?),
            Shape::Array { first } => self.next_element(first)?,
            Shape::One => {
                self.shape = Shape::Done;
                self.number = 1;
                Ok(self.rest)
            }
            Shape::Done => return None,
        };
        Some((self.number, event))
    }
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = bytes.iter().position(|byte| !space(byte)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// Where the value at the beginning of `bytes` ends: its closing bracket, or for a scalar the next delimiter. `None` when
/// it does not end.
fn value_end(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut pos = 0;
    while let Some(byte) = bytes.get(pos) {
        match byte {
            b'"' => {
                pos = string_end(bytes, pos + 1)?;
                if depth == 0 {
                    return Some(pos);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Some(if depth == 1 { pos + 1 } else { pos }),
            b'}' | b']' => depth -= 1,
            b',' | b'\n' if depth == 0 => return Some(pos),
            _ => {}
        }
        pos += 1;
    }
    None
}

/// The position after the quote that closes the string whose content begins at `pos`.
fn string_end(bytes: &[u8], mut pos: usize) -> Option<usize> {
    loop {
        let found = pos + memchr2(b'"', b'\\', bytes.get(pos..)?)?;
        if bytes[found] == b'"' {
            return Some(found + 1);
        }
        pos = found + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Shows what was found as `number:event`, `number!expected` where the array is broken.
    fn check(body: &str, ndjson: bool, expected: &[&str]) {
        let show = |(number, event): (u32, Result<&[u8], &str>)| match event {
            Ok(event) => format!("{number}:{}", std::str::from_utf8(event).unwrap()),
            Err(expected) => format!("{number}!{expected}"),
        };
        let found: Vec<_> = Events::new(body.as_bytes(), ndjson).map(show).collect();
        assert_eq!(found, expected, "{body:?}");
    }

    #[test]
    fn shapes() {
        check("", false, &[]);
        check(" \n\t\r\n", true, &[]);
        check("{}", false, &["1:{}"]);
        check("\u{feff}{}", false, &["1:{}"]);
        check("\n {\n\"a\":\n1} \n", false, &["1:{\n\"a\":\n1}"]);
        check("{\"a\":1}\n{\"b\":2}", false, &["1:{\"a\":1}", "2:{\"b\":2}"]);
        check("{\"a\":1}\r\n\r\n{\"b\":2}\r\n", false, &["1:{\"a\":1}\r", "3:{\"b\":2}\r"]);
        check("{\"a\":1}{\"b\":2}", false, &["1:{\"a\":1}{\"b\":2}"]);
        check("{\"a\":\n1}", true, &["1:{\"a\":", "2:1}"]);
        check("[{}]\n[{}]", true, &["1:[{}]", "2:[{}]"]);
        check("x\ny", false, &["1:x", "2:y"]);
        check("{\"a\":", false, &["1:{\"a\":"]);
    }

    /// A JSON value, of everything that could mislead a scan for brackets, quotes and commas.
    fn value() -> impl Strategy<Value = Value> {
        let text = "[a\\\\\"\\[\\]{},:\n ü]{0,6}";
        let leaf =
            prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from), text.prop_map(Value::from)];
        leaf.prop_recursive(3, 12, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text, inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_elements_of_an_array_are_found_as_a_parser_finds_them(values in prop::collection::vec(value(), 0..6), pretty: bool) {
            let all = Value::from(values.clone());
            let body = if pretty { format!("{all:#}") } else { all.to_string() };
            let found: Vec<Value> =
                Events::new(body.as_bytes(), false).map(|(_, event)| serde_json::from_slice(event.unwrap()).unwrap()).collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn no_body_is_too_strange(body: Vec<u8>, cut in 0usize..200, ndjson: bool) {
            let mut last = 0;
            for (number, _) in Events::new(&body, ndjson).take(cut) {
                prop_assert!(number > last);
                last = number;
            }
        }
    }

    #[test]
    fn arrays() {
        let open = "an array that is closed by ]";
        check("[]", false, &[]);
        check(" [ ] ", false, &[]);
        check("[{},{}]", false, &["1:{}", "2:{}"]);
        check(
            "[ {\"a\":[1,2]} ,\n{\"b\":\"],{\\\"\"}\n]\n",
            false,
            &["1:{\"a\":[1,2]}", "2:{\"b\":\"],{\\\"\"}"],
        );
        check("[1,\"x,]\",null]", false, &["1:1", "2:\"x,]\"", "3:null"]);
        check("[{}", false, &[&format!("1!{open}")]);
        check("[{},", false, &["1:{}", &format!("2!{open}")]);
        check("[{\"a\":\"]", false, &[&format!("1!{open}")]);
        check("[{} {}]", false, &["1!a comma between the events of an array"]);
        check("[{}]x", false, &["1!nothing after the array"]);
        check("[]]", false, &["1!nothing after the array"]);
        check("[,]", false, &["1:", "2:"]);
        check("[{},]", false, &["1:{}", "2:"]);
        check("[\"\\", false, &[&format!("1!{open}")]);
    }
}
