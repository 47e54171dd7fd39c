//! The frames of git's protocol: four hexadecimal digits of length, which count themselves, and the content.

/// More fits into no frame.
pub(crate) const MOST: usize = 65_516;

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// The end of a section.
    Flush,
    /// Any of the other frames without content.
    Mark,
    /// Content, with the newline that it may have.
    Data(&'a [u8]),
}

impl<'a> Packet<'a> {
    /// The content as a line, without its newline.
    pub(crate) fn line(self) -> Option<&'a [u8]> {
        match self {
            Packet::Data(data) => Some(data.strip_suffix(b"\n").unwrap_or(data)),
            Packet::Flush | Packet::Mark => None,
        }
    }
}

/// What was read is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a frame begins with {0:?} in place of its length")]
    Length([u8; 4]),
    #[error("a frame ends before its end")]
    Cut,
}

/// The frames of a text, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Packets<'a> {
        Packets { rest: text }
    }

    /// The next frame; none at the end of the text.
    pub(crate) fn next(&mut self) -> Result<Option<Packet<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Some((head, after)) = self.rest.split_first_chunk::<4>() else { return Err(Malformed::Cut) };
        let packet = match length(*head)? {
            Length::Flush => {
                self.rest = after;
                Packet::Flush
            }
            Length::Mark => {
                self.rest = after;
                Packet::Mark
            }
            Length::Content(length) => {
                let Some((data, rest)) = after.split_at_checked(length) else { return Err(Malformed::Cut) };
                self.rest = rest;
                Packet::Data(data)
            }
        };
        Ok(Some(packet))
    }
}

/// What the head of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Flush,
    Mark,
    /// So much content follows.
    Content(usize),
}

/// Reads the head of a frame.
pub(crate) fn length(head: [u8; 4]) -> Result<Length, Malformed> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut sum = 0;
    for byte in head {
        sum = sum * 16 + digit(byte).ok_or(Malformed::Length(head))?;
    }
    match sum {
        0 => Ok(Length::Flush),
        1 | 2 => Ok(Length::Mark),
        3 => Err(Malformed::Length(head)),
        more => Ok(Length::Content(more as usize - 4)),
    }
}

/// Appends a frame with this content, which must not be longer than [`MOST`].
pub(crate) fn write(into: &mut Vec<u8>, content: &[u8]) {
    debug_assert!(content.len() <= MOST, "the callers write short lines");
    into.extend_from_slice(format!("{:04x}", content.len() + 4).as_bytes());
    into.extend_from_slice(content);
}

/// Appends the end of a section.
pub(crate) fn write_flush(into: &mut Vec<u8>) {
    into.extend_from_slice(b"0000");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_are_read_as_git_writes_them() {
        let mut packets = Packets::of(b"0006a\n00000001000bfoobar\n0004");
        assert_eq!(packets.next(), Ok(Some(Packet::Data(b"a\n"))));
        assert_eq!(packets.next(), Ok(Some(Packet::Flush)));
        assert_eq!(packets.next(), Ok(Some(Packet::Mark)));
        assert_eq!(packets.next().map(|packet| packet.and_then(Packet::line)), Ok(Some(&b"foobar"[..])));
        assert_eq!(packets.next(), Ok(Some(Packet::Data(b""))));
        assert_eq!(packets.next(), Ok(None));
        for (bad, why) in [
            (&b"00"[..], Malformed::Cut),
            (b"0006a", Malformed::Cut),
            (b"0003", Malformed::Length(*b"0003")),
            (b"+006a\n", Malformed::Length(*b"+006")),
            (b"<htm", Malformed::Length(*b"<htm")),
        ] {
            assert_eq!(Packets::of(bad).next(), Err(why), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_text_ends(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut packets = Packets::of(&text);
            let mut steps = 0;
            while let Ok(Some(_)) = packets.next() {
                steps += 1;
                prop_assert!(steps <= text.len());
            }
        }

        #[test]
        fn what_is_written_is_read(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..99), 0..9)) {
            let mut text = Vec::new();
            for content in &contents {
                write(&mut text, content);
            }
            write_flush(&mut text);
            let mut packets = Packets::of(&text);
            for content in &contents {
                prop_assert_eq!(packets.next(), Ok(Some(Packet::Data(content))));
            }
            prop_assert_eq!(packets.next(), Ok(Some(Packet::Flush)));
            prop_assert_eq!(packets.next(), Ok(None));
        }
    }
}
