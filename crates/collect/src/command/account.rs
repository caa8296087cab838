//! The account a program runs as, of `/etc/passwd` and `/etc/group` (`passwd(5)`, `group(5)`). Directory services are not asked.

use std::{fs, path::Path};

use rustix::process::{getegid, geteuid};

/// Files larger than this are not the ones that are meant.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: String,
    /// What to become; none when that is what Attestry is.
    pub(super) switch_to: Option<Ids>,
}

/// The numbers of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

impl Account {
    /// The account `user`, a name or a number; our own without one. Otherwise why a program cannot run as it.
    pub(super) fn find(root: &Path, user: Option<&str>) -> Result<Account, String> {
        let passwd = read(&root.join("etc/passwd"));
        let own = geteuid().as_raw();
        let Some(user) = user else {
            let entry = passwd.lines().find_map(|line| Entry::parse(line).filter(|entry| entry.uid == own));
            return Ok(match entry {
                Some(entry) => Account { name: entry.name.into(), home: entry.home.into(), switch_to: None },
                None => Account { name: own.to_string(), home: "/".into(), switch_to: None },
            });
        };
        let entries = || passwd.lines().filter_map(Entry::parse);
        let entry = entries().find(|entry| entry.name == user);
        let entry = entry.or_else(|| entries().find(|entry| user.parse() == Ok(entry.uid)));
        let entry = entry.ok_or_else(|| format!("there is no user {user} in /etc/passwd"))?;
        if own != 0 && entry.uid != own {
            return Err(format!("only root can run it as {user}"));
        }
        let switch_to = (own == 0).then(|| Ids {
            uid: entry.uid,
            gid: entry.gid,
            groups: groups(&read(&root.join("etc/group")), entry.name, entry.gid),
        });
        let switch_to = switch_to.filter(|ids| (ids.uid, ids.gid) != (own, getegid().as_raw()));
        Ok(Account { name: entry.name.into(), home: entry.home.into(), switch_to })
    }
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Entry<'a>> {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).filter(|home| !home.is_empty()).unwrap_or("/");
        Some(Entry { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    }
}

/// The account's own group, and those it is a member of.
fn groups(text: &str, name: &str, gid: u32) -> Vec<u32> {
    let mut groups = vec![gid];
    for line in text.lines() {
        let mut fields = line.split(':');
        let Some(id) = fields.nth(2).and_then(|id| id.parse().ok()) else { continue };
        if fields.next().is_some_and(|members| members.split(',').any(|member| member == name)) {
            groups.push(id);
        }
    }
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn read(path: &Path) -> String {
    let small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE_BYTES);
    let bytes = if small { fs::read(path).unwrap_or_default() } else { Vec::new() };
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_with_their_groups() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        let own = geteuid().as_raw();
        let passwd = format!(
            "me:x:{own}:{}:Me:/home/me:/bin/sh\nbroken:x\nalice:x:5000:5001::/home/alice:/bin/sh\nbare:x:5002:5002:::\n",
            getegid().as_raw()
        );
        fs::write(folder.path().join("etc/passwd"), passwd).unwrap();
        fs::write(
            folder.path().join("etc/group"),
            "adm:x:4:syslog,alice\nalice:x:5001:\nali:x:6:ali\nbad:x:x:alice\ndev:x:7:alice,me\n",
        )
        .unwrap();
        let find = |user| Account::find(folder.path(), user);
        let me = Account { name: "me".into(), home: "/home/me".into(), switch_to: None };
        assert_eq!(find(None), Ok(me.clone()));
        assert_eq!(find(Some("me")), Ok(me));
        assert!(find(Some("nobody-here")).unwrap_err().contains("no user nobody-here"));
        assert!(find(Some("broken")).is_err());
        if own == 0 {
            let ids = Ids { uid: 5000, gid: 5001, groups: vec![4, 7, 5001] };
            let alice = Account { name: "alice".into(), home: "/home/alice".into(), switch_to: Some(ids) };
            assert_eq!(find(Some("alice")), Ok(alice.clone()));
            assert_eq!(find(Some("5000")), Ok(alice));
            assert_eq!(find(Some("bare")).unwrap().home, "/");
        } else {
            assert!(find(Some("alice")).unwrap_err().contains("only root"));
        }
        let none = Account::find(&folder.path().join("none"), None).unwrap();
        assert_eq!((none.name, none.home), (own.to_string(), "/".to_owned()));
    }
}
