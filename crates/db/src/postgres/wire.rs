//! A connection whose messages are read here and not by the library, which knows no replication.
//!
//! The messages are those of "Frontend/Backend Protocol" in PostgreSQL's manual, version 3.0. What builds and reads the usual ones, and proves the
//! password (SCRAM-SHA-256, MD5), is `postgres-protocol`, as in the library.

use std::io;
use std::time::Duration;

use attestry_wire::sql::{OpenedPostgres, PostgresHost, PostgresLogin};
use bytes::{Buf as _, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{ErrorField, ErrorResponseBody, Header, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::fallible_iterator::FallibleIterator as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::session::meaning_of;
use crate::database::DbError;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// The longest message, in bytes: PostgreSQL's own allocations end at 1 GiB.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// And before we are let in: whoever answers may be anybody.
const GREETING_BYTES_MAX: usize = 64 << 10;

/// Anything that bytes go through.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub(super) type Socket = Box<dyn Duplex>;

/// Messages that come.
pub(super) struct Incoming<R> {
    from: R,
    buffer: BytesMut,
    place: String,
    /// The longest message that is taken, in bytes.
    most: usize,
}

/// A message that came.
pub(super) enum Frame {
    /// One that the library knows.
    Known(Message),
    /// The beginning of copying both ways, which it does not.
    CopyBoth,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// The next message.
    ///
    /// # Errors
    /// When the connection is gone, or what comes is no message. What the server says of an error is a message.
    pub(super) async fn next(&mut self) -> Result<Frame, DbError> {
        loop {
            if let Some(frame) = self.whole()? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_BYTES);
            match self.from.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(self.away("the server ended the connection")),
                Ok(_) => {}
                Err(error) => return Err(self.away(&error.to_string())),
            }
        }
    }

    /// The next message, if all of it was read.
    pub(super) fn whole(&mut self) -> Result<Option<Frame>, DbError> {
        let header = Header::parse(&self.buffer).map_err(|error| self.strange(&error))?;
        let Some(header) = header else { return Ok(None) };
        let length = usize::try_from(header.len()).unwrap_or(0);
        if length > self.most {
            return Err(self.away("a message that is longer than any"));
        }
        if header.tag() == b'W' {
            if self.buffer.len() <= length {
                return Ok(None);
            }
            self.buffer.advance(length + 1);
            return Ok(Some(Frame::CopyBoth));
        }
        Ok(Message::parse(&mut self.buffer).map_err(|error| self.strange(&error))?.map(Frame::Known))
    }

    fn away(&self, why: &str) -> DbError {
        DbError::Again(format!("{}: {why}", self.place))
    }

    fn strange(&self, error: &io::Error) -> DbError {
        self.away(&format!("this is no message of a PostgreSQL: {error}"))
    }

    /// What the server's error means.
    pub(super) fn refused(&self, body: &ErrorResponseBody) -> Said {
        let said = Said::read(body);
        Said { error: meaning_of(&self.place, &said.code, &said.text), ..said }
    }
}

/// What the server said, and what that means.
pub(super) struct Said {
    /// The SQLSTATE.
    pub(super) code: String,
    text: String,
    pub(super) error: DbError,
}

impl Said {
    /// Whether that is about replicating, and statements may work all the same: no right to it, no process left for it, something between us and
    /// the server that knows nothing of it.
    pub(super) fn is_about_replication(&self) -> bool {
        ["28000", "28P01", "42501", "53300", "08P01", "0A000"].contains(&self.code.as_str())
    }

    fn read(body: &ErrorResponseBody) -> Said {
        let (mut code, mut text) = (String::new(), String::new());
        let mut fields = body.fields();
        let word = |field: &ErrorField<'_>| String::from_utf8_lossy(field.value_bytes()).into_owned();
        while let Ok(Some(field)) = fields.next() {
            match field.type_() {
                b'C' => code = word(&field),
                b'M' => text = word(&field),
                _ => {}
            }
        }
        Said { code, text, error: DbError::Again(String::new()) }
    }
}

impl From<DbError> for Said {
    fn from(error: DbError) -> Said {
        Said { code: String::new(), text: String::new(), error }
    }
}

/// Connects and logs in. `parameters` are further ones of the session. Gives the connection and the number of the server's process.
pub(super) async fn connect(
    login: &PostgresLogin,
    parameters: &[(&str, &str)],
) -> Result<(Incoming<Socket>, i32), Said> {
    let place = login.place();
    let opened = login.opened().map_err(|error| DbError::Refused(error.to_string()))?;
    let mut last = DbError::Again(format!("{place}: nowhere to connect to"));
    for host in &opened.hosts {
        match in_time(opened.timeout, reach(host, &opened)).await {
            Ok(socket) => {
                let log_in = log_in(socket, &opened, parameters, place.clone());
                return match tokio::time::timeout(opened.timeout, log_in).await {
                    Ok(done) => done,
                    Err(_) => Err(DbError::Again(format!("{place}: the server does not answer")).into()),
                };
            }
            Err(error) => last = DbError::Again(format!("{place}: {error}")),
        }
    }
    Err(last.into())
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn reach(host: &PostgresHost, login: &OpenedPostgres) -> io::Result<Socket> {
    let (address, name, port) = match host {
        PostgresHost::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
        PostgresHost::Tcp { address, name, port } => (address, name, port),
    };
    let mut tcp = TcpStream::connect((address.as_str(), *port)).await?;
    tcp.set_nodelay(true)?;
    let Some((config, other)) = &login.tls else { return Ok(Box::new(tcp)) };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await?;
    // Read alone: what came behind it before the handshake would be believed otherwise.
    if tcp.read_u8().await? != b'S' {
        return Err(io::Error::other("the server does not speak TLS"));
    }
    let name = other.as_deref().unwrap_or(name).trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(std::sync::Arc::clone(config)).connect(name, tcp).await?))
}

async fn log_in(
    socket: Socket,
    login: &OpenedPostgres,
    parameters: &[(&str, &str)],
    place: String,
) -> Result<(Incoming<Socket>, i32), Said> {
    let mut incoming = Incoming { from: socket, buffer: BytesMut::new(), place, most: GREETING_BYTES_MAX };
    let mut out = BytesMut::new();
    let own = [
        ("client_encoding", "UTF8"),
        ("user", login.user.as_str()),
        ("database", login.database.as_str()),
        ("application_name", "attestry"),
    ];
    written(frontend::startup_message(own.into_iter().chain(parameters.iter().copied()), &mut out))?;
    let (mut scram, mut proved, mut process) = (None, false, 0);
    loop {
        incoming.send(&mut out).await?;
        let Frame::Known(message) = incoming.next().await? else { return Err(incoming.unknown()) };
        let password = || {
            let refused = || DbError::Refused("the server wants a password, and there is none".to_owned());
            login.password.as_deref().ok_or_else(refused)
        };
        match message {
            // A server that knows the password's proof proves itself, too.
            Message::AuthenticationOk if scram.is_some() && !proved => return Err(incoming.unknown()),
            Message::AuthenticationOk | Message::ParameterStatus(_) | Message::NoticeResponse(_) => {}
            Message::AuthenticationCleartextPassword => {
                written(frontend::password_message(password()?.as_bytes(), &mut out))?;
            }
            Message::AuthenticationMd5Password(body) => {
                let proof = md5_hash(login.user.as_bytes(), password()?.as_bytes(), body.salt());
                written(frontend::password_message(proof.as_bytes(), &mut out))?;
            }
            Message::AuthenticationSasl(_) => {
                let begun = ScramSha256::new(password()?.as_bytes(), ChannelBinding::unsupported());
                written(frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), &mut out))?;
                scram = Some(begun);
            }
            Message::AuthenticationSaslContinue(body) => {
                let scram = scram.as_mut().ok_or_else(|| incoming.unknown())?;
                scram.update(body.data()).map_err(|error| incoming.strange(&error))?;
                written(frontend::sasl_response(scram.message(), &mut out))?;
            }
            Message::AuthenticationSaslFinal(body) => {
                let scram = scram.as_mut().ok_or_else(|| incoming.unknown())?;
                scram.finish(body.data()).map_err(|error| incoming.strange(&error))?;
                proved = true;
            }
            Message::BackendKeyData(body) => process = body.process_id(),
            Message::ErrorResponse(body) => return Err(incoming.refused(&body)),
            Message::ReadyForQuery(_) => {
                incoming.most = MESSAGE_BYTES_MAX;
                return Ok((incoming, process));
            }
            _ => return Err(incoming.unknown()),
        }
    }
}

fn written(done: io::Result<()>) -> Result<(), DbError> {
    done.map_err(|error| DbError::Refused(error.to_string()))
}

impl Incoming<Socket> {
    /// Sends what there is, and empties it.
    pub(super) async fn send(&mut self, out: &mut BytesMut) -> Result<(), DbError> {
        if !out.is_empty() {
            let sent = async {
                self.from.write_all(out).await?;
                self.from.flush().await
            };
            sent.await.map_err(|error| self.away(&error.to_string()))?;
            out.clear();
        }
        Ok(())
    }

    /// Parts reading from writing.
    pub(super) fn split(self) -> (Incoming<tokio::io::ReadHalf<Socket>>, tokio::io::WriteHalf<Socket>) {
        let (read, write) = tokio::io::split(self.from);
        (Incoming { from: read, buffer: self.buffer, place: self.place, most: self.most }, write)
    }
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// That a message came which has no place here.
    pub(super) fn unknown(&self) -> Said {
        self.away("the server sent a message that is not expected here").into()
    }
}
