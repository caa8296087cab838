//! Reading tables by SQL.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::check;
use super::expression::Statements;
use super::session::{Row, Server, Session};
use super::tables::{self, text};
use crate::cell::{Cell, MaskKey, chunk_digest, row_hash};
use crate::change::Position;
use crate::config::WatchConfig;
use crate::database::{DbError, Digest, Finding, FoundTable, Reader, Scan};
use crate::table::{Key, Table};

/// A look at a whole table may take as many times longer than another statement.
const WHOLE_TABLE: u32 = 60;

/// The most that a query of somebody's own may give, in bytes.
const QUERY_BYTES: usize = 64 << 20;

/// Reads a MySQL or MariaDB.
pub struct MysqlReader {
    session: Session,
    /// Whether a view was begun on the connection: it is lost with it.
    viewing: bool,
}

impl std::fmt::Debug for MysqlReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MysqlReader").field("viewing", &self.viewing).finish_non_exhaustive()
    }
}

impl MysqlReader {
    /// A reader that connects when it is first used, and again after the connection was lost.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(config: &WatchConfig) -> Result<MysqlReader, DbError> {
        Ok(MysqlReader { session: Session::new(config)?, viewing: false })
    }

    /// Runs one of our own statements, in the view if there is one.
    async fn ask(&mut self, sql: &str, limit: Duration) -> Result<Vec<Row>, DbError> {
        self.in_view()?;
        self.session.rows_within(sql, limit).await
    }

    fn in_view(&self) -> Result<(), DbError> {
        if self.viewing && !self.session.is_open() {
            return Err(DbError::Again("the view was lost with its connection".to_owned()));
        }
        Ok(())
    }

    /// Runs a statement that gives all columns of a table.
    async fn cells_of(
        &mut self,
        table: &Table,
        sql: &str,
        limit: Duration,
    ) -> Result<Vec<Vec<Cell>>, DbError> {
        let mut rows = Vec::new();
        self.each_of(table, sql, limit, |row| rows.push(row)).await?;
        Ok(rows)
    }

    /// The same row by row.
    async fn each_of(
        &mut self,
        table: &Table,
        sql: &str,
        limit: Duration,
        mut take: impl FnMut(Vec<Cell>) + Send,
    ) -> Result<(), DbError> {
        let masked: Vec<bool> = table.columns.iter().map(|column| column.masked).collect();
        self.in_view()?;
        let mut wrong = Ok(());
        let asked = self.session.each_row(sql, limit, |row| match cells(row, &masked) {
            Ok(row) => take(row),
            Err(error) => wrong = Err(error),
        });
        asked.await?;
        wrong
    }

    /// The key of the last of the next `limit` rows; none when there are not so many.
    async fn end_of_chunk(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Option<Key>, DbError> {
        let statements = Statements::new(table, mask)?;
        let beyond = statements.within(&Scan::Range { after: after.cloned(), upto: None })?;
        let sql = statements.key_at(&beyond, limit.saturating_sub(1));
        let found = self.ask(&sql, self.session.timeout()).await?;
        let masked = table.key.iter().map(|place| table.columns.get(*place).is_some_and(|c| c.masked));
        let masked: Vec<bool> = masked.collect();
        found.into_iter().next().map(|row| cells(row, &masked)).transpose()
    }

    /// What the database says of a part; computed here where a row's bytes do not fit into what the server handles at once.
    async fn digest(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        scan: Scan,
        row: Option<Row>,
    ) -> Result<Digest, DbError> {
        let Some(row) = row else { return Err(not_understood()) };
        let (rows, hashed, bytes) = (number(&row, 0)?, number(&row, 1)?, number(&row, 2)?);
        if hashed == rows && bytes == rows * 32 {
            let digest = hash_of(&text(&row, 3)).ok_or_else(not_understood)?;
            return Ok(Digest { scan, rows, digest });
        }
        let statements = Statements::new(table, mask)?;
        let sql = statements.rows(&statements.within(&scan)?);
        let mut hashes = Vec::new();
        let limit = match scan {
            Scan::Range { .. } => self.session.timeout(),
            Scan::Bucket { .. } => self.session.timeout() * WHOLE_TABLE,
        };
        self.each_of(table, &sql, limit, |row| hashes.push(row_hash(&row))).await?;
        Ok(Digest { scan, rows: hashes.len() as u64, digest: chunk_digest(&mut hashes) })
    }
}

impl Reader for MysqlReader {
    async fn server(&mut self) -> Result<Option<String>, DbError> {
        identity(&mut self.session).await.map(Some)
    }

    async fn tables(&mut self, config: &WatchConfig) -> Result<Vec<FoundTable>, DbError> {
        let found = tables::find(&mut self.session, config).await?.into_iter();
        Ok(found
            .map(|tables::Found { table, unfit, .. }| FoundTable {
                table,
                unfit: (!unfit.is_empty()).then(|| unfit.join("; ")),
            })
            .collect())
    }

    async fn check(&mut self, config: &WatchConfig) -> Result<Vec<Finding>, DbError> {
        check::check(&mut self.session, config).await
    }

    async fn position(&mut self) -> Result<Position, DbError> {
        log_end(&mut self.session).await
    }

    async fn begin_snapshot(&mut self) -> Result<Position, DbError> {
        self.viewing = false;
        let begun = begin(&mut self.session).await;
        match begun {
            Ok(position) => {
                self.viewing = true;
                Ok(position)
            }
            Err(error) => {
                // With what it may hold: a view, or a lock.
                self.session.close();
                Err(error)
            }
        }
    }

    async fn end_snapshot(&mut self) -> Result<(), DbError> {
        if std::mem::take(&mut self.viewing) && self.session.is_open() {
            self.session.rows("ROLLBACK").await?;
        }
        Ok(())
    }

    async fn rows_after(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, DbError> {
        // By key rather than by LIMIT: rows that have the same key, where only the configuration says that it is one, stay together.
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut after = after.cloned();
        loop {
            let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX)).max(1);
            let upto = self.end_of_chunk(table, mask, after.as_ref(), left).await?;
            rows.extend(self.rows(table, mask, &Scan::Range { after, upto: upto.clone() }).await?);
            // Outside a view some may have gone between the two statements: fewer than asked for are the table's end only where no key was found.
            if upto.is_none() || rows.len() >= limit as usize {
                return Ok(rows);
            }
            after = upto;
        }
    }

    async fn rows(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        scan: &Scan,
    ) -> Result<Vec<Vec<Cell>>, DbError> {
        if let Scan::Bucket { bits, bucket } = scan {
            return self.rows_of_buckets(table, mask, *bits, &[*bucket]).await;
        }
        let statements = Statements::new(table, mask)?;
        let sql = statements.rows(&statements.within(scan)?);
        self.cells_of(table, &sql, self.session.timeout()).await
    }

    async fn rows_of_buckets(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        bits: u8,
        buckets: &[u32],
    ) -> Result<Vec<Vec<Cell>>, DbError> {
        let statements = Statements::new(table, mask)?;
        let sql = statements.rows(&statements.within_buckets(bits, buckets));
        self.cells_of(table, &sql, self.session.timeout() * WHOLE_TABLE).await
    }

    async fn digest_after(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Digest, DbError> {
        let upto = self.end_of_chunk(table, mask, after, limit).await?;
        let scan = Scan::Range { after: after.cloned(), upto };
        let statements = Statements::new(table, mask)?;
        let sql = statements.digest(&statements.within(&scan)?);
        let row = self.ask(&sql, self.session.timeout()).await?.into_iter().next();
        self.digest(table, mask, scan, row).await
    }

    async fn digest_buckets(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        bits: u8,
        buckets: RangeInclusive<u32>,
    ) -> Result<Vec<Digest>, DbError> {
        let sql = Statements::new(table, mask)?.buckets(bits, &buckets);
        let rows = self.ask(&sql, self.session.timeout() * WHOLE_TABLE).await?;
        let mut digests = Vec::with_capacity(rows.len());
        for mut row in rows {
            let bucket = u32::try_from(number(&row, 0)?).map_err(|_| not_understood())?;
            row.remove(0);
            digests.push(self.digest(table, mask, Scan::Bucket { bits, bucket }, Some(row)).await?);
        }
        Ok(digests)
    }

    async fn query(&mut self, sql: &str, time: Duration, limit: u32) -> Result<Vec<Vec<Cell>>, DbError> {
        if self.viewing {
            return Err(DbError::Refused("a query would end the view that was begun".to_owned()));
        }
        let first = sql.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
        if !["SELECT", "WITH"].iter().any(|word| first.eq_ignore_ascii_case(word))
            || !self.session.gives_rows(sql).await?
        {
            return Err(DbError::Refused("expected one SELECT".to_owned()));
        }
        let Server { mariadb, .. } = self.session.server().await?;
        let bound = if mariadb {
            format!("SET SESSION max_statement_time = {}", time.as_secs_f64())
        } else {
            format!("SET SESSION max_execution_time = {}", time.as_millis().max(1))
        };
        self.session.rows(&bound).await?;
        self.session.rows("START TRANSACTION READ ONLY").await?;
        let rows = self.session.some_rows(sql, time * 2, limit, QUERY_BYTES).await;
        if self.session.is_open() {
            self.session.rows("ROLLBACK").await?;
            let unbound = if mariadb { "max_statement_time" } else { "max_execution_time" };
            self.session.rows(&format!("SET SESSION {unbound} = 0")).await?;
        }
        let plain = |row: Row| row.into_iter().map(|value| value.map_or(Cell::Null, Cell::Value)).collect();
        Ok(rows?.into_iter().map(plain).collect())
    }
}

/// What tells this server from another, as far as it says: a position is only good there.
pub(super) async fn identity(session: &mut Session) -> Result<String, DbError> {
    if !session.server().await?.mariadb {
        let uuid = session.first("SELECT @@global.server_uuid").await?.unwrap_or_default();
        return Ok(format!("mysql {}", text(&uuid, 0)));
    }
    // `server_uid` came with 10.5.26, 10.6.19 and 10.11.9.
    let uid = session.first("SHOW GLOBAL VARIABLES LIKE 'server_uid'").await?.unwrap_or_default();
    let numbers = session.first("SELECT @@global.gtid_domain_id, @@global.server_id").await?;
    let numbers = numbers.unwrap_or_default();
    Ok(format!("mariadb {} {}-{}", text(&uid, 1), text(&numbers, 0), text(&numbers, 1)))
}

/// Where the binary log ends. A transaction is written there before anybody sees what it did.
pub(super) async fn log_end(session: &mut Session) -> Result<Position, DbError> {
    let row = log_status(session).await?;
    row.ok_or_else(|| DbError::Refused("the server writes no binary log (log_bin)".to_owned()))
        .and_then(|row| Ok(Position::Binlog { file: text(&row, 0), at: number(&row, 1)? }))
}

/// File, position, and the databases that the log has, and has not.
pub(super) async fn log_status(session: &mut Session) -> Result<Option<Row>, DbError> {
    let Server { mariadb, version } = session.server().await?;
    let renamed = !mariadb && version >= (8, 2, 0);
    session.first(if renamed { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }).await
}

async fn begin(session: &mut Session) -> Result<Position, DbError> {
    if !session.server().await?.mariadb {
        return begin_locked(session).await;
    }
    // MariaDB notes where in its log the view is.
    session.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
    let status = session.rows("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    let value = |name: &str| {
        let row = status.iter().find(|row| text(row, 0).eq_ignore_ascii_case(name))?;
        Some(text(row, 1)).filter(|value| !value.is_empty())
    };
    let at = value("binlog_snapshot_position").and_then(|at| at.parse().ok());
    let position = value("binlog_snapshot_file").zip(at).map(|(file, at)| Position::Binlog { file, at });
    position.ok_or_else(|| DbError::Refused("the server writes no binary log (log_bin)".to_owned()))
}

/// MySQL does not say where a view is: for a moment nobody may commit.
async fn begin_locked(session: &mut Session) -> Result<Position, DbError> {
    // While this waits for the lock, everybody else waits for it.
    session.rows("SET SESSION lock_wait_timeout = 5").await?;
    session.rows("FLUSH TABLES WITH READ LOCK").await?;
    session.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
    let position = log_end(session).await?;
    session.rows("UNLOCK TABLES").await?;
    Ok(position)
}

/// A row of the statements here as cells.
fn cells(row: Row, masked: &[bool]) -> Result<Vec<Cell>, DbError> {
    if row.len() != masked.len() {
        return Err(not_understood());
    }
    row.into_iter()
        .zip(masked)
        .map(|(value, masked)| match (value, masked) {
            (None, _) => Ok(Cell::Null),
            (Some(bytes), false) => Ok(Cell::Value(bytes)),
            (Some(bytes), true) => bytes.try_into().map(Cell::Masked).map_err(|_| not_understood()),
        })
        .collect()
}

fn number(row: &Row, at: usize) -> Result<u64, DbError> {
    text(row, at).parse().map_err(|_| not_understood())
}

fn hash_of(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let (digits, rest) = hex.as_bytes().as_chunks::<2>();
    if digits.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(digits) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

fn not_understood() -> DbError {
    DbError::Again("the database answered in another form than was asked for".to_owned())
}

#[cfg(test)]
mod tests {
    use attestry_testkit::MariaDb;

    use super::*;

    /// There is no MySQL 8 to try it with; a MariaDB knows the same statements.
    #[tokio::test]
    async fn the_view_of_a_mysql_tried_with_a_mariadb() {
        let server = MariaDb::started_with_log(&[]);
        server.query("CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1)");
        let config: WatchConfig =
            serde_saphyr::from_str(&format!("url: {}", server.url_for("root"))).unwrap();
        let mut session = Session::new(&config).unwrap();
        let before = log_end(&mut session).await.unwrap();
        assert_eq!(begin_locked(&mut session).await.unwrap(), before);
        // The lock is gone, the view stays.
        server.query("INSERT INTO a VALUES (2)");
        let counted = session.first("SELECT COUNT(*) FROM a").await.unwrap().unwrap();
        assert_eq!(text(&counted, 0), "1");
        assert!(log_end(&mut session).await.unwrap() > before);
    }
}
