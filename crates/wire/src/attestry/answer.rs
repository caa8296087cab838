//! What a server's answer to events means.

use std::collections::BTreeMap;

use attestry_pipeline::Failure;
use serde::Deserialize;

use crate::http::Answer;

/// The most bytes of a reason.
const REASON_MAX_BYTES: usize = 1024;

/// What became of a request's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All are stored.
    Stored,
    /// None is; these lines, counted from 1, never will be, and why.
    Refused(BTreeMap<usize, String>),
    /// None is, since one or more are bad, and the answer does not say which.
    TooMuch(String),
    /// None is: the request is too large.
    TooLarge(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    problems: Vec<Bad>,
    conflicts: Vec<Conflict>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bad {
    line: usize,
    field: String,
    found: String,
    expected: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conflict {
    line: usize,
    event_id: String,
    ledger: String,
    index: u64,
}

/// Reads an answer.
pub(super) fn judge(answer: &Answer) -> Result<Verdict, Failure> {
    let problem = serde_json::from_slice::<Problem>(&answer.body).unwrap_or_default();
    let said = said(&problem);
    let again = |reason: String| Failure::Again { delivered: 0, reason, after: answer.retry_after };
    match answer.status {
        201 => Ok(Verdict::Stored),
        409 | 422 => {
            let reasons = reasons(problem);
            if reasons.is_empty() {
                return Ok(Verdict::TooMuch(format!("the server answered {}{said}", answer.status)));
            }
            Ok(Verdict::Refused(reasons))
        }
        413 => Ok(Verdict::TooLarge(format!("too large for the server{said}"))),
        401 => Err(again(format!("the server does not know the key or certificate{said}"))),
        403 => Err(again(format!("the server does not allow this key or certificate to write here{said}"))),
        300..=399 => Err(again(format!(
            "the server sends us elsewhere (status {}): give the address where it really is",
            answer.status
        ))),
        status => Err(again(format!("the server answered {status}{said}"))),
    }
}

/// What a problem document says for people.
fn said(problem: &Problem) -> String {
    let said = match (problem.title.as_str(), problem.detail.as_str()) {
        ("", "") => return String::new(),
        (title, "") => format!(": {title}"),
        ("", detail) => format!(": {detail}"),
        (title, detail) => format!(": {title}: {detail}"),
    };
    cut(said)
}

fn reasons(problem: Problem) -> BTreeMap<usize, String> {
    let mut reasons: BTreeMap<usize, String> = BTreeMap::new();
    for bad in problem.problems.into_iter().filter(|bad| bad.line > 0) {
        let reason = reasons.entry(bad.line).or_default();
        if reason.len() < REASON_MAX_BYTES {
            let more = if reason.is_empty() { "" } else { "; " };
            reason.push_str(&format!("{more}{}: found {}, expected {}", bad.field, bad.found, bad.expected));
        }
    }
    for conflict in problem.conflicts.into_iter().filter(|conflict| conflict.line > 0) {
        let reason = format!(
            "event_id: {} is the id of {}/{}, which has other content",
            conflict.event_id, conflict.ledger, conflict.index
        );
        reasons.insert(conflict.line, reason);
    }
    reasons.into_iter().map(|(line, reason)| (line, cut(reason))).collect()
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REASON_MAX_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn taken_or_refused() {
        let refused = |lines: &[(usize, &str)]| {
            Verdict::Refused(lines.iter().map(|(line, reason)| (*line, (*reason).to_owned())).collect())
        };
        for (status, body, expected) in [
            (201, r#"{"events":[]}"#, Verdict::Stored),
            (
                422,
                r#"{"title":"t","problems":[{"line":2,"field":"severity","found":"9","expected":"0 to 7"},{"line":2,"field":"usrname","found":"a member","expected":"username"},{"line":4,"field":"event","found":"something else","expected":"an object"}]}"#,
                refused(&[
                    (2, "severity: found 9, expected 0 to 7; usrname: found a member, expected username"),
                    (4, "event: found something else, expected an object"),
                ]),
            ),
            (
                409,
                r#"{"conflicts":[{"line":1,"event_id":"a","ledger":"audit","index":7}]}"#,
                refused(&[(1, "event_id: a is the id of audit/7, which has other content")]),
            ),
            // Answers that name no line must not make anything count as refused.
            (422, "no JSON", Verdict::TooMuch("the server answered 422".into())),
            (409, r#"{"title":"Conflict"}"#, Verdict::TooMuch("the server answered 409: Conflict".into())),
            (
                422,
                r#"{"problems":[{"line":0,"field":"x"}]}"#,
                Verdict::TooMuch("the server answered 422".into()),
            ),
            (413, "<html>", Verdict::TooLarge("too large for the server".into())),
        ] {
            assert_eq!(judge(&answer(status, body)), Ok(expected), "{status} {body}");
        }
    }

    #[test]
    fn everything_else_is_tried_again() {
        for (status, word) in [
            (200, "200"),
            (202, "202"),
            (301, "elsewhere"),
            (307, "elsewhere"),
            (400, "400"),
            (401, "does not know"),
            (403, "does not allow"),
            (404, "404"),
            (408, "408"),
            (421, "421"),
            (429, "429"),
            (500, "500"),
            (502, "502"),
            (503, "503"),
            (599, "599"),
        ] {
            let answer = Answer { retry_after: Some(Duration::from_secs(7)), ..answer(status, "") };
            match judge(&answer) {
                Err(Failure::Again { delivered: 0, reason, after: Some(after) }) => {
                    assert!(reason.contains(word), "{status}: {reason}");
                    assert_eq!(after, Duration::from_secs(7));
                }
                other => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn reasons_are_bounded() {
        let body = format!(r#"{{"problems":[{{"line":1,"field":"{}"}}]}}"#, "ü".repeat(10_000));
        let Ok(Verdict::Refused(reasons)) = judge(&answer(422, &body)) else { panic!("refused") };
        assert!(reasons[&1].len() <= REASON_MAX_BYTES);
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(status in 100u16..600, body: Vec<u8>) {
            let _ = judge(&Answer { status, retry_after: None, body });
        }
    }
}
