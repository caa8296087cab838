//! What cron and crontab say (Debian's vixie cron 3.0pl1, cronie): `(root) CMD (command)`, `(alice) REPLACE (alice)`.

use attestry_event::{Event, Outcome};

use super::message::said;
use crate::{line::put, redact};

pub(super) fn parse(text: &str) -> Option<Event> {
    let (user, rest) = text.strip_prefix('(')?.split_once(") ")?;
    let (verb, detail) = rest.split_once(" (")?;
    let detail = detail.strip_suffix(')').unwrap_or(detail);
    match verb {
        "CMD" => {
            let command = redact::secrets(detail.trim());
            let mut event = said("cron.run", user, None, format!("cron ran {command} as {user}"));
            event.resource = command.split(' ').next().map(str::to_owned);
            put(&mut event, "command_line", command);
            Some(event)
        }
        "REPLACE" | "DELETE" => {
            let what = if verb == "REPLACE" { "replaced" } else { "deleted" };
            let message = format!("{user} {what} the crontab of {detail}");
            let mut event = said("cron.change", user, Some(Outcome::Success), message).resource(detail);
            event.severity = Some(5);
            put(&mut event, "action", verb.to_ascii_lowercase());
            Some(event)
        }
        _ => None,
    }
}
