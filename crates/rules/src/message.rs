//! The human line of an alert: text with `{field}`, `{event_data.path}` and `{count}` in it.

use attestry_event::Entry;

use crate::group::Group;
use crate::limits::MESSAGE_CHARS_MAX;
use crate::path::Path;

/// A template that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value(Path),
    Count,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, after) = rest.split_at(at);
            let (name, behind) =
                after[1..].split_once('}').ok_or_else(|| format!("a brace is open in {text:?}"))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match name {
                "count" => Piece::Count,
                name => Piece::Value(Path::parse(name)?),
            });
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Template(pieces))
    }

    /// The text. What the entry does not have, or where there is none, the group may: `by` are its names.
    pub(crate) fn fill(&self, entry: Option<&Entry<'_>>, by: &[Path], group: &Group, count: u64) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Count => out.push_str(&count.to_string()),
                Piece::Value(path) => {
                    let grouped = by.iter().position(|known| known == path).and_then(|at| group.0.get(at));
                    match grouped {
                        Some(value) if !value.is_empty() => out.push_str(value),
                        _ => out.push_str(entry.and_then(|entry| path.read(entry)).as_deref().unwrap_or("-")),
                    }
                }
            }
        }
        cut(out)
    }
}

pub(crate) fn cut(text: String) -> String {
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        None => text,
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
