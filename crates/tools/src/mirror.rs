//! Where releases come from: the vendors, or a mirror of them.

use std::fmt;

use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::address::{self, Forbidden};
use crate::error::Error;
use crate::per_tool::PerTool;
use crate::tool::{Platform, Tool};
use crate::version::Version;

/// An address that may be fetched from: https, or plain http on this very machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Checks an address.
    pub fn parse(text: &str) -> Result<Endpoint, Error> {
        let invalid = |reason: &str| Error::InvalidUrl { url: text.to_owned(), reason: reason.to_owned() };
        let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            // Not echoed, so that the password stays out of logs.
            let reason = "it must not contain credentials".to_owned();
            return Err(Error::InvalidUrl { url: url.host_str().unwrap_or_default().to_owned(), reason });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it must not have a query or a fragment"));
        }
        if !is_secure(&url) {
            return Err(match url.scheme() {
                "http" => Error::InsecureUrl { url: text.to_owned() },
                _ => invalid("only https is supported"),
            });
        }
        if let Some(address) = address::literal(&url).filter(|address| address::is_forbidden(*address)) {
            return Err(Error::ForbiddenAddress { url: text.to_owned(), reason: Forbidden(address).to_string() });
        }
        Ok(Endpoint(url))
    }

    /// The address of a file below this one.
    fn join(&self, names: &[&str]) -> Url {
        let mut url = self.0.clone();
        // Only addresses that cannot have a path, such as `mailto:`, refuse; `parse` lets none of those through.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(names);
        }
        url
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    fn vendor(text: &'static str) -> Endpoint {
        #[expect(clippy::expect_used, reason = "a constant that the tests parse")]
        Endpoint(Url::parse(text).expect("the vendors' addresses are valid"))
    }
}

/// Whether fetching from `url` shows the request to no network, or to an encrypted one only.
pub(crate) fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether `url` leads back to this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host_str() == Some("localhost") || address::literal(url).is_some_and(|address| address.is_loopback())
}

/// The value of an `Authorization` header, never shown.
#[derive(Clone)]
pub struct Authorization(HeaderValue);

impl Authorization {
    /// Takes the whole value, scheme included: `Bearer …`, `Basic …`.
    pub fn new(value: &str) -> Result<Authorization, Error> {
        let mut value = HeaderValue::from_str(value).map_err(|_| Error::InvalidUrl {
            url: "authorization".to_owned(),
            reason: "the value holds characters that a header cannot".to_owned(),
        })?;
        value.set_sensitive(true);
        Ok(Authorization(value))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

/// Where one tool comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The list of releases, in the vendor's format.
    pub index: Endpoint,
    /// Below it, a directory for each release: `vVERSION/` for OpenTofu, `VERSION/` for Terraform.
    pub artefacts: Endpoint,
    /// Sent to both.
    pub authorization: Option<Authorization>,
}

/// Where both tools come from.
#[derive(Debug, Clone)]
pub struct Mirror(PerTool<Source>);

impl Mirror {
    /// The vendors themselves.
    pub fn vendors() -> Mirror {
        Mirror(PerTool {
            tofu: Source {
                index: Endpoint::vendor("https://get.opentofu.org/tofu/api.json"),
                artefacts: Endpoint::vendor("https://github.com/opentofu/opentofu/releases/download"),
                authorization: None,
            },
            terraform: Source {
                index: Endpoint::vendor("https://releases.hashicorp.com/terraform/index.json"),
                artefacts: Endpoint::vendor("https://releases.hashicorp.com/terraform"),
                authorization: None,
            },
        })
    }

    /// One mirror of both: `BASE/tofu/api.json`, `BASE/tofu/vVERSION/…`, `BASE/terraform/index.json`,
    /// `BASE/terraform/VERSION/…`.
    pub fn at(base: &str, authorization: Option<Authorization>) -> Result<Mirror, Error> {
        let base = Endpoint::parse(base)?;
        Ok(Mirror(PerTool::from_fn(|tool| Source {
            index: Endpoint(base.join(&[tool.program(), index_name(tool)])),
            artefacts: Endpoint(base.join(&[tool.program()])),
            authorization: authorization.clone(),
        })))
    }

    /// Each tool from a place of its own.
    pub fn new(sources: PerTool<Source>) -> Mirror {
        Mirror(sources)
    }

    /// Where `tool` comes from.
    pub fn source(&self, tool: Tool) -> &Source {
        &self.0[tool]
    }
}

fn index_name(tool: Tool) -> &'static str {
    match tool {
        Tool::OpenTofu => "api.json",
        Tool::Terraform => "index.json",
    }
}

/// The files of one release.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    tool: Tool,
    version: &'a Version,
    source: &'a Source,
}

impl<'a> Release<'a> {
    pub(crate) fn new(tool: Tool, version: &'a Version, source: &'a Source) -> Self {
        Release { tool, version, source }
    }

    pub(crate) fn archive_name(&self, platform: Platform) -> String {
        let (tool, version) = (self.tool, self.version);
        match tool {
            Tool::OpenTofu => format!("{tool}_{version}_{platform}.tar.gz"),
            Tool::Terraform => format!("{tool}_{version}_{platform}.zip"),
        }
    }

    pub(crate) fn sums_name(&self) -> String {
        format!("{}_{}_SHA256SUMS", self.tool, self.version)
    }

    /// The signature files, in the order in which they are tried. HashiCorp's plain `.sig` of releases before 2021 was
    /// made with a key that it has revoked since; those were signed again under the second name.
    pub(crate) fn signature_names(&self) -> Vec<String> {
        let sums = self.sums_name();
        match self.tool {
            Tool::OpenTofu => vec![format!("{sums}.gpgsig")],
            Tool::Terraform => vec![format!("{sums}.sig"), format!("{sums}.72D7468F.sig")],
        }
    }

    pub(crate) fn url(&self, name: &str) -> Url {
        let directory = match self.tool {
            Tool::OpenTofu => format!("v{}", self.version),
            Tool::Terraform => self.version.to_string(),
        };
        self.source.artefacts.join(&[&directory, name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_be_asked_in_clear() {
        for good in ["https://mirror.example/a/b", "http://127.0.0.1:8080", "http://[::1]:80/x", "http://localhost/x"] {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        let code = |text| Endpoint::parse(text).unwrap_err().code();
        for bad in
            ["http://mirror.example", "http://10.0.0.1/", "http://127.0.0.1.example/", "http://localhost.example"]
        {
            assert_eq!(code(bad), "insecure_url", "{bad}");
        }
        for bad in ["ftp://localhost/", "mirror", "https://", "file:///etc", "https://m/?a=b", "https://m/#x"] {
            assert_eq!(code(bad), "invalid_url", "{bad}");
        }
        for bad in ["https://169.254.169.254/", "https://[fe80::1]/x", "https://[fd00:ec2::254]/"] {
            assert_eq!(code(bad), "forbidden_address", "{bad}");
        }
        let error = Endpoint::parse("https://user:hunter2@mirror.example/").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_vendors_layout() {
        let mirror = Mirror::vendors();
        let version: Version = "1.8.0".parse().unwrap();
        let url = |tool, name: &dyn Fn(&Release<'_>) -> String| {
            let release = Release::new(tool, &version, mirror.source(tool));
            release.url(&name(&release)).to_string()
        };
        assert_eq!(
            url(Tool::OpenTofu, &|release| release.sums_name()),
            "https://github.com/opentofu/opentofu/releases/download/v1.8.0/tofu_1.8.0_SHA256SUMS"
        );
        assert_eq!(
            url(Tool::Terraform, &|release| release.signature_names()[0].clone()),
            "https://releases.hashicorp.com/terraform/1.8.0/terraform_1.8.0_SHA256SUMS.sig"
        );
    }

    #[test]
    fn one_base_serves_both() {
        for base in ["https://mirror.example/tools", "https://mirror.example/tools/"] {
            let mirror = Mirror::at(base, None).unwrap();
            assert_eq!(
                mirror.source(Tool::OpenTofu).index.url().as_str(),
                "https://mirror.example/tools/tofu/api.json"
            );
            assert_eq!(
                mirror.source(Tool::Terraform).index.url().as_str(),
                "https://mirror.example/tools/terraform/index.json"
            );
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        let authorization = Authorization::new("Bearer hunter2").unwrap();
        let mirror = Mirror::at("https://mirror.example", Some(authorization)).unwrap();
        assert!(!format!("{mirror:?}").contains("hunter2"));
        assert!(Authorization::new("Bearer a\nb").is_err());
    }
}
