//! Sums and digests.

use adler2::Adler32;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::Entry;
use crate::value::{Type, Value};

const T: Type = Type::Text;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("sha1sum", &[T], None, T, |meter, args| {
        meter.spend(args.bytes(0).len() as u64 / 64)?;
        Ok(Value::from(hex::encode(Sha1::digest(args.bytes(0)))))
    }),
    ("sha256sum", &[T], None, T, |meter, args| {
        meter.spend(args.bytes(0).len() as u64 / 64)?;
        Ok(Value::from(hex::encode(Sha256::digest(args.bytes(0)))))
    }),
    ("sha512sum", &[T], None, T, |meter, args| {
        meter.spend(args.bytes(0).len() as u64 / 64)?;
        Ok(Value::from(hex::encode(Sha512::digest(args.bytes(0)))))
    }),
    ("adler32sum", &[T], None, T, |meter, args| {
        meter.spend(args.bytes(0).len() as u64 / 64)?;
        let mut sum = Adler32::new();
        sum.write_slice(args.bytes(0));
        Ok(Value::from(sum.checksum().to_string()))
    }),
];
