//! What the files say of users and groups now.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use attestry_event::Nanos;
use serde::{Deserialize, Serialize};

use super::{keys, sudoers};
use crate::{compared, follow::Gap, mounted::Mounts, names::Names, regular};

/// A larger account file is not read: 100,000 accounts take some 8 MiB.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Everything that is compared.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) users: BTreeMap<String, User>,
    pub(super) groups: BTreeMap<String, Group>,
    /// By file: the lines that mean something.
    pub(super) rules: BTreeMap<String, BTreeSet<String>>,
    /// By user. A user whose files could never be read is not in it.
    pub(super) keys: BTreeMap<String, BTreeSet<keys::Key>>,
}

/// A line of passwd, with that of shadow where it can be read.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct User {
    pub(super) uid: String,
    pub(super) gid: String,
    pub(super) information: String,
    pub(super) home: String,
    pub(super) shell: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shadow: Option<Shadow>,
}

/// A line of shadow. Days are counted from 1970-01-01.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Shadow {
    pub(super) kind: Kind,
    /// A keyed hash of what stands for the password, without the mark that locks it.
    pub(super) password: String,
    /// The fields from the third on, by [`AGES`].
    pub(super) ages: Vec<String>,
}

/// What the last fields of shadow are, as `chage` and `user.change` call them.
pub(super) const AGES: [&str; 6] = [
    "password changed",
    "password minimum age",
    "password maximum age",
    "password warning",
    "password inactive",
    "expiry",
];

/// What a password is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// No password gives entry.
    #[default]
    None,
    /// There is one.
    Set,
    /// There is one, and it is locked.
    Locked,
    /// No password is asked for.
    Empty,
}

/// A line of group.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Group {
    pub(super) gid: String,
    pub(super) members: BTreeSet<String>,
}

/// One look: the state, when each file last changed, and what could not be read.
pub(super) struct Look {
    pub(super) state: State,
    pub(super) times: BTreeMap<String, Nanos>,
    pub(super) unread: Vec<Gap>,
    pub(super) now: Nanos,
    keys: bool,
}

/// The names of the files as they are told.
pub(super) const PASSWD: &str = "/etc/passwd";
pub(super) const SHADOW: &str = "/etc/shadow";
pub(super) const GROUP: &str = "/etc/group";
pub(super) const SUDOERS: &str = "/etc/sudoers";

impl Look {
    pub(super) fn take(root: &Path, proc: &Path, keys: bool, names: &Names, now: Nanos) -> Look {
        let mut look =
            Look { state: State::default(), times: BTreeMap::new(), unread: Vec::new(), now, keys };
        let passwd = look.file(root, PASSWD);
        let shadow = look.file(root, SHADOW).map(|text| shadows(&text, names));
        look.state.users = users(&passwd.unwrap_or_default(), shadow.as_ref());
        look.state.groups = groups(&look.file(root, GROUP).unwrap_or_default());
        sudoers::read(root, &mut look);
        if keys {
            keys::read(root, &Mounts::read(proc), &mut look);
        }
        look
    }

    /// The text of a file of the system; what is not there is empty.
    pub(super) fn file(&mut self, root: &Path, name: &str) -> Option<String> {
        match regular::read(&under(root, name), MAX_FILE_BYTES) {
            Ok((bytes, meta)) => {
                self.times.insert(name.to_owned(), compared::changed(&meta, self.now));
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            // A host without shadow or sudo is no failure; one without accounts is.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name != PASSWD && name != GROUP => None,
            Err(error) => {
                self.unread.push(Gap { file: name.to_owned(), reason: format!("cannot be read: {error}") });
                None
            }
        }
    }

    /// Whether an earlier look had read what this one could not.
    pub(super) fn was_read(&self, known: Option<&State>, file: &str) -> bool {
        known.is_some_and(|known| match file {
            SHADOW => known.users.values().any(|user| user.shadow.is_some()),
            SUDOERS => !known.rules.is_empty(),
            PASSWD | GROUP => true,
            other => known.rules.contains_key(other) || known.keys.contains_key(other),
        })
    }

    /// What cannot be read now stays as it was known: nothing of it has gone.
    pub(super) fn keep_unread_of(&mut self, known: Option<&State>) {
        let Some(known) = known else { return };
        let unread: BTreeSet<&str> = self.unread.iter().map(|gap| gap.file.as_str()).collect();
        if unread.contains(PASSWD) {
            self.state.users = known.users.clone();
        }
        if unread.contains(GROUP) {
            self.state.groups = known.groups.clone();
        }
        // Also when shadow is gone: a password that cannot be seen has not changed.
        for (name, user) in &mut self.state.users {
            if user.shadow.is_none() {
                user.shadow = known.users.get(name).and_then(|user| user.shadow.clone());
            }
        }
        for (file, rules) in &known.rules {
            // The main file names the others.
            if unread.contains(file.as_str()) || unread.contains(SUDOERS) {
                self.state.rules.insert(file.clone(), rules.clone());
            }
        }
        for (user, keys) in &known.keys {
            if !self.keys || unread.contains(user.as_str()) {
                self.state.keys.insert(user.clone(), keys.clone());
            }
        }
        if unread.contains(PASSWD) {
            self.state.keys = known.keys.clone();
        }
    }
}

#[cfg(test)]
impl Look {
    pub(super) fn of(state: State) -> Look {
        Look { state, times: BTreeMap::new(), unread: Vec::new(), now: Nanos(0), keys: true }
    }
}

/// Where a path of the host lies.
pub(super) fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Lines of fields between colons; a name that comes again is told apart, because only its first line counts and the second hides.
fn fields(text: &str) -> impl Iterator<Item = (String, Vec<&str>)> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).map(move |line| {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        let times = seen.entry(name).or_default();
        *times += 1;
        let name = if *times == 1 { name.to_owned() } else { format!("{name} (line {times})") };
        (name, fields.collect())
    })
}

fn users(passwd: &str, shadow: Option<&BTreeMap<String, Shadow>>) -> BTreeMap<String, User> {
    let user = |(name, fields): (String, Vec<&str>)| {
        let field = |at: usize| fields.get(at).copied().unwrap_or_default().to_owned();
        let shadow = shadow.and_then(|all| all.get(&name).cloned());
        let user = User {
            uid: field(1),
            gid: field(2),
            information: field(3),
            home: field(4),
            shell: field(5),
            shadow,
        };
        (name, user)
    };
    fields(passwd).map(user).collect()
}

fn shadows(text: &str, names: &Names) -> BTreeMap<String, Shadow> {
    let shadow = |(name, fields): (String, Vec<&str>)| {
        let password = fields.first().copied().unwrap_or_default();
        let bare = password.trim_start_matches('!');
        let kind = match (password, bare) {
            ("", _) => Kind::Empty,
            // What is no hash matches nothing: `*`, `!`, `!!`, `!*`, `x`.
            _ if bare.len() < 13 => Kind::None,
            _ if bare.len() < password.len() => Kind::Locked,
            _ => Kind::Set,
        };
        let kept = if matches!(kind, Kind::Set | Kind::Locked) { names.hashed(bare) } else { String::new() };
        let ages = fields.iter().skip(1).take(AGES.len()).map(|age| (*age).to_owned()).collect();
        (name, Shadow { kind, password: kept, ages })
    };
    fields(text).map(shadow).collect()
}

fn groups(text: &str) -> BTreeMap<String, Group> {
    let group = |(name, fields): (String, Vec<&str>)| {
        let members = fields.get(2).copied().unwrap_or_default().split(',').map(str::trim);
        let members = members.filter(|member| !member.is_empty()).map(str::to_owned).collect();
        (name, Group { gid: fields.get(1).copied().unwrap_or_default().to_owned(), members })
    };
    fields(text).map(group).collect()
}
