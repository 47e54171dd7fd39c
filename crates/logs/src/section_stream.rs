//! What a section holds: a function of its header, the raw output, the secrets and the cap, and of nothing else.

use crate::redact::{Masking, Redactor};

/// Turns raw output into the bytes of a section, in whatever pieces it comes.
pub(crate) struct SectionStream {
    masking: Masking,
    cap: Cap,
    redacted: Vec<u8>,
    last: Option<u8>,
}

struct Cap {
    /// How many more bytes of output fit; `None` once one did not.
    left: Option<u64>,
    notice: String,
}

impl SectionStream {
    /// For the output that follows a header ending at offset `at` of the log.
    pub(crate) fn new(redactor: &Redactor, at: u64, cap: u64) -> SectionStream {
        let notice = format!("piton: output beyond {} is not kept\n", Size(cap));
        let cap = Cap { left: Some(cap.saturating_sub(at)), notice };
        SectionStream { masking: Masking::new(redactor), cap, redacted: Vec::new(), last: None }
    }

    /// Whether whatever follows is not kept.
    pub(crate) fn is_full(&self) -> bool {
        self.cap.left.is_none()
    }

    /// Takes raw output, and lets out what is certain.
    pub(crate) fn feed(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        self.masking.feed(raw, &mut self.redacted);
        self.keep(out);
    }

    /// Lets out all that can be, because the output pauses.
    pub(crate) fn settle(&mut self, out: &mut Vec<u8>) {
        self.masking.settle(&mut self.redacted);
        self.keep(out);
    }

    /// The output has ended: lets out the rest, and ends the last line.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.masking.finish(&mut self.redacted);
        self.keep(out);
        self.end_line(out);
    }

    fn keep(&mut self, out: &mut Vec<u8>) {
        let len = self.redacted.len();
        let Some(left) = self.cap.left else { return self.redacted.clear() };
        let fits = usize::try_from(left).unwrap_or(usize::MAX).min(len);
        out.extend_from_slice(&self.redacted[..fits]);
        self.last = self.redacted[..fits].last().copied().or(self.last);
        self.redacted.clear();
        if fits == len {
            self.cap.left = Some(left - fits as u64);
        } else {
            self.end_line(out);
            out.extend_from_slice(self.cap.notice.as_bytes());
            self.last = Some(b'\n');
            self.cap.left = None;
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        if self.last.is_some_and(|last| last != b'\n') {
            out.push(b'\n');
            self.last = Some(b'\n');
        }
    }
}

/// A number of bytes for people, exact.
struct Size(u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit =
            [(30, "GiB"), (20, "MiB"), (10, "KiB")].into_iter().find(|(bits, _)| self.0.trailing_zeros() >= *bits);
        match unit {
            Some((bits, name)) if self.0 > 0 => write!(f, "{} {name}", self.0 >> bits),
            _ => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(at: u64, cap: u64, chunks: &[&str]) -> String {
        let mut stream = SectionStream::new(&Redactor::new(["secret".to_owned()]), at, cap);
        let mut out = Vec::new();
        for chunk in chunks {
            stream.feed(chunk.as_bytes(), &mut out);
            stream.settle(&mut out);
        }
        stream.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_last_line_is_ended() {
        assert_eq!(section(0, 100, &["a\nb"]), "a\nb\n");
        assert_eq!(section(0, 100, &["a\n", "b\n"]), "a\nb\n");
        assert_eq!(section(0, 100, &[]), "");
        assert_eq!(section(0, 100, &["my secr", "et"]), "my ***\n");
    }

    #[test]
    fn the_cap_is_exact_and_visible() {
        assert_eq!(section(0, 4, &["abcd"]), "abcd\n");
        assert_eq!(section(0, 4, &["abc\n"]), "abc\n");
        assert_eq!(section(2, 6, &["ab", "cde"]), "abcd\npiton: output beyond 6 bytes is not kept\n");
        assert_eq!(
            section(0, 1024, &[&"x\n".repeat(600)]).len(),
            1024 + "piton: output beyond 1 KiB is not kept\n".len()
        );
        assert_eq!(section(9, 4, &["a"]), "piton: output beyond 4 bytes is not kept\n");
        assert_eq!(section(9, 4, &[]), "");
    }

    #[test]
    fn sizes_are_exact() {
        let text = [0, 1, 1024, 1025, 3 << 20, 1 << 30].map(|n| Size(n).to_string());
        assert_eq!(text, ["0 bytes", "1 bytes", "1 KiB", "1025 bytes", "3 MiB", "1 GiB"]);
    }
}
