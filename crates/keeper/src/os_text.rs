//! Operating-system strings in JSON: text where they are UTF-8, a list of bytes where they are not, so that nothing is
//! lost.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire<'a> {
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> From<&'a OsStr> for Wire<'a> {
    fn from(value: &'a OsStr) -> Self {
        match value.to_str() {
            Some(text) => Wire::Text(text.into()),
            None => Wire::Bytes(value.as_bytes().into()),
        }
    }
}

impl From<Wire<'_>> for OsString {
    fn from(wire: Wire<'_>) -> Self {
        match wire {
            Wire::Text(text) => text.into_owned().into(),
            Wire::Bytes(bytes) => Self::from_vec(bytes.into_owned()),
        }
    }
}

pub(crate) mod value {
    use super::{Deserialize, Deserializer, OsStr, OsString, Serialize, Serializer, Wire};

    pub(crate) fn serialize<S: Serializer>(value: impl AsRef<OsStr>, to: S) -> Result<S::Ok, S::Error> {
        Wire::from(value.as_ref()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: From<OsString>>(from: D) -> Result<T, D::Error> {
        Ok(OsString::from(Wire::deserialize(from)?).into())
    }
}

pub(crate) mod optional {
    use super::{Deserialize, Deserializer, OsStr, OsString, Serialize, Serializer, Wire};

    #[expect(clippy::ref_option, reason = "serde calls it with the field")]
    pub(crate) fn serialize<S: Serializer>(value: &Option<impl AsRef<OsStr>>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|value| Wire::from(value.as_ref())).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: From<OsString>>(from: D) -> Result<Option<T>, D::Error> {
        Ok(Option::<Wire<'_>>::deserialize(from)?.map(|value| OsString::from(value).into()))
    }
}

pub(crate) mod list {
    use super::{Deserialize, Deserializer, OsString, Serializer, Wire};

    pub(crate) fn serialize<S: Serializer>(values: &[OsString], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|value| Wire::from(value.as_os_str())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<OsString>, D::Error> {
        Ok(Vec::<Wire<'_>>::deserialize(from)?.into_iter().map(OsString::from).collect())
    }
}

/// A map as a list of pairs, because a JSON key must be UTF-8.
pub(crate) mod pairs {
    use super::{BTreeMap, Deserialize, Deserializer, OsString, Serializer, Wire};

    pub(crate) fn serialize<S: Serializer>(map: &BTreeMap<OsString, OsString>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.iter().map(|(key, value)| (Wire::from(key.as_os_str()), Wire::from(value.as_os_str()))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<OsString, OsString>, D::Error> {
        let pairs = Vec::<(Wire<'_>, Wire<'_>)>::deserialize(from)?;
        Ok(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}
