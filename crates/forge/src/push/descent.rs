//! Whether a branch has gone on from a commit, asked of a server that knows nothing but git, in the words of a fetch: what
//! the branch is at is wanted, the commit is had. A server that could make a pack of the difference says that it is ready.
//! Nothing is fetched.

use crate::object::ObjectId;
use crate::pkt::{self, Malformed, Packet, Packets};

/// What is said to `git-upload-pack`.
pub(super) fn question(head: ObjectId, commit: ObjectId) -> Vec<u8> {
    let mut text = Vec::new();
    pkt::write(&mut text, format!("want {head} multi_ack_detailed\n").as_bytes());
    pkt::write_flush(&mut text);
    pkt::write(&mut text, format!("have {commit}\n").as_bytes());
    pkt::write_flush(&mut text);
    text
}

/// What the server has said so far: whether the branch goes on from the commit; none where it is still speaking. That it
/// has the commit is not enough: a push that was refused may leave it behind.
pub(super) fn answer(said: &[u8], commit: ObjectId) -> Result<Option<bool>, Malformed> {
    let ready = format!("ACK {commit} ready");
    let mut packets = Packets::of(said);
    loop {
        match packets.next() {
            Ok(Some(packet @ Packet::Data(_))) => match packet.line() {
                Some(line) if line == ready.as_bytes() => return Ok(Some(true)),
                Some(b"NAK") => return Ok(Some(false)),
                _ => {}
            },
            Ok(Some(Packet::Flush | Packet::Mark)) => {}
            Ok(None) | Err(Malformed::Cut) => return Ok(None),
            Err(malformed) => return Err(malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

    fn frames(lines: &[&str]) -> Vec<u8> {
        let mut text = Vec::new();
        for line in lines {
            pkt::write(&mut text, format!("{line}\n").as_bytes());
        }
        text
    }

    #[test]
    fn only_a_server_that_is_ready_has_seen_the_way_from_one_to_the_other() {
        let commit: ObjectId = COMMIT.parse().unwrap();
        let told = |lines: &[&str]| answer(&frames(lines), commit).unwrap();
        let (common, ready) = (format!("ACK {COMMIT} common"), format!("ACK {COMMIT} ready"));
        assert_eq!(told(&[&common, &ready, "NAK"]), Some(true));
        assert_eq!(told(&[&common, "NAK"]), Some(false));
        assert_eq!(told(&["NAK"]), Some(false));
        assert_eq!(told(&[&common]), None);
        let whole = frames(&[&common, &ready]);
        assert_eq!(answer(&whole[..whole.len() - 3], commit).unwrap(), None);
        assert!(answer(b"<html>", commit).is_err());
    }
}
