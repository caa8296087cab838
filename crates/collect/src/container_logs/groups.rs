//! What was read of one container's log becomes lines, and lines that belong together become one event.
//!
//! A line of more than 16 KiB stands in a log in pieces. Which lines belong together a pattern tells: one that does not match it goes on
//! the line before, of the same stream. So a group may be open for a while, and groups of the two streams may overlap. What is given out
//! is always all up to a place in the log: everything before it is in a group that has been given out, nothing behind it is. That place, and
//! for each stream the time of its last line before it, is all that a position must hold.

use std::collections::VecDeque;

use attestry_event::Nanos;
use regex_lite::Regex;
use serde_json::{Value, json};

/// No line follows so long after the one it belongs to.
const QUIET_NANOS: i64 = 1_000_000_000;
/// A line whose end does not come for so long counts without it: the container was killed within it.
const UNENDED_NANOS: i64 = 10_000_000_000;
/// A longer text is cut; how much was cut is told with it.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// More lines are not joined: a pattern that matches nothing must not make one event of a whole log.
const MAX_LINES: u32 = 1_000;
/// More is not held back for a line that may go on.
const MAX_HELD_BYTES: usize = 8 << 20;

/// Where a program wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Stream {
    pub(super) fn name(self) -> &'static str {
        match self {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        }
    }
}

/// A line or a part of one, as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) stream: Stream,
    pub(super) time: Nanos,
    pub(super) bytes: Vec<u8>,
    pub(super) end: End,
    /// Where it begins, for those that can go there again.
    pub(super) place: Option<Place>,
}

/// Where the line of a piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Here,
    Later,
    /// Here, unless the next piece is of the same time.
    Perhaps(Nanos),
}

impl End {
    fn goes_on(self, next: &Piece) -> bool {
        match self {
            End::Here => false,
            End::Later => true,
            End::Perhaps(time) => next.time == time,
        }
    }
}

/// A place in a log that is kept in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The time of the file's first line: it tells the file from its rotations, under any name, compressed or not.
    pub(super) file: Nanos,
    /// In bytes of its content.
    pub(super) offset: u64,
}

/// How far a stream has come: the time of its last line, and how many lines it has of that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) time: Nanos,
    count: u64,
}

impl Mark {
    pub(super) fn to_json(self) -> Value {
        json!([self.time.0, self.count])
    }

    pub(super) fn from_json(value: &Value) -> Option<Mark> {
        Some(Mark { time: Nanos(value[0].as_i64()?), count: value[1].as_u64()? })
    }

    /// The mark behind a line of that time.
    fn step(&mut self, time: Nanos) -> Mark {
        *self = Mark { time, count: if self.time == time { self.count + 1 } else { 1 } };
        *self
    }

    fn covers(self, line: Mark) -> bool {
        line.time < self.time || (line.time == self.time && line.count <= self.count)
    }
}

/// Lines that belong together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) stream: Stream,
    /// The first line's time, and which it is of those of that time: the two tell it from all others of its stream.
    pub(super) first: (Nanos, u64),
    pub(super) text: Vec<u8>,
    pub(super) cut: u64,
    pub(super) lines: u32,
    last: Mark,
    place: Option<Place>,
    /// The first and last piece of it, counted over all pieces.
    span: (u64, u64),
    open: bool,
    /// Of its last line.
    end: End,
}

/// The lines of one container.
#[derive(Debug)]
pub(super) struct Groups {
    /// What the first line of an event looks like; without it every line is one.
    first_line: Option<Regex>,
    queue: VecDeque<Group>,
    held: usize,
    pieces: u64,
    /// Of each stream: what has been read, and what has been given out.
    read: [Option<Mark>; 2],
    given: [Option<Mark>; 2],
    /// Up to here everything was given out before: it is read again only because the log cannot be entered at the very place.
    skip: [Option<Mark>; 2],
    /// The end of the line that is being passed over.
    skipped: [End; 2],
}

impl Groups {
    pub(super) fn new(first_line: Option<Regex>, given: [Option<Mark>; 2]) -> Groups {
        Groups {
            first_line,
            queue: VecDeque::new(),
            held: 0,
            pieces: 0,
            read: given,
            given,
            skip: [None; 2],
            skipped: [End::Here; 2],
        }
    }

    /// Reading begins again, some time before what has been given out: pieces up to there are passed over.
    pub(super) fn read_again(&mut self) {
        self.queue.clear();
        self.held = 0;
        self.read = [None; 2];
        self.skip = self.given;
        self.skipped = [End::Here; 2];
    }

    /// How far each stream has been given out.
    pub(super) fn given(&self) -> [Option<Mark>; 2] {
        self.given
    }

    /// Where the first line is that has not been given out; none when all were.
    pub(super) fn place(&self) -> Option<Place> {
        self.queue.front().and_then(|group| group.place)
    }

    pub(super) fn take(&mut self, piece: Piece) {
        self.pieces += 1;
        let at = piece.stream as usize;
        if self.skipped[at].goes_on(&piece) {
            self.skipped[at] = piece.end;
            return;
        }
        self.skipped[at] = End::Here;
        let open = self.queue.iter_mut().rev().find(|group| group.open && group.stream == piece.stream);
        if let Some(group) = open {
            if group.end.goes_on(&piece) {
                return self.held += group.add(&piece, self.pieces);
            }
            let goes_on = group.lines < MAX_LINES
                && group.text.len() < MAX_TEXT_BYTES
                && self
                    .first_line
                    .as_ref()
                    .is_some_and(|first| !first.is_match(&String::from_utf8_lossy(&piece.bytes)));
            if goes_on {
                group.last = self.read[at].get_or_insert_default().step(piece.time);
                group.lines += 1;
                group.text.push(b'\n');
                return self.held += group.add(&piece, self.pieces);
            }
            group.open = false;
        }
        let mark = self.read[at].get_or_insert_default().step(piece.time);
        if let Some(skip) = self.skip[at] {
            if skip.covers(mark) {
                self.skipped[at] = piece.end;
                return;
            }
            self.skip[at] = None;
        }
        let mut group = Group {
            stream: piece.stream,
            first: (mark.time, mark.count),
            text: Vec::new(),
            cut: 0,
            lines: 1,
            last: mark,
            place: piece.place,
            span: (self.pieces, self.pieces),
            open: true,
            end: End::Here,
        };
        self.held += group.add(&piece, self.pieces);
        group.open = group.end != End::Here || self.first_line.is_some();
        self.queue.push_back(group);
    }

    /// Gives out what is complete. `ended`: nothing more will come, so all of it is.
    pub(super) fn ready(&mut self, now: Nanos, ended: bool) -> std::collections::vec_deque::Drain<'_, Group> {
        let full = self.held > MAX_HELD_BYTES;
        for group in self.queue.iter_mut().filter(|group| group.open) {
            let age = now.0.saturating_sub(group.last.time.0);
            let limit = if group.end == End::Later { UNENDED_NANOS } else { QUIET_NANOS };
            group.open = !(ended || full || age >= limit);
            // Without `first_line` a line is complete with its end.
            group.open &= group.end != End::Here || self.first_line.is_some();
        }
        let (mut count, mut last) = (0, 0);
        let closed = self.queue.iter().take_while(|group| !group.open);
        for (at, group) in closed.enumerate() {
            last = last.max(group.span.1);
            // A cut here must not go through a group.
            if self.queue.get(at + 1).is_none_or(|next| next.span.0 > last) {
                count = at + 1;
            }
        }
        for group in self.queue.iter().take(count) {
            self.given[group.stream as usize] = Some(group.last);
            self.held = self.held.saturating_sub(group.text.len());
        }
        self.queue.drain(..count)
    }
}

impl Group {
    /// Returns how much more is held now.
    fn add(&mut self, piece: &Piece, number: u64) -> usize {
        let room = MAX_TEXT_BYTES.saturating_sub(self.text.len()).min(piece.bytes.len());
        self.text.extend_from_slice(piece.bytes.get(..room).unwrap_or_default());
        self.cut += (piece.bytes.len() - room) as u64;
        self.end = piece.end;
        self.span.1 = number;
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// `o1 text` is a line of stdout at second 1, `e2 text+` a part of one of stderr, `o3 text?` perhaps one.
    fn piece(text: &str, at: usize) -> Piece {
        let (head, text) = text.split_once(' ').unwrap();
        let stream = if head.starts_with('o') { Stream::Out } else { Stream::Err };
        let time = Nanos(head[1..].parse::<i64>().unwrap() * SECOND);
        let end = match text.as_bytes().last() {
            Some(b'+') => End::Later,
            Some(b'?') => End::Perhaps(time),
            _ => End::Here,
        };
        let place = Some(Place { file: Nanos(1), offset: at as u64 });
        Piece { stream, time, bytes: text.trim_end_matches(['+', '?']).into(), end, place }
    }

    fn shown(groups: &mut Groups, now: i64, ended: bool) -> Vec<String> {
        let ready = groups.ready(Nanos(now * SECOND), ended);
        let show = |group: Group| {
            let text = String::from_utf8(group.text).unwrap().replace('\n', "|");
            format!("{}{}.{} {text}", &group.stream.name()[3..4], group.first.0.0 / SECOND, group.first.1)
        };
        ready.map(show).collect()
    }

    fn groups(first_line: &str, given: [Option<Mark>; 2]) -> Groups {
        let first_line = (!first_line.is_empty()).then(|| Regex::new(first_line).unwrap());
        Groups::new(first_line, given)
    }

    #[test]
    fn lines_are_put_together() {
        for (first_line, pieces, now, expected, left) in [
            ("", &["o1 a", "o1 b", "e1 c"][..], 1, &["o1.1 a", "o1.2 b", "e1.1 c"][..], None),
            ("", &["o1 a", "o1 ", "o2 b"], 1, &["o1.1 a", "o1.2 ", "o2.1 b"], None),
            // Pieces of a line; another stream's line waits behind it.
            ("", &["o1 a+", "o1 b+", "o1 c", "o2 d"], 2, &["o1.1 abc", "o2.1 d"], None),
            ("", &["o1 a+", "e1 x", "o1 b"], 1, &["o1.1 ab", "e1.1 x"], None),
            ("", &["e1 x", "o1 a+", "e1 y"], 1, &["e1.1 x"], Some(1)),
            ("", &["o1 a+", "e1 x"], 12, &["o1.1 a", "e1.1 x"], None),
            // What may go on does so at the same time only.
            ("", &["o1 a?", "o1 b?", "o1 c?", "o2 d"], 1, &["o1.1 abc", "o2.1 d"], None),
            ("", &["o1 a?", "o1 b", "o1 c"], 1, &["o1.1 ab", "o1.2 c"], None),
            ("", &["o1 a?"], 1, &[], Some(0)),
            ("", &["o1 a?"], 2, &["o1.1 a"], None),
            // Joined by what a first line looks like.
            (r"^\S", &["o1 a", "o1  b", "o1  c", "o1 d"], 1, &["o1.1 a| b| c"], Some(3)),
            (r"^\S", &["o1 a", "o1  b"], 1, &[], Some(0)),
            (r"^\S", &["o1 a", "o1  b"], 2, &["o1.1 a| b"], None),
            (r"^\S", &["o1 a", "o1  b+", "o1 c"], 3, &["o1.1 a| bc"], None),
            (r"^\S", &["o1  a", "o1 b"], 3, &["o1.1  a", "o1.2 b"], None),
            (r"^\d", &["o1 1", "o1 ", "o1 x", "o1 2"], 1, &["o1.1 1||x"], Some(3)),
            // Groups that overlap are given out together or not at all.
            (r"^\S", &["o1 a", "e1 x", "o1  b", "o1 c"], 1, &[], Some(0)),
            (r"^\S", &["o1 a", "e1 x", "o1  b", "o1 c", "e1 y"], 1, &["o1.1 a| b", "e1.1 x"], Some(3)),
            (r"^\S", &["o1 a", "e1 x", "o1 c"], 1, &["o1.1 a"], Some(1)),
        ] {
            let mut groups = groups(first_line, [None; 2]);
            pieces.iter().enumerate().for_each(|(at, text)| groups.take(piece(text, at)));
            assert_eq!(shown(&mut groups, now, false), expected, "{pieces:?}");
            assert_eq!(groups.place().map(|place| place.offset), left, "{pieces:?}");
        }
    }

    #[test]
    fn nothing_is_left_of_a_log_that_has_ended() {
        let mut groups = groups(r"^\S", [None; 2]);
        ["o1 a", "e1 x", "o1  b+"].iter().for_each(|text| groups.take(piece(text, 0)));
        assert_eq!(shown(&mut groups, 1, true), ["o1.1 a| b", "e1.1 x"]);
    }

    #[test]
    fn wherever_reading_stops_and_begins_again_nothing_is_lost_or_repeated() {
        let log: Vec<&str> =
            "o1 a;e1 x;o1  b;o1 c+;e1  y;o1 d;o2  e;e1 z;e2  w;o2 f;o2  g;e3 v;o3 h?;e3 u;o3 i?;o4 j"
                .split(';')
                .collect();
        for first_line in ["", r"^\S"] {
            let mut whole = groups(first_line, [None; 2]);
            log.iter().enumerate().for_each(|(at, text)| whole.take(piece(text, at)));
            let mut expected = shown(&mut whole, 100, true);
            expected.sort();
            for stop in 0..=log.len() {
                let mut first = groups(first_line, [None; 2]);
                log[..stop].iter().enumerate().for_each(|(at, text)| first.take(piece(text, at)));
                let given_out = shown(&mut first, 0, false);
                let kept = first.given().map(|mark| mark.map(Mark::to_json));
                let given = kept.map(|mark| mark.and_then(|mark| Mark::from_json(&mark)));
                let place = first.place().map_or(stop, |place| place.offset as usize);
                // By its place, and by time from the very beginning.
                for from in [place, 0] {
                    let mut second = groups(first_line, given);
                    if from != place {
                        second.read_again();
                    }
                    log.iter().enumerate().skip(from).for_each(|(at, text)| second.take(piece(text, at)));
                    let mut all = given_out.clone();
                    all.extend(shown(&mut second, 100, true));
                    all.sort();
                    assert_eq!(all, expected, "{first_line:?}: stopped at {stop}, begun again at {from}");
                }
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_hides_nothing() {
        let mut groups = groups("", [None; 2]);
        ["o5 a", "o2 b", "o3 c"].iter().for_each(|text| groups.take(piece(text, 0)));
        assert_eq!(shown(&mut groups, 5, false), ["o5.1 a", "o2.1 b", "o3.1 c"]);
    }

    #[test]
    fn bounds() {
        let mut groups = groups(r"^first", [None; 2]);
        for at in 0..2_500 {
            groups.take(piece("o1 more", at));
        }
        let lines: Vec<u32> = groups.ready(Nanos(0), true).map(|group| group.lines).collect();
        assert_eq!(lines, [1_000, 1_000, 500]);
        let large = Piece { bytes: vec![b'x'; MAX_TEXT_BYTES + 7], ..piece("o1 x", 0) };
        groups.take(large);
        let group = groups.ready(Nanos(0), true).next().unwrap();
        assert_eq!((group.text.len(), group.cut), (MAX_TEXT_BYTES, 7));
        // What is held back does not grow without end.
        groups.take(piece("o1 begun+", 0));
        let mut given = 0;
        for at in 0..20 {
            groups.take(Piece { bytes: vec![b'x'; 1 << 20], ..piece("e1 x", at) });
            given += groups.ready(Nanos(0), false).count();
        }
        assert!(given >= 20 - 9, "{given}");
    }
}
