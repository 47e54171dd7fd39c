//! Where a part of a JSON document is, as RFC 6901 writes it.

/// The JSON pointer to what these names and indices lead to, one within the other. None of them is the whole document.
pub fn json_pointer<Part: AsRef<str>>(parts: impl IntoIterator<Item = Part>) -> String {
    let mut pointer = String::new();
    for part in parts {
        pointer.push('/');
        // The tilde first: those that stand for slashes must stay.
        pointer.push_str(&part.as_ref().replace('~', "~0").replace('/', "~1"));
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_joined() {
        let table: [(&[&str], &str); 6] = [
            (&[], ""),
            (&[""], "/"),
            (&["a", "0", "b"], "/a/0/b"),
            (&["a/b", "~"], "/a~1b/~0"),
            (&["~1"], "/~01"),
            (&["a.b", "ä \""], "/a.b/ä \""),
        ];
        for (parts, pointer) in table {
            assert_eq!(json_pointer(parts), pointer, "{parts:?}");
        }
    }
}
