//! The words of a scheduled provision, as the table and the API spell them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is none of the words it might be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is none of {expected}")]
pub struct UnknownWord {
    /// What was given, escaped for display.
    pub text: String,
    /// The words, for people.
    pub expected: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$each:meta])* $name:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type {
            $($(#[$each])* #[serde(rename = $word)] $name,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: &[$type] = &[$($type::$name),*];

            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self { $($type::$name => $word),* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $type::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| UnknownWord {
                    text: text.escape_debug().take(100).collect(),
                    expected: [$(concat!("`", $word, "`")),*].join(", "),
                })
            }
        }
    };
}

words! {
    /// What is to be done to an account.
    JobType {
        /// Make it.
        Provision = "provision",
        /// Remove it for good.
        Terminate = "terminate",
        /// Lock it.
        Suspend = "suspend",
        /// Unlock it.
        Reactivate = "reactivate",
        /// Change the groups it is in.
        ModifyGroups = "modify_groups",
        /// Change its licences.
        ModifyLicense = "modify_license",
        /// Change its role.
        ModifyRole = "modify_role",
        /// Give it a new password.
        PasswordReset = "password_reset",
        /// Give what it owns to another account.
        TransferOwnership = "transfer_ownership",
    }
}

words! {
    /// Where a scheduled provision stands.
    ScheduleStatus {
        /// It waits for its time, or for the next try.
        Pending = "pending",
        /// The provisioning API is being called.
        Executing = "executing",
        /// The provisioning API has done it.
        Completed = "completed",
        /// It was not done, and will not be tried again.
        Failed = "failed",
        /// Somebody did not want it any more.
        Cancelled = "cancelled",
    }
}

words! {
    /// Whether somebody has to agree before it is executed.
    ApprovalStatus {
        /// Nobody has.
        AutoApproved = "auto_approved",
        /// Somebody has, and has not yet.
        PendingApproval = "pending_approval",
        /// Somebody has agreed.
        Approved = "approved",
        /// Somebody has refused.
        Rejected = "rejected",
    }
}

impl ApprovalStatus {
    /// Whether it may be executed.
    pub fn allows(self) -> bool {
        match self {
            ApprovalStatus::AutoApproved | ApprovalStatus::Approved => true,
            ApprovalStatus::PendingApproval | ApprovalStatus::Rejected => false,
        }
    }
}
