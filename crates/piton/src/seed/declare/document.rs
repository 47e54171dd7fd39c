//! A JSON object that is edited: members keep their order, and those that are not touched keep their text.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Failure, failed};

/// A JSON object.
#[derive(Debug, Default)]
pub struct Document {
    members: Vec<(String, Box<RawValue>)>,
}

impl Document {
    /// Reads an object.
    pub fn parse(text: &str) -> Result<Document, serde_json::Error> {
        serde_json::from_str(text.trim_start_matches('\u{feff}'))
    }

    /// Sets a member, in its place if it has one.
    pub fn set(&mut self, key: &str, value: &impl Serialize) -> Result<(), Failure> {
        let value = serde_json::value::to_raw_value(value).map_err(|error| failed(error.to_string()))?;
        match self.members.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.members.push((key.to_owned(), value)),
        }
        Ok(())
    }

    /// The object as text.
    pub fn render(&self) -> String {
        let members = self.members.iter().map(|(key, value)| {
            let key = serde_json::Value::from(key.as_str());
            format!("  {key}: {}", value.get())
        });
        let members: Vec<String> = members.collect();
        if members.is_empty() { "{}\n".to_owned() } else { format!("{{\n{}\n}}\n", members.join(",\n")) }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut document = Document::default();
                while let Some(member) = map.next_entry()? {
                    document.members.push(member);
                }
                Ok(document)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays_as_it_was() {
        let text = r#"{
  "enabled": true,
  "x-unknown": { "b": 1,
     "a": [1,  2] },
  "deploy_schedule": "0 9 * * 1-5"
}
"#;
        let mut document = Document::parse(text).unwrap();
        assert_eq!(document.render(), text);
        document.set("deploy_schedule", &"@daily").unwrap();
        document.set("description", &"new").unwrap();
        let wanted = text.replace("\"0 9 * * 1-5\"", "\"@daily\",\n  \"description\": \"new\"");
        assert_eq!(document.render(), wanted);
    }

    #[test]
    fn only_objects_are_declarations() {
        assert!(Document::parse("[]").is_err());
        assert!(Document::parse("{").is_err());
        assert_eq!(Document::parse("{}").unwrap().render(), "{}\n");
    }
}
