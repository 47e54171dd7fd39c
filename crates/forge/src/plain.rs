//! Servers that know nothing but git: a repository has an address, and that is all there is to know of it.

use crate::error::Error;
use crate::push::init_bare;
use crate::remote::{Allowed, Remote};
use crate::repository::Repository;
use crate::wanted::{Owner, Wanted};

const NAMESPACE: &str = "{namespace}";
const NAME: &str = "{name}";

/// A pattern of addresses.
pub(crate) struct Plain {
    pattern: String,
    allowed: Allowed,
    example: Remote,
}

impl Plain {
    pub(crate) fn parse(pattern: &str, allowed: Allowed) -> Result<Plain, Error> {
        let refused = |problem: &str| Error::Address { address: pattern.to_owned(), problem: problem.to_owned() };
        let example = Remote::parse(&fill(pattern, "n", "n"), allowed)?;
        if !pattern.contains(NAME) {
            return Err(refused("it must contain {name}"));
        }
        // Whoever names a repository must not choose where it is.
        let start = match &example {
            Remote::Http(_) => pattern.split('/').nth(2).map_or(0, |host| pattern.find(host).unwrap_or(0) + host.len()),
            Remote::Ssh(_) if pattern.contains("://") => {
                pattern.splitn(4, '/').take(3).map(|part| part.len() + 1).sum()
            }
            Remote::Ssh(_) => pattern.find(':').unwrap_or(0),
            Remote::File(_) => "file:///".len(),
        };
        if pattern.find(['{', '}']).is_some_and(|first| first < start) {
            return Err(refused("the host cannot depend on the repository"));
        }
        if fill(pattern, "", "").contains(['{', '}']) {
            return Err(refused("it may contain {namespace} and {name}, and nothing else in braces"));
        }
        Ok(Plain { pattern: pattern.to_owned(), allowed, example })
    }

    /// Where some repository would be.
    pub(crate) fn example(&self) -> &Remote {
        &self.example
    }

    /// Nobody can be asked. A repository on this disk is made; whether it is ours is seen by what it holds.
    pub(crate) async fn ensure(&self, wanted: &Wanted) -> Result<Repository, Error> {
        let namespace = match &wanted.owner {
            Owner::Me if self.pattern.contains(NAMESPACE) => {
                return Err(Error::Unsupported { forge: "a plain git server", what: "an owner of its own; name one" });
            }
            Owner::Me => String::new(),
            Owner::Id(id) => id.to_string(),
            Owner::Path(path) => path.clone(),
        };
        let address = fill(&self.pattern, &namespace, wanted.name.as_str());
        let remote = Remote::parse(&address, self.allowed)?;
        let created = match &remote {
            Remote::File(path) => init_bare(path, wanted.branch.as_str()).await?,
            Remote::Http(_) | Remote::Ssh(_) => false,
        };
        let name = wanted.name.as_str();
        Ok(Repository {
            full_name: if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") },
            web_url: address.clone(),
            http_url: matches!(remote, Remote::Http(_)).then(|| address.clone()),
            ssh_url: matches!(remote, Remote::Ssh(_)).then(|| address.clone()),
            id: address,
            default_branch: None,
            topics: Vec::new(),
            created,
            empty: created.then_some(true),
        })
    }
}

fn fill(pattern: &str, namespace: &str, name: &str) -> String {
    pattern.replace(NAMESPACE, namespace).replace(NAME, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_say_where_and_not_on_which_host() {
        let allowed = Allowed { http: false, file: true };
        for good in [
            "https://git.example.org/{namespace}/{name}.git",
            "git@git.example.org:{namespace}/{name}.git",
            "ssh://git@git.example.org:2222/srv/{name}",
            "file:///srv/git/{name}.git",
        ] {
            assert!(Plain::parse(good, allowed).is_ok(), "{good}");
        }
        for bad in [
            "https://git.example.org/x.git",
            "https://{namespace}.example.org/{name}.git",
            "https://{name}/x",
            "{name}@git.example.org:{name}",
            "git@{namespace}:{name}",
            "ssh://{namespace}/{name}",
            "https://git.example.org/{name}/{other}",
        ] {
            assert!(Plain::parse(bad, allowed).is_err(), "{bad}");
        }
    }
}
