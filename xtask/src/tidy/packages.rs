//! The graph of packages, as `cargo metadata` resolves it for Linux.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::repository;

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Part of the product.
    Normal,
    /// Part of building the product.
    Build,
    /// Tests, examples and benches only.
    Dev,
}

/// The members of the workspace and everything they resolve to.
#[derive(Debug, Default)]
pub struct Packages {
    /// Names of the workspace's own packages.
    pub members: BTreeSet<String>,
    /// Direct dependencies by name: (dependency, kind).
    pub dependencies: BTreeMap<String, BTreeSet<(String, Kind)>>,
}

impl Packages {
    /// Asks cargo, without the network where its cache suffices: rules must not need it, a clean machine does.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let resolve = |more: &[&str]| {
            // The platform filter leaves out what only Windows or macOS would compile.
            let base = ["metadata", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"];
            repository::output(root, &cargo, &[&base, more].concat())
        };
        let json = resolve(&["--locked", "--offline"]).or_else(|_| resolve(&["--locked"]))?;
        let metadata: Metadata = serde_json::from_str(&json).context("cannot understand cargo metadata")?;
        Ok(Self::from(metadata))
    }

    /// A literal graph.
    #[cfg(test)]
    pub fn of(members: &[&str], dependencies: &[(&str, &str, Kind)]) -> Self {
        let mut packages = Self { members: members.iter().map(|name| (*name).to_owned()).collect(), ..Self::default() };
        for (from, to, kind) in dependencies {
            packages.dependencies.entry((*from).to_owned()).or_default().insert(((*to).to_owned(), *kind));
        }
        packages
    }

    /// The direct dependencies of one package.
    pub fn of_package(&self, name: &str) -> impl Iterator<Item = (&str, Kind)> {
        self.dependencies.get(name).into_iter().flatten().map(|(name, kind)| (name.as_str(), *kind))
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<Kind>,
}

impl From<Metadata> for Packages {
    fn from(metadata: Metadata) -> Self {
        let names: BTreeMap<&str, &str> =
            metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
        let name = |id: &str| names.get(id).copied().unwrap_or(id).to_owned();

        let members = metadata.workspace_members.iter().map(|id| name(id)).collect();
        let mut dependencies: BTreeMap<String, BTreeSet<(String, Kind)>> = BTreeMap::new();
        for node in &metadata.resolve.nodes {
            // Two versions of one package share an entry, which is what a ban by name wants.
            let edges = dependencies.entry(name(&node.id)).or_default();
            for dependency in &node.deps {
                for kind in &dependency.dep_kinds {
                    edges.insert((name(&dependency.pkg), kind.kind.unwrap_or(Kind::Normal)));
                }
            }
        }
        Self { members, dependencies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_becomes_a_graph_of_names() {
        let json = r#"{
            "packages": [{"id": "path+a", "name": "a"}, {"id": "reg+b", "name": "b"}, {"id": "reg+c", "name": "c"}],
            "workspace_members": ["path+a"],
            "resolve": {"nodes": [
                {"id": "path+a", "deps": [
                    {"pkg": "reg+b", "dep_kinds": [{"kind": null}, {"kind": "dev"}]},
                    {"pkg": "reg+c", "dep_kinds": [{"kind": "build"}]}]},
                {"id": "reg+b", "deps": []}]}}"#;
        let packages = Packages::from(serde_json::from_str::<Metadata>(json).unwrap());
        assert_eq!(packages.members.iter().collect::<Vec<_>>(), ["a"]);
        let direct: Vec<_> = packages.of_package("a").collect();
        assert_eq!(direct, [("b", Kind::Normal), ("b", Kind::Dev), ("c", Kind::Build)]);
        assert_eq!(packages.of_package("b").count(), 0);
    }
}
