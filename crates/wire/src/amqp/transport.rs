//! The connection under AMQP.
//!
//! The client is given a TLS configuration of ours, so that certificates and names are as everywhere else. (Beware: built without
//! one of its features that name a store of certificates, which are not needed for this, the client leaves TLS out in silence.)

use std::io;

use lapin::runtime::default_runtime;
use lapin::tcp::{AMQPUriTcpExt, RustlsConnector};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use super::{ANSWER_MAX, Broker};
use crate::broker::{Address, CONNECT_MAX};
use crate::queue::Failed;

/// Connects and logs in. Secrets and certificates are read anew.
pub(super) async fn connect(broker: &Broker) -> Result<Connection, Failed> {
    let address = broker.address().map_err(Failed)?;
    let to = address.to.clone();
    log_in(address, broker).await.map_err(|failed| failed.at(&to))
}

async fn log_in(address: Address, broker: &Broker) -> Result<Connection, Failed> {
    let tls = broker.tls.clone().unwrap_or_default();
    let connector = match address.encrypted {
        true => Some(RustlsConnector::from(tls.client()?)),
        false => None,
    };
    let name = tls.server_name.unwrap_or_else(|| address.to.host.clone());
    let uri = AMQPUri {
        // With the other scheme the client would begin TLS by itself.
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: broker.user.clone(), password: broker.password.read()? },
            host: address.to.host,
            port: address.to.port,
        },
        vhost: broker.vhost.clone(),
        query: AMQPQueryString { heartbeat: Some(broker.heartbeat_seconds), ..AMQPQueryString::default() },
    };
    let open = async move |uri: AMQPUri, runtime| {
        let opened = timeout(CONNECT_MAX, async {
            let stream = uri.connect_async(&runtime).await?;
            match &connector {
                Some(connector) => stream.into_rustls(connector, &name).await,
                None => Ok(stream),
            }
        });
        Ok(opened.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??)
    };
    let properties = ConnectionProperties::default().with_connection_name("attestry".into());
    match timeout(ANSWER_MAX, Connection::connector(uri, default_runtime()?, open, properties)).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(Failed("the broker does not answer".to_owned())),
    }
}
