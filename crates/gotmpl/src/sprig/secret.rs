//! Passwords and ciphers.

use std::sync::Arc;

use aes::Aes256;
use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blowfish::Blowfish;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::RandomBytes;
use super::arguments::Args;
use super::codec::decode_base64;
use crate::function::{FunctionError, Functions, Outcome, Signature};
use crate::value::{Type, Value};

const T: Type = Type::Text;

/// What one password costs, so that a template cannot make thousands of them.
const STEPS_PER_PASSWORD: u64 = 200_000;
/// The 32 MiB that its key takes while it is made.
const DERIVATION_MEMORY: usize = 32 << 20;

pub(super) fn add(functions: &mut Functions, random: &RandomBytes) {
    let source = Arc::clone(random);
    functions.add("bcrypt", Signature::new(&[T], T), move |meter, args| {
        meter.spend(STEPS_PER_PASSWORD)?;
        Ok(Value::from(bcrypt(Args(args).bytes(0), &source)))
    });
    let source = Arc::clone(random);
    functions.add("htpasswd", Signature::new(&[T, T], T), move |meter, args| {
        let args = Args(args);
        let user = args.text(0);
        if user.contains(':') {
            return Ok(Value::from(format!("invalid username: {user}")));
        }
        meter.spend(STEPS_PER_PASSWORD)?;
        Ok(Value::from(format!("{user}:{}", bcrypt(args.bytes(1), &source))))
    });
    functions.add("derivePassword", Signature::new(&[Type::Uint32, T, T, T, T], T), |meter, args| {
        meter.spend(STEPS_PER_PASSWORD)?;
        if meter.memory_left() < DERIVATION_MEMORY {
            return Err(crate::limits::Limit::Memory.into());
        }
        derive(&Args(args))
    });
    let source = Arc::clone(random);
    functions.add("encryptAES", Signature::new(&[T, T], T), move |meter, args| {
        let args = Args(args);
        let plain = args.bytes(1);
        if plain.is_empty() {
            return Ok(Value::from(""));
        }
        meter.allocate(plain.len().saturating_mul(3))?;
        let mut iv = [0; 16];
        source(&mut iv);
        let cipher = cbc::Encryptor::<Aes256>::new(&key(args.bytes(0)).into(), &iv.into());
        let encrypted = cipher.encrypt_padded_vec_mut::<Pkcs7>(plain);
        Ok(Value::from(STANDARD.encode([&iv[..], &encrypted].concat())))
    });
    functions.add("decryptAES", Signature::new(&[T, T], T), |meter, args| {
        meter.allocate(Args(args).bytes(1).len())?;
        decrypt(&Args(args))
    });
}

/// The password itself, cut or filled up with zeros.
fn key(password: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let len = password.len().min(32);
    key[..len].copy_from_slice(&password[..len]);
    key
}

fn decrypt(args: &Args<'_>) -> Outcome {
    if args.bytes(1).is_empty() {
        return Ok(Value::from(""));
    }
    let bytes = decode_base64(args.bytes(1)).map_err(|at| format!("illegal base64 data at input byte {at}"))?;
    let Some((iv, encrypted)) = bytes.split_first_chunk::<16>() else {
        return Err(format!("runtime error: slice bounds out of range [:16] with capacity {}", bytes.len()).into());
    };
    if encrypted.len() % 16 != 0 {
        return Err("crypto/cipher: input not full blocks".into());
    }
    let cipher = cbc::Decryptor::<Aes256>::new(&key(args.bytes(0)).into(), iv.into());
    let mut plain = cipher
        .decrypt_padded_vec_mut::<NoPadding>(encrypted)
        .map_err(|_| FunctionError::from("crypto/cipher: input not full blocks"))?;
    let padding = plain.last().copied().map_or(0, usize::from);
    let Some(len) = plain.len().checked_sub(padding) else {
        let len = plain.len() as i64 - padding as i64;
        return Err(format!("runtime error: slice bounds out of range [:{len}]").into());
    };
    plain.truncate(len);
    Ok(plain.into())
}

/// The work factor is two to this.
const COST: u32 = 10;
const BCRYPT_ALPHABET: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn bcrypt(password: &[u8], random: &RandomBytes) -> String {
    if password.len() > 72 {
        return "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".into();
    }
    let mut salt = [0; 16];
    random(&mut salt);
    let digest = bcrypt_digest(password, salt);
    format!("$2a${COST:02}${}{}", bcrypt_base64(&salt), bcrypt_base64(&digest))
}

/// The 23 bytes of the digest that are written.
fn bcrypt_digest(password: &[u8], salt: [u8; 16]) -> [u8; 23] {
    let terminated = [password, &[0]].concat();
    let mut state = <Blowfish>::bc_init_state();
    state.salted_expand_key(&salt, &terminated);
    for _ in 0..1u32 << COST {
        state.bc_expand_key(&terminated);
        state.bc_expand_key(&salt);
    }
    let mut words = [0u32; 6];
    for (word, bytes) in words.iter_mut().zip(b"OrpheanBeholderScryDoubt".chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    for pair in words.chunks_exact_mut(2) {
        if let [left, right] = pair {
            for _ in 0..64 {
                [*left, *right] = state.bc_encrypt([*left, *right]);
            }
        }
    }
    let mut digest = [0; 23];
    for (to, from) in digest.iter_mut().zip(words.into_iter().flat_map(u32::to_be_bytes)) {
        *to = from;
    }
    digest
}

/// bcrypt's own base 64, without padding.
fn bcrypt_base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
        for at in 0..=chunk.len() {
            out.push(char::from(BCRYPT_ALPHABET[(word >> (18 - 6 * at)) as usize & 63]));
        }
    }
    out
}

const SEED: &[u8] = b"com.lyndir.masterpassword";

fn patterns(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        _ => return None,
    })
}

fn characters(class: u8) -> &'static [u8] {
    match class {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// The Master Password algorithm: the same password for the same site, whenever it is asked for.
fn derive(args: &Args<'_>) -> Outcome {
    let kind = args.text(1);
    let Some(patterns) = patterns(&kind) else {
        return Ok(Value::from(format!("cannot find password template {kind}")));
    };
    let (password, user, site) = (args.bytes(2), args.bytes(3), args.bytes(4));
    let sized = |name: &[u8]| [SEED, &(name.len() as u32).to_be_bytes(), name].concat();
    let params = scrypt::Params::new(15, 8, 2, 64).map_err(|error| format!("failed to derive password: {error}"))?;
    let mut key = [0; 64];
    scrypt::scrypt(password, &sized(user), &params, &mut key)
        .map_err(|error| format!("failed to derive password: {error}"))?;
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(&key).map_err(|error| format!("failed to derive password: {error}"))?;
    mac.update(&sized(site));
    mac.update(&(args.int(0) as u32).to_be_bytes());
    let seed = mac.finalize().into_bytes();
    let pattern = patterns[usize::from(seed[0]) % patterns.len()];
    // No pattern is longer than the seed.
    let chars = pattern.bytes().zip(&seed[1..]).map(|(class, byte)| {
        let characters = characters(class);
        characters[usize::from(*byte) % characters.len()]
    });
    Ok(chars.collect::<Vec<u8>>().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash that sprig's own tests have of `abc`.
    const KNOWN: &str = "iFhq7Qs6f.O1SiN6xUiAyuiuFjPwmWacEpID.icbdMSFwdj4ufTom";

    fn salt(text: &str) -> [u8; 16] {
        let bits = text.bytes().filter_map(|byte| BCRYPT_ALPHABET.iter().position(|char| *char == byte));
        let bits: Vec<u128> = bits.map(|value| value as u128).collect();
        let [all @ .., last] = &*bits else { panic!("no salt") };
        let high = all.iter().fold(0, |sum, value| sum << 6 | value);
        (high << 2 | last >> 4).to_be_bytes()
    }

    #[test]
    fn a_known_password_has_its_known_hash() {
        let salt = salt(&KNOWN[..22]);
        assert_eq!(bcrypt_base64(&salt), KNOWN[..22]);
        assert_eq!(bcrypt_base64(&bcrypt_digest(b"abc", salt)), KNOWN[22..]);
        assert_ne!(bcrypt_base64(&bcrypt_digest(b"abd", salt)), KNOWN[22..]);
    }
}
