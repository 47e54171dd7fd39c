//! The calls of `git` that make one fetch, all with the same settings.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use piton_model::GitAuth;

use super::access::{Files, Ssh};
use super::{Access, Address, Checkout, Error, Git, Ref, Scheme, child, error, pick};
use crate::guard::{self, Unresolved};

/// Settings that hold whatever the user's own configuration says. A redirect would lead where nobody looked.
/// A server that says nothing for a minute says nothing any more.
const SETTINGS: [&str; 14] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "transfer.fsckObjects=true",
    "transfer.bundleURI=false",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "protocol.ext.allow=never",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
    "gc.auto=0",
];

/// Settings of a fetch for somebody else.
const SETTINGS_OF_REQUESTS: [&str; 2] = ["credential.helper=", "core.askPass=/bin/false"];

/// How long a server may take to list its refs, and how long anything else may take, whatever it says meanwhile.
const PATIENCE_WITH_A_LIST: Duration = Duration::from_secs(2 * 60);
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What of the environment a fetch for somebody else keeps.
const KEPT: [&str; 12] = [
    "PATH",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

pub(super) struct Session {
    address: Address,
    settings: Vec<String>,
    environment: BTreeMap<String, String>,
    /// Removed with the session.
    files: Option<Files>,
}

impl Session {
    pub(super) async fn of_user(git: &Git, address: &Address) -> Result<Session, Error> {
        // The user's own configuration may know names that nobody else does; `git` will say so of the others.
        let found = resolve(git, address).await?.unwrap_or_default();
        let mut settings = SETTINGS.map(str::to_owned).to_vec();
        if let (Scheme::Http | Scheme::Https, Some(host), Some(port)) =
            (address.scheme(), address.host(), address.port())
        {
            settings.extend(pinned(host, port, &found));
        }
        Ok(Session { address: address.clone(), settings, environment: git.environment.clone(), files: None })
    }

    pub(super) async fn of_request(git: &Git, address: &Address, access: Access<'_>) -> Result<Session, Error> {
        let found = match resolve(git, address).await? {
            Ok(found) => found,
            // The proxy knows names that this host does not, and decides itself where it connects to.
            Err(_) if goes_through_a_proxy(git, address.scheme()) => Vec::new(),
            Err(unknown) => return Err(Error::Unreachable { address: address.to_string(), said: unknown }),
        };
        let files = Files::create(access.files)?;
        let mut settings: Vec<String> = SETTINGS.iter().chain(&SETTINGS_OF_REQUESTS).map(ToString::to_string).collect();
        let mut environment = environment(git, address.scheme(), files.dir());
        let host_and_port = address.host().zip(address.port());
        match (address.scheme(), host_and_port) {
            (Scheme::Http | Scheme::Https, Some((host, port))) => {
                settings.extend(pinned(host, port, &found));
                if let Some(GitAuth::Http { username, password }) = access.auth {
                    settings.extend(files.password(address, username, password)?);
                }
            }
            (Scheme::Ssh, Some((host, port))) => {
                let known = known_hosts(git).await?;
                let mut ssh = Ssh::new(access.auth, &known, host, port);
                ssh.address = found.first().map(SocketAddr::ip);
                environment.extend(files.key(&ssh)?);
            }
            (Scheme::File, _) | (_, None) => {}
        }
        Ok(Session { address: address.clone(), settings, environment, files: Some(files) })
    }

    /// Some servers know a repository only by its full name, and say so by a redirect.
    pub(super) async fn checkout_by_full_name(mut self, wanted: Option<&Ref>, into: &Path) -> Result<Checkout, Error> {
        match self.checkout(wanted, into).await {
            Err(Error::Redirected { .. }) if self.add_ending()? => self.checkout(wanted, into).await,
            done => done,
        }
    }

    /// The commit that is meant, where the repository tells it without a fetch.
    pub(super) async fn commit_by_full_name(
        mut self,
        wanted: Option<&Ref>,
        cwd: &Path,
    ) -> Result<Option<String>, Error> {
        match self.commit(wanted, cwd).await {
            Err(Error::Redirected { .. }) if self.add_ending()? => self.commit(wanted, cwd).await,
            done => done,
        }
    }

    /// Whether there is a fuller name; that is the name from then on.
    fn add_ending(&mut self) -> Result<bool, Error> {
        let is_short = Path::new(self.address.as_str()).extension() != Some("git".as_ref());
        if is_short {
            self.address = format!("{}.git", self.address.as_str().trim_end_matches('/')).parse()?;
        }
        Ok(is_short)
    }

    async fn commit(&self, wanted: Option<&Ref>, cwd: &Path) -> Result<Option<String>, Error> {
        let advertised = self.advertised(cwd).await?;
        let choice = pick::choose(&advertised, wanted).map_err(|problem| problem.of(&self.address))?;
        Ok(advertised.commit_of(&choice))
    }

    async fn checkout(&self, wanted: Option<&Ref>, into: &Path) -> Result<Checkout, Error> {
        let advertised = self.advertised(into).await?;
        let choice = pick::choose(&advertised, wanted).map_err(|problem| problem.of(&self.address))?;
        self.run(into, ["init", "--quiet", "--template=", "."]).await?;
        let url = self.address.as_str();
        match &choice {
            pick::Choice::Advertised { name } => {
                self.fetch(into, &["--depth=1", "--end-of-options", url, name]).await?;
            }
            pick::Choice::Commit(commit) => self.fetch_commit(into, commit).await?,
        }
        let commit = match choice {
            pick::Choice::Advertised { .. } => "FETCH_HEAD".to_owned(),
            pick::Choice::Commit(commit) => commit,
        };
        let revision = format!("{commit}^{{commit}}");
        let found = self.run(into, ["rev-parse", "--verify", "--quiet", "--end-of-options", &revision]).await;
        let commit = match found {
            Ok(text) => text.trim().to_owned(),
            Err(Error::Failed { .. }) => return Err(pick::not_found(&advertised, &commit).of(&self.address)),
            Err(other) => return Err(other),
        };
        self.run(into, ["checkout", "--quiet", "--detach", "--no-recurse-submodules", &commit]).await?;
        Ok(Checkout { commit })
    }

    async fn advertised(&self, cwd: &Path) -> Result<pick::Advertised, Error> {
        let args = ["ls-remote", "--quiet", "--end-of-options", self.address.as_str()];
        let listed = self.run_for(PATIENCE_WITH_A_LIST, cwd, args).await?;
        Ok(pick::Advertised::parse(&listed))
    }

    async fn fetch(&self, into: &Path, rest: &[&str]) -> Result<(), Error> {
        let mut args = vec!["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph"];
        args.extend(rest);
        self.run(into, args).await.map(drop)
    }

    /// One commit by its id. Servers may refuse ids that no ref points at, and none knows an abbreviated one: then
    /// everything is fetched, and the id is looked up here.
    async fn fetch_commit(&self, into: &Path, commit: &str) -> Result<(), Error> {
        let url = self.address.as_str();
        if commit.len() == 40 || commit.len() == 64 {
            match self.fetch(into, &["--depth=1", "--end-of-options", url, commit]).await {
                Ok(()) => return Ok(()),
                Err(Error::Failed { .. } | Error::RefNotFound { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let all = ["--end-of-options", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        self.fetch(into, &["--update-head-ok"].into_iter().chain(all).collect::<Vec<_>>()).await
    }

    async fn run<A: AsRef<OsStr>>(&self, cwd: &Path, args: impl IntoIterator<Item = A>) -> Result<String, Error> {
        self.run_for(PATIENCE, cwd, args).await
    }

    async fn run_for<A: AsRef<OsStr>>(
        &self,
        patience: Duration,
        cwd: &Path,
        args: impl IntoIterator<Item = A>,
    ) -> Result<String, Error> {
        debug_assert!(self.files.as_ref().is_none_or(|files| files.dir().is_dir()), "the session owns its files");
        let ended = match child::run(&self.settings, args, cwd, &self.environment, patience).await {
            Ok(ended) => ended,
            Err(late) if late.kind() == io::ErrorKind::TimedOut => {
                let said = format!("git was not done within {} minutes", patience.as_secs() / 60);
                return Err(Error::Unreachable { address: self.address.to_string(), said });
            }
            Err(source) => return Err(Error::Start { source }),
        };
        if ended.success {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        Err(error::explain(&self.address, &String::from_utf8_lossy(&ended.stderr)))
    }
}

/// Nothing of the user's own: no configuration, no helpers, no agents, no home.
fn environment(git: &Git, scheme: Scheme, home: &Path) -> BTreeMap<String, String> {
    let mut environment = git.environment.clone();
    environment.retain(|name, _| KEPT.contains(&name.as_str()));
    let protocol = match scheme {
        Scheme::Https => "https",
        Scheme::Http => "http",
        Scheme::Ssh => "ssh",
        Scheme::File => "file",
    };
    // git has names of its own for what other programs call otherwise.
    for (own, usual) in [("GIT_SSL_CAINFO", "SSL_CERT_FILE"), ("GIT_SSL_CAPATH", "SSL_CERT_DIR")] {
        if let Some(value) = environment.get(usual).cloned() {
            environment.insert(own.to_owned(), value);
        }
    }
    for (name, value) in [
        ("HOME", home.display().to_string()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
        ("GIT_ATTR_NOSYSTEM", "1".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ("GIT_ALLOW_PROTOCOL", protocol.to_owned()),
        ("GIT_LFS_SKIP_SMUDGE", "1".to_owned()),
        ("LC_ALL", "C".to_owned()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    environment
}

/// The addresses of the host that may be reached, or why its name means nothing here.
async fn resolve(git: &Git, address: &Address) -> Result<Result<Vec<SocketAddr>, String>, Error> {
    let (Some(host), Some(port)) = (address.host(), address.port()) else { return Ok(Ok(Vec::new())) };
    match guard::resolve(&git.guard, host, port).await {
        Ok(found) => Ok(Ok(found)),
        Err(Unresolved::Blocked(blocked)) => Err(Error::Blocked { address: address.to_string(), blocked }),
        Err(unknown @ Unresolved::Unknown { .. }) => Ok(Err(unknown.to_string())),
    }
}

fn goes_through_a_proxy(git: &Git, scheme: Scheme) -> bool {
    let names: &[&str] = match scheme {
        Scheme::Https => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        Scheme::Http => &["http_proxy", "ALL_PROXY", "all_proxy"],
        Scheme::Ssh | Scheme::File => &[],
    };
    names.iter().any(|name| git.environment.get(*name).is_some_and(|proxy| !proxy.is_empty()))
}

/// Makes `git` connect to what was checked, whatever the name means by then.
fn pinned(host: &str, port: u16, found: &[SocketAddr]) -> Option<String> {
    if found.is_empty() || guard::literal(host).is_some() {
        return None;
    }
    let addresses: Vec<String> = found
        .iter()
        .map(|address| match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        })
        .collect();
    Some(format!("http.curloptResolve={host}:{port}:{}", addresses.join(",")))
}

async fn known_hosts(git: &Git) -> Result<String, Error> {
    let Some(path) = &git.known_hosts else { return Ok(String::new()) };
    tokio::fs::read_to_string(path).await.map_err(|source| Error::Credentials {
        doing: "read",
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_pinned_and_addresses_need_not_be() {
        let found: Vec<SocketAddr> = vec!["10.0.0.1:443".parse().unwrap(), "[fd00::1]:443".parse().unwrap()];
        let setting = pinned("git.example.org", 443, &found).unwrap();
        assert_eq!(setting, "http.curloptResolve=git.example.org:443:10.0.0.1,[fd00::1]");
        assert_eq!(pinned("127.0.0.1", 443, &found), None);
        assert_eq!(pinned("git.example.org", 443, &[]), None);
    }

    #[test]
    fn the_users_own_environment_is_left_out() {
        let own = piton_process::Environment::default()
            .set("PATH", "/bin")
            .set("HOME", "/nowhere/somebody")
            .set("SSH_AUTH_SOCK", "/run/agent")
            .set("AWS_SECRET_ACCESS_KEY", "x")
            .set("SSL_CERT_FILE", "/etc/ca.pem")
            .set("XDG_CONFIG_HOME", "/nowhere/somebody/.config");
        let environment = environment(&Git::new(own), Scheme::Https, Path::new("/run/files"));
        for absent in ["SSH_AUTH_SOCK", "AWS_SECRET_ACCESS_KEY", "XDG_CONFIG_HOME", "GIT_SSH_COMMAND"] {
            assert!(!environment.contains_key(absent), "{absent}");
        }
        let holds =
            |name: &str, value: &str| assert_eq!(environment.get(name).map(String::as_str), Some(value), "{name}");
        holds("HOME", "/run/files");
        holds("GIT_ALLOW_PROTOCOL", "https");
        holds("GIT_SSL_CAINFO", "/etc/ca.pem");
    }
}
