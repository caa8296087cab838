//! Where an item of the configuration stands, for people.

use super::mistakes::line_of;

/// The text of the configuration file, to tell people where an item is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    pub(super) file: String,
    pub(super) text: String,
}

impl Lines {
    /// `file:line` of an item, or its path where it is in no file.
    pub(crate) fn place(&self, path: &[&str]) -> String {
        match line_of(&self.text, path) {
            Some(line) => format!("{}:{line}", self.file),
            None => path.join("."),
        }
    }

    /// As [`place`](Self::place), of a line within a text that begins there.
    pub(super) fn place_within(&self, path: &[&str], line: Option<usize>) -> String {
        let Some(start) = line_of(&self.text, path) else { return path.join(".") };
        // A text that begins on its item's line has its first line there; a block begins on the next one.
        let block = self
            .text
            .lines()
            .nth(start - 1)
            .is_some_and(|text| text.trim_end().ends_with(['|', '>', '-', '+']));
        let offset = line.map_or(0, |line| line.saturating_sub(usize::from(!block)));
        format!("{}:{}", self.file, start + offset)
    }
}
