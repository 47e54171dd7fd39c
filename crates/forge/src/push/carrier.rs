//! Who carries what is said to a server: HTTP, SSH, or git's own program for a repository on this disk.

use reqwest::header::HeaderValue;

use super::http::HttpRemote;
use super::program::{Directory, OverSsh};
use super::{Descent, Job, Outcome};
use crate::error::Error;
use crate::forge::Settings;
use crate::remote::Remote;
use crate::web::Web;

/// The way to one repository.
pub(crate) enum Carrier<'a> {
    Http(HttpRemote<'a>),
    Ssh(OverSsh<'a>),
    File(Directory<'a>),
}

impl<'a> Carrier<'a> {
    pub(crate) fn of(
        remote: &'a Remote,
        settings: &'a Settings,
        web: &'a Web,
        authorization: Option<&'a HeaderValue>,
    ) -> Result<Carrier<'a>, Error> {
        let private = settings.private_dir.as_deref();
        Ok(match remote {
            Remote::Http(url) => Carrier::Http(HttpRemote { web, url, authorization }),
            Remote::Ssh(remote) => {
                let key = settings.ssh.as_ref();
                let key = key.ok_or(Error::Credentials { problem: "a repository behind SSH needs a key" })?;
                Carrier::Ssh(OverSsh { remote, key, guard: &settings.reach, private })
            }
            Remote::File(repository) => Carrier::File(Directory { repository, private }),
        })
    }

    pub(crate) async fn push(&self, job: Job<'_>) -> Result<Outcome, Error> {
        match self {
            Carrier::Http(remote) => remote.push(job).await,
            Carrier::Ssh(remote) => remote.push(job).await,
            Carrier::File(directory) => directory.push(job).await,
        }
    }

    /// Whether a branch has gone on from a commit.
    pub(crate) async fn descends(&self, asked: Descent<'_>) -> Result<bool, Error> {
        match self {
            Carrier::Http(remote) => remote.descends(asked).await,
            Carrier::Ssh(remote) => remote.descends(asked).await,
            Carrier::File(directory) => directory.descends(asked).await,
        }
    }
}
