//! A connection of an application, to either database.

use attestry_db::Engine;
use mysql_async::prelude::Queryable as _;

/// Errors that say nothing of the statement: a deadlock, a lock that took too long, a server that shuts down.
const PASSING_MYSQL: [u16; 4] = [1205, 1213, 1053, 1927];
const PASSING_POSTGRES: [&str; 5] = ["40001", "40P01", "57P01", "57P02", "57P03"];

/// The connection is of no use any more. What became of its transaction is not known.
#[derive(Debug)]
pub(super) struct Lost;

pub(super) enum Client {
    Mysql(mysql_async::Conn),
    Postgres(tokio_postgres::Client),
}

impl Client {
    pub(super) async fn open(engine: Engine, url: &str) -> Result<Client, Lost> {
        let mut client = match engine {
            Engine::Mysql => {
                let opened = mysql_async::Conn::new(mysql_async::Opts::from_url(url).unwrap());
                Client::Mysql(opened.await.map_err(|_| Lost)?)
            }
            Engine::Postgres => {
                let opened = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
                let (client, connection) = opened.map_err(|_| Lost)?;
                tokio::spawn(connection);
                Client::Postgres(client)
            }
        };
        if engine == Engine::Mysql {
            client.run(attestry_testkit::values::mariadb::SESSION.trim().trim_end_matches(';')).await?;
        }
        Ok(client)
    }

    /// Runs a statement. One that is wrong fails the test.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Lost> {
        match self {
            Client::Mysql(client) => client.query_drop(sql).await.map_err(|error| match error {
                mysql_async::Error::Server(error) if !PASSING_MYSQL.contains(&error.code) => {
                    panic!("{error}: {sql}")
                }
                _ => Lost,
            }),
            Client::Postgres(client) => client.batch_execute(sql).await.map_err(|error| match error.code() {
                Some(code) if !PASSING_POSTGRES.contains(&code.code()) => panic!("{error:?}: {sql}"),
                _ => Lost,
            }),
        }
    }

    /// The number that a query gives.
    pub(super) async fn number(&mut self, sql: &str) -> Result<i64, Lost> {
        match self {
            Client::Mysql(client) => client.query_first(sql).await.map_err(|_| Lost)?.ok_or(Lost),
            Client::Postgres(client) => {
                let row = client.query_one(sql, &[]).await.map_err(|_| Lost)?;
                Ok(row.get(0))
            }
        }
    }
}
