//! `SHA256SUMS`: a digest and a file name on each line.

use crate::error::Error;

/// A SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// The digest listed for `file`, `None` if the list does not name it.
///
/// Only lines about `file` must make sense: the list is trusted as a whole, having been signed.
pub(crate) fn find(list_name: &str, list: &[u8], file: &str) -> Result<Option<Digest>, Error> {
    let invalid = |reason: String| Error::InvalidSums { file: list_name.to_owned(), reason };
    let text = std::str::from_utf8(list).map_err(|_| invalid("the list is not text".to_owned()))?;
    let mut found = None;
    for line in text.lines() {
        // `sha256sum -b` writes a star before the name.
        let Some((digits, name)) = line.split_once(char::is_whitespace) else { continue };
        if name.trim().trim_start_matches('*') != file {
            continue;
        }
        let mut digest = Digest::default();
        hex::decode_to_slice(digits, &mut digest)
            .map_err(|_| invalid(format!("the line for {file} has no SHA-256 digest")))?;
        if found.replace(digest).is_some_and(|earlier| earlier != digest) {
            return Err(invalid(format!("{file} is listed twice with different digests")));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn lookup(list: &str) -> Result<Option<Digest>, &'static str> {
        find("SUMS", list.as_bytes(), "tofu.zip").map_err(|error| error.code())
    }

    #[test]
    fn finds_the_line_of_the_file() {
        assert_eq!(lookup(&format!("{B}  other.zip\n{A}  tofu.zip\n")), Ok(Some([0xaa; 32])));
        assert_eq!(lookup(&format!("{A} *tofu.zip\r\n")), Ok(Some([0xaa; 32])));
        assert_eq!(lookup(&format!("{A}  tofu.zip\n{A}  tofu.zip\n")), Ok(Some([0xaa; 32])));
        assert_eq!(lookup(&format!("{A}  tofu.zip.sig\n{B}  x/tofu.zip\n\nnote\n")), Ok(None));
    }

    #[test]
    fn refuses_an_ambiguous_or_unreadable_line() {
        assert_eq!(lookup(&format!("{A}  tofu.zip\n{B}  tofu.zip\n")), Err("invalid_sums"));
        assert_eq!(lookup("abcd  tofu.zip\n"), Err("invalid_sums"));
        assert_eq!(find("SUMS", b"\xff\xfe", "tofu.zip").unwrap_err().code(), "invalid_sums");
    }
}
