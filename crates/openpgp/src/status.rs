//! The status lines of `gpg` (`doc/DETAILS` of GnuPG, "Format of the --status-fd output").

use std::io::{self, BufRead, BufReader, Read};

/// What every line begins with.
const PREFIX: &[u8] = b"[GNUPG:] ";

/// The longest line that is read, in bytes: a user id is the longest that a line holds.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// The most lines that are kept: a message to hundreds of recipients has fewer. With more, nothing is believed.
const LINES_MAX: usize = 20_000;

/// One line: its keyword, and what stands after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) keyword: String,
    pub(crate) rest: String,
}

impl Line {
    /// A field after the keyword, from 0.
    pub(crate) fn field(&self, at: usize) -> Option<&str> {
        self.rest.split(' ').nth(at)
    }
}

/// The status was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    /// There is more than is read. What `gpg` says follows from what it reads, so it will say as much the next time.
    #[error("gpg says more than is read")]
    TooMuch,
    /// The pipe failed.
    #[error(transparent)]
    Pipe(#[from] io::Error),
}

/// All that `gpg` said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status(Vec<Line>);

impl Status {
    /// Reads to the end.
    pub(crate) fn read(from: impl Read) -> Result<Status, StatusError> {
        let mut from = BufReader::new(from);
        let mut lines = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut from).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(Status(lines));
            }
            if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES_MAX || lines.len() == LINES_MAX
            {
                return Err(StatusError::TooMuch);
            }
            let Some(said) = line.strip_prefix(PREFIX) else { continue };
            let said = String::from_utf8_lossy(said);
            let (keyword, rest) = said.trim_end().split_once(' ').unwrap_or((said.trim_end(), ""));
            lines.push(Line { keyword: keyword.to_owned(), rest: rest.to_owned() });
        }
    }

    /// All lines with this keyword.
    pub(crate) fn all<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a Line> {
        self.0.iter().filter(move |line| line.keyword == keyword)
    }

    /// The first line with this keyword.
    pub(crate) fn first(&self, keyword: &str) -> Option<&Line> {
        self.0.iter().find(|line| line.keyword == keyword)
    }

    /// How many lines have this keyword.
    pub(crate) fn count(&self, keyword: &str) -> usize {
        self.all(keyword).count()
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keywords_with_fields() {
        let said = b"[GNUPG:] NEWSIG\ngpg: [GNUPG:] VALIDSIG x\n[GNUPG:] GOODSIG CE69 Al\xff ice <a@b>\n";
        let status = Status::read(&said[..]).unwrap();
        assert_eq!(status.lines().len(), 2);
        assert_eq!((status.count("NEWSIG"), status.count("VALIDSIG")), (1, 0));
        assert_eq!(status.first("GOODSIG").unwrap().field(0), Some("CE69"));
        for more in [b"[GNUPG:] NEWSIG\n".repeat(LINES_MAX + 1), b"x".repeat(1 << 20)] {
            assert!(matches!(Status::read(&more[..]), Err(StatusError::TooMuch)));
        }
    }
}
