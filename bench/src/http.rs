//! An HTTP/1.1 client that is cheap enough not to matter: one connection, one buffer, no header it does not need.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

pub(crate) struct Connection {
    stream: TcpStream,
    authority: String,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(authority: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(authority).with_context(|| format!("cannot connect to {authority}"))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, authority: authority.to_owned(), buffer: Vec::with_capacity(4 << 20) })
    }

    /// Posts a body and gives the status.
    pub(crate) fn post(&mut self, path: &str, key: &str, body: &[u8]) -> Result<u16> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            self.authority,
            body.len()
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        let (status, answer) = self.answer()?;
        if status == 422 {
            bail!("refused: {}", String::from_utf8_lossy(&answer[..answer.len().min(500)]));
        }
        Ok(status)
    }

    /// Gets a path; gives status and body.
    pub(crate) fn get(&mut self, path: &str, key: &str) -> Result<(u16, &[u8])> {
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\n\r\n", self.authority);
        self.stream.write_all(head.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<(u16, &[u8])> {
        self.buffer.clear();
        let (head, status, length) = loop {
            self.fill()?;
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no status")?;
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
                break (end + 4, status, length);
            }
        };
        match length {
            Some(length) => {
                while self.buffer.len() < head + length {
                    self.fill()?;
                }
                Ok((status, &self.buffer[head..head + length]))
            }
            // Chunked: kept with its chunk lines, which is enough to count and to look into.
            None => {
                while !self.buffer.ends_with(b"0\r\n\r\n") {
                    self.fill()?;
                }
                Ok((status, &self.buffer[head..]))
            }
        }
    }

    fn fill(&mut self) -> Result<()> {
        let before = self.buffer.len();
        self.buffer.resize(before + (1 << 18), 0);
        let read = self.stream.read(&mut self.buffer[before..])?;
        self.buffer.truncate(before + read);
        if read == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
