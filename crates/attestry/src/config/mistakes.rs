//! Every mistake of a configuration file with its line, not only the first.

use std::fmt;

use super::Written;

/// More mistakes than this are not looked for.
const MOST_MISTAKES: usize = 50;

/// Something wrong in the configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    place: String,
    what: String,
}

impl Mistake {
    pub(crate) fn new(place: String, what: String) -> Self {
        Mistake { place, what }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Reads the file. The reader stops at the first mistake, so that one is noted, its item blanked out, and the rest read
/// again: each item is optional, so a file without it is still a configuration.
pub(super) fn parse(file: &str, text: &str) -> (Written, Vec<Mistake>) {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut mistakes = Vec::new();
    while mistakes.len() < MOST_MISTAKES {
        let text = lines.join("\n");
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            break;
        }
        let error = match serde_saphyr::from_str::<Written>(&text) {
            Ok(written) => return (written, mistakes),
            Err(error) => error,
        };
        let line = error.location().map_or(0, |location| location.line() as usize);
        let place = if line == 0 { file.to_owned() } else { format!("{file}:{line}") };
        mistakes.push(Mistake::new(place, error.without_snippet().to_string()));
        if line == 0 || !blank(&mut lines, line - 1) {
            break;
        }
    }
    (Written::default(), mistakes)
}

/// Blanks the item that begins in a line, with the deeper lines below it; false when there is nothing to blank.
fn blank(lines: &mut [&str], first: usize) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let Some(line) = lines.get_mut(first).filter(|line| !line.trim().is_empty()) else { return false };
    let depth = indent(line);
    *line = "";
    for line in
        lines[first + 1..].iter_mut().take_while(|line| line.trim().is_empty() || indent(line) > depth)
    {
        *line = "";
    }
    true
}

/// The line, from 1, in which an item stands in block style; the nearest enclosing one when it is not to be found.
pub(super) fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let mut found = None;
    let mut lines = text.lines().enumerate();
    let mut depth: i64 = -1;
    for name in path {
        let at = lines.find(|(_, line)| {
            let key = line.trim_start();
            let indent = (line.len() - key.len()) as i64;
            indent > depth
                && key
                    .trim_start_matches(['"', '\''])
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).starts_with(':'))
        });
        let Some((number, line)) = at else { return found };
        depth = (line.len() - line.trim_start().len()) as i64;
        found = Some(number + 1);
    }
    found
}
