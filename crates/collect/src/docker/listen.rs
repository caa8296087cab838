//! The engine's stream of events, line by line.

use std::time::Duration;

use attestry_event::Nanos;

use super::engine::{Came, Engine, EngineError, Stream};

/// A longer line is no event: the engine's have some kilobytes of labels at most.
const MAX_LINE_BYTES: usize = 4 << 20;

/// A connection on which the engine tells what happens.
pub(crate) struct Listener {
    stream: Stream,
    buffer: Vec<u8>,
    ended: bool,
}

impl Listener {
    /// Listens from `since` on; what the engine still remembers from then on comes first. A look waits at most `wait`.
    pub(crate) fn since(engine: &Engine, since: Nanos, wait: Duration) -> Result<Listener, EngineError> {
        let since = since.0.max(0);
        let target = format!("/events?since={}.{:09}", since / 1_000_000_000, since % 1_000_000_000);
        let stream = engine.follow(&target, wait)?;
        Ok(Listener { stream, buffer: Vec::new(), ended: false })
    }

    /// Whether the engine has hung up: no more lines will come.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Gives the lines that have come, `most` of them; with `wait` it waits for the first.
    pub(crate) fn lines(&mut self, most: usize, wait: bool, mut each: impl FnMut(&[u8])) {
        let mut count = 0;
        loop {
            let mut taken = 0;
            while count < most
                && let Some(len) = self.buffer.get(taken..).and_then(|rest| memchr::memchr(b'\n', rest))
            {
                let line = self.buffer.get(taken..taken + len).unwrap_or_default();
                if !line.trim_ascii().is_empty() {
                    each(line);
                    count += 1;
                }
                taken += len + 1;
            }
            self.buffer.drain(..taken);
            if count >= most || self.ended {
                return;
            }
            self.stream.wait(wait && count == 0);
            match self.stream.read(&mut self.buffer) {
                Came::Bytes if self.buffer.len() <= MAX_LINE_BYTES => {}
                Came::Nothing => return,
                Came::Bytes | Came::End => self.ended = true,
            }
        }
    }
}
