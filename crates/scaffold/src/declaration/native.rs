//! `blueprint.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::{Declaration, Delimiters, FileRules, Kind, Rendering, Undeclared, ValueRule, check};
use crate::data::Scope;
use crate::engine::{Engine, Missing};
use crate::error::{Error, Problem, Trouble};
use crate::glob::Pattern;

pub(super) const FILE: &str = "blueprint.toml";

/// Where partials lie when nobody says.
const PARTIALS: &str = "/_partials";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    description: String,
    #[serde(default)]
    engine: Engine,
    undeclared: Option<Undeclared>,
    #[serde(default)]
    values: BTreeMap<String, Spanned<RawValue>>,
    #[serde(default)]
    files: RawFiles,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawValue {
    #[serde(default, rename = "type")]
    kind: Kind,
    default: Option<toml::Value>,
    #[serde(default)]
    required: bool,
    pattern: Option<String>,
    #[serde(default, alias = "enum")]
    choices: Vec<toml::Value>,
    min: Option<f64>,
    max: Option<f64>,
    items: Option<Kind>,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawFiles {
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    verbatim: Vec<String>,
    partials: Option<Vec<String>>,
    #[serde(default)]
    when: BTreeMap<String, String>,
    #[serde(default)]
    delimiters: BTreeMap<String, [String; 2]>,
    #[serde(default)]
    missing: Missing,
}

pub(super) fn parse(text: &str) -> Result<Declaration, Error> {
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let problem = Problem::new(Trouble::Declaration, error.message().to_owned()).file(FILE);
        match error.span() {
            Some(span) => problem.at(text, span.start),
            None => problem,
        }
    })?;
    let mut problems = Vec::new();
    let mut values: Vec<(usize, ValueRule)> = Vec::new();
    for (name, spanned) in raw.values {
        let at = spanned.span().start;
        let known = problems.len();
        let rule = value(name, spanned.into_inner(), &mut problems);
        check(&rule, FILE, &mut problems);
        for problem in &mut problems[known..] {
            *problem = problem.clone().at(text, at);
        }
        values.push((at, rule));
    }
    values.sort_by_key(|(at, _)| *at);
    let values: Vec<ValueRule> = values.into_iter().map(|(_, rule)| rule).collect();
    let files = files(raw.files, &mut problems);
    Error::of(problems)?;
    let undeclared = match raw.undeclared {
        Some(undeclared) => undeclared,
        None if values.is_empty() => Undeclared::Allow,
        None => Undeclared::Refuse,
    };
    Ok(Declaration {
        description: raw.description,
        engine: raw.engine,
        undeclared,
        values,
        files,
        scope: Scope::Own,
        source: FILE,
    })
}

/// What holds for a blueprint that says nothing.
pub(super) fn silent() -> Declaration {
    let files = files(RawFiles::default(), &mut Vec::new());
    Declaration { files, source: FILE, ..Declaration::default() }
}

fn value(name: String, raw: RawValue, problems: &mut Vec<Problem>) -> ValueRule {
    let field = format!("values.{name}");
    if name.is_empty() || !name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '-')) {
        let message = "a name of a value has letters, digits, `_` and `-`";
        problems.push(Problem::new(Trouble::Declaration, message).file(FILE).field(field.clone()));
    }
    let pattern = raw.pattern.and_then(|text| match regex::Regex::new(&format!("^(?:{text})$")) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let message = format!("is no regular expression: {error}");
            problems.push(Problem::new(Trouble::Declaration, message).file(FILE).field(format!("{field}.pattern")));
            None
        }
    });
    ValueRule {
        name,
        kind: raw.kind,
        default: raw.default.map(json),
        required: raw.required,
        pattern,
        choices: raw.choices.into_iter().map(json).collect(),
        min: raw.min,
        max: raw.max,
        items: raw.items,
        description: raw.description,
    }
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from(number),
        toml::Value::Boolean(value) => Value::from(value),
        toml::Value::Datetime(time) => Value::from(time.to_string()),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(fields) => fields.into_iter().map(|(name, value)| (name, json(value))).collect(),
    }
}

fn files(raw: RawFiles, problems: &mut Vec<Problem>) -> FileRules {
    let mut pattern = |field: &str, text: &str| match Pattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let message = format!("`{text}` is no pattern: {error}");
            let problem = Problem::new(Trouble::Declaration, message).file(FILE).field(format!("files.{field}"));
            problems.push(problem.hint("a brace or bracket that is meant is written with a backslash"));
            None
        }
    };
    let mut patterns =
        |field: &str, texts: &[String]| texts.iter().filter_map(|text| pattern(field, text)).collect::<Vec<_>>();
    let ignore = patterns("ignore", &raw.ignore);
    let verbatim = patterns("verbatim", &raw.verbatim);
    let partials = patterns("partials", &raw.partials.unwrap_or_else(|| vec![PARTIALS.to_owned()]));
    let when =
        raw.when.into_iter().filter_map(|(text, condition)| Some((pattern("when", &text)?, condition))).collect();
    let mut delimiters = Vec::new();
    for (text, [left, right]) in raw.delimiters {
        let Some(pattern) = pattern("delimiters", &text) else { continue };
        delimiters.push((pattern, Delimiters { left, right }));
    }
    for (pattern, pair) in &delimiters {
        if pair.left.is_empty() || pair.right.is_empty() || pair.left == pair.right {
            let problem = Problem::new(Trouble::Declaration, "delimiters are two texts that differ");
            problems.push(problem.file(FILE).field(format!("files.delimiters.{}", pattern.text())));
        }
    }
    FileRules {
        ignore,
        verbatim,
        partials,
        when,
        delimiters,
        missing: raw.missing,
        rendering: Rendering::default(),
        root: None,
    }
}
