//! Strings of JSON: where they end, what their escapes mean, and how RFC 8785 (section 3.2.2.2) escapes them.

use std::borrow::Cow;

/// A string on its way into or out of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Str<'a> {
    pub(crate) text: &'a str,
    pub(crate) form: Form,
}

/// What a [`Str`] holds.
// As wide as a register: a narrow tag is stored as one byte and copied with its padding as eight, which stalls on the
// store. That was a fifth of the time of reading an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Form {
    /// What stands between the quotes in JSON, free of escapes: it is its own canonical form.
    Clean,
    /// What stands between the quotes in JSON, with at least one escape; all of them are valid.
    Escaped,
    /// A text that was never JSON.
    Plain,
}

impl<'a> Str<'a> {
    pub(crate) fn clean(text: &'a str) -> Str<'a> {
        Str { text, form: Form::Clean }
    }

    pub(crate) fn plain(text: &'a str) -> Str<'a> {
        Str { text, form: Form::Plain }
    }

    pub(crate) fn is_clean(self) -> bool {
        self.form == Form::Clean
    }

    pub(crate) fn is_escaped(self) -> bool {
        self.form == Form::Escaped
    }

    /// The text it stands for.
    pub(crate) fn decoded(self) -> Cow<'a, str> {
        if self.is_escaped() { Cow::Owned(decode(self.text)) } else { Cow::Borrowed(self.text) }
    }

    /// The length in bytes of the text it stands for; at most that of `text`.
    pub(crate) fn decoded_len(self) -> usize {
        if self.is_escaped() { pieces(self.text).map(Piece::len).sum() } else { self.text.len() }
    }

    /// Whether it stands for nothing. An escape always stands for a character.
    pub(crate) fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    /// Appends the canonical form, without the quotes.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self.form {
            Form::Clean => out.extend_from_slice(self.text.as_bytes()),
            Form::Plain => escape(out, self.text),
            Form::Escaped => {
                for piece in pieces(self.text) {
                    match piece {
                        Piece::Run(run) => out.extend_from_slice(run.as_bytes()),
                        Piece::Char(ch) => escape_char(out, ch),
                    }
                }
            }
        }
    }

    /// Appends the canonical form with its quotes.
    pub(crate) fn write_quoted(self, out: &mut Vec<u8>) {
        out.push(b'"');
        self.write(out);
        out.push(b'"');
    }
}

/// The first position from `from` on that holds `"`, `\` or a control character; the length when there is none.
///
/// Eight bytes at a time: a byte below 0x20, and a byte that is zero after an exclusive or, are those in which
/// subtracting borrows from the high bit. A borrow can only spill upwards, so the lowest marked byte is right.
#[inline]
pub(crate) fn find_special(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut pos = from;
    while let Some(word) = bytes.get(pos..pos + 8).and_then(|word| word.try_into().ok()) {
        let word = u64::from_le_bytes(word);
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        let marks = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let marks = marks & HIGH;
        if marks != 0 {
            return pos + marks.trailing_zeros() as usize / 8;
        }
        pos += 8;
    }
    let tail = bytes.get(pos..).unwrap_or_default();
    tail.iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
        .map_or(bytes.len(), |found| pos + found)
}

/// Appends `text` escaped.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut start = 0;
    loop {
        let found = find_special(bytes, start);
        out.extend_from_slice(bytes.get(start..found).unwrap_or_default());
        let Some(special) = bytes.get(found) else { return };
        escape_char(out, *special as char);
        start = found + 1;
    }
}

fn escape_char(out: &mut Vec<u8>, ch: char) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match ch {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\t' => b't',
        '\n' => b'n',
        '\u{c}' => b'f',
        '\r' => b'r',
        '\0'..='\u{1f}' => {
            let code = ch as u8;
            out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(code >> 4)],
                HEX[usize::from(code & 15)],
            ]);
            return;
        }
        _ => {
            out.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// The text that the content of a JSON string stands for.
pub(crate) fn decode(content: &str) -> String {
    let mut out = String::with_capacity(content.len());
    decode_into(&mut out, content);
    out
}

pub(crate) fn decode_into(out: &mut String, content: &str) {
    for piece in pieces(content) {
        match piece {
            Piece::Run(run) => out.push_str(run),
            Piece::Char(ch) => out.push(ch),
        }
    }
}

enum Piece<'a> {
    Run(&'a str),
    Char(char),
}

impl Piece<'_> {
    fn len(self) -> usize {
        match self {
            Piece::Run(run) => run.len(),
            Piece::Char(ch) => ch.len_utf8(),
        }
    }
}

/// Splits the content of a string, whose escapes were checked, into what stands for itself and what is escaped.
fn pieces(content: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if rest.starts_with('\\') {
            let (ch, len) = read_escape(rest.as_bytes()).ok()?;
            rest = rest.get(len..)?;
            return Some(Piece::Char(ch));
        }
        let (run, after) = rest.split_at(rest.find('\\').unwrap_or(rest.len()));
        rest = after;
        Some(Piece::Run(run))
    })
}

/// Reads one escape, `bytes` beginning with its backslash: the character and the length, or what belongs there.
pub(crate) fn read_escape(bytes: &[u8]) -> Result<(char, usize), &'static str> {
    let short = match bytes.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return read_unicode_escape(bytes),
        _ => return Err("one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"),
    };
    Ok((short, 2))
}

fn read_unicode_escape(bytes: &[u8]) -> Result<(char, usize), &'static str> {
    const ALONE: &str = "a surrogate pair, not half of one";
    let first = hex4(bytes, 2).ok_or("four hexadecimal digits after \\u")?;
    match first {
        0xd800..=0xdbff => {
            if bytes.get(6..8) != Some(b"\\u") {
                return Err(ALONE);
            }
            let second = hex4(bytes, 8).filter(|code| (0xdc00..=0xdfff).contains(code)).ok_or(ALONE)?;
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            char::from_u32(code).map(|ch| (ch, 12)).ok_or(ALONE)
        }
        _ => char::from_u32(first).map(|ch| (ch, 6)).ok_or(ALONE),
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |code, digit| Some(code << 4 | (*digit as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(str: Str<'_>) -> String {
        let mut out = Vec::new();
        str.write_quoted(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_as_rfc_8785() {
        for (content, expected) in [
            (r"\u0000", r#""\u0000""#),
            (r"\u001F", r#""\u001f""#),
            (r"\u0008\u0009\u000a\u000C\u000d", r#""\b\t\n\f\r""#),
            (r"\u0022\u005c\/", r#""\"\\/""#),
            (r"\u00e9\u20ac", "\"é€\""),
            (r"\ud83d\ude00", "\"😀\""),
            (r"\uD83D\uDE00x", "\"😀x\""),
            (r"\u007f\u2028", "\"\u{7f}\u{2028}\""),
        ] {
            assert_eq!(canonical(Str { text: content, form: Form::Escaped }), expected, "{content}");
            assert_eq!(canonical(Str::plain(&decode(content))), expected, "{content}");
            assert_eq!(
                Str { text: content, form: Form::Escaped }.decoded_len(),
                decode(content).len(),
                "{content}"
            );
        }
    }

    #[test]
    fn refuses_broken_escapes() {
        for broken in [
            r"\",
            r"\x",
            r"\u",
            r"\u12",
            r"\u12g4",
            r"\u+123",
            r"\ud83d",
            r"\ud83dx",
            r"\ud83d\n",
            r"\ud83d\ud83d",
            r"\ude00",
        ] {
            assert!(read_escape(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn finds_what_a_naive_search_finds(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'a'), Just(0x1f), Just(0x21), Just(0x80)], 0..60), from in 0usize..70) {
            let naive = (from..bytes.len()).find(|at| matches!(bytes[*at], b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len());
            prop_assert_eq!(find_special(&bytes, from), naive);
        }

        #[test]
        fn escaping_agrees_with_serde_json(text in any::<String>()) {
            let escaped = canonical(Str::plain(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text.clone());
            prop_assert_eq!(&escaped, &serde_json::to_string(&text).unwrap());
            prop_assert_eq!(decode(&escaped[1..escaped.len() - 1]), text);
        }
    }
}
