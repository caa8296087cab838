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

    /// The line of the file; none where it is in the environment.
    pub(super) fn line(&self, file: &str) -> Option<usize> {
        self.place.strip_prefix(file)?.strip_prefix(':')?.parse().ok()
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
        let mut what = error.without_snippet().to_string();
        let line = error.location().map_or(0, |location| location.line() as usize);
        let place = if line == 0 { file.to_owned() } else { format!("{file}:{line}") };
        if let Some((said, column)) = what.rsplit_once(&format!(" at line {line}, column ")) {
            what = format!("{said} (column {column})");
        }
        mistakes.push(Mistake::new(place, what));
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
    let indent = |line: &str| line.len() - line.trim_start().len();
    let says = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let lines: Vec<&str> = text.lines().collect();
    let mut found = None;
    let mut first = 0;
    for name in path {
        let deeper_than = found.and_then(|at: usize| lines.get(at - 1)).map(|line| indent(line));
        let within = |line: &&str| deeper_than.is_none_or(|depth| indent(line) > depth);
        let rest = lines.get(first..).unwrap_or_default();
        // Members of one mapping are equally deep; what is deeper belongs to one of them.
        let depth = rest.iter().copied().find(|line| says(line)).map_or(0, indent);
        let is_it = |line: &str| {
            let key = line.trim_start().trim_start_matches(['"', '\'']);
            let rest = key.strip_prefix(name).map(|rest| rest.trim_start_matches(['"', '\'']));
            indent(line) == depth && rest.is_some_and(|rest| rest.starts_with(':'))
        };
        let at = rest.iter().take_while(|line| !says(line) || within(line)).position(|line| is_it(line));
        let Some(at) = at else { return found };
        first += at + 1;
        found = Some(first);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_found_among_its_own_kind() {
        let text = "\
# audit: not here
ledgers:
  audit: {retention: 1d}

  logs:
    public: true
audit:
  bank:
    # url: nor here
    tables:
      url: {}
    url: mysql://a@b/c
  'shop':
    url: x
";
        for (path, expected) in [
            (&["ledgers", "audit"][..], Some(3)),
            (&["ledgers", "logs", "public"], Some(6)),
            (&["audit"], Some(7)),
            (&["audit", "bank", "url"], Some(12)),
            (&["audit", "shop", "url"], Some(14)),
            // The nearest there is.
            (&["audit", "bank", "sleep"], Some(8)),
            (&["ledgers", "audit", "retention"], Some(3)),
            (&["server", "listen"], None),
        ] {
            assert_eq!(line_of(text, path), expected, "{path:?}");
        }
    }
}
