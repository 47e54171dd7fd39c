//! One forge with its credentials: what others call.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use piton_model::Secret;
use piton_model::guard::Guard;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::api::{Api, Client, GitHub, GitLab, Gitea, ensure};
use crate::commit::{Commit, is_of};
use crate::error::Error;
use crate::object::ObjectId;
use crate::plain::Plain;
use crate::push::{Carrier, Descent, Job, Outcome, SshKey};
use crate::remote::{Allowed, Remote, parse_web};
use crate::repository::{Published, Pushed, Repository};
use crate::wanted::Wanted;
use crate::web::{Patience, Web, is_loopback};

/// How the names of directories in [`Settings::private_dir`] begin.
pub const PRIVATE: &str = "piton-push-";

/// Forges with an interface for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GitLab.
    GitLab,
    /// GitHub, in the cloud or on premises.
    GitHub,
    /// Gitea and Forgejo.
    Gitea,
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Kind, Error> {
        match text.to_ascii_lowercase().as_str() {
            "gitlab" => Ok(Kind::GitLab),
            "github" => Ok(Kind::GitHub),
            "gitea" | "forgejo" | "codeberg" => Ok(Kind::Gitea),
            _ => Err(Error::Unsupported {
                forge: "Piton",
                what: "this kind of forge: write gitlab, github, gitea or forgejo",
            }),
        }
    }
}

impl Kind {
    /// What the path of its interface is below its address.
    fn interface(self) -> &'static str {
        match self {
            Kind::GitLab => "api/v4",
            Kind::GitHub => "api/v3",
            Kind::Gitea => "api/v1",
        }
    }

    /// The user's name beside a token. All but GitHub only look at the token.
    fn token_user(self) -> &'static str {
        match self {
            Kind::GitLab | Kind::Gitea => "oauth2",
            Kind::GitHub => "x-access-token",
        }
    }
}

/// Who asks a server that knows nothing but git.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// Anybody.
    #[default]
    Anybody,
    /// HTTP Basic.
    Basic {
        /// Who.
        username: String,
        /// The password, or a token.
        password: Secret<String>,
    },
    /// A token of its own right.
    Bearer(Secret<String>),
}

/// What holds for every forge of an installation.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Which addresses may be contacted.
    pub reach: Guard,
    /// How long a server may keep us waiting.
    pub patience: Patience,
    /// Whether credentials may travel in clear beyond this machine.
    pub allow_http: bool,
    /// Whether repositories on this machine's disk (`file://`) may be made and pushed to.
    pub allow_file: bool,
    /// Where files of SSH connections lie while they last; a directory that only its owner can enter, made where it is
    /// missing. What a crash leaves there may be removed later: directories whose names begin with [`PRIVATE`].
    pub private_dir: Option<PathBuf>,
    /// Pushes go over SSH with this key, and not over HTTP. The interface is still asked over HTTP.
    pub ssh: Option<SshKey>,
}

/// A forge. Clones share its connections, so it is worth keeping.
#[derive(Clone)]
pub struct Forge {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Forge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forge").field("base", &self.inner.base.as_ref().map(Url::as_str)).finish_non_exhaustive()
    }
}

struct Inner {
    host: Host,
    web: Arc<Web>,
    /// Where the forge is; none where there is only a pattern of addresses.
    base: Option<Url>,
    /// For git over HTTP.
    authorization: Option<HeaderValue>,
    settings: Settings,
}

enum Host {
    GitLab(GitLab),
    GitHub(GitHub),
    Gitea(Gitea),
    Plain(Plain),
}

/// Calls the same method of whichever interface it is.
macro_rules! each {
    ($host:expr, $api:ident => $call:expr, plain $plain:ident => $otherwise:expr) => {
        match $host {
            Host::GitLab($api) => $call,
            Host::GitHub($api) => $call,
            Host::Gitea($api) => $call,
            Host::Plain($plain) => $otherwise,
        }
    };
}

impl Forge {
    /// A forge at the address that people know, such as `https://gitlab.com`, with a token.
    pub fn hosted(kind: Kind, address: &str, token: &Secret<String>, settings: Settings) -> Result<Forge, Error> {
        let base = base(address, &settings)?;
        let basic = basic(kind.token_user(), token.expose());
        let secrets = vec![token.expose().clone(), basic.clone()];
        let web = Arc::new(Web::new(&base, settings.reach.clone(), settings.patience, secrets));
        let token = token.expose().as_str();
        let (name, value) = match kind {
            Kind::GitLab => (HeaderName::from_static("private-token"), token.to_owned()),
            Kind::GitHub => (AUTHORIZATION, format!("Bearer {token}")),
            Kind::Gitea => (AUTHORIZATION, format!("token {token}")),
        };
        let mut headers = HeaderMap::from_iter([(name, secret_header(token, &value)?)]);
        if kind == Kind::GitHub {
            headers.insert("x-github-api-version", HeaderValue::from_static("2022-11-28"));
        }
        let client = Client { web: web.clone(), root: interface(kind, &base)?, headers };
        let host = match kind {
            Kind::GitLab => Host::GitLab(GitLab(client)),
            Kind::GitHub => Host::GitHub(GitHub(client)),
            Kind::Gitea => Host::Gitea(Gitea(client)),
        };
        let authorization = Some(secret_header(token, &format!("Basic {basic}"))?);
        Ok(Forge { inner: Arc::new(Inner { host, web, base: Some(base), authorization, settings }) })
    }

    /// Servers that know nothing but git, by a pattern of addresses in which `{namespace}` and `{name}` stand for those
    /// of a repository: `https://git.example.org/{namespace}/{name}.git`, `git@git.example.org:{name}.git`. Only
    /// repositories on this disk are made; others must be there, and empty.
    pub fn plain(pattern: &str, access: &Access, settings: Settings) -> Result<Forge, Error> {
        let plain = Plain::parse(pattern, allowed(&settings))?;
        let (secrets, authorization) = match access {
            Access::Anybody => (Vec::new(), None),
            Access::Basic { username, password } => {
                if username.contains(':') {
                    return Err(Error::Credentials { problem: "a user's name cannot contain a colon" });
                }
                let basic = basic(username, password.expose());
                let header = secret_header(&basic, &format!("Basic {basic}"))?;
                (vec![password.expose().clone(), basic], Some(header))
            }
            Access::Bearer(token) => {
                let header = secret_header(token.expose(), &format!("Bearer {}", token.expose()))?;
                (vec![token.expose().clone()], Some(header))
            }
        };
        let example = plain.example();
        // Whether a proxy is asked depends on where the address leads.
        let at = match example {
            Remote::Http(url) => url.clone(),
            Remote::Ssh(_) if settings.ssh.is_none() => {
                return Err(Error::Credentials { problem: "a repository behind SSH needs a key" });
            }
            Remote::Ssh(_) | Remote::File(_) => base("https://localhost", &settings)?,
        };
        let web = Arc::new(Web::new(&at, settings.reach.clone(), settings.patience, secrets));
        Ok(Forge { inner: Arc::new(Inner { host: Host::Plain(plain), web, base: None, authorization, settings }) })
    }

    /// Sees to it that the repository is there and is this run's: looks, makes it where nothing is, and refuses what
    /// belongs to others. `commit` is what will be pushed: a branch that has it is this run's as well.
    pub async fn ensure_repository(&self, wanted: &Wanted, commit: ObjectId) -> Result<Repository, Error> {
        let repository = each!(&self.inner.host,
            api => ensure(api, wanted, commit).await,
            plain plain => plain.ensure(wanted).await)?;
        let (name, created) = (&repository.full_name, repository.created);
        tracing::info!(repository = %name, created, run = %wanted.run, "the repository is there");
        Ok(repository)
    }

    /// Pushes the commit, unless it is there. A branch with other commits is never touched.
    pub async fn push(&self, repository: &Repository, wanted: &Wanted, commit: &Commit) -> Result<Pushed, Error> {
        let Inner { host, web, settings, authorization, .. } = &*self.inner;
        let job = Job {
            commit,
            branch: &wanted.branch,
            only_if_empty: matches!(host, Host::Plain(_)),
            repository: &repository.full_name,
            fresh: repository.created,
        };
        let remote = self.remote(repository)?;
        let carrier = Carrier::of(&remote, settings, web, authorization.as_ref())?;
        let cleaned = |error: Error| error.cleaned(|text| web.clean(text));
        let pushed = match carrier.push(job).await.map_err(cleaned)? {
            Outcome::Made => Pushed::Made,
            Outcome::Same => Pushed::AlreadyThere,
            Outcome::Other(head) => {
                let asked = Descent { head, commit: commit.id(), repository: &repository.full_name };
                let has_ours = each!(host,
                    api => api.is_on_branch(repository, commit.id(), wanted.branch.as_str()).await?,
                    plain _plain => carrier.descends(asked).await.map_err(cleaned)?);
                let is_twin = !has_ours
                    && each!(host,
                        api => api.message_of(repository, head).await?.is_some_and(|said| is_of(&said, &wanted.run)),
                        plain _plain => false);
                match (has_ours, is_twin) {
                    (true, _) => Pushed::MovedOn { head },
                    (false, true) => Pushed::Twin { commit: head },
                    (false, false) => {
                        return Err(Error::BranchTaken {
                            repository: repository.full_name.clone(),
                            branch: wanted.branch.to_string(),
                            head,
                        });
                    }
                }
            }
        };
        tracing::info!(repository = %repository.full_name, commit = %commit.id(), ?pushed, "the first commit is there");
        Ok(pushed)
    }

    /// Sets what could only be set afterwards, where it is missing: topics, and the default branch of a branch that was
    /// just made. What people chose since is left as it is.
    pub async fn finish(&self, repository: &Repository, wanted: &Wanted, pushed: Pushed) -> Result<(), Error> {
        each!(&self.inner.host,
            api => finish(api, repository, wanted, pushed).await,
            plain _plain => Ok(()))
    }

    /// All of it, one after the other. Doing it again does what is missing.
    pub async fn publish(&self, wanted: &Wanted, commit: &Commit) -> Result<Published, Error> {
        let repository = self.ensure_repository(wanted, commit.id()).await?;
        let pushed = self.push(&repository, wanted, commit).await?;
        self.finish(&repository, wanted, pushed).await?;
        Ok(Published { repository, commit: pushed.first(commit.id()), branch: wanted.branch.to_string(), pushed })
    }

    fn remote(&self, repository: &Repository) -> Result<Remote, Error> {
        let Inner { host, settings, base, .. } = &*self.inner;
        let nowhere = || Error::Unexpected {
            doing: "push the first commit",
            problem: format!("the forge gave no address of {}", repository.full_name),
        };
        match (host, base) {
            (Host::Plain(_), _) | (_, None) => Remote::parse(&repository.id, allowed(settings)),
            _ if settings.ssh.is_some() => {
                Remote::parse(repository.ssh_url.as_deref().ok_or_else(nowhere)?, Allowed::default())
            }
            (_, Some(base)) => Ok(Remote::Http(http_remote(base, repository))),
        }
    }
}

async fn finish(api: &impl Api, repository: &Repository, wanted: &Wanted, pushed: Pushed) -> Result<(), Error> {
    if matches!(pushed, Pushed::MovedOn { .. }) {
        return Ok(());
    }
    let mut topics = repository.topics.clone();
    let missing = api.topics(&wanted.topics).into_iter().filter(|topic| !repository.topics.contains(topic));
    topics.extend(missing);
    if topics.len() > repository.topics.len() {
        api.set_topics(repository, &topics).await?;
    }
    match &repository.default_branch {
        Some(branch) if branch != wanted.branch.as_str() && pushed == Pushed::Made => {
            api.set_default_branch(repository, wanted.branch.as_str()).await
        }
        _ => Ok(()),
    }
}

/// The address that the forge gives, if it leads to the forge: credentials go to no other host, and nothing that was
/// encrypted goes on in clear. Else the one that it should have.
fn http_remote(base: &Url, repository: &Repository) -> Url {
    let given = repository.http_url.as_deref().and_then(|url| Url::parse(url).ok()).filter(|url| {
        let is_there = url.host_str() == base.host_str() || is_loopback(url) && is_loopback(base);
        is_there
            && (url.scheme() == "https" || url.scheme() == base.scheme())
            && url.username().is_empty()
            && url.query().is_none()
    });
    given.unwrap_or_else(|| {
        let mut url = base.clone();
        url.set_path(&format!("{}/{}.git", base.path().trim_end_matches('/'), repository.full_name));
        url
    })
}

fn allowed(settings: &Settings) -> Allowed {
    Allowed { http: settings.allow_http, file: settings.allow_file }
}

/// The address that people know, also where that of the interface was given.
fn base(address: &str, settings: &Settings) -> Result<Url, Error> {
    let mut url = parse_web(address, allowed(settings))?;
    let mut path = url.path().trim_end_matches('/').to_owned();
    for interface in ["/api/v4", "/api/v3", "/api/v1"] {
        path.truncate(path.strip_suffix(interface).map_or(path.len(), str::len));
    }
    url.set_path(&path);
    if url.host_str() == Some("api.github.com") {
        let moved = url.set_host(Some("github.com"));
        moved.map_err(|error| Error::Address { address: address.to_owned(), problem: error.to_string() })?;
    }
    Ok(url)
}

/// Where the interface for programs is.
fn interface(kind: Kind, base: &Url) -> Result<Url, Error> {
    let host = base.host_str().unwrap_or_default();
    let mut url = base.clone();
    if kind == Kind::GitHub && (host == "github.com" || host.ends_with(".ghe.com")) {
        let moved = url.set_host(Some(&format!("api.{host}")));
        moved.map_err(|error| Error::Address { address: base.to_string(), problem: error.to_string() })?;
    } else {
        url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), kind.interface()));
    }
    Ok(url)
}

fn basic(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

fn secret_header(secret: &str, header: &str) -> Result<HeaderValue, Error> {
    if secret.is_empty() {
        return Err(Error::Credentials { problem: "the token is empty" });
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Credentials { problem: "the token contains spaces or characters that no header can hold" });
    }
    let mut header = HeaderValue::from_str(header)
        .map_err(|_| Error::Credentials { problem: "it contains characters that no header can hold" })?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(http_url: &str) -> Repository {
        Repository {
            id: "1".to_owned(),
            full_name: "a/b".to_owned(),
            web_url: String::new(),
            http_url: Some(http_url.to_owned()),
            ssh_url: None,
            default_branch: None,
            topics: Vec::new(),
            created: true,
            empty: Some(true),
        }
    }

    #[test]
    fn credentials_go_to_the_configured_host_only() {
        let base = Url::parse("https://git.example.org/gitlab").unwrap();
        for (given, used) in [
            ("https://git.example.org/gitlab/a/b.git", "https://git.example.org/gitlab/a/b.git"),
            ("https://git.example.org:8443/a/b.git", "https://git.example.org:8443/a/b.git"),
            ("http://git.example.org/a/b.git", "https://git.example.org/gitlab/a/b.git"),
            ("https://evil.example.org/a/b.git", "https://git.example.org/gitlab/a/b.git"),
            ("https://git.example.org.evil.org/a/b.git", "https://git.example.org/gitlab/a/b.git"),
            ("file:///etc", "https://git.example.org/gitlab/a/b.git"),
            ("", "https://git.example.org/gitlab/a/b.git"),
        ] {
            assert_eq!(http_remote(&base, &repository(given)).as_str(), used, "{given}");
        }
        let local = Url::parse("http://127.0.0.1:1").unwrap();
        assert_eq!(
            http_remote(&local, &repository("http://localhost:2/a/b.git")).as_str(),
            "http://localhost:2/a/b.git"
        );
    }

    #[test]
    fn interfaces_are_where_each_forge_has_them() {
        for (kind, address, root) in [
            (Kind::GitLab, "https://gitlab.com", "https://gitlab.com/api/v4"),
            (Kind::GitLab, "https://h.example.org/gitlab/", "https://h.example.org/gitlab/api/v4"),
            (Kind::GitLab, "https://gitlab.com/api/v4/", "https://gitlab.com/api/v4"),
            (Kind::GitHub, "https://github.com", "https://api.github.com/"),
            (Kind::GitHub, "https://api.github.com", "https://api.github.com/"),
            (Kind::GitHub, "https://x.ghe.com", "https://api.x.ghe.com/"),
            (Kind::GitHub, "https://ghes.example.org", "https://ghes.example.org/api/v3"),
            (Kind::Gitea, "https://codeberg.org", "https://codeberg.org/api/v1"),
        ] {
            let base = base(address, &Settings::default()).unwrap();
            assert_eq!(interface(kind, &base).unwrap().as_str(), root, "{address}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_at_once() {
        let hosted = |address: &str, token: &str| {
            Forge::hosted(Kind::GitLab, address, &Secret::new(token.to_owned()), Settings::default())
                .map(drop)
                .map_err(|error| error.code())
        };
        assert_eq!(hosted("https://gitlab.com", "glpat-x"), Ok(()));
        for (address, token, code) in [
            ("https://gitlab.com", "", "forge_credentials_invalid"),
            ("https://gitlab.com", "a\nb", "forge_credentials_invalid"),
            ("http://gitlab.com", "a", "forge_address_invalid"),
            ("https://user:pw@gitlab.com", "a", "forge_address_invalid"),
            ("gitlab.com", "a", "forge_address_invalid"),
            ("ftp://gitlab.com", "a", "forge_address_invalid"),
        ] {
            assert_eq!(hosted(address, token), Err(code), "{address} {token}");
        }
        let plain = |pattern: &str| Forge::plain(pattern, &Access::Anybody, Settings::default()).map(drop);
        assert!(plain("https://git.example.org/{namespace}/{name}.git").is_ok());
        for bad in ["https://git.example.org/x.git", "git@h:{name}.git", "file:///srv/{name}.git", "https://{name}/x"] {
            assert!(plain(bad).is_err(), "{bad}");
        }
    }
}
