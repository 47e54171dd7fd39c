//! Objects of git, and packs of them.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write as _};
use std::str::FromStr;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

/// What an object is named by: the SHA-1 of its content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId([u8; 20]);

/// The text is no name of an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an object of git is named by 40 hexadecimal digits")]
pub struct InvalidObjectId;

impl ObjectId {
    /// Stands for an object that is not there.
    pub(crate) const ZERO: ObjectId = ObjectId([0; 20]);

    pub(crate) fn bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl FromStr for ObjectId {
    type Err = InvalidObjectId;

    fn from_str(text: &str) -> Result<ObjectId, InvalidObjectId> {
        let mut bytes = [0; 20];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidObjectId)?;
        Ok(ObjectId(bytes))
    }
}

impl TryFrom<String> for ObjectId {
    type Error = InvalidObjectId;

    fn try_from(text: String) -> Result<ObjectId, InvalidObjectId> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> String {
        id.to_string()
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The kinds of object that a first commit is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    Tree,
    Blob,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Commit => "commit",
            Kind::Tree => "tree",
            Kind::Blob => "blob",
        }
    }

    /// As a pack numbers them.
    fn number(self) -> u8 {
        match self {
            Kind::Commit => 1,
            Kind::Tree => 2,
            Kind::Blob => 3,
        }
    }
}

/// The name of an object with this content.
pub(crate) fn id(kind: Kind, content: &[u8]) -> ObjectId {
    let mut sha = Sha1::new();
    sha.update(format!("{} {}\0", kind.word(), content.len()));
    sha.update(content);
    ObjectId(sha.finalize().into())
}

/// A pack in the making. It holds each object once, whole: there is no history to make differences to.
pub(crate) struct Packing {
    held: BTreeSet<ObjectId>,
    objects: Vec<u8>,
}

impl Packing {
    pub(crate) fn new() -> Packing {
        Packing { held: BTreeSet::new(), objects: Vec::new() }
    }

    /// Puts an object in, unless it is there, and answers with its name.
    pub(crate) fn add(&mut self, kind: Kind, content: &[u8]) -> io::Result<ObjectId> {
        let id = id(kind, content);
        if self.held.insert(id) {
            head(&mut self.objects, kind, content.len());
            // A forge compresses again as it sees fit; here time counts.
            let mut zlib = ZlibEncoder::new(&mut self.objects, Compression::fast());
            zlib.write_all(content)?;
            zlib.finish()?;
        }
        Ok(id)
    }

    /// The pack, whole.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut pack = Vec::with_capacity(self.objects.len() + 32);
        pack.extend_from_slice(b"PACK");
        pack.extend_from_slice(&2_u32.to_be_bytes());
        // The limit of a tree is far below.
        pack.extend_from_slice(&u32::try_from(self.held.len()).unwrap_or(u32::MAX).to_be_bytes());
        pack.extend_from_slice(&self.objects);
        let sum = Sha1::digest(&pack);
        pack.extend_from_slice(&sum);
        pack
    }
}

/// Kind and length, seven bits at a time but for the first four.
fn head(into: &mut Vec<u8>, kind: Kind, length: usize) {
    let mut byte = (kind.number() << 4) | (length & 0x0f) as u8;
    let mut rest = length >> 4;
    while rest > 0 {
        into.push(byte | 0x80);
        byte = (rest & 0x7f) as u8;
        rest >>= 7;
    }
    into.push(byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_git() {
        for (kind, content, name) in [
            (Kind::Blob, &b""[..], "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            (Kind::Blob, b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
            (Kind::Tree, b"", "4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
        ] {
            assert_eq!(id(kind, content).to_string(), name);
            assert_eq!(name.parse::<ObjectId>().map(|id| id.to_string()).as_deref(), Ok(name));
        }
        for bad in ["", "ce01", "ce013625030ba8dba906f756967f9e9ca394464", "zz013625030ba8dba906f756967f9e9ca394464a"] {
            assert_eq!(bad.parse::<ObjectId>(), Err(InvalidObjectId), "{bad}");
        }
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        for (length, bytes) in
            [(0, &[0x30][..]), (15, &[0x3f]), (16, &[0xb0, 0x01]), (2047, &[0xbf, 0x7f]), (2048, &[0xb0, 0x80, 0x01])]
        {
            let mut written = Vec::new();
            head(&mut written, Kind::Blob, length);
            assert_eq!(written, bytes, "{length}");
        }
    }
}
