//! OpenPGP: the keys that are trusted, and whether they signed a document.
//!
//! Time plays no part beyond what the signature itself says: it must have been made while its key was valid. A release
//! signed years ago stays good when the key expires, as it does for `gpg`.

use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PublicKey, PublicSubkey, Signature, SignatureType};
use pgp::types::{Fingerprint, KeyDetails, Tag};

use crate::error::Error;
use crate::tool::Tool;

/// A release file carries one signature; a few more are tolerated, a flood is not.
const MAX_SIGNATURES: usize = 16;

/// The keys trusted for one tool.
#[derive(Debug, Clone)]
pub struct Keyring {
    keys: Vec<Key>,
}

/// One key that may sign documents.
#[derive(Debug, Clone)]
struct Key {
    material: Material,
    /// Seconds since 1970.
    valid_from: u64,
    valid_until: Option<u64>,
}

#[derive(Debug, Clone)]
enum Material {
    Primary(PublicKey),
    Subkey(PublicSubkey),
}

impl Keyring {
    /// The vendor's own release key, as it is built in.
    pub fn vendor(tool: Tool) -> Keyring {
        let (armored, fingerprint) = match tool {
            Tool::OpenTofu => (include_str!("../keys/opentofu.asc"), "E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80"),
            Tool::Terraform => (include_str!("../keys/hashicorp.asc"), "C874011F0AB405110D02105534365D9472D7468F"),
        };
        let mut keyring = Keyring { keys: Vec::new() };
        // The files are part of the program and the tests read them; were one damaged, nothing would be trusted.
        let certificates = certificates(armored).unwrap_or_default();
        for certificate in certificates.iter().filter(|it| hex_of(&it.fingerprint()) == fingerprint) {
            keyring.keys.extend(signing_keys(certificate).unwrap_or_default());
        }
        keyring
    }

    /// Reads ASCII-armored public keys, for a mirror that signs by itself or a vendor's next key.
    pub fn from_armored(text: &str) -> Result<Keyring, Error> {
        let mut keyring = Keyring { keys: Vec::new() };
        for certificate in certificates(text)? {
            keyring.keys.extend(signing_keys(&certificate)?);
        }
        if keyring.keys.is_empty() {
            return Err(Error::InvalidKey { reason: "no key in it may sign".to_owned() });
        }
        Ok(keyring)
    }

    /// Trusts the keys of `other` as well.
    #[must_use]
    pub fn and(mut self, other: Keyring) -> Keyring {
        self.keys.extend(other.keys);
        self
    }

    /// The fingerprints of the keys that may sign, subkeys included.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| hex_of(&key.fingerprint())).collect()
    }

    /// Checks that a trusted key signed `document`, and returns that key's fingerprint.
    pub(crate) fn verify(&self, tool: Tool, file: &str, document: &[u8], signature: &[u8]) -> Result<String, Error> {
        let bad = |reason: String| Error::BadSignature { file: file.to_owned(), reason };
        let unreadable = |error: pgp::errors::Error| bad(format!("not an OpenPGP signature: {error}"));
        let signatures = DetachedSignature::from_reader_many(signature)
            .map_err(unreadable)?
            .0
            .take(MAX_SIGNATURES)
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        if signatures.is_empty() {
            return Err(bad("the signature file is empty".to_owned()));
        }
        let mut unknown = None;
        let mut wrong = None;
        for DetachedSignature { signature } in &signatures {
            let Some(key) = self.keys.iter().find(|key| key.issued(signature)) else {
                unknown = unknown.or_else(|| Some(issuer_of(signature)));
                continue;
            };
            match key.check(signature, document) {
                Ok(()) => return Ok(hex_of(&key.fingerprint())),
                Err(reason) => wrong = wrong.or(Some(reason)),
            }
        }
        match (wrong, unknown) {
            (None, Some(issuer)) => Err(Error::UnknownKey { file: file.to_owned(), issuer, tool }),
            (reason, _) => Err(bad(reason.unwrap_or_default())),
        }
    }
}

impl Key {
    fn fingerprint(&self) -> Fingerprint {
        match &self.material {
            Material::Primary(key) => key.fingerprint(),
            Material::Subkey(key) => key.fingerprint(),
        }
    }

    /// Whether the signature says it is by this key.
    fn issued(&self, signature: &Signature) -> bool {
        let (fingerprint, id) = match &self.material {
            Material::Primary(key) => (key.fingerprint(), key.legacy_key_id()),
            Material::Subkey(key) => (key.fingerprint(), key.legacy_key_id()),
        };
        signature.issuer_fingerprint().into_iter().any(|issuer| *issuer == fingerprint)
            || (signature.issuer_fingerprint().is_empty() && signature.issuer_key_id().into_iter().any(|it| *it == id))
    }

    fn check(&self, signature: &Signature, document: &[u8]) -> Result<(), String> {
        if signature.typ() != Some(SignatureType::Binary) {
            return Err("it does not sign a file".to_owned());
        }
        match signature.hash_alg() {
            Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512) => {}
            other => return Err(format!("its hash algorithm ({}) is not accepted", other.unwrap_or_default())),
        }
        let Some(created) = signature.created().map(|time| u64::from(time.as_secs())) else {
            return Err("it does not say when it was made".to_owned());
        };
        if created < self.valid_from || self.valid_until.is_some_and(|until| created > until) {
            return Err("it was made while its key was not valid".to_owned());
        }
        let verified = match &self.material {
            Material::Primary(key) => signature.verify(key, document),
            Material::Subkey(key) => signature.verify(key, document),
        };
        verified.map_err(|error| error.to_string())
    }
}

fn certificates(armored: &str) -> Result<Vec<SignedPublicKey>, Error> {
    let unreadable = |error: pgp::errors::Error| Error::InvalidKey { reason: error.to_string() };
    SignedPublicKey::from_string_many(armored).map_err(unreadable)?.0.collect::<Result<Vec<_>, _>>().map_err(unreadable)
}

/// The keys of a certificate that may sign documents, each bound to it by signatures that were checked.
fn signing_keys(certificate: &SignedPublicKey) -> Result<Vec<Key>, Error> {
    let name = hex_of(&certificate.fingerprint());
    let primary = &certificate.primary_key;
    let details = &certificate.details;
    if details.revocation_signatures.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
        return Err(Error::InvalidKey { reason: format!("{name} is revoked") });
    }
    let direct = details.direct_signatures.iter().filter(|it| it.verify_key(primary).is_ok());
    let certifications = details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|it| it.verify_certification(primary, Tag::UserId, &user.id).is_ok())
    });
    let Some(own) = newest(direct.chain(certifications)) else {
        return Err(Error::InvalidKey { reason: format!("{name} has no valid self-signature") });
    };
    let mut keys = Vec::new();
    if own.key_flags().sign() {
        keys.push(validity(Material::Primary(primary.clone()), primary, own));
    }
    for subkey in &certificate.public_subkeys {
        keys.extend(signing_subkey(primary, subkey));
    }
    Ok(keys)
}

/// A subkey that the primary key vouches for, that vouches for the primary key in turn, and that is not revoked.
fn signing_subkey(primary: &PublicKey, subkey: &SignedPublicSubKey) -> Option<Key> {
    let bound = || subkey.signatures.iter().filter(|it| it.verify_subkey_binding(primary, &subkey.key).is_ok());
    if bound().any(|it| it.typ() == Some(SignatureType::SubkeyRevocation)) {
        return None;
    }
    let binding = newest(bound())?;
    let back = binding.embedded_signature()?;
    let vouched = back.verify_primary_key_binding(&subkey.key, primary).is_ok();
    (binding.key_flags().sign() && vouched)
        .then(|| validity(Material::Subkey(subkey.key.clone()), &subkey.key, binding))
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| signature.created().map(pgp::types::Timestamp::as_secs))
}

fn validity(material: Material, key: &impl KeyDetails, binding: &Signature) -> Key {
    let valid_from = u64::from(key.created_at().as_secs());
    let lifetime = binding.key_expiration_time().map(|time| u64::from(time.as_secs())).filter(|seconds| *seconds > 0);
    Key { material, valid_from, valid_until: lifetime.map(|seconds| valid_from + seconds) }
}

fn issuer_of(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|fingerprint| hex_of(fingerprint));
    let id = || signature.issuer_key_id().first().map(|id| hex::encode_upper(id.as_ref()));
    fingerprint.or_else(id).unwrap_or_else(|| "an unnamed key".to_owned())
}

fn hex_of(fingerprint: &Fingerprint) -> String {
    hex::encode_upper(fingerprint.as_bytes())
}

#[cfg(test)]
mod tests;
