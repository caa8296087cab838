//! The words of SQL, as the two families of servers write them into dumps.

use super::DumpError;
use super::input::Input;

/// How a dump writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Backticks, `#`, `/*! … */`, texts in `"…"`; otherwise PostgreSQL's.
    pub(super) mysql: bool,
    /// Whether `\` in `'…'` begins an escape.
    pub(super) backslash: bool,
}

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word: a keyword, a name, or a number.
    Word(String),
    /// A quoted name.
    Name(String),
    /// A quoted text.
    Text(Vec<u8>),
    /// Bytes written as hexadecimal digits or bits.
    Bytes(Vec<u8>),
    /// The digits of `b'0101'`.
    Bits(Vec<u8>),
    /// Anything else, byte by byte.
    Symbol(u8),
    /// The dump is at its end.
    End,
}

impl Token {
    /// Whether it is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// The name, if it can be one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Name(name) => Some(name),
            _ => None,
        }
    }

    /// As it is told of: without data.
    pub(super) fn told(&self) -> String {
        match self {
            Token::Word(word) if word.starts_with(|first: char| first.is_ascii_digit()) => {
                "a number".to_owned()
            }
            Token::Word(word) => word.chars().take(40).collect(),
            Token::Name(name) => format!("the name {:?}", name.chars().take(64).collect::<String>()),
            Token::Text(_) => "a text".to_owned(),
            Token::Bytes(_) | Token::Bits(_) => "bytes".to_owned(),
            Token::Symbol(byte) => format!("{:?}", char::from(*byte)),
            Token::End => "the end of the dump".to_owned(),
        }
    }
}

/// What the last comment of a whole dump says.
const ENDS: [&[u8]; 2] = [b"- Dump completed", b"- PostgreSQL database dump complete"];

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The next word. Comments are passed over; what stands in `/*!40101 … */` is read as if it stood there without.
pub(super) fn token(input: &mut Input<'_>, dialect: Dialect) -> Result<Token, DumpError> {
    loop {
        let Some(first) = input.peek()? else { return Ok(Token::End) };
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => input.skip(1),
            b'-' => {
                input.skip(1);
                if input.peek()? != Some(b'-') {
                    return Ok(Token::Symbol(b'-'));
                }
                let line = input.line()?.unwrap_or_default();
                input.complete |= ENDS.iter().any(|end| line.starts_with(end));
            }
            b'#' if dialect.mysql => {
                input.line()?;
            }
            b'/' => {
                input.skip(1);
                if input.peek()? != Some(b'*') {
                    return Ok(Token::Symbol(b'/'));
                }
                input.skip(1);
                comment(input, dialect)?;
            }
            b'*' if dialect.mysql => {
                input.skip(1);
                if input.peek()? != Some(b'/') {
                    return Ok(Token::Symbol(b'*'));
                }
                input.skip(1);
            }
            b'`' if dialect.mysql => {
                let quoted = quoted(input, b'`', false)?;
                return Ok(Token::Name(utf8(input, quoted)?));
            }
            b'"' if !dialect.mysql => {
                let quoted = quoted(input, b'"', false)?;
                return Ok(Token::Name(utf8(input, quoted)?));
            }
            b'"' => return Ok(Token::Text(quoted(input, b'"', dialect.backslash)?)),
            b'\'' => return Ok(Token::Text(quoted(input, b'\'', dialect.backslash)?)),
            b'$' if !dialect.mysql => return dollars(input),
            first if in_word(first) => return word(input, dialect),
            other => {
                input.skip(1);
                return Ok(Token::Symbol(other));
            }
        }
    }
}

/// A comment after its `/*`.
fn comment(input: &mut Input<'_>, dialect: Dialect) -> Result<(), DumpError> {
    if dialect.mysql {
        let mut mark = input.peek()?;
        if mark == Some(b'M') {
            input.skip(1);
            mark = input.peek()?;
        }
        if mark == Some(b'!') {
            input.skip(1);
            let mut version = Vec::new();
            while let Some(digit) = input.peek()?.filter(u8::is_ascii_digit) {
                version.push(digit);
                input.skip(1);
            }
            // The version that never comes: MariaDB hides a command for its client in such a comment.
            if version != b"999999" {
                return Ok(());
            }
        }
    }
    let mut depth = 1;
    while depth > 0 {
        input.until(b"*/", &mut Vec::new())?;
        match (input.next()?, input.peek()?) {
            (None, _) => return Err(input.wrong("the end of the dump", "*/")),
            (Some(b'*'), Some(b'/')) => {
                input.skip(1);
                depth -= 1;
            }
            // PostgreSQL's can stand in each other.
            (Some(b'/'), Some(b'*')) if !dialect.mysql => {
                input.skip(1);
                depth += 1;
            }
            _ => {}
        }
    }
    Ok(())
}

fn word(input: &mut Input<'_>, dialect: Dialect) -> Result<Token, DumpError> {
    let mut word = Vec::new();
    while let Some(byte) = input.peek()? {
        // 1e+10: the sign belongs to a number.
        let exponent = matches!(byte, b'+' | b'-')
            && matches!(word.last(), Some(b'e' | b'E'))
            && word.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.')
            && !word.starts_with(b"0x");
        let point = byte == b'.' && word.iter().all(u8::is_ascii_digit) && !word.is_empty();
        if !in_word(byte) && !exponent && !point {
            break;
        }
        word.push(byte);
        input.skip(1);
        if word.len() > 1 << 16 && !word.starts_with(b"0x") {
            return Err(input.wrong("a word that goes on", "one of at most 64 KiB"));
        }
        if word == b"0x" {
            let mut digits = Vec::new();
            hex_digits(input, &mut digits)?;
            return Ok(Token::Bytes(unhex(&digits).ok_or_else(|| input.wrong("0x", "hexadecimal digits"))?));
        }
    }
    if input.peek()? == Some(b'\'') {
        match word.to_ascii_lowercase().as_slice() {
            b"x" => {
                let digits = quoted(input, b'\'', false)?;
                let bytes = unhex(&digits).ok_or_else(|| input.wrong("x'…'", "hexadecimal digits"))?;
                return Ok(Token::Bytes(bytes));
            }
            b"b" => return Ok(Token::Bits(quoted(input, b'\'', false)?)),
            b"e" if !dialect.mysql => return Ok(Token::Text(quoted(input, b'\'', true)?)),
            b"n" => return Ok(Token::Text(quoted(input, b'\'', dialect.backslash)?)),
            _ => {}
        }
    }
    Ok(Token::Word(utf8(input, word)?))
}

fn hex_digits(input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<(), DumpError> {
    loop {
        let ahead = input.ahead()?;
        let taken = ahead.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let all = taken == ahead.len() && taken > 0;
        out.extend_from_slice(ahead.get(..taken).unwrap_or_default());
        input.skip(taken);
        if !all {
            return Ok(());
        }
        if out.len() > 2 * super::input::MAX_BYTES {
            return Err(input.wrong("a value that goes on", "one of at most 1 GiB"));
        }
    }
}

/// The bytes of hexadecimal digits.
pub(super) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if digits.is_empty() || digits.len() % 2 == 1 {
        return digits.is_empty().then(Vec::new);
    }
    digits.chunks(2).map(|two| Some(digit(two.first()?)? << 4 | digit(two.last()?)?)).collect()
}

/// A quoted text from its first quote to its last; quotes within are doubled.
fn quoted(input: &mut Input<'_>, quote: u8, backslash: bool) -> Result<Vec<u8>, DumpError> {
    let begun = (input.line, input.byte);
    input.next()?;
    let mut out = Vec::new();
    loop {
        let ends: &[u8] = if backslash { &[quote, b'\\'] } else { &[quote] };
        input.until(ends, &mut out)?;
        match input.next()? {
            None => {
                let found =
                    format!("the end of the dump in what begins at line {} (byte {})", begun.0, begun.1);
                return Err(input.wrong(found, format!("{:?}", char::from(quote))));
            }
            Some(b'\\') if backslash => match input.next()? {
                None => return Err(input.wrong("the end of the dump", "an escaped byte")),
                Some(byte) => escaped(byte, &mut out),
            },
            Some(_) if input.peek()? == Some(quote) => {
                out.push(quote);
                input.skip(1);
            }
            Some(_) => return Ok(out),
        }
    }
}

/// What `\` and a byte stand for.
fn escaped(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'0' => out.push(0),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'b' => out.push(8),
        b'Z' => out.push(26),
        other => out.push(other),
    }
}

/// `$tag$ … $tag$`, or a lone `$`.
fn dollars(input: &mut Input<'_>) -> Result<Token, DumpError> {
    input.next()?;
    let mut tag = vec![b'$'];
    while let Some(byte) = input.peek()?.filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        tag.push(byte);
        input.skip(1);
    }
    if input.peek()? != Some(b'$') {
        return Ok(Token::Symbol(b'$'));
    }
    input.skip(1);
    tag.push(b'$');
    let mut out = Vec::new();
    loop {
        input.until(b"$", &mut out)?;
        if input.next()?.is_none() {
            return Err(input.wrong("the end of the dump", String::from_utf8_lossy(&tag)));
        }
        out.push(b'$');
        if out.ends_with(&tag) && out.len() >= tag.len() {
            out.truncate(out.len() - tag.len());
            return Ok(Token::Text(out));
        }
    }
}

fn utf8(input: &Input<'_>, bytes: Vec<u8>) -> Result<String, DumpError> {
    String::from_utf8(bytes).map_err(|_| input.wrong("a name that is not UTF-8", "UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MYSQL: Dialect = Dialect { mysql: true, backslash: true };
    const POSTGRES: Dialect = Dialect { mysql: false, backslash: false };

    fn all(text: &[u8], dialect: Dialect) -> Result<Vec<Token>, DumpError> {
        let mut input = Input::new("dump", text)?;
        let mut tokens = Vec::new();
        loop {
            match token(&mut input, dialect)? {
                Token::End => return Ok(tokens),
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn words_are_read_as_the_servers_write_them() {
        let text = |text: &[u8]| Token::Text(text.to_vec());
        let word = |word: &str| Token::Word(word.to_owned());
        let check = |dialect, source: &[u8], expected: Vec<Token>| {
            assert_eq!(all(source, dialect).unwrap(), expected, "{}", source.escape_ascii());
        };
        check(
            MYSQL,
            br"'it\'s' 'it''s' '\\' '\0\n\Z\%\q' ''",
            vec![text(b"it's"), text(b"it's"), text(b"\\"), text(b"\0\n\x1a%q"), text(b"")],
        );
        check(
            MYSQL,
            b"0x00ff _binary 'a' x'0A' b'101' -1.5e+10",
            vec![
                Token::Bytes(vec![0, 255]),
                word("_binary"),
                text(b"a"),
                Token::Bytes(vec![10]),
                Token::Bits(b"101".to_vec()),
                Token::Symbol(b'-'),
                word("1.5e+10"),
            ],
        );
        check(
            MYSQL,
            b"-- x 'y\n# z \"\n/* ' */ `a``b` /*!40101 SET x */; /*M!999999\\- enable */ `c`",
            vec![
                Token::Name("a`b".to_owned()),
                word("SET"),
                word("x"),
                Token::Symbol(b';'),
                Token::Name("c".to_owned()),
            ],
        );
        check(
            POSTGRES,
            br#"'a\' 'it''s' E'\n' "A""b" $$x;'$$ $f$ $$ $f$ /* /* */ */ 1"#,
            vec![
                text(b"a\\"),
                text(b"it's"),
                text(b"\n"),
                Token::Name("A\"b".to_owned()),
                text(b"x;'"),
                text(b" $$ "),
                word("1"),
            ],
        );
        check(
            Dialect { backslash: false, ..MYSQL },
            br"'a\', 'b'",
            vec![text(b"a\\"), Token::Symbol(b','), text(b"b")],
        );
    }

    #[test]
    fn what_is_not_closed_says_where_it_began() {
        for (source, says) in [
            (&b"a\n 'b"[..], "line 2 (byte 5): found the end of the dump in what begins at line 2 (byte 3)"),
            (b"/* a", "expected */"),
            (b"'\\", "expected an escaped byte"),
            (b"0xabc", "expected hexadecimal digits"),
            (b"`\xff`", "not UTF-8"),
        ] {
            let error = all(source, MYSQL).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(all(b"$a$ x $b$", POSTGRES).unwrap_err().to_string().contains("expected $a$"));
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut source = vec![b'\''];
            for byte in &bytes {
                match byte {
                    0 => source.extend(b"\\0"),
                    b'\'' | b'\\' => source.extend([b'\\', *byte]),
                    other => source.push(*other),
                }
            }
            source.push(b'\'');
            prop_assert_eq!(all(&source, MYSQL).unwrap(), vec![Token::Text(bytes)]);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), mysql: bool, backslash: bool) {
            let _ = all(&bytes, Dialect { mysql, backslash });
        }
    }
}
