//! The server that a projection is written to, and what it has to allow.

use crate::config::{Engine, WatchConfig};
use crate::database::{DbError, Finding, Level};
use crate::{mysql, postgres};

use super::definition::{Dialect, MARKS};

/// The watch that a schema belongs to stands under this name.
pub(super) const WATCH: &str = "watch";

/// And of which copy it is under this.
pub(super) const COPY: &str = "copy";

/// A connection, of either kind.
pub(super) enum Server {
    Mysql(mysql::Session),
    Postgres(postgres::Session),
}

impl Server {
    pub(super) async fn connect(config: &WatchConfig) -> Result<Server, DbError> {
        match config.engine() {
            Some(Engine::Mysql) => Ok(Server::Mysql(mysql::Session::new(config)?)),
            Some(Engine::Postgres) => {
                let session = postgres::Session::connect(&postgres::login(config)?, config.timeout.0).await?;
                session.run("SET standard_conforming_strings = on; SET bytea_output = hex").await?;
                Ok(Server::Postgres(session))
            }
            None => Err(DbError::Refused("the address is none of a database that is known".to_owned())),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Server::Mysql(_) => Dialect(Engine::Mysql),
            Server::Postgres(_) => Dialect(Engine::Postgres),
        }
    }

    /// Runs one statement.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), DbError> {
        match self {
            Server::Mysql(session) => session.run(sql).await,
            Server::Postgres(session) => session.run(sql).await,
        }
    }

    /// Runs statements, all or none.
    pub(super) async fn together(&mut self, statements: &[String]) -> Result<(), DbError> {
        self.run("BEGIN").await?;
        for sql in statements {
            if let Err(error) = self.run(sql).await {
                // When this fails, too, the connection is gone, and with it what was begun.
                let _ = self.run("ROLLBACK").await;
                return Err(error);
            }
        }
        self.run("COMMIT").await
    }

    /// The rows of a statement, as texts.
    pub(super) async fn texts(&mut self, sql: &str) -> Result<Vec<Vec<String>>, DbError> {
        match self {
            Server::Mysql(session) => {
                let text =
                    |cell: Option<Vec<u8>>| String::from_utf8_lossy(&cell.unwrap_or_default()).into_owned();
                let rows = session.rows(sql).await?;
                Ok(rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect())
            }
            Server::Postgres(session) => {
                let rows = session.texts(sql).await?.into_iter().filter_map(|message| match message {
                    tokio_postgres::SimpleQueryMessage::Row(row) => Some(
                        (0..row.len())
                            .map(|at| row.try_get(at).ok().flatten().unwrap_or_default().to_owned())
                            .collect(),
                    ),
                    _ => None,
                });
                Ok(rows.collect())
            }
        }
    }

    /// The tables of a schema; none when there is no such schema.
    pub(super) async fn tables(&mut self, schema: &str) -> Result<Option<Vec<String>>, DbError> {
        let is = self.dialect().text(schema);
        let there = self
            .texts(&format!("SELECT 1 FROM information_schema.schemata WHERE schema_name = {is}"))
            .await?;
        // What an account may not use is not in that view of PostgreSQL's.
        if there.is_empty() && !self.has_namespace(&is).await? {
            return Ok(None);
        }
        let rows = match self {
            Server::Mysql(_) => {
                self.texts(&format!(
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = {is}"
                ))
                .await?
            }
            Server::Postgres(_) => {
                self.texts(&format!("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {is} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"))
                    .await?
            }
        };
        Ok(Some(rows.into_iter().filter_map(|row| row.into_iter().next()).collect()))
    }

    async fn has_namespace(&mut self, is: &str) -> Result<bool, DbError> {
        match self {
            Server::Mysql(_) => Ok(false),
            Server::Postgres(_) => {
                Ok(!self.texts(&format!("SELECT 1 FROM pg_namespace WHERE nspname = {is}")).await?.is_empty())
            }
        }
    }

    /// The value of a mark.
    pub(super) async fn mark(&mut self, schema: &str, name: &str) -> Result<Option<String>, DbError> {
        let dialect = self.dialect();
        let rows = self
            .texts(&format!(
                "SELECT value FROM {} WHERE name = {}",
                dialect.name(schema, MARKS),
                dialect.text(name)
            ))
            .await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()))
    }

    /// Sets a mark.
    pub(super) async fn set_mark(&mut self, schema: &str, name: &str, value: &str) -> Result<(), DbError> {
        let dialect = self.dialect();
        let sql = format!(
            "INSERT INTO {} (name, value) VALUES ({}, {}){}",
            dialect.name(schema, MARKS),
            dialect.text(name),
            dialect.text(value),
            dialect.replacing("name", &["value".to_owned()])
        );
        self.run(&sql).await
    }
}

/// What a server lacks to show the copy in a schema: the same steps as at a start, tried, as far as they change nothing that stays.
pub(crate) async fn check(config: &WatchConfig, schema: &str) -> Result<Vec<Finding>, DbError> {
    let mut server = Server::connect(config).await?;
    let dialect = server.dialect();
    let name = dialect.quoted(schema);
    let remedy = match dialect.0 {
        Engine::Mysql => {
            let user = server.texts("SELECT CURRENT_USER()").await?;
            let user = user.first().and_then(|row| row.first()).cloned().unwrap_or_default();
            let (user, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
            format!(
                "CREATE DATABASE IF NOT EXISTS {name}; GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX ON {name}.* TO {}@{}",
                dialect.quoted(user),
                dialect.quoted(host)
            )
        }
        Engine::Postgres => {
            let user = server.texts("SELECT current_user").await?;
            let user = user.first().and_then(|row| row.first()).cloned().unwrap_or_default();
            format!("CREATE SCHEMA IF NOT EXISTS {name} AUTHORIZATION {};", dialect.quoted(&user))
        }
    };
    let finding = |level, message: String, remedy: Option<String>| {
        Finding {
        level,
        subject: format!("schema {schema}"),
        message,
        remedy,
        opens: Some("whoever owns the server, or has this account, can change what is shown there; the copy in the file stays the one that is compared".to_owned()),
    }
    };
    let Some(tables) = server.tables(schema).await? else {
        let note = "it does not exist yet; it is made at the start if the account may, otherwise somebody else has to";
        return Ok(vec![finding(Level::Warning, note.to_owned(), Some(remedy))]);
    };
    if !tables.is_empty() && !tables.iter().any(|table| table == MARKS) {
        let what = "it has tables that Attestry did not make: choose another one for the copy".to_owned();
        return Ok(vec![finding(Level::Error, what, None)]);
    }
    let tried = format!("_attestry_check_{}", std::process::id());
    let tried = dialect.name(schema, &tried);
    let made = server.run(&format!("CREATE TABLE {tried} (id integer NOT NULL PRIMARY KEY)")).await;
    if let Err(DbError::Again(why)) = made {
        return Err(DbError::Again(why));
    }
    if let Err(why) = made {
        let what = format!("tables cannot be made in it: {why}");
        return Ok(vec![finding(Level::Error, what, Some(remedy))]);
    }
    let mut missing = Vec::new();
    for (privilege, sql) in [
        ("INSERT", format!("INSERT INTO {tried} VALUES (1)")),
        ("UPDATE", format!("UPDATE {tried} SET id = 2 WHERE id = 1")),
        ("INDEX", format!("CREATE INDEX attestry_i ON {tried} (id)")),
        ("DELETE", format!("DELETE FROM {tried} WHERE id = 2")),
        ("DROP", format!("DROP TABLE {tried}")),
    ] {
        match server.run(&sql).await {
            Ok(()) => {}
            Err(DbError::Again(why)) => return Err(DbError::Again(why)),
            Err(_) => missing.push(privilege),
        }
    }
    if !missing.is_empty() {
        let what = format!("the account lacks privileges in it: {}", missing.join(", "));
        return Ok(vec![finding(Level::Error, what, Some(remedy))]);
    }
    Ok(vec![finding(Level::Note, "the copy can be shown there".to_owned(), None)])
}
