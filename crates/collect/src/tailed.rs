//! Kind `follow`: any log files, by patterns, a line an event. [`files`] knows the files and their rotations, [`lines`] takes their
//! bytes apart, [`events`] makes events; what a line says is for a parser or a transform to tell.

mod events;
mod files;
mod known;
mod lines;
mod pattern;
mod search;

use std::time::Duration;

use attestry_event::Period;
use regex_lite::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::{Availability, Cadence, Collector, Feed, LOOK_EVERY, Paths, Setup, Source, Stopped};
use events::Events;
use files::Files;
use lines::{Begins, Framing, Joins};
use pattern::Pattern;
use search::Search;

/// Log files, by patterns. A line becomes an event.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which files, as absolute paths: `*`, `?`, `[a-z]`, `{a,b}`, and `**` for any number of folders. Their rotations (`.1`, `.2.gz`,
    /// `-20261101.gz`) belong to them without being named.
    pub paths: Vec<String>,
    /// Which of them not: patterns as above, or without a slash in front for the last names of a path.
    pub exclude: Vec<String>,
    /// Where the first start begins with files that are there: `oldest` (the oldest rotation), `beginning` (of the file, without its rotations) or
    /// `end`. What appears later is read from its beginning. Default: oldest.
    pub from: Start,
    /// Joins lines that belong together. Default: every line is an event.
    pub multiline: Option<Multiline>,
    /// A longer line is cut; the event says by how much. Default: 65536.
    pub max_line_bytes: usize,
    /// `utf-8` or `latin1`. Bytes that are no UTF-8 become U+FFFD, and the event says so. Default: utf-8.
    pub encoding: Encoding,
}

/// Where the first start begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the oldest rotation.
    #[default]
    Oldest,
    /// With the beginning of each file, without its rotations.
    Beginning,
    /// With what is written from now on.
    End,
}

/// What the bytes of a file are.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub enum Encoding {
    /// UTF-8.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1.
    #[serde(rename = "latin1")]
    Latin1,
}

/// Which lines belong to the one before.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Multiline {
    /// A record begins with a line that this regular expression matches. Default: with a line that is not indented.
    pub start: Option<String>,
    /// So many lines at most are joined. Default: 1000.
    pub max_lines: u64,
    /// So many bytes at most are kept of a record; the event says how many were cut. Default: 262144.
    pub max_bytes: usize,
    /// A record is whole when nothing was written to the file for so long. Default: 2s.
    pub wait: Period,
}

impl Default for Multiline {
    fn default() -> Multiline {
        Multiline { start: None, max_lines: 1_000, max_bytes: 256 * 1024, wait: Period::seconds(2) }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            paths: Vec::new(),
            exclude: Vec::new(),
            from: Start::default(),
            multiline: None,
            max_line_bytes: 64 * 1024,
            encoding: Encoding::default(),
        }
    }
}

impl Config {
    fn framing(&self) -> Result<Framing, regex_lite::Error> {
        let joins = match &self.multiline {
            None => None,
            Some(multiline) => Some(Joins {
                begins: match &multiline.start {
                    None => Begins::Unindented,
                    Some(pattern) => Begins::Matching(Regex::new(pattern)?),
                },
                max_lines: multiline.max_lines,
                max_bytes: multiline.max_bytes,
            }),
        };
        Ok(Framing { max_line: self.max_line_bytes, joins })
    }

    fn search(&self) -> Search {
        let all = |texts: &[String]| -> Vec<Pattern> {
            texts.iter().filter_map(|text| pattern::parse(text).ok()).flatten().collect()
        };
        Search::new(all(&self.paths), all(&self.exclude))
    }
}

/// The bounds of what a size may be set to.
fn size(of: usize, most: usize) -> Option<String> {
    (!(16..=most).contains(&of)).then(|| format!("{of} is not between 16 and {most} bytes"))
}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "follow"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Follow(LOOK_EVERY)
    }

    fn needs(&self) -> &'static str {
        "read access to the files and their folders"
    }

    fn availability(&self, _: &Paths) -> Availability {
        let mut search = self.search();
        search.look();
        match (search.members().len(), search.problem()) {
            (0, Some(problem)) => Availability::on(format!("found no file so far: {problem}")),
            (0, None) => Availability::on(format!("found no file so far for {}", self.paths.join(", "))),
            (files, _) => Availability::on(format!("follows {files} files of {}", self.paths.join(", "))),
        }
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.paths.is_empty() {
            wrong.push(("paths", "it names no files".to_owned()));
        }
        for path in &self.paths {
            match pattern::parse(path) {
                Err(what) => wrong.push(("paths", what)),
                Ok(patterns) if !patterns.iter().all(Pattern::is_absolute) => {
                    wrong.push(("paths", format!("{path:?} does not begin with a slash")));
                }
                Ok(_) => {}
            }
        }
        wrong.extend(self.exclude.iter().filter_map(|path| Some(("exclude", pattern::parse(path).err()?))));
        wrong.extend(size(self.max_line_bytes, 1 << 20).map(|what| ("max_line_bytes", what)));
        if let Some(multiline) = &self.multiline {
            wrong.extend(size(multiline.max_bytes, 4 << 20).map(|what| ("multiline.max_bytes", what)));
            wrong.extend(multiline.wait.at_least(Period::seconds(1)).map(|what| ("multiline.wait", what)));
            if multiline.max_lines == 0 {
                wrong.push(("multiline.max_lines", "a record has at least one line".to_owned()));
            }
        }
        wrong.extend(self.framing().err().map(|error| ("multiline.start", error.to_string())));
        wrong
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        let wait = self.multiline.as_ref().map_or(Duration::ZERO, |multiline| multiline.wait.0);
        // Checked to be right.
        let framing = self.framing().unwrap_or(Framing { max_line: self.max_line_bytes, joins: None });
        let files = Files::new(self.search(), framing, self.from, wait, setup.position.as_ref());
        Box::new(Follow { files, encoding: self.encoding })
    }
}

struct Follow {
    files: Files,
    encoding: Encoding,
}

impl Collector for Follow {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        let mut events = Events::new(feed, self.encoding);
        while self.files.round(&mut events)? {}
        events.send(|| self.files.position())?;
        events.ended();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
