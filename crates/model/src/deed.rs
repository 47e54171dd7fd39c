//! What people and programs do to Piton itself.

use serde::{Deserialize, Serialize};

use crate::By;

/// Who did what, for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Who.
    pub by: By,
    /// What.
    pub act: Act,
    /// To which user, client, job, template or process, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The address they came from, where they came over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// More about it; never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Deed {
    /// A deed of which no more is known.
    pub fn new(by: By, act: Act) -> Deed {
        Deed { by, act, target: None, from: None, detail: None }
    }

    /// The same, done to somebody.
    pub fn to(self, target: impl Into<String>) -> Deed {
        Deed { target: Some(target.into()), ..self }
    }

    /// The same, with more about it.
    pub fn saying(self, detail: impl Into<String>) -> Deed {
        Deed { detail: Some(detail.into()), ..self }
    }

    /// The deed in words.
    pub fn sentence(&self) -> String {
        let target = self.target.as_deref().map(|target| format!(" {target}")).unwrap_or_default();
        format!("{} by {}{target}", self.act.as_str(), self.by)
    }
}

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What somebody did.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Act {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl Act {
            /// Every act.
            pub const ALL: &[Act] = &[$(Act::$name),*];

            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self { $(Act::$name => $word),* }
            }
        }
    };
}

acts! {
    /// Somebody logged in.
    LoggedIn = "logged_in",
    /// Somebody tried to log in and could not.
    LoginFailed = "login_failed",
    /// Too many tries: for a while nobody is heard under that name or from that address.
    LockedOut = "locked_out",
    /// Somebody logged out; their token is worth nothing any more.
    LoggedOut = "logged_out",
    /// A user was made.
    UserCreated = "user_created",
    /// A user was changed.
    UserChanged = "user_changed",
    /// A user was removed.
    UserDeleted = "user_deleted",
    /// A password was changed.
    PasswordChanged = "password_changed",
    /// A client was made.
    ClientCreated = "client_created",
    /// A client was changed.
    ClientChanged = "client_changed",
    /// A client was removed.
    ClientDeleted = "client_deleted",
    /// Tokens are signed with a new key.
    KeyRotated = "key_rotated",
    /// Every token that was given out until then is worth nothing any more.
    TokensRevoked = "tokens_revoked",
    /// A job was made, or the declaration of one.
    JobCreated = "job_created",
    /// A job was made anew in its place, or its declaration was changed.
    JobUpdated = "job_updated",
    /// A job was removed, or its declaration.
    JobDeleted = "job_deleted",
    /// A job is held back, or its schedule.
    JobSuspended = "job_suspended",
    /// A job goes on, or its schedule.
    JobResumed = "job_resumed",
    /// A template was registered.
    TemplateAdded = "template_added",
    /// A template was fetched again.
    TemplateUpdated = "template_updated",
    /// A template was removed.
    TemplateRemoved = "template_removed",
    /// A process was declared.
    ProcessRegistered = "process_registered",
    /// The declaration of a process was changed.
    ProcessUpdated = "process_updated",
    /// The declaration of a process was removed.
    ProcessUnregistered = "process_unregistered",
    /// Processes were started by hand.
    ProcessStarted = "process_started",
    /// Processes were stopped by hand.
    ProcessStopped = "process_stopped",
    /// Processes were stopped and started by hand.
    ProcessRestarted = "process_restarted",
    /// The number of a process's instances was changed.
    ProcessScaled = "process_scaled",
    /// Provisions were scheduled.
    ProvisionsScheduled = "provisions_scheduled",
    /// A scheduled provision was cancelled.
    ProvisionCancelled = "provision_cancelled",
    /// A scheduled provision shall not wait for its time.
    ProvisionHastened = "provision_hastened",
    /// A scheduled provision was given another time.
    ProvisionRescheduled = "provision_rescheduled",
    /// A scheduled provision that was not done shall be tried once more.
    ProvisionRetried = "provision_retried",
    /// A scheduled provision was approved.
    ProvisionApproved = "provision_approved",
    /// A scheduled provision was refused.
    ProvisionRejected = "provision_rejected",
    /// The daemon was told to end.
    ShutDown = "shut_down",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;

    #[test]
    fn every_deed_can_be_read_back() {
        for act in Act::ALL {
            assert_eq!(serde_json::to_value(act).unwrap(), act.as_str());
            let mut deed = Deed::new(By::Client("client_1".to_owned()), *act).to("anna").saying("roles: viewer");
            deed.from = Some("192.0.2.1".to_owned());
            for record in [Record::Audit(deed), Record::Audit(Deed::new(By::System, *act))] {
                let text = serde_json::to_string(&record).unwrap();
                assert!(text.starts_with(r#"{"record":"audit""#), "{text}");
                assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
            }
        }
    }
}
