//! Rows as PostgreSQL's COPY has them, in its text format: a line a row, tabs between the values.

use super::super::DumpError;
use super::super::token::Token;
use super::super::value::Literal;
use super::Reading;

impl Reading<'_, '_> {
    pub(super) fn copy(&mut self) -> Result<(), DumpError> {
        let word = self.token()?;
        let (name, mut next) = self.name(word)?;
        let mut listed = None;
        if next == Token::Symbol(b'(') {
            listed = Some(self.listed()?);
            next = self.token()?;
        }
        let rest = self.rest()?;
        if !next.is("FROM") || rest.len() != 1 || !rest.first().is_some_and(|word| word.is("stdin")) {
            return Err(self.input.wrong("COPY of another kind", "COPY … FROM stdin;"));
        }
        // What is left of the line.
        self.input.line()?;
        let table = self.of_rows(&name, listed)?;
        let columns = self.tables.get(table).and_then(|table| table.layout.as_ref()).map_or(0, Vec::len);
        loop {
            let Some(line) = self.input.line()? else {
                return Err(self.input.wrong("the end of the dump", "\\."));
            };
            if line == b"\\." {
                return Ok(());
            }
            let mut literals = Vec::with_capacity(columns);
            if columns > 0 || !line.is_empty() {
                literals.extend(line.split(|byte| *byte == b'\t').map(copied));
            }
            if literals.len() != columns {
                let found = format!("a line of {} values", literals.len());
                return Err(self.input.wrong(found, format!("{columns} values")));
            }
            self.row(table, literals)?;
        }
    }
}

/// A value of COPY.
fn copied(field: &[u8]) -> Literal {
    if field == b"\\N" {
        return Literal::Null;
    }
    if !field.contains(&b'\\') {
        return Literal::Text(field.to_vec());
    }
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'v') => out.push(11),
            Some(digit @ b'0'..=b'7') => {
                let mut number = u32::from(digit - b'0');
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(|byte| (b'0'..=b'7').contains(byte)) else { break };
                    number = number * 8 + u32::from(digit - b'0');
                }
                out.push(u8::try_from(number & 0xff).unwrap_or(0));
            }
            Some(b'x') if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => {
                let mut number = 0;
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(u8::is_ascii_hexdigit) else { break };
                    number = number * 16 + char::from(digit).to_digit(16).unwrap_or(0);
                }
                out.push(u8::try_from(number).unwrap_or(0));
            }
            Some(other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
    Literal::Text(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text that a field stands for; none for NULL.
    fn check(field: &[u8], expected: Option<&[u8]>) {
        match (copied(field), expected) {
            (Literal::Null, None) => {}
            (Literal::Text(text), Some(expected)) => assert_eq!(text, expected, "{field:?}"),
            (_, expected) => panic!("{field:?}: expected {expected:?}"),
        }
    }

    #[test]
    fn fields() {
        check(b"\\N", None);
        for (field, expected) in [
            (&b""[..], &b""[..]),
            (b"N", b"N"),
            (b"\\\\N", b"\\N"),
            (b"a\\tb\\nc\\r\\b\\f\\v", b"a\tb\nc\r\x08\x0c\x0b"),
            (b"\\101\\60\\0 8\\18", b"A0\0 8\x018"),
            (b"\\x41\\x4g\\xg", b"A\x04gxg"),
            (b"\\377\\777", b"\xff\xff"),
            (b"\\.end\\", b".end\\"),
        ] {
            check(field, Some(expected));
        }
    }
}
