//! `required_version` in the code of a root module.
//!
//! The tool itself reports broken code, and better, so a file that does not parse is passed over here. A constraint
//! that parses as code but not as a constraint is reported, because no version at all can run it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hcl_edit::Span;
use hcl_edit::structure::Body;

use crate::claim::{Claim, Place};
use crate::constraint::{Constraints, Reading};
use crate::error::Error;
use crate::tool::Tool;

/// What a file must contain to be worth parsing. Neither syntax can hide the word behind escapes in practice, and
/// looking for it first makes reading a large module cheap.
const KEYWORD: &str = "required_version";

/// One `required_version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// The tool that reads the file it stands in.
    pub tool: Tool,
    /// The constraint.
    pub constraints: Constraints,
    /// Where it is written.
    pub place: Place,
}

impl Required {
    pub(crate) fn claim(&self) -> Claim {
        Claim { text: self.constraints.to_string(), place: self.place.clone() }
    }
}

/// Every `required_version` that `tool` would enforce for the root module in `dir`.
pub fn find(tool: Tool, dir: &Path) -> Result<Vec<Required>, Error> {
    let mut found = Vec::new();
    for name in module_files(tool, dir)? {
        let path = dir.join(&name);
        let Some(declared) = declarations(&path) else { continue };
        let mut here = Vec::new();
        for Declaration { text, line } in declared {
            let place = Place::File { path: path.clone(), line };
            match Constraints::parse(&text, Reading::Required) {
                Ok(constraints) => here.push(Required { tool, constraints, place }),
                Err(problem) => return Err(Error::InvalidConstraint { place, problem }),
            }
        }
        // An override file replaces what was said before it, where other files add to it.
        if is_override(&name) && !here.is_empty() {
            found.clear();
        }
        found.append(&mut here);
    }
    Ok(found)
}

/// The names of the module's files in the order in which the tools merge them: overrides last, each lot sorted.
fn module_files(tool: Tool, dir: &Path) -> Result<Vec<String>, Error> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let entry = entry.map_err(Error::io("read", dir))?;
        // A name that is not UTF-8 cannot end in a way that is looked for here and be meant so.
        if let Ok(name) = entry.file_name().into_string()
            && extension(tool, &name).is_some()
            && !is_ignored(&name)
        {
            names.insert(name);
        }
    }
    let shadowed = |name: &String| {
        let (base, json) = name
            .strip_suffix(".tf")
            .map(|base| (base, ""))
            .or(name.strip_suffix(".tf.json").map(|base| (base, ".json")))?;
        Some(names.contains(&format!("{base}.tofu{json}")))
    };
    let (overrides, ordinary): (Vec<String>, Vec<String>) =
        names.iter().filter(|name| !shadowed(name).unwrap_or(false)).cloned().partition(|name| is_override(name));
    Ok(ordinary.into_iter().chain(overrides).collect())
}

/// The part of a file name that makes it code of `tool`.
fn extension(tool: Tool, name: &str) -> Option<&'static str> {
    let extensions: &[&str] = match tool {
        Tool::OpenTofu => &[".tf", ".tf.json", ".tofu", ".tofu.json"],
        Tool::Terraform => &[".tf", ".tf.json"],
    };
    extensions.iter().copied().find(|extension| name.ends_with(extension))
}

fn is_override(name: &str) -> bool {
    let base = extension(Tool::OpenTofu, name).and_then(|extension| name.strip_suffix(extension)).unwrap_or(name);
    base == "override" || base.ends_with("_override")
}

/// Hidden files and editors' leavings, which the tools do not read either.
fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || (name.starts_with('#') && name.ends_with('#'))
}

/// A constraint as written.
#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    text: String,
    line: Option<usize>,
}

/// The declarations of one file, `None` if it cannot be read or understood.
fn declarations(path: &Path) -> Option<Vec<Declaration>> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    if !text.contains(KEYWORD) {
        return None;
    }
    if path.extension().is_some_and(|extension| extension == "json") { in_json(&text) } else { in_hcl(&text) }
}

fn in_hcl(text: &str) -> Option<Vec<Declaration>> {
    let body: Body = text.parse().ok()?;
    let attributes = body
        .blocks()
        .filter(|block| block.has_ident("terraform"))
        .flat_map(|block| block.body.attributes())
        .filter(|attribute| attribute.has_key(KEYWORD));
    let declared = attributes.filter_map(|attribute| {
        let line = attribute.key.span().map(|span| line_at(text, span.start));
        Some(Declaration { text: attribute.value.as_str()?.to_owned(), line })
    });
    Some(declared.collect())
}

fn in_json(text: &str) -> Option<Vec<Declaration>> {
    let root: serde_json::Value = serde_json::from_str(text).ok()?;
    // JSON values carry no position; a key that is written once can still be found.
    let quoted = format!("\"{KEYWORD}\"");
    let mut positions = text.match_indices(&quoted).map(|(position, _)| position);
    let line = match (positions.next(), positions.next()) {
        (Some(position), None) => Some(line_at(text, position)),
        _ => None,
    };
    // A block may be written as one object or as a list of them.
    let blocks = |value: &serde_json::Value| match value {
        serde_json::Value::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    let declared = blocks(&root)
        .iter()
        .filter_map(|root| root.get("terraform"))
        .flat_map(blocks)
        .filter_map(|block| Some(Declaration { text: block.get(KEYWORD)?.as_str()?.to_owned(), line }))
        .collect();
    Some(declared)
}

fn line_at(text: &str, position: usize) -> usize {
    text.as_bytes().iter().take(position).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn found(tool: Tool, files: &[(&str, &str)]) -> Vec<String> {
        let dir = module(files);
        let required = find(tool, dir.path()).unwrap();
        required
            .iter()
            .map(|required| {
                let claim = required.claim().to_string();
                claim.replace(&format!("{}/", dir.path().display()), "")
            })
            .collect()
    }

    #[test]
    fn every_file_of_the_module_counts() {
        let files = [
            ("main.tf", "# entry\nterraform {\n  backend \"local\" {}\n\n  required_version = \">= 1.6\"\n}\n"),
            ("versions.tf.json", "{\n  \"terraform\": [{\n    \"required_version\": \"< 2.0\"\n  }]\n}\n"),
            ("variables.tf", "variable \"required_version\" {}\n"),
            ("notes.txt", "terraform { required_version = \"= 0.1.0\" }"),
        ];
        for tool in Tool::ALL {
            assert_eq!(found(tool, &files), ["`>= 1.6` (main.tf:5)", "`< 2.0` (versions.tf.json:3)"]);
        }
    }

    #[test]
    fn opentofu_files_shadow_their_namesakes() {
        let files = [
            ("main.tf", "terraform {\n  required_version = \"~> 1.5.0\"\n}\n"),
            ("main.tofu", "terraform {\n  required_version = \">= 1.8\"\n}\n"),
            ("extra.tf.json", r#"{"terraform": {"required_version": "< 1.6"}}"#),
            ("extra.tofu.json", r#"{"terraform": {"required_version": "< 3"}}"#),
        ];
        assert_eq!(found(Tool::OpenTofu, &files), ["`< 3` (extra.tofu.json:1)", "`>= 1.8` (main.tofu:2)"]);
        assert_eq!(found(Tool::Terraform, &files), ["`< 1.6` (extra.tf.json:1)", "`~> 1.5.0` (main.tf:2)"]);
    }

    #[test]
    fn overrides_replace() {
        let files = [
            ("main.tf", "terraform {\n  required_version = \">= 1.6\"\n}\n"),
            ("a_override.tf", "terraform {\n  required_version = \">= 1.7\"\n}\n"),
            ("override.tf", "locals {\n  a = 1\n}\n"),
        ];
        assert_eq!(found(Tool::OpenTofu, &files), ["`>= 1.7` (a_override.tf:2)"]);
    }

    #[test]
    fn broken_and_foreign_files_are_the_tools_business() {
        let files = [
            ("a.tf", "terraform {\n  required_version = \n"),
            ("b.tf.json", "{ required_version"),
            ("c.tf", "terraform {\n  required_version = var.version\n}\n"),
            (".hidden.tf", "terraform {\n  required_version = \"= 9.9.9\"\n}\n"),
            ("d.tf", "terraform {\n  required_version = \">= 1.0\"\n}\n"),
        ];
        assert_eq!(found(Tool::OpenTofu, &files), ["`>= 1.0` (d.tf:2)"]);
        let dir = module(&files);
        fs::create_dir(dir.path().join("required_version.tf")).unwrap();
        assert_eq!(find(Tool::Terraform, dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn an_impossible_constraint_is_named_with_its_line() {
        for (text, code_word) in [("^1.6", "not a version constraint"), ("1.6.0-rc1", "pre-release")] {
            let dir = module(&[("main.tf", &format!("terraform {{\n  required_version = \"{text}\"\n}}\n"))]);
            let error = find(Tool::OpenTofu, dir.path()).unwrap_err();
            assert_eq!(error.code(), "invalid_constraint");
            assert!(error.to_string().contains("main.tf:2") && error.to_string().contains(code_word), "{error}");
        }
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let dir = module(&[]);
        assert_eq!(find(Tool::OpenTofu, &dir.path().join("gone")).unwrap_err().code(), "io");
    }
}
