//! A container's log as the engine gives it out (`GET /containers/{id}/logs`): for log drivers that keep no files we can read.
//!
//! Each piece comes in a frame, `[stream, 0, 0, 0, length of 4 bytes]`, and begins with its time. A container with a terminal has one stream
//! and no frames: there a piece ends with its line, or after the 16 KiB at which the engine cuts, where the same time stands again.

use std::time::Duration;

use attestry_event::Nanos;

use super::groups::{End, Piece, Stream};
use crate::docker::engine::{Came, Engine, EngineError, Stream as Answer};

/// A larger frame is none: the engine cuts lines at 16 KiB.
const MAX_FRAME_BYTES: usize = 16 << 20;
/// Where the engine cuts a line.
const PIECE_BYTES: usize = 16 * 1024;
/// A time with its space: `2026-11-21T03:04:05.123456789Z `.
const STAMP_BYTES: usize = 31;

/// How long the engine may take to go on with a log that ends.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What the next look brought.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Piece(Piece),
    /// The engine cannot read on.
    Lost(String),
    /// Nothing for now.
    Idle,
    /// The container has ended, or the engine.
    End,
}

/// A log that the engine gives out.
#[derive(Debug)]
pub(super) struct Api {
    answer: Answer,
    frames: Frames,
}

impl Api {
    /// Reads a container's log from `since` on; with `follow` also what will be written. With `wait` a look waits for what comes next.
    pub(super) fn open(
        engine: &Engine,
        id: &str,
        tty: bool,
        since: Nanos,
        follow: bool,
        wait: bool,
    ) -> Result<Api, EngineError> {
        let since = since.0.max(0);
        let target = format!(
            "/containers/{id}/logs?follow={}&stdout=1&stderr=1&timestamps=1&since={}.{:09}",
            u8::from(follow),
            since / 1_000_000_000,
            since % 1_000_000_000
        );
        let answer = engine.follow(&target, ANSWER_MAX)?;
        answer.wait(wait);
        Ok(Api { answer, frames: Frames { tty, buffer: Vec::new(), start: 0 } })
    }

    pub(super) fn next(&mut self) -> Step {
        loop {
            if let Some(step) = self.frames.next() {
                return step;
            }
            match self.answer.read(&mut self.frames.buffer) {
                Came::Bytes => {}
                Came::Nothing => return Step::Idle,
                Came::End => return self.frames.rest(),
            }
        }
    }
}

/// Takes frames apart.
#[derive(Debug)]
struct Frames {
    tty: bool,
    buffer: Vec<u8>,
    /// Where in the buffer the next frame begins.
    start: usize,
}

impl Frames {
    fn next(&mut self) -> Option<Step> {
        let step = if self.tty { self.terminal(false) } else { self.frame() };
        if step.is_none() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        step
    }

    /// What is left when the stream has ended.
    fn rest(&mut self) -> Step {
        match self.tty {
            true => self.terminal(true).unwrap_or(Step::End),
            false => Step::End,
        }
    }

    fn frame(&mut self) -> Option<Step> {
        let rest = self.buffer.get(self.start..)?;
        let (head, body) = rest.split_first_chunk::<8>()?;
        let len = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if len > MAX_FRAME_BYTES || head[0] > 3 {
            self.start = self.buffer.len();
            return Some(Step::Lost("comes in frames that are none".into()));
        }
        let body = body.get(..len)?;
        let step = match head[0] {
            3 => Step::Lost(String::from_utf8_lossy(body).trim().to_owned()),
            stream => piece(if stream == 2 { Stream::Err } else { Stream::Out }, body),
        };
        self.start += 8 + len;
        Some(step)
    }

    fn terminal(&mut self, ended: bool) -> Option<Step> {
        let rest = self.buffer.get(self.start..)?;
        // The next piece begins with a time of its own, or with that of the line that it goes on.
        let (stamp, text) = rest.split_at_checked(STAMP_BYTES)?;
        let end = memchr::memchr(b'\n', text);
        let whole = end.map_or(text.len(), |end| end + 1);
        // A long line is cut here, if the same time stands here again.
        let cut = whole > PIECE_BYTES && text.get(PIECE_BYTES..).is_some_and(|text| text.starts_with(stamp));
        let len = match end {
            _ if cut => PIECE_BYTES,
            None if !ended && text.len() <= MAX_FRAME_BYTES => return None,
            _ => whole,
        };
        let step = piece(Stream::Out, rest.get(..STAMP_BYTES + len)?);
        self.start += STAMP_BYTES + len;
        Some(step)
    }
}

fn piece(stream: Stream, body: &[u8]) -> Step {
    let space = memchr::memchr(b' ', body).unwrap_or(body.len());
    let (stamp, text) = body.split_at(space);
    let time = std::str::from_utf8(stamp).ok().and_then(|stamp| Nanos::parse(stamp).ok());
    let Some(time) = time else {
        return Step::Lost("has a line without a time".into());
    };
    let text = text.get(1..).unwrap_or_default();
    // Some drivers leave out the end of a line's last piece (`local`), some write one behind every piece: but all pieces have one time.
    let (text, end) = match text.strip_suffix(b"\n") {
        Some(text) if text.len() < PIECE_BYTES => (text, End::Here),
        Some(text) => (text, End::Perhaps(time)),
        None => (text, End::Perhaps(time)),
    };
    Step::Piece(Piece { stream, time, bytes: text.to_vec(), end, place: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "2026-11-21T03:04:05.123456789Z ";

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend((text.len() as u32).to_be_bytes());
        frame.extend(text.as_bytes());
        frame
    }

    fn shown(tty: bool, stream: &[u8], step: usize) -> Vec<String> {
        let mut frames = Frames { tty, buffer: Vec::new(), start: 0 };
        let mut found = Vec::new();
        let mut show = |step: Step| {
            found.push(match step {
                Step::Piece(piece) => {
                    let text = String::from_utf8_lossy(&piece.bytes).into_owned();
                    let text = if text.len() > 100 { format!("{} bytes", text.len()) } else { text };
                    format!(
                        "{} {text:?}{}",
                        piece.stream.name(),
                        if piece.end == End::Here { "" } else { "?" }
                    )
                }
                Step::Lost(reason) => format!("lost: {reason}"),
                other => panic!("{other:?}"),
            });
        };
        for piece in stream.chunks(step) {
            frames.buffer.extend(piece);
            while let Some(step) = frames.next() {
                show(step);
            }
        }
        loop {
            match frames.rest() {
                Step::End => return found,
                step => show(step),
            }
        }
    }

    #[test]
    fn frames_and_terminals() {
        let long = "x".repeat(PIECE_BYTES);
        let exact = "y".repeat(PIECE_BYTES - 1);
        let over = "z".repeat(PIECE_BYTES + 40);
        for (tty, stream, expected) in [
            (
                false,
                [
                    frame(1, &format!("{STAMP}hello\n")),
                    frame(2, &format!("{STAMP}wrong\n")),
                    frame(1, &format!("{STAMP}\n")),
                    frame(1, &format!("{STAMP}{long}")),
                    frame(1, &format!("{STAMP} rest\n")),
                    frame(3, "Error grabbing logs: invalid character\n"),
                    frame(1, "no time"),
                    vec![1, 0, 0],
                ]
                .concat(),
                vec![
                    r#"stdout "hello""#,
                    r#"stderr "wrong""#,
                    r#"stdout """#,
                    r#"stdout "16384 bytes"?"#,
                    r#"stdout " rest""#,
                    "lost: Error grabbing logs: invalid character",
                    "lost: has a line without a time",
                ],
            ),
            (
                true,
                format!("{STAMP}hello\r\n{STAMP}\r\n{STAMP}{long}{STAMP} rest\r\n{STAMP}{exact}\n{STAMP}end")
                    .into(),
                vec![
                    r#"stdout "hello\r""#,
                    r#"stdout "\r""#,
                    r#"stdout "16384 bytes"?"#,
                    r#"stdout " rest\r""#,
                    r#"stdout "16383 bytes""#,
                    r#"stdout "end"?"#,
                ],
            ),
            // Not cut where it should have been: then not at all.
            (
                true,
                format!("{STAMP}{over}\r\n{STAMP}b\n").into(),
                vec![r#"stdout "16425 bytes"?"#, r#"stdout "b""#],
            ),
        ] {
            for step in [1, 100, 1_000_000] {
                assert_eq!(shown(tty, &stream, step), expected, "by {step}");
            }
        }
        assert_eq!(shown(false, b"HTTP/1.1 400\r\n", 100), ["lost: comes in frames that are none"]);
    }
}
