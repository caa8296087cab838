//! One container's log being followed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use attestry_event::{Event, Nanos};
use regex_lite::Regex;
use serde_json::{Value, json};

use super::{
    api::{self, Api},
    groups::{End, Group, Groups, Mark, Piece, Place, Stream},
    json_file::{self, JsonFile},
};
use crate::{
    docker::{
        describe::{self, Labels},
        engine::{Engine, EngineError},
    },
    follow::Gap,
    line::{hashed_id, put},
    source::Feed,
};

/// Pieces of one container in one go, so that one that shouts leaves room for others.
const MAX_PIECES: usize = 1_000;
/// The engine is asked for this much more than is missing: the two streams are not quite in the order of their times.
const OVERLAP_NANOS: i64 = 1_000_000_000;

/// What must be known of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) id: String,
    pub(super) name: String,
    image: String,
    pub(super) labels: BTreeMap<String, String>,
    tty: bool,
    driver: String,
    /// Of the driver `json-file`, once it was started.
    path: PathBuf,
    running: bool,
    /// Of the last start.
    started_at: String,
}

impl About {
    /// Of `GET /containers/{id}/json`.
    pub(super) fn inspected(value: &Value) -> About {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = value["Config"]["Labels"].as_object().into_iter().flatten();
        let state = &value["State"];
        About {
            id: text(&value["Id"]),
            name: text(&value["Name"]).trim_start_matches('/').to_owned(),
            image: text(&value["Config"]["Image"]),
            labels: labels.map(|(name, value)| (name.clone(), text(value))).collect(),
            tty: value["Config"]["Tty"].as_bool().unwrap_or_default(),
            driver: text(&value["HostConfig"]["LogConfig"]["Type"]),
            path: text(&value["LogPath"]).into(),
            running: state["Running"].as_bool().unwrap_or_default(),
            started_at: text(&state["StartedAt"]),
        }
    }

    /// Whether it ran at all.
    pub(super) fn started(&self) -> bool {
        !self.started_at.is_empty() && !self.started_at.starts_with("0001-")
    }

    /// A piece as the program wrote it: a terminal makes `\r\n` of its line ends.
    fn written(&self, mut piece: Piece) -> Piece {
        if self.tty && piece.end == End::Here && piece.bytes.last() == Some(&b'\r') {
            piece.bytes.pop();
        }
        piece
    }

    /// Whether its driver keeps anything at all.
    pub(super) fn keeps_a_log(&self) -> bool {
        self.driver != "none"
    }
}

/// Where the lines come from.
#[derive(Debug)]
enum Reader {
    File(JsonFile),
    /// With whether it tells what will be written as well.
    Api(Api, bool),
    /// From nowhere for now: it was not started yet, or the engine does not run.
    None,
    /// All there is has been read, and it does not run.
    Ended,
}

/// A log being read.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) about: About,
    groups: Groups,
    /// Where everything before has been given out, when the log is in files.
    place: Option<Place>,
    reader: Reader,
    /// The container is gone: what is left is read, then this ends.
    pub(super) removed: bool,
    /// Something was read of it, or it was said why not.
    pub(super) met: bool,
    /// Its driver gives nothing out.
    unreadable: bool,
}

impl Following {
    /// Follows it from where `position` says, from its oldest line without one.
    pub(super) fn new(about: About, first_line: Option<Regex>, position: Option<&Value>) -> Following {
        let mark = |name: &str| position.and_then(|at| Mark::from_json(&at[name]));
        let place = position
            .and_then(|at| Some(Place { file: Nanos(at["file"].as_i64()?), offset: at["offset"].as_u64()? }));
        Following {
            about,
            groups: Groups::new(first_line, [mark("stdout"), mark("stderr")]),
            place,
            reader: Reader::None,
            removed: false,
            met: false,
            unreadable: false,
        }
    }

    pub(super) fn position(&self) -> Value {
        let mut position = json!({ "name": self.about.name });
        for (stream, mark) in [Stream::Out, Stream::Err].into_iter().zip(self.groups.given()) {
            if let Some(mark) = mark {
                position[stream.name()] = mark.to_json();
            }
        }
        if let Some(place) = self.place {
            position["file"] = place.file.0.into();
            position["offset"] = place.offset.into();
        }
        position
    }

    /// Begins to read where that is not done yet: from its files when `files`, else through the engine, which tells what will be written as
    /// well when this is `resident`.
    pub(super) fn open(
        &mut self,
        engine: &Engine,
        files: bool,
        resident: bool,
        feed: &mut Feed,
    ) -> Result<(), EngineError> {
        if !matches!(self.reader, Reader::None) || self.unreadable || !self.about.started() {
            return Ok(());
        }
        if files
            && self.about.driver == "json-file"
            && self.about.path != Path::new("")
            && let Ok(file) = JsonFile::open(&self.about.path, self.place)
        {
            if self.place.is_none() && self.groups.given().iter().any(Option::is_some) {
                // It was read through the engine before.
                self.groups.read_again();
            }
            self.reader = Reader::File(file);
            self.met = true;
            return Ok(());
        }
        let oldest = self.groups.given().into_iter().flatten().map(|mark| mark.time).min();
        let since = Nanos(oldest.map_or(0, |oldest| oldest.0.saturating_sub(OVERLAP_NANOS)));
        // When a container ends, engines may hang up before they have told all of it: what has ended is asked for as a whole.
        let follow = resident && self.about.running;
        match Api::open(engine, &self.about.id, self.about.tty, since, follow, !resident) {
            Ok(api) => {
                self.met = true;
                self.groups.read_again();
                self.place = None;
                self.reader = Reader::Api(api, follow);
                Ok(())
            }
            // Removed meanwhile: its end is on its way.
            Err(EngineError::Gone(_)) => Ok(()),
            // `configured logging driver does not support reading`: so it will be the next time.
            Err(EngineError::Refused { message, .. }) => {
                (self.unreadable, self.met) = (true, true);
                self.lose(
                    feed,
                    format!("cannot be read, its log driver is {}: {message}", self.about.driver),
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The engine was away: an answer that it ended, it may have cut off.
    pub(super) fn read_again(&mut self) {
        if matches!(self.reader, Reader::Ended) {
            self.reader = Reader::None;
        }
    }

    /// Takes over what has changed about the container.
    pub(super) fn know(&mut self, about: About) {
        // It may have ended again by now.
        if matches!(self.reader, Reader::Ended) && about.started_at != self.about.started_at {
            self.reader = Reader::None;
        }
        self.about = about;
    }

    /// Reads what is new, as far as one go reaches; true when there may be more at once.
    pub(super) fn read(&mut self, host: &str, feed: &mut Feed) -> bool {
        let mut lost = Vec::new();
        let mut more = true;
        let mut ended = !self.about.running;
        for _ in 0..MAX_PIECES {
            match &mut self.reader {
                Reader::File(file) => match file.next() {
                    json_file::Step::Piece(piece) => self.groups.take(self.about.written(piece)),
                    json_file::Step::Lost(reason) => lost.push(reason),
                    json_file::Step::Idle => more = false,
                },
                Reader::Api(api, follows) => match api.next() {
                    api::Step::Piece(piece) => self.groups.take(self.about.written(piece)),
                    api::Step::Lost(reason) => lost.push(reason),
                    api::Step::Idle => more = false,
                    api::Step::End => {
                        more = false;
                        self.reader = if *follows { Reader::None } else { Reader::Ended };
                    }
                },
                Reader::None | Reader::Ended => more = false,
            }
            if !more {
                break;
            }
        }
        // The engine's answer to an ended container ends; until then something may come.
        ended &= !more && !matches!(self.reader, Reader::Api(..) | Reader::None);
        for group in self.groups.ready(feed.now(), ended || (self.removed && !more)) {
            feed.push(event(&self.about, host, group));
        }
        if let Reader::File(file) = &self.reader {
            self.place = self.groups.place().or(file.place());
            if ended {
                self.reader = Reader::Ended;
            }
        }
        for reason in lost {
            self.lose(feed, reason);
        }
        more
    }

    /// Whether nothing of it is left to be read.
    pub(super) fn done(&self) -> bool {
        self.removed && !matches!(self.reader, Reader::Api(..))
    }

    /// Whether it must be asked for again: the engine hung up.
    pub(super) fn hung_up(&self) -> bool {
        self.met && matches!(self.reader, Reader::None)
    }

    pub(super) fn lose(&self, feed: &mut Feed, reason: String) {
        feed.lose(Gap { file: format!("the log of container {}", self.about.name), reason });
    }
}

fn event(about: &About, host: &str, group: Group) -> Event {
    let (time, number) = group.first;
    let stream = group.stream.name();
    let id = hashed_id(
        "container_logs",
        host,
        &[about.id.as_bytes(), stream.as_bytes(), &time.0.to_be_bytes(), &number.to_be_bytes()],
    );
    let mut event = Event::new("container.log", "-").id(id).time(time).severity(6);
    let image = Some(&*about.image).filter(|image| !image.is_empty());
    describe::container(&mut event, &about.id, &about.name, image, &Labels(&about.labels));
    put(&mut event, "stream", stream);
    if group.lines > 1 {
        put(&mut event, "lines", group.lines);
    }
    if group.cut > 0 {
        put(&mut event, "cut_bytes", group.cut);
    }
    let text = String::from_utf8_lossy(&group.text);
    if text.contains('\u{fffd}') {
        put(&mut event, "invalid_utf8", true);
    }
    event.message(text)
}
