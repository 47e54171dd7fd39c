//! As whom and within which limits a command runs: what a declaration says, in the numbers of the kernel.

use piton_keeper::{Identity, Limits};
use piton_model::Confinement;

use crate::accounts::{AccountError, Accounts, User};

/// What `confinement` means on this host, and the entry of the user that it names, if there is one.
pub fn limits_of(confinement: &Confinement) -> Result<(Limits, Option<User>), AccountError> {
    let (user, group) = (confinement.user.as_deref(), confinement.group.as_deref());
    let found = if user.is_some() || group.is_some() { Accounts::read()?.identity(user, group)? } else { None };
    let (identity, user) = found.map_or((None, None), |(identity, user)| (Some(identity), user));
    Ok((limits(confinement, identity), user))
}

fn limits(confinement: &Confinement, identity: Option<Identity>) -> Limits {
    let Confinement {
        user: _,
        group: _,
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
    Limits {
        identity,
        umask: *umask,
        nice: *nice,
        oom_score_adj: *oom_score_adj,
        no_new_privileges: *no_new_privileges,
        stdin: stdin.clone(),
        rlimits: rlimits.iter().map(|(name, limit)| (name.clone(), (limit.soft, limit.hard))).collect(),
        memory_max: *memory_max,
        cpu_percent: *cpu_percent,
        pids_max: *pids_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_passed_on() {
        let confinement = Confinement {
            umask: Some(0o027),
            nice: Some(5),
            rlimits: [("nofile".to_owned(), piton_model::Rlimit { soft: Some(64), hard: None })].into(),
            ..Confinement::default()
        };
        let (limits, user) = limits_of(&confinement).unwrap();
        assert_eq!((limits.umask, limits.nice, limits.identity, user), (Some(0o027), Some(5), None, None));
        assert_eq!(limits.rlimits["nofile"], (Some(64), None));
        assert_eq!(limits_of(&Confinement::default()).unwrap(), (Limits::default(), None));
        let root = Confinement { user: Some("0".to_owned()), ..Confinement::default() };
        let (limits, user) = limits_of(&root).unwrap();
        assert_eq!((limits.identity.unwrap().uid, user.unwrap().uid), (0, 0));
    }
}
