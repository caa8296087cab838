//! A mail server with `STARTTLS` (RFC 5321, RFC 3207), which keeps what it was told, and whether that was in clear.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::authority::Issued;

/// The longest that a client may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What a client said in one connection, line by line.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// What anybody on the way could have read.
    pub in_clear: Vec<String>,
    /// What was said within TLS.
    pub sealed: Vec<String>,
    /// Whether a message was taken.
    pub taken: bool,
}

impl Said {
    /// The message: head and body as they came, dots taken away (RFC 5321, section 4.5.2).
    pub fn message(&self) -> String {
        let data = self.sealed.iter().skip_while(|line| *line != "DATA").skip(1);
        let lines = data.take_while(|line| *line != ".").map(|line| line.strip_prefix('.').unwrap_or(line));
        lines.collect::<Vec<_>>().join("\r\n")
    }
}

/// A mail server on a port of its own. Whoever it is, may log in; every message is taken.
#[derive(Debug)]
pub struct SmtpServer {
    port: u16,
    said: Arc<Mutex<Vec<Said>>>,
}

impl SmtpServer {
    /// One that offers `STARTTLS` with this certificate, or does not offer it without one. It runs until the test ends.
    #[track_caller]
    pub fn start(certificate: Option<&Issued>) -> SmtpServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let said = Arc::<Mutex<Vec<Said>>>::default();
        let (shared, tls) = (Arc::clone(&said), certificate.map(tls));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut all = lock(&shared);
                all.push(Said::default());
                let (nth, shared, tls) = (all.len() - 1, Arc::clone(&shared), tls.clone());
                std::thread::spawn(move || {
                    let note = |change: &dyn Fn(&mut Said)| change(&mut lock(&shared)[nth]);
                    // A client that breaks off is one of the things that are looked at.
                    let _ = converse(stream, tls, &note);
                });
            }
        });
        SmtpServer { port, said }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it was told by now, connection by connection.
    pub fn said(&self) -> Vec<Said> {
        lock(&self.said).clone()
    }
}

fn lock(said: &Mutex<Vec<Said>>) -> std::sync::MutexGuard<'_, Vec<Said>> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

#[track_caller]
fn tls(certificate: &Issued) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&certificate.cert).expect("the certificate is PEM");
    let chain = chain.collect::<Result<_, _>>().expect("the certificate is PEM");
    let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("the key is PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has these versions")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("the key fits the certificate"))
}

type Note<'a> = &'a dyn Fn(&dyn Fn(&mut Said));

fn converse(stream: TcpStream, tls: Option<Arc<ServerConfig>>, note: Note<'_>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut clear = BufReader::new(stream);
    clear.get_mut().write_all(b"220 mail.test ESMTP\r\n")?;
    let in_clear = |line: &str| note(&|said| said.in_clear.push(line.to_owned()));
    let wants_tls = session(&mut clear, tls.is_some(), &in_clear, note)?;
    let Some(tls) = tls.filter(|_| wants_tls) else { return Ok(()) };
    let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut sealed = BufReader::new(StreamOwned::new(connection, clear.into_inner()));
    session(&mut sealed, false, &|line| note(&|said| said.sealed.push(line.to_owned())), note)?;
    Ok(())
}

/// Answers until the client leaves, or wants TLS, which is true.
fn session<S: Read + Write>(
    stream: &mut BufReader<S>,
    offers: bool,
    keep: &dyn Fn(&str),
    note: Note<'_>,
) -> std::io::Result<bool> {
    let mut in_data = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        let line = line.trim_end_matches(['\r', '\n']);
        keep(line);
        let reply = match line {
            "." if in_data => {
                in_data = false;
                note(&|said| said.taken = true);
                "250 taken"
            }
            _ if in_data => continue,
            "DATA" => {
                in_data = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            "STARTTLS" if offers => "220 go ahead",
            _ if line.starts_with("EHLO") && offers => "250-mail.test\r\n250 STARTTLS",
            _ if line.starts_with("EHLO") => "250-mail.test\r\n250 AUTH PLAIN",
            _ if line.starts_with("AUTH") => "235 welcome",
            _ => "250 ok",
        };
        stream.get_mut().write_all(format!("{reply}\r\n").as_bytes())?;
        stream.get_mut().flush()?;
        match line {
            "QUIT" => return Ok(false),
            "STARTTLS" if offers => return Ok(true),
            _ => {}
        }
    }
}
