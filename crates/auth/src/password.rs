//! Passwords: which are taken, and how they are kept.

use std::fmt;
use std::sync::OnceLock;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::known::is_known_password;

/// The fewest characters of a password.
const SHORTEST: usize = 8;
/// The most bytes: more would only be work.
const LONGEST: usize = 256;

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordProblem {
    /// There is none.
    Empty,
    /// It is too short.
    Short,
    /// It is too long.
    Long,
    /// It is the name itself.
    SameAsName,
    /// It is one of those that are tried first.
    Known,
}

impl PasswordProblem {
    /// Whether it is a password all the same, if a weak one.
    pub fn is_tolerable(self) -> bool {
        match self {
            PasswordProblem::Empty | PasswordProblem::Long => false,
            PasswordProblem::Short | PasswordProblem::SameAsName | PasswordProblem::Known => true,
        }
    }
}

impl fmt::Display for PasswordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordProblem::Empty => f.write_str("the password is empty"),
            PasswordProblem::Short => write!(f, "the password has fewer than {SHORTEST} characters"),
            PasswordProblem::Long => write!(f, "the password has more than {LONGEST} bytes"),
            PasswordProblem::SameAsName => f.write_str("the password is the name itself"),
            PasswordProblem::Known => f.write_str("the password is one of those that everybody tries first"),
        }
    }
}

/// Whether `password` may be the password of the user `name`.
pub fn check_password(name: &str, password: &str) -> Result<(), PasswordProblem> {
    if password.is_empty() {
        Err(PasswordProblem::Empty)
    } else if password.len() > LONGEST {
        Err(PasswordProblem::Long)
    } else if password.to_lowercase() == name.to_lowercase() {
        Err(PasswordProblem::SameAsName)
    } else if is_known_password(password) {
        Err(PasswordProblem::Known)
    } else if password.chars().count() < SHORTEST {
        Err(PasswordProblem::Short)
    } else {
        Ok(())
    }
}

/// Hashes passwords with argon2id, at the cost that OWASP recommends: 19 MiB, two passes.
#[derive(Debug, Default)]
pub struct Hasher {
    nobody: OnceLock<String>,
}

impl Hasher {
    fn argon2() -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
    }

    /// The hash of a password, a PHC string. None where the password is longer than a hash can be made of.
    pub fn hash(password: &str, salt: [u8; 16]) -> Option<String> {
        let hash = Self::argon2().hash_password_with_salt(password.as_bytes(), &salt).ok()?;
        Some(hash.to_string())
    }

    /// Whether the password is the one of the hash. `None` stands for somebody unknown: that is false, and takes as
    /// long to find out.
    pub fn verify(&self, password: &str, hash: Option<&str>) -> bool {
        // Nobody has a password as long as that, and hashing it would be work for nothing.
        if password.len() > LONGEST {
            return false;
        }
        let nobody = || self.nobody.get_or_init(|| Self::hash("nobody", [0; 16]).unwrap_or_default()).as_str();
        let matches = Self::argon2().verify_password(password.as_bytes(), hash.unwrap_or_else(nobody)).is_ok();
        matches && hash.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_password_only() {
        let hasher = Hasher::default();
        let hash = Hasher::hash("correct horse", [7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify("correct horse", Some(&hash)));
        for wrong in ["correct horsf", "", "correct horse ", &"x".repeat(1 << 20)] {
            assert!(!hasher.verify(wrong, Some(&hash)));
        }
        assert!(!hasher.verify("nobody", None), "nobody has no password");
        for broken in ["", "nonsense", "$argon2id$", "$2y$10$abcdefghijklmnopqrstuv"] {
            assert!(!hasher.verify("correct horse", Some(broken)), "{broken}");
        }
        assert_ne!(hash, Hasher::hash("correct horse", [8; 16]).unwrap());
    }

    #[test]
    fn what_is_taken() {
        use PasswordProblem::{Empty, Known, Long, SameAsName, Short};
        let long = "x y".repeat(90);
        let table = [
            ("anna", "correct horse", Ok(())),
            ("anna", "ein-Löwe", Ok(())),
            ("anna", "1234567", Err(Short)),
            ("anna", "", Err(Empty)),
            ("anna", "päßword", Err(Short)),
            ("anna", &long, Err(Long)),
            ("annalena", "AnnaLena", Err(SameAsName)),
            ("admin", "admin", Err(SameAsName)),
            ("root", "admin", Err(Known)),
            ("anna", "Password123", Err(Known)),
        ];
        for (name, password, wanted) in table {
            assert_eq!(check_password(name, password), wanted, "{name} {password}");
        }
    }
}
