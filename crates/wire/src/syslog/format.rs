//! An event as a syslog message: RFC 5424, or the older form that RFC 3164 describes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use attestry_event::{Field, Nanos};
use jiff::tz::TimeZone;

use super::line::{cut, escape};
use super::priority::{Facility, Level};
use super::sink::Format;
use super::template::Template;
use crate::outgoing::Outgoing;

/// What is said about the events of a name.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) template: Template,
    pub(crate) facility: Facility,
    /// None: the event's severity.
    pub(crate) level: Option<Level>,
}

/// What goes for which event names: the narrowest, and what it does not say as the next wider has it.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub(crate) default: Manner,
    pub(crate) names: HashMap<String, Manner>,
    pub(crate) resources: HashMap<String, Manner>,
}

impl Manners {
    pub(crate) fn of(&self, event_name: &str) -> &Manner {
        let resource = || event_name.rsplit_once('.').and_then(|(resource, _)| self.resources.get(resource));
        self.names.get(event_name).or_else(resource).unwrap_or(&self.default)
    }
}

/// Writes messages.
#[derive(Clone, Debug)]
pub(crate) struct Formatter {
    pub(crate) format: Format,
    pub(crate) manners: Manners,
    pub(crate) app_name: String,
    pub(crate) procid: String,
    /// This host's name, for events that name none.
    pub(crate) host: String,
    /// For a unix socket, in the old form: such messages name no host.
    pub(crate) hostless: bool,
    pub(crate) zone: TimeZone,
    /// The id of the structured data; none when there is to be none.
    pub(crate) structured_data: Option<String>,
    pub(crate) byte_order_mark: bool,
    /// The most that a message may take, in bytes.
    pub(crate) max_bytes: usize,
}

/// Lengths that RFC 5424 sets (section 6).
const HOST_MAX: usize = 255;
const APP_NAME_MAX: usize = 48;
const MSGID_MAX: usize = 32;

/// Which fields go into the structured data: those that stand nowhere else in a message.
const IN_STRUCTURED_DATA: [Field; 13] = [
    Field::EventId,
    Field::EventName,
    Field::Username,
    Field::Resource,
    Field::EventSource,
    Field::Via,
    Field::SourceIpAddress,
    Field::RequestId,
    Field::ReadOnly,
    Field::Outcome,
    Field::Agent,
    Field::AgentEpoch,
    Field::AgentSeq,
];

impl Formatter {
    /// Appends the message of an event: one line without its end.
    pub(crate) fn write(&self, event: &Outgoing<'_>, out: &mut Vec<u8>) {
        let manner = self.manners.of(&event.entry().event_name());
        let severity =
            event.entry().severity().and_then(|level| u8::try_from(level).ok()).and_then(Level::new);
        let level = manner.level.or(severity).unwrap_or(Level::INFO);
        let mut head = format!("<{}>", manner.facility.number() * 8 + level.number());
        match self.format {
            Format::Bsd => self.bsd_head(event, &mut head),
            Format::Rfc5424 => self.rfc5424_head(event, &mut head),
        }
        let mut text = String::new();
        manner.template.render(event, &mut text);
        if self.format == Format::Rfc5424 && self.byte_order_mark && !text.is_ascii() {
            // Section 6.4: what is UTF-8 and says so begins with it.
            head.push('\u{feff}');
        }
        cut(&mut text, self.max_bytes.saturating_sub(head.len()));
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(text.as_bytes());
    }

    /// `Nov 21 03:04:05 host app[57]: `, without a host on a unix socket.
    fn bsd_head(&self, event: &Outgoing<'_>, out: &mut String) {
        write_bsd_time(event.entry().event_time(), &self.zone, out);
        if !self.hostless {
            out.push(' ');
            self.push_host(event, out);
        }
        let _ = write!(out, " {}[{}]: ", tag(&self.app_name), self.procid);
    }

    fn push_host(&self, event: &Outgoing<'_>, out: &mut String) {
        let host = event.field(Field::Host).unwrap_or(Cow::Borrowed(&self.host));
        push_token(out, &host, HOST_MAX);
    }

    fn rfc5424_head(&self, event: &Outgoing<'_>, out: &mut String) {
        out.push_str("1 ");
        let time = event.entry().event_time().to_bytes();
        // Six digits of a second's fraction are the most that the format allows.
        out.push_str(std::str::from_utf8(time.get(..26).unwrap_or_default()).unwrap_or_default());
        out.push_str("Z ");
        self.push_host(event, out);
        out.push(' ');
        push_token(out, &self.app_name, APP_NAME_MAX);
        let _ = write!(out, " {} ", self.procid);
        push_token(out, &event.entry().event_name(), MSGID_MAX);
        out.push(' ');
        self.push_structured_data(event, out);
        out.push(' ');
    }

    fn push_structured_data(&self, event: &Outgoing<'_>, out: &mut String) {
        let Some(id) = &self.structured_data else {
            out.push('-');
            return;
        };
        let start = out.len();
        let _ = write!(out, "[{id}");
        for field in IN_STRUCTURED_DATA {
            if let Some(text) = event.field(field) {
                push_param(out, field.name(), &text);
            }
        }
        let before_data = out.len();
        if let Some(data) = event.data() {
            push_param(out, "event_data", data);
            // Half of a message is left to the text.
            if out.len() - start > self.max_bytes / 2 {
                out.truncate(before_data);
                let _ = write!(out, " event_data_cut_bytes=\"{}\"", data.len());
            }
        }
        if out.len() - start > self.max_bytes / 2 {
            out.truncate(start);
            out.push('-');
            return;
        }
        out.push(']');
    }
}

fn push_param(out: &mut String, name: &str, value: &str) {
    let mut safe = String::with_capacity(value.len() + 8);
    escape(&mut safe, value);
    let _ = write!(out, " {name}=\"");
    for ch in safe.chars() {
        // Section 6.3.3.
        if matches!(ch, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(ch);
    }
    out.push('"');
}

/// Appends what may stand in a header: visible ASCII, `_` for everything else, `-` for nothing.
fn push_token(out: &mut String, text: &str, most: usize) {
    if text.is_empty() {
        out.push('-');
    }
    out.extend(text.chars().take(most).map(|ch| if ch.is_ascii_graphic() { ch } else { '_' }));
}

/// The program's name in the old form, where some characters end it.
fn tag(app_name: &str) -> String {
    let fits = |ch: char| ch.is_ascii_graphic() && !matches!(ch, ':' | '[' | ']');
    app_name.chars().take(APP_NAME_MAX).map(|ch| if fits(ch) { ch } else { '_' }).collect()
}

/// `Nov  1 03:04:05`, the local time.
fn write_bsd_time(time: Nanos, zone: &TimeZone, out: &mut String) {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let local = jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or_default();
    let local = zone.to_datetime(local);
    let month = usize::try_from(local.month() - 1).ok().and_then(|month| MONTHS.get(month)).copied();
    let _ = write!(
        out,
        "{} {:>2} {:02}:{:02}:{:02}",
        month.unwrap_or("Jan"),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    );
}

/// Whether an id is one for structured data: RFC 5424, section 6.3.2.
pub(crate) fn is_structured_data_id(id: &str) -> bool {
    (1..=32).contains(&id.len())
        && id.chars().all(|ch| ch.is_ascii_graphic() && !matches!(ch, '=' | ']' | '"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::tests::parcel;
    use crate::syslog::sink::SinkConfig;

    fn line(config: &str, event: &str) -> String {
        let config: SinkConfig = serde_saphyr::from_str(config).unwrap();
        assert_eq!(config.check(), []);
        let mut formatter = config.formatter().unwrap();
        formatter.host = "here".to_owned();
        formatter.procid = "57".to_owned();
        let parcel = parcel(event);
        let mut out = Vec::new();
        formatter.write(&Outgoing::new(&parcel).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_pryv_can_be_made() {
        let config = r#"
address: udp://127.0.0.1
format: bsd
facility: local0
app_name: pryv-audit
time_zone: UTC
template: '{username} {resource} createdBy:{event_data.createdBy} {event_data.streamIds} {event_data.content}'
"#;
        let event = r#"{"event_name":"events.get","username":"USER","resource":"audit-log/pryv-api","host":"host","severity":5,
            "event_time":"2026-10-26T14:58:46Z","event_data":{"createdBy":"system","streamIds":["access-cki4sc","action-events.get"],
            "content":{"source":{"name":"http","ip":"192.0.2.7"},"action":"events.get","query":{"limit":20}}}}"#;
        assert_eq!(
            line(config, event),
            r#"<133>Oct 26 14:58:46 host pryv-audit[57]: USER audit-log/pryv-api createdBy:system ["access-cki4sc","action-events.get"] {"source":{"name":"http","ip":"192.0.2.7"},"action":"events.get","query":{"limit":20}}"#
        );
    }

    #[test]
    fn both_forms_are_as_their_rfcs_say() {
        let event = r#"{"event_name":"login.failure","event_id":"e1","username":"al]\"\\ice","severity":4,"message":"wrong\npassword",
            "event_time":"2026-11-01T03:04:05.123456789Z","event_data":{"a":"]"}}"#;
        for (config, expected) in [
            (
                "{address: 'tcp://h', template: '{message}'}",
                r#"<132>1 2026-11-01T03:04:05.123456Z here attestry 57 login.failure [attestry@32473 event_id="e1" event_name="login.failure" username="al\]\"\\ice" event_source="web" source_ip_address="-" read_only="false" event_data="{\"a\":\"\]\"}"] wrong\npassword"#,
            ),
            (
                "{address: 'tcp://h', template: '{message}', structured_data: false, facility: authpriv, level: crit, app_name: 'a b'}",
                r"<82>1 2026-11-01T03:04:05.123456Z here a_b 57 login.failure - wrong\npassword",
            ),
            (
                "{address: 'tcp://h', format: bsd, template: '{message}', time_zone: Europe/Berlin, app_name: 'a[b]:'}",
                r"<132>Nov  1 04:04:05 here a_b__[57]: wrong\npassword",
            ),
            (
                "{template: '{message}', time_zone: UTC}",
                r"<132>Nov  1 03:04:05 attestry[57]: wrong\npassword",
            ),
        ] {
            assert_eq!(line(config, event), expected);
        }
    }

    #[test]
    fn what_is_said_of_a_name_goes_before_what_is_said_of_its_resource() {
        let config = r#"
address: tcp://h
structured_data: false
template: default
events:
  login.failure: {template: one, level: alert}
  login.all: {template: resource, facility: auth}
  all: {level: debug}
"#;
        for (event, priority, end) in [
            ("login.failure", 4 * 8 + 1, " one"),
            ("login.success", 4 * 8 + 7, " resource"),
            ("other.login", 16 * 8 + 7, " default"),
        ] {
            let line = line(config, &format!(r#"{{"event_name":"{event}","username":"u","severity":3}}"#));
            assert!(line.starts_with(&format!("<{priority}>1 ")) && line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn text_beyond_ascii_has_its_mark() {
        let event = r#"{"event_name":"a","username":"ü","message":"u"}"#;
        let config = |more: &str| format!("{{address: 'tcp://h', structured_data: false, {more}}}");
        assert!(line(&config("template: '{username}'"), event).ends_with(" - \u{feff}ü"));
        assert!(line(&config("template: '{message}'"), event).ends_with(" - u"));
        assert!(line(&config("template: '{username}', byte_order_mark: false"), event).ends_with(" - ü"));
    }

    #[test]
    fn what_is_too_long_is_cut_with_a_mark() {
        let event = |data: usize| {
            format!(
                r#"{{"event_name":"a","username":"{}","message":"{}","event_data":{{"x":"{}"}}}}"#,
                "u".repeat(if data > 1_000 { 600 } else { 1 }),
                "ä".repeat(2_000),
                "d".repeat(data)
            )
        };
        let config = "{address: 'udp://h', max_bytes: 1024, template: '{message}'}";
        let short = line(config, &event(10));
        assert!((1_020..=1_024).contains(&short.len()), "{}", short.len());
        assert!(short.contains(" event_data=\"{") && short.ends_with(" bytes]"), "{short}");
        let medium = line(config, &event(600));
        assert!(medium.contains("event_data_cut_bytes=\"608\"]") && medium.len() <= 1_024, "{medium}");
        let long = line(config, &event(2_000));
        assert!(long.contains(" a - \u{feff}ä") && long.len() <= 1_024, "{long}");
    }
}
