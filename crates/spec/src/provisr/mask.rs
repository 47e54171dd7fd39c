//! Values of environments that are hidden, and put back where somebody returns what was hidden.

use serde_json::Value as Json;

/// What is shown in place of a value.
pub(crate) const MASK: &str = "***";

/// Hides the values of every environment in a declaration as somebody wrote it.
pub fn mask(spec: &mut Json) {
    match spec {
        Json::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("env" | "environment", Json::Array(items)) => {
                        for item in items {
                            let name = item.as_str().and_then(|text| text.split_once('=')).map(|(name, _)| name);
                            *item = name.map_or_else(|| MASK.into(), |name| format!("{name}={MASK}").into());
                        }
                    }
                    ("env" | "environment", Json::Object(variables)) => {
                        variables.values_mut().for_each(|value| *value = MASK.into());
                    }
                    (_, value) => mask(value),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// Puts values back that were hidden: those of `declared`, which is what is in force. So whoever changes what they were
/// shown need not know any secret. A hidden value of a variable that is new stays as it is.
pub fn unmask(spec: &mut Json, declared: &Json) {
    match spec {
        Json::Object(members) => {
            for (key, value) in members {
                if matches!(key.as_str(), "env" | "environment") {
                    let known = declared.get("env").or_else(|| declared.get("environment"));
                    put_back(value, known.unwrap_or(&Json::Null));
                } else if let Some(declared) = declared.get(key) {
                    unmask(value, declared);
                }
            }
        }
        // Hooks are known by their names, so that they can be put in another order.
        Json::Array(items) => {
            let others = declared.as_array().map(Vec::as_slice).unwrap_or_default();
            for item in items.iter_mut().filter(|item| item.get("name").is_some()) {
                if let Some(other) = others.iter().find(|other| other.get("name") == item.get("name")) {
                    unmask(item, other);
                }
            }
        }
        _ => {}
    }
}

fn put_back(env: &mut Json, declared: &Json) {
    match env {
        Json::Array(items) => {
            for item in items {
                let text = item.as_str().and_then(|text| text.strip_suffix(MASK));
                let name = text.and_then(|text| text.strip_suffix('='));
                let whole = name.and_then(|name| Some(format!("{name}={}", value_of(declared, name)?)));
                if let Some(whole) = whole {
                    *item = whole.into();
                }
            }
        }
        Json::Object(variables) => {
            for (name, value) in variables.iter_mut().filter(|(_, value)| value.as_str() == Some(MASK)) {
                if let Some(known) = value_of(declared, name) {
                    *value = known.into();
                }
            }
        }
        _ => {}
    }
}

/// The value of a variable in a list of `NAME=VALUE` or in a table.
fn value_of(env: &Json, name: &str) -> Option<String> {
    match env {
        Json::Array(items) => {
            let value = |item: &Json| item.as_str()?.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            // Of two with the same name the last one counts.
            items.iter().rev().find_map(value)
        }
        Json::Object(variables) => match variables.get(name)? {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            Json::Bool(flag) => Some(flag.to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{mask, unmask};

    #[test]
    fn what_is_hidden_is_put_back() {
        let declared = json!({"name": "web", "env": ["A=1", "B=x=y"], "job_template": {"environment": {"C": "2", "D": 3}},
            "lifecycle": {"pre_start": [{"name": "one", "env": ["E=4"]}, {"name": "two", "env": {"F": "5"}}]}});
        let mut shown = declared.clone();
        mask(&mut shown);
        assert!(!shown.to_string().contains(['1', '2', '3', '4', '5', 'x']), "{shown}");
        let mut back = shown.clone();
        unmask(&mut back, &declared);
        let mut expected = declared.clone();
        expected["job_template"]["environment"]["D"] = "3".into();
        assert_eq!(back, expected);

        shown["env"] = json!({"B": "***", "A": "new", "NEW": "***"});
        shown["lifecycle"]["pre_start"] = json!([{"name": "two", "env": ["F=***"]}]);
        unmask(&mut shown, &declared);
        assert_eq!(shown["env"], json!({"B": "x=y", "A": "new", "NEW": "***"}));
        assert_eq!(shown["lifecycle"]["pre_start"], json!([{"name": "two", "env": ["F=5"]}]));
    }
}
