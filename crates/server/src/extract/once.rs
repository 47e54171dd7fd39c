//! Members of JSON objects stand once.
//!
//! RFC 8259 leaves it open what `{"a":1,"a":2}` means, and serde lets the last one win where objects become maps. Whoever
//! wrote that meant something else than what is done, or wants that somebody else on the way reads another thing than
//! Piton does.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The place of the first member that stands twice: names and indices, from the outside in. Nothing in what is no JSON.
pub(crate) fn twice(text: &[u8]) -> Option<Vec<String>> {
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    // An error that is not about this is told by whoever reads the text.
    let _ = Walk { found: &mut found }.deserialize(&mut deserializer);
    found
}

/// What is wrong with such a member, whose place is written as whoever reads this knows it.
pub(crate) fn stands_twice(place: &str) -> String {
    format!("the member `{}` stands twice", place.escape_debug())
}

/// A walk over a value. The place of what is found is put together on the way back, so that one is needed only then.
struct Walk<'a> {
    found: &'a mut Option<Vec<String>>,
}

impl Walk<'_> {
    /// A walk over a part of this.
    fn part(&mut self) -> Walk<'_> {
        Walk { found: &mut *self.found }
    }

    /// What was found in a part, was found in this part of the whole.
    fn prepend(&mut self, part: String) {
        if let Some(place) = self.found.as_mut() {
            place.insert(0, part);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        loop {
            match items.next_element_seed(self.part()) {
                Ok(Some(())) => index += 1,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.prepend(index.to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(name) = members.next_key_seed(Key)? {
            if seen.contains(&name) {
                *self.found = Some(vec![name.into_owned()]);
                return Err(A::Error::custom("a member stands twice"));
            }
            if let Err(error) = members.next_value_seed(self.part()) {
                self.prepend(name.into_owned());
                return Err(error);
            }
            seen.insert(name);
        }
        Ok(())
    }
}

/// The name of a member, copied only where the text spells it with escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use piton_model::json_pointer;

    use super::*;

    #[test]
    fn a_member_stands_once() {
        let table = [
            (r#"{"a":1,"a":2}"#, Some("/a")),
            (r#"{"a":1,"b":2,"a":1}"#, Some("/a")),
            (r#"{"a":1,"\u0061":2}"#, Some("/a")),
            (r#"{"x":[0,{"y":{"a/b~":null,"a/b~":null}}]}"#, Some("/x/1/y/a~1b~0")),
            (r#"[{"a":1},{"a":1,"a":1}]"#, Some("/1/a")),
            (r#"{"":1,"":1}"#, Some("/")),
            (r#"{"a":{"a":{"a":[{"a":1},{"a":1}]}}}"#, None),
            (r#"{"a":1,"A":2,"b":-1,"c":0.5,"d":"\n","e":true,"f":null}"#, None),
            (r#"{"a":{"b":1},"b":{"b":"#, None),
            (r#"{"a":1,"a":"#, Some("/a")),
            ("", None),
            ("7", None),
        ];
        for (text, place) in table {
            assert_eq!(twice(text.as_bytes()).map(json_pointer).as_deref(), place, "{text}");
        }
    }

    #[test]
    fn depth_does_no_harm() {
        assert_eq!(twice("[".repeat(100_000).as_bytes()), None);
        assert_eq!(twice("{\"a\":".repeat(100_000).as_bytes()), None);
    }
}
