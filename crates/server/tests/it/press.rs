//! Two kinds of reports that never change, for what the server makes of them.

use attestry_event::Nanos;
use attestry_server::reports::{
    File, Kind, LedgerSize, Made, Order, Parameter, Replayed, ReportError, Reports, Scheduled,
};
use parking_lot::Mutex;
use serde_json::Value;

/// `packages`, of all ledgers, and `btc`, which asks other servers and is of `logs` only.
#[derive(Default)]
pub(crate) struct Press {
    made: Mutex<Vec<Made>>,
    schedules: Mutex<Vec<(String, Value, String)>>,
}

fn kind(name: &str, ledgers: &[&str], asks_outside: bool) -> Kind {
    Kind {
        name: name.to_owned(),
        title: name.to_uppercase(),
        description: "a report".to_owned(),
        version: 1,
        built_in: !asks_outside,
        window_s: 60,
        ledgers: ledgers.iter().map(|name| (*name).to_owned()).collect(),
        parameters: vec![Parameter { name: "who".to_owned(), description: "who".to_owned(), default: None }],
        asks_outside,
    }
}

impl Reports for Press {
    fn kinds(&self) -> Vec<Kind> {
        vec![kind("packages", &[], false), kind("btc", &["audit"], true)]
    }

    fn run(&self, order: &Order) -> Result<Made, ReportError> {
        if !order.parameters.contains_key("who") {
            return Err(ReportError::Refused("the parameter who is missing".to_owned()));
        }
        let mut made = self.made.lock();
        let one = Made {
            event_id: format!("r{}", made.len()),
            report: order.report.clone(),
            title: "Packages".to_owned(),
            by: order.by.clone(),
            at: Nanos(0),
            from: order.from.unwrap_or(Nanos(0)),
            to: order.to.unwrap_or(Nanos(1)),
            schedule: None,
            body_sha256: "00".repeat(32),
            cited: 2,
            ledgers: vec![LedgerSize { name: "audit".to_owned(), size: 7, root: "r".to_owned() }],
        };
        made.insert(0, one.clone());
        Ok(one)
    }

    fn history(&self, limit: usize) -> Result<(Vec<Made>, bool), ReportError> {
        let made = self.made.lock();
        Ok((made.iter().take(limit).cloned().collect(), made.len() > limit))
    }

    fn file(&self, event_id: &str, format: &str) -> Result<File, ReportError> {
        let known = self.made.lock().iter().any(|made| made.event_id == event_id);
        match (known, format) {
            (false, _) => Err(ReportError::Unknown("no such report".to_owned())),
            (true, "html") => Ok(File {
                name: "packages.html".to_owned(),
                media_type: "text/html; charset=utf-8",
                is_page: true,
                text: "<!DOCTYPE html>a page".to_owned(),
            }),
            (true, "csv") => Ok(File {
                name: "packages.csv".to_owned(),
                media_type: "text/csv; charset=utf-8",
                is_page: false,
                text: "a,b".to_owned(),
            }),
            (true, other) => Err(ReportError::Refused(format!("{other:?} is no format"))),
        }
    }

    fn replay(&self, text: &str) -> Result<Replayed, ReportError> {
        let same = text == "a report";
        Ok(Replayed { same, difference: if same { String::new() } else { "-a".to_owned() }, notes: vec![] })
    }

    fn schedules(&self) -> Result<Vec<Scheduled>, ReportError> {
        let schedules = self.schedules.lock();
        let all = schedules.iter().map(|(name, planned, by)| Scheduled {
            name: name.clone(),
            planned: planned.clone(),
            by: by.clone(),
            configured: false,
            since: Nanos(0),
            next: Some(Nanos(60_000_000_000)),
            last: None,
        });
        Ok(all.collect())
    }

    fn schedule(&self, name: &str, planned: &Value, by: &str) -> Result<(), ReportError> {
        if planned["cron"].is_null() {
            return Err(ReportError::Refused("cron: expected a line of a crontab".to_owned()));
        }
        self.schedules.lock().push((name.to_owned(), planned.clone(), by.to_owned()));
        Ok(())
    }

    fn unschedule(&self, name: &str, _: &str) -> Result<(), ReportError> {
        let mut schedules = self.schedules.lock();
        let before = schedules.len();
        schedules.retain(|(known, ..)| known != name);
        match schedules.len() < before {
            true => Ok(()),
            false => Err(ReportError::Unknown("there is no such schedule".to_owned())),
        }
    }
}
