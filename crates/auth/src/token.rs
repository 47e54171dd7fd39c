//! Tokens: JSON Web Tokens signed with HS256, and no others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::{SignedDuration, Timestamp};
use piton_model::{Digest, Role, Secret, SigningKey};
use ring::hmac;
use serde::{Deserialize, Serialize};

/// The most bytes that a token has.
pub const LONGEST_TOKEN: usize = 4096;
/// The fewest bytes of a configured secret: as many as the signature has.
pub const MIN_SECRET: usize = 32;

const ISSUER: &str = "piton";
const AUDIENCE: &str = "piton";
/// By how much the clocks of two nodes may differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    kid: String,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    /// Id of the user or client.
    pub sub: String,
    /// Id of the token.
    pub jti: String,
    /// When it was given out, in seconds.
    pub iat: i64,
    nbf: i64,
    /// When it is over, in seconds.
    pub exp: i64,
    /// When its owner last proved with a password or a secret who they are, in seconds.
    pub auth_time: i64,
    /// The generation of its owner's rights.
    pub generation: u32,
    /// Id of the user or client, as provisr names it.
    pub user_id: String,
    /// Name of the user or client, for people.
    pub username: String,
    /// What its owner could do then; never read here.
    pub roles: Vec<Role>,
}

impl Claims {
    /// What a token says that is given out at `now`.
    pub fn new(owner: (&str, &str), roles: &[Role], generation: u32, jti: String, now: Timestamp) -> Claims {
        let (id, name) = owner;
        Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: id.to_owned(),
            jti,
            iat: now.as_second(),
            nbf: now.as_second(),
            exp: now.as_second(),
            auth_time: now.as_second(),
            generation,
            user_id: id.to_owned(),
            username: name.to_owned(),
            roles: roles.to_vec(),
        }
    }

    /// The same, valid for so long.
    pub fn valid_for(mut self, span: SignedDuration) -> Claims {
        self.exp = self.iat.saturating_add(span.as_secs().max(1));
        self
    }

    /// When the token is over.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_second(self.exp).unwrap_or(Timestamp::MAX)
    }
}

/// Why a token is worth nothing. For the log: who sent it is told nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It is no token.
    #[error("it is no token")]
    Malformed,
    /// It is not signed with HS256.
    #[error("it is not signed with HS256")]
    Algorithm,
    /// No key has that name.
    #[error("nothing is signed with that key")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// It lacks something, or is for somebody else.
    #[error("it is no token of Piton")]
    Claims,
    /// It is not valid yet.
    #[error("it is not valid yet")]
    Early,
    /// It is over.
    #[error("it is over")]
    Expired,
}

/// Signs a token.
pub fn issue(key: &SigningKey, claims: &Claims) -> String {
    let head = Head { alg: "HS256".to_owned(), typ: Some("JWT".to_owned()), kid: key.id.clone() };
    // Neither has a member that JSON cannot say.
    let part = |json: Result<Vec<u8>, serde_json::Error>| BASE64.encode(json.unwrap_or_default());
    let text = format!("{}.{}", part(serde_json::to_vec(&head)), part(serde_json::to_vec(claims)));
    let signature = hmac::sign(&hmac_key(key), text.as_bytes());
    format!("{text}.{}", BASE64.encode(signature.as_ref()))
}

/// What a valid token says, and which key signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// Id of the key.
    pub key: String,
}

/// What a token says, if one of the keys signed it and it is valid now.
pub fn verify(keys: &[SigningKey], token: &str, now: Timestamp) -> Result<Verified, Invalid> {
    if token.len() > LONGEST_TOKEN {
        return Err(Invalid::Malformed);
    }
    let (text, signature) = token.rsplit_once('.').ok_or(Invalid::Malformed)?;
    let (head, claims) = text.split_once('.').ok_or(Invalid::Malformed)?;
    let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| Invalid::Malformed)?;
    if head.alg != "HS256" || head.typ.as_ref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(Invalid::Algorithm);
    }
    let key = keys.iter().find(|key| key.id == head.kid).ok_or(Invalid::UnknownKey)?;
    hmac::verify(&hmac_key(key), text.as_bytes(), &decode(signature)?).map_err(|_| Invalid::Signature)?;
    let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| Invalid::Claims)?;
    if claims.iss != ISSUER || claims.aud != AUDIENCE || claims.sub.is_empty() || claims.jti.is_empty() {
        return Err(Invalid::Claims);
    }
    let soon = now.as_second().saturating_add(LEEWAY.as_secs());
    if claims.nbf > soon || claims.iat > soon {
        return Err(Invalid::Early);
    }
    if claims.exp <= now.as_second() {
        return Err(Invalid::Expired);
    }
    Ok(Verified { claims, key: head.kid })
}

fn decode(part: &str) -> Result<Vec<u8>, Invalid> {
    BASE64.decode(part).map_err(|_| Invalid::Malformed)
}

fn hmac_key(key: &SigningKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.secret.expose().as_bytes())
}

/// A new key of random bytes.
pub fn new_key(id: [u8; 8], secret: [u8; 32], now: Timestamp) -> SigningKey {
    SigningKey { id: hex::encode(id), created_at: now, secret: Secret::new(hex::encode(secret)) }
}

/// The key that a configured secret is. Its name follows from it, so that a changed secret is another key.
pub fn key_of_secret(secret: &str) -> SigningKey {
    let name = Digest::of(format!("piton key name\0{secret}").as_bytes());
    let id = format!("configured-{}", name.short());
    SigningKey { id, created_at: Timestamp::UNIX_EPOCH, secret: Secret::new(secret.to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn keys() -> Vec<SigningKey> {
        vec![new_key([1; 8], [1; 32], now()), new_key([2; 8], [2; 32], now())]
    }

    fn claims() -> Claims {
        Claims::new(("u1", "anna"), &[Role::Operator], 3, "t1".to_owned(), now())
            .valid_for(SignedDuration::from_hours(1))
    }

    /// Any head and claims, signed rightly.
    fn forge(key: &SigningKey, head: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
        let signature = hmac::sign(&hmac_key(key), text.as_bytes());
        format!("{text}.{}", BASE64.encode(signature.as_ref()))
    }

    #[test]
    fn each_key_verifies_what_it_signed() {
        for key in &keys() {
            let verified = Verified { claims: claims(), key: key.id.clone() };
            assert_eq!(verify(&keys(), &issue(key, &claims()), now()), Ok(verified));
        }
        let token = issue(&keys()[0], &claims());
        assert_eq!(verify(&keys()[1..], &token, now()), Err(Invalid::UnknownKey));
        let mut impostor = new_key([9; 8], [9; 32], now());
        impostor.id = keys()[0].id.clone();
        assert_eq!(verify(&keys(), &issue(&impostor, &claims()), now()), Err(Invalid::Signature));
        assert_eq!(verify(&[], &token, now()), Err(Invalid::UnknownKey));
    }

    #[test]
    fn what_is_not_exactly_a_token_of_ours_is_refused() {
        use Invalid::{Algorithm, Claims as Wrong, Early, Expired, Malformed, UnknownKey};
        let key = &keys()[0];
        let head = json!({ "alg": "HS256", "typ": "JWT", "kid": key.id });
        let body = serde_json::to_value(claims()).unwrap();
        let with = |base: &Value, name: &str, value: Value| {
            let mut changed = base.clone();
            changed[name] = value;
            changed
        };
        let without = |name: &str| {
            let mut changed = body.clone();
            changed.as_object_mut().unwrap().remove(name);
            changed
        };
        let sane = forge(key, &head, &body);
        assert!(verify(&keys(), &sane, now()).is_ok());
        let heads = [
            (with(&head, "alg", json!("none")), Algorithm),
            (with(&head, "alg", json!("None")), Algorithm),
            (with(&head, "alg", json!("RS256")), Algorithm),
            (with(&head, "alg", json!("HS512")), Algorithm),
            (with(&head, "alg", json!(null)), Malformed),
            (with(&head, "typ", json!("JWE")), Algorithm),
            (with(&head, "kid", json!("../../dev/null")), UnknownKey),
            (with(&head, "kid", json!("")), UnknownKey),
            (with(&head, "kid", json!(["x"])), Malformed),
            (with(&head, "jwk", json!({})), Malformed),
            (with(&head, "jku", json!("http://evil")), Malformed),
            (with(&head, "crit", json!(["exp"])), Malformed),
            (json!({ "alg": "HS256" }), Malformed),
            (json!([]), Malformed),
        ];
        for (head, wanted) in heads {
            assert_eq!(verify(&keys(), &forge(key, &head, &body), now()), Err(wanted), "{head}");
        }
        let bodies = [
            (with(&body, "exp", json!(NOW)), Expired),
            (with(&body, "exp", json!(-1)), Expired),
            (with(&body, "exp", json!("never")), Wrong),
            (with(&body, "exp", json!(1e300)), Wrong),
            (with(&body, "nbf", json!(NOW + 61)), Early),
            (with(&body, "iat", json!(NOW + 61)), Early),
            (with(&body, "iss", json!("provisr")), Wrong),
            (with(&body, "aud", json!("other")), Wrong),
            (with(&body, "aud", json!(["piton"])), Wrong),
            (with(&body, "sub", json!("")), Wrong),
            (with(&body, "jti", json!("")), Wrong),
            (json!("piton"), Wrong),
        ];
        for (body, wanted) in bodies {
            assert_eq!(verify(&keys(), &forge(key, &head, &body), now()), Err(wanted), "{body}");
        }
        for name in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "auth_time", "generation"] {
            assert_eq!(verify(&keys(), &forge(key, &head, &without(name)), now()), Err(Wrong), "{name}");
        }
        let (text, signature) = sane.rsplit_once('.').unwrap();
        let texts = [
            String::new(),
            "..".to_owned(),
            "a.b.c".to_owned(),
            text.to_owned(),
            format!("{text}."),
            format!("{sane}."),
            format!("{sane}.x"),
            format!(" {sane}"),
            format!("{sane}="),
            format!("{text}.{}", signature.to_lowercase()),
            format!("{text}.{signature}{signature}"),
            "x".repeat(1 << 20),
            format!("{}.{}.{}", "x".repeat(2000), "y".repeat(2000), "z".repeat(2000)),
        ];
        for text in texts {
            assert!(verify(&keys(), &text, now()).is_err(), "{text:.80}");
        }
    }

    #[test]
    fn a_changed_secret_is_another_key() {
        let (one, other) = (key_of_secret(&"a1".repeat(16)), key_of_secret(&"b2".repeat(16)));
        assert_ne!(one.id, other.id);
        let token = issue(&one, &claims());
        assert!(verify(std::slice::from_ref(&one), &token, now()).is_ok());
        assert_eq!(verify(&[other], &token, now()), Err(Invalid::UnknownKey));
        assert!(!format!("{one:?}").contains("a1a1"));
    }

    proptest! {
        #[test]
        fn no_byte_of_a_token_can_be_changed(at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f) {
            let token = issue(&keys()[1], &claims());
            let mut bytes = token.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert!(verify(&keys(), &changed, now()).is_err(), "{changed}");
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_.-]{0,300}|.{0,300}") {
            prop_assert!(verify(&keys(), &text, now()).is_err());
        }

        #[test]
        fn a_token_is_valid_until_its_end_and_not_longer(span in 1_i64..100_000, later in 0_i64..200_000) {
            let claims = claims().valid_for(SignedDuration::from_secs(span));
            let token = issue(&keys()[0], &claims);
            let then = Timestamp::from_second(NOW + later).unwrap();
            prop_assert_eq!(verify(&keys(), &token, then).is_ok(), later < span);
        }
    }
}
