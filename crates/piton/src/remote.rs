//! A server elsewhere: which one, how it is recognized, and as whom it is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use piton_api::{Client, Credentials, Http, LoginAnswer, ServerUrl, TlsOptions, TlsVersion};
use serde_json::json;

use crate::args::{Global, MinVersion};
use crate::error::{CommandError, Exit};
use crate::logins::{Age, Login, Logins};

/// How long a session's renewal may hold up a command.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it is.
    pub url: ServerUrl,
    /// How it is recognized.
    pub tls: TlsOptions,
}

/// A token from the environment.
#[derive(Clone, PartialEq, Eq)]
pub enum GivenToken {
    /// There is none.
    None,
    /// This one.
    Token(String),
    /// There is one, but it belongs to another server: the one that the environment names.
    OfAnotherServer,
}

impl Remote {
    /// The server that the command line names, else the one that the environment does. A directory on the command line
    /// means the daemon there, whatever the environment says.
    pub fn find(global: &Global, environment: &BTreeMap<String, String>) -> Result<Option<Remote>, CommandError> {
        let url = match (&global.server.server, filled(environment, "PITON_SERVER")) {
            (Some(url), _) => parse_url(url, "--server")?,
            (None, Some(url)) if global.dir.is_none() && global.config.is_none() => parse_url(url, "PITON_SERVER")?,
            (None, _) => return Ok(None),
        };
        Ok(Some(Remote { url, tls: tls(global, environment)? }))
    }

    /// Another server, recognized in the same way.
    pub fn at(url: ServerUrl, global: &Global, environment: &BTreeMap<String, String>) -> Result<Remote, CommandError> {
        Ok(Remote { url, tls: tls(global, environment)? })
    }

    /// A client that says nothing of who asks.
    pub fn anonymous(&self) -> Result<Http, CommandError> {
        Http::new(self.url.clone(), &self.tls)
            .map_err(|error| CommandError::new(Exit::Usage, format!("cannot talk to {}: {error}", self.url)))
    }

    /// A client for whoever has these credentials.
    pub fn as_whom(&self, credentials: &Credentials) -> Result<Client, CommandError> {
        Ok(Client::of_server(self.anonymous()?.with(credentials)?))
    }

    /// A client that asks with the token of the environment, else as whoever has logged in there, else as nobody.
    pub async fn client(
        &self,
        environment: &BTreeMap<String, String>,
        logins: &Logins,
        now: Timestamp,
    ) -> Result<Client, CommandError> {
        if let GivenToken::Token(token) = self.given_token(environment) {
            return self.as_whom(&Credentials::Bearer(token));
        }
        let kept = logins.read()?;
        let Some(login) = kept.of(&self.url) else { return Ok(Client::of_server(self.anonymous()?)) };
        let token = match login.age(now) {
            Age::Fresh => login.token.clone(),
            Age::Old => self.renewed(login, logins, now).await,
            Age::Over => {
                logins.forget(&self.url)?;
                let who = &login.username;
                let message = format!("the session of {who} with {} ended at {}", self.url, login.expires_at);
                return Err(CommandError::new(Exit::Denied, message).hint(self.log_in()));
            }
        };
        self.as_whom(&Credentials::Bearer(token))
    }

    /// A new token for one that will end; the old one where there is none to be had.
    async fn renewed(&self, login: &Login, logins: &Logins, now: Timestamp) -> String {
        let request = json!({ "method": "jwt", "token": login.token });
        let asked = async {
            let client = Client::of_server(self.anonymous()?).with_patience(PATIENCE);
            let answer: LoginAnswer = client.post("/auth/login", &request).await?;
            let renewed = Login::granted(answer, &self.url, now);
            let token = renewed.token.clone();
            logins.remember_renewed(renewed, &login.token)?;
            Ok::<String, CommandError>(token)
        };
        asked.await.unwrap_or_else(|error| {
            tracing::debug!(message = error.message, "the session is not renewed");
            login.token.clone()
        })
    }

    /// The token of the environment. Where the environment names a server too, the token is for no other.
    pub fn given_token(&self, environment: &BTreeMap<String, String>) -> GivenToken {
        let Some(token) = filled(environment, "PITON_TOKEN") else { return GivenToken::None };
        match filled(environment, "PITON_SERVER").map(ServerUrl::parse) {
            Some(Ok(url)) if url == self.url => GivenToken::Token(token.to_owned()),
            None => GivenToken::Token(token.to_owned()),
            Some(_) => GivenToken::OfAnotherServer,
        }
    }

    /// How to log in there.
    pub fn log_in(&self) -> String {
        format!("to log in: piton login --server {}", self.url)
    }

    /// What to do where the server does not know who asks.
    pub fn how_to_log_in(&self, environment: &BTreeMap<String, String>) -> String {
        match self.given_token(environment) {
            GivenToken::Token(_) => "PITON_TOKEN is not valid there, or no longer".to_owned(),
            GivenToken::OfAnotherServer => {
                format!("PITON_TOKEN is for the server of PITON_SERVER; {}", self.log_in())
            }
            GivenToken::None => self.log_in(),
        }
    }
}

/// Reads the address that `from` gave.
pub fn parse_url(text: &str, from: &str) -> Result<ServerUrl, CommandError> {
    ServerUrl::parse(text).map_err(|error| {
        let hint = "`piton login` asks for names and passwords; then the token is kept in your home directory";
        let error_text = format!("{from}: {error}");
        match error {
            piton_api::BadServerUrl::Credentials => CommandError::new(Exit::Usage, error_text).hint(hint),
            _ => CommandError::new(Exit::Usage, error_text),
        }
    })
}

fn tls(global: &Global, environment: &BTreeMap<String, String>) -> Result<TlsOptions, CommandError> {
    let options = &global.server;
    let path = |option: &Option<PathBuf>, variable| {
        option.clone().or_else(|| filled(environment, variable).map(PathBuf::from))
    };
    let version = match (options.tls_min_version, filled(environment, "PITON_TLS_MIN_VERSION")) {
        (Some(version), _) => version,
        (None, Some(text)) => MinVersion::from_str(text, false)
            .map_err(|_| CommandError::new(Exit::Usage, "PITON_TLS_MIN_VERSION is 1.2 or 1.3"))?,
        (None, None) => MinVersion::V1_2,
    };
    // A certificate of the command line goes with the key of the command line.
    let (client_cert, client_key) = match (&options.client_cert, &options.client_key) {
        (None, None) => (path(&None, "PITON_CLIENT_CERT"), path(&None, "PITON_CLIENT_KEY")),
        (cert, key) => (cert.clone(), key.clone()),
    };
    Ok(TlsOptions {
        ca_cert: path(&options.ca_cert, "PITON_CA_CERT"),
        server_name: options
            .server_name
            .clone()
            .or_else(|| filled(environment, "PITON_SERVER_NAME").map(str::to_owned)),
        insecure: options.insecure || switched_on(environment, "PITON_INSECURE")?,
        client_cert,
        client_key,
        min_version: match version {
            MinVersion::V1_2 => TlsVersion::V1_2,
            MinVersion::V1_3 => TlsVersion::V1_3,
        },
    })
}

fn switched_on(environment: &BTreeMap<String, String>, name: &str) -> Result<bool, CommandError> {
    match filled(environment, name) {
        None | Some("0" | "false" | "no") => Ok(false),
        Some("1" | "true" | "yes") => Ok(true),
        Some(_) => Err(CommandError::new(Exit::Usage, format!("{name} is 1 or 0"))),
    }
}

/// What a variable holds, unless it holds nothing.
pub fn filled<'a>(environment: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ServerArgs;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn global(server: Option<&str>, dir: Option<&str>) -> Global {
        Global {
            server: ServerArgs { server: server.map(str::to_owned), ..ServerArgs::default() },
            dir: dir.map(PathBuf::from),
            ..Global::default()
        }
    }

    #[test]
    fn the_command_line_comes_before_the_environment() {
        for (server, dir, variable, wanted) in [
            (None, None, None, None),
            (Some("http://a"), None, None, Some("http://a/api")),
            (Some("http://a"), Some("d"), Some("http://b"), Some("http://a/api")),
            (None, None, Some("http://b"), Some("http://b/api")),
            (None, None, Some(" "), None),
            (None, Some("d"), Some("http://b"), None),
        ] {
            let environment = environment(&variable.map(|url| ("PITON_SERVER", url)).into_iter().collect::<Vec<_>>());
            let found = Remote::find(&global(server, dir), &environment).unwrap();
            assert_eq!(found.map(|it| it.url.to_string()).as_deref(), wanted, "{server:?} {dir:?} {variable:?}");
        }
    }

    #[test]
    fn a_token_of_the_environment_goes_to_the_server_of_the_environment() {
        let remote = Remote::find(&global(Some("http://a"), None), &environment(&[])).unwrap().unwrap();
        for (variables, wanted) in [
            (vec![], GivenToken::None),
            (vec![("PITON_TOKEN", "t")], GivenToken::Token("t".to_owned())),
            (vec![("PITON_TOKEN", "t"), ("PITON_SERVER", "http://A/api/")], GivenToken::Token("t".to_owned())),
            (vec![("PITON_TOKEN", "t"), ("PITON_SERVER", "http://b")], GivenToken::OfAnotherServer),
            (vec![("PITON_TOKEN", "t"), ("PITON_SERVER", "nonsense")], GivenToken::OfAnotherServer),
        ] {
            assert!(remote.given_token(&environment(&variables)) == wanted, "{variables:?}");
        }
    }

    #[test]
    fn tls_is_as_the_environment_says_where_the_command_line_is_silent() {
        let mut given = global(Some("https://a"), None);
        let variables = environment(&[
            ("PITON_CA_CERT", "/ca"),
            ("PITON_SERVER_NAME", "n"),
            ("PITON_INSECURE", "1"),
            ("PITON_CLIENT_CERT", "/c"),
            ("PITON_CLIENT_KEY", "/k"),
            ("PITON_TLS_MIN_VERSION", "1.3"),
        ]);
        let tls = Remote::find(&given, &variables).unwrap().unwrap().tls;
        assert_eq!(
            tls,
            TlsOptions {
                ca_cert: Some("/ca".into()),
                server_name: Some("n".into()),
                insecure: true,
                client_cert: Some("/c".into()),
                client_key: Some("/k".into()),
                min_version: TlsVersion::V1_3,
            }
        );
        given.server.ca_cert = Some("/other".into());
        given.server.tls_min_version = Some(MinVersion::V1_2);
        let tls = Remote::find(&given, &variables).unwrap().unwrap().tls;
        assert_eq!((tls.ca_cert, tls.min_version), (Some("/other".into()), TlsVersion::V1_2));
        for broken in [("PITON_INSECURE", "maybe"), ("PITON_TLS_MIN_VERSION", "1.1")] {
            assert_eq!(Remote::find(&given, &environment(&[broken])).is_err(), broken.0 == "PITON_INSECURE");
        }
        given.server.tls_min_version = None;
        assert!(Remote::find(&given, &environment(&[("PITON_TLS_MIN_VERSION", "1.1")])).is_err());
    }
}
