//! As whom and within which limits a command runs: what a declaration says, in the numbers of the kernel.

use std::fs;
use std::io;

use piton_keeper::{Identity, Limits};
use piton_model::Confinement;

/// The users and groups of the host, as its files tell them.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

/// A user or group that the host does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{name}` on this host")]
pub struct UnknownAccount {
    /// `user` or `group`.
    pub what: &'static str,
    /// How it was called.
    pub name: String,
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

impl Accounts {
    /// Those of `/etc/passwd` and `/etc/group`.
    pub fn read() -> io::Result<Accounts> {
        Ok(Accounts { passwd: fs::read_to_string("/etc/passwd")?, group: fs::read_to_string("/etc/group")? })
    }

    /// What `confinement` means on this host.
    pub fn limits(&self, confinement: &Confinement) -> Result<Limits, UnknownAccount> {
        let Confinement {
            user,
            group,
            umask,
            nice,
            oom_score_adj,
            no_new_privileges,
            stdin,
            rlimits,
            memory_max,
            cpu_percent,
            pids_max,
        } = confinement;
        Ok(Limits {
            identity: self.identity(user.as_deref(), group.as_deref())?,
            umask: *umask,
            nice: *nice,
            oom_score_adj: *oom_score_adj,
            no_new_privileges: *no_new_privileges,
            stdin: stdin.clone(),
            rlimits: rlimits.iter().map(|(name, limit)| (name.clone(), (limit.soft, limit.hard))).collect(),
            memory_max: *memory_max,
            cpu_percent: *cpu_percent,
            pids_max: *pids_max,
        })
    }

    fn identity(&self, user: Option<&str>, group: Option<&str>) -> Result<Option<Identity>, UnknownAccount> {
        if user.is_none() && group.is_none() {
            return Ok(None);
        }
        let unknown = |what, name: &str| UnknownAccount { what, name: name.to_owned() };
        let gid = |name: &str| {
            let found = lines(&self.group).find(|fields| fields.first() == Some(&name));
            let named = found.and_then(|fields| fields.get(2)?.parse().ok());
            named.or_else(|| name.parse().ok()).ok_or_else(|| unknown("group", name))
        };
        let wanted = group.map(gid).transpose()?;
        let own = rustix::process::geteuid().as_raw();
        let Some(user) = user else {
            let gid = wanted.unwrap_or_else(|| rustix::process::getegid().as_raw());
            return Ok(Some(Identity { uid: own, gid, groups: vec![gid] }));
        };
        let number = user.parse().ok();
        let known = self.users().find(|known| known.name == user);
        let known = known.or_else(|| self.users().find(|known| Some(known.uid) == number));
        match (known, number) {
            (Some(known), _) => {
                let gid = wanted.unwrap_or(known.gid);
                let mut groups: Vec<u32> = self.groups_of(known.name).chain([known.gid, gid]).collect();
                groups.sort_unstable();
                groups.dedup();
                Ok(Some(Identity { uid: known.uid, gid, groups }))
            }
            // Numbers need no names.
            (None, Some(uid)) => {
                let gid = wanted.unwrap_or(uid);
                Ok(Some(Identity { uid, gid, groups: vec![gid] }))
            }
            (None, None) => Err(unknown("user", user)),
        }
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        lines(&self.passwd).filter_map(|fields| match fields.as_slice() {
            [name, _, uid, gid, ..] => Some(User { name, uid: uid.parse().ok()?, gid: gid.parse().ok()? }),
            _ => None,
        })
    }

    fn groups_of(&self, user: &str) -> impl Iterator<Item = u32> {
        lines(&self.group).filter_map(move |fields| match fields.as_slice() {
            [_, _, gid, members, ..] if members.split(',').any(|member| member == user) => gid.parse().ok(),
            _ => None,
        })
    }
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1001::/srv/ana:/bin/sh\n# nobody\nbroken\n".to_owned(),
            group: "root:x:0:\nana:x:1001:\nadm:x:4:ana,ben\naudio:x:29:ben\n7:x:70:\n".to_owned(),
        }
    }

    fn identity(user: Option<&str>, group: Option<&str>) -> Result<Option<Identity>, UnknownAccount> {
        accounts().identity(user, group)
    }

    #[test]
    fn users_and_groups_go_by_name_or_number() {
        let ana = |gid: u32, groups: &[u32]| Ok(Some(Identity { uid: 1000, gid, groups: groups.to_vec() }));
        assert_eq!(identity(Some("ana"), None), ana(1001, &[4, 1001]));
        assert_eq!(identity(Some("1000"), Some("audio")), ana(29, &[4, 29, 1001]));
        assert_eq!(identity(Some("4711"), None), Ok(Some(Identity { uid: 4711, gid: 4711, groups: vec![4711] })));
        // A name wins over a number, as everywhere.
        assert_eq!(identity(Some("4711"), Some("7")), Ok(Some(Identity { uid: 4711, gid: 70, groups: vec![70] })));
        assert_eq!(identity(None, None), Ok(None));
        assert_eq!(identity(None, Some("adm")).unwrap().unwrap().gid, 4);
        assert_eq!(identity(Some("eve"), None).unwrap_err().to_string(), "there is no user `eve` on this host");
        assert_eq!(identity(Some("ana"), Some("eve")).unwrap_err().what, "group");
    }

    #[test]
    fn limits_are_passed_on() {
        let confinement = Confinement {
            umask: Some(0o027),
            nice: Some(5),
            rlimits: [("nofile".to_owned(), piton_model::Rlimit { soft: Some(64), hard: None })].into(),
            ..Confinement::default()
        };
        let limits = accounts().limits(&confinement).unwrap();
        assert_eq!((limits.umask, limits.nice, limits.identity), (Some(0o027), Some(5), None));
        assert_eq!(limits.rlimits["nofile"], (Some(64), None));
        assert_eq!(accounts().limits(&Confinement::default()).unwrap(), Limits::default());
    }
}
