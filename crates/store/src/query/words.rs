//! Words of text: maximal runs of letters, digits and `_` (Unicode), in lower case. The index has a tokenizer of its
//! own; this one is kept apart from it so that each can find the other's mistakes.

/// Whether a character belongs to a word.
pub(crate) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The words of a text in order, as they were written.
pub(crate) fn runs(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|c| !is_word(c)).filter(|run| !run.is_empty())
}

/// The words of a text in order, lower-cased.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    runs(text).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("--", &[]),
            ("Connection reset", &["connection", "reset"]),
            ("user_name=Álvaro, id:7", &["user_name", "álvaro", "id", "7"]),
            ("10.0.0.1", &["10", "0", "0", "1"]),
            ("日本語 ΟΔΟΣ", &["日本語", "οδος"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).collect::<Vec<_>>(), *expected, "{text}");
        }
    }
}
