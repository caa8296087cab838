//! Coming into a database: its address, whom to believe, and as whom.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

use super::ConfigError;
use super::postgres_tls::Tls;
use crate::queue::reason;
use crate::secret::Secret;
use crate::tls::ClientTls;

/// What it takes to come into a database, as several configurations write it.
#[derive(Clone, Debug)]
pub struct Login<'a> {
    /// `postgres://user@host:5432/database` or `mysql://user@host:3306/database`.
    pub url: &'a str,
    /// The user's password, which does not belong into `url`.
    pub password: Option<&'a Secret>,
    /// Used unless the database is on this host.
    pub tls: Option<&'a ClientTls>,
    /// Whether another host may be connected to without TLS.
    pub plaintext: bool,
    /// How long connecting may take.
    pub timeout: Duration,
}

/// Why nobody was let in: where, and what the server or the system said. Never holds the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct LoginError {
    /// Host and port.
    pub place: String,
    /// What went wrong.
    pub reason: String,
}

impl Login<'_> {
    /// TLS as it is to be used with a database that is, or is not, on this host.
    pub(super) fn tls_to(&self, own_host: bool) -> Option<ClientTls> {
        match (self.tls, own_host || self.plaintext) {
            (Some(tls), _) => Some(tls.clone()),
            (None, true) => None,
            (None, false) => Some(ClientTls::default()),
        }
    }

    /// For MySQL and MariaDB.
    ///
    /// # Errors
    /// When the address is none, names no database, or holds a password.
    pub fn mysql(&self) -> Result<MysqlLogin, ConfigError> {
        let url = match self.url.strip_prefix("mariadb://") {
            Some(rest) => format!("mysql://{rest}"),
            None => self.url.to_owned(),
        };
        let options = Opts::from_url(&url).map_err(|error| wrong(format!("no address of MySQL: {error}")))?;
        if options.pass().is_some_and(|password| !password.is_empty()) {
            return Err(wrong(PASSWORD_IN_URL.to_owned()));
        }
        if options.db_name().is_none_or(str::is_empty) {
            return Err(wrong("expected a database, as in mysql://user@host/database".to_owned()));
        }
        let tls = self.tls_to(is_own_host(options.ip_or_hostname()));
        Ok(MysqlLogin { options, password: self.password.cloned(), tls, timeout: self.timeout })
    }

    /// For PostgreSQL.
    ///
    /// # Errors
    /// When the address is none, names no host, or holds a password.
    pub fn postgres(&self) -> Result<PostgresLogin, ConfigError> {
        let mut config: Config = self.url.parse().map_err(|error: tokio_postgres::Error| {
            let reason =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            wrong(format!("no address of PostgreSQL: {reason}"))
        })?;
        if config.get_password().is_some() {
            return Err(wrong(PASSWORD_IN_URL.to_owned()));
        }
        if config.get_hosts().is_empty() {
            return Err(wrong("expected a host, as in postgres://user@host/database".to_owned()));
        }
        let own = config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => is_own_host(name),
            Host::Unix(_) => true,
        });
        let tls = self.tls_to(own);
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.application_name("attestry").connect_timeout(self.timeout);
        Ok(PostgresLogin { config, password: self.password.cloned(), tls })
    }
}

const PASSWORD_IN_URL: &str = "found a password in the address, expected it in `password`";

fn wrong(reason: String) -> ConfigError {
    ConfigError { field: "url", reason }
}

/// What another program, of the database's own, is told to come in the same way. Its secrets are read.
pub struct ProgramLogin {
    /// Names or addresses, or the folder of a socket, with commas between several.
    pub hosts: String,
    /// The port of each.
    pub ports: String,
    /// May be empty.
    pub user: String,
    /// May be empty.
    pub database: String,
    /// None when there is none.
    pub password: Option<String>,
    /// None when it comes without.
    pub tls: Option<ClientTls>,
}

/// A way into a MySQL or MariaDB.
#[derive(Clone, Debug)]
pub struct MysqlLogin {
    options: Opts,
    password: Option<Secret>,
    tls: Option<ClientTls>,
    timeout: Duration,
}

impl MysqlLogin {
    /// Host and port.
    pub fn place(&self) -> String {
        format!("{}:{}", self.options.ip_or_hostname(), self.options.tcp_port())
    }

    /// All of it, for what speaks the protocol itself because the library does not speak all of it. Password and certificates are read anew.
    ///
    /// # Errors
    /// When the password or a certificate cannot be read.
    pub fn opened(&self) -> Result<OpenedLogin, LoginError> {
        let failed = |reason: String| LoginError { place: self.place(), reason };
        let password = self.password.as_ref().map(crate::secret::Secret::read).transpose();
        let tls = match &self.tls {
            None => None,
            Some(tls) => {
                let name = tls.server_name.as_deref().unwrap_or(self.options.ip_or_hostname());
                let client = tls.client().map_err(|error| failed(reason(&error)))?;
                Some((client, name.trim_matches(['[', ']']).to_owned()))
            }
        };
        Ok(OpenedLogin {
            host: self.options.ip_or_hostname().trim_matches(['[', ']']).to_owned(),
            port: self.options.tcp_port(),
            user: self.options.user().unwrap_or_default().to_owned(),
            password: password.map_err(|error| failed(reason(&error)))?.unwrap_or_default(),
            tls,
            timeout: self.timeout,
        })
    }

    /// For a program that comes in for us.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub fn for_program(&self) -> Result<ProgramLogin, LoginError> {
        let password = self.password.as_ref().map(Secret::read).transpose();
        Ok(ProgramLogin {
            hosts: self.options.ip_or_hostname().trim_matches(['[', ']']).to_owned(),
            ports: self.options.tcp_port().to_string(),
            user: self.options.user().unwrap_or_default().to_owned(),
            database: self.database().to_owned(),
            password: password.map_err(|error| LoginError { place: self.place(), reason: reason(&error) })?,
            tls: self.tls.clone(),
        })
    }

    /// The database in the address.
    pub fn database(&self) -> &str {
        self.options.db_name().unwrap_or_default()
    }

    /// Connects; password and certificates are read anew each time. The statements of `init` run first.
    ///
    /// # Errors
    /// When that fails or takes too long.
    pub async fn connect(&self, init: Vec<&str>) -> Result<mysql_async::Conn, LoginError> {
        let failed = |reason: String| LoginError { place: self.place(), reason };
        let mut options =
            OptsBuilder::from_opts(self.options.clone()).prefer_socket(false).stmt_cache_size(4).init(init);
        if let Some(password) = &self.password {
            options = options.pass(Some(password.read().map_err(|error| failed(reason(&error)))?));
        }
        if let Some(tls) = &self.tls {
            // Says what is wrong with the files in words that people understand.
            tls.client().map_err(|error| failed(reason(&error)))?;
            options = options.ssl_opts(ssl(tls));
        }
        let connected = tokio::time::timeout(self.timeout, mysql_async::Conn::new(options)).await;
        connected
            .map_err(|_| failed("the server does not answer".to_owned()))?
            .map_err(|error| failed(error.to_string()))
    }
}

/// A [`MysqlLogin`] with its secrets read.
pub struct OpenedLogin {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// May be empty.
    pub user: String,
    /// May be empty.
    pub password: String,
    /// How TLS is spoken, and the name that the certificate must have.
    pub tls: Option<(Arc<rustls::ClientConfig>, String)>,
    /// How long connecting may take.
    pub timeout: Duration,
}

fn ssl(tls: &ClientTls) -> SslOpts {
    let mut ssl = SslOpts::default();
    if let Some(ca) = &tls.ca {
        ssl = ssl.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true);
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        ssl = ssl.with_client_identity(Some(ClientIdentity::new(cert.clone().into(), key.clone().into())));
    }
    if let Some(name) = &tls.server_name {
        ssl = ssl.with_danger_tls_hostname_override(Some(name.clone()));
    }
    ssl
}

/// A way into a PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresLogin {
    config: Config,
    password: Option<Secret>,
    tls: Option<ClientTls>,
}

impl PostgresLogin {
    /// The hosts with their ports, of which one is connected to.
    pub fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        // One port is for all hosts; none is the usual one.
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5_432);
        hosts.enumerate().map(|(at, host)| format!("{host}:{}", port(at))).collect::<Vec<_>>().join(",")
    }

    /// All of it, for what speaks the protocol itself because the library does not speak all of it. Password and certificates are read anew.
    ///
    /// # Errors
    /// When it names no user, or the password or a certificate cannot be read.
    pub fn opened(&self) -> Result<OpenedPostgres, LoginError> {
        let failed = |reason: String| LoginError { place: self.place(), reason };
        let user =
            self.config.get_user().ok_or_else(|| failed("expected a user in the address".to_owned()))?;
        let password = self.password.as_ref().map(Secret::read).transpose();
        let tls =
            self.tls.as_ref().map(|tls| tls.client().map(|made| (made, tls.server_name.clone()))).transpose();
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(at, host)| {
            // An address that is given beside the name is connected to, and the certificate is the name's.
            let address = self.config.get_hostaddrs().get(at).map(ToString::to_string);
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5_432);
            match host {
                Host::Tcp(name) => PostgresHost::Tcp {
                    address: address.unwrap_or_else(|| name.clone()),
                    name: name.clone(),
                    port,
                },
                Host::Unix(folder) => PostgresHost::Unix(folder.join(format!(".s.PGSQL.{port}"))),
            }
        });
        Ok(OpenedPostgres {
            hosts: hosts.collect(),
            user: user.to_owned(),
            database: self.config.get_dbname().unwrap_or(user).to_owned(),
            password: password.map_err(|error| failed(reason(&error)))?,
            tls: tls.map_err(|error| failed(reason(&error)))?,
            timeout: self.config.get_connect_timeout().copied().unwrap_or(Duration::from_secs(30)),
        })
    }

    /// For a program that comes in for us.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub fn for_program(&self) -> Result<ProgramLogin, LoginError> {
        let password = self.password.as_ref().map(Secret::read).transpose();
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.trim_matches(['[', ']']).to_owned(),
            Host::Unix(path) => path.display().to_string(),
        });
        let ports = match self.config.get_ports() {
            [] => "5432".to_owned(),
            ports => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        Ok(ProgramLogin {
            hosts: hosts.collect::<Vec<_>>().join(","),
            ports,
            user: self.config.get_user().unwrap_or_default().to_owned(),
            database: self.config.get_dbname().unwrap_or_default().to_owned(),
            password: password.map_err(|error| LoginError { place: self.place(), reason: reason(&error) })?,
            tls: self.tls.clone(),
        })
    }

    /// Connects; password and certificates are read anew each time. `options` are the server's, as `-c datestyle=ISO`.
    ///
    /// # Errors
    /// When that fails or takes too long.
    pub async fn connect(&self, options: &str) -> Result<Client, LoginError> {
        let failed = |reason: String| LoginError { place: self.place(), reason };
        let mut config = self.config.clone();
        if !options.is_empty() {
            config.options(options);
        }
        if let Some(password) = &self.password {
            config.password(password.read().map_err(|error| failed(reason(&error)))?);
        }
        let away = |error: tokio_postgres::Error| failed(told(&error));
        match &self.tls {
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(away)?;
                tokio::spawn(connection);
                Ok(client)
            }
            Some(tls) => {
                let made = tls.client().map_err(|error| failed(reason(&error)))?;
                let tls = Tls::new(Arc::clone(&made), tls.server_name.clone());
                let (client, connection) = config.connect(tls).await.map_err(away)?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }
}

/// A [`PostgresLogin`] with its secrets read.
pub struct OpenedPostgres {
    /// Where it may be, to be tried in this order.
    pub hosts: Vec<PostgresHost>,
    /// Never empty.
    pub user: String,
    /// The database.
    pub database: String,
    /// None is none; it may be empty, too.
    pub password: Option<String>,
    /// How TLS is spoken, and the name that the certificate must have instead of the host's.
    pub tls: Option<(Arc<rustls::ClientConfig>, Option<String>)>,
    /// How long connecting may take.
    pub timeout: Duration,
}

/// Where a PostgreSQL listens.
pub enum PostgresHost {
    /// At an address.
    Tcp {
        /// A name, or a number.
        address: String,
        /// What the certificate is for.
        name: String,
        /// The port.
        port: u16,
    },
    /// In a file. There is no TLS there.
    Unix(std::path::PathBuf),
}

/// What a PostgreSQL's error says: the server's message with its code; the library's errors say what happened in their source.
pub fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(database), _) => format!("{} ({})", database.message(), database.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// Whether a name or address is this host's own.
fn is_own_host(name: &str) -> bool {
    let name = name.trim_matches(['[', ']']);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
