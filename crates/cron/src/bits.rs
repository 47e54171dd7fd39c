//! Scans over bit sets.

/// The lowest member at or above `from`.
pub(crate) fn first_from(set: u64, from: u32) -> Option<u32> {
    let rest = set & u64::MAX.checked_shl(from)?;
    (rest != 0).then(|| rest.trailing_zeros())
}

/// The highest member at or below `to`.
pub(crate) fn last_to(set: u64, to: u32) -> Option<u32> {
    (set & (u64::MAX >> (63 - to.min(63)))).checked_ilog2()
}

/// The set of all of `first..=last`.
pub(crate) fn span(first: u32, last: u32) -> u64 {
    (u64::MAX >> (63 - last.min(63))) & u64::MAX.checked_shl(first).unwrap_or(0)
}

/// The members in rising order.
pub(crate) fn members(set: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |bit| set >> bit & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_find_the_nearest_member_on_either_side() {
        let set = 1 << 3 | 1 << 17 | 1 << 63;
        assert_eq!(first_from(set, 0), Some(3));
        assert_eq!(first_from(set, 4), Some(17));
        assert_eq!(first_from(set, 64), None);
        assert_eq!(last_to(set, 2), None);
        assert_eq!(last_to(set, 62), Some(17));
        assert_eq!(last_to(set, 63), Some(63));
        assert_eq!(span(1, 3), 0b1110);
        assert_eq!(members(set).collect::<Vec<_>>(), [3, 17, 63]);
    }
}
