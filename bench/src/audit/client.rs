//! A connection that writes to either database.

use anyhow::Result;
use attestry_db::Engine;
use mysql_async::prelude::Queryable as _;

pub(super) enum Client {
    Mysql(mysql_async::Conn),
    Postgres(tokio_postgres::Client),
}

impl Client {
    pub(super) async fn open(engine: Engine, url: &str) -> Result<Client> {
        Ok(match engine {
            Engine::Mysql => Client::Mysql(mysql_async::Conn::new(mysql_async::Opts::from_url(url)?).await?),
            Engine::Postgres => {
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                Client::Postgres(client)
            }
        })
    }

    /// Runs statements, in one request.
    pub(super) async fn run(&mut self, sql: &str) -> Result<()> {
        match self {
            Client::Mysql(client) => client.query_drop(sql).await?,
            Client::Postgres(client) => client.batch_execute(sql).await?,
        }
        Ok(())
    }
}
