//! Secrets of clients, and ids.

use piton_model::{Digest, Secret};
use subtle::ConstantTimeEq;

/// A secret that was just made, and what is kept of it.
#[derive(Debug, Clone)]
pub struct ClientSecret {
    /// Shown once.
    pub text: Secret<String>,
    /// Kept.
    pub digest: String,
}

impl ClientSecret {
    /// Makes a secret of random bytes.
    pub fn new(random: [u8; 32]) -> ClientSecret {
        let text = format!("piton_{}", hex::encode(random));
        ClientSecret { digest: digest(&text), text: Secret::new(text) }
    }
}

/// What is kept of a random secret.
pub fn digest(secret: &str) -> String {
    Digest::of(secret.as_bytes()).as_str().to_owned()
}

/// Whether a secret is the one of which this is kept; `None` stands for somebody unknown. The time it takes tells
/// nothing of either.
pub fn matches_digest(secret: &str, kept: Option<&str>) -> bool {
    let given = digest(secret);
    let equal: bool = given.as_bytes().ct_eq(kept.unwrap_or(&"0".repeat(64)).as_bytes()).into();
    equal && kept.is_some()
}

/// The id of a user: 32 hexadecimal digits.
pub fn new_id(random: [u8; 16]) -> String {
    hex::encode(random)
}

/// The id of a client: `client_` and 16 hexadecimal digits.
pub fn new_client_id(random: [u8; 8]) -> String {
    format!("client_{}", hex::encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_what_is_kept_of_it_only() {
        let secret = ClientSecret::new([9; 32]);
        assert!(matches_digest(secret.text.expose(), Some(&secret.digest)));
        assert!(!matches_digest("piton_", Some(&secret.digest)));
        assert!(!matches_digest(&secret.digest, Some(&secret.digest)), "what is kept opens nothing");
        assert!(!matches_digest(secret.text.expose(), None));
        assert!(!matches_digest(secret.text.expose(), Some("")));
        assert!(!format!("{secret:?}").contains("0909"));
        assert_eq!(new_id([1; 16]).len(), 32);
        assert_eq!(new_client_id([0xab; 8]), "client_abababababababab");
    }
}
