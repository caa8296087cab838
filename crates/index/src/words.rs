//! Words of text.
//!
//! A word is a maximal run of alphanumeric characters (Unicode) and `_`, lower-cased by itself with full Unicode
//! rules. Of a word longer than [`MAX_WORD_BYTES`] the index knows the start only.

/// The longest word, lower-cased, that the index holds whole, in bytes.
pub const MAX_WORD_BYTES: usize = 64;

/// What stands in `CLASS` for a byte that is no part of a word, and for one that starts or continues a character
/// beyond ASCII.
const BREAK: u8 = 0;
const BEYOND_ASCII: u8 = 0xFF;

/// For each byte its lower-cased form within a word.
const CLASS: [u8; 256] = {
    let mut class = [BREAK; 256];
    let mut byte = 0;
    while byte < 256 {
        let this = byte as u8;
        if this.is_ascii_alphanumeric() || this == b'_' {
            class[byte] = this.to_ascii_lowercase();
        } else if byte >= 0x80 {
            class[byte] = BEYOND_ASCII;
        }
        byte += 1;
    }
    class
};

/// Calls `each` with every word of `text` in order, lower-cased and whole.
pub fn words(text: &str, each: &mut impl FnMut(&str)) {
    word_bytes(text, &mut |word, _| each(std::str::from_utf8(word).unwrap_or_default()));
}

/// [`words`] as UTF-8, without the check that it is, and whether the text has the word in other letters.
pub(crate) fn word_bytes(text: &str, each: &mut impl FnMut(&[u8], bool)) {
    let bytes = text.as_bytes();
    let mut buffer = [0_u8; MAX_WORD_BYTES];
    let mut at = 0;
    'text: while at < bytes.len() {
        let start = at;
        let mut len = 0;
        // The bits in which the text differs from its lower case.
        let mut differs = 0;
        loop {
            let byte = bytes.get(at).copied().unwrap_or_default();
            let class = CLASS[usize::from(byte)];
            if class == BREAK {
                break;
            }
            let Some(place) = buffer.get_mut(len).filter(|_| class != BEYOND_ASCII) else {
                at = slow_word(text, start, each);
                continue 'text;
            };
            *place = class;
            differs |= class ^ byte;
            len += 1;
            at += 1;
        }
        if let Some(word) = buffer.get(..len).filter(|word| !word.is_empty()) {
            each(word, differs != 0);
        }
        at += 1;
    }
}

/// The run from `start` on, which is long or holds characters beyond ASCII; gives where the text goes on.
fn slow_word(text: &str, start: usize, each: &mut impl FnMut(&[u8], bool)) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let run = rest.get(..len).unwrap_or_default();
    if !run.is_empty() {
        let word = run.to_lowercase();
        each(word.as_bytes(), word != run);
    }
    let after = rest.get(len..).and_then(|after| after.chars().next()).map_or(0, char::len_utf8);
    start + len + after
}

/// The longest start of `text` that has at most `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        words(text, &mut |word| found.push(word.to_owned()));
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn words_are_found() {
        check("", &[]);
        check(" .,;", &[]);
        check("Connection reset by peer", &["connection", "reset", "by", "peer"]);
        check("user_name=O'Brien", &["user_name", "o", "brien"]);
        check("10.0.0.1:8080", &["10", "0", "0", "1", "8080"]);
        check("x", &["x"]);
        check("ÄRGER über Größe", &["ärger", "über", "größe"]);
        check("abcÄ-déF", &["abcä", "déf"]);
        check("ΟΔΟΣ ΟΔΟΣΑ", &["οδος", "οδοσα"]);
        check("日本語、テスト", &["日本語", "テスト"]);
        check("İ", &["i\u{307}"]);
        check("a\u{301}b", &["a", "b"]);
        check("\u{a0}a\u{2003}b\u{2014}", &["a", "b"]);
        check("٣٤ x²", &["٣٤", "x²"]);
        let long = "Ab".repeat(100);
        check(&format!("-{long}-z"), &[&long.to_lowercase(), "z"]);
        let exact = "q".repeat(MAX_WORD_BYTES);
        check(&exact, &[&exact]);
    }

    #[test]
    fn words_in_other_letters_are_told() {
        let mut found = Vec::new();
        word_bytes("ab Ab ÄRGER ärger a_1 ΟΔΟΣ \u{212A}", &mut |_, cased| found.push(cased));
        word_bytes(&"q".repeat(100), &mut |_, cased| found.push(cased));
        word_bytes(&"qQ".repeat(100), &mut |_, cased| found.push(cased));
        assert_eq!(found, [false, true, true, false, false, true, true, false, true]);
    }

    #[test]
    fn every_ascii_byte_splits_as_unicode_says() {
        for byte in 0..128_u8 {
            let text = format!("A{}B", char::from(byte));
            let expected: Vec<String> = text
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|run| !run.is_empty())
                .map(str::to_lowercase)
                .collect();
            check(&text, &expected.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    #[test]
    fn cuts_at_a_character() {
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("aä", 3), "aä");
        assert_eq!(cut("abc", 100), "abc");
    }
}
