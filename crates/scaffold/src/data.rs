//! What templates can see.

use jiff::Timestamp;
use minijinja::value::Serde;
use serde_json::{Map, Value, json};

use crate::error::{Error, Problem, Trouble};

/// What a project is wanted: the `blueprint` of a job message.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Name of the component or system.
    pub name: String,
    /// The namespace or group it belongs to.
    pub namespace: String,
    /// What the user chose.
    pub values: Map<String, Value>,
    /// Facts about the rendering.
    pub meta: Meta,
}

/// Facts about a rendering, which templates see as `.Meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// When it is done.
    pub timestamp: Timestamp,
    /// The version of Piton.
    pub version: String,
    /// The run that does it; empty if none.
    pub run_id: String,
    /// The name of the blueprint.
    pub template: String,
    /// The commit that the blueprint was read from, if it was.
    pub commit: Option<String>,
    /// `system` or `component`; empty if nobody said.
    pub kind: String,
}

impl Meta {
    /// Both spellings: `.Meta.timestamp` and `.Meta.Timestamp`.
    fn fields(&self) -> Value {
        let timestamp = self.timestamp.to_string();
        let commit = self.commit.as_deref().unwrap_or_default();
        json!({
            "timestamp": timestamp, "Timestamp": timestamp,
            "version": self.version, "Version": self.version,
            "run_id": self.run_id, "RunID": self.run_id, "RunId": self.run_id,
            "template": self.template, "Template": self.template,
            "commit": commit, "Commit": commit,
            "type": self.kind, "Type": self.kind,
        })
    }
}

/// The data of one rendering, as both engines want it.
#[derive(Debug, Clone)]
pub struct Data {
    pub(crate) go: Value,
    pub(crate) jinja: minijinja::Value,
}

impl Data {
    /// Data from JSON. Jinja2 sees the keys in the order in which they are written; Go has none.
    pub fn from_json(text: &str) -> Result<Data, Error> {
        let wrong = |error: serde_json::Error| {
            let mut problem = Problem::new(Trouble::Values, format!("the data is not JSON: {error}"));
            problem.line = Some(error.line());
            problem.column = Some(error.column());
            problem
        };
        let go = serde_json::from_str(text).map_err(wrong)?;
        let jinja = serde_json::from_str(text).map_err(wrong)?;
        Ok(Data { go, jinja })
    }

    /// What the templates of a blueprint see: `Name`, `Namespace`, `Values` and `Meta`. Jinja2 templates see them in small
    /// letters too, and the values by themselves.
    pub(crate) fn of(order: &Order, values: &Map<String, Value>, scope: Scope) -> Data {
        let go = json!({
            "Name": order.name, "Namespace": order.namespace, "Values": values, "Meta": order.meta.fields(),
        });
        let mut all = values.clone();
        for word in ["Name", "Namespace", "Values", "Meta"] {
            all.insert(word.to_owned(), go[word].clone());
            let small = word.to_lowercase();
            if scope == Scope::Own || !all.contains_key(&small) {
                all.insert(small, go[word].clone());
            }
        }
        if scope == Scope::Cookiecutter {
            all.insert("cookiecutter".to_owned(), go["Values"].clone());
        }
        let jinja = minijinja::Value::from(Serde(&all));
        Data { go, jinja }
    }
}

/// Under which names Jinja2 templates see the values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Ours first: a value `name` is seen as `values.name` only.
    #[default]
    Own,
    /// As copier has it: the values first.
    Copier,
    /// That, and all of them in `cookiecutter`.
    Cookiecutter,
}

impl From<Value> for Data {
    fn from(value: Value) -> Data {
        let jinja = minijinja::Value::from(Serde(&value));
        Data { go: value, jinja }
    }
}
