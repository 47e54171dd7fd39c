//! The forges of an installation, from `[gitlab]`, `[github]`, `[gitea]` and `[git_remote]`.

use piton_exec::guard::Guard;
use piton_forge::{Access, Error, Forge, Kind, Owner, Patience, Settings, SshKey};
use piton_model::{Failure, FailureClass, GitProvider, Scaffold, Secret};
use piton_spec::{GitRemote, HostedForge};

use crate::error::{CommandError, Exit};
use crate::place::Place;

/// The forges in which repositories can be made.
#[derive(Debug)]
pub struct Forges {
    gitlab: Hosted,
    github: Hosted,
    gitea: Option<Hosted>,
    git: Option<Forge>,
}

#[derive(Debug)]
struct Hosted {
    /// None where there is no token.
    forge: Option<Forge>,
    owner: Option<String>,
}

impl Forges {
    /// Connects to nobody yet.
    pub fn new(place: &Place, guard: &Guard) -> Result<Forges, CommandError> {
        let config = &place.config.forges;
        let settings = Settings {
            reach: guard.clone(),
            patience: Patience { idle: place.config.worker.forge_timeout, ..Patience::default() },
            allow_http: place.config.git.allow_http,
            allow_file: true,
            private_dir: Some(super::workspace_dir(place)),
            ..Settings::default()
        };
        let hosted = |kind, section: &str, forge: &HostedForge| {
            let connect = |token: &Secret<String>| {
                Forge::hosted(kind, &forge.url, token, settings.clone()).map_err(|error| bad(section, &error))
            };
            let connected = forge.token.as_ref().map(connect).transpose()?;
            Ok::<_, CommandError>(Hosted { forge: connected, owner: forge.owner.clone() })
        };
        Ok(Forges {
            gitlab: hosted(Kind::GitLab, "gitlab", &config.gitlab)?,
            github: hosted(Kind::GitHub, "github", &config.github)?,
            gitea: config.gitea.as_ref().map(|gitea| hosted(Kind::Gitea, "gitea", gitea)).transpose()?,
            git: config.git_remote.as_ref().map(|remote| plain(place, remote, settings.clone())).transpose()?,
        })
    }

    /// The forge for a run, and whose the repository is there.
    pub fn of(&self, scaffold: &Scaffold) -> Result<(&Forge, Owner), Failure> {
        let hosted = match scaffold.provider {
            GitProvider::Gitlab => Some(&self.gitlab),
            GitProvider::Github => Some(&self.github),
            GitProvider::Gitea => self.gitea.as_ref(),
            GitProvider::Git => None,
        };
        let forge = match scaffold.provider {
            GitProvider::Git => self.git.as_ref(),
            GitProvider::Gitlab | GitProvider::Github | GitProvider::Gitea => {
                hosted.and_then(|hosted| hosted.forge.as_ref())
            }
        };
        let word = scaffold.provider.as_str();
        let Some(forge) = forge else {
            let message = format!("nothing says how to make repositories at {}", scaffold.provider.name());
            let hint = match scaffold.provider {
                GitProvider::Git => "set `git_remote.url`".to_owned(),
                GitProvider::Gitea => "set `gitea.url` and `gitea.token`".to_owned(),
                GitProvider::Gitlab | GitProvider::Github => format!("set `{word}.token`"),
            };
            return Err(Failure::new(FailureClass::Permanent, "forge_not_configured", message).hint(hint));
        };
        let configured = hosted.and_then(|hosted| hosted.owner.as_deref());
        let namespace = Some(scaffold.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let owner = match scaffold.provider {
            // Its addresses are made of namespaces; nobody there knows numbers.
            GitProvider::Git => namespace.or(scaffold.group_id.as_deref()),
            GitProvider::Gitlab | GitProvider::Github | GitProvider::Gitea => {
                scaffold.group_id.as_deref().or(configured).or(namespace)
            }
        };
        let owner = owner.unwrap_or_default().parse().map_err(|error| failure(&Error::from(error)))?;
        Ok((forge, owner))
    }
}

/// What went wrong at a forge, as a step says it.
pub fn failure(error: &Error) -> Failure {
    let failure = error.failure();
    match error.retry_after() {
        Some(delay) => failure.retry_after(delay),
        None => failure,
    }
}

fn plain(place: &Place, remote: &GitRemote, settings: Settings) -> Result<Forge, CommandError> {
    let ssh = remote.ssh_key.as_ref().map(|path| {
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path)
                .map_err(|error| bad("git_remote.ssh_key", &format!("{}: {error}", path.display())))
        };
        let known_hosts = place.config.git.known_hosts.as_deref().map(read).transpose()?.unwrap_or_default();
        Ok::<_, CommandError>(SshKey { private_key: Secret::new(read(path)?), passphrase: None, known_hosts })
    });
    let access = match (&remote.username, &remote.password) {
        (Some(username), Some(password)) => Access::Basic { username: username.clone(), password: password.clone() },
        (None, Some(password)) => Access::Bearer(password.clone()),
        (_, None) => Access::Anybody,
    };
    let settings = Settings { ssh: ssh.transpose()?, ..settings };
    Forge::plain(&remote.url, &access, settings).map_err(|error| bad("git_remote", &error))
}

fn bad(key: &str, error: &dyn std::fmt::Display) -> CommandError {
    CommandError::new(Exit::BadConfig, format!("{key}: {error}"))
}
