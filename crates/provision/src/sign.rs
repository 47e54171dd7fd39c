//! Signatures by which a target knows that a request is from here, and unchanged.

use jiff::Timestamp;
use piton_model::Secret;
use ring::hmac;

/// Over the time and the body, so that an old request cannot be sent again.
pub(crate) const TIMED: &str = "x-piton-signature";
/// Over the body alone, as GitHub signs its webhooks: what many receivers check out of the box.
pub(crate) const PLAIN: &str = "x-hub-signature-256";

/// Both signatures of `body`: the values of [`TIMED`] and [`PLAIN`].
pub(crate) fn sign(secret: &Secret<String>, now: Timestamp, body: &[u8]) -> (String, String) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let seconds = now.as_second();
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    let timed = format!("t={seconds},v1={}", hex::encode(context.sign()));
    let plain = format!("sha256={}", hex::encode(hmac::sign(&key, body)));
    (timed, plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_what_others_compute() {
        // The example of GitHub's documentation on validating webhook deliveries.
        let secret = Secret::new("It's a Secret to Everybody".to_owned());
        let (timed, plain) = sign(&secret, Timestamp::from_second(1_700_000_000).unwrap(), b"Hello, World!");
        assert_eq!(plain, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
        assert!(timed.starts_with("t=1700000000,v1="), "{timed}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let mac = hex::decode(timed.rsplit_once('=').unwrap().1).unwrap();
        assert!(hmac::verify(&key, b"1700000000.Hello, World!", &mac).is_ok());
    }
}
