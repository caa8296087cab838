//! Visiting every scalar of `event_data`, for the index and for the search language.

use crate::entry::{REF_HEAD, read_ref};
use crate::json::{Reader, Syntax};
use crate::text::decode_into;
use crate::{EntryError, MAX_DEPTH};

/// A value that holds no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// A string, unescaped.
    Str(&'a str),
    /// A number's token, as the client wrote it.
    Number(&'a str),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
    /// A string that stands beside the entry.
    Ref {
        /// SHA-256(salt ‖ value).
        hash: [u8; 32],
        /// The value's length.
        bytes: u64,
    },
}

/// Calls `visit` with the path and the value of every scalar of `event_data`, in order.
///
/// The path leaves out `event_data` itself and has dots between the names; elements of an array share its path. A dot
/// within a name is not told apart. Empty objects and arrays have no scalars.
pub fn walk(event_data: &[u8], visit: &mut impl FnMut(&str, Scalar<'_>)) -> Result<(), EntryError> {
    Walker::default().walk(event_data, visit)
}

/// [`walk`] with memory that is kept from entry to entry.
#[derive(Debug, Default)]
pub struct Walker {
    path: String,
    decoded: String,
}

impl Walker {
    /// See [`walk`].
    pub fn walk(
        &mut self,
        event_data: &[u8],
        visit: &mut impl FnMut(&str, Scalar<'_>),
    ) -> Result<(), EntryError> {
        let text = std::str::from_utf8(event_data).map_err(|_| EntryError::NotUtf8)?;
        self.walk_text(text, visit)
    }

    /// See [`walk`]. For who has text: whether it is UTF-8 is not looked at again.
    pub fn walk_text(
        &mut self,
        text: &str,
        visit: &mut impl FnMut(&str, Scalar<'_>),
    ) -> Result<(), EntryError> {
        self.path.clear();
        let mut reader = Reader::new(text);
        self.read(&mut reader, visit).map_err(|Syntax| EntryError::malformed(&reader))
    }

    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        visit: &mut impl FnMut(&str, Scalar<'_>),
    ) -> Result<(), Syntax> {
        if !reader.take(b'{') {
            return reader.fail("an object");
        }
        self.object(reader, visit, 0)?;
        if reader.rest().is_empty() { Ok(()) } else { reader.fail("nothing after the object") }
    }

    /// Visits the members of an object whose brace was read; `depth` objects and arrays are around it.
    fn object(
        &mut self,
        reader: &mut Reader<'_>,
        visit: &mut impl FnMut(&str, Scalar<'_>),
        depth: usize,
    ) -> Result<(), Syntax> {
        if reader.take(b'}') {
            return Ok(());
        }
        let outer = self.path.len();
        loop {
            let name = reader.string()?;
            if depth > 0 {
                self.path.push('.');
            }
            if name.is_escaped() {
                decode_into(&mut self.path, name.text);
            } else {
                self.path.push_str(name.text);
            }
            if !reader.take(b':') {
                return reader.fail("a colon");
            }
            self.value(reader, visit, depth + 1)?;
            self.path.truncate(outer);
            if reader.take(b'}') {
                return Ok(());
            }
            if !reader.take(b',') {
                return reader.fail("a comma or a closing brace");
            }
        }
    }

    fn array(
        &mut self,
        reader: &mut Reader<'_>,
        visit: &mut impl FnMut(&str, Scalar<'_>),
        depth: usize,
    ) -> Result<(), Syntax> {
        if reader.take(b']') {
            return Ok(());
        }
        loop {
            self.value(reader, visit, depth + 1)?;
            if reader.take(b']') {
                return Ok(());
            }
            if !reader.take(b',') {
                return reader.fail("a comma or a closing bracket");
            }
        }
    }

    fn value(
        &mut self,
        reader: &mut Reader<'_>,
        visit: &mut impl FnMut(&str, Scalar<'_>),
        depth: usize,
    ) -> Result<(), Syntax> {
        match reader.peek() {
            Some(b'"') => {
                let value = reader.string()?;
                if value.is_escaped() {
                    self.decoded.clear();
                    decode_into(&mut self.decoded, value.text);
                    visit(&self.path, Scalar::Str(&self.decoded));
                } else {
                    visit(&self.path, Scalar::Str(value.text));
                }
            }
            Some(b'{' | b'[') if depth >= MAX_DEPTH => {
                return reader.fail("objects and arrays at most 32 deep");
            }
            Some(b'{') if reader.rest().starts_with(REF_HEAD) => {
                let (hash, bytes) = read_ref(reader)?;
                visit(&self.path, Scalar::Ref { hash, bytes });
            }
            Some(b'{') => {
                reader.take(b'{');
                self.object(reader, visit, depth)?;
            }
            Some(b'[') => {
                reader.take(b'[');
                self.array(reader, visit, depth)?;
            }
            Some(b't' | b'f' | b'n') => match reader.literal()? {
                "true" => visit(&self.path, Scalar::Bool(true)),
                "false" => visit(&self.path, Scalar::Bool(false)),
                _ => visit(&self.path, Scalar::Null),
            },
            _ => visit(&self.path, Scalar::Number(reader.number()?)),
        }
        Ok(())
    }
}
