//! Users and groups by name or number, as `/etc/passwd` and `/etc/group` know them.

use std::fs;
use std::io;

use piton_keeper::Identity;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The home directory.
    pub home: String,
    /// The shell.
    pub shell: String,
}

/// Why it is not known as whom a command should run.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The host's files cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which file.
        path: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The host has no such user.
    #[error("there is no user `{0}` in /etc/passwd")]
    UnknownUser(String),
    /// The host has no such group.
    #[error("there is no group `{0}` in /etc/group")]
    UnknownGroup(String),
    /// Numbers need no names, but nobody says which group goes with this one.
    #[error("the user {0} is not in /etc/passwd, so a group has to be named")]
    NoGroup(u32),
}

/// What the two files say.
#[derive(Debug)]
pub(crate) struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads both files. They are small, and may change at any time.
    pub(crate) fn read() -> Result<Accounts, AccountError> {
        let read = |path| fs::read_to_string(path).map_err(|source| AccountError::Unreadable { path, source });
        Ok(Accounts { passwd: read(PASSWD)?, group: read(GROUP)? })
    }

    /// Who somebody is to the kernel, and the user's entry if there is one; nobody else if neither is named.
    pub(crate) fn identity(
        &self,
        user: Option<&str>,
        group: Option<&str>,
    ) -> Result<Option<(Identity, Option<User>)>, AccountError> {
        let group = group.map(|group| self.gid(group)).transpose()?;
        let (uid, user) = match (user, group) {
            (Some(user), _) => self.user(user)?,
            (None, Some(_)) => (rustix::process::geteuid().as_raw(), None),
            (None, None) => return Ok(None),
        };
        let own = user.as_ref().map(|user| user.gid);
        let gid = group.or(own).ok_or(AccountError::NoGroup(uid))?;
        let memberships = user.iter().flat_map(|user| self.memberships(&user.name));
        let mut groups: Vec<u32> = memberships.chain([gid]).collect();
        // As the kernel keeps them, so that who has them already is seen to.
        groups.sort_unstable();
        groups.dedup();
        Ok(Some((Identity { uid, gid, groups }, user)))
    }

    /// A name wins over a number, as everywhere.
    fn user(&self, name: &str) -> Result<(u32, Option<User>), AccountError> {
        let users = || lines(&self.passwd).filter_map(|fields| parse_user(&fields));
        if let Some(user) = users().find(|user| user.name == name) {
            return Ok((user.uid, Some(user)));
        }
        let uid = name.parse().map_err(|_| AccountError::UnknownUser(name.to_owned()))?;
        Ok((uid, users().find(|user| user.uid == uid)))
    }

    fn gid(&self, name: &str) -> Result<u32, AccountError> {
        let found = lines(&self.group).find(|fields| fields.first() == Some(&name));
        let gid = found.and_then(|fields| fields.get(2)?.parse().ok()).or_else(|| name.parse().ok());
        gid.ok_or_else(|| AccountError::UnknownGroup(name.to_owned()))
    }

    fn memberships(&self, user: &str) -> impl Iterator<Item = u32> {
        lines(&self.group).filter_map(move |fields| match fields.as_slice() {
            [_, _, gid, members, ..] if members.split(',').any(|member| member == user) => gid.parse().ok(),
            _ => None,
        })
    }
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(':').collect())
}

fn parse_user(fields: &[&str]) -> Option<User> {
    let [name, _, uid, gid, _, home, rest @ ..] = fields else { return None };
    Some(User {
        name: (*name).to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: (*home).to_owned(),
        shell: rest.first().copied().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(user: Option<&str>, group: Option<&str>) -> Result<Option<Identity>, AccountError> {
        let accounts = Accounts {
            passwd: "root:x:0:0:root:/root:/bin/bash\n# nobody\nbroken\nana:x:1000:1001:,,,:/srv/ana:/bin/sh\n"
                .to_owned(),
            group: "root:x:0:\nana:x:1001:\nadm:x:4:ana,ben\naudio:x:29:ben\n7:x:70:\n".to_owned(),
        };
        let found = accounts.identity(user, group)?;
        if let Some((_, Some(found))) = &found {
            assert_eq!(
                (found.name.as_str(), found.home.as_str(), found.shell.as_str()),
                ("ana", "/srv/ana", "/bin/sh")
            );
        }
        Ok(found.map(|(identity, _)| identity))
    }

    #[test]
    fn users_and_groups_go_by_name_or_number() {
        let ana = |gid: u32, groups: &[u32]| Some(Identity { uid: 1000, gid, groups: groups.to_vec() });
        assert_eq!(identity(Some("ana"), None).unwrap(), ana(1001, &[4, 1001]));
        assert_eq!(identity(Some("1000"), None).unwrap(), ana(1001, &[4, 1001]));
        assert_eq!(identity(Some("ana"), Some("audio")).unwrap(), ana(29, &[4, 29]));
        let number = |gid| Some(Identity { uid: 4711, gid, groups: vec![gid] });
        assert_eq!(identity(Some("4711"), Some("8")).unwrap(), number(8));
        assert_eq!(identity(Some("4711"), Some("7")).unwrap(), number(70), "a name wins over a number");
        assert_eq!(identity(None, None).unwrap(), None);
        let own = identity(None, Some("adm")).unwrap().unwrap();
        assert_eq!((own.uid, own.gid, own.groups), (rustix::process::geteuid().as_raw(), 4, vec![4]));
    }

    #[test]
    fn whoever_is_missing_is_named() {
        let of = |user, group| identity(user, group).unwrap_err().to_string();
        assert_eq!(of(Some("eve"), None), "there is no user `eve` in /etc/passwd");
        assert_eq!(of(Some("ana"), Some("staff")), "there is no group `staff` in /etc/group");
        assert_eq!(of(Some("4711"), None), "the user 4711 is not in /etc/passwd, so a group has to be named");
    }
}
