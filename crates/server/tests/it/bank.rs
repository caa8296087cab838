//! A watched database with three violations, one of them signed off, and one whose copy cannot be read.

use attestry_event::Nanos;
use attestry_server::databases::{
    Among, Databases, Field, Found, History, Projection, RowVersion, SignOff, SignedOff, States, TableStatus,
    Unreadable, Violation, Wanted, WatchError, WatchStatus,
};
use parking_lot::Mutex;

pub(crate) struct Bank {
    violations: Mutex<Vec<Violation>>,
}

fn time(second: u8) -> Nanos {
    Nanos::parse(&format!("2026-11-21T10:00:{second:02}Z")).unwrap()
}

fn field(column: &str, value: &str) -> Field {
    Field { column: column.to_owned(), value: Some(value.to_owned()), masked: false, whole: None }
}

fn row(balance: &str) -> Vec<Field> {
    let password = Field { column: "password".to_owned(), value: None, masked: true, whole: None };
    vec![field("id", "7"), field("balance", balance), password]
}

fn found<T>(found: Vec<T>) -> Found<T> {
    let unreadable = Unreadable { watch: "shop".to_owned(), why: "disk I/O error".to_owned() };
    Found { found, unreadable: vec![unreadable] }
}

impl Bank {
    pub(crate) fn new() -> Bank {
        let violation = |fingerprint: &str, second| Violation {
            fingerprint: fingerprint.to_owned(),
            watch: "bank".to_owned(),
            table: "accounts".to_owned(),
            field: Some("balance".to_owned()),
            key: vec![field("id", "7")],
            rule: "default".to_owned(),
            description: "Field balance is different (5.00 -- 500.00)".to_owned(),
            opened: time(second),
            last_seen: time(second),
            count: 1,
            event_id: None,
            account: None,
            old: Some(row("5.00")),
            new: Some(row("500.00")),
            rows_left_out: false,
            signed_off: None,
        };
        let done = SignedOff { by: "ann".to_owned(), at: time(9), reason: "seen".to_owned() };
        let violations = vec![
            violation("b2", 2),
            violation("a1", 1),
            Violation { signed_off: Some(done), ..violation("c0", 0) },
        ];
        Bank { violations: Mutex::new(violations) }
    }
}

fn sees_bank(among: Option<&Among>) -> bool {
    among.is_none_or(|among| among.contains("bank"))
}

impl Databases for Bank {
    fn watches(&self) -> Vec<WatchStatus> {
        let bank = WatchStatus {
            name: "bank".to_owned(),
            engine: "mysql".to_owned(),
            place: "127.0.0.1:3306/bank".to_owned(),
            ledger: "audit".to_owned(),
            state: "following".to_owned(),
            why: None,
            position: Some("bin.000001:4711".to_owned()),
            lag_ms: Some(12),
            last_change: Some(time(2)),
            compared_at: None,
            pass_s: None,
            pending: 2,
            projection: Some(Projection {
                schema: "audit".to_owned(),
                state: "refused".to_owned(),
                why: Some("INSERT command denied to user (1142)".to_owned()),
            }),
            tables: vec![TableStatus {
                name: "accounts".to_owned(),
                state: "watched".to_owned(),
                why: None,
                fingerprint: None,
                rows: 100,
                inserts: 3,
                updates: 2,
                deletes: 0,
                pending: 2,
            }],
        };
        let till = WatchStatus { name: "till".to_owned(), ledger: "logs".to_owned(), ..bank.clone() };
        vec![bank, till]
    }

    fn violations(&self, wanted: &Wanted) -> Result<Found<Violation>, WatchError> {
        if wanted.watch.as_deref().is_some_and(|watch| watch != "bank") {
            return Err(WatchError::Unknown("there is no such watch".to_owned()));
        }
        if !sees_bank(wanted.among.as_ref()) {
            return Ok(Found::default());
        }
        let violations = self.violations.lock();
        let fits = |violation: &&Violation| {
            let state = match wanted.state {
                States::Pending => violation.signed_off.is_none(),
                States::SignedOff => violation.signed_off.is_some(),
                States::All => true,
            };
            state && wanted.fingerprint.as_ref().is_none_or(|one| *one == violation.fingerprint)
        };
        let first = match &wanted.after {
            None => 0,
            Some(after) => violations.iter().position(|one| one.fingerprint == *after).map_or(0, |at| at + 1),
        };
        Ok(found(violations.iter().skip(first).filter(fits).take(wanted.limit + 1).cloned().collect()))
    }

    fn matching(&self, wanted: &Wanted) -> Result<Found<String>, WatchError> {
        let fits = |one: &&Violation| {
            one.signed_off.is_none()
                && wanted.rule.as_ref().is_none_or(|rule| *rule == one.rule)
                && wanted.before.is_none_or(|before| one.opened < before)
        };
        let violations = self.violations.lock();
        Ok(found(violations.iter().filter(fits).map(|one| one.fingerprint.clone()).collect()))
    }

    fn history(
        &self,
        History { fingerprint, among, .. }: &History,
    ) -> Result<(Vec<RowVersion>, bool), WatchError> {
        let known = self.violations.lock().iter().any(|violation| violation.fingerprint == *fingerprint);
        if !known || !sees_bank(among.as_ref()) {
            return Err(WatchError::Unknown(format!("there is no violation {fingerprint:?}")));
        }
        let version = |version, operation: &str, row| RowVersion {
            version,
            at: time(0),
            seen_at: Some(time(1)),
            operation: operation.to_owned(),
            transaction: Some("0-1-42".to_owned()),
            account: None,
            unexplained: false,
            row,
        };
        Ok((vec![version(2, "delete", None), version(1, "insert", Some(row("5.00")))], false))
    }

    fn sign_off(&self, sign_off: &SignOff) -> Result<(), WatchError> {
        let mut violations = self.violations.lock();
        for fingerprint in &sign_off.fingerprints {
            let found = violations.iter().find(|violation| violation.fingerprint == *fingerprint);
            match found.map(|violation| &violation.signed_off) {
                None => return Err(WatchError::Unknown(format!("there is no violation {fingerprint:?}"))),
                Some(Some(by)) => {
                    return Err(WatchError::Done(format!(
                        "{fingerprint} is signed off already, by {}",
                        by.by
                    )));
                }
                Some(None) => {}
            }
        }
        for violation in violations.iter_mut().filter(|one| sign_off.fingerprints.contains(&one.fingerprint))
        {
            violation.signed_off =
                Some(SignedOff { by: sign_off.by.clone(), at: time(10), reason: sign_off.reason.clone() });
        }
        Ok(())
    }
}
