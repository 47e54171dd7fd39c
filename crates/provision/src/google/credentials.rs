//! The key of a service account, and the assertions that are signed with it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use piton_model::{Failure, FailureClass, Secret};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::json;

use crate::answer::Problem;

/// The longest that Google takes.
const LIFETIME_SECONDS: i64 = 3600;

/// Why the file is no key of a service account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// It is not what Google makes for service accounts.
    #[error("it is not the JSON key of a service account: {0}")]
    Json(String),
    /// The private key in it.
    #[error("its private_key is no RSA key in PKCS#8: {0}")]
    Key(String),
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key_id: Option<String>,
    private_key: Secret<String>,
    #[serde(default = "token_uri")]
    token_uri: String,
}

fn token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

/// A service account.
#[derive(Debug)]
pub(crate) struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: RsaKeyPair,
    pub(crate) token_uri: String,
}

impl ServiceAccount {
    pub(crate) fn parse(text: &Secret<String>) -> Result<ServiceAccount, InvalidCredentials> {
        // The message of a mistake in JSON may repeat a value; where it is, does not.
        let file: File = serde_json::from_str(text.expose()).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            InvalidCredentials::Json(format!("look at {place}"))
        })?;
        if file.kind != "service_account" {
            return Err(InvalidCredentials::Json("its type is not service_account".to_owned()));
        }
        let body: String = file.private_key.expose().lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(body.trim()).map_err(|_| InvalidCredentials::Key("it is not PEM".to_owned()))?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|error| InvalidCredentials::Key(error.to_string()))?;
        Ok(ServiceAccount { email: file.client_email, key_id: file.private_key_id, key, token_uri: file.token_uri })
    }

    /// Says, signed, that it wants to act for `subject` (RFC 7523).
    pub(crate) fn assertion(
        &self,
        subject: &str,
        scope: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<String, Problem> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let issued = now.as_second();
        let claims = json!({
            "iss": self.email,
            "sub": subject,
            "scope": scope,
            "aud": audience,
            "iat": issued,
            "exp": issued + LIFETIME_SECONDS,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).map_err(|_| {
            let message = "the key of the service account does not sign";
            Problem::from(Failure::new(FailureClass::Permanent, "provider_credentials", message))
        })?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_told_without_repeating_it() {
        for (text, told) in [
            ("hunter22", "line 1"),
            (r#"{"type":"service_account","client_email":"a@b","private_key":7}"#, "look at line 1"),
            (r#"{"type":"authorized_user","client_email":"a@b","private_key":"hunter22"}"#, "not service_account"),
            (r#"{"type":"service_account","client_email":"a@b","private_key":"hunter22!"}"#, "it is not PEM"),
            (r#"{"type":"service_account","client_email":"a@b","private_key":"aHVudGVyMjI="}"#, "PKCS#8"),
        ] {
            let error = ServiceAccount::parse(&Secret::new(text.to_owned())).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("hunter22"), "{error}");
        }
    }
}
