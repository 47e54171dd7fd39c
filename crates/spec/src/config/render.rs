//! The table of keys as a JSON schema, as an example file and as the tables of the reference page.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::keys::{KEYS, Key, Mask, SECTIONS};
use super::kind::Kind;

/// The keys right below a section (empty for the top level).
fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| match key.path.rsplit_once('.') {
        Some((parent, _)) => parent == section,
        None => section.is_empty(),
    })
}

fn name_of(key: &Key) -> &'static str {
    key.path.rsplit('.').next().unwrap_or(key.path)
}

pub(super) fn schema() -> String {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Piton configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": {},
    });
    for key in KEYS {
        let mut at = &mut schema;
        let mut path = String::new();
        let mut words = key.path.split('.').peekable();
        while let Some(word) = words.next() {
            let Some(properties) = at.get_mut("properties").and_then(Json::as_object_mut) else { break };
            if words.peek().is_none() {
                properties.insert(word.to_owned(), schema_of(key));
                break;
            }
            path = if path.is_empty() { word.to_owned() } else { format!("{path}.{word}") };
            at = properties.entry(word.to_owned()).or_insert_with(|| {
                let about = SECTIONS.iter().find(|(section, _)| *section == path).map(|(_, about)| *about);
                json!({"type": "object", "description": about, "additionalProperties": false, "properties": {}})
            });
        }
    }
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

fn schema_of(key: &Key) -> Json {
    let mut schema = match key.kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Integer(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Seconds => json!({"type": ["integer", "string"]}),
        Kind::Size => json!({"type": ["integer", "string"]}),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Texts | Kind::Networks => json!({"type": ["array", "string"], "items": {"type": "string"}}),
        Kind::Table => json!({"type": "object"}),
        Kind::Tables => json!({"type": "array", "items": {"type": "object"}}),
        Kind::Raw => json!({}),
        Kind::Text
        | Kind::Path
        | Kind::Duration
        | Kind::Zone
        | Kind::Cron
        | Kind::Url(_)
        | Kind::Listen
        | Kind::BasePath => json!({"type": "string"}),
    };
    if let Some(members) = schema.as_object_mut() {
        let words = match key.kind {
            Kind::Raw | Kind::Choice(_) | Kind::Bool => key.doc.to_owned(),
            kind => format!("{} ({})", key.doc, kind.words()),
        };
        members.insert("description".to_owned(), words.into());
        let default = key.default.and_then(|text| key.kind.check(&key.kind.value_of_text(text)).ok());
        members.extend(default.map(|default| ("default".to_owned(), default)).into_iter().collect::<Map<_, _>>());
    }
    schema
}

pub(super) fn example() -> String {
    let mut text = String::from(
        "# Configuration of Piton. Every key is optional; what stands here as a comment is the default.\n\
         # A variable PITON_SECTION__KEY overrides a key, an option of the command line overrides both.\n",
    );
    for (section, about) in [("", "Processes, as provisr has them.")].iter().chain(SECTIONS) {
        let mut keys = keys_of(section).filter(|key| !matches!(key.kind, Kind::Table | Kind::Tables)).peekable();
        if keys.peek().is_none() {
            continue;
        }
        // Writing to a String never fails.
        let _ = match *section {
            "" => writeln!(text, "\n# {about}"),
            section => writeln!(text, "\n# {about}\n# [{section}]"),
        };
        for key in keys {
            let unset = if key.otherwise.is_empty() { "not set" } else { key.otherwise };
            let _ = match toml_default(key) {
                Some(value) => writeln!(text, "#   {}\n# {} = {value}", key.doc, name_of(key)),
                None => writeln!(text, "#   {} [{unset}]\n# {} = {}", key.doc, name_of(key), sample(key.kind)),
            };
        }
    }
    text
}

/// The default as TOML writes it.
fn toml_default(key: &Key) -> Option<String> {
    let value = key.kind.check(&key.kind.value_of_text(key.default?)).ok()?;
    Some(match key.kind {
        Kind::Seconds => key.default?.to_owned(),
        _ => value.to_string(),
    })
}

/// Something of the kind, for keys without a default.
fn sample(kind: Kind) -> String {
    match kind {
        Kind::Bool => "false".to_owned(),
        Kind::Integer(min, max) => 10.clamp(min, max).to_string(),
        Kind::Duration | Kind::Seconds => "\"60m\"".to_owned(),
        Kind::Size => "\"10MB\"".to_owned(),
        Kind::Choice(words) => format!("\"{}\"", words.first().copied().unwrap_or_default()),
        Kind::Zone => "\"Europe/Berlin\"".to_owned(),
        Kind::Cron => "\"* * * * *\"".to_owned(),
        Kind::Url(schemes) => match schemes.first() {
            Some(&"sqlite") => "\"sqlite:piton.db\"".to_owned(),
            scheme => format!("\"{}://example.org\"", scheme.copied().unwrap_or("https")),
        },
        Kind::Listen => "\"127.0.0.1:9090\"".to_owned(),
        Kind::BasePath => "\"/api\"".to_owned(),
        Kind::Texts | Kind::Networks => "[]".to_owned(),
        Kind::Text | Kind::Path | Kind::Raw => "\"…\"".to_owned(),
        Kind::Table => "{}".to_owned(),
        Kind::Tables => "[]".to_owned(),
    }
}

pub(super) fn reference() -> String {
    let mut text = String::new();
    for (section, about) in SECTIONS.iter().chain([&("", "Processes, as provisr has them.")]) {
        let mut keys = keys_of(section).peekable();
        if keys.peek().is_none() {
            continue;
        }
        let title = if section.is_empty() { "Top level".to_owned() } else { format!("`[{section}]`") };
        let _ = writeln!(
            text,
            "### {title}\n\n{about}\n\n| key | value | default | also | meaning |\n|---|---|---|---|---|"
        );
        for key in keys {
            let default = match key.default {
                Some("") => "none".to_owned(),
                Some(default) => format!("`{default}`"),
                None if key.otherwise.is_empty() => "–".to_owned(),
                None => key.otherwise.to_owned(),
            };
            let also: Vec<String> = key.aliases.iter().map(|alias| format!("`{alias}`")).collect();
            let secret = if key.mask == Mask::Open { "" } else { " Shown masked." };
            let _ = writeln!(
                text,
                "| `{}` | {} | {default} | {} | {}{secret} |",
                name_of(key),
                key.kind.words(),
                also.join(", "),
                key.doc
            );
        }
        text.push('\n');
    }
    text
}
