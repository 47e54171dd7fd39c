//! The session of a page in a browser: `EventSource` cannot send headers, but it sends cookies.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use super::AuthSettings;
use crate::problem::Refusal;

const NAME: &str = "piton_session";

/// The token that a request brings as a cookie. Two of them are none: one may have been set by somebody else.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = lines.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then_some(value)
    });
    match (found.next(), found.next()) {
        (Some(token), None) => Some(token),
        _ => None,
    }
}

/// Sets the cookie for so many seconds; 0 removes it.
pub(super) fn set(token: &str, seconds: i64, settings: &AuthSettings) -> Option<HeaderValue> {
    let secure = if settings.https { "; Secure" } else { "" };
    let text = format!("{NAME}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", seconds.max(0));
    HeaderValue::from_str(&text).ok()
}

/// Refuses what a page of another origin makes the browser do. What only reads may come without an origin, as
/// `EventSource` and links do; what changes something may not.
pub(super) fn check_origin(method: &Method, uri: &Uri, headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let sound = match headers.get(header::ORIGIN) {
        Some(origin) => origin.to_str().is_ok_and(|origin| is_own(origin, uri, headers, allowed)),
        None => matches!(site, Some("same-origin" | "none")) || (reads && site.is_none()),
    };
    if sound {
        return Ok(());
    }
    let hint = Some("name the page's origin in `server.allowed_origins`, or send a token in a header".to_owned());
    let detail = "a page of another origin may not act with this browser's session";
    Err(Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", detail, hint).by_code())
}

/// Whether a page of this origin is one of this server's, or of one that may act for it.
pub(super) fn is_own(origin: &str, uri: &Uri, headers: &HeaderMap, allowed: &[String]) -> bool {
    let host = uri.authority().map(axum::http::uri::Authority::as_str);
    let host = host.or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()));
    let of_page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let same = match (of_page, host) {
        (Some(of_page), Some(host)) => !host.is_empty() && of_page.eq_ignore_ascii_case(host),
        _ => false,
    };
    same || allowed.iter().any(|one| one != "*" && one.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_pages_of_ones_own_may_act() {
        const HOST: (&str, &str) = ("host", "piton.example:8080");
        type Pairs = &'static [(&'static str, &'static str)];
        let allowed = ["https://ui.example".to_owned(), "*".to_owned()];
        let table: [(&str, Pairs, bool); 14] = [
            ("POST", &[HOST, ("origin", "http://piton.example:8080")], true),
            ("POST", &[HOST, ("origin", "https://piton.example:8080")], true),
            ("POST", &[HOST, ("origin", "https://ui.example")], true),
            ("POST", &[HOST, ("origin", "https://evil.example")], false),
            ("POST", &[HOST, ("origin", "http://piton.example")], false),
            ("POST", &[HOST, ("origin", "http://piton.example:8080.evil.example")], false),
            ("POST", &[HOST, ("origin", "null")], false),
            ("POST", &[HOST], false),
            ("POST", &[HOST, ("sec-fetch-site", "same-origin")], true),
            ("POST", &[HOST, ("sec-fetch-site", "same-site")], false),
            ("GET", &[HOST], true),
            ("GET", &[HOST, ("sec-fetch-site", "cross-site")], false),
            ("GET", &[HOST, ("origin", "https://evil.example")], false),
            ("DELETE", &[HOST, ("origin", "http://")], false),
        ];
        for (method, pairs, fine) in table {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = check_origin(&method, &Uri::from_static("/api/runs"), &headers(pairs), &allowed);
            assert_eq!(found.is_ok(), fine, "{method} {pairs:?}");
        }
    }

    #[test]
    fn one_cookie_is_taken_and_two_are_not() {
        assert_eq!(token(&headers(&[("cookie", "a=b; piton_session=x.y.z; c=d")])), Some("x.y.z"));
        assert_eq!(token(&headers(&[("cookie", "a=b"), ("cookie", "piton_session=x")])), Some("x"));
        assert_eq!(token(&headers(&[("cookie", "piton_session=x; piton_session=y")])), None);
        assert_eq!(token(&headers(&[("cookie", "xpiton_session=x")])), None);
        let settings = AuthSettings {
            enabled: true,
            token_ttl: std::time::Duration::from_secs(1),
            secret: None,
            worker_key: None,
            allowed_origins: vec![],
            loopback: false,
            https: true,
        };
        let set = set("x", 60, &settings).unwrap();
        assert_eq!(set, "piton_session=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure");
    }
}
