//! Signing violations off, and what was kept as evidence only.

use rusqlite::params;

use super::violations::COLUMNS;
use super::{Copy, CopyError, Place, Signed, Violation, place_of};

/// [`COLUMNS`] without the rows.
fn without_rows() -> String {
    COLUMNS.replace("old_image, new_image", "NULL, NULL")
}

impl Copy {
    /// Signs violations off, all or none. The watch tells the events. Where no versions are kept, what was kept of a row as evidence goes.
    ///
    /// # Errors
    /// When there is no such violation, one was signed off before, a name or reason is missing, or the file cannot be written.
    pub fn sign_off(&mut self, fingerprints: &[String], signed: &Signed) -> Result<(), CopyError> {
        for (text, what) in [(&signed.by, "a name"), (&signed.why, "a reason")] {
            if text.trim().is_empty() {
                return Err(CopyError::Wanting(what));
            }
        }
        self.begin()?;
        let done = fingerprints.iter().try_for_each(|one| self.sign_one_off(one, signed));
        match done {
            Ok(()) => self.commit()?,
            Err(_) => self.roll_back()?,
        }
        done
    }

    fn sign_one_off(&mut self, fingerprint: &str, signed: &Signed) -> Result<(), CopyError> {
        let found = self.violation(fingerprint)?.ok_or_else(|| CopyError::NoSuch(fingerprint.to_owned()))?;
        if let Some(signed) = found.signed {
            return Err(CopyError::Signed { fingerprint: fingerprint.to_owned(), by: signed.by });
        }
        self.connection.execute(
            "UPDATE violation SET signed_by = ?2, signed_from = ?3, signed_why = ?4, signed_at = ?5, told = 0
             WHERE fingerprint = ?1",
            params![fingerprint, signed.by, signed.from, signed.why, signed.at],
        )?;
        if found.place.is_empty() {
            // Of the table: each of its rows may be evidence.
            return self.drop_evidence(found.watched, None);
        }
        // Under another key the row was elsewhere.
        let table = &found.layout.table;
        let before = found.old.map(|old| place_of(table, &table.key_of(&old)));
        for place in std::iter::once(&found.place).chain(before.iter().filter(|place| **place != found.place))
        {
            self.drop_evidence(found.watched, Some(place))?;
        }
        Ok(())
    }

    /// Versions that were kept as evidence only: of one row, or of all, unless something about it or its table is pending. What was kept when all versions were stays.
    fn drop_evidence(&mut self, watched: i64, place: Option<&Place>) -> Result<(), CopyError> {
        let kept = self.history_until(watched)?;
        self.connection.execute(
            "DELETE FROM version WHERE watched = ?1 AND (?2 IS NULL OR place = ?2) AND origin > ?3
             AND NOT (SELECT versions FROM watched WHERE id = ?1)
             AND NOT EXISTS (SELECT 1 FROM violation p
                             WHERE p.watched = ?1 AND p.place IN (version.place, x'') AND p.signed_at IS NULL)",
            params![watched, place, kept],
        )?;
        Ok(())
    }

    /// Sign-offs whose events are still to be told, the oldest first, without their rows.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn untold_sign_offs(&mut self, limit: u32) -> Result<Vec<Violation>, CopyError> {
        let columns = without_rows();
        let sql = format!("SELECT {columns} FROM violation WHERE told = 0 ORDER BY signed_at LIMIT {limit}");
        self.find(&sql, Vec::new())
    }

    /// Whether the event of one of these sign-offs is still to be told.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_untold(&self, fingerprints: &[String]) -> Result<bool, CopyError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM violation WHERE fingerprint = ?1 AND told = 0)")?;
        for fingerprint in fingerprints {
            if select.query_row([fingerprint], |row| row.get(0))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The event of a sign-off is durable.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_sign_off_told(&mut self, fingerprint: &str) -> Result<(), CopyError> {
        self.connection.execute("UPDATE violation SET told = 1 WHERE fingerprint = ?1", [fingerprint])?;
        Ok(())
    }
}
