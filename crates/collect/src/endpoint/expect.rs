//! What an answer must be like, and what is wrong with one.

use std::{collections::BTreeMap, fmt};

use hyper::{HeaderMap, header::HeaderName};
use regex_lite::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exchange::MAX_BODY_BYTES;

/// What an answer must be like. All that is given must hold.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The status, one of these. Default: `[200..299]`.
    pub status: Vec<StatusRange>,
    /// A text that the body must contain, within its first MiB.
    pub body_contains: Option<String>,
    /// A regular expression that must match somewhere in the first MiB of the body.
    pub body_matches: Option<String>,
    /// Headers that must be there, each with a regular expression that must match somewhere in its value.
    pub headers: BTreeMap<String, String>,
}

impl Default for Expect {
    fn default() -> Expect {
        Expect {
            status: vec![StatusRange { first: 200, last: 299 }],
            body_contains: None,
            body_matches: None,
            headers: BTreeMap::new(),
        }
    }
}

/// A status of HTTP or a range of them: `200`, `200..299`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written")]
pub struct StatusRange {
    first: u16,
    last: u16,
}

#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(untagged)]
enum Written {
    Status(u16),
    Range(String),
}

impl TryFrom<Written> for StatusRange {
    type Error = String;

    fn try_from(written: Written) -> Result<StatusRange, String> {
        let (found, range) = match &written {
            Written::Status(status) => (status.to_string(), Some((*status, *status))),
            Written::Range(text) => {
                let (first, last) = text.split_once("..").unwrap_or((text, text));
                (format!("{text:?}"), first.trim().parse().ok().zip(last.trim().parse().ok()))
            }
        };
        range
            .filter(|(first, last)| (100..=999).contains(first) && (*first..=999).contains(last))
            .map(|(first, last)| StatusRange { first, last })
            .ok_or(format!("{found} is no status, expected one such as 200 or 200..299"))
    }
}

impl From<StatusRange> for Written {
    fn from(range: StatusRange) -> Written {
        match range.first == range.last {
            true => Written::Status(range.first),
            false => Written::Range(range.to_string()),
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last > self.first { write!(f, "..{}", self.last) } else { Ok(()) }
    }
}

impl Expect {
    /// What is wrong with the settings.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.status.is_empty() {
            wrong.push("status is empty, expected one such as [200..299]".to_owned());
        }
        if let Some(pattern) = &self.body_matches
            && let Err(error) = Regex::new(pattern)
        {
            wrong.push(format!("body_matches is no regular expression: {error}"));
        }
        for (name, pattern) in &self.headers {
            if name.parse::<HeaderName>().is_err() {
                wrong.push(format!("{name:?} is no name of a header"));
            }
            if let Err(error) = Regex::new(pattern) {
                wrong.push(format!("the header {name} is no regular expression: {error}"));
            }
        }
        wrong
    }

    /// Ready to judge answers. What [`Expect::wrong`] tells of is left out.
    pub(super) fn judge(&self) -> Judge {
        let headers = self.headers.iter();
        Judge {
            status: self.status.clone(),
            contains: self.body_contains.clone().filter(|text| !text.is_empty()),
            matches: self.body_matches.as_ref().and_then(|pattern| Regex::new(pattern).ok()),
            headers: headers
                .filter_map(|(name, pattern)| Some((name.parse().ok()?, Regex::new(pattern).ok()?)))
                .collect(),
        }
    }
}

/// [`Expect`], ready.
#[derive(Debug)]
pub(super) struct Judge {
    status: Vec<StatusRange>,
    contains: Option<String>,
    matches: Option<Regex>,
    headers: Vec<(HeaderName, Regex)>,
}

impl Judge {
    /// Whether the body has to be kept for it.
    pub(super) fn reads_body(&self) -> bool {
        self.contains.is_some() || self.matches.is_some()
    }

    /// What is wrong with the head of an answer.
    pub(super) fn head(&self, status: u16, headers: &HeaderMap) -> Option<String> {
        if !self.status.iter().any(|range| (range.first..=range.last).contains(&status)) {
            let expected: Vec<String> = self.status.iter().map(StatusRange::to_string).collect();
            return Some(format!("status {status}, expected {}", expected.join(" or ")));
        }
        self.headers.iter().find_map(|(name, pattern)| {
            let mut values = headers.get_all(name).iter();
            if !headers.contains_key(name) {
                return Some(format!("there is no header {name}"));
            }
            let found = values.any(|value| pattern.is_match(&String::from_utf8_lossy(value.as_bytes())));
            // Not the value: of a cookie, say, it is a secret.
            (!found).then(|| format!("the header {name} does not match {}", pattern.as_str()))
        })
    }

    /// What is wrong with a body, of which `cut` says that there is more of it.
    pub(super) fn body(&self, body: &[u8], cut: bool) -> Option<String> {
        let within = if cut { format!(" within its first {MAX_BODY_BYTES} bytes") } else { String::new() };
        if let Some(text) = &self.contains
            && memchr::memmem::find(body, text.as_bytes()).is_none()
        {
            return Some(format!("the body does not contain {text:?}{within}"));
        }
        let pattern = self.matches.as_ref()?;
        let found = pattern.is_match(&String::from_utf8_lossy(body));
        (!found).then(|| format!("the body does not match {}{within}", pattern.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(yaml: &str) -> Expect {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn answers_are_judged() {
        let headers = HeaderMap::from_iter([
            ("x-a".parse::<HeaderName>().unwrap(), "one".parse().unwrap()),
            ("x-a".parse::<HeaderName>().unwrap(), "two".parse().unwrap()),
        ]);
        for (yaml, status, body, wrong) in [
            ("{}", 200, "", None),
            ("{}", 299, "", None),
            ("{}", 301, "", Some("status 301, expected 200..299")),
            ("{status: [401, 500..599, '302']}", 401, "", None),
            ("{status: [401, 500..599, '302']}", 302, "", None),
            ("{status: [401, 500..599]}", 200, "", Some("status 200, expected 401 or 500..599")),
            ("{headers: {X-A: ^two$}}", 200, "", None),
            ("{headers: {X-A: ''}}", 200, "", None),
            ("{headers: {X-A: three}}", 200, "", Some("the header x-a does not match three")),
            ("{headers: {X-B: ''}}", 200, "", Some("there is no header x-b")),
            ("{body_contains: ok}", 200, "all ok", None),
            ("{body_contains: ok}", 200, "bad", Some("the body does not contain \"ok\"")),
            ("{body_matches: '\"up\": *true'}", 200, "{\"up\":  true}", None),
            ("{body_matches: ^a$}", 200, "b\u{fffd}", Some("the body does not match ^a$")),
        ] {
            let judge = expect(yaml).judge();
            let found = judge.head(status, &headers).or_else(|| judge.body(body.as_bytes(), false));
            assert_eq!(found.as_deref(), wrong, "{yaml}");
        }
        let judge = expect("{body_contains: ok}").judge();
        assert!(judge.body(b"", true).unwrap().contains("within its first 1048576 bytes"));
    }

    #[test]
    fn ranges_are_written_as_they_are_read() {
        let shown = serde_json::to_value(expect("{status: [200..299, 404]}")).unwrap();
        assert_eq!(shown["status"], serde_json::json!(["200..299", 404]));
        for yaml in [
            "{status: [99]}",
            "{status: [300..200]}",
            "{status: [a]}",
            "{status: ['200..']}",
            "{status: [1000]}",
        ] {
            assert!(serde_saphyr::from_str::<Expect>(yaml).is_err(), "{yaml}");
        }
        for yaml in ["{status: []}", "{body_matches: '('}", "{headers: {'a b': ''}}", "{headers: {a: '('}}"] {
            assert_eq!(expect(yaml).wrong().len(), 1, "{yaml}");
        }
    }
}
