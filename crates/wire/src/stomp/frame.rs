//! Frames of STOMP 1.2: read from and written to bytes.
//!
//! A frame is a command, header lines `name:value`, an empty line, a body, and a zero byte. In the headers of all frames but `CONNECT` and
//! `CONNECTED`, `\r`, `\n`, `\c` and `\\` stand for a carriage return, a line feed, a colon and a backslash. The body is as long as
//! `content-length` says, or ends before the first zero byte. Between frames a line feed is a sign of life.
//!
//! Source: <https://stomp.github.io/stomp-specification-1.2.html>

/// The longest command and headers of a frame, in bytes: brokers allow 8 KiB and less.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// What it is: `SEND`, `MESSAGE`, `RECEIPT` ...
    pub command: String,
    /// Names and values in order; of a name that stands twice, the first counts.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

/// What comes next in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A line break between frames: the far side is alive.
    SignOfLife,
    /// A whole frame.
    Frame(Frame),
}

/// The bytes are no STOMP: nothing behind them can be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Command and headers do not end.
    #[error("the head of a frame has more than {HEAD_BYTES_MAX} bytes")]
    Head,
    /// More than is taken.
    #[error("a frame has more than {0} bytes")]
    TooLarge(usize),
    /// A zero byte before the empty line.
    #[error("a frame ends within its head")]
    Cut,
    /// No word.
    #[error("a frame has the command {0:?}, expected a word")]
    Command(String),
    /// Not UTF-8.
    #[error("the head of a frame is not UTF-8")]
    Text,
    /// A line of the head is wrong.
    #[error("a frame's head has the line {0:?}, expected name:value")]
    Header(String),
    /// A backslash and what follows.
    #[error("a frame's head has {0:?}, expected \\r, \\n, \\c or \\\\")]
    Escape(String),
    /// The content-length is none.
    #[error("a frame has the content-length {0:?}, expected a number")]
    Length(String),
    /// The body does not end where it should.
    #[error("the body of a frame does not end with a zero byte")]
    End,
}

impl Frame {
    /// A frame without headers and body.
    pub fn new(command: &str) -> Frame {
        Frame { command: command.to_owned(), ..Frame::default() }
    }

    /// With one more header.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Frame {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Appends the frame's bytes, with a `content-length` if there is a body.
    pub fn write(&self, out: &mut Vec<u8>) {
        let escaped = escapes(&self.command);
        let length = self.body.len().to_string();
        let own = (!self.body.is_empty()).then_some(("content-length", length.as_str()));
        let given = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        out.extend_from_slice(self.command.as_bytes());
        out.push(b'\n');
        for (name, value) in own.into_iter().chain(given.filter(|(name, _)| *name != "content-length")) {
            write_text(name, escaped, out);
            out.push(b':');
            write_text(value, escaped, out);
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(&self.body);
        out.push(0);
    }
}

fn write_text(text: &str, escaped: bool, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\r' if escaped => out.extend_from_slice(b"\\r"),
            b'\n' if escaped => out.extend_from_slice(b"\\n"),
            b':' if escaped => out.extend_from_slice(b"\\c"),
            b'\\' if escaped => out.extend_from_slice(b"\\\\"),
            // They would end the line or the frame, and there is no way to write them.
            b'\r' | b'\n' | 0 => out.push(b' '),
            byte => out.push(byte),
        }
    }
}

/// The frames of the handshake are as in STOMP 1.0, which knew no escapes.
fn escapes(command: &str) -> bool {
    !matches!(command, "CONNECT" | "CONNECTED")
}

/// Reads what stands at the beginning of `bytes`, and how many bytes that were; none when it is not all there yet.
///
/// # Errors
/// When the bytes are no frame, or one of more than `max` bytes.
pub fn parse(bytes: &[u8], max: usize) -> Result<Option<(Next, usize)>, FrameError> {
    match bytes {
        [] => return Ok(None),
        [b'\n', ..] => return Ok(Some((Next::SignOfLife, 1))),
        [b'\r', b'\n', ..] => return Ok(Some((Next::SignOfLife, 2))),
        _ => {}
    }
    let Some((head, body_start)) = head(bytes)? else { return Ok(None) };
    let head = std::str::from_utf8(head).map_err(|_| FrameError::Text)?;
    let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let command = lines.next().unwrap_or_default().to_owned();
    if command.is_empty() || !command.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(FrameError::Command(command));
    }
    let escaped = escapes(&command);
    let mut frame = Frame { command, ..Frame::default() };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| FrameError::Header(line.to_owned()))?;
        let read = |text: &str| if escaped { unescape(text) } else { Ok(text.to_owned()) };
        frame.headers.push((read(name)?, read(value)?));
    }
    let rest = bytes.get(body_start..).unwrap_or_default();
    let length = match frame.header("content-length") {
        Some(text) => {
            let length: usize = text.parse().map_err(|_| FrameError::Length(text.to_owned()))?;
            if body_start.saturating_add(length) >= max {
                return Err(FrameError::TooLarge(max));
            }
            Some(length)
        }
        None => rest.iter().position(|byte| *byte == 0),
    };
    let Some(length) = length.filter(|length| rest.len() > *length) else {
        return if bytes.len() >= max { Err(FrameError::TooLarge(max)) } else { Ok(None) };
    };
    if rest.get(length) != Some(&0) {
        return Err(FrameError::End);
    }
    let used = body_start + length + 1;
    if used > max {
        return Err(FrameError::TooLarge(max));
    }
    frame.body = rest.get(..length).unwrap_or_default().to_vec();
    Ok(Some((Next::Frame(frame), used)))
}

/// Command and headers without the line break of the last, and where the body begins.
fn head(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, FrameError> {
    let search = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
    let mut line_start = 0;
    for (at, byte) in search.iter().enumerate() {
        match byte {
            b'\n' => {}
            0 => return Err(FrameError::Cut),
            _ => continue,
        }
        let line = search.get(line_start..at).unwrap_or_default();
        if line_start > 0 && (line.is_empty() || line == b"\r") {
            return Ok(Some((search.get(..line_start - 1).unwrap_or_default(), at + 1)));
        }
        line_start = at + 1;
    }
    if bytes.len() >= HEAD_BYTES_MAX { Err(FrameError::Head) } else { Ok(None) }
}

fn unescape(text: &str) -> Result<String, FrameError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next() {
            Some('r') => '\r',
            Some('n') => '\n',
            Some('c') => ':',
            Some('\\') => '\\',
            other => {
                return Err(FrameError::Escape(format!("\\{}", other.map(String::from).unwrap_or_default())));
            }
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1 << 20;

    fn frame(command: &str, headers: &[(&str, &str)], body: &[u8]) -> Frame {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Frame { command: command.to_owned(), headers, body: body.to_vec() }
    }

    #[test]
    fn frames_are_read() {
        // Of the specification's own examples, and what ActiveMQ sends.
        for (bytes, expected) in [
            ("CONNECTED\nversion:1.2\n\n\0", frame("CONNECTED", &[("version", "1.2")], b"")),
            ("CONNECTED\r\nversion:1.2\r\n\r\n\0", frame("CONNECTED", &[("version", "1.2")], b"")),
            ("CONNECTED\nsession:a\\b:c\n\n\0", frame("CONNECTED", &[("session", "a\\b:c")], b"")),
            (
                "MESSAGE\nsubscription:0\nmessage-id:007\ndestination:/queue/a\ncontent-type:text/plain\n\nhello queue a\0",
                frame(
                    "MESSAGE",
                    &[
                        ("subscription", "0"),
                        ("message-id", "007"),
                        ("destination", "/queue/a"),
                        ("content-type", "text/plain"),
                    ],
                    b"hello queue a",
                ),
            ),
            (
                "MESSAGE\nack:ID\\ctux-1\\cc\ncontent-length:3\n\na\0b\0",
                frame("MESSAGE", &[("ack", "ID:tux-1:c"), ("content-length", "3")], b"a\0b"),
            ),
            ("ERROR\nmessage:a\\nb\\rc\\\\d\n\n\0", frame("ERROR", &[("message", "a\nb\rc\\d")], b"")),
            ("RECEIPT\nreceipt-id:\n\n\0", frame("RECEIPT", &[("receipt-id", "")], b"")),
            ("RECEIPT\n\n\0", frame("RECEIPT", &[], b"")),
        ] {
            assert_eq!(
                parse(bytes.as_bytes(), MAX),
                Ok(Some((Next::Frame(expected), bytes.len()))),
                "{bytes:?}"
            );
            // Whatever is missing at the end is waited for, and what follows is left.
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes.as_bytes()[..end], MAX), Ok(None), "{:?}", &bytes[..end]);
            }
            let more = format!("{bytes}\nSEND");
            assert_eq!(parse(more.as_bytes(), MAX).unwrap().unwrap().1, bytes.len());
        }
        assert_eq!(parse(b"\nRECEIPT", MAX), Ok(Some((Next::SignOfLife, 1))));
        assert_eq!(parse(b"\r\n", MAX), Ok(Some((Next::SignOfLife, 2))));
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for (bytes, expected) in [
            ("MESSAGE\nno colon\n\n\0".to_owned(), FrameError::Header("no colon".to_owned())),
            ("MESSAGE\na:\\t\n\n\0".to_owned(), FrameError::Escape("\\t".to_owned())),
            ("MESSAGE\na:\\\n\n\0".to_owned(), FrameError::Escape("\\".to_owned())),
            ("MESSAGE\ncontent-length:-1\n\n\0".to_owned(), FrameError::Length("-1".to_owned())),
            ("MESSAGE\ncontent-length:2\n\nabc\0".to_owned(), FrameError::End),
            ("MESSAGE\ncontent-length:18446744073709551615\n\n".to_owned(), FrameError::TooLarge(100)),
            (format!("MESSAGE\n\n{}", "x".repeat(100)), FrameError::TooLarge(100)),
            (format!("MESSAGE\n\n{}\0", "x".repeat(100)), FrameError::TooLarge(100)),
            ("MESSAGE\nabc\0".to_owned(), FrameError::Cut),
            ("A B\n\n\0".to_owned(), FrameError::Command("A B".to_owned())),
            ("\r\r\n\n\0".to_owned(), FrameError::Command("\r".to_owned())),
            ("x".repeat(HEAD_BYTES_MAX), FrameError::Head),
        ] {
            assert_eq!(parse(bytes.as_bytes(), 100), Err(expected), "{bytes:?}");
        }
        assert_eq!(parse(b"MESSAGE\na:\xff\n\n\0", MAX), Err(FrameError::Text));
    }

    #[test]
    fn a_handshake_cannot_be_broken_out_of() {
        let mut out = Vec::new();
        frame("CONNECT", &[("passcode", "a\n\nSEND\0")], b"").write(&mut out);
        let (next, used) = parse(&out, MAX).unwrap().unwrap();
        assert_eq!(next, Next::Frame(frame("CONNECT", &[("passcode", "a  SEND ")], b"")));
        assert_eq!(used, out.len());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            headers in proptest::collection::vec(("[a-z:\\\\\n\r]{1,8}", "[^\0]{0,20}"), 0..5),
            body in proptest::collection::vec(any::<u8>(), 0..200),
            cut in any::<proptest::sample::Index>(),
        ) {
            let frame = Frame { command: "SEND".to_owned(), headers, body };
            let mut out = Vec::new();
            frame.write(&mut out);
            let (next, used) = parse(&out, MAX).unwrap().unwrap();
            let Next::Frame(mut read) = next else { panic!("{next:?}") };
            read.headers.retain(|(name, _)| name != "content-length");
            prop_assert_eq!(used, out.len());
            prop_assert_eq!(read, frame);
            prop_assert_eq!(parse(&out[..cut.index(out.len())], MAX), Ok(None));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Some((_, used))) = parse(&bytes, 200) {
                prop_assert!((1..=200.min(bytes.len())).contains(&used));
            }
        }
    }
}
