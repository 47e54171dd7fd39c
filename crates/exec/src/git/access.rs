//! Credentials of one fetch: files in a directory of their own, which goes when the fetch is over.
//!
//! Nothing secret is on a command line or in an environment. A password is in a file in the format of
//! `git-credential-store`, which gives it to the one host that it is for and to no other. A key is in a file that only
//! `ssh` is told about; what unlocks it is printed by a script that `ssh` asks in place of a person.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use piton_model::{GitAuth, Secret};

use super::{Address, Error, Scheme};

/// Escaped in a part of a URL: all but what is always allowed there.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The files of one fetch.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.dir) {
            tracing::warn!(directory = %self.dir.display(), %error, "credentials of a fetch were left behind");
        }
    }
}

/// Removes what a fetch that was killed left in `dir`.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Files {
    /// Makes the directory, which must not be there, for its owner alone. It is also the home of whoever looks for one.
    pub(super) fn create(dir: &Path) -> Result<Files, Error> {
        let made = remove(dir).and_then(|()| DirBuilder::new().mode(0o700).create(dir));
        made.map_err(|source| Error::Credentials { doing: "create", path: dir.to_owned(), source })?;
        Ok(Files { dir: dir.to_owned() })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn write(&self, name: &str, mode: u32, content: &str) -> Result<PathBuf, Error> {
        let path = self.dir.join(name);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()));
        match written {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::Credentials { doing: "write", path, source }),
        }
    }

    /// A password for the host of `address`; the settings that make `git` look for it here and nowhere else.
    pub(super) fn password(
        &self,
        address: &Address,
        username: &str,
        password: &Secret<String>,
    ) -> Result<Vec<String>, Error> {
        let scheme = if address.scheme() == Scheme::Http { "http" } else { "https" };
        let authority = address.authority().unwrap_or_default();
        let encode = |text| utf8_percent_encode(text, ESCAPED);
        let line = format!("{scheme}://{}:{}@{authority}\n", encode(username), encode(password.expose()));
        let path = self.write("password", 0o600, &line)?;
        Ok(vec![format!("credential.helper=store --file={}", quote(&path)), "credential.useHttpPath=false".to_owned()])
    }

    /// An SSH key and the host keys that are good; what `git` needs in its environment to use them.
    pub(super) fn key(&self, ssh: &Ssh<'_>) -> Result<BTreeMap<String, String>, Error> {
        let key = match ssh.key {
            Some(key) => Some(self.write("key", 0o600, key.expose())?),
            None => None,
        };
        let known = self.write("known_hosts", 0o600, ssh.known_hosts)?;
        let config = self.write("ssh_config", 0o600, &settings(ssh, key.as_deref(), &known))?;
        let mut environment = BTreeMap::new();
        let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
        set("GIT_SSH_COMMAND", format!("ssh -F {}", quote(&config)));
        set("GIT_SSH_VARIANT", "ssh".to_owned());
        if let Some(passphrase) = ssh.passphrase {
            let file = self.write("passphrase", 0o600, &format!("{}\n", passphrase.expose()))?;
            let script = format!("#!/bin/sh\nexec cat {}\n", quote(&file));
            let script = self.write("askpass", 0o700, &script)?;
            set("SSH_ASKPASS", script.display().to_string());
            set("SSH_ASKPASS_REQUIRE", "force".to_owned());
        }
        Ok(environment)
    }
}

/// What an SSH connection is made with.
pub(super) struct Ssh<'a> {
    pub(super) key: Option<&'a Secret<String>>,
    pub(super) passphrase: Option<&'a Secret<String>>,
    pub(super) known_hosts: &'a str,
    /// The host as it is known, and the port.
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// Where to connect to, whatever the name means by then.
    pub(super) address: Option<IpAddr>,
}

impl<'a> Ssh<'a> {
    pub(super) fn new(auth: Option<&'a GitAuth>, configured: &'a str, host: &'a str, port: u16) -> Ssh<'a> {
        let (key, passphrase, given) = match auth {
            Some(GitAuth::Ssh { private_key, passphrase, known_hosts }) => {
                (Some(private_key), passphrase.as_ref(), known_hosts.as_deref())
            }
            Some(GitAuth::Http { .. }) | None => (None, None, None),
        };
        Ssh { key, passphrase, known_hosts: given.unwrap_or(configured), host, port, address: None }
    }
}

/// The whole configuration of `ssh`: nothing is read from anywhere else, nobody is asked, nothing is forwarded, and a
/// host must show a key that is known.
fn settings(ssh: &Ssh<'_>, key: Option<&Path>, known_hosts: &Path) -> String {
    // As a `known_hosts` file names it.
    let known_as = if ssh.port == 22 { ssh.host.to_owned() } else { format!("[{}]:{}", ssh.host, ssh.port) };
    let mut lines = vec!["Host *".to_owned()];
    lines.extend(ssh.address.map(|address| format!("HostName {address}")));
    lines.push(format!("HostKeyAlias {known_as}"));
    lines.push(format!("UserKnownHostsFile {}", quoted(known_hosts)));
    match key {
        Some(key) => lines.push(format!("IdentityFile {}", quoted(key))),
        None => lines.push("IdentityFile none".to_owned()),
    }
    // In batch mode `ssh` would not ask for what unlocks the key.
    lines.push(format!("BatchMode {}", if ssh.passphrase.is_some() { "no" } else { "yes" }));
    lines.extend(
        [
            "User git",
            "GlobalKnownHostsFile /dev/null",
            "StrictHostKeyChecking yes",
            "CheckHostIP no",
            "UpdateHostKeys no",
            "VerifyHostKeyDNS no",
            "IdentitiesOnly yes",
            "IdentityAgent none",
            "PreferredAuthentications publickey",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "NumberOfPasswordPrompts 1",
            "ForwardAgent no",
            "ForwardX11 no",
            "ClearAllForwardings yes",
            "PermitLocalCommand no",
            "ControlMaster no",
            "ControlPath none",
            "ConnectTimeout 30",
            "ServerAliveInterval 15",
            "ServerAliveCountMax 4",
            // It says which key the host showed, for whoever has to decide whether that is the right one.
            "LogLevel DEBUG1",
        ]
        .map(str::to_owned),
    );
    lines.push(String::new());
    lines.join("\n")
}

/// For a line of `ssh_config`, where `%` begins a token.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// For the shell that `git` starts helpers with.
fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    shlex::try_quote(&text).map(std::borrow::Cow::into_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn files_are_their_owners_alone_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("it's here");
        fs::create_dir(&at).unwrap();
        fs::write(at.join("key"), "of a fetch that was killed").unwrap();
        let files = Files::create(&at).unwrap();
        let address: Address = "https://git.example.org:8443/x".parse().unwrap();
        let settings = files.password(&address, "me@x", &secret("p/w:d")).unwrap();
        assert_eq!(fs::read_to_string(at.join("password")).unwrap(), "https://me%40x:p%2Fw%3Ad@git.example.org:8443\n");
        assert!(settings[0].starts_with("credential.helper=store --file=\""), "{settings:?}");
        let auth = GitAuth::Ssh { private_key: secret("k3y"), passphrase: Some(secret("phr4se")), known_hosts: None };
        let mut ssh = Ssh::new(Some(&auth), "h ssh-rsa AAAA\n", "h", 2222);
        ssh.address = Some("10.0.0.1".parse().unwrap());
        let environment = files.key(&ssh).unwrap();
        let shown = format!("{environment:?} {settings:?}");
        assert!(!shown.contains("k3y") && !shown.contains("phr4se") && !shown.contains("p/w"), "{shown}");
        let config = fs::read_to_string(at.join("ssh_config")).unwrap();
        for line in ["HostName 10.0.0.1", "HostKeyAlias [h]:2222", "StrictHostKeyChecking yes", "BatchMode no"] {
            assert!(config.lines().any(|found| found == line), "{line} is not in {config}");
        }
        for entry in fs::read_dir(&at).unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "{:?} has {mode:o}", entry.file_name());
        }
        drop(files);
        assert!(!at.exists());
    }
}
