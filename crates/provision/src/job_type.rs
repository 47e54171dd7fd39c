//! What a delayed request asks for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a delayed request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobType {
    /// Make accounts.
    Provision,
    /// End somebody's access for good.
    Terminate,
    /// Keep somebody out for a while.
    Suspend,
    /// Let somebody in again.
    Reactivate,
    /// Put into groups and take out of groups.
    ModifyGroups,
    /// Give licences and take them.
    ModifyLicense,
    /// Give administrative roles and take them.
    ModifyRole,
    /// Set another password.
    PasswordReset,
    /// Hand somebody's files to somebody else.
    TransferOwnership,
}

impl JobType {
    /// The word that stands for it in files and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            JobType::Provision => "provision",
            JobType::Terminate => "terminate",
            JobType::Suspend => "suspend",
            JobType::Reactivate => "reactivate",
            JobType::ModifyGroups => "modify_groups",
            JobType::ModifyLicense => "modify_license",
            JobType::ModifyRole => "modify_role",
            JobType::PasswordReset => "password_reset",
            JobType::TransferOwnership => "transfer_ownership",
        }
    }
}

impl fmt::Display for JobType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_what_json_has() {
        for job_type in [JobType::Provision, JobType::ModifyGroups, JobType::TransferOwnership] {
            assert_eq!(serde_json::to_value(job_type).unwrap(), job_type.word());
        }
    }
}
