//! Which program, and on which platform.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the two programs that this crate knows how to find and fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tool {
    /// OpenTofu, program `tofu`.
    #[serde(rename = "tofu", alias = "opentofu")]
    OpenTofu,
    /// HashiCorp Terraform, program `terraform`.
    #[serde(rename = "terraform")]
    Terraform,
}

impl Tool {
    /// Both tools, in the order in which `auto` prefers them.
    pub const ALL: [Tool; 2] = [Tool::OpenTofu, Tool::Terraform];

    /// The file name of the program, which is also the tool's name in configuration and in the cache.
    pub fn program(self) -> &'static str {
        match self {
            Tool::OpenTofu => "tofu",
            Tool::Terraform => "terraform",
        }
    }

    /// The name people use in prose.
    pub fn title(self) -> &'static str {
        match self {
            Tool::OpenTofu => "OpenTofu",
            Tool::Terraform => "Terraform",
        }
    }

    /// The file that pins this tool's version for a directory tree.
    pub fn version_file(self) -> &'static str {
        match self {
            Tool::OpenTofu => ".opentofu-version",
            Tool::Terraform => ".terraform-version",
        }
    }

    /// The tool's name in a `.tool-versions` file.
    pub(crate) fn plugin_name(self) -> &'static str {
        match self {
            Tool::OpenTofu => "opentofu",
            Tool::Terraform => "terraform",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// The text named no tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown tool `{0}`: expected `tofu` or `terraform`")]
pub struct UnknownTool(pub String);

impl FromStr for Tool {
    type Err = UnknownTool;

    fn from_str(text: &str) -> Result<Self, UnknownTool> {
        match text {
            "tofu" | "opentofu" => Ok(Tool::OpenTofu),
            "terraform" => Ok(Tool::Terraform),
            other => Err(UnknownTool(other.to_owned())),
        }
    }
}

/// The tool as configuration may ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "ToolWord", into = "ToolWord")]
pub enum ToolChoice {
    /// `tofu` on PATH, else `terraform` on PATH, else a downloaded OpenTofu.
    #[default]
    Auto,
    /// This tool and no other.
    Exactly(Tool),
}

/// The flat spelling of [`ToolChoice`] in files.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToolWord {
    Auto,
    #[serde(alias = "opentofu")]
    Tofu,
    Terraform,
}

impl From<ToolWord> for ToolChoice {
    fn from(word: ToolWord) -> Self {
        match word {
            ToolWord::Auto => ToolChoice::Auto,
            ToolWord::Tofu => ToolChoice::Exactly(Tool::OpenTofu),
            ToolWord::Terraform => ToolChoice::Exactly(Tool::Terraform),
        }
    }
}

impl From<ToolChoice> for ToolWord {
    fn from(choice: ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => ToolWord::Auto,
            ToolChoice::Exactly(Tool::OpenTofu) => ToolWord::Tofu,
            ToolChoice::Exactly(Tool::Terraform) => ToolWord::Terraform,
        }
    }
}

impl FromStr for ToolChoice {
    type Err = UnknownTool;

    fn from_str(text: &str) -> Result<Self, UnknownTool> {
        match text {
            "auto" => Ok(ToolChoice::Auto),
            tool => tool.parse().map(ToolChoice::Exactly),
        }
    }
}

impl fmt::Display for ToolChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToolChoice::Auto => f.write_str("auto"),
            ToolChoice::Exactly(tool) => tool.fmt(f),
        }
    }
}

/// The operating system and processor a program is built for, in the vendors' spelling (`linux_amd64`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Platform {
    os: &'static str,
    arch: &'static str,
}

impl Platform {
    /// The platform this program itself was built for.
    pub fn current() -> Self {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        Platform { os, arch }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.os, self.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_programs_names() {
        for tool in Tool::ALL {
            assert_eq!(tool.to_string().parse(), Ok(tool));
            assert_eq!(serde_json::to_value(tool).unwrap(), tool.program());
            assert_eq!(serde_json::from_value::<Tool>(tool.program().into()).unwrap(), tool);
        }
        assert_eq!("opentofu".parse(), Ok(Tool::OpenTofu));
        assert!("pulumi".parse::<Tool>().is_err());
    }

    #[test]
    fn a_choice_is_a_word() {
        for (word, choice) in [
            ("auto", ToolChoice::Auto),
            ("tofu", ToolChoice::Exactly(Tool::OpenTofu)),
            ("terraform", ToolChoice::Exactly(Tool::Terraform)),
        ] {
            assert_eq!(word.parse(), Ok(choice));
            assert_eq!(choice.to_string(), word);
            assert_eq!(serde_json::from_value::<ToolChoice>(word.into()).unwrap(), choice);
            assert_eq!(serde_json::to_value(choice).unwrap(), word);
        }
    }
}
