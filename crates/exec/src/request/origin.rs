//! Repositories and credentials of requests: what is reached over the network, and with nothing secret in the address.

use piton_model::{GitAuth, Secret};

use super::Rules;
use crate::git::{Address, Scheme};
use crate::guard;

/// Whom a server sees that only looks at the token.
const ANYBODY: &str = "git";

/// The longest key or list of host keys.
const LONGEST_KEY: usize = 64 * 1024;

/// An address that passed, and how it is reached.
pub(super) struct Remote {
    scheme: Scheme,
    local: bool,
}

impl Remote {
    pub(super) fn warning(&self) -> Option<String> {
        (self.scheme == Scheme::Http && !self.local)
            .then(|| "the repository is fetched over plain HTTP, which anybody on the way can change".to_owned())
    }
}

pub(super) fn address(text: &str, rules: &Rules) -> Result<Remote, String> {
    let address = Address::over_network(text).map_err(|error| error.to_string())?;
    let Some(host) = address.host() else { return Err("it names no host".to_owned()) };
    rules.guard.check_host(host).map_err(|blocked| blocked.to_string())?;
    if address.holds_credentials() {
        return Err("no user and no password belong in the URL; use `git_auth`".to_owned());
    }
    if matches!(address.scheme(), Scheme::Http | Scheme::Https) && text.contains(['?', '#']) {
        return Err("no query belongs in the URL; tokens go to `git_auth`".to_owned());
    }
    let local = host.eq_ignore_ascii_case("localhost") || guard::literal(host).is_some_and(|ip| ip.is_loopback());
    Ok(Remote { scheme: address.scheme(), local })
}

pub(super) fn match_auth(remote: &Remote, auth: &GitAuth, rules: &Rules) -> Result<(), String> {
    match (remote.scheme, auth) {
        (Scheme::Http, GitAuth::Http { .. }) if !remote.local && !rules.allow_http => {
            Err("credentials are not sent over plain HTTP; use an https URL, or set `git.allow_http`".to_owned())
        }
        (Scheme::Http | Scheme::Https, GitAuth::Http { .. }) | (Scheme::Ssh, GitAuth::Ssh { .. }) => Ok(()),
        (Scheme::Http | Scheme::Https, GitAuth::Ssh { .. }) => {
            Err("an SSH key is no use for an http or https URL; use `type` `http`".to_owned())
        }
        (Scheme::Ssh, GitAuth::Http { .. }) => {
            Err("a password is no use for an ssh URL; use `type` `ssh` with a `private_key`".to_owned())
        }
        (Scheme::File, _) => Err("a path needs no credentials".to_owned()),
    }
}

/// The credentials as they are used, or the member that is wrong.
pub(super) fn auth(given: GitAuth) -> Result<GitAuth, (&'static str, String)> {
    let control = |text: &str| text.chars().any(char::is_control);
    match given {
        GitAuth::Http { username, password } => {
            if username.contains(':') || control(&username) {
                return Err(("username", "it contains a colon or a control character".to_owned()));
            }
            if password.expose().is_empty() {
                return Err(("password", "it is empty".to_owned()));
            }
            if control(password.expose()) || password.expose().len() > LONGEST_KEY {
                return Err((
                    "password",
                    "it contains a line break or another control character, or is too long".to_owned(),
                ));
            }
            let username = if username.is_empty() { ANYBODY.to_owned() } else { username };
            Ok(GitAuth::Http { username, password })
        }
        GitAuth::Ssh { private_key, passphrase, known_hosts } => {
            let key = private_key.expose().replace("\r\n", "\n");
            let key = key.trim();
            if key.len() > LONGEST_KEY
                || !key.starts_with("-----BEGIN ")
                || !key.ends_with("-----")
                || !key.contains("PRIVATE KEY-----")
            {
                return Err(("private_key", "it is not a private key in OpenSSH or PEM format".to_owned()));
            }
            if passphrase.as_ref().is_some_and(|text| control(text.expose())) {
                return Err(("passphrase", "it contains a line break or another control character".to_owned()));
            }
            let known_hosts = known_hosts.map(|text| text.replace("\r\n", "\n")).filter(|text| !text.trim().is_empty());
            if let Some(text) = &known_hosts {
                check_known_hosts(text).map_err(|problem| ("known_hosts", problem))?;
            }
            let passphrase = passphrase.filter(|text| !text.expose().is_empty());
            Ok(GitAuth::Ssh { private_key: Secret::new(format!("{key}\n")), passphrase, known_hosts })
        }
    }
}

fn check_known_hosts(text: &str) -> Result<(), String> {
    if text.len() > LONGEST_KEY {
        return Err("it is too long".to_owned());
    }
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let marked = first.starts_with('@');
        let rest = words.count() + usize::from(!marked);
        if rest < 3 || line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(format!("line {number} is not one of a known_hosts file: `HOST TYPE KEY`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\r\nAAAA\r\n-----END OPENSSH PRIVATE KEY-----";

    fn http(username: &str, password: &str) -> GitAuth {
        GitAuth::Http { username: username.to_owned(), password: Secret::new(password.to_owned()) }
    }

    fn ssh(key: &str, known_hosts: Option<&str>) -> GitAuth {
        let known_hosts = known_hosts.map(str::to_owned);
        GitAuth::Ssh { private_key: Secret::new(key.to_owned()), passphrase: None, known_hosts }
    }

    #[test]
    fn addresses() {
        let ok = |url: &str| address(url, &Rules::default()).is_ok();
        for good in [
            "https://h/x",
            "https://h.example:8443/x y",
            "http://127.0.0.1:80/x",
            "ssh://git@h/x",
            "ssh://h:2222/x",
            "git@h:x/y.git",
            "h:x",
            "https://[2001:db8::1]/x",
            "HTTPS://h/x",
        ] {
            assert!(ok(good), "{good}");
        }
        let refused = address("ftp://h/x", &Rules::default()).err().unwrap();
        assert!(refused.ends_with("only https, http and ssh are allowed"), "{refused}");
        for bad in [
            "",
            "file:///srv/x",
            "./x",
            "/srv/x",
            "x",
            "ext::sh -c x",
            "-x",
            "https://token@h/x",
            "https://u:p@h/x",
            "https://@h/x",
            "ssh://u:p@h/x",
            "http://169.254.169.254/x",
            "http://2852039166/x",
            "http://0xa9fea9fe/x",
            "http://[::ffff:169.254.169.254]/x",
            "git@169.254.169.254:x",
            "https://h/x?private_token=y",
            "https://h/x#y",
            "gopher://h/x",
            "ftp://h/x",
            "git://h/x",
            "ssh://-oProxyCommand=x/y",
            "ssh://git@-oProxyCommand=x/y",
            "-oProxyCommand=x:y",
            "https://h\n/x",
            "https://h%2e/x",
            "https://ｈ/x",
            "https://h\\@169.254.169.254/x",
            "ssh://-x@h/y",
        ] {
            assert!(!ok(bad), "{bad}");
        }
    }

    #[test]
    fn credentials_fit_their_address() {
        let fits = |url: &str, auth: GitAuth, allow_http| {
            let rules = Rules { allow_http, ..Rules::default() };
            match_auth(&address(url, &rules).unwrap_or_else(|_| panic!("{url}")), &auth, &rules).is_ok()
        };
        assert!(fits("https://h/x", http("u", "p"), false));
        assert!(fits("ssh://git@h/x", ssh(KEY, None), false));
        assert!(!fits("https://h/x", ssh(KEY, None), false));
        assert!(!fits("git@h:x", http("u", "p"), false));
        assert!(!fits("http://h/x", http("u", "p"), false));
        assert!(fits("http://h/x", http("u", "p"), true));
        assert!(fits("http://127.0.0.1:8080/x", http("u", "p"), false));
    }

    #[test]
    fn credentials_are_checked_and_put_in_order() {
        let Ok(GitAuth::Ssh { private_key, .. }) = auth(ssh(KEY, Some(" \n"))) else { panic!() };
        assert_eq!(
            private_key.expose(),
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
        );
        assert!(
            auth(ssh(KEY, Some("# c\nh ssh-ed25519 AAAA\n@cert-authority *.h ssh-rsa AAAA c\n|1|x=|y= ssh-rsa AAAA")))
                .is_ok()
        );
        for (given, member) in [
            (http("a:b", "p"), "username"),
            (http("a\n", "p"), "username"),
            (http("a", ""), "password"),
            (http("a", "p\nhost=evil"), "password"),
            (ssh("AAAA", None), "private_key"),
            (ssh("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----", None), "private_key"),
            (ssh(KEY, Some("h ssh-ed25519")), "known_hosts"),
            (ssh(KEY, Some("@revoked h ssh-rsa")), "known_hosts"),
        ] {
            let (found, problem) = auth(given).unwrap_err();
            assert_eq!(found, member, "{problem}");
        }
    }
}
