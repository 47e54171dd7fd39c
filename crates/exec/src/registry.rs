//! A private registry of modules and providers: where it is, and what OpenTofu and Terraform have to be told about it.
//! Pure, but for [`Registry::token`].

use std::fmt::Write as _;
use std::time::Duration;

use piton_model::Secret;
use reqwest::{Client, Url, redirect};
use serde_json::Value;

use crate::guard::{Guard, Resolver, literal};

/// Where a registry tells the token with which it is read.
const TOKEN: &str = "api/internal/registry-token";

/// The name that stands for a registry whose own name the tools refuse in the address of a module.
const STAND_IN: &str = "registry.local";

const PATIENCE: Duration = Duration::from_secs(15);
const LONGEST_ANSWER: usize = 64 * 1024;

/// Where the registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    base: Url,
}

/// The text does not say where a registry is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the address of a registry: {problem}")]
pub struct InvalidRegistry {
    text: String,
    problem: &'static str,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The registry could not be asked; asking again may help.
    #[error("cannot ask {url} for its token: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// It did answer, and not with a token.
    #[error("{url} gave no token: {reason}")]
    Refused {
        /// What was asked.
        url: String,
        /// What it did.
        reason: String,
    },
}

impl Registry {
    /// Reads `https://HOST[:PORT][/PATH]`, the same with `http`, or just `HOST[:PORT]`, which means `https`.
    pub fn parse(text: &str) -> Result<Registry, InvalidRegistry> {
        let invalid = |problem| InvalidRegistry { text: text.escape_debug().to_string(), problem };
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut base = Url::parse(&whole).map_err(|_| invalid("it is not a URL"))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(invalid("only http and https are allowed"));
        }
        if !base.has_host() {
            return Err(invalid("it names no host"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(InvalidRegistry { text: "…".to_owned(), problem: "no user and no password belong in it" });
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(invalid("no query belongs in it"));
        }
        // So that what is joined to it is below it.
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        Ok(Registry { base })
    }

    /// Host and port as they stand in the address of a module: `registry.example.org/NAMESPACE/NAME/SYSTEM`.
    pub fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The names under which code can reach it. The tools want a dot in the host of a module's address, and no IP address.
    pub fn names(&self) -> Vec<String> {
        let host = self.base.host_str().unwrap_or_default();
        let mut names = vec![self.host()];
        if !host.contains('.') || literal(host).is_some() {
            names.extend(self.base.port().map(|port| format!("{STAND_IN}:{port}")));
            names.push(STAND_IN.to_owned());
        }
        names
    }

    /// The whole configuration of the tools: for each name the token and where the services are, which spares them from
    /// asking the host, and lets them use plain HTTP.
    pub fn cli_config(&self, token: &Secret<String>) -> String {
        let service = |path: &str| self.base.join(path).map(String::from).unwrap_or_default();
        let (modules, providers) = (service("v1/modules/"), service("v1/providers/"));
        let mut text = String::from("# Written by Piton for one run.\ndisable_checkpoint = true\n");
        for name in self.names() {
            // A text of these never fails to be written.
            let _ = write!(
                text,
                "\ncredentials {name} {{\n  token = {token}\n}}\n\nhost {name} {{\n  services = {{\n    \
                 \"modules.v1\"   = {modules}\n    \"providers.v1\" = {providers}\n  }}\n}}\n",
                name = quoted(&name),
                token = quoted(token.expose()),
                modules = quoted(&modules),
                providers = quoted(&providers),
            );
        }
        text
    }

    /// Asks the registry for the token with which it is read.
    pub async fn token(&self, guard: &Guard) -> Result<Secret<String>, TokenError> {
        let url = self.base.join(TOKEN).unwrap_or_else(|_| self.base.clone());
        let refused = |reason: String| TokenError::Refused { url: url.to_string(), reason };
        let unreachable =
            |error: &reqwest::Error| TokenError::Unreachable { url: url.to_string(), reason: told(error) };
        let host = self.base.host_str().unwrap_or_default();
        guard.check_host(host).map_err(|blocked| refused(blocked.to_string()))?;
        // reqwest panics where no provider was installed.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(refused("no TLS provider was installed".to_owned()));
        }
        let mut client = Client::builder()
            .user_agent(concat!("piton/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .dns_resolver(Resolver(guard.clone()));
        if host == "localhost" || literal(host).is_some_and(|address| address.is_loopback()) {
            // A proxy is for the outside; asking it for this machine would reach another.
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| unreachable(&error))?;
        let mut response = client.get(url.clone()).send().await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        if status.is_server_error() {
            return Err(TokenError::Unreachable { url: url.to_string(), reason: format!("it answered {status}") });
        }
        if !status.is_success() {
            return Err(refused(format!("it answered {status}")));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(refused("its answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        token_in(&body).ok_or_else(|| refused("its answer is neither a token nor JSON with a `token`".to_owned()))
    }
}

/// A token as text, or as JSON: a string, or an object that holds it, also below `data`.
fn token_in(body: &[u8]) -> Option<Secret<String>> {
    const MEMBERS: [&str; 3] = ["token", "access_token", "registry_token"];
    let text = std::str::from_utf8(body).ok()?.trim();
    let found = match serde_json::from_str::<Value>(text) {
        Ok(Value::String(token)) => token,
        Ok(Value::Object(object)) => {
            let inner = object.get("data").and_then(Value::as_object).unwrap_or(&object);
            MEMBERS.iter().find_map(|member| inner.get(*member)?.as_str())?.to_owned()
        }
        Ok(Value::Null | Value::Bool(_) | Value::Array(_)) => return None,
        Ok(Value::Number(_)) | Err(_) => text.to_owned(),
    };
    // What belongs in a header, and no page of a login form.
    let good = !found.is_empty() && found.len() <= 16 * 1024 && found.bytes().all(|byte| byte.is_ascii_graphic());
    (good && !found.starts_with(['<', '{'])).then(|| Secret::new(found))
}

/// A string of HCL, in which `${` and `%{` begin templates.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "$${").replace("%{", "%%{");
    format!("\"{escaped}\"")
}

/// What happened to a request, from the inside: the outermost only says that one failed.
fn told(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Registry::parse(text).unwrap().names()
    }

    #[test]
    fn addresses() {
        assert_eq!(names("https://registry.example.org"), ["registry.example.org"]);
        assert_eq!(names("registry.example.org:8443/"), ["registry.example.org:8443"]);
        assert_eq!(names("http://localhost:9080"), ["localhost:9080", "registry.local:9080", "registry.local"]);
        assert_eq!(names("http://127.0.0.1:9080/x/"), ["127.0.0.1:9080", "registry.local:9080", "registry.local"]);
        for bad in ["", "ftp://h", "https://", "http://u:p@h", "https://h?x", "file:///x", "https://h#x"] {
            assert!(Registry::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_configuration_says_where_the_services_are() {
        let registry = Registry::parse("http://localhost:9080/base").unwrap();
        let text = registry.cli_config(&Secret::new("t\"${x}".to_owned()));
        assert!(text.contains("credentials \"registry.local:9080\" {\n  token = \"t\\\"$${x}\"\n}"), "{text}");
        assert!(text.contains("\"modules.v1\"   = \"http://localhost:9080/base/v1/modules/\""), "{text}");
        hcl_edit::parser::parse_body(&text).unwrap();
    }

    #[test]
    fn tokens_are_read_in_every_form() {
        for body in [
            "t0k-en",
            " t0k-en\n",
            "\"t0k-en\"",
            r#"{"token":"t0k-en"}"#,
            r#"{"access_token":"t0k-en","expires_in":60}"#,
            r#"{"data":{"token":"t0k-en"}}"#,
        ] {
            assert_eq!(token_in(body.as_bytes()).unwrap().expose(), "t0k-en", "{body}");
        }
        assert_eq!(token_in(b"12345").unwrap().expose(), "12345");
        for body in
            ["", "two words", "<html>", "{}", r#"{"token":""}"#, r#"{"token":1}"#, "[]", "null", "a\nb", "{broken"]
        {
            assert!(token_in(body.as_bytes()).is_none(), "{body}");
        }
        assert!(token_in(&[0xff, 0xfe]).is_none());
    }
}
