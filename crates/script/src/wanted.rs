//! Which parts of an event a program reads or writes: nothing else of it is parsed.

use vrl::path::{OwnedSegment, OwnedTargetPath, PathPrefix};

/// The wanted parts of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    /// All of it.
    All,
    /// If it is an object, these members of it. If it is none, all of it.
    Members(Vec<(String, Wanted)>),
}

impl Wanted {
    /// What is at these paths, and all below them.
    pub(crate) fn from_paths<'p>(paths: impl IntoIterator<Item = &'p OwnedTargetPath>) -> Wanted {
        let mut wanted = Wanted::Members(Vec::new());
        for path in paths {
            if path.prefix == PathPrefix::Event {
                wanted.add(&path.path.segments);
            }
        }
        wanted
    }

    fn add(&mut self, path: &[OwnedSegment]) {
        let Wanted::Members(members) = self else { return };
        // Of an array all elements are wanted: an index may count from the end.
        let Some((OwnedSegment::Field(name), rest)) = path.split_first() else {
            *self = Wanted::All;
            return;
        };
        let name = name.as_str();
        let place = match members.iter().position(|(known, _)| known == name) {
            Some(place) => place,
            None => {
                members.push((name.to_owned(), Wanted::Members(Vec::new())));
                members.len() - 1
            }
        };
        if let Some((_, member)) = members.get_mut(place) {
            member.add(rest);
        }
    }

    /// What is wanted of a member; `None`: nothing.
    pub(crate) fn member(&self, name: &str) -> Option<&Wanted> {
        match self {
            Wanted::All => Some(&Wanted::All),
            Wanted::Members(members) => {
                members.iter().find(|(known, _)| known == name).map(|(_, wanted)| wanted)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(paths: &[&str]) -> Wanted {
        let paths: Vec<OwnedTargetPath> =
            paths.iter().map(|path| vrl::path::parse_target_path(path).unwrap()).collect();
        Wanted::from_paths(&paths)
    }

    #[test]
    fn paths_become_a_tree() {
        let tree = wanted(&[".a.b", ".a.c.d", ".x", ".x.y", ".list[3].z", "%received_at"]);
        assert_eq!(tree.member("b"), None);
        assert_eq!(tree.member("received_at"), None);
        assert_eq!(tree.member("x"), Some(&Wanted::All));
        assert_eq!(tree.member("list"), Some(&Wanted::All));
        let a = tree.member("a").unwrap();
        assert_eq!(a.member("b"), Some(&Wanted::All));
        assert_eq!(a.member("c").unwrap().member("e"), None);
        assert_eq!(wanted(&[".a", "."]), Wanted::All);
        assert_eq!(wanted(&[".x.y", ".x"]).member("x"), Some(&Wanted::All));
        assert_eq!(wanted(&[]).member("a"), None);
    }
}
