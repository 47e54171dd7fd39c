//! The parts of a URL.

use crate::quote::quote;

/// A URL in parts, without their escapes.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) scheme: Vec<u8>,
    pub(super) opaque: Vec<u8>,
    pub(super) user: Option<UserInfo>,
    pub(super) host: Vec<u8>,
    pub(super) path: Vec<u8>,
    /// As it was written, where that is not how it would be written anew.
    raw_path: Vec<u8>,
    pub(super) query: Vec<u8>,
    forces_query: bool,
    pub(super) fragment: Vec<u8>,
    raw_fragment: Vec<u8>,
    omits_host: bool,
}

pub(super) struct UserInfo {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

impl UserInfo {
    pub(super) fn shown(&self) -> Vec<u8> {
        let mut out = escape(&self.name, Part::User);
        if let Some(password) = &self.password {
            out.push(b':');
            out.extend(escape(password, Part::User));
        }
        out
    }
}

/// Each part may hold other characters.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Path,
    Host,
    User,
    Fragment,
}

fn is_plain(byte: u8, part: Part) -> bool {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => true,
        b'!' | b'\'' | b'(' | b')' | b'*' => matches!(part, Part::Host | Part::Fragment),
        b'[' | b']' | b'<' | b'>' | b'"' => part == Part::Host,
        b'$' | b'&' | b'+' | b',' | b'=' | b';' => true,
        b':' => part != Part::User,
        b'/' => matches!(part, Part::Path | Part::Fragment),
        b'@' => matches!(part, Part::Path | Part::Fragment),
        b'?' => part == Part::Fragment,
        _ => false,
    }
}

fn escape(bytes: &[u8], part: Part) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if is_plain(*byte, part) {
            out.push(*byte);
        } else {
            out.push(b'%');
            out.extend(hex::encode_upper([*byte]).bytes());
        }
    }
    out
}

fn unescape(bytes: &[u8], part: Part) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let digits = rest.get(..2).and_then(|digits| hex::decode(digits).ok());
            let Some([decoded]) = digits.as_deref() else {
                let shown = [b"%", &rest[..rest.len().min(2)]].concat();
                return Err(format!("invalid URL escape {}", quote(&shown)));
            };
            if part == Part::Host && *decoded < 0x80 && rest.get(..2) != Some(b"25") {
                return Err(format!("invalid URL escape {}", quote(&[b"%", &rest[..2]].concat())));
            }
            out.push(*decoded);
            rest = &rest[2..];
        } else {
            if part == Part::Host && *byte < 0x80 && !is_plain(*byte, part) {
                return Err(format!("invalid character {} in host name", quote(&[*byte])));
            }
            out.push(*byte);
        }
    }
    Ok(out)
}

impl Parts {
    pub(super) fn parse(text: &[u8]) -> Result<Parts, String> {
        let (before, fragment) = match memchr::memchr(b'#', text) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &[][..]),
        };
        let told = |text: &[u8], error: String| format!("parse {}: {error}", quote(text));
        let mut url = Parts::parse_without_fragment(before).map_err(|error| told(before, error))?;
        url.fragment = unescape(fragment, Part::Fragment).map_err(|error| told(text, error))?;
        if escape(&url.fragment, Part::Fragment) != fragment {
            url.raw_fragment = fragment.to_vec();
        }
        Ok(url)
    }

    fn parse_without_fragment(text: &[u8]) -> Result<Parts, String> {
        if text.iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
            return Err("net/url: invalid control character in URL".into());
        }
        let mut url = Parts::default();
        if text == b"*" {
            url.path = text.to_vec();
            return Ok(url);
        }
        let (scheme, mut rest) = split_scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        if rest.ends_with(b"?") && memchr::memchr_iter(b'?', rest).count() == 1 {
            url.forces_query = true;
            rest = &rest[..rest.len() - 1];
        } else if let Some(at) = memchr::memchr(b'?', rest) {
            url.query = rest[at + 1..].to_vec();
            rest = &rest[..at];
        }
        if !rest.starts_with(b"/") {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_vec();
                return Ok(url);
            }
            let segment = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
            if segment.contains(&b':') {
                return Err("first path segment in URL cannot contain colon".into());
            }
        }
        if (!url.scheme.is_empty() || !rest.starts_with(b"///")) && rest.starts_with(b"//") {
            let after = &rest[2..];
            let end = memchr::memchr(b'/', after).unwrap_or(after.len());
            url.parse_authority(&after[..end])?;
            rest = &after[end..];
        } else if !url.scheme.is_empty() && rest.starts_with(b"/") {
            url.omits_host = true;
        }
        url.path = unescape(rest, Part::Path)?;
        if escape(&url.path, Part::Path) != rest {
            url.raw_path = rest.to_vec();
        }
        Ok(url)
    }

    fn parse_authority(&mut self, authority: &[u8]) -> Result<(), String> {
        let Some(at) = memchr::memrchr(b'@', authority) else {
            self.host = parse_host(authority)?;
            return Ok(());
        };
        self.host = parse_host(&authority[at + 1..])?;
        let user = &authority[..at];
        let is_valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
        if !user.iter().all(is_valid) {
            return Err("net/url: invalid userinfo".into());
        }
        let (name, password) = match memchr::memchr(b':', user) {
            Some(colon) => (&user[..colon], Some(unescape(&user[colon + 1..], Part::User)?)),
            None => (user, None),
        };
        self.user = Some(UserInfo { name: unescape(name, Part::User)?, password });
        Ok(())
    }

    /// The host without its port and without brackets.
    pub(super) fn hostname(&self) -> &[u8] {
        let mut host = &*self.host;
        if let Some(colon) = memchr::memrchr(b':', host)
            && is_port(&host[colon..])
        {
            host = &host[..colon];
        }
        host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host)
    }

    pub(super) fn shown(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.scheme.is_empty() {
            out.extend(&self.scheme);
            out.push(b':');
        }
        if self.opaque.is_empty() {
            let has_authority = !self.host.is_empty() || self.user.is_some();
            if has_authority || !(self.scheme.is_empty() || self.omits_host) {
                if has_authority || !self.path.is_empty() {
                    out.extend(b"//");
                }
                if let Some(user) = &self.user {
                    out.extend(user.shown());
                    out.push(b'@');
                }
                out.extend(escape(&self.host, Part::Host));
            }
            let path = self.escaped_path();
            if !path.is_empty() && !path.starts_with(b"/") && !self.host.is_empty() {
                out.push(b'/');
            }
            // A colon in the first segment would be taken for the end of a scheme.
            let segment = path.split(|byte| *byte == b'/').next().unwrap_or_default();
            if out.is_empty() && segment.contains(&b':') {
                out.extend(b"./");
            }
            out.extend(path);
        } else {
            out.extend(&self.opaque);
        }
        if self.forces_query || !self.query.is_empty() {
            out.push(b'?');
            out.extend(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push(b'#');
            out.extend(if self.raw_fragment.is_empty() {
                escape(&self.fragment, Part::Fragment)
            } else {
                self.raw_fragment.clone()
            });
        }
        out
    }

    fn escaped_path(&self) -> Vec<u8> {
        if !self.raw_path.is_empty() {
            return self.raw_path.clone();
        }
        if self.path == b"*" { self.path.clone() } else { escape(&self.path, Part::Path) }
    }
}

/// A scheme, if there is one, and the rest.
fn split_scheme(text: &[u8]) -> Result<(&[u8], &[u8]), String> {
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".into()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok((&[], text))
}

fn is_port(port: &[u8]) -> bool {
    port.is_empty() || (port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit))
}

fn parse_host(host: &[u8]) -> Result<Vec<u8>, String> {
    let invalid_port = |port: &[u8]| format!("invalid port {} after host", quote(port));
    if host.starts_with(b"[") {
        let Some(close) = memchr::memrchr(b']', host) else { return Err("missing ']' in host".into()) };
        let port = &host[close + 1..];
        if !is_port(port) {
            return Err(invalid_port(port));
        }
    } else if let Some(colon) = memchr::memrchr(b':', host)
        && !is_port(&host[colon..])
    {
        return Err(invalid_port(&host[colon..]));
    }
    unescape(host, Part::Host)
}
