//! Whether the values of an order are what a blueprint asks for. Pure.

use serde_json::{Map, Value};

use crate::declaration::{Declaration, Kind, Undeclared, ValueRule, is_template};
use crate::error::{Problem, Trouble};

/// Fewer than this many edits apart is probably a slip of the finger.
const CLOSE: usize = 3;

/// Makes a value of a default that is a template.
type RenderDefault<'a> = dyn FnMut(usize, &Map<String, Value>) -> Result<String, Problem> + 'a;

/// Adds defaults and tells everything that is wrong. `render` makes a value of a default that is a template, over the
/// values known by then.
pub(crate) fn complete(
    declaration: &Declaration,
    given: &Map<String, Value>,
    render: &mut RenderDefault<'_>,
) -> Result<Map<String, Value>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut values = given.clone();
    if declaration.undeclared == Undeclared::Refuse {
        for name in given.keys().filter(|name| declaration.value(name).is_none()) {
            problems.push(undeclared(declaration, name));
        }
    }
    for (at, rule) in declaration.values.iter().enumerate() {
        let field = format!("values.{}", rule.name);
        let value = match given.get(&rule.name).filter(|value| !value.is_null()) {
            Some(value) => value.clone(),
            None if rule.required => {
                let problem = Problem::new(Trouble::Values, format!("is missing; {} is wanted", rule.kind.name()));
                problems.push(if rule.description.is_empty() {
                    problem.field(field)
                } else {
                    problem.field(field).hint(rule.description.clone())
                });
                continue;
            }
            None => match &rule.default {
                // Over values that are wrong, a default would tell the same mistake again.
                Some(default) if is_template(default) && !problems.is_empty() => continue,
                Some(default) if is_template(default) => match render(at, &values) {
                    Ok(text) => read(rule.kind, text),
                    Err(problem) => {
                        problems.push(problem);
                        continue;
                    }
                },
                Some(default) => default.clone(),
                None => {
                    // Nobody has to say, so nobody can have said it wrong.
                    values.insert(rule.name.clone(), rule.kind.zero());
                    continue;
                }
            },
        };
        if let Err((message, hint)) = check(rule, &value) {
            let problem = Problem::new(Trouble::Values, message).field(field);
            problems.push(match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
        }
        values.insert(rule.name.clone(), value);
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// A default that was rendered is a text; other types are read from it.
fn read(kind: Kind, text: String) -> Value {
    match kind {
        Kind::String => Value::from(text),
        Kind::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" => Value::from(true),
            "false" | "no" | "n" | "" => Value::from(false),
            _ => Value::from(text),
        },
        _ => serde_json::from_str(text.trim()).unwrap_or(Value::from(text)),
    }
}

fn undeclared(declaration: &Declaration, name: &str) -> Problem {
    let problem = Problem::new(Trouble::Values, "the blueprint declares no such value").field(format!("values.{name}"));
    let near = declaration.values.iter().map(|rule| (strsim::damerau_levenshtein(name, &rule.name), &rule.name)).min();
    match near {
        Some((distance, near)) if distance < CLOSE => problem.hint(format!("did you mean `{near}`?")),
        _ if declaration.values.len() <= 12 => {
            let names: Vec<&str> = declaration.values.iter().map(|rule| rule.name.as_str()).collect();
            problem.hint(format!("it declares {}", names.join(", ")))
        }
        _ => problem,
    }
}

/// Whether a value is as its rule says; else what is wrong, and what to try.
pub(crate) fn check(rule: &ValueRule, value: &Value) -> Result<(), (String, Option<String>)> {
    if !rule.kind.takes(value) {
        let hint = match (rule.kind, value) {
            (Kind::Integer | Kind::Number | Kind::Boolean, Value::String(text))
                if serde_json::from_str(text).is_ok_and(|value| rule.kind.takes(&value)) =>
            {
                Some(format!("write {text} without quotes"))
            }
            (Kind::String, Value::Number(_) | Value::Bool(_)) => Some(format!("write \"{value}\" in quotes")),
            _ => None,
        };
        return Err((format!("is {}, and {} is wanted", shown(value), rule.kind.name()), hint));
    }
    if !rule.choices.is_empty() && !rule.choices.contains(value) {
        let choices: Vec<String> = rule.choices.iter().map(Value::to_string).collect();
        return Err((format!("is {}", shown(value)), Some(format!("one of {} is wanted", choices.join(", ")))));
    }
    if let (Some(pattern), Some(text)) = (&rule.pattern, value.as_str())
        && !pattern.is_match(text)
    {
        let told = pattern.as_str();
        let told = told.strip_prefix("^(?:").and_then(|told| told.strip_suffix(")$")).unwrap_or(told);
        return Err((format!("is {}, which does not match `{told}`", shown(value)), None));
    }
    if let (Some(kind), Some(items)) = (rule.items, value.as_array())
        && let Some((at, item)) = items.iter().enumerate().find(|(_, item)| !kind.takes(item))
    {
        return Err((format!("has {} at [{at}], and {} is wanted there", shown(item), kind.name()), None));
    }
    let (size, what) = match value {
        Value::Number(number) => (number.as_f64().unwrap_or(f64::NAN), ""),
        Value::String(text) => (text.chars().count() as f64, "characters"),
        Value::Array(items) => (items.len() as f64, "items"),
        _ => return Ok(()),
    };
    let told = if what.is_empty() { format!("is {size}") } else { format!("has {size} {what}") };
    match (rule.min, rule.max) {
        (Some(min), _) if size < min => Err((format!("{told}, and the least is {min}"), None)),
        (_, Some(max)) if size > max => Err((format!("{told}, and the most is {max}"), None)),
        _ => Ok(()),
    }
}

/// The value, cut where it would fill the screen.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start}…")
}
