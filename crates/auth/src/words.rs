//! Names of users, and words for roles.

use std::fmt;

use piton_model::Role;

/// A word that names no role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRole {
    /// Which word of the list, from 0; none where the list is empty.
    pub index: Option<usize>,
    /// The word.
    pub word: String,
}

impl fmt::Display for UnknownRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(_) => write!(f, "`{}` is none of viewer, operator and admin", self.word.escape_debug()),
            None => f.write_str("at least one of viewer, operator and admin is needed"),
        }
    }
}

/// The roles that words name, the least first and each once. Besides the roles themselves these are provisr's scopes
/// and permissions, such as `process:read`, `job:write` and `*:*`.
pub fn parse_roles<S: AsRef<str>>(words: &[S]) -> Result<Vec<Role>, UnknownRole> {
    let mut roles = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let word = word.as_ref();
        roles.push(role_of(word).ok_or_else(|| UnknownRole { index: Some(index), word: word.to_owned() })?);
    }
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { Err(UnknownRole { index: None, word: String::new() }) } else { Ok(roles) }
}

fn role_of(word: &str) -> Option<Role> {
    match word {
        "user" | "read" => Some(Role::Viewer),
        "write" => Some(Role::Operator),
        "*" | "*:*" => Some(Role::Admin),
        _ => Role::parse(word).or_else(|| {
            let (resource, action) = word.split_once(':')?;
            match (resource, action) {
                ("process" | "job" | "cronjob" | "*", "read") => Some(Role::Viewer),
                ("process" | "job" | "cronjob", "write" | "*") | ("*", "write") => Some(Role::Operator),
                _ => None,
            }
        }),
    }
}

/// Why a text is no name of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameProblem(&'static str);

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Whether a text may be the name of a user: 1 to 64 letters, digits and `. _ - @ +` of ASCII, so that no two names
/// look alike and none breaks `Authorization: Basic`.
pub fn check_name(name: &str) -> Result<(), NameProblem> {
    if name.is_empty() {
        return Err(NameProblem("the name is empty"));
    }
    if name.len() > 64 {
        return Err(NameProblem("the name is longer than 64 characters"));
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_') {
        return Err(NameProblem("the name begins with neither a letter nor a digit"));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+')) {
        return Err(NameProblem("a name has only letters, digits, `.`, `_`, `-`, `@` and `+`"));
    }
    if name.to_ascii_lowercase().starts_with("client_") {
        return Err(NameProblem("names that begin with `client_` are those of clients"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_both_programs_name_roles() {
        use Role::{Admin, Operator, Viewer};
        let table: [(&[&str], &[Role]); 7] = [
            (&["viewer"], &[Viewer]),
            (&["admin", "viewer", "admin"], &[Viewer, Admin]),
            (&["user"], &[Viewer]),
            (&["process:read", "process:write"], &[Viewer, Operator]),
            (&["cronjob:*"], &[Operator]),
            (&["*:*"], &[Admin]),
            (&["*"], &[Admin]),
        ];
        for (words, roles) in table {
            assert_eq!(parse_roles(words).as_deref(), Ok(roles), "{words:?}");
        }
        for words in [&[][..], &["root"], &["Admin"], &["viewer", ""], &["auth:write"], &["process:*:*"], &["*:x"]] {
            assert!(parse_roles(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn names_that_could_mean_something_else_are_refused() {
        for good in ["anna", "Anna.B", "a", "anna@example.org", "svc_1", "_x"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a:b", "a b", "ä", "-x", "../x", "a\n", "client_1", "CLIENT_1", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
