//! Patterns for paths, as shells have them: `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`, and `**` for any number of folders.
//!
//! `*` and `?` do not match the dot that a hidden name begins with.

use std::path::{Component, Path};

/// More alternatives than anybody writes.
const MAX_ALTERNATIVES: usize = 256;

/// One pattern for an absolute path, or for a file's name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    pub(super) parts: Vec<Part>,
    absolute: bool,
}

/// What one name in a path must be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// This.
    Name(String),
    /// Something like this.
    Like(Vec<Token>),
    /// Any number of folders.
    Folders,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Letter(char),
    Any,
    Many,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

/// The patterns that `text` stands for, several where it has `{a,b}`.
pub(super) fn parse(text: &str) -> Result<Vec<Pattern>, String> {
    let mut alternatives = vec![text.to_owned()];
    let mut plain = Vec::new();
    while let Some(next) = alternatives.pop() {
        match braces(&next)? {
            None => plain.push(next),
            Some((before, inner, after)) => {
                alternatives.extend(inner.rsplit(',').map(|one| format!("{before}{one}{after}")));
            }
        }
        if plain.len() + alternatives.len() > MAX_ALTERNATIVES {
            return Err(format!("{text:?} has more than {MAX_ALTERNATIVES} alternatives"));
        }
    }
    plain.iter().map(|one| Pattern::parse(one)).collect()
}

/// The innermost braces that come first, with what stands before and after.
fn braces(text: &str) -> Result<Option<(&str, &str, &str)>, String> {
    let Some(close) = text.find('}') else {
        return if text.contains('{') {
            Err(format!("{text:?} has a brace that is not closed"))
        } else {
            Ok(None)
        };
    };
    let Some(open) = text.get(..close).and_then(|before| before.rfind('{')) else {
        return Err(format!("{text:?} closes a brace that is not open"));
    };
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    Ok(Some((part(0..open), part(open + 1..close), part(close + 1..text.len()))))
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        let absolute = text.starts_with('/');
        let mut parts = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
            parts.push(match part {
                ".." => return Err(format!("{text:?} has .. in it")),
                "**" => Part::Folders,
                part => tokens(part).map_err(|what| format!("{text:?} {what}"))?,
            });
        }
        match parts.last() {
            None | Some(Part::Folders) => Err(format!("{text:?} names no file")),
            Some(_) => Ok(Pattern { parts, absolute }),
        }
    }

    pub(super) fn is_absolute(&self) -> bool {
        self.absolute
    }

    /// Whether a whole path is meant; a pattern without a slash in front is held against the name alone.
    pub(super) fn matches(&self, path: &Path) -> bool {
        let names: Vec<_> = path
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy()),
                _ => None,
            })
            .collect();
        let from = if self.absolute { 0 } else { names.len().saturating_sub(self.parts.len()) };
        let names: Vec<&str> = names.iter().skip(from).map(AsRef::as_ref).collect();
        below(&self.parts, &names)
    }
}

fn below(parts: &[Part], names: &[&str]) -> bool {
    match (parts.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((Part::Folders, rest)), _) => {
            below(rest, names) || names.split_first().is_some_and(|(_, deeper)| below(parts, deeper))
        }
        (Some((part, parts)), Some((name, names))) => part.matches(name) && below(parts, names),
        _ => false,
    }
}

impl Part {
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Part::Name(wanted) => wanted == name,
            Part::Folders => true,
            Part::Like(tokens) => {
                let hidden = name.starts_with('.') && tokens.first() != Some(&Token::Letter('.'));
                !hidden && like(tokens, name)
            }
        }
    }
}

fn tokens(part: &str) -> Result<Part, String> {
    let mut tokens = Vec::new();
    let mut letters = part.chars().peekable();
    while let Some(letter) = letters.next() {
        tokens.push(match letter {
            '*' if tokens.last() == Some(&Token::Many) => continue,
            '*' => Token::Many,
            '?' => Token::Any,
            '\\' => Token::Letter(letters.next().ok_or("ends with a backslash")?),
            '[' => {
                let negated = letters.next_if(|next| matches!(next, '!' | '^')).is_some();
                let mut ranges = Vec::new();
                loop {
                    let from = letters.next().ok_or("has a [ that is not closed")?;
                    if from == ']' && !ranges.is_empty() {
                        break;
                    }
                    let mut ahead = letters.clone();
                    match (ahead.next(), ahead.next()) {
                        (Some('-'), Some(to)) if to != ']' => {
                            ranges.push((from, to));
                            letters = ahead;
                        }
                        _ => ranges.push((from, from)),
                    }
                }
                Token::Set { negated, ranges }
            }
            letter => Token::Letter(letter),
        });
    }
    let plain: Option<String> = tokens
        .iter()
        .map(|token| match token {
            Token::Letter(letter) => Some(*letter),
            _ => None,
        })
        .collect();
    Ok(plain.map_or(Part::Like(tokens), Part::Name))
}

/// Goes back to the last `*` only, so that it takes at most the product of both lengths.
fn like(tokens: &[Token], name: &str) -> bool {
    let letters: Vec<char> = name.chars().collect();
    let (mut token, mut letter) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&next) = letters.get(letter) {
        let fits = match tokens.get(token) {
            Some(Token::Many) => {
                star = Some((token + 1, letter));
                token += 1;
                continue;
            }
            Some(Token::Any) => true,
            Some(Token::Letter(wanted)) => *wanted == next,
            Some(Token::Set { negated, ranges }) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&next)) != *negated
            }
            None => false,
        };
        match (fits, star) {
            (true, _) => (token, letter) = (token + 1, letter + 1),
            (false, Some((after, from))) => {
                star = Some((after, from + 1));
                (token, letter) = (after, from + 1);
            }
            (false, None) => return false,
        }
    }
    tokens.iter().skip(token).all(|token| *token == Token::Many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, yes, no) in [
            ("/a/*.log", "/a/b.log /a/.log.log!", "/a/b.logs /a/b/c.log /b.log /a/.b.log"),
            ("/a/**/*.log", "/a/b.log /a/b/c/d.log", "/b/b.log /a/b"),
            ("/**/x", "/x /a/x /a/b/x", "/a/y"),
            ("/a/{b,c}/{1,2}?.txt", "/a/b/12.txt /a/c/2x.txt", "/a/d/12.txt /a/b/3x.txt /a/b/1.txt"),
            ("/a/[a-c]x[!0-9]", "/a/axy /a/cx-", "/a/dxy /a/ax1 /a/ax"),
            ("/a/[]-]", "/a/] /a/-", "/a/x"),
            ("/a/\\*", "/a/*", "/a/b"),
            ("*.gz", "/a/b.gz /b.gz", "/a/b.gz.x"),
            ("b/*.gz", "/a/b/c.gz", "/a/c/d.gz /d.gz"),
            ("/a/a*b*c", "/a/abc /a/axxbxxc /a/abcbc", "/a/ab /a/abcd"),
            ("/a/.*", "/a/.b", "/a/b"),
            ("/a/é?", "/a/éü", "/a/é"),
        ] {
            let patterns = parse(pattern).unwrap();
            let matches = |path: &str| patterns.iter().any(|pattern| pattern.matches(Path::new(path)));
            for path in yes.split(' ').filter(|path| !path.ends_with('!')) {
                assert!(matches(path), "{pattern} {path}");
            }
            for path in no.split(' ') {
                assert!(!matches(path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let many = format!("/{}", "{a,b,c}".repeat(12));
        for text in ["", "/", "/a/**", "/a/../b", "/a/[b", "/a/{b", "/a/b}", "/a\\", &many] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let name = "a".repeat(4_000);
        let pattern = parse(&format!("/{}b", "*a".repeat(500))).unwrap();
        assert!(!pattern[0].matches(Path::new(&format!("/{name}"))));
    }
}
