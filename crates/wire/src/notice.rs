//! Events as lines for people, in mail and chat: one event a line, nothing in it that could be taken for markup or another line.

use attestry_event::{Entry, Field};
use attestry_pipeline::Parcel;
use serde_json::Value;

/// The most characters of a line.
const LINE_CHARS_MAX: usize = 400;

/// What is said of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// `critical`, `high` … of an alert, else nothing.
    pub(crate) level: String,
    /// What happened: the event's line, else its name.
    pub(crate) line: String,
    pub(crate) name: String,
    pub(crate) time: String,
    pub(crate) host: String,
    /// The alert, if it is about one.
    pub(crate) alert: String,
    pub(crate) rule: String,
    pub(crate) count: u64,
    pub(crate) event_id: String,
}

impl Notice {
    /// # Errors
    /// When it is no event of a version that is read here.
    pub(crate) fn of(parcel: &Parcel) -> Result<Notice, String> {
        let entry: Entry<'_> = parcel.event().map_err(|error| error.to_string())?;
        let data: Value =
            entry.event_data_text().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let text = |name: &str| plain(data[name].as_str().unwrap_or_default());
        let name = plain(&entry.event_name());
        let is_alert = name.starts_with("alert.");
        let of_alert = |name: &str| if is_alert { text(name) } else { String::new() };
        Ok(Notice {
            level: of_alert("level"),
            line: entry.field(Field::Message).map_or_else(|| name.clone(), |line| plain(&line)),
            // To the second: people read it.
            time: format!("{}Z", entry.event_time().to_string().get(..19).unwrap_or_default()),
            host: plain(&entry.field(Field::Host).unwrap_or_default()),
            alert: of_alert("alert"),
            rule: of_alert("rule"),
            count: data["count"].as_u64().unwrap_or(1),
            event_id: entry.event_id().into_owned(),
            name,
        })
    }

    /// What the step was, in front of the line.
    pub(crate) fn step(&self) -> &'static str {
        match self.name.as_str() {
            "alert.repeat" => "again: ",
            "alert.resolve" => "over: ",
            "alert.ack" => "seen: ",
            "alert.silence" => "silenced: ",
            _ => "",
        }
    }

    /// `[high] root logged in to web1`.
    pub(crate) fn title(&self) -> String {
        match self.level.as_str() {
            "" => format!("{}{}", self.step(), self.line),
            level => format!("[{level}] {}{}", self.step(), self.line),
        }
    }
}

/// One line without controls or what turns the direction of text.
fn plain(text: &str) -> String {
    let harmless = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }
    };
    let mut line: String = text.chars().take(LINE_CHARS_MAX).map(harmless).collect();
    if text.chars().nth(LINE_CHARS_MAX).is_some() {
        line.push('…');
    }
    line.trim().to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::made::parcel;

    /// An alert as the rules record it.
    pub(crate) fn alert(number: usize, message: &str) -> Parcel {
        let more = serde_json::json!({
            "event_id": format!("a{number}:open"), "event_time": "2026-11-21T12:00:00.5Z", "event_name": "alert.open", "username": "-",
            "resource": format!("a{number}"), "host": "web1", "severity": 3, "message": message,
            "event_data": {"alert": format!("a{number}"), "rule": "login-root", "level": "high", "count": 1},
        });
        parcel(number, "audit", &more)
    }

    #[test]
    fn a_line_is_one_line() {
        let notice = Notice::of(&alert(1, "root\r\nBcc: x@y \u{202e}evil\u{1b}[2J")).unwrap();
        assert_eq!(notice.title(), "[high] root  Bcc: x@y  evil [2J");
        assert_eq!((notice.alert.as_str(), notice.time.as_str()), ("a1", "2026-11-21T12:00:00Z"));
        assert_eq!(Notice::of(&alert(1, &"ä".repeat(500))).unwrap().line.chars().count(), LINE_CHARS_MAX + 1);
    }
}
