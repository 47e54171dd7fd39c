//! Where the files of a run are.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{During, Error};

/// The longest file name made of a token alone; file systems allow 255 bytes.
const LONGEST_NAME: usize = 200;

/// The directory of one run.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.dir.join("index")
    }

    pub(crate) fn raw_dir(&self) -> PathBuf {
        self.dir.join("raw")
    }

    pub(crate) fn raw(&self, token: &str) -> PathBuf {
        self.raw_dir().join(format!("{}.out", file_name(token)))
    }

    /// Makes the directories, for this user only: what is in them was not redacted yet, or is somebody's
    /// infrastructure.
    pub(crate) fn create(&self) -> Result<(), Error> {
        let raw = self.raw_dir();
        DirBuilder::new().recursive(true).mode(0o700).create(&raw).during("create", &raw)
    }
}

/// Two tokens never share a file, and the name is readable: `/` becomes `~`, and what is unusual is written in
/// hexadecimal.
fn file_name(token: &str) -> String {
    let mut name = String::with_capacity(token.len());
    for byte in token.bytes() {
        match byte {
            b'/' => name.push('~'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            _ => {
                name.push('%');
                name.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    if name.len() > LONGEST_NAME {
        let digest = hex::encode(Sha256::digest(token));
        // The hexadecimal digest cannot collide with a short name: it follows a `%%` that no short name has.
        name = format!("{}%%{digest}", name.get(..LONGEST_NAME - 70).unwrap_or_default());
    }
    name
}

/// Removes a directory and all in it; one that is missing is fine.
pub(crate) fn remove_tree(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).during("remove", dir),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_tokens_share_a_file() {
        let long = "x".repeat(250);
        let tokens = ["a/b", "a~b", "a%2Fb", "a:b", "a b", "..", "../a", "é", "", &long, &long[1..], "x%%x"];
        let names: BTreeSet<String> = tokens.iter().map(|token| file_name(token)).collect();
        assert_eq!(names.len(), tokens.len());
        assert!(names.iter().all(|name| name.len() <= LONGEST_NAME && !name.contains('/')));
        assert_eq!(file_name("0193/1/apply/apply"), "0193~1~apply~apply");
    }
}
