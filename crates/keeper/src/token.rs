//! The name under which a caller holds a child.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names one child, chosen by the caller so that a repeated request finds the child it already started.
///
/// At most [`Token::MAX_LEN`] bytes of `A-Z a-z 0-9 . _ : / -`. The alphabet has no `=`, NUL or newline, so a token can
/// be carried in an environment variable and found again in `/proc`. Copies share one text: a keeper has several of
/// each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(Arc<str>);

impl Token {
    /// The longest token, in bytes.
    pub const MAX_LEN: usize = 200;

    /// The token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is empty.
    #[error("a token must not be empty")]
    Empty,
    /// The text has more than [`Token::MAX_LEN`] bytes.
    #[error("a token has at most {max} bytes, this one has {0}", max = Token::MAX_LEN)]
    TooLong(usize),
    /// The text holds a character outside the alphabet.
    #[error("a token consists of letters, digits and `._:/-`, not {0:?}")]
    BadCharacter(char),
}

impl TryFrom<String> for Token {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Self, TokenError> {
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._:/-".contains(*c))) {
            return Err(TokenError::BadCharacter(bad));
        }
        if text.len() > Self::MAX_LEN {
            return Err(TokenError::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        Self::try_from(text.to_owned())
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        (*token.0).to_owned()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_alphabet_and_refuses_the_rest() {
        for good in ["a", "run/0198:1/apply", "A-Z.a_z", "..", &"x".repeat(200)] {
            assert_eq!(good.parse::<Token>().unwrap().as_str(), good);
        }
        assert_eq!("".parse::<Token>(), Err(TokenError::Empty));
        assert_eq!("x".repeat(201).parse::<Token>(), Err(TokenError::TooLong(201)));
        for (bad, c) in [("a b", ' '), ("a=b", '='), ("a\n", '\n'), ("a\0", '\0'), ("ä", 'ä')] {
            assert_eq!(bad.parse::<Token>(), Err(TokenError::BadCharacter(c)));
        }
    }

    #[test]
    fn is_validated_when_it_arrives_as_json() {
        assert!(serde_json::from_str::<Token>("\"a b\"").is_err());
        assert!(serde_json::from_str::<Token>("\"a/b\"").is_ok());
    }
}
