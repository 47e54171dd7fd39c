//! Passwords and secrets that everybody knows.

/// What documentation, installers and people use before they think of something.
const PASSWORDS: [&str; 34] = [
    "00000000",
    "11111111",
    "12345678",
    "123456789",
    "1234567890",
    "87654321",
    "aaaaaaaa",
    "abc12345",
    "abcd1234",
    "abcdefgh",
    "admin",
    "admin123",
    "admin1234",
    "administrator",
    "changeit",
    "changeme",
    "changeme123",
    "default1",
    "iloveyou",
    "letmein1",
    "operator",
    "p@ssw0rd",
    "passw0rd",
    "password",
    "password1",
    "password123",
    "provisr",
    "qwerty123",
    "qwertyui",
    "qwertyuiop",
    "secret",
    "secret123",
    "topsecret",
    "welcome1",
];

/// Signing secrets that stand in documentation.
const SECRETS: [&str; 8] = [
    "your-secret-key-change-this-in-production",
    "your-secret-key",
    "your-super-secret-key-change-in-production",
    "your-256-bit-secret",
    "a-string-secret-at-least-256-bits-long",
    "change-me-in-production",
    "please-change-this-secret-in-production",
    "my-secret-key",
];

/// Whether a password is one of those that are tried first.
pub fn is_known_password(password: &str) -> bool {
    let lower = password.to_lowercase();
    PASSWORDS.contains(&lower.as_str()) || all_the_same(&lower)
}

/// Whether a signing secret can be read in documentation, or was never meant seriously.
pub fn is_known_secret(secret: &str) -> bool {
    let lower = secret.trim().to_lowercase();
    let words = ["change-this", "change-me", "changeme", "change_me", "change_this", "your-secret", "your_secret"];
    SECRETS.contains(&lower.as_str()) || words.iter().any(|word| lower.contains(word)) || all_the_same(&lower)
}

fn all_the_same(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| characters.all(|other| other == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_documentation_is_known() {
        for secret in
            SECRETS.iter().chain(&["Change-Me-Please-0123456789012345678901", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])
        {
            assert!(is_known_secret(secret), "{secret}");
        }
        assert!(!is_known_secret("f3c1a40f7b5e4d2c9a8b7c6d5e4f3a2b1c0d9e8f"));
        for password in PASSWORDS.iter().chain(&["Password", "zzzzzzzzz"]) {
            assert!(is_known_password(password), "{password}");
        }
        assert!(!is_known_password("correct horse"));
    }
}
