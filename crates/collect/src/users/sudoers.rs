//! sudo's rules: the lines of `/etc/sudoers` and what it includes that mean something (`sudoers(5)`).
//!
//! They are compared as text, not understood: an alias that changes shows as the alias's line. `%h` in the name of an included
//! file is not replaced.

use std::{collections::BTreeSet, fs, path::Path};

use super::read::{Look, SUDOERS, under};
use crate::{follow::Gap, redact};

/// Included files; sudo itself stops at a depth of 128.
const MAX_FILES: usize = 256;

pub(super) fn read(root: &Path, look: &mut Look) {
    let mut waiting = vec![SUDOERS.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(file) = waiting.pop() {
        if seen.len() >= MAX_FILES || !seen.insert(file.clone()) {
            continue;
        }
        let Some(text) = look.file(root, &file) else { continue };
        let mut rules = BTreeSet::new();
        for line in joined(&text) {
            match included(&line) {
                Some((true, folder)) => waiting.extend(files_in(root, &absolute(&folder, &file), look)),
                Some((false, other)) => waiting.push(absolute(&other, &file)),
                None => {
                    let rule = without_comment(&line);
                    let words: Vec<&str> = rule.split_ascii_whitespace().collect();
                    if !words.is_empty() {
                        rules.insert(redacted(&words.join(" ")));
                    }
                }
            }
        }
        look.state.rules.insert(file, rules);
    }
}

/// With secrets taken out; the tags `PASSWD:` and `NOPASSWD:` come before no secret.
fn redacted(rule: &str) -> String {
    let parts = rule.split("PASSWD:").map(|part| redact::secrets(part).into_owned());
    parts.collect::<Vec<String>>().join("PASSWD:")
}

/// Lines, those that end with a backslash joined with the next.
fn joined(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(part) => open.push_str(part),
            None => {
                open.push_str(line);
                lines.push(std::mem::take(&mut open));
            }
        }
    }
    if !open.is_empty() {
        lines.push(open);
    }
    lines
}

/// `@include FILE`, `#includedir FOLDER`: whether it is a folder, and which.
fn included(line: &str) -> Option<(bool, String)> {
    let rest = line.trim_start().strip_prefix(['@', '#'])?;
    let (word, path) = rest.split_once(char::is_whitespace)?;
    let folder = match word {
        "include" => false,
        "includedir" => true,
        _ => return None,
    };
    let path = path.trim().trim_matches('"').replace("\\ ", " ");
    (!path.is_empty()).then_some((folder, path))
}

/// `#` begins a comment, but for a user or group id: `#1000 ALL = …`, `%#27`.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut before = '\n';
    for (at, letter) in line.char_indices() {
        match letter {
            '"' if before != '\\' => quoted = !quoted,
            '#' if !quoted && before != '\\' => {
                let id = line[at + 1..].starts_with(|next: char| next.is_ascii_digit() || next == '-');
                if !id {
                    return &line[..at];
                }
            }
            _ => {}
        }
        before = letter;
    }
    line
}

/// A path that does not begin at the root begins at the folder of the file that names it.
fn absolute(path: &str, from: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{path}")
}

/// Of a folder all files count but those with a dot in their name or a tilde at its end.
fn files_in(root: &Path, folder: &str, look: &mut Look) -> Vec<String> {
    let listed = match fs::read_dir(under(root, folder)) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            look.unread
                .push(Gap { file: SUDOERS.to_owned(), reason: format!("{folder} cannot be read: {error}") });
            return Vec::new();
        }
    };
    let names = listed.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| !name.contains('.') && !name.ends_with('~'))
        .take(MAX_FILES)
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_comments_left_out() {
        for (line, rule) in [
            ("alice ALL=(ALL) ALL # all of it", "alice ALL=(ALL) ALL "),
            ("#1000 ALL = NOPASSWD: ALL", "#1000 ALL = NOPASSWD: ALL"),
            ("%#27 ALL=ALL #x", "%#27 ALL=ALL "),
            ("# comment", ""),
            ("Defaults badpass_message=\"no #1\"", "Defaults badpass_message=\"no #1\""),
            ("x ALL=/bin/echo \\#", "x ALL=/bin/echo \\#"),
        ] {
            assert_eq!(without_comment(line), rule);
        }
        assert_eq!(joined("a \\\n b\nc"), ["a  b", "c"]);
        assert_eq!(included("#includedir /etc/sudoers.d"), Some((true, "/etc/sudoers.d".into())));
        assert_eq!(included("@include local"), Some((false, "local".into())));
        assert_eq!(included("# include this"), None);
        assert_eq!(absolute("local", "/etc/sudoers"), "/etc/local");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken(text in "[a-z#\"\\\\@ %0-9é\\n]{0,80}") {
            for line in joined(&text) {
                let _ = (included(&line), without_comment(&line));
            }
        }
    }
}
