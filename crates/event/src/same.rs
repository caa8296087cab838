//! Whether an event was sent before: equal ids with equal content are one event, with other content a conflict.

use crate::decimal::same_number;
use crate::entry::{REF_HEAD, read_ref};
use crate::json::Reader;
use crate::text::Str;
use crate::{Entry, Field, LargeValue, MAX_DEPTH, value_hash};

/// Whether `offered` is what its sender sent before as `stored`.
///
/// Compared is what the sender sends, after parsing: all fields but `received_at`, `via`, `agent_epoch` and `agent_seq`, which those give it
/// who pass it on (an agent that a sender tells the same again numbers it again), and `event_time` only if the sender gave it (`time_given`). In `event_data` the order of an object's members does not count, and numbers are
/// compared by their exact value. Large values are compared by content: `values` are those of `offered`, `salt_of` gives
/// the salt of one of `stored`. One whose salt is gone (erased) equals nothing.
pub fn same_content(
    stored: &[u8],
    offered: &[u8],
    time_given: bool,
    values: &[LargeValue],
    salt_of: &mut dyn FnMut(&[u8; 32]) -> Option<[u8; 16]>,
) -> bool {
    let (Ok(stored), Ok(offered)) = (Entry::parse(stored), Entry::parse(offered)) else {
        return stored == offered;
    };
    let fields = Field::ALL.into_iter().filter(|field| match field {
        Field::ReceivedAt | Field::Via | Field::AgentEpoch | Field::AgentSeq | Field::Message => false,
        Field::EventTime => time_given,
        _ => true,
    });
    for field in fields {
        if stored.raw(field) != offered.raw(field) {
            return false;
        }
    }
    let mut values = Values { offered: values, salt_of };
    same_json(stored.raw(Field::Message), offered.raw(Field::Message), &mut values)
        && same_json(text(stored.event_data()), text(offered.event_data()), &mut values)
}

fn text(json: Option<&[u8]>) -> Option<&str> {
    json.and_then(|json| std::str::from_utf8(json).ok())
}

/// How the large values of both sides are found.
struct Values<'v> {
    offered: &'v [LargeValue],
    salt_of: &'v mut dyn FnMut(&[u8; 32]) -> Option<[u8; 16]>,
}

fn same_json(stored: Option<&str>, offered: Option<&str>, values: &mut Values<'_>) -> bool {
    if stored == offered {
        return true;
    }
    match (Node::parse(stored), Node::parse(offered)) {
        (Some(stored), Some(offered)) => stored.same(&offered, values),
        _ => false,
    }
}

/// A canonical value taken apart.
enum Node<'a> {
    Literal(&'static str),
    Number(&'a str),
    String(Str<'a>),
    Ref([u8; 32], u64),
    Array(Vec<Node<'a>>),
    /// Sorted by name.
    Object(Vec<(&'a str, Node<'a>)>),
}

impl<'a> Node<'a> {
    fn parse(json: Option<&'a str>) -> Option<Node<'a>> {
        Node::read(&mut Reader::new(json?), 1)
    }

    /// Reads a value inside of `depth` objects and arrays.
    fn read(reader: &mut Reader<'a>, depth: usize) -> Option<Node<'a>> {
        Some(match reader.peek()? {
            b'"' => Node::String(reader.string().ok()?),
            b'{' | b'[' if depth >= MAX_DEPTH => return None,
            b'{' if reader.rest().starts_with(REF_HEAD) => {
                let (hash, bytes) = read_ref(reader).ok()?;
                Node::Ref(hash, bytes)
            }
            b'{' => {
                let mut members = Vec::new();
                reader.take(b'{');
                while !reader.take(b'}') {
                    // Canonical strings are equal when their bytes are.
                    let name = reader.string().ok()?.text;
                    reader.take(b':').then_some(())?;
                    members.push((name, Node::read(reader, depth + 1)?));
                    reader.take(b',');
                }
                members.sort_unstable_by_key(|(name, _)| *name);
                Node::Object(members)
            }
            b'[' => {
                let mut elements = Vec::new();
                reader.take(b'[');
                while !reader.take(b']') {
                    elements.push(Node::read(reader, depth + 1)?);
                    reader.take(b',');
                }
                Node::Array(elements)
            }
            b't' | b'f' | b'n' => Node::Literal(reader.literal().ok()?),
            _ => Node::Number(reader.number().ok()?),
        })
    }

    fn same(&self, offered: &Node<'_>, values: &mut Values<'_>) -> bool {
        match (self, offered) {
            (Node::Literal(stored), Node::Literal(offered)) => stored == offered,
            (Node::Number(stored), Node::Number(offered)) => same_number(stored, offered),
            (Node::String(stored), Node::String(offered)) => stored.decoded() == offered.decoded(),
            (Node::Array(stored), Node::Array(offered)) => {
                stored.len() == offered.len()
                    && stored.iter().zip(offered).all(|(stored, offered)| stored.same(offered, values))
            }
            (Node::Object(stored), Node::Object(offered)) => {
                stored.len() == offered.len()
                    && stored.iter().zip(offered).all(|((name, stored), (other, offered))| {
                        name == other && stored.same(offered, values)
                    })
            }
            (Node::Ref(hash, bytes), Node::Ref(other, length)) => {
                hash == other
                    || (bytes == length
                        && values.offered(other).is_some_and(|content| values.is(hash, content)))
            }
            (Node::Ref(hash, _), Node::String(offered)) => values.is(hash, offered.decoded().as_bytes()),
            (Node::String(stored), Node::Ref(hash, _)) => {
                values.offered(hash).is_some_and(|content| content == stored.decoded().as_bytes())
            }
            _ => false,
        }
    }
}

impl<'v> Values<'v> {
    /// The content of an offered large value.
    fn offered(&self, hash: &[u8; 32]) -> Option<&'v [u8]> {
        self.offered.iter().find(|value| value.hash == *hash).map(|value| value.content.as_slice())
    }

    /// Whether `content` is the stored large value of this hash.
    fn is(&mut self, hash: &[u8; 32], content: &[u8]) -> bool {
        (self.salt_of)(hash).is_some_and(|salt| value_hash(&salt, content) == *hash)
    }
}
