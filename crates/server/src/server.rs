//! The server as a whole: bound, run, stopped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::accounts::{AccountsError, SetupLink};
use crate::agents::Authority;
use crate::app::{App, Setup};
use crate::audit::{self, Audit, Recorded};
use crate::config::{Config, ConfigError};
use crate::parts::{AUDIT_LEDGER, Parts};
use crate::tls::{TlsError, fingerprint, server_config};
use crate::{listen, routes, upkeep};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is unsafe or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The accounts cannot be used.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// There is no ledger of that name among the parts.
    #[error("there is no ledger {AUDIT_LEDGER:?}")]
    NoAuditLedger,
}

/// A server that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    app: Arc<App>,
    recorded: Recorded,
    url: String,
    setup: Option<SetupLink>,
}

impl Server {
    /// Checks the configuration, listens, and, while there is no user, makes the set-up link.
    pub async fn bind(config: Config, parts: Parts) -> Result<Server, ServeError> {
        config.check()?;
        let names = config.names()?;
        let authority = match config.tls {
            Some(_) => Some(Arc::new(Authority::open(&parts.data_dir, parts.clock.now())?)),
            None => None,
        };
        let clients = || match &authority {
            Some(authority) => authority.verifier(),
            None => Ok(rustls::server::WebPkiClientVerifier::no_client_auth()),
        };
        let tls = server_config(&config, clients)?.map(TlsAcceptor::from);
        let fingerprint = fingerprint(&config)?;
        let audit = parts.ledgers.iter().find(|part| part.ledger.name() == AUDIT_LEDGER);
        let audit = Arc::clone(&audit.ok_or(ServeError::NoAuditLedger)?.ledger);
        let failed = |source| ServeError::Listen { address: config.listen, source };
        let listener = listen::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let url = names.origin.clone().unwrap_or_else(|| local_url(tls.is_some(), address));
        let setup = parts.accounts.begin_setup(&parts.data_dir, &url)?;
        let (audit, recorded) = Audit::new(audit, Arc::clone(&parts.clock));
        let trusted_proxies = config.trusted_proxies;
        let app = App::new(Setup { parts, audit, names, trusted_proxies, authority, fingerprint });
        Ok(Server { listener, address, tls, app: Arc::new(app), recorded, url, setup })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How programs on this host reach it, whatever name it has for others.
    pub fn local_url(&self) -> String {
        local_url(self.tls.is_some(), self.address)
    }

    /// How a browser reaches it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The link that makes the first user, while there is none. Never to be logged.
    pub fn setup_link(&self) -> Option<&SetupLink> {
        self.setup.as_ref()
    }

    /// Answers requests until `stop`; then ends those under way and writes what is to be recorded. The ledgers and the
    /// store are the caller's, to be dropped afterwards.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Server { listener, tls, app, recorded, .. } = self;
        let writing = tokio::spawn(audit::write(recorded));
        let upkeep = tokio::spawn(upkeep::run(Arc::clone(&app)));
        let router = routes::router(Arc::clone(&app));
        listen::serve(listener, tls, router, stop, || {
            app.stopping.send_replace(true);
        })
        .await;
        for ended in [upkeep.await] {
            if let Err(error) = ended {
                tracing::error!(%error, "the server's upkeep ended early");
            }
        }
        // The writer ends when nobody can hand it anything any more.
        drop(app);
        if tokio::time::timeout(listen::GRACE, writing).await.is_err() {
            tracing::error!("events about Attestry itself were not all written when the server stopped");
        }
    }
}

fn local_url(tls: bool, address: SocketAddr) -> String {
    format!("{}://{}", if tls { "https" } else { "http" }, reachable(address))
}

fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
