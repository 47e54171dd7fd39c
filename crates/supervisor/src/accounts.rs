//! Users and groups by name, as `/etc/passwd` and `/etc/group` know them.

use std::fs;

use piton_keeper::Identity;

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
    pub(crate) shell: String,
}

/// What the two files say.
#[derive(Debug)]
pub(crate) struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads both files. They are small, and may change at any time.
    pub(crate) fn read() -> Result<Accounts, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"));
        Ok(Accounts { passwd: read("/etc/passwd")?, group: read("/etc/group")? })
    }

    /// Who somebody is to the kernel, and the user's entry if there is one.
    pub(crate) fn identity(
        &self,
        user: Option<&str>,
        group: Option<&str>,
    ) -> Result<Option<(Identity, Option<User>)>, String> {
        let entry = user.map(|user| self.user(user)).transpose()?;
        let group = group.map(|group| self.group(group)).transpose()?;
        let (uid, user, own_group) = match entry {
            Some((uid, user)) => (uid, user.clone(), user.map(|user| user.gid)),
            None => match group {
                Some(_) => (rustix::process::geteuid().as_raw(), None, None),
                None => return Ok(None),
            },
        };
        let gid = group
            .or(own_group)
            .ok_or_else(|| format!("the user {uid} is not in /etc/passwd, so a group has to be named"))?;
        let mut groups = vec![gid];
        groups.extend(user.iter().flat_map(|user| self.memberships(&user.name)).filter(|other| *other != gid));
        Ok(Some((Identity { uid, gid, groups }, user)))
    }

    fn user(&self, name: &str) -> Result<(u32, Option<User>), String> {
        let users = || self.passwd.lines().filter_map(parse_user);
        if let Some(user) = users().find(|user| user.name == name) {
            return Ok((user.uid, Some(user)));
        }
        match name.parse() {
            Ok(uid) => Ok((uid, users().find(|user| user.uid == uid))),
            Err(_) => Err(format!("there is no user `{name}` in /etc/passwd")),
        }
    }

    fn group(&self, name: &str) -> Result<u32, String> {
        let found = self.group.lines().filter_map(parse_group).find(|(group, ..)| *group == name);
        match (found, name.parse()) {
            (Some((_, gid, _)), _) | (None, Ok(gid)) => Ok(gid),
            (None, Err(_)) => Err(format!("there is no group `{name}` in /etc/group")),
        }
    }

    fn memberships(&self, user: &str) -> Vec<u32> {
        let groups = self.group.lines().filter_map(parse_group);
        groups.filter(|(.., members)| members.split(',').any(|member| member == user)).map(|(_, gid, _)| gid).collect()
    }
}

fn parse_user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1)?.to_owned();
    Some(User { name, uid, gid, home, shell: fields.next().unwrap_or_default().to_owned() })
}

fn parse_group(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let gid = fields.nth(1)?.parse().ok()?;
    Some((name, gid, fields.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nnonsense\nweb:x:33:34:,,,:/var/www:/bin/sh\n".to_owned();
        Accounts { passwd, group: "root:x:0:\nweb:x:34:\nlogs:x:50:root,web\nssl:x:51:web\n".to_owned() }
    }

    #[test]
    fn names_and_numbers() {
        let of = |user, group| accounts().identity(user, group).map(|found| found.map(|(identity, _)| identity));
        let web = Identity { uid: 33, gid: 34, groups: vec![34, 50, 51] };
        assert_eq!(of(Some("web"), None), Ok(Some(web.clone())));
        assert_eq!(of(Some("33"), None), Ok(Some(web)));
        assert_eq!(of(Some("web"), Some("logs")).unwrap().unwrap().groups, [50, 51]);
        assert_eq!(of(Some("4000"), Some("7")), Ok(Some(Identity { uid: 4000, gid: 7, groups: vec![7] })));
        assert_eq!(of(None, None), Ok(None));
        assert_eq!(of(None, Some("web")).unwrap().unwrap().gid, 34);
    }

    #[test]
    fn whoever_is_missing_is_named() {
        let of = |user, group| accounts().identity(user, group).unwrap_err();
        assert_eq!(of(Some("nobody-here"), None), "there is no user `nobody-here` in /etc/passwd");
        assert_eq!(of(Some("web"), Some("staff")), "there is no group `staff` in /etc/group");
        assert!(of(Some("4000"), None).contains("a group has to be named"));
    }
}
