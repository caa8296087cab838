//! The report as text, for a terminal or an auditor's file.

use std::fmt::{self, Display, Formatter};

use crate::report::{Damage, Ledger, Report, Subject};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let subject = match self.subject {
            Subject::Directory => "data directory",
            Subject::Server => "log on a server",
            Subject::Export => "export",
            Subject::Proof => "proof",
            Subject::Report => "report",
        };
        writeln!(f, "{subject} {}", printable(&self.target))?;
        for damage in &self.damage {
            line(f, "DAMAGE", damage)?;
        }
        for ledger in &self.ledgers {
            writeln!(f)?;
            write_ledger(f, ledger, self.subject)?;
        }
        writeln!(f)?;
        let damaged = self.all_damage().count();
        match self.exit_code() {
            0 => writeln!(f, "Clean: everything that was checked is as it was signed."),
            1 if damaged == 1 => writeln!(f, "DAMAGED: 1 finding."),
            1 => writeln!(f, "DAMAGED: {damaged} findings."),
            _ => writeln!(f, "No damage found, but not everything could be checked."),
        }
    }
}

fn write_ledger(f: &mut Formatter<'_>, ledger: &Ledger, subject: Subject) -> fmt::Result {
    writeln!(f, "ledger {}", printable(&ledger.name))?;
    if let Some(key) = &ledger.key {
        line(f, "key", key)?;
    }
    match &ledger.checkpoint {
        Some(signed) => {
            line(f, "checkpoint", format_args!("{} entries, root {}", Grouped(signed.size), signed.root))?
        }
        None => line(f, "checkpoint", "none that holds")?,
    }
    if ledger.hashed > 0 && matches!(subject, Subject::Directory | Subject::Server) {
        let (first, last) = (Grouped(ledger.first), Grouped(ledger.end.saturating_sub(1)));
        line(f, "entries", format_args!("{first} to {last}; {} read and hashed", Grouped(ledger.hashed)))?;
    } else if ledger.hashed > 0 {
        line(f, "entries", format_args!("{} hashed", Grouped(ledger.hashed)))?;
    }
    if ledger.first > 0 && matches!(subject, Subject::Directory | Subject::Server) {
        line(f, "pruned", format_args!("everything before entry {}", Grouped(ledger.first)))?;
    }
    if ledger.unsigned > 0 {
        line(
            f,
            "unsigned",
            format_args!("the last {} entries are newer than the checkpoint", Grouped(ledger.unsigned)),
        )?;
    }
    if ledger.values + ledger.erased > 0 {
        let (values, erased) = (Grouped(ledger.values), Grouped(ledger.erased));
        line(f, "values", format_args!("{values} large values match their hashes, {erased} were erased"))?;
    }
    for pin in ledger.pins.iter().filter(|pin| pin.holds) {
        line(
            f,
            "pin",
            format_args!(
                "the log begins with the pinned {} entries, under the pinned key",
                Grouped(pin.size)
            ),
        )?;
    }
    for damage in &ledger.damage {
        line(f, "DAMAGE", damage)?;
    }
    for (label, texts) in
        [("not checked", &ledger.unchecked), ("note", &ledger.notes), ("not excluded", &ledger.limits)]
    {
        for text in texts {
            line(f, label, printable(text))?;
        }
    }
    Ok(())
}

fn line(f: &mut Formatter<'_>, label: &str, text: impl Display) -> fmt::Result {
    writeln!(f, "  {label:<13} {text}")
}

impl Display for Damage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.first, self.end) {
            (Some(first), Some(end)) if end == first + 1 => write!(f, "entry {}: ", Grouped(first))?,
            (Some(first), Some(end)) => {
                write!(f, "entries {} to {}: ", Grouped(first), Grouped(end.saturating_sub(1)))?
            }
            _ => {}
        }
        f.write_str(&printable(&self.what))
    }
}

/// A number with commas between its thousands.
struct Grouped(u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (position, digit) in digits.chars().enumerate() {
            if position > 0 && (digits.len() - position).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// Text with control characters escaped: what was read from a forged directory must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Kind, Pinned, Signed};

    #[test]
    fn a_report_reads_calmly() {
        let mut ledger = Ledger::new("audit");
        ledger.key = Some("0f.attestry/audit+00000000+AA".into());
        ledger.checkpoint = Some(Signed { size: 1_234_567, root: "root=".into() });
        (ledger.end, ledger.hashed, ledger.unsigned, ledger.values) = (1_234_570, 1_234_569, 3, 2);
        ledger.pins.push(Pinned { size: 1_000, holds: true });
        ledger.add(Damage::of_entries(Kind::Altered, 5..6, "not what was signed"));
        ledger.add(Damage::of_entries(Kind::Altered, 6..9, "not what was signed"));
        ledger.add(Damage::of_entries(Kind::Missing, 9..10, "gone"));
        ledger.add(Damage::general(Kind::File, "wal/\u{1b}[2J is damaged"));
        ledger.limits.push("what a pin would show".into());
        let mut report = Report::new("/data", Subject::Directory);
        report.ledgers.push(ledger);
        let expected = "\
data directory /data

ledger audit
  key           0f.attestry/audit+00000000+AA
  checkpoint    1,234,567 entries, root root=
  entries       0 to 1,234,569; 1,234,569 read and hashed
  unsigned      the last 3 entries are newer than the checkpoint
  values        2 large values match their hashes, 0 were erased
  pin           the log begins with the pinned 1,000 entries, under the pinned key
  DAMAGE        entries 5 to 8: not what was signed
  DAMAGE        entry 9: gone
  DAMAGE        wal/\\u{1b}[2J is damaged
  not excluded  what a pin would show

DAMAGED: 3 findings.
";
        assert_eq!(report.to_string(), expected);
        assert_eq!(report.to_json()["exit"], 1);
        assert_eq!(report.to_json()["ledgers"][0]["damage"][0]["end"], 9);
    }

    #[test]
    fn what_could_not_be_checked_is_not_clean() {
        let mut report = Report::new("/data", Subject::Directory);
        assert!(report.is_clean());
        let mut ledger = Ledger::new("audit");
        ledger.unchecked.push("the pin".into());
        report.ledgers.push(ledger);
        assert_eq!(report.exit_code(), 2);
        assert!(report.to_string().ends_with("No damage found, but not everything could be checked.\n"));
    }
}
