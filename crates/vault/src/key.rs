//! One key, and what is done with it.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::Error;

/// How many bytes a key has.
pub(crate) const LENGTH: usize = 32;
const SALT: usize = 24;

/// What the derived keys are for, so that the same key used elsewhere makes others.
const PURPOSE: &[u8] = b"piton vault 1: aes-256-gcm";
const FINGERPRINT: &[u8] = b"piton vault 1: fingerprint";

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// 256 secret bits.
#[derive(Clone)]
pub struct Key {
    bytes: Zeroizing<[u8; LENGTH]>,
    fingerprint: String,
}

/// The text is no key. It is not repeated, because it may be meant to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 random bytes, written as 64 hexadecimal digits or in base64")]
pub struct InvalidKey;

impl Key {
    /// Reads 64 hexadecimal digits, or base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Key, InvalidKey> {
        let text = text.trim();
        let bytes = match hexadecimal(text) {
            Some(bytes) => bytes,
            None => STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| InvalidKey)?,
        };
        let bytes = Zeroizing::new(bytes);
        let bytes: [u8; LENGTH] = bytes.as_slice().try_into().map_err(|_| InvalidKey)?;
        Ok(Key::of(bytes))
    }

    /// A new one.
    pub fn generate() -> Result<Key, Error> {
        let mut bytes = [0; LENGTH];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Error::NoRandom)?;
        Ok(Key::of(bytes))
    }

    fn of(bytes: [u8; LENGTH]) -> Key {
        let hash = digest(&SHA256, &[FINGERPRINT, &bytes].concat());
        let head = hash.as_ref().first_chunk().copied().unwrap_or_default();
        let fingerprint = format!("{:08x}", u32::from_be_bytes(head));
        Key { bytes: Zeroizing::new(bytes), fingerprint }
    }

    /// What names the key and says nothing about it: 8 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.as_slice()))
    }

    /// Salt, encrypted text, tag.
    pub(crate) fn seal(&self, context: &[u8], text: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = Vec::with_capacity(SALT + text.len() + AES_256_GCM.tag_len());
        let mut salt = [0; SALT];
        SystemRandom::new().fill(&mut salt).map_err(|_| Error::NoRandom)?;
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(text);
        let key = self.derive(&salt)?;
        let tag =
            key.seal_in_place_separate_tag(nonce(), Aad::from(context), sealed.get_mut(SALT..).unwrap_or_default());
        sealed.extend_from_slice(tag.map_err(|_| Error::Damaged)?.as_ref());
        Ok(sealed)
    }

    pub(crate) fn open(&self, context: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, Error> {
        let (salt, text) = sealed.split_at_mut_checked(SALT).ok_or(Error::Damaged)?;
        let key = self.derive(salt)?;
        let text = key.open_in_place(nonce(), Aad::from(context), text).map_err(|_| Error::Damaged)?;
        Ok(text.to_vec())
    }

    fn derive(&self, salt: &[u8]) -> Result<LessSafeKey, Error> {
        let derived = Salt::new(HKDF_SHA256, salt).extract(self.bytes.as_slice());
        let mut bytes = Zeroizing::new([0; LENGTH]);
        let filled = derived.expand(&[PURPOSE], Bytes).and_then(|okm| okm.fill(bytes.as_mut_slice()));
        filled.map_err(|_| Error::Damaged)?;
        UnboundKey::new(&AES_256_GCM, bytes.as_slice()).map(LessSafeKey::new).map_err(|_| Error::Damaged)
    }
}

/// Always the same: each derived key encrypts one text only.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

struct Bytes;

impl KeyType for Bytes {
    fn len(&self) -> usize {
        LENGTH
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..LENGTH).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.fingerprint).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_every_spelling() {
        let key = Key::generate().unwrap();
        let bytes = key.bytes.as_slice();
        let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02X}"));
        for text in [
            hex,
            STANDARD.encode(bytes),
            URL_SAFE.encode(bytes),
            format!(" {}\n", STANDARD.encode(bytes).trim_end_matches('=')),
        ] {
            assert_eq!(Key::parse(&text).unwrap().fingerprint(), key.fingerprint());
        }
        for bad in ["", "hunter2", &"ab".repeat(31), &"zz".repeat(32), &STANDARD.encode([1; 33])] {
            assert_eq!(Key::parse(bad).unwrap_err(), InvalidKey);
        }
        assert_ne!(Key::generate().unwrap().fingerprint(), key.fingerprint());
    }
}
