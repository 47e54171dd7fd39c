//! What the code of a root module declares, as far as Piton needs to know.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hcl_edit::expr::Expression;
use hcl_edit::structure::Body;
use serde_json::Value;

use crate::plain::read_linked;
use crate::tree::is_code;

/// The tools themselves would need minutes for a larger file.
const LARGEST: u64 = 16 << 20;

/// The variables of a root module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Variables {
    sensitive: BTreeMap<String, bool>,
}

impl Variables {
    /// Reads every file of the module in `dir`. A file that does not parse is passed over: the tool reports it better.
    pub(super) fn read(dir: &Path) -> Variables {
        let mut found = Variables::default();
        for (name, text) in files(dir).filter(|(_, text)| text.contains("variable")) {
            if is_json(&name) {
                found.read_json(&text);
            } else if let Ok(body) = hcl_edit::parser::parse_body(&text) {
                found.read_body(&body);
            }
        }
        found
    }

    pub(super) fn declares(&self, name: &str) -> bool {
        self.sensitive.contains_key(name)
    }

    pub(super) fn is_sensitive(&self, name: &str) -> bool {
        self.sensitive.get(name).copied().unwrap_or(false)
    }

    fn read_body(&mut self, body: &Body) {
        for block in body.get_blocks("variable") {
            let Some(label) = block.labels.first() else { continue };
            let sensitive = block
                .body
                .get_attribute("sensitive")
                .is_some_and(|attribute| matches!(&attribute.value, Expression::Bool(yes) if **yes));
            self.add(label.as_str(), sensitive);
        }
    }

    /// An object by name, or a list of such objects; what a name stands for may be a list, too.
    fn read_json(&mut self, text: &str) {
        let Ok(root) = serde_json::from_str::<Value>(text) else { return };
        for root in listed(&root) {
            for group in root.get("variable").into_iter().flat_map(listed) {
                for (name, declarations) in group.as_object().into_iter().flatten() {
                    let sensitive = listed(declarations)
                        .iter()
                        .any(|declaration| declaration.get("sensitive") == Some(&Value::Bool(true)));
                    self.add(name, sensitive);
                }
            }
        }
    }

    /// An override file may repeat a variable; once sensitive is sensitive.
    fn add(&mut self, name: &str, sensitive: bool) {
        *self.sensitive.entry(name.to_owned()).or_default() |= sensitive;
    }
}

/// Whether the code says where its state lies: a `backend` or a `cloud` block. Without one it lies beside the code.
pub(super) fn keeps_state_elsewhere(dir: &Path) -> bool {
    const PLACES: [&str; 2] = ["backend", "cloud"];
    files(dir).any(|(name, text)| {
        if is_json(&name) {
            let Ok(root) = serde_json::from_str::<Value>(&text) else { return false };
            let settings = listed(&root).iter().filter_map(|root| root.get("terraform")).flat_map(listed);
            return settings.into_iter().any(|settings| PLACES.iter().any(|place| settings.get(place).is_some()));
        }
        let Ok(body) = hcl_edit::parser::parse_body(&text) else { return false };
        let mut settings = body.get_blocks("terraform");
        settings.any(|block| PLACES.iter().any(|place| block.body.has_blocks(place)))
    })
}

/// The files of the root module in `dir` and what they hold.
fn files(dir: &Path) -> impl Iterator<Item = (String, String)> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok().filter(|name| is_code(name))?;
        let text = String::from_utf8(read_linked(&entry.path(), LARGEST).ok()?).ok()?;
        Some((name, text))
    })
}

fn is_json(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json")
}

fn listed(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        one => std::slice::from_ref(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_found_in_every_form() {
        for (name, text, elsewhere) in [
            ("a.tf", "terraform {\n  backend \"s3\" {}\n}\n", true),
            ("a.tf", "terraform {\n  cloud {\n    organization = \"x\"\n  }\n}\n", true),
            ("a.tf", "terraform {\n  required_version = \">= 1\"\n}\n", false),
            ("a.tf.json", r#"{"terraform": {"backend": {"s3": {}}}}"#, true),
            ("a.tf.json", r#"{"terraform": [{"required_version": ">= 1"}]}"#, false),
            ("a.txt", "terraform {\n  backend \"s3\" {}\n}\n", false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), text).unwrap();
            assert_eq!(keeps_state_elsewhere(dir.path()), elsewhere, "{text}");
        }
    }

    #[test]
    fn variables_are_found_in_every_form() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("a.tf", "variable \"workspace_name\" { type = string }\nvariable secret {\n sensitive = true\n}\n");
        write("b.tofu", "variable \"in_tofu\" {}\n");
        write("c.tf.json", r#"{"variable": {"in_json": {"sensitive": true}, "plain": [{}]}}"#);
        write("d.tofu.json", r#"[{"variable": [{"in_list": {}}]}]"#);
        write("broken.tf", "variable \"in_broken\" {");
        write("not-code.txt", "variable \"in_text\" {}");
        write(".hidden.tf", "variable \"in_hidden\" {}");
        fs::create_dir(dir.path().join("modules.tf")).unwrap();
        let found = Variables::read(dir.path());
        let names: Vec<&str> = found.sensitive.keys().map(String::as_str).collect();
        assert_eq!(names, ["in_json", "in_list", "in_tofu", "plain", "secret", "workspace_name"]);
        assert!(found.is_sensitive("secret") && found.is_sensitive("in_json"));
        assert!(!found.is_sensitive("workspace_name") && !found.is_sensitive("nowhere"));
        assert!(found.declares("plain") && !found.declares("in_broken"));
    }
}
