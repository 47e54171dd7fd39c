//! Where a request stands in somebody's trace: the header `traceparent` of the W3C.

use std::fmt;

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    trace: u128,
    span: u64,
    flags: u8,
}

impl Trace {
    /// Reads the header. A later version may have more parts, which are of no use here.
    pub(crate) fn parse(text: &str) -> Option<Trace> {
        let mut parts = text.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let whole = parts.next().is_none();
        (version != 0xff && (version != 0 || whole) && trace != 0 && span != 0).then_some(Trace { trace, span, flags })
    }

    /// The same trace one step further in.
    pub(crate) fn child(self, span: u64) -> Trace {
        Trace { span: span.max(1), ..self }
    }

    /// The id of the trace, as it is written.
    pub(crate) fn id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// As many lower-case hexadecimal digits as there should be.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(lower)).then(|| u128::from_str_radix(text, 16).ok())?
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_w3c_calls_valid() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = Trace::parse(text).unwrap();
        assert_eq!(trace.to_string(), text);
        assert_eq!(trace.child(7).to_string(), "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01");
        assert_eq!(Trace::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-else"), Some(trace));
    }

    #[test]
    fn what_it_does_not() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-+7ad6b7169203331-01",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
    }
}
