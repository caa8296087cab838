//! Wildcards and regular expressions, with their bounds.

use std::fmt;
use std::sync::Arc;

use regex_automata::meta;
use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind};

use super::words::is_word;

/// The most characters and wildcards in one value: with it, matching a value of n characters takes at most 512·n steps.
pub(super) const MAX_WILDCARD_PIECES: usize = 512;

/// The most memory a compiled regular expression may take, in bytes. With [`super::MAX_REGEXES`] of them a query holds at most 16 MiB.
const REGEX_BYTES: usize = 512 << 10;

/// The most memory that the lazily built automaton of a regular expression may take, in bytes, for each thread that runs it.
const REGEX_CACHE_BYTES: usize = 1 << 20;

/// One piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Piece {
    /// This character.
    Char(char),
    /// `?`: any one character.
    One,
    /// `*`: any characters, or none.
    Any,
}

/// A value with `*` or `?` in it, matched against the whole of a value, or (in text) word by word.
#[derive(Clone, PartialEq, Eq)]
pub struct Wildcard {
    pieces: Vec<Piece>,
    words: Vec<WordPattern>,
}

/// What one word of a text must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WordPattern {
    /// This word, in lower case.
    Word(String),
    /// A word that matches, in lower case.
    Like(Vec<Piece>),
    /// Any word.
    Any,
}

impl Wildcard {
    /// Neighbouring `*` become one.
    pub(super) fn new(mut pieces: Vec<Piece>) -> Wildcard {
        pieces.dedup_by(|right, left| *left == Piece::Any && *right == Piece::Any);
        let words = pieces
            .split(|piece| matches!(piece, Piece::Char(c) if !is_word(*c)))
            .filter(|run| !run.is_empty())
            .map(WordPattern::new)
            .collect();
        Wildcard { pieces, words }
    }

    /// The pattern's pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// What consecutive words of a text must be for the text to match.
    pub fn words(&self) -> &[WordPattern] {
        &self.words
    }

    /// Whether the whole of `value` matches; upper and lower case differ.
    pub fn matches(&self, value: &str) -> bool {
        matches(&self.pieces, value)
    }

    /// The literal text that a match starts with, and whether `*` alone follows it.
    pub fn prefix(&self) -> (String, bool) {
        prefix(&self.pieces)
    }

    /// The longest literal text within a match, and whether only `*` stands before and behind it.
    pub fn literal(&self) -> (String, bool) {
        literal(&self.pieces)
    }
}

impl fmt::Debug for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wildcard(")?;
        for piece in &self.pieces {
            match piece {
                Piece::Char(c) => write!(f, "{c}")?,
                Piece::One => f.write_str("‹?›")?,
                Piece::Any => f.write_str("‹*›")?,
            }
        }
        f.write_str(")")
    }
}

impl WordPattern {
    fn new(run: &[Piece]) -> WordPattern {
        let literal: Option<String> =
            run.iter().map(|piece| if let Piece::Char(c) = piece { Some(*c) } else { None }).collect();
        match literal {
            Some(word) => WordPattern::Word(word.to_lowercase()),
            None if run == [Piece::Any] => WordPattern::Any,
            None => WordPattern::Like(run.iter().flat_map(|piece| lower(*piece)).collect()),
        }
    }

    /// Whether a word, given in lower case, is meant.
    pub fn matches(&self, word: &str) -> bool {
        match self {
            WordPattern::Word(expected) => expected == word,
            WordPattern::Like(pieces) => matches(pieces, word),
            WordPattern::Any => true,
        }
    }

    /// The literal text that a match starts with, and whether `*` alone follows it; for [`WordPattern::Like`].
    pub fn prefix(&self) -> (String, bool) {
        match self {
            WordPattern::Word(word) => (word.clone(), false),
            WordPattern::Like(pieces) => prefix(pieces),
            WordPattern::Any => (String::new(), true),
        }
    }

    /// The longest literal text within a match, and whether only `*` stands before and behind it.
    pub fn literal(&self) -> (String, bool) {
        match self {
            WordPattern::Word(word) => (word.clone(), false),
            WordPattern::Like(pieces) => literal(pieces),
            WordPattern::Any => (String::new(), true),
        }
    }
}

/// Lower-cases a piece. Where the end of a word has a letter of its own (Greek sigma), a pattern accepts either.
fn lower(piece: Piece) -> Vec<Piece> {
    match piece {
        Piece::Char('Σ' | 'σ' | 'ς') => vec![Piece::One],
        Piece::Char(c) => c.to_lowercase().map(Piece::Char).collect(),
        other => vec![other],
    }
}

fn prefix(pieces: &[Piece]) -> (String, bool) {
    let mut literal = String::new();
    let mut rest = pieces.iter();
    for piece in rest.by_ref() {
        match piece {
            Piece::Char(c) => literal.push(*c),
            Piece::Any => return (literal, rest.next().is_none()),
            Piece::One => return (literal, false),
        }
    }
    (literal, false)
}

fn literal(pieces: &[Piece]) -> (String, bool) {
    let of = |run: &[Piece]| -> String {
        run.iter().filter_map(|piece| if let Piece::Char(c) = piece { Some(*c) } else { None }).collect()
    };
    let runs = pieces.split(|piece| !matches!(piece, Piece::Char(_)));
    let longest = runs.map(of).max_by_key(String::len).unwrap_or_default();
    let alone = match pieces {
        [Piece::Any, middle @ .., Piece::Any] => middle.iter().all(|piece| matches!(piece, Piece::Char(_))),
        _ => false,
    };
    (longest, alone)
}

/// Matches with one point of return: the last `*` takes one character more whenever what follows it does not fit.
pub(crate) fn matches(pieces: &[Piece], value: &str) -> bool {
    let mut piece = 0;
    let mut rest = value;
    let mut retry: Option<(usize, &str)> = None;
    loop {
        let mut ahead = rest.chars();
        let next = ahead.next();
        match (pieces.get(piece), next) {
            (Some(Piece::Any), _) => {
                piece += 1;
                retry = Some((piece, rest));
                continue;
            }
            (Some(Piece::One), Some(_)) => {
                piece += 1;
                rest = ahead.as_str();
                continue;
            }
            (Some(Piece::Char(expected)), Some(found)) if *expected == found => {
                piece += 1;
                rest = ahead.as_str();
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((after, from)) = retry else { return false };
        let mut from = from.chars();
        if from.next().is_none() {
            return false;
        }
        rest = from.as_str();
        piece = after;
        retry = Some((after, rest));
    }
}

/// A regular expression (the syntax of the `regex` crate), looked for anywhere in a value. `^` and `$` tie it to the ends.
#[derive(Clone)]
pub struct Regex {
    source: String,
    fold: bool,
    compiled: Arc<meta::Regex>,
    needles: Arc<[String]>,
    literal: Arc<str>,
    is_literal: bool,
    within_word: bool,
}

/// Why a regular expression is refused, and where in its source.
pub(super) struct BadRegex {
    pub(super) at: Option<std::ops::Range<usize>>,
    pub(super) message: String,
}

impl Regex {
    /// Compiles; `fold` ignores case (the `i` behind the last slash).
    pub(super) fn new(source: &str, fold: bool) -> Result<Regex, BadRegex> {
        let hir = regex_syntax::ParserBuilder::new()
            .case_insensitive(fold)
            .nest_limit(64)
            .build()
            .parse(source)
            .map_err(BadRegex::from)?;
        let config = meta::Config::new()
            .nfa_size_limit(Some(REGEX_BYTES))
            .onepass_size_limit(Some(REGEX_BYTES / 8))
            .hybrid_cache_capacity(REGEX_CACHE_BYTES)
            .dfa(false);
        let compiled =
            meta::Builder::new().configure(config).build_from_hir(&hir).map_err(|error| BadRegex {
                at: None,
                message: match error.size_limit() {
                    Some(limit) => {
                        format!("the regular expression needs more than {limit} bytes when compiled")
                    }
                    None => "the regular expression cannot be compiled".to_owned(),
                },
            })?;
        let literal = longest_literal(&hir);
        Ok(Regex {
            source: source.to_owned(),
            fold,
            compiled: Arc::new(compiled),
            needles: needles(&hir).into(),
            is_literal: matches!(hir.kind(), HirKind::Literal(whole) if *whole.0 == *literal.as_bytes()),
            literal: literal.into(),
            within_word: hir.properties().minimum_len().is_some_and(|len| len > 0) && is_of_words(&hir),
        })
    }

    /// What stands between the slashes.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether case is ignored.
    pub fn ignores_case(&self) -> bool {
        self.fold
    }

    /// Whether it occurs in `value`.
    pub fn matches(&self, value: &str) -> bool {
        self.compiled.is_match(value)
    }

    /// Runs of ASCII letters, digits and `_`, in lower case, each of which stands within one word of every text that
    /// matches. What an index can ask for before the text itself is looked at.
    pub fn needles(&self) -> &[String] {
        &self.needles
    }

    /// The longest text that stands in every match as it is; may be empty.
    pub fn literal(&self) -> &str {
        &self.literal
    }

    /// Whether it matches where its literal stands, and nowhere else.
    pub fn is_literal(&self) -> bool {
        self.is_literal
    }

    /// Whether every match lies within one word, so that it occurs in a text just when it occurs in one of its words.
    pub fn is_within_word(&self) -> bool {
        self.within_word
    }

    /// Whether no part of it tells upper from lower case.
    pub fn ignores_all_case(&self) -> bool {
        // A group may turn the folding off again.
        self.fold && !self.source.contains("(?")
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Regex) -> bool {
        self.fold == other.fold && self.source == other.source
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex(/{}/{})", self.source, if self.fold { "i" } else { "" })
    }
}

impl From<regex_syntax::Error> for BadRegex {
    fn from(error: regex_syntax::Error) -> BadRegex {
        let (span, message) = match &error {
            regex_syntax::Error::Parse(error) => (error.span(), error.kind().to_string()),
            regex_syntax::Error::Translate(error) => (error.span(), error.kind().to_string()),
            _ => return BadRegex { at: None, message: "the regular expression cannot be read".to_owned() },
        };
        BadRegex {
            at: Some(span.start.offset..span.end.offset),
            message: format!("in the regular expression: {message}"),
        }
    }
}

/// The longest run of text that every match contains as it is.
fn longest_literal(hir: &Hir) -> String {
    fn close(run: &mut Vec<u8>, longest: &mut String) {
        if run.len() > longest.len()
            && let Ok(text) = std::str::from_utf8(run)
        {
            text.clone_into(longest);
        }
        run.clear();
    }
    fn collect(hir: &Hir, run: &mut Vec<u8>, longest: &mut String) {
        match hir.kind() {
            HirKind::Literal(literal) => run.extend_from_slice(&literal.0),
            HirKind::Concat(parts) => parts.iter().for_each(|part| collect(part, run, longest)),
            HirKind::Capture(capture) => collect(&capture.sub, run, longest),
            HirKind::Repetition(repetition) => {
                close(run, longest);
                if repetition.min >= 1 {
                    collect(&repetition.sub, run, longest);
                    close(run, longest);
                }
            }
            HirKind::Look(_) | HirKind::Empty => {}
            HirKind::Class(_) | HirKind::Alternation(_) => close(run, longest),
        }
    }
    let (mut run, mut longest) = (Vec::new(), String::new());
    collect(hir, &mut run, &mut longest);
    close(&mut run, &mut longest);
    longest
}

/// Classes of more characters are not looked through: `\w` has 140,000.
const CLASS_CHARACTERS: u32 = 4_096;

/// Whether whatever it matches consists of characters of words, and nothing ties it to a place.
fn is_of_words(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty => true,
        HirKind::Look(_) => false,
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).is_ok_and(|text| text.chars().all(is_word))
        }
        HirKind::Class(Class::Unicode(class)) => {
            let size = |range: &ClassUnicodeRange| u32::from(range.end()) - u32::from(range.start()) + 1;
            class.ranges().iter().map(size).fold(0, u32::saturating_add) <= CLASS_CHARACTERS
                && class.ranges().iter().all(|range| (range.start()..=range.end()).all(is_word))
        }
        HirKind::Class(Class::Bytes(class)) => class.ranges().iter().all(|range| {
            range.end().is_ascii() && (range.start()..=range.end()).all(|byte| is_word(char::from(byte)))
        }),
        HirKind::Repetition(repetition) => is_of_words(&repetition.sub),
        HirKind::Capture(capture) => is_of_words(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(is_of_words),
    }
}

/// Literal runs that every match contains. Only a concatenation's own literals count (an alternation promises none);
/// case folding leaves one-letter classes such as `[Aa]`, which count as their letter.
fn needles(hir: &Hir) -> Vec<String> {
    let mut found = Vec::new();
    let mut run = String::new();
    collect(hir, &mut run, &mut found);
    close(&mut run, &mut found);
    found.sort_by_key(|needle: &String| std::cmp::Reverse(needle.len()));
    found.truncate(4);
    found
}

/// Runs shorter than this are in so many words that looking for them costs more than it saves.
const NEEDLE_BYTES: usize = 3;

fn close(run: &mut String, found: &mut Vec<String>) {
    if run.len() >= NEEDLE_BYTES {
        found.push(std::mem::take(run));
    }
    run.clear();
}

fn collect(hir: &Hir, run: &mut String, found: &mut Vec<String>) {
    match hir.kind() {
        HirKind::Literal(literal) => {
            for byte in &literal.0 {
                if byte.is_ascii_alphanumeric() || *byte == b'_' {
                    run.push(byte.to_ascii_lowercase() as char);
                } else {
                    close(run, found);
                }
            }
        }
        HirKind::Class(class) => match folded_letter(class) {
            Some(letter) => run.push(letter),
            None => close(run, found),
        },
        HirKind::Concat(parts) => parts.iter().for_each(|part| collect(part, run, found)),
        HirKind::Capture(capture) => collect(&capture.sub, run, found),
        HirKind::Repetition(repetition) => {
            close(run, found);
            if repetition.min >= 1 {
                collect(&repetition.sub, run, found);
                close(run, found);
            }
        }
        HirKind::Look(_) | HirKind::Empty => {}
        HirKind::Alternation(_) => close(run, found),
    }
}

/// The letter that a class such as `[Kk]` stands for. The classes that folding makes for `k` and `s` hold a third
/// character each (the Kelvin sign, the long s) whose lower case is not the same everywhere: they break a run.
fn folded_letter(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    match class.ranges() {
        [upper, lower]
            if upper.start() == upper.end()
                && lower.start() == lower.end()
                && lower.start().is_ascii_lowercase()
                && upper.start() == lower.start().to_ascii_uppercase() =>
        {
            Some(lower.start())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<Piece> {
        let piece = |c| match c {
            '*' => Piece::Any,
            '?' => Piece::One,
            c => Piece::Char(c),
        };
        text.chars().map(piece).collect()
    }

    #[test]
    fn wildcards() {
        let cases = [
            ("login.*", "login.success", true),
            ("login.*", "login.", true),
            ("login.*", "Login.success", false),
            ("login.*", "xlogin.success", false),
            ("*", "", true),
            ("?", "", false),
            ("?", "é", true),
            ("??", "é", false),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aba", false),
            ("a*b", "a\nb", true),
            ("*aab", "aaaaaab", true),
            ("a?c*", "abcd", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, value, expected) in cases {
            assert_eq!(Wildcard::new(pieces(pattern)).matches(value), expected, "{pattern} {value}");
        }
    }

    #[test]
    fn wildcards_by_word() {
        let words = |text: &str| Wildcard::new(pieces(text)).words().to_vec();
        let word = |text: &str| WordPattern::Word(text.to_owned());
        assert_eq!(words("Conn*"), [WordPattern::Like(pieces("conn*"))]);
        assert_eq!(words("10.0.*"), [word("10"), word("0"), WordPattern::Any]);
        assert_eq!(words("/var/l?g"), [word("var"), WordPattern::Like(pieces("l?g"))]);
        assert_eq!(words("*-*"), [WordPattern::Any, WordPattern::Any]);
        assert!(words("ΟΔΟΣ*")[0].matches(&"ΟΔΟΣΑ".to_lowercase()));
        assert!(words("*ΟΔΟΣ")[0].matches(&"ΟΔΟΣ".to_lowercase()));
    }

    #[test]
    fn needles_stand_in_every_match() {
        let cases: &[(&str, bool, &[&str])] = &[
            ("connection.*reset", false, &["connection", "reset"]),
            ("Conn", false, &["conn"]),
            ("conn", true, &["conn"]),
            ("desk", true, &[]),
            ("fail(ed|ure)", false, &["fail"]),
            ("(error|fail)", false, &[]),
            ("(abc)+d", false, &["abc"]),
            ("(abc)*d", false, &[]),
            ("foo-bar", false, &["foo", "bar"]),
            ("a.b", false, &[]),
            (r"ab\b-cd", false, &[]),
            ("straße", false, &["stra"]),
        ];
        for (source, fold, expected) in cases {
            let Ok(regex) = Regex::new(source, *fold) else { panic!("{source}") };
            assert_eq!(regex.needles(), *expected, "{source}");
        }
    }

    #[test]
    fn what_an_index_can_decide_of_a_regex() {
        // Source, folded; its longest literal, whether that is all, whether a match lies within a word.
        let cases = [
            ("abcd", false, "abcd", true, true),
            ("Abcd", false, "Abcd", true, true),
            ("abcd", true, "", false, true),
            ("(abcd)", false, "abcd", false, true),
            ("a b", false, "a b", true, false),
            ("größe", false, "größe", true, true),
            ("^abcd", false, "abcd", false, false),
            (r"\babcd\b", false, "abcd", false, false),
            ("ab[0-9]+xyz", false, "xyz", false, true),
            ("ab(c|d)?", false, "ab", false, true),
            ("(ab)*", false, "", false, false),
            ("a*", false, "", false, false),
            ("abc.", false, "abc", false, false),
            (r"ab\w", false, "ab", false, false),
            (r"(?-u:[a-z])x{3}", false, "x", false, true),
            ("(connection|reset)", false, "", false, true),
            ("xab+c", false, "xa", false, true),
        ];
        for (source, fold, literal, is_literal, within_word) in cases {
            let Ok(regex) = Regex::new(source, fold) else { panic!("{source}") };
            let found = (regex.literal(), regex.is_literal(), regex.is_within_word());
            assert_eq!(found, (literal, is_literal, within_word), "{source}");
        }
    }

    #[test]
    fn literals_of_wildcards() {
        let cases = [
            ("*abc*", "abc", true),
            ("abc*", "abc", false),
            ("*a*bc*", "bc", false),
            ("*", "", false),
            ("*a?", "a", false),
        ];
        for (pattern, literal, alone) in cases {
            assert_eq!(Wildcard::new(pieces(pattern)).literal(), (literal.to_owned(), alone), "{pattern}");
        }
    }

    #[test]
    fn regexes_are_bounded() {
        for source in
            [r"\pL{1000}{1000}", r"(((\w{50}){50}){50}){50}", "(".repeat(500).as_str(), "[", "a{2,1}", r"\"]
        {
            assert!(Regex::new(source, false).is_err(), "{source}");
        }
        // A classical trap for backtracking engines.
        let Ok(regex) = Regex::new("(a+)+$", false) else { panic!() };
        assert!(!regex.matches(&format!("{}b", "a".repeat(100_000))));
    }
}
