//! The declarations of cookiecutter and copier, as far as they speak of values and files.
//!
//! What they would execute (hooks, extensions, tasks, migrations) is left out.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{Declaration, FileRules, Kind, Rendering, Undeclared, ValueRule, is_template};
use crate::data::Scope;
use crate::engine::{Engine, Missing};
use crate::error::{Error, Problem, Trouble};
use crate::glob::Pattern;

pub(super) const COOKIECUTTER: &str = "cookiecutter.json";
pub(super) const COPIER: [&str; 2] = ["copier.yml", "copier.yaml"];

/// Fields in the order in which they are written: defaults may speak of what stands above.
struct Ordered(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ordered, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Ordered;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("names with values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Ordered(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

fn rule(name: String, default: Value) -> ValueRule {
    let kind = match &default {
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_f64() => Kind::Number,
        Value::Number(_) => Kind::Integer,
        Value::Array(_) => Kind::List,
        Value::Object(_) => Kind::Object,
        Value::String(_) | Value::Null => Kind::String,
    };
    let default = Some(default).filter(|default| !default.is_null());
    ValueRule {
        name,
        kind,
        default,
        required: false,
        pattern: None,
        choices: Vec::new(),
        min: None,
        max: None,
        items: None,
        description: String::new(),
    }
}

/// Patterns that cannot be read are those of nothing.
fn patterns(value: &Value) -> Vec<Pattern> {
    let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.filter_map(|text| Pattern::parse(text).ok()).collect()
}

/// `cookiecutter.json`. The tree is the directory whose name speaks of `cookiecutter`; every text in it is a template.
pub(super) fn cookiecutter(text: &str, directories: &[String]) -> Result<Declaration, Error> {
    let Ordered(fields) = serde_json::from_str(text).map_err(|error| {
        let mut problem = Problem::new(Trouble::Declaration, error.to_string()).file(COOKIECUTTER);
        problem.line = Some(error.line());
        problem.column = Some(error.column());
        problem
    })?;
    let root = directories.iter().find(|name| name.contains("{{") && name.contains("cookiecutter"));
    let root = root.ok_or_else(|| {
        Problem::new(Trouble::Declaration, "there is no directory `{{cookiecutter.…}}` beside it").file(COOKIECUTTER)
    })?;
    let mut values = Vec::new();
    let mut verbatim = Vec::new();
    for (name, value) in fields {
        match name.as_str() {
            "_copy_without_render" => verbatim = patterns(&value),
            "_extensions" | "_jinja2_env_vars" | "_template" | "_output_dir" | "__prompts__" => {}
            _ => values.push(match value {
                Value::Array(choices) if choices.iter().all(Value::is_string) && !choices.is_empty() => {
                    let default = choices.first().cloned().unwrap_or_default();
                    let mut rule = rule(name, default);
                    if !choices.iter().any(is_template) {
                        rule.choices = choices;
                    }
                    rule
                }
                value => rule(name, value),
            }),
        }
    }
    Ok(Declaration {
        description: String::new(),
        engine: Engine::Jinja,
        undeclared: Undeclared::Allow,
        values,
        files: FileRules {
            verbatim,
            rendering: Rendering::Everything,
            root: Some(root.clone()),
            ..FileRules::default()
        },
        scope: Scope::Cookiecutter,
        source: COOKIECUTTER,
    })
}

/// `copier.yml`. Templates end with `.jinja`, or with what it says.
pub(super) fn copier(file: &'static str, text: &str) -> Result<Declaration, Error> {
    let Ordered(fields) = serde_saphyr::from_str(text)
        .map_err(|error| Problem::new(Trouble::Declaration, error.to_string()).file(file))?;
    let defaults =
        ["copier.yml", "copier.yaml", "*_copier_conf*", "~*", "*.py[co]", "__pycache__", ".DS_Store", ".svn"];
    let mut ignore: Vec<Pattern> = defaults.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
    let mut rendering = Rendering::Suffix { go: None, jinja: ".jinja".to_owned() };
    let mut root = None;
    let mut values = Vec::new();
    for (name, value) in fields {
        match (name.as_str(), &value) {
            ("_exclude", exclude) => ignore.extend(patterns(exclude)),
            ("_templates_suffix", Value::String(suffix)) if suffix.is_empty() => rendering = Rendering::Everything,
            ("_templates_suffix", Value::String(suffix)) => {
                rendering = Rendering::Suffix { go: None, jinja: suffix.clone() };
            }
            ("_subdirectory", Value::String(directory)) => root = Some(directory.clone()),
            (name, _) if name.starts_with('_') => {}
            (_, Value::Object(question)) => values.push(question_rule(name, question)),
            (_, _) => values.push(rule(name, value)),
        }
    }
    Ok(Declaration {
        description: String::new(),
        engine: Engine::Jinja,
        undeclared: Undeclared::Allow,
        values,
        files: FileRules { ignore, rendering, root, missing: Missing::Default, ..FileRules::default() },
        scope: Scope::Copier,
        source: file,
    })
}

fn question_rule(name: String, question: &serde_json::Map<String, Value>) -> ValueRule {
    let default = question.get("default").cloned().unwrap_or_default();
    let mut rule = rule(name, default);
    match question.get("type").and_then(Value::as_str) {
        Some("str" | "path") => rule.kind = Kind::String,
        Some("int") => rule.kind = Kind::Integer,
        Some("float") => rule.kind = Kind::Number,
        Some("bool") => rule.kind = Kind::Boolean,
        _ => {}
    }
    // A question without a default has to be answered.
    rule.required = !question.contains_key("default") && !question.contains_key("when");
    rule.description = question.get("help").and_then(Value::as_str).unwrap_or_default().to_owned();
    let choices = question.get("choices").filter(|_| question.get("multiselect") != Some(&Value::from(true)));
    rule.choices = match choices {
        Some(Value::Array(choices)) => choices.iter().map(choice).collect(),
        Some(Value::Object(choices)) => choices.values().map(choice).collect(),
        _ => Vec::new(),
    };
    if rule.choices.iter().any(is_template) {
        rule.choices.clear();
    }
    rule
}

/// A choice is a value, a label with a value, or a value with more.
fn choice(choice: &Value) -> Value {
    match choice {
        Value::Array(pair) if pair.len() == 2 => pair[1].clone(),
        Value::Object(more) => more.get("value").cloned().unwrap_or_default(),
        value => value.clone(),
    }
}
