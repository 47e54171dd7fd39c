//! What a blueprint says about itself.

mod foreign;
mod native;

use serde::Deserialize;
use serde_json::Value;

use crate::data::Scope;
use crate::engine::{Engine, Missing};
use crate::error::{Error, Problem, Trouble};
use crate::glob::Pattern;
use crate::source::Source;

/// What a blueprint asks for, and how its files are treated.
#[derive(Debug, Clone, Default)]
pub struct Declaration {
    /// What it is for, in a sentence.
    pub description: String,
    /// The language of names, conditions and defaults.
    pub engine: Engine,
    /// What becomes of values that it does not declare.
    pub undeclared: Undeclared,
    /// The values, in the order in which they are declared.
    pub values: Vec<ValueRule>,
    pub(crate) files: FileRules,
    pub(crate) scope: Scope,
    /// The file that says so.
    pub(crate) source: &'static str,
}

/// What becomes of values that are not declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undeclared {
    /// They are a mistake.
    Refuse,
    /// Templates see them.
    #[default]
    Allow,
}

/// What is asked of one value.
#[derive(Debug, Clone)]
pub struct ValueRule {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// What it is when nobody says; a text with `{{` is a template.
    pub default: Option<Value>,
    /// Whether somebody must say.
    pub required: bool,
    /// What a text has to match, as a whole.
    pub pattern: Option<regex::Regex>,
    /// What it may be.
    pub choices: Vec<Value>,
    /// The least number, or the least length of a text or list.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// The type of the items of a list.
    pub items: Option<Kind>,
    /// What it is for.
    pub description: String,
}

/// The type of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// Names with values.
    Object,
}

impl Kind {
    /// Whether the value is of this type.
    pub fn takes(self, value: &Value) -> bool {
        match self {
            Kind::String => value.is_string(),
            Kind::Integer => value.is_i64() || value.is_u64(),
            Kind::Number => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            Kind::List => value.is_array(),
            Kind::Object => value.is_object(),
        }
    }

    /// What a value is that nobody gave.
    pub(crate) fn zero(self) -> Value {
        match self {
            Kind::String => Value::from(""),
            Kind::Integer => Value::from(0),
            Kind::Number => Value::from(0.0),
            Kind::Boolean => Value::from(false),
            Kind::List => Value::Array(Vec::new()),
            Kind::Object => Value::Object(serde_json::Map::new()),
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "a string",
            Kind::Integer => "an integer",
            Kind::Number => "a number",
            Kind::Boolean => "a boolean",
            Kind::List => "a list",
            Kind::Object => "an object",
        }
    }
}

/// How files are treated. Patterns are about paths as they are in the blueprint, names not rendered.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileRules {
    /// Never copied.
    pub(crate) ignore: Vec<Pattern>,
    /// Copied as they are.
    pub(crate) verbatim: Vec<Pattern>,
    /// Not copied, and seen by templates.
    pub(crate) partials: Vec<Pattern>,
    /// Left out when this says nothing or no.
    pub(crate) when: Vec<(Pattern, String)>,
    /// What opens and closes expressions.
    pub(crate) delimiters: Vec<(Pattern, Delimiters)>,
    /// What undefined values are.
    pub(crate) missing: Missing,
    /// Which files are templates.
    pub(crate) rendering: Rendering,
    /// The directory in the blueprint that is the tree.
    pub(crate) root: Option<String>,
}

/// What opens and closes an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delimiters {
    pub(crate) left: String,
    pub(crate) right: String,
}

/// Which files are templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rendering {
    /// `*.tmpl` in Go, and those with this suffix in Jinja2.
    Suffix { go: Option<&'static str>, jinja: String },
    /// All texts, in Jinja2.
    Everything,
}

impl Default for Rendering {
    fn default() -> Rendering {
        Rendering::Suffix { go: Some(".tmpl"), jinja: ".j2".to_owned() }
    }
}

impl FileRules {
    /// In which language a file is a template, and its name without the suffix.
    pub(crate) fn engine_of<'a>(&self, path: &str, name: &'a str) -> Option<(Engine, &'a str)> {
        if crate::glob::any(&self.verbatim, path) {
            return None;
        }
        match &self.rendering {
            Rendering::Everything => Some((Engine::Jinja, name)),
            Rendering::Suffix { go, jinja } => {
                let stem = |suffix: &str| name.strip_suffix(suffix).filter(|stem| !stem.is_empty());
                let go = go.and_then(stem).map(|stem| (Engine::Go, stem));
                go.or_else(|| stem(jinja).map(|stem| (Engine::Jinja, stem)))
            }
        }
    }

    pub(crate) fn delimiters_of(&self, path: &str) -> Option<&Delimiters> {
        self.delimiters.iter().find(|(pattern, _)| pattern.matches(path)).map(|(_, delimiters)| delimiters)
    }
}

impl Declaration {
    /// Reads what there is: `blueprint.toml`, or the declaration of cookiecutter or copier; a blueprint needs none.
    pub(crate) fn read(source: &Source<'_>) -> Result<Declaration, Error> {
        if let Some(text) = source.text(native::FILE)? {
            return native::parse(&text);
        }
        if let Some(text) = source.text(foreign::COOKIECUTTER)? {
            return foreign::cookiecutter(&text, &source.directories()?);
        }
        for file in foreign::COPIER {
            if let Some(text) = source.text(file)? {
                return foreign::copier(file, &text);
            }
        }
        Ok(native::silent())
    }

    /// Whether the file belongs to the tree or to its templates.
    pub(crate) fn wants(&self, path: &str) -> bool {
        path != self.source && !crate::glob::any(&self.files.ignore, path)
    }

    /// The rule for a value.
    pub fn value(&self, name: &str) -> Option<&ValueRule> {
        self.values.iter().find(|rule| rule.name == name)
    }
}

/// What is wrong with a declared value in itself.
fn check(rule: &ValueRule, file: &str, problems: &mut Vec<Problem>) {
    let field = format!("values.{}", rule.name);
    let mut wrong = |part: &str, message: String| {
        problems.push(Problem::new(Trouble::Declaration, message).file(file).field(format!("{field}.{part}")));
    };
    if let (Some(min), Some(max)) = (rule.min, rule.max)
        && min > max
    {
        wrong("min", format!("is {min}, and `max` is {max}"));
    }
    if rule.pattern.is_some() && rule.kind != Kind::String {
        wrong("pattern", format!("is for strings, and this is {}", rule.kind.name()));
    }
    if rule.items.is_some() && rule.kind != Kind::List {
        wrong("items", format!("is for lists, and this is {}", rule.kind.name()));
    }
    if (rule.min.is_some() || rule.max.is_some()) && matches!(rule.kind, Kind::Boolean | Kind::Object) {
        wrong("min", format!("is for numbers, strings and lists, and this is {}", rule.kind.name()));
    }
    if rule.required && rule.default.is_some() {
        wrong("required", "is for values without a default".to_owned());
    }
    for choice in rule.choices.iter().filter(|choice| !rule.kind.takes(choice)) {
        wrong("choices", format!("has {choice}, which is not {}", rule.kind.name()));
    }
    if let Some(default) = rule.default.as_ref().filter(|default| !is_template(default))
        && let Err((message, _)) = crate::validate::check(rule, default)
    {
        wrong("default", message);
    }
}

/// Whether a default is a template.
pub(crate) fn is_template(default: &Value) -> bool {
    default.as_str().is_some_and(|text| text.contains("{{") || text.contains("{%"))
}
