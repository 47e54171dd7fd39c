use super::*;
use proptest::prelude::*;

fn required(text: &str) -> Constraints {
    Constraints::parse(text, Reading::Required).unwrap()
}

fn pinned(text: &str) -> Constraints {
    Constraints::parse(text, Reading::Pinned).unwrap()
}

fn satisfiable(sets: &[Constraints]) -> bool {
    Constraints::satisfiable(&sets.iter().collect::<Vec<_>>())
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Each row was observed with a core 1.11.4 and the text as `required_version`.
#[test]
fn required_version_agrees_with_the_tool() {
    let core = version("1.11.4");
    for text in [
        "~> 1.11",
        "~> 1.11.0",
        "~>1.11.4",
        "~> 1",
        ">1.0,<2.0",
        "v1.11.4",
        ">= v1.0",
        ">= 01.2",
        "1.11.4",
        "= 1.11.4",
        " >=  1.6 , != 1.6.1 ",
    ] {
        assert!(required(text).allow(&core), "{text:?} should allow {core}");
    }
    for text in ["1", "1.11", "~> 1.11.4.0", "!= 1.11.4", "< 1.11.4", "~> 1.12", "~> 1.10.0", "> 1.11.4, < 2"] {
        assert!(!required(text).allow(&core), "{text:?} should not allow {core}");
    }
    for text in
        ["", " ", "^1.11", "1.11.x", "=> 1.0", "== 1.11.4", "a || b", ">= 1.0,", ", >= 1.0", ">=", "> = 1.0", "latest"]
    {
        assert_eq!(
            Constraints::parse(text, Reading::Required),
            Err(InvalidConstraint::Malformed(text.to_owned())),
            "{text:?}"
        );
    }
    for text in ["1.11.4-rc1", ">= 1.11.0-alpha1", ">= 1.0, < 1.12.0-beta1"] {
        assert_eq!(
            Constraints::parse(text, Reading::Required),
            Err(InvalidConstraint::Prerelease(text.to_owned())),
            "{text:?}"
        );
    }
}

#[test]
fn a_prerelease_core_counts_as_its_release() {
    let core = version("1.12.0-rc1");
    assert!(required(">= 1.12").allow(&core));
    assert!(required("1.12.0").allow(&core));
    assert!(!required("< 1.12").allow(&core));
}

#[test]
fn a_pin_takes_a_prerelease_only_when_it_names_one() {
    let rc = version("1.12.0-rc1");
    for text in [">= 1.11", "~> 1.12.0", "1.12.0", ">= 1.13.0-rc1", "!= 1.12.0-rc1", "~> 1.12.0-rc2"] {
        assert!(!pinned(text).allow(&rc), "{text}");
    }
    for text in ["1.12.0-rc1", "= 1.12.0-rc1", ">= 1.12.0-beta1", "~> 1.12.0-alpha1", "v1.12.0-rc1"] {
        assert!(pinned(text).allow(&rc), "{text}");
    }
    assert!(!pinned("~> 1.12.0-alpha1").allow(&version("1.12.0")), "a pessimistic pre-release keeps to pre-releases");
    assert!(pinned(">= 1.12.0-rc1").allow(&version("1.12.0")));
}

#[test]
fn build_metadata_never_decides() {
    assert!(required("1.5.7").allow(&version("1.5.7+ent")));
    assert!(required("1.5.7+ent").allow(&version("1.5.7")));
}

#[test]
fn hints_name_the_likely_intention() {
    for (text, hint) in [
        ("^1.11", "`~> 1.11`"),
        ("== 1.11.4", "`= 1.11.4`"),
        ("=> 1.0", "`>= 1.0`"),
        ("1.11.x", "`~> 1.11.0`"),
        ("a || b", "||"),
        ("", "leave it out"),
        ("1.11.0-rc1", "version file"),
    ] {
        let error = Constraints::parse(text, Reading::Required).unwrap_err();
        assert!(error.hint().contains(hint), "{text:?}: {}", error.hint());
    }
}

#[test]
fn contradictions_are_seen_without_a_list_of_releases() {
    for texts in
        [&[">= 2.0", "< 1.0"][..], &["~> 1.5.0", "~> 1.6.0"], &["1.5", "!= 1.5.0"], &["~> 1.2.3.4"], &["< 0.0.0"]]
    {
        let sets: Vec<_> = texts.iter().map(|text| required(text)).collect();
        assert!(!satisfiable(&sets), "{texts:?}");
    }
    for texts in [&[">= 1.0", "< 2.0"][..], &["> 1.5.0", "< 1.5.2"], &["~> 1.5", "!= 1.5.0, != 1.5.1"], &[]] {
        let sets: Vec<_> = texts.iter().map(|text| required(text)).collect();
        assert!(satisfiable(&sets), "{texts:?}");
    }
}

fn any_release() -> impl Strategy<Value = Version> {
    (0..4u64, 0..4u64, 0..4u64).prop_map(|(major, minor, patch)| Version::new(major, minor, patch))
}

fn any_constraint() -> impl Strategy<Value = String> {
    let operator = proptest::sample::select(vec!["", "=", "!=", ">", ">=", "<", "<=", "~>"]);
    let segments = proptest::collection::vec(0..4u64, 1..5);
    (operator, segments).prop_map(|(operator, segments)| {
        let bound = segments.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
        format!("{operator} {bound}")
    })
}

proptest! {
    #[test]
    fn display_and_parse_are_inverse(texts in proptest::collection::vec(any_constraint(), 1..4)) {
        let constraints = pinned(&texts.join(","));
        prop_assert_eq!(pinned(&constraints.to_string()), constraints);
    }

    #[test]
    fn pessimistic_is_a_floor_and_a_ceiling(bound in any_release(), version in any_release()) {
        let [major, minor, patch] = bound.numbers();
        let ranges = [
            (format!("~> {major}"), format!(">= {major}")),
            (format!("~> {major}.{minor}"), format!(">= {major}.{minor}, < {}", major + 1)),
            (format!("~> {major}.{minor}.{patch}"), format!(">= {major}.{minor}.{patch}, < {major}.{}", minor + 1)),
        ];
        for (pessimistic, range) in ranges {
            prop_assert_eq!(
                required(&pessimistic).allow(&version), required(&range).allow(&version),
                "{} against {} for {}", pessimistic, range, version
            );
        }
    }

    #[test]
    fn opposites_exclude_each_other(bound in any_release(), version in any_release()) {
        for (one, other) in [("=", "!="), (">", "<="), ("<", ">=")] {
            let one = required(&format!("{one} {bound}")).allow(&version);
            prop_assert_ne!(one, required(&format!("{other} {bound}")).allow(&version));
        }
    }

    #[test]
    fn a_comma_is_and(a in any_constraint(), b in any_constraint(), version in any_release()) {
        let both = required(&format!("{a}, {b}")).allow(&version);
        prop_assert_eq!(both, required(&a).allow(&version) && required(&b).allow(&version));
    }

    #[test]
    fn satisfiable_agrees_with_trying_everything(texts in proptest::collection::vec(any_constraint(), 1..5)) {
        let sets: Vec<_> = texts.iter().map(|text| required(text)).collect();
        // Bounds stay below 4, so a satisfying release, if any, lies below 6 in each number.
        let found = (0..6 * 6 * 6u64)
            .map(|n| Version::new(n / 36, n / 6 % 6, n % 6))
            .any(|version| sets.iter().all(|set| set.allow(&version)));
        prop_assert_eq!(satisfiable(&sets), found);
    }

    #[test]
    fn parsing_never_panics(text in ".{0,24}") {
        let _ = Constraints::parse(&text, Reading::Pinned);
    }
}
