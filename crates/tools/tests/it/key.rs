//! An OpenPGP key made for the test.

use std::sync::LazyLock;

use pgp::composed::{
    ArmorOptions, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
    SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::ser::Serialize;
use pgp::types::Password;
use piton_tools::Keyring;

pub struct SigningKey(SignedSecretKey);

impl SigningKey {
    /// The key that signs what the mirror serves, one for all tests because making it takes long.
    pub fn shared() -> &'static SigningKey {
        static SHARED: LazyLock<SigningKey> = LazyLock::new(SigningKey::generate);
        &SHARED
    }

    /// A key with a signing subkey, as HashiCorp has one.
    pub fn generate() -> SigningKey {
        let subkey = SubkeyParamsBuilder::default().key_type(KeyType::Ed25519Legacy).can_sign(true).build().unwrap();
        let mut params = SecretKeyParamsBuilder::default();
        params
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .primary_user_id("Test mirror <mirror@example.invalid>".to_owned())
            .subkey(subkey);
        SigningKey(params.build().unwrap().generate(rand::thread_rng()).unwrap())
    }

    pub fn public(&self) -> Keyring {
        Keyring::from_armored(&self.armored()).unwrap()
    }

    pub fn armored(&self) -> String {
        SignedPublicKey::from(self.0.clone()).to_armored_string(ArmorOptions::default()).unwrap()
    }

    pub fn sign(&self, document: &[u8]) -> Vec<u8> {
        let key = &self.0.primary_key;
        let hash = HashAlgorithm::Sha512;
        let signature =
            DetachedSignature::sign_binary_data(rand::thread_rng(), key, &Password::empty(), hash, document);
        signature.unwrap().to_bytes().unwrap()
    }

    pub fn sign_with_subkey(&self, document: &[u8]) -> Vec<u8> {
        let key = &self.0.secret_subkeys[0].key;
        let hash = HashAlgorithm::Sha256;
        let signature =
            DetachedSignature::sign_binary_data(rand::thread_rng(), key, &Password::empty(), hash, document);
        signature.unwrap().to_bytes().unwrap()
    }
}
