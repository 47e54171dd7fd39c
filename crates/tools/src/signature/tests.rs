//! Known answers: two vendors' published lists with the signatures they published for them.

use super::*;

struct Published {
    tool: Tool,
    list: &'static [u8],
    signature: &'static str,
    signer: &'static str,
}

const PUBLISHED: [Published; 2] = [
    Published {
        tool: Tool::OpenTofu,
        list: include_bytes!("vectors/tofu_1.8.5_SHA256SUMS"),
        signature: include_str!("vectors/tofu_1.8.5_SHA256SUMS.gpgsig.hex"),
        signer: "E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80",
    },
    Published {
        tool: Tool::Terraform,
        list: include_bytes!("vectors/terraform_1.9.8_SHA256SUMS"),
        signature: include_str!("vectors/terraform_1.9.8_SHA256SUMS.sig.hex"),
        signer: "374EC75B485913604A831CC7C820C6D5CD27AB87",
    },
];

impl Published {
    fn signature(&self) -> Vec<u8> {
        hex::decode(self.signature.replace('\n', "")).unwrap()
    }
}

fn verify(keyring: &Keyring, tool: Tool, list: &[u8], signature: &[u8]) -> Result<String, &'static str> {
    keyring.verify(tool, "SHA256SUMS", list, signature).map_err(|error| error.code())
}

#[test]
fn the_built_in_keys_are_the_vendors() {
    assert_eq!(Keyring::vendor(Tool::OpenTofu).fingerprints(), ["E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80"]);
    assert_eq!(
        Keyring::vendor(Tool::Terraform).fingerprints(),
        ["C874011F0AB405110D02105534365D9472D7468F", "374EC75B485913604A831CC7C820C6D5CD27AB87"]
    );
}

#[test]
fn published_signatures_are_good() {
    for published in &PUBLISHED {
        let keyring = Keyring::vendor(published.tool);
        let signer = verify(&keyring, published.tool, published.list, &published.signature());
        assert_eq!(signer, Ok(published.signer.to_owned()));
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    for published in &PUBLISHED {
        let keyring = Keyring::vendor(published.tool);
        let signature = published.signature();
        for position in [0, published.list.len() / 2, published.list.len() - 1] {
            let mut list = published.list.to_vec();
            list[position] ^= 1;
            assert_eq!(verify(&keyring, published.tool, &list, &signature), Err("bad_signature"));
        }
        let longer = [published.list, b"\n"].concat();
        assert_eq!(verify(&keyring, published.tool, &longer, &signature), Err("bad_signature"));
        let mut damaged = signature.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&keyring, published.tool, published.list, &damaged), Err("bad_signature"));
    }
}

#[test]
fn one_vendors_signature_is_nothing_to_the_other() {
    let [tofu, terraform] = &PUBLISHED;
    let keyring = Keyring::vendor(Tool::OpenTofu);
    assert_eq!(verify(&keyring, Tool::OpenTofu, terraform.list, &terraform.signature()), Err("unknown_key"));
    let both = keyring.and(Keyring::vendor(Tool::Terraform));
    assert!(verify(&both, Tool::OpenTofu, terraform.list, &terraform.signature()).is_ok());
    assert_eq!(verify(&both, Tool::OpenTofu, tofu.list, &terraform.signature()), Err("bad_signature"));
}

#[test]
fn what_is_no_signature_is_a_bad_one() {
    let [tofu, _] = &PUBLISHED;
    let keyring = Keyring::vendor(Tool::OpenTofu);
    for rubbish in [&b""[..], b"\n", b"<html>not found</html>", &[0x89, 0x02, 0x33], &tofu.signature()[..100]] {
        assert_eq!(verify(&keyring, Tool::OpenTofu, tofu.list, rubbish), Err("bad_signature"), "{rubbish:?}");
    }
}

#[test]
fn a_signature_from_outside_the_keys_life_is_bad() {
    let [tofu, _] = &PUBLISHED;
    let mut keyring = Keyring::vendor(Tool::OpenTofu);
    keyring.keys[0].valid_until = Some(keyring.keys[0].valid_from + 1);
    assert_eq!(verify(&keyring, Tool::OpenTofu, tofu.list, &tofu.signature()), Err("bad_signature"));
    let mut keyring = Keyring::vendor(Tool::OpenTofu);
    keyring.keys[0].valid_from = u64::from(u32::MAX);
    assert_eq!(verify(&keyring, Tool::OpenTofu, tofu.list, &tofu.signature()), Err("bad_signature"));
}

#[test]
fn a_key_must_be_a_key() {
    for text in ["", "hello", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"] {
        assert_eq!(Keyring::from_armored(text).unwrap_err().code(), "invalid_key", "{text:?}");
    }
    // Someone else's name over the key makes the self-signature wrong, and the key useless.
    let mut certificate = certificates(include_str!("../../keys/opentofu.asc")).unwrap().remove(0);
    let stranger = certificates(include_str!("../../keys/hashicorp.asc")).unwrap().remove(0);
    certificate.details.users[0].id = stranger.details.users[0].id.clone();
    assert_eq!(signing_keys(&certificate).unwrap_err().code(), "invalid_key");
    // A subkey grafted from another certificate is not vouched for.
    let mut certificate = certificates(include_str!("../../keys/opentofu.asc")).unwrap().remove(0);
    certificate.public_subkeys = stranger.public_subkeys;
    assert_eq!(signing_keys(&certificate).unwrap().len(), 1);
}
