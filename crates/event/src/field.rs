//! The table of fields: names, kinds, order.

/// The fields of an entry that have a type of their own, in the order in which an entry holds them. `event_data`
/// comes after them; its paths are addressed as `event_data.<path>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Field {
    /// Generated when absent; unique within its source for 32 days.
    EventId,
    /// When it happened.
    EventTime,
    /// When the server took it in.
    ReceivedAt,
    /// What happened: `{resource}.{verb}`.
    EventName,
    /// Who did it.
    Username,
    /// What it was done to.
    Resource,
    /// Where it was reported from: the name of the API key or source.
    EventSource,
    /// The relays it came through.
    Via,
    /// The address it was done from, `-` when unknown.
    SourceIpAddress,
    /// The request it belongs to.
    RequestId,
    /// Whether nothing was changed by it.
    ReadOnly,
    /// `success` or `failure`.
    Outcome,
    /// 0 (emergency) to 7 (debug), RFC 5424.
    Severity,
    /// The human line.
    Message,
    /// The host it happened on.
    Host,
    /// The agent that collected it.
    Agent,
    /// The run of the agent's spool.
    AgentEpoch,
    /// The agent's count within the run.
    AgentSeq,
}

/// What a field's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A string that is compared as a whole.
    Keyword,
    /// A string whose words are searched.
    Text,
    /// A whole number.
    Number,
    /// A point in time.
    Time,
    /// True or false.
    Bool,
}

impl Field {
    /// All fields in table order; `ALL[field as usize] == field`.
    pub const ALL: [Field; 18] = [
        Field::EventId,
        Field::EventTime,
        Field::ReceivedAt,
        Field::EventName,
        Field::Username,
        Field::Resource,
        Field::EventSource,
        Field::Via,
        Field::SourceIpAddress,
        Field::RequestId,
        Field::ReadOnly,
        Field::Outcome,
        Field::Severity,
        Field::Message,
        Field::Host,
        Field::Agent,
        Field::AgentEpoch,
        Field::AgentSeq,
    ];

    /// The fields of [`Kind::Keyword`] but `event_id`: those whose values a search that names no field is compared with as a whole.
    pub const KEYWORDS: [Field; 10] = [
        Field::EventName,
        Field::Username,
        Field::Resource,
        Field::EventSource,
        Field::Via,
        Field::SourceIpAddress,
        Field::RequestId,
        Field::Outcome,
        Field::Host,
        Field::Agent,
    ];

    /// The name in JSON and in the search language.
    pub const fn name(self) -> &'static str {
        match self {
            Field::EventId => "event_id",
            Field::EventTime => "event_time",
            Field::ReceivedAt => "received_at",
            Field::EventName => "event_name",
            Field::Username => "username",
            Field::Resource => "resource",
            Field::EventSource => "event_source",
            Field::Via => "via",
            Field::SourceIpAddress => "source_ip_address",
            Field::RequestId => "request_id",
            Field::ReadOnly => "read_only",
            Field::Outcome => "outcome",
            Field::Severity => "severity",
            Field::Message => "message",
            Field::Host => "host",
            Field::Agent => "agent",
            Field::AgentEpoch => "agent_epoch",
            Field::AgentSeq => "agent_seq",
        }
    }

    /// What stands in an entry before the field's value.
    pub(crate) const fn member(self) -> &'static str {
        match self {
            Field::EventId => ",\"event_id\":",
            Field::EventTime => ",\"event_time\":",
            Field::ReceivedAt => ",\"received_at\":",
            Field::EventName => ",\"event_name\":",
            Field::Username => ",\"username\":",
            Field::Resource => ",\"resource\":",
            Field::EventSource => ",\"event_source\":",
            Field::Via => ",\"via\":",
            Field::SourceIpAddress => ",\"source_ip_address\":",
            Field::RequestId => ",\"request_id\":",
            Field::ReadOnly => ",\"read_only\":",
            Field::Outcome => ",\"outcome\":",
            Field::Severity => ",\"severity\":",
            Field::Message => ",\"message\":",
            Field::Host => ",\"host\":",
            Field::Agent => ",\"agent\":",
            Field::AgentEpoch => ",\"agent_epoch\":",
            Field::AgentSeq => ",\"agent_seq\":",
        }
    }

    /// The field of this name.
    pub fn from_name(name: &str) -> Option<Field> {
        Some(match name {
            "event_id" => Field::EventId,
            "event_time" => Field::EventTime,
            "received_at" => Field::ReceivedAt,
            "event_name" => Field::EventName,
            "username" => Field::Username,
            "resource" => Field::Resource,
            "event_source" => Field::EventSource,
            "via" => Field::Via,
            "source_ip_address" => Field::SourceIpAddress,
            "request_id" => Field::RequestId,
            "read_only" => Field::ReadOnly,
            "outcome" => Field::Outcome,
            "severity" => Field::Severity,
            "message" => Field::Message,
            "host" => Field::Host,
            "agent" => Field::Agent,
            "agent_epoch" => Field::AgentEpoch,
            "agent_seq" => Field::AgentSeq,
            _ => return None,
        })
    }

    /// What its values are. `via` holds several keywords.
    pub const fn kind(self) -> Kind {
        match self {
            Field::EventTime | Field::ReceivedAt => Kind::Time,
            Field::ReadOnly => Kind::Bool,
            Field::Severity | Field::AgentEpoch | Field::AgentSeq => Kind::Number,
            Field::Message => Kind::Text,
            _ => Kind::Keyword,
        }
    }

    /// The field whose name is closest to a mistyped one, when any is close.
    pub fn nearest(name: &str) -> Option<Field> {
        nearest(name, Field::ALL.iter().map(|field| field.name())).and_then(Field::from_name)
    }
}

/// Like [`Field::nearest`], with `event_data` among the names.
pub fn nearest_name(name: &str) -> Option<&'static str> {
    nearest(name, Field::ALL.iter().map(|field| field.name()).chain(["event_data"]))
}

/// A name is close when at most a third of it must be changed, or when one contains the other (`user`, `time`).
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Longer than any name can be mistyped: keeps the work small whatever is sent.
    if name.len() > 64 {
        return None;
    }
    let name = name.to_ascii_lowercase().replace(['-', ' '], "_");
    let close = |known: &'static str| {
        let distance = edits(&name, known);
        let contained = name.len() >= 3 && (known.contains(&name) || name.contains(known));
        (distance <= name.len().max(known.len()) / 3 || contained).then_some((distance, known))
    };
    known.filter_map(close).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Edit distance in bytes; two swapped neighbours count as one edit (optimal string alignment).
fn edits(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let mut least =
                (above[column] + usize::from(a != b)).min(above[column + 1] + 1).min(line[column] + 1);
            if row > 0 && column > 0 && *a == right[column - 1] && left[row - 1] == *b {
                least = least.min(before[column - 1] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut above, line);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        for (place, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, place);
            assert_eq!(Field::from_name(field.name()), Some(field));
            assert_eq!(Field::nearest(field.name()), Some(field));
            assert_eq!(field.member(), format!(",\"{}\":", field.name()));
        }
        assert_eq!(Field::from_name("event_data"), None);
        assert_eq!(Field::from_name("Username"), None);
        let keyword = |field: &Field| field.kind() == Kind::Keyword && *field != Field::EventId;
        assert!(Field::ALL.into_iter().filter(keyword).eq(Field::KEYWORDS));
    }

    #[test]
    fn mistyped_names_find_their_field() {
        for (typed, expected) in [
            ("usrname", Some("username")),
            ("user", Some("username")),
            ("userName", Some("username")),
            ("timestamp", None),
            ("time", Some("event_time")),
            ("event-time", Some("event_time")),
            ("even_tname", Some("event_name")),
            ("event_dta", Some("event_data")),
            ("data", Some("event_data")),
            ("hostname", Some("host")),
            ("severety", Some("severity")),
            ("souce_ip_adress", Some("source_ip_address")),
            ("readonly", Some("read_only")),
            ("x", None),
            ("", None),
            ("zzzzzz", None),
            ("ünïcödé", None),
        ] {
            assert_eq!(nearest_name(typed), expected, "{typed}");
        }
        assert_eq!(nearest_name(&"username".repeat(10_000)), None);
    }

    #[test]
    fn edits_are_counted() {
        for (left, right, count) in
            [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3), ("abc", "abc", 0)]
        {
            assert_eq!(edits(left, right), count, "{left} {right}");
            assert_eq!(edits(right, left), count, "{right} {left}");
        }
    }
}
