//! Following the binary log.
//!
//! The server sends event after event; [`Decoder`] makes steps of them and knows nothing of connections. A connection that is lost is made again by the
//! next call, from the end of the last whole transaction on: parts of one that were given already come again, the same.

use std::sync::Arc;

use attestry_wire::sql::MysqlLogin;

use super::decoder::Decoder;
use super::dump::{Dump, HEARTBEAT};
use super::reader::{identity, log_end};
use super::session::{Session, login};
use super::tables::text;
use crate::cell::MaskKey;
use crate::change::{Position, Prepared, Step};
use crate::config::WatchConfig;
use crate::database::{Changes, DbError};
use crate::table::Table;

/// Follows a MySQL or MariaDB.
pub struct MysqlChanges {
    login: MysqlLogin,
    config: WatchConfig,
    server_id: u32,
    /// The server that the position is of.
    server: Option<String>,
    decoder: Decoder,
    dump: Option<Dump>,
}

impl std::fmt::Debug for MysqlChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MysqlChanges").field("server_id", &self.server_id).finish_non_exhaustive()
    }
}

impl MysqlChanges {
    /// Connects, and takes the log up from a position, else from where it ends now. `watch` is the watch's name, of which the number among the server's replicas is
    /// made unless the configuration says one. `prepared` and `server` are what [`Step::Prepared`] and [`Reader::server`](crate::Reader::server) gave when the position
    /// was noted; where the log is not so far back that it has what was prepared, that is a [`Step::Gap`] when it is committed.
    ///
    /// # Errors
    /// [`DbError::Lost`] when the log cannot be taken up there: it is no longer that far back, or it is another server.
    pub async fn open(
        config: &WatchConfig,
        watch: &str,
        tables: Vec<Arc<Table>>,
        mask: &MaskKey,
        from: Option<&Position>,
        prepared: &[Prepared],
        server: Option<&str>,
    ) -> Result<MysqlChanges, DbError> {
        let mut session = Session::new(config)?;
        let from = match from {
            Some(from) => from.clone(),
            None => log_end(&mut session).await?,
        };
        let Position::Binlog { file, at } = from else {
            return Err(DbError::Lost(format!("{from} is no position of a binary log")));
        };
        let schema = config.schema.clone().unwrap_or_else(|| session.database().to_owned());
        let mut decoder = Decoder::new(config.clone(), schema, mask.clone(), file, at);
        decoder.set_tables(tables);
        decoder.look_back(prepared);
        let mut changes = MysqlChanges {
            login: login(config)?,
            server_id: config.server_id.unwrap_or_else(|| number_of(watch)),
            config: config.clone(),
            server: server.map(str::to_owned),
            decoder,
            dump: None,
        };
        loop {
            match changes.connect().await {
                Ok(dump) => changes.dump = Some(dump),
                Err(error) if changes.goes_on_after(&error) => continue,
                Err(error) => return Err(error),
            }
            return Ok(changes);
        }
    }

    /// What is prepared cannot be read again from where it begins, which is no reason not to follow what comes now.
    fn goes_on_after(&mut self, error: &DbError) -> bool {
        let unreadable = matches!(error, DbError::Lost(_) | DbError::Refused(_));
        let goes_on = unreadable && self.decoder.looks_back().is_some();
        if goes_on {
            tracing::warn!(%error, "what XA has prepared cannot be read again");
            self.decoder.look_less_far_back();
        }
        goes_on
    }

    async fn connect(&mut self) -> Result<Dump, DbError> {
        let mut session = Session::new(&self.config)?;
        let found = identity(&mut session).await?;
        if let Some(expected) = &self.server
            && *expected != found
        {
            return Err(DbError::Lost(format!(
                "this is another server than the one that was read before: found {found}, expected {expected}"
            )));
        }
        self.server = Some(found);
        if let Some((file, at)) = self.decoder.looks_back() {
            is_there(&mut session, &file, at).await?;
        }
        let (file, at) = self.decoder.resume();
        is_there(&mut session, &file, at).await?;
        let small = u32::try_from(at).map_err(|_| {
            DbError::Lost(format!("{file}:{at}: a log cannot be taken up beyond its first 4 GiB"))
        })?;
        let mut dump = Dump::connect(&self.login).await?;
        let heartbeat = HEARTBEAT.as_nanos();
        dump.run(&format!(
            "SET @master_heartbeat_period = {heartbeat}, @source_heartbeat_period = {heartbeat}, \
             @master_binlog_checksum = @@global.binlog_checksum, @source_binlog_checksum = @@global.binlog_checksum, \
             @mariadb_slave_capability = 4"
        ))
        .await?;
        dump.ask(self.server_id, &file, small).await?;
        Ok(dump)
    }
}

impl Changes for MysqlChanges {
    async fn next(&mut self) -> Result<Step, DbError> {
        loop {
            if let Some(step) = self.decoder.step() {
                return Ok(step);
            }
            if self.dump.is_none() {
                self.dump = Some(self.connect().await?);
            }
            let Some(dump) = &mut self.dump else { continue };
            let taken = match dump.event().await {
                Ok(event) => self.decoder.event(event),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                self.dump = None;
                if !self.goes_on_after(&error) {
                    return Err(error);
                }
            }
        }
    }

    async fn confirm(&mut self, _position: &Position) -> Result<(), DbError> {
        // The server keeps its logs as long as it is set up to, whoever has read them.
        Ok(())
    }

    fn set_tables(&mut self, tables: Vec<Arc<Table>>) {
        self.decoder.set_tables(tables);
    }
}

/// Whether the server still has the log, and as much of it. Says better than the server's own error what is wrong.
async fn is_there(session: &mut Session, file: &str, at: u64) -> Result<(), DbError> {
    let logs = session.rows("SHOW BINARY LOGS").await?;
    let known = logs.iter().find(|row| text(row, 0) == file);
    let length: Option<u64> = known.and_then(|row| text(row, 1).parse().ok());
    match length {
        Some(length) if at <= length => Ok(()),
        Some(length) => Err(DbError::Lost(format!(
            "the log {file} was read up to byte {at} and has only {length} bytes: the server was restored, or has lost what it had not \
             written to its disk (sync_binlog)"
        ))),
        None => Err(DbError::Lost(format!(
            "the server has no log {file} any more; the oldest is {}. Keep logs longer (binlog_expire_logs_seconds) than Attestry may be away",
            logs.first().map_or("none".to_owned(), |row| text(row, 0))
        ))),
    }
}

/// A number among the replicas, of which every server has few with small numbers.
fn number_of(watch: &str) -> u32 {
    use sha2::{Digest as _, Sha256};
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(watch.as_bytes()).into();
    u32::from_be_bytes([a, b, c, d]) | 0x8000_0000
}
