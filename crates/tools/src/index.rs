//! The vendors' lists of releases.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::tool::Tool;
use crate::version::Version;

/// Reads a list of releases, newest first. Entries that are no versions are passed over.
pub(crate) fn parse(tool: Tool, text: &[u8]) -> Result<Vec<Version>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Tofu {
        versions: Vec<TofuRelease>,
    }
    #[derive(Deserialize)]
    struct TofuRelease {
        id: String,
    }
    #[derive(Deserialize)]
    #[expect(clippy::zero_sized_map_values, reason = "the document is a map, of which only the keys matter")]
    struct Terraform {
        versions: BTreeMap<String, IgnoredAny>,
    }
    let names: Vec<String> = match tool {
        Tool::OpenTofu => {
            serde_json::from_slice::<Tofu>(text)?.versions.into_iter().map(|release| release.id).collect()
        }
        Tool::Terraform => serde_json::from_slice::<Terraform>(text)?.versions.into_keys().collect(),
    };
    let mut versions: Vec<Version> = names.iter().filter_map(|name| name.parse().ok()).collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.dedup();
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(versions: Vec<Version>) -> Vec<String> {
        versions.iter().map(Version::to_string).collect()
    }

    #[test]
    fn reads_both_formats() {
        let tofu = br#"{"versions":[{"id":"1.8.0","files":["a"]},{"id":"1.10.0"},{"id":"1.9.0-rc1"},{"id":"next"}]}"#;
        assert_eq!(texts(parse(Tool::OpenTofu, tofu).unwrap()), ["1.10.0", "1.9.0-rc1", "1.8.0"]);
        let terraform = br#"{"name":"terraform","versions":{"1.9.0":{"builds":[]},"1.11.4":{},"1.12.0-alpha1":{}}}"#;
        assert_eq!(texts(parse(Tool::Terraform, terraform).unwrap()), ["1.12.0-alpha1", "1.11.4", "1.9.0"]);
    }

    #[test]
    fn refuses_another_document() {
        for text in ["", "{}", "<html>", r#"{"versions":{}}"#] {
            assert!(parse(Tool::OpenTofu, text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(Tool::Terraform, br#"{"versions":[]}"#).is_err());
    }
}
