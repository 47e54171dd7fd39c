//! URLs, taken apart and put together as Go's `net/url` does.

mod parts;

use super::{Args, Entry};
use crate::function::{FunctionError, Outcome};
use crate::limits::Meter;
use crate::text::Text;
use crate::value::{Element, Map, Type, Value};

use parts::{Parts, UserInfo};

const T: Type = Type::Text;
const D: Type = Type::Map(Element::Any);

pub(super) const FUNCTIONS: &[Entry] = &[("urlParse", &[T], None, D, parse), ("urlJoin", &[D], None, T, join)];

fn parse(_: &mut Meter, args: &Args<'_>) -> Outcome {
    let url = Parts::parse(args.bytes(0)).map_err(|error| format!("unable to parse url: {error}"))?;
    let map = Map::new(Element::Any);
    let user = url.user.as_ref().map(UserInfo::shown).unwrap_or_default();
    let hostname = url.hostname().to_vec();
    for (name, value) in [
        ("scheme", url.scheme),
        ("host", url.host),
        ("hostname", hostname),
        ("path", url.path),
        ("query", url.query),
        ("opaque", url.opaque),
        ("fragment", url.fragment),
        ("userinfo", user),
    ] {
        map.insert(Text::from(name), value.into());
    }
    Ok(Value::Map(map))
}

fn join(_: &mut Meter, args: &Args<'_>) -> Outcome {
    let get = |name: &str| -> Result<Vec<u8>, FunctionError> {
        match args.map(0).and_then(|map| map.get(name.as_bytes())) {
            None => Ok(Vec::new()),
            Some(Value::Text(text)) => Ok(text.as_bytes().to_vec()),
            Some(Value::Nil) => Err("runtime error: invalid memory address or nil pointer dereference".into()),
            Some(other) => {
                let kind = other.kind();
                Err(format!("unable to parse {name} key, must be of type string, but {kind} found").into())
            }
        }
    };
    let mut url = Parts::default();
    url.scheme = get("scheme")?;
    url.host = get("host")?;
    url.path = get("path")?;
    url.query = get("query")?;
    url.opaque = get("opaque")?;
    url.fragment = get("fragment")?;
    let user = get("userinfo")?;
    if !user.is_empty() {
        let whole = [b"proto://", &*user, b"@host"].concat();
        url.user = Parts::parse(&whole).map_err(|error| format!("unable to parse userinfo in dict: {error}"))?.user;
    }
    Ok(url.shown().into())
}
