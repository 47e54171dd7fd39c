//! Seals what must not be read where it lies.
//!
//! # Purpose
//! The ledger has to keep the secrets of a run until the run has ended, and longer, so that it can be tried again. A copy
//! of the database (a backup, a stolen disk, a curious reader) must not give them away.
//!
//! # Theory of operation
//! A [`Vault`] holds a list of keys. The first seals, all of them open, so a new key is put in front of the list and the
//! old one stays until nothing is sealed with it any more. Each [`Sealed`] names its key by a fingerprint that says
//! nothing about it.
//!
//! What is sealed is encrypted with AES-256-GCM under a key of its own, which HKDF-SHA256 derives from the key of the list
//! and 24 random bytes. No nonce is ever used twice, however much is sealed. The text is bound to a *context*, the id of
//! the run: a box that was moved to another run does not open.
//!
//! Keys come from the configuration, or from a [file](Vault::from_file) that is made at the first start.
//!
//! # Invariants
//! - A box opens to exactly what was sealed under the same context, or it does not open.
//! - A key file is readable by its owner alone, on the disk before it is used, and never written over.
//! - No key is shown by `Debug` or in an error; keys are wiped from memory when they are dropped.
//!
//! # Deliberately absent
//! Key services and passphrases (whoever runs Piton can put a key into its environment from anywhere), and hiding how long
//! a text is.
#![warn(missing_docs)]

mod file;
mod key;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
pub use file::FileError;
pub use key::{InvalidKey, Key};

/// Keys to seal and open with. Clones share them.
#[derive(Clone, Default)]
pub struct Vault {
    keys: Arc<[Key]>,
}

/// A text that was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The fingerprint of the key.
    pub key: String,
    /// Salt and encrypted text, in base64.
    pub text: String,
}

/// Why a box did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It was sealed with a key that is not at hand.
    #[error("it is sealed with the key {key}, which is not known here")]
    UnknownKey {
        /// The fingerprint of that key.
        key: String,
    },
    /// It was changed, or belongs to something else.
    #[error("it is damaged, or was sealed for something else")]
    Damaged,
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
}

impl Vault {
    /// With these keys, the first of which seals. Without any, nothing is sealed.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Vault {
        let mut unique: Vec<Key> = Vec::new();
        for key in keys {
            if unique.iter().all(|known| known.fingerprint() != key.fingerprint()) {
                unique.push(key);
            }
        }
        Vault { keys: unique.into() }
    }

    /// The fingerprints of the keys, the one that seals first.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(Key::fingerprint)
    }

    /// Seals a text for `context`. None without a key.
    pub fn seal(&self, context: &str, text: &[u8]) -> Result<Option<Sealed>, Error> {
        let Some(key) = self.keys.first() else { return Ok(None) };
        let sealed = key.seal(context.as_bytes(), text)?;
        Ok(Some(Sealed { key: key.fingerprint().to_owned(), text: BASE64.encode(sealed) }))
    }

    /// Opens what was sealed for `context`.
    pub fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, Error> {
        let key = self.keys.iter().find(|key| key.fingerprint() == sealed.key);
        let key = key.ok_or_else(|| Error::UnknownKey { key: sealed.key.clone() })?;
        let bytes = BASE64.decode(&sealed.text).map_err(|_| Error::Damaged)?;
        key.open(context.as_bytes(), bytes)
    }
}

impl PartialEq for Vault {
    fn eq(&self, other: &Vault) -> bool {
        self.fingerprints().eq(other.fingerprints())
    }
}

impl Eq for Vault {}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fingerprints()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::parse(&hex(byte)).unwrap()
    }

    fn hex(byte: u8) -> String {
        format!("{byte:02x}").repeat(32)
    }

    fn seal(vault: &Vault, context: &str, text: &[u8]) -> Sealed {
        vault.seal(context, text).unwrap().unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_thing_only() {
        let vault = Vault::new([key(1)]);
        let sealed = seal(&vault, "run-1", b"hunter2");
        assert_eq!(vault.open("run-1", &sealed).unwrap(), b"hunter2");
        assert_eq!(vault.open("run-2", &sealed), Err(Error::Damaged));
        assert!(!format!("{sealed:?}").contains("hunter2"));
        assert_ne!(seal(&vault, "run-1", b"hunter2"), sealed, "the same text must not look the same twice");
    }

    #[test]
    fn keys_are_changed_by_putting_a_new_one_in_front() {
        let old = Vault::new([key(1)]);
        let sealed = seal(&old, "x", b"text");
        let both = Vault::new([key(2), key(1), key(2)]);
        assert_eq!(both.fingerprints().count(), 2);
        assert_eq!(both.open("x", &sealed).unwrap(), b"text");
        let new = seal(&both, "x", b"text");
        assert_eq!(new.key, key(2).fingerprint());
        let unknown = Error::UnknownKey { key: new.key.clone() };
        assert_eq!(old.open("x", &new), Err(unknown));
    }

    #[test]
    fn without_a_key_nothing_is_sealed() {
        assert_eq!(Vault::default().seal("x", b"text"), Ok(None));
    }

    #[test]
    fn no_key_is_shown() {
        let shown = format!("{:?} {:?}", Vault::new([key(0xab)]), key(0xab));
        assert!(!shown.contains("abab"), "{shown}");
    }

    proptest! {
        #[test]
        fn a_changed_box_does_not_open(text: Vec<u8>, at: prop::sample::Index, bit in 0_u8..8) {
            let vault = Vault::new([key(7)]);
            let sealed = seal(&vault, "x", &text);
            prop_assert_eq!(vault.open("x", &sealed).unwrap(), text);
            let mut bytes = BASE64.decode(&sealed.text).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let changed = Sealed { text: BASE64.encode(bytes), ..sealed };
            prop_assert_eq!(vault.open("x", &changed), Err(Error::Damaged));
        }

        #[test]
        fn any_text_is_opened_without_panic(text: String) {
            let vault = Vault::new([key(7)]);
            let sealed = Sealed { key: key(7).fingerprint().to_owned(), text };
            prop_assert_eq!(vault.open("x", &sealed), Err(Error::Damaged));
        }
    }
}
