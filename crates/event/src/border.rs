//! Reading an event that somebody sent: which fields there are, who may set them, what type each has.
//!
//! What a sender may set:
//! - `event_source`: overwritten with the key's name, and the row flagged; from an agent it is kept.
//! - `agent`, `agent_epoch`, `agent_seq`, `via`: from an agent only. That the name is the one of its certificate is
//!   for the caller to check.
//! - `received_at` and `v`: nobody; the server writes them.
//! - A field that the sender may not set is refused; in lenient mode it is moved into `event_data` like an unknown
//!   one, so nothing that was said is lost.
//! - Null and absent are one for every field, and so is the empty string (it is what Go's encoders, and with them
//!   Auditmon's clients, send for a field that was not set). Required fields must therefore not be empty.

use crate::canonical::{Canonical, Stop};
use crate::encode::{Draft, Moved, Parts};
use crate::json::Reader;
use crate::problem::Problem;
use crate::text::{Form, Str};
use crate::{Field, MAX_EVENT_BYTES, Nanos, nearest_name};

/// What the border knows of the sender; one per request.
#[derive(Debug, Clone, Copy)]
pub struct Border<'a> {
    /// The name of the API key or source: what `event_source` becomes.
    pub event_source: &'a str,
    /// Relays to be added to `via`.
    pub via: &'a [String],
    /// Move unknown top-level fields into `event_data`, behind what is there, instead of refusing them. A name that is
    /// taken there becomes `_<name>`; where that is taken too the event is refused.
    pub lenient: bool,
    /// The sender may use the names of Attestry's own catalogue, and the source `attestry`.
    pub reserved_names: bool,
    /// The sender is an enrolled agent: it names its sources itself, and a future time is flagged, not refused.
    pub agent: bool,
    /// The time now: the default of `event_time`.
    pub now: Nanos,
}

/// Reads `json`, as far as it can be read: `None` when that is not to the end. What is wrong is left with the visitor.
pub(crate) fn read_json<'a>(
    json: &'a [u8],
    border: &Border<'_>,
    visitor: &mut Canonical<'_>,
    parts: &mut Parts,
) -> Option<Draft<'a>> {
    let mut draft = Draft::default();
    if json.len() > MAX_EVENT_BYTES {
        let found = format!("{} bytes", json.len());
        visitor.problems.push(Problem::new("event", &found, format!("at most {MAX_EVENT_BYTES} bytes")));
        return None;
    }
    let text = match std::str::from_utf8(json) {
        Ok(text) => text,
        Err(error) => {
            let found = format!("a byte at {} that is not UTF-8", error.valid_up_to());
            visitor.problems.push(Problem::new("event", &found, "JSON in UTF-8"));
            return None;
        }
    };
    let mut intake = Intake {
        border,
        visitor,
        parts,
        draft: &mut draft,
        reader: Reader::new(text),
        seen: 0,
        member: WHOLE,
    };
    let result = intake.event();
    let (reader, member) = (intake.reader, intake.member);
    match result {
        Ok(()) => {
            parts.merge_moved(visitor.problems);
            Some(draft)
        }
        Err(Stop::Enough | Stop::TooDeep) => None,
        Err(Stop::Syntax) => {
            let start: String = reader.rest().chars().take(20).collect();
            let found = match start.as_str() {
                "" => format!("the end at byte {}", reader.pos()),
                start => format!("`{start}` at byte {}", reader.pos()),
            };
            visitor.problems.push(Problem::new(&member.decoded(), &found, reader.expected()));
            None
        }
    }
}

/// One event being read.
struct Intake<'r, 'w, 'a> {
    border: &'r Border<'r>,
    visitor: &'r mut Canonical<'w>,
    parts: &'r mut Parts,
    draft: &'r mut Draft<'a>,
    reader: Reader<'a>,
    /// One bit for each field that was there.
    seen: u32,
    /// The member being read, for messages.
    member: Str<'a>,
}

/// What a problem names that no single member has.
const WHOLE: Str<'static> = Str { text: "event", form: Form::Clean };

/// The bit of `event_data` in [`Intake::seen`], behind those of the fields.
const EVENT_DATA: usize = Field::ALL.len();

impl<'a> Intake<'_, '_, 'a> {
    fn event(&mut self) -> Result<(), Stop> {
        self.reader.skip_white();
        if !self.reader.take(b'{') {
            return Ok(self.reader.fail("a JSON object")?);
        }
        self.reader.skip_white();
        if !self.reader.take(b'}') {
            loop {
                let name = self.reader.string()?;
                self.member = name;
                self.reader.skip_white();
                if !self.reader.take(b':') {
                    return Ok(self.reader.fail("a colon")?);
                }
                self.reader.skip_white();
                self.field()?;
                self.member = WHOLE;
                self.reader.skip_white();
                if self.reader.take(b'}') {
                    break;
                }
                if !self.reader.take(b',') {
                    return Ok(self.reader.fail("a comma or a closing brace")?);
                }
                self.reader.skip_white();
            }
        }
        self.reader.skip_white();
        if self.reader.rest().is_empty() {
            Ok(())
        } else {
            Ok(self.reader.fail("nothing after the event")?)
        }
    }

    fn field(&mut self) -> Result<(), Stop> {
        let decoded;
        let name = if self.member.is_clean() {
            self.member.text
        } else {
            decoded = self.member.decoded();
            &*decoded
        };
        let field = Field::from_name(name);
        let bit = match field {
            Some(Field::ReceivedAt) => {
                return self.not_the_senders("no such field: the server sets it");
            }
            Some(Field::Via | Field::Agent | Field::AgentEpoch | Field::AgentSeq) if !self.border.agent => {
                return self.not_the_senders("no such field: only an enrolled agent sets it");
            }
            Some(field) => field as usize,
            None if name == "event_data" => EVENT_DATA,
            None if name == "v" => {
                return self.not_the_senders("no such field: the server sets it");
            }
            None => return self.unknown(),
        };
        if self.seen & 1 << bit != 0 {
            self.skip()?;
            return self.refuse("the name twice", "every name once in an object");
        }
        self.seen |= 1 << bit;
        if self.reader.peek() == Some(b'n') {
            self.reader.literal()?;
            return Ok(());
        }
        match field {
            None => self.event_data(),
            Some(Field::EventTime) => self.event_time(),
            Some(Field::ReadOnly) => self.read_only(),
            Some(Field::Severity) => {
                self.draft.severity = self.whole_number("a whole number from 0 (emergency) to 7 (debug)")?;
                Ok(())
            }
            Some(Field::AgentEpoch) => {
                self.draft.agent_epoch = self.whole_number(WHOLE_NUMBER)?;
                Ok(())
            }
            Some(Field::AgentSeq) => {
                self.draft.agent_seq = self.whole_number(WHOLE_NUMBER)?;
                Ok(())
            }
            Some(Field::Via) => self.via(),
            Some(field) => {
                if let Some(text) = self.text("a string")? {
                    self.draft.set_text(field, text);
                }
                Ok(())
            }
        }
    }

    fn refuse(&mut self, found: &str, expected: &str) -> Result<(), Stop> {
        self.visitor.problem(Problem::new(&self.member.decoded(), found, expected))
    }

    /// Reads any value only to get past it.
    fn skip(&mut self) -> Result<&'a str, Stop> {
        let start = self.reader.pos();
        let known = self.visitor.problems.len();
        let result = self.visitor.value(&mut self.reader, &mut self.parts.skipped, 1);
        self.parts.skipped.clear();
        self.prefix_problems(known);
        result?;
        Ok(self.reader.since(start))
    }

    /// Makes the paths of what the visitor refused begin with the member's name.
    fn prefix_problems(&mut self, known: usize) {
        for problem in self.visitor.problems.iter_mut().skip(known) {
            problem.field =
                Problem::new(&format!("{}.{}", self.member.decoded(), problem.field), "", "").field;
        }
    }

    fn wrong_type(&mut self, expected: &str) -> Result<(), Stop> {
        let found = self.skip()?;
        self.refuse(found, expected)
    }

    /// A string, if it is one; otherwise it is refused.
    fn text(&mut self, expected: &str) -> Result<Option<Str<'a>>, Stop> {
        if self.reader.peek() == Some(b'"') {
            return Ok(Some(self.reader.string()?));
        }
        self.wrong_type(expected)?;
        Ok(None)
    }

    fn event_time(&mut self) -> Result<(), Stop> {
        let Some(text) = self.text(RFC_3339)? else { return Ok(()) };
        if text.is_empty() {
            return Ok(());
        }
        let text = text.decoded();
        match Nanos::parse(&text) {
            Ok(time) => {
                self.draft.event_time = Some(time);
                Ok(())
            }
            Err(error) => self.refuse(&text, &format!("{RFC_3339} ({error})")),
        }
    }

    fn read_only(&mut self) -> Result<(), Stop> {
        if self.reader.take_all("false") {
            return Ok(());
        }
        if self.reader.take_all("true") {
            self.draft.read_only = true;
            return Ok(());
        }
        self.wrong_type("true or false")
    }

    fn whole_number(&mut self, expected: &str) -> Result<Option<u64>, Stop> {
        let found = self.skip()?;
        // JSON has no leading zeros or plus sign, so digits alone are left to tell apart.
        match found.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => {
                self.refuse(found, expected)?;
                Ok(None)
            }
        }
    }

    fn via(&mut self) -> Result<(), Stop> {
        const EXPECTED: &str = "an array of strings that are not empty";
        let start = self.reader.clone();
        if !self.reader.take(b'[') {
            return self.wrong_type(EXPECTED);
        }
        self.reader.skip_white();
        if self.reader.take(b']') {
            return Ok(());
        }
        loop {
            if self.reader.peek() != Some(b'"') {
                self.reader = start;
                return self.wrong_type(EXPECTED);
            }
            let relay = self.reader.string()?;
            if relay.is_empty() {
                self.reader = start;
                return self.wrong_type(EXPECTED);
            }
            if !self.parts.via.is_empty() {
                self.parts.via.push(b',');
            }
            relay.write_quoted(&mut self.parts.via);
            self.reader.skip_white();
            if self.reader.take(b']') {
                return Ok(());
            }
            if !self.reader.take(b',') {
                return Ok(self.reader.fail("a comma or a closing bracket")?);
            }
            self.reader.skip_white();
        }
    }

    fn event_data(&mut self) -> Result<(), Stop> {
        if self.reader.peek() != Some(b'{') {
            return self.wrong_type("an object");
        }
        let known = self.visitor.problems.len();
        let result = self.visitor.value(&mut self.reader, &mut self.parts.data, 1);
        self.prefix_problems(known);
        result
    }

    fn not_the_senders(&mut self, expected: &str) -> Result<(), Stop> {
        if self.reader.take_all("null") || self.reader.take_all("\"\"") {
            return Ok(());
        }
        if self.border.lenient {
            return self.move_into_data();
        }
        self.wrong_type(expected)
    }

    fn unknown(&mut self) -> Result<(), Stop> {
        if self.member.decoded() == "$ref" {
            self.skip()?;
            return self.refuse("$ref", "a name other than $ref, which only the server writes");
        }
        if self.border.lenient {
            return self.move_into_data();
        }
        self.skip()?;
        match nearest_name(&self.member.decoded()) {
            Some(near) => {
                self.refuse("an unknown field", &format!("{near}, or the field inside of event_data"))
            }
            None => {
                self.refuse("an unknown field", "a field of the event, or the field inside of event_data")
            }
        }
    }

    fn move_into_data(&mut self) -> Result<(), Stop> {
        let start = self.parts.moved_bytes.len();
        self.member.write(&mut self.parts.moved_bytes);
        let end = self.parts.moved_bytes.len();
        let known = self.visitor.problems.len();
        // One deeper than it stands now: inside of the event's object and of event_data.
        let result = self.visitor.value(&mut self.reader, &mut self.parts.moved_bytes, 2);
        self.prefix_problems(known);
        result?;
        self.parts.moved.push(Moved { name: start..end, value: end..self.parts.moved_bytes.len() });
        Ok(())
    }
}

const RFC_3339: &str = "an RFC 3339 time such as 2026-11-21T03:04:05Z";
const WHOLE_NUMBER: &str = "a whole number from 0 to 18446744073709551615";
