//! Messages of D-Bus, as the specification has them ("Message Protocol", "Marshaling"): as much of it as a client needs that asks
//! systemd. What is read may be of any type; what is written has a body of strings.

/// The longest message that is taken; the specification allows 128 MiB. A list of 10,000 units takes 3 MB.
pub(super) const MAX_MESSAGE: usize = 16 << 20;
/// Containers within containers: the specification's 32 arrays in 32 structures, and variants.
const MAX_DEPTH: usize = 64;
/// What stands before the header's fields.
pub(super) const FIXED: usize = 16;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Call,
    Return,
    Error,
    Signal,
    Other,
}

/// A message that came.
#[derive(Debug, PartialEq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) reply_to: Option<u64>,
    pub(super) path: String,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) sender: String,
    pub(super) body: Vec<Value>,
}

/// A value of any type. Numbers of all sizes are one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(i128),
    Real(f64),
    Text(String),
    List(Vec<Value>),
}

impl Value {
    pub(super) fn text(&self) -> &str {
        if let Value::Text(text) = self { text } else { "" }
    }

    pub(super) fn number(&self) -> i128 {
        if let Value::Number(number) = self { *number } else { 0 }
    }

    pub(super) fn list(&self) -> &[Value] {
        if let Value::List(list) = self { list } else { &[] }
    }

    /// The value under a name, in a dictionary of strings.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.list().iter().find_map(|pair| match pair.list() {
            [key, value] if key.text() == name => Some(value),
            _ => None,
        })
    }
}

/// A message that breaks the format; whoever sends it cannot be understood any more.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("a message of D-Bus is damaged")]
pub(super) struct Damaged;

/// Where a call goes.
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) arguments: &'a [&'a str],
}

/// Writes a call.
pub(super) fn call(call: &Call, serial: u32) -> Vec<u8> {
    let mut body = Vec::new();
    for argument in call.arguments {
        text(&mut body, argument);
    }
    let signature = "s".repeat(call.arguments.len());
    let mut fields = Vec::new();
    let named =
        [(1, 'o', call.path), (2, 's', call.interface), (3, 's', call.member), (6, 's', call.destination)];
    for (code, kind, value) in named.into_iter().filter(|(.., value)| !value.is_empty()) {
        pad(&mut fields, 8);
        fields.extend([code, 1, kind as u8, 0]);
        text(&mut fields, value);
    }
    if !signature.is_empty() {
        pad(&mut fields, 8);
        fields.extend([8, 1, b'g', 0, signature.len() as u8]);
        fields.extend(signature.bytes().chain([0]));
    }
    // Little-endian, a call, no flags, version 1.
    let mut message = vec![b'l', 1, 0, 1];
    for number in [body.len() as u32, serial, fields.len() as u32] {
        message.extend(number.to_le_bytes());
    }
    message.extend(fields);
    pad(&mut message, 8);
    message.extend(body);
    message
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    pad(bytes, 4);
    bytes.extend((value.len() as u32).to_le_bytes());
    bytes.extend(value.bytes().chain([0]));
}

/// How long the message is that begins with these [`FIXED`] bytes.
pub(super) fn length(start: &[u8; FIXED]) -> Result<usize, Damaged> {
    let number = |at: usize| {
        let bytes =
            start.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).unwrap_or_default();
        (if start[0] == b'B' { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }) as usize
    };
    let header = (FIXED + number(12)).next_multiple_of(8);
    let whole = header.saturating_add(number(4));
    if whole > MAX_MESSAGE || !matches!(start[0], b'l' | b'B') { Err(Damaged) } else { Ok(whole) }
}

/// Takes a whole message apart.
pub(super) fn message(bytes: &[u8]) -> Result<Message, Damaged> {
    let mut reader = Reader { bytes, at: 0, big: bytes.first() == Some(&b'B'), values: 0 };
    let kind = match bytes.get(1) {
        Some(1) => Kind::Call,
        Some(2) => Kind::Return,
        Some(3) => Kind::Error,
        Some(4) => Kind::Signal,
        _ => Kind::Other,
    };
    reader.at = 12;
    let fields = reader.value("a(yv)", 0)?.0;
    reader.align(8)?;
    let field = |code: i128| {
        fields.list().iter().find_map(|field| match field.list() {
            [number, value] if number.number() == code => Some(value.clone()),
            _ => None,
        })
    };
    let named = |code| field(code).map(|value| value.text().to_owned()).unwrap_or_default();
    let signature = named(8);
    let mut rest = signature.as_str();
    let mut body = Vec::new();
    while !rest.is_empty() {
        let (value, left) = reader.value(rest, 0)?;
        body.push(value);
        rest = left;
    }
    Ok(Message {
        kind,
        reply_to: field(5).and_then(|value| u64::try_from(value.number()).ok()),
        path: named(1),
        member: named(3),
        error: named(4),
        sender: named(7),
        body,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
    values: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) -> Result<(), Damaged> {
        self.at = self.at.next_multiple_of(to);
        if self.at <= self.bytes.len() { Ok(()) } else { Err(Damaged) }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Damaged> {
        let end = self.at.checked_add(count).ok_or(Damaged)?;
        let taken = self.bytes.get(self.at..end).ok_or(Damaged)?;
        self.at = end;
        Ok(taken)
    }

    /// A number of `size` bytes, aligned to them.
    fn number(&mut self, size: usize, signed: bool) -> Result<i128, Damaged> {
        self.align(size)?;
        let big = self.big;
        let bytes = self.take(size)?;
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let value = if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
        let unused = 64 - 8 * size as u32;
        Ok(if signed { i128::from(((value << unused) as i64) >> unused) } else { i128::from(value) })
    }

    fn string(&mut self, length: usize) -> Result<String, Damaged> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    /// The value of the first type in a signature, and the rest of the signature.
    fn value<'s>(&mut self, signature: &'s str, depth: usize) -> Result<(Value, &'s str), Damaged> {
        self.values += 1;
        // An array of empty structures would take no bytes and all the time there is.
        if depth > MAX_DEPTH || self.values > MAX_MESSAGE {
            return Err(Damaged);
        }
        let kind = signature.chars().next().filter(char::is_ascii).ok_or(Damaged)?;
        let rest = signature.get(1..).ok_or(Damaged)?;
        let value = match kind {
            'y' => Value::Number(self.number(1, false)?),
            'q' => Value::Number(self.number(2, false)?),
            'n' => Value::Number(self.number(2, true)?),
            'b' | 'u' | 'h' => Value::Number(self.number(4, false)?),
            'i' => Value::Number(self.number(4, true)?),
            't' => Value::Number(self.number(8, false)?),
            'x' => Value::Number(self.number(8, true)?),
            'd' => Value::Real(f64::from_bits(self.number(8, false)? as u64)),
            's' | 'o' => {
                let length = self.number(4, false)? as usize;
                Value::Text(self.string(length)?)
            }
            'g' => {
                let length = self.number(1, false)? as usize;
                Value::Text(self.string(length)?)
            }
            'v' => {
                let length = self.number(1, false)? as usize;
                let inner = self.string(length)?;
                let (value, left) = self.value(&inner, depth + 1)?;
                if !left.is_empty() {
                    return Err(Damaged);
                }
                value
            }
            'a' => return self.array(rest, depth),
            '(' | '{' => return self.structure(rest, if kind == '(' { ')' } else { '}' }, depth),
            _ => return Err(Damaged),
        };
        Ok((value, rest))
    }

    fn array<'s>(&mut self, of: &'s str, depth: usize) -> Result<(Value, &'s str), Damaged> {
        let left = skip(of, depth)?;
        let length = self.number(4, false)? as usize;
        self.align(alignment(of))?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(Damaged)?;
        let mut list = Vec::new();
        while self.at < end {
            list.push(self.value(of, depth + 1)?.0);
        }
        if self.at == end { Ok((Value::List(list), left)) } else { Err(Damaged) }
    }

    fn structure<'s>(
        &mut self,
        mut of: &'s str,
        end: char,
        depth: usize,
    ) -> Result<(Value, &'s str), Damaged> {
        self.align(8)?;
        let mut list = Vec::new();
        loop {
            if let Some(left) = of.strip_prefix(end) {
                return Ok((Value::List(list), left));
            }
            let (value, left) = self.value(of, depth + 1)?;
            list.push(value);
            of = left;
        }
    }
}

fn alignment(signature: &str) -> usize {
    match signature.chars().next() {
        Some('n' | 'q') => 2,
        Some('b' | 'i' | 'u' | 'h' | 's' | 'o' | 'a') => 4,
        Some('x' | 't' | 'd' | '(' | '{') => 8,
        _ => 1,
    }
}

/// What follows the first type of a signature.
fn skip(signature: &str, depth: usize) -> Result<&str, Damaged> {
    if depth > MAX_DEPTH {
        return Err(Damaged);
    }
    let kind = signature.chars().next().filter(char::is_ascii).ok_or(Damaged)?;
    let rest = signature.get(1..).ok_or(Damaged)?;
    let end = match kind {
        'a' => return skip(rest, depth + 1),
        '(' => ')',
        '{' => '}',
        _ => return Ok(rest),
    };
    let mut of = rest;
    loop {
        if let Some(left) = of.strip_prefix(end) {
            return Ok(left);
        }
        of = skip(of, depth + 1)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reads_as_it_was_written() {
        let written =
            Call { destination: "a.b", path: "/c", interface: "d.e", member: "F", arguments: &["x", "yé"] };
        let bytes = call(&written, 7);
        let start = bytes.first_chunk().unwrap();
        assert_eq!(length(start).unwrap(), bytes.len());
        let read = message(&bytes).unwrap();
        assert_eq!((read.kind, read.path.as_str(), read.member.as_str()), (Kind::Call, "/c", "F"));
        assert_eq!(read.body, [Value::Text("x".into()), Value::Text("yé".into())]);
    }

    #[test]
    fn values_of_all_types_in_both_orders() {
        for big in [false, true] {
            let number = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
            // A dictionary of one variant, an array of two structures.
            let mut bytes = number(12).to_vec();
            bytes.extend([0; 4]);
            bytes.extend(number(1));
            bytes.extend(*b"k\0\x01u\0\0\0\0");
            bytes.truncate(17);
            let mut reader = Reader { bytes: &bytes, at: 0, big, values: 0 };
            assert!(reader.value("a{sv}", 0).is_err(), "cut");
            let mut bytes = number(4_294_967_295).to_vec();
            bytes.extend(number(1));
            let mut reader = Reader { bytes: &bytes, at: 0, big, values: 0 };
            assert_eq!(reader.value("i", 0).unwrap().0, Value::Number(-1));
            assert_eq!(reader.value("u", 0).unwrap().0, Value::Number(1));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(0u8..=255, 16..120), signature in "[a(){}vsyiu]{0,8}") {
            let _ = message(&bytes);
            let start = bytes.first_chunk().unwrap();
            let _ = length(start);
            let _ = Reader { bytes: &bytes, at: 0, big: false, values: 0 }.value(&signature, 0);
        }

        #[test]
        fn damage_is_no_panic(at in 0usize..100, byte in 0u8..=255) {
            let written = Call { destination: "a.b", path: "/c", interface: "d.e", member: "F", arguments: &["x"] };
            let mut bytes = call(&written, 7);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = message(&bytes);
        }
    }
}
