//! A value of an event by its name.

use std::borrow::Cow;

use attestry_event::{Entry, Field, Scalar, nearest_name, walk};

/// A field, or a path within `event_data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Field(Field),
    /// Without `event_data.`.
    Data(String),
}

const DATA: &str = "event_data.";

impl Path {
    pub(crate) fn parse(text: &str) -> Result<Path, String> {
        if let Some(path) = text.strip_prefix(DATA).filter(|path| !path.is_empty()) {
            return Ok(Path::Data(path.to_owned()));
        }
        Field::from_name(text).map(Path::Field).ok_or_else(|| {
            let near = nearest_name(text).map(|near| format!(", did you mean {near}?"));
            format!(
                "{text:?} is no field{}; members of event_data are written event_data.{text}",
                near.unwrap_or_default()
            )
        })
    }

    pub(crate) fn name(&self) -> Cow<'static, str> {
        match self {
            Path::Field(field) => Cow::Borrowed(field.name()),
            Path::Data(path) => Cow::Owned(format!("{DATA}{path}")),
        }
    }

    /// The value as text; of an array the first one. `None` when it is absent or null, or lies beside the entry.
    pub(crate) fn read<'a>(&self, entry: &Entry<'a>) -> Option<Cow<'a, str>> {
        match self {
            Path::Field(field) => entry.field(*field),
            Path::Data(path) => {
                let mut found = None;
                // What cannot be read has no values.
                let _ = walk(entry.event_data()?, &mut |at, scalar| {
                    if found.is_none() && at == path {
                        found = match scalar {
                            Scalar::Str(text) | Scalar::Number(text) => Some(text.to_owned()),
                            Scalar::Bool(is) => Some(is.to_string()),
                            Scalar::Null | Scalar::Ref { .. } => None,
                        };
                    }
                });
                found.map(Cow::Owned)
            }
        }
    }
}
