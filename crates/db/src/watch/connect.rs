//! The two databases that there are to connect to.

use std::sync::Arc;

use super::Database;
use crate::cell::MaskKey;
use crate::change::{Position, Prepared};
use crate::config::WatchConfig;
use crate::database::DbError;
use crate::mysql::{MysqlChanges, MysqlReader};
use crate::postgres::{PostgresChanges, PostgresReader, slot};
use crate::table::Table;

/// A MySQL or MariaDB.
#[derive(Clone, Debug)]
pub struct Mysql {
    /// The watch's name.
    pub watch: String,
    /// Where it is.
    pub config: WatchConfig,
}

impl Database for Mysql {
    type Reader = MysqlReader;
    type Changes = MysqlChanges;

    async fn reader(&self) -> Result<MysqlReader, DbError> {
        MysqlReader::new(&self.config)
    }

    async fn changes(
        &self,
        tables: Vec<Arc<Table>>,
        mask: &MaskKey,
        from: Option<&Position>,
        prepared: &[Prepared],
        server: Option<&str>,
    ) -> Result<MysqlChanges, DbError> {
        MysqlChanges::open(&self.config, &self.watch, tables, mask, from, prepared, server).await
    }
}

/// A PostgreSQL.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// The watch's name.
    pub watch: String,
    /// Where it is.
    pub config: WatchConfig,
}

impl Database for Postgres {
    type Reader = PostgresReader;
    type Changes = PostgresChanges;

    async fn reader(&self) -> Result<PostgresReader, DbError> {
        PostgresReader::new(&self.watch, &self.config)
    }

    async fn changes(
        &self,
        tables: Vec<Arc<Table>>,
        mask: &MaskKey,
        from: Option<&Position>,
        // A slot keeps what is prepared until it is committed.
        _prepared: &[Prepared],
        _server: Option<&str>,
    ) -> Result<PostgresChanges, DbError> {
        PostgresChanges::open(&self.watch, &self.config, tables, mask.clone(), from).await
    }

    async fn keeps_too_much(&self) -> Result<bool, DbError> {
        slot::keeps_too_much(&self.watch, &self.config).await
    }

    async fn let_go(&self) -> Result<(), DbError> {
        slot::let_go(&self.watch, &self.config).await
    }
}
