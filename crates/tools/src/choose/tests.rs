use super::*;
use crate::constraint::Reading;

use Tool::{OpenTofu, Terraform};

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn versions(texts: &[&str]) -> Vec<Version> {
    texts.iter().map(|text| version(text)).collect()
}

fn installed(tool: Tool, text: &str, found: Found) -> Installed {
    let dir = match found {
        Found::Path => "/usr/bin",
        Found::Cache => "/cache",
    };
    Installed { tool, version: version(text), path: format!("{dir}/{tool}-{text}").into(), found }
}

fn path(tool: Tool, text: &str) -> Installed {
    installed(tool, text, Found::Path)
}

fn cache(tool: Tool, text: &str) -> Installed {
    installed(tool, text, Found::Cache)
}

fn pin(text: &str) -> Pin {
    let place = Place::File { path: "/w/.opentofu-version".into(), line: Some(1) };
    Pin { tool: OpenTofu, want: Want::parse(text, &place).unwrap(), place }
}

fn required(text: &str) -> Required {
    Required {
        tool: OpenTofu,
        constraints: Constraints::parse(text, Reading::Required).unwrap(),
        place: Place::File { path: "/w/main.tf".into(), line: Some(3) },
    }
}

#[derive(Default)]
struct Asked(Request);

impl Asked {
    fn configured(mut self, text: &str) -> Self {
        self.0.configured = Some(Want::parse(text, &Place::Configuration).unwrap());
        self
    }
    fn pinned(mut self, text: &str) -> Self {
        self.0.pins.push(pin(text));
        self
    }
    fn required(mut self, text: &str) -> Self {
        self.0.required.push(required(text));
        self
    }
    fn tool(mut self, tool: Tool) -> Self {
        self.0.tool = ToolChoice::Exactly(tool);
        self
    }

    /// The outcome in one line: `use PATH`, `download TOOL VERSION` or `error CODE`.
    fn gives(&self, available: &[Installed], releases: Option<&[&str]>) -> String {
        let releases = releases.map(versions);
        match choose(&self.0, available, releases.as_deref()) {
            Ok(Choice::Use(installed)) => format!("use {}", installed.path.display()),
            Ok(Choice::Download(tool, version)) => format!("download {tool} {version}"),
            Err(error) => format!("error {}", error.code()),
        }
    }
}

fn asked() -> Asked {
    Asked::default()
}

const RELEASES: &[&str] = &["1.10.0-beta1", "1.9.1", "1.9.0", "1.8.3", "1.8.0", "1.6.2"];

#[test]
fn auto_takes_the_first_tool_on_path() {
    let both = [path(OpenTofu, "1.8.0"), path(Terraform, "1.11.4")];
    assert_eq!(asked().gives(&both, None), "use /usr/bin/tofu-1.8.0");
    assert_eq!(
        asked().gives(&[path(Terraform, "1.11.4"), cache(OpenTofu, "1.9.0")], None),
        "use /usr/bin/terraform-1.11.4"
    );
    assert_eq!(asked().gives(&[cache(Terraform, "1.11.4")], Some(RELEASES)), "download tofu 1.9.1");
    assert_eq!(asked().gives(&[], None), "error none_installed");
    assert_eq!(asked().tool(Terraform).gives(&both, None), "use /usr/bin/terraform-1.11.4");
}

#[test]
fn path_then_cache_then_download() {
    let all = [path(OpenTofu, "1.6.2"), cache(OpenTofu, "1.8.3"), cache(OpenTofu, "1.8.0")];
    assert_eq!(asked().gives(&all, Some(RELEASES)), "use /usr/bin/tofu-1.6.2");
    assert_eq!(asked().required("~> 1.8.0").gives(&all, Some(RELEASES)), "use /cache/tofu-1.8.3");
    assert_eq!(asked().required(">= 1.9").gives(&all, Some(RELEASES)), "download tofu 1.9.1");
    assert_eq!(asked().required(">= 1.9").gives(&all, None), "error none_installed");
    let two_on_path = [path(OpenTofu, "1.6.2"), path(OpenTofu, "1.9.0")];
    assert_eq!(asked().required(">= 1.9").gives(&two_on_path, None), "use /usr/bin/tofu-1.9.0");
}

#[test]
fn configuration_overrules_pins_but_not_the_code() {
    let all = [path(OpenTofu, "1.6.2"), cache(OpenTofu, "1.8.3"), cache(OpenTofu, "1.8.0")];
    assert_eq!(asked().pinned("1.8.0").gives(&all, None), "use /cache/tofu-1.8.0");
    assert_eq!(asked().pinned("1.8.0").configured("~> 1.6").gives(&all, None), "use /usr/bin/tofu-1.6.2");
    assert_eq!(asked().pinned("1.8.0").configured("1.9.0").gives(&all, None), "download tofu 1.9.0");
    assert_eq!(asked().configured("1.6.2").required(">= 1.8").gives(&all, None), "error version_conflict");
}

#[test]
fn conflicts_name_every_party() {
    let request = asked().pinned("1.6.2").required(">= 1.8").0;
    let error = choose(&request, &[], None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no version of OpenTofu satisfies all of: `1.6.2` (/w/.opentofu-version:1) and `>= 1.8` (/w/main.tf:3)"
    );
    assert!(error.hint().contains("/w/.opentofu-version:1, /w/main.tf:3"), "{}", error.hint());
    assert_eq!(asked().pinned("~> 1.6.0").required(">= 1.8").gives(&[], None), "error version_conflict");
    assert_eq!(asked().required("< 1.8").required(">= 1.8").gives(&[], None), "error version_conflict");
    // These could agree, had anything been released between them.
    assert_eq!(asked().required("> 1.8.3, < 1.9.0").gives(&[], Some(RELEASES)), "error no_matching_version");
}

#[test]
fn an_exact_pin_needs_no_list_but_believes_one() {
    assert_eq!(asked().pinned("1.8.3").gives(&[], None), "download tofu 1.8.3");
    assert_eq!(asked().pinned("1.8.3").gives(&[], Some(RELEASES)), "download tofu 1.8.3");
    let request = asked().pinned("1.8.4").0;
    match choose(&request, &[], Some(&versions(RELEASES))).unwrap_err() {
        Error::NotFound { nearest, .. } => assert_eq!(nearest, versions(&["1.9.1", "1.8.3", "1.8.0"])),
        other => panic!("{other}"),
    }
}

#[test]
fn words_look_at_the_releases_first() {
    let all = [path(OpenTofu, "1.8.0"), cache(OpenTofu, "1.6.2")];
    assert_eq!(asked().pinned("latest").gives(&all, Some(RELEASES)), "download tofu 1.9.1");
    assert_eq!(asked().pinned("latest").gives(&[path(OpenTofu, "1.9.1")], Some(RELEASES)), "use /usr/bin/tofu-1.9.1");
    assert_eq!(asked().pinned("latest:^1\\.8").gives(&all, Some(RELEASES)), "download tofu 1.8.3");
    assert_eq!(asked().pinned("latest:^7").gives(&all, Some(RELEASES)), "error no_matching_version");
    assert_eq!(asked().pinned("latest-allowed").required("< 1.9").gives(&all, Some(RELEASES)), "download tofu 1.8.3");
    assert_eq!(
        asked().pinned("min-required").required("> 1.6.2").gives(&all, Some(RELEASES)),
        "use /usr/bin/tofu-1.8.0"
    );
    assert_eq!(asked().pinned("min-required").gives(&all, Some(RELEASES)), "use /cache/tofu-1.6.2");
    // `latest` is what it says, even if the code then refuses it.
    assert_eq!(asked().pinned("latest").required("< 1.9").gives(&all, Some(RELEASES)), "error version_conflict");
    // Without a list they mean the newest and the oldest at hand.
    assert_eq!(asked().pinned("latest").gives(&all, None), "use /usr/bin/tofu-1.8.0");
    assert_eq!(asked().pinned("min-required").gives(&all, None), "use /cache/tofu-1.6.2");
}

#[test]
fn prereleases_are_taken_on_purpose_only() {
    let rc = "1.10.0-beta1";
    assert_eq!(asked().required(">= 1.10").gives(&[], Some(RELEASES)), "error no_matching_version");
    assert_eq!(asked().pinned(rc).required(">= 1.10").gives(&[], Some(RELEASES)), format!("download tofu {rc}"));
    assert_eq!(asked().pinned(&format!("= {rc}")).gives(&[], Some(RELEASES)), format!("download tofu {rc}"));
    assert_eq!(asked().required(">= 1.10").gives(&[path(OpenTofu, rc)], None), format!("use /usr/bin/tofu-{rc}"));
    assert_eq!(asked().gives(&[cache(OpenTofu, rc)], Some(RELEASES)), "download tofu 1.9.1");
    assert_eq!(asked().pinned(rc).gives(&[cache(OpenTofu, rc)], None), format!("use /cache/tofu-{rc}"));
    assert_eq!(asked().pinned("system").gives(&[path(OpenTofu, rc)], None), format!("use /usr/bin/tofu-{rc}"));
}

#[test]
fn another_tools_demands_are_not_heeded() {
    let request = asked().pinned("1.6.2").required("< 1.7").tool(Terraform);
    assert_eq!(request.gives(&[path(Terraform, "1.11.4")], None), "use /usr/bin/terraform-1.11.4");
}

#[test]
fn the_reasons_tell_the_story() {
    let request = asked().pinned("1.6.2").configured(">= 1.8").required("< 2.0").0;
    let available = [path(OpenTofu, "1.6.2"), cache(OpenTofu, "1.8.3")];
    let told: Vec<String> = decide(&request, &available, None).unwrap().reasons.iter().map(Reason::to_string).collect();
    assert_eq!(
        told,
        [
            "`tofu` is on PATH",
            "/w/.opentofu-version:1 asks for `1.6.2`, which the configuration overrules",
            "the configuration asks for `>= 1.8`",
            "/w/main.tf:3 asks for `< 2.0`",
            "/usr/bin/tofu-1.6.2 is 1.6.2, which `>= 1.8` (the configuration) rules out",
            "/cache/tofu-1.8.3 was downloaded earlier and will do",
        ]
    );
}
