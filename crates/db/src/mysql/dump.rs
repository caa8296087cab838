//! The connection that a server sends its binary log over, as to a replica.
//!
//! Spoken here rather than by a library because MariaDB leaves out what a statement was (its ANNOTATE_ROWS events, and with them the application's
//! comment) unless the command that asks for the log has a flag that `mysql_async` does not set. The protocol: MySQL's "Client/Server Protocol"
//! (connection phase, COM_QUERY, COM_REGISTER_SLAVE, COM_BINLOG_DUMP); MariaDB's knowledge base, "Replication Protocol".

use std::time::Duration;

use attestry_wire::sql::{MysqlLogin, OpenedLogin};
use mysql_common::scramble::{scramble_native, scramble_sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::bytes::Bytes;
use super::session::said;
use crate::database::DbError;

/// A server sends one event with a row that is at most as long as its largest `max_allowed_packet`, before and after.
const EVENT_BYTES: usize = (2 << 30) + (1 << 20);

/// How long the server may be silent at the end of its log before it says so.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);

/// A server that has said nothing for so long is away.
const SILENCE: Duration = Duration::from_secs(30);

/// LONG_PASSWORD, LONG_FLAG, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH.
const CAPABILITIES: u32 = 0x0008_a205;
const SSL: u32 = 0x0800;
/// `utf8mb4_general_ci`.
const CHARSET: u8 = 45;
/// The longest part of a packet.
const PART: usize = 0x00ff_ffff;

trait Connection: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Connection for T {}

/// A connection that is, or will be, sent a log.
pub(super) struct Dump {
    stream: BufReader<Box<dyn Connection>>,
    sequence: u8,
    packet: Vec<u8>,
    /// How much of the next packet was read before somebody stopped waiting for it.
    partial: Partial,
    place: String,
}

#[derive(Default)]
struct Partial {
    header: [u8; 4],
    header_read: usize,
    /// Where the part that is being read ends in the packet.
    part_end: usize,
    in_part: bool,
}

impl Dump {
    /// Connects and logs in.
    pub(super) async fn connect(login: &MysqlLogin) -> Result<Dump, DbError> {
        let opened = login.opened().map_err(|error| DbError::Refused(error.to_string()))?;
        let limit = opened.timeout;
        let connected = tokio::time::timeout(limit, Dump::log_in(&opened, login.place())).await;
        connected.map_err(|_| DbError::Again(format!("{}: the server does not answer", login.place())))?
    }

    async fn log_in(login: &OpenedLogin, place: String) -> Result<Dump, DbError> {
        let away = |error: std::io::Error| DbError::Again(format!("{place}: {error}"));
        let tcp = TcpStream::connect((login.host.as_str(), login.port)).await.map_err(away)?;
        tcp.set_nodelay(true).map_err(away)?;
        let mut dump = Dump {
            stream: BufReader::with_capacity(256 << 10, Box::new(tcp)),
            sequence: 0,
            packet: Vec::new(),
            partial: Partial::default(),
            place: place.clone(),
        };
        let mut greeting = Bytes::new(dump.read().await?);
        let hello = Greeting::read(&mut greeting)
            .ok_or_else(|| DbError::Again(format!("{place}: this is no greeting of a MySQL")))?;
        let mut capabilities = CAPABILITIES;
        if let Some((config, name)) = &login.tls {
            if hello.capabilities & SSL == 0 {
                return Err(DbError::Refused(format!("{place}: the server does not speak TLS")));
            }
            capabilities |= SSL;
            dump.write(&response_head(capabilities)).await?;
            let name = ServerName::try_from(name.clone())
                .map_err(|error| DbError::Refused(format!("{place}: {error}")))?;
            let connector = TlsConnector::from(std::sync::Arc::clone(config));
            let tls = connector.connect(name, dump.stream.into_inner()).await.map_err(away)?;
            dump.stream = BufReader::with_capacity(256 << 10, Box::new(tls));
        }
        let mut response = response_head(capabilities);
        response.extend_from_slice(login.user.as_bytes());
        response.push(0);
        let (plugin, nonce) = (hello.plugin, hello.nonce);
        let proof = proof(&plugin, &login.password, &nonce).unwrap_or_default();
        response.push(u8::try_from(proof.len()).unwrap_or(0));
        response.extend_from_slice(&proof);
        response.extend_from_slice(plugin.as_bytes());
        response.push(0);
        dump.write(&response).await?;
        dump.prove(login, nonce).await?;
        Ok(dump)
    }

    /// Answers what the server asks for until it lets us in.
    async fn prove(&mut self, login: &OpenedLogin, mut nonce: Vec<u8>) -> Result<(), DbError> {
        loop {
            let place = self.place.clone();
            let packet = self.read().await?;
            match packet {
                [0, ..] => return Ok(()),
                [0xff, ..] => return Err(refusal(packet, &place)),
                [0xfe, rest @ ..] => {
                    let mut rest = Bytes::new(rest);
                    let plugin = rest.until_zero().map(|name| String::from_utf8_lossy(name).into_owned());
                    let plugin = plugin.unwrap_or_default();
                    nonce = rest.rest().to_vec();
                    nonce.truncate(20);
                    let proof = proof(&plugin, &login.password, &nonce).ok_or_else(|| {
                        DbError::Refused(format!(
                            "{place}: the account proves who it is by {plugin:?}, which is not known here; \
                             mysql_native_password and caching_sha2_password are"
                        ))
                    })?;
                    self.write(&proof).await?;
                }
                // caching_sha2_password knows it from before: OK follows.
                [1, 3] => {}
                // It wants the password itself.
                [1, 4] => {
                    let mut password = login.password.clone().into_bytes();
                    password.push(0);
                    if login.tls.is_some() {
                        self.write(&password).await?;
                    } else {
                        self.write(&[2]).await?;
                        let key = self.read().await?.get(1..).unwrap_or_default().to_vec();
                        for (byte, mask) in password.iter_mut().zip(nonce.iter().cycle()) {
                            *byte ^= mask;
                        }
                        // The library panics over what is no key.
                        let pem = std::str::from_utf8(&key).is_ok_and(|key| key.contains("BEGIN PUBLIC KEY"));
                        if !pem {
                            return Err(DbError::Again(format!("{place}: the server has no key")));
                        }
                        self.write(&mysql_common::crypto::encrypt(&password, &key)).await?;
                    }
                }
                _ => return Err(DbError::Again(format!("{place}: the login is not understood"))),
            }
        }
    }

    /// Runs a statement that gives no rows.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), DbError> {
        self.command(3, sql.as_bytes()).await?;
        self.accepted().await
    }

    /// Asks for the log from a place on. What follows are events.
    pub(super) async fn ask(&mut self, server_id: u32, file: &str, at: u32) -> Result<(), DbError> {
        // COM_REGISTER_SLAVE: no host, user and password, port 0, rank 0, master 0.
        let mut register = server_id.to_le_bytes().to_vec();
        register.extend_from_slice(&[0; 3 + 2 + 4 + 4]);
        self.command(0x15, &register).await?;
        self.accepted().await.map_err(|error| match error {
            DbError::Refused(reason) => DbError::Refused(format!(
                "{reason}; to follow the log, an account needs GRANT REPLICATION SLAVE ON *.*"
            )),
            other => other,
        })?;
        /// `BINLOG_SEND_ANNOTATE_ROWS_EVENT`; a MySQL does not look at it.
        const ANNOTATE: u16 = 2;
        let mut ask = at.to_le_bytes().to_vec();
        ask.extend_from_slice(&ANNOTATE.to_le_bytes());
        ask.extend_from_slice(&server_id.to_le_bytes());
        ask.extend_from_slice(file.as_bytes());
        self.command(0x12, &ask).await
    }

    /// The next event. Nothing is lost when somebody stops waiting for it.
    pub(super) async fn event(&mut self) -> Result<&[u8], DbError> {
        let place = self.place.clone();
        let packet = tokio::time::timeout(SILENCE, self.read()).await.map_err(|_| {
            DbError::Again(format!("{place}: the server has been silent for {} s", SILENCE.as_secs()))
        })??;
        match packet {
            [0, event @ ..] => Ok(event),
            [0xff, ..] => Err(refusal(packet, &place)),
            _ => Err(DbError::Again(format!("{place}: the server ended the log's stream"))),
        }
    }

    async fn accepted(&mut self) -> Result<(), DbError> {
        let place = self.place.clone();
        match self.read().await? {
            [0, ..] => Ok(()),
            packet @ [0xff, ..] => Err(refusal(packet, &place)),
            _ => Err(DbError::Again(format!("{place}: the answer is not understood"))),
        }
    }

    async fn command(&mut self, command: u8, argument: &[u8]) -> Result<(), DbError> {
        self.sequence = 0;
        let mut packet = vec![command];
        packet.extend_from_slice(argument);
        self.write(&packet).await
    }

    /// Writes a packet, shorter than what would have to be cut.
    async fn write(&mut self, payload: &[u8]) -> Result<(), DbError> {
        let [a, b, c, _] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut packet = vec![a, b, c, self.sequence];
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        let away = |error: std::io::Error| DbError::Again(format!("{}: {error}", self.place));
        self.stream.get_mut().write_all(&packet).await.map_err(away)?;
        self.stream.get_mut().flush().await.map_err(away)
    }

    /// Reads a packet, put together of its parts. Can be given up and begun again: what was read stays.
    async fn read(&mut self) -> Result<&[u8], DbError> {
        let place = &self.place;
        let away = |error: std::io::Error| DbError::Again(format!("{place}: {error}"));
        let ended = || DbError::Again(format!("{place}: the server closed the connection"));
        let partial = &mut self.partial;
        if partial.header_read == 0 && !partial.in_part && partial.part_end == 0 {
            self.packet.clear();
        }
        loop {
            while partial.header_read < 4 {
                let rest = partial.header.get_mut(partial.header_read..).unwrap_or_default();
                match self.stream.read(rest).await.map_err(away)? {
                    0 => return Err(ended()),
                    read => partial.header_read += read,
                }
            }
            let [a, b, c, sequence] = partial.header;
            let length = u32::from_le_bytes([a, b, c, 0]) as usize;
            if !partial.in_part {
                partial.in_part = true;
                partial.part_end = self.packet.len() + length;
                self.sequence = sequence.wrapping_add(1);
                if partial.part_end > EVENT_BYTES {
                    return Err(DbError::Refused(format!(
                        "{place}: an event of more than {EVENT_BYTES} bytes"
                    )));
                }
            }
            while self.packet.len() < partial.part_end {
                let left = partial.part_end - self.packet.len();
                let mut part = (&mut self.stream).take(left as u64);
                if part.read_buf(&mut self.packet).await.map_err(away)? == 0 {
                    return Err(ended());
                }
            }
            partial.in_part = false;
            partial.header_read = 0;
            if length < PART {
                partial.part_end = 0;
                return Ok(&self.packet);
            }
        }
    }
}

/// What a server says first.
struct Greeting {
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: String,
}

impl Greeting {
    fn read(packet: &mut Bytes<'_>) -> Option<Greeting> {
        if packet.u8()? != 10 {
            return None;
        }
        packet.until_zero()?;
        packet.take(4)?;
        let mut nonce = packet.take(8)?.to_vec();
        packet.take(1)?;
        let low = packet.u16()?;
        packet.take(3)?;
        let high = packet.u16()?;
        let nonce_length = packet.u8()?;
        packet.take(10)?;
        let more = packet.take(usize::from(nonce_length).saturating_sub(8).max(13))?;
        nonce.extend_from_slice(more);
        nonce.truncate(20);
        let plugin = packet.until_zero().unwrap_or_else(|| packet.rest());
        let plugin = String::from_utf8_lossy(plugin).into_owned();
        Some(Greeting { capabilities: u32::from(high) << 16 | u32::from(low), nonce, plugin })
    }
}

fn response_head(capabilities: u32) -> Vec<u8> {
    let mut head = capabilities.to_le_bytes().to_vec();
    head.extend_from_slice(&(1_u32 << 30).to_le_bytes());
    head.push(CHARSET);
    head.extend_from_slice(&[0; 23]);
    head
}

/// What shows that the password is known.
fn proof(plugin: &str, password: &str, nonce: &[u8]) -> Option<Vec<u8>> {
    match plugin {
        _ if password.is_empty() => Some(Vec::new()),
        "mysql_native_password" => scramble_native(nonce, password.as_bytes()).map(|proof| proof.to_vec()),
        "caching_sha2_password" => scramble_sha256(nonce, password.as_bytes()).map(|proof| proof.to_vec()),
        _ => None,
    }
}

/// What an error packet means for a stream.
fn refusal(packet: &[u8], place: &str) -> DbError {
    let mut packet = Bytes::new(packet.get(1..).unwrap_or_default());
    let code = packet.u16().unwrap_or(0);
    let rest = String::from_utf8_lossy(packet.rest()).into_owned();
    let (state, message) = match rest.strip_prefix('#') {
        Some(rest) => rest.split_at_checked(5).unwrap_or(("", rest)),
        None => ("", rest.as_str()),
    };
    /// ER_MASTER_FATAL_ERROR_READING_BINLOG: whatever the dump thread has to say.
    const FATAL: u16 = 1236;
    if code == FATAL {
        if message.contains("same server") {
            return DbError::Refused(format!(
                "{place}: another replica has the same number; give this one another by `server_id` ({message})"
            ));
        }
        if message.contains("max_allowed_packet") || message.contains("checksum") {
            return DbError::Refused(format!("{place}: {message} (1236)"));
        }
        return DbError::Lost(format!(
            "{place}: the server's log does not go back to where it was read up to ({message}). Keep logs longer \
             (binlog_expire_logs_seconds) than Attestry may be away"
        ));
    }
    match said(code, state, message) {
        DbError::Refused(reason) => DbError::Refused(format!("{place}: {reason}")),
        DbError::Lost(reason) => DbError::Lost(format!("{place}: {reason}")),
        DbError::Again(reason) => DbError::Again(format!("{place}: {reason}")),
    }
}
