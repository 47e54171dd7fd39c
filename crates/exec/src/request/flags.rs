//! Which flags of `init` and `plan` a request may add. A list of what may pass, because every release of the tools adds
//! flags, and some of them read files, write files or fetch code. Pure.

use std::path::PathBuf;

use super::paths;

/// Flags as they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flags {
    /// One text, split as a shell would: quotes and escapes, and nothing else of a shell.
    Text(String),
    /// One text each.
    List(Vec<String>),
}

/// The command that gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// `init`
    Init,
    /// `plan`
    Plan,
}

/// A flag that may not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Where it stands, if the flags were a list.
    pub index: Option<usize>,
    /// What is wrong with it.
    pub problem: String,
}

/// Nobody mends more at once, and a request is not answered with many times its size.
const MOST: usize = 50;

/// How much of a flag is repeated.
const SHOWN: usize = 64;

/// What may stand behind a flag.
#[derive(Clone, Copy)]
enum Value {
    /// Nothing, `=true` or `=false`.
    Switch,
    /// Nothing or `=true`; the opposite is not for requests to ask.
    On,
    /// Anything that is not empty.
    Text,
    /// `NAME=VALUE`
    Variable,
    /// A whole number in this range.
    Number(u32, u32),
    /// As the tools write times: `90s`, `2m`.
    Time,
    /// One of these.
    Word(&'static [&'static str]),
    /// A setting of the backend, or a file of the repository with such settings.
    Backend,
    /// A file of the repository with values of variables.
    VarFile,
}

const INIT: &[(&str, Value)] = &[
    ("upgrade", Value::Switch),
    ("reconfigure", Value::On),
    ("backend-config", Value::Backend),
    ("get", Value::Switch),
    ("lockfile", Value::Word(&["readonly"])),
    ("lock-timeout", Value::Time),
    ("no-color", Value::On),
];

const PLAN: &[(&str, Value)] = &[
    ("compact-warnings", Value::Switch),
    ("concise", Value::Switch),
    ("consolidate-warnings", Value::Switch),
    ("consolidate-errors", Value::Switch),
    ("parallelism", Value::Number(1, 256)),
    ("refresh", Value::Switch),
    ("refresh-only", Value::Switch),
    ("target", Value::Text),
    ("exclude", Value::Text),
    ("replace", Value::Text),
    ("var", Value::Variable),
    ("var-file", Value::VarFile),
    ("lock-timeout", Value::Time),
    ("no-color", Value::On),
];

/// Why flags that people do try are refused, and what to do in place of them.
const REASONS: &[(&str, &str)] = &[
    ("destroy", "a destroy is asked for with the member `destroy`"),
    ("out", "the plan is kept by Piton"),
    ("json", "the output is read by Piton"),
    ("json-into", "the output is read by Piton"),
    ("input", "nobody is there to answer"),
    ("lock", "a state without its lock can be lost"),
    ("chdir", "the member `path` names the directory"),
    ("state", "the backend of the code says where the state is"),
    ("state-out", "the backend of the code says where the state is"),
    ("backup", "the backend of the code says where the state is"),
    ("backend", "the backend of the code says where the state is"),
    ("cloud", "the backend of the code says where the state is"),
    ("migrate-state", "each deployment begins in an empty directory: there is no state to move"),
    ("force-copy", "each deployment begins in an empty directory: there is no state to move"),
    ("auto-approve", "the member `auto_approve` says whether anybody is asked"),
    ("from-module", "the code comes from `git_url`"),
    ("plugin-dir", "plugins come from registries and mirrors"),
    ("generate-config-out", "it writes files"),
    ("detailed-exitcode", "it is set anyway"),
    ("show-sensitive", "secrets would be in the log"),
    ("config", "`plan` has no such flag"),
];

/// Settings of backends that are secrets, and would be on a command line and in the tool's files.
const SECRET_SETTINGS: &[&str] = &[
    "access_key",
    "access_token",
    "client_certificate_password",
    "client_private_key_pem",
    "client_secret",
    "conn_str",
    "credentials",
    "custom_ca_data",
    "encryption_key",
    "headers",
    "oidc_request_token",
    "oidc_token",
    "password",
    "private_key",
    "sas_token",
    "secret_id",
    "secret_key",
    "security_token",
    "sse_customer_key",
    "token",
];

/// Splits and checks flags: those that may pass, in their order and in one spelling, one dash and the value behind `=`;
/// or all that are wrong, not just the first. `directory` is where the command works, relative to the repository.
pub fn check(flags: &Flags, phase: Phase, directory: &str) -> Result<Vec<String>, Vec<Wrong>> {
    let (words, is_list) = match flags {
        Flags::List(words) => (words.clone(), true),
        Flags::Text(text) => (split(text).map_err(|problem| vec![Wrong { index: None, problem }])?, false),
    };
    let mut arguments = Vec::new();
    let mut wrong = Vec::new();
    let mut words = words.into_iter().enumerate().peekable();
    while let Some((index, word)) = words.next() {
        let found = match read(&word, phase) {
            Ok((name, kind, value)) => {
                // As the tools read it: what needs a value takes the next word.
                let value = match (kind, value) {
                    (Value::Switch | Value::On, value) | (_, value @ Some(_)) => value,
                    (_, None) => words.next().map(|(_, word)| word),
                };
                let argument = kind.argument(name, value, directory);
                argument.map(|argument| arguments.push(argument)).map_err(|problem| format!("`-{name}` {problem}"))
            }
            Err(problem) => {
                // Whether it has a value is not known here; a word behind it that is no flag most likely is that.
                if word.starts_with('-') && !word.contains('=') {
                    words.next_if(|(_, next)| !next.starts_with('-'));
                }
                Err(problem)
            }
        };
        if let Err(problem) = found {
            wrong.push(Wrong { index: is_list.then_some(index), problem });
            // What follows in a text may be the rest of a value that was not quoted, such as a secret's.
            while !is_list && words.next_if(|(_, next)| !next.starts_with('-')).is_some() {}
        }
        if wrong.len() == MOST {
            break;
        }
    }
    if wrong.is_empty() { Ok(arguments) } else { Err(wrong) }
}

/// A flag that may be asked for, what it takes, and what stands behind its `=`.
fn read(word: &str, phase: Phase) -> Result<(&'static str, Value, Option<String>), String> {
    let shown: String = word.chars().take(SHOWN).collect();
    let shown = shown.escape_debug();
    if word.chars().any(char::is_control) {
        return Err(format!("`{shown}` contains a line break or another control character"));
    }
    let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|flag| !flag.is_empty()) else {
        return Err(format!("`{shown}` is not a flag"));
    };
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (flag, None),
    };
    match phase.allowed().iter().find(|(allowed, _)| *allowed == name) {
        Some((name, kind)) => Ok((*name, *kind, value)),
        None => Err(phase.refusal(name)),
    }
}

/// The variable files of the repository among `arguments`, once checked.
pub fn var_files(arguments: &[String]) -> impl Iterator<Item = PathBuf> {
    arguments.iter().filter_map(|argument| argument.strip_prefix("-var-file=")).map(PathBuf::from)
}

/// The files of the repository that `arguments`, once checked, make `init` read.
pub fn files(arguments: &[String]) -> impl Iterator<Item = PathBuf> {
    let settings = arguments.iter().filter_map(|argument| argument.strip_prefix("-backend-config="));
    settings.filter(|setting| !setting.contains('=')).map(PathBuf::from)
}

/// A `#` begins no comment here, as it would for `shlex`: what is behind it must not be lost silently.
fn split(text: &str) -> Result<Vec<String>, String> {
    const STAND_IN: char = '\u{fdd0}';
    if text.contains(['\n', '\r', '\0']) {
        return Err("it contains a line break or another control character".to_owned());
    }
    if text.contains(STAND_IN) {
        return Err("it contains a character that stands for nothing".to_owned());
    }
    let words = shlex::split(&text.replace('#', &STAND_IN.to_string())).ok_or("a quote is not closed")?;
    Ok(words.into_iter().map(|word| word.replace(STAND_IN, "#")).collect())
}

impl Phase {
    fn allowed(self) -> &'static [(&'static str, Value)] {
        match self {
            Phase::Init => INIT,
            Phase::Plan => PLAN,
        }
    }

    fn refusal(self, name: &str) -> String {
        let shown: String = name.chars().take(SHOWN).collect();
        let shown = shown.escape_debug();
        if let Some((_, reason)) = REASONS.iter().find(|(refused, _)| *refused == name) {
            return format!("`-{shown}` is not allowed: {reason}");
        }
        let (own, other) = match self {
            Phase::Init => ("init", Phase::Plan),
            Phase::Plan => ("plan", Phase::Init),
        };
        if other.allowed().iter().any(|(allowed, _)| *allowed == name) {
            return format!("`-{shown}` is not a flag of `{own}`");
        }
        let names: Vec<String> = self.allowed().iter().map(|(name, _)| format!("-{name}")).collect();
        format!("`-{shown}` is not allowed; those that are: {}", names.join(", "))
    }
}

impl Value {
    fn argument(self, name: &str, value: Option<String>, directory: &str) -> Result<String, String> {
        if value.as_ref().is_some_and(|value| value.chars().any(char::is_control)) {
            return Err("has a value with a line break or another control character".to_owned());
        }
        let plain = |value: String| format!("-{name}={value}");
        let needed = |value: Option<String>| value.filter(|value| !value.is_empty()).ok_or("needs a value");
        Ok(match self {
            Value::Switch => match value.as_deref() {
                None => format!("-{name}"),
                Some("true" | "false") => plain(value.unwrap_or_default()),
                Some(_) => return Err("takes `true` or `false`, behind a `=`".to_owned()),
            },
            Value::On => match value.as_deref() {
                None | Some("true") => format!("-{name}"),
                Some(_) => return Err("takes no value".to_owned()),
            },
            Value::Text => plain(needed(value)?),
            Value::Variable => {
                let value = needed(value)?;
                let name_given = value.split_once('=').map(|(name, _)| name).unwrap_or_default();
                if !is_identifier(name_given) {
                    return Err("takes NAME=VALUE".to_owned());
                }
                plain(value)
            }
            Value::Number(least, most) => match needed(value)?.parse::<u32>() {
                Ok(number) if (least..=most).contains(&number) => plain(number.to_string()),
                _ => return Err(format!("takes a number from {least} to {most}")),
            },
            Value::Time => {
                let value = needed(value)?;
                if !is_time(&value) {
                    return Err("takes a time such as 90s or 5m, of an hour at most".to_owned());
                }
                plain(value)
            }
            Value::Word(words) => match needed(value)? {
                word if words.contains(&word.as_str()) => plain(word),
                _ => return Err(format!("takes {}", words.join(" or "))),
            },
            Value::Backend => plain(backend(needed(value)?, directory)?),
            Value::VarFile => {
                let file = needed(value)?;
                paths::check_file(directory, &file)?;
                plain(file)
            }
        })
    }
}

fn backend(value: String, directory: &str) -> Result<String, String> {
    let Some((setting, content)) = value.split_once('=') else {
        paths::check_file(directory, &value)?;
        return Ok(value);
    };
    // `headers.x` sets one of a map.
    let base = setting.split('.').next().unwrap_or(setting);
    if !is_identifier(base) {
        return Err("takes NAME=VALUE, or a file of the repository".to_owned());
    }
    if SECRET_SETTINGS.contains(&base) {
        return Err(format!(
            "must not set `{setting}`, which is a secret: give it in `env_vars`, as the backend reads it"
        ));
    }
    // The local backend writes there. A backend's path that is no file is not absolute, either.
    if matches!(base, "path" | "workspace_dir") {
        paths::check_file(".", content).map_err(|problem| format!("must not set `{setting}` to that: {problem}"))?;
    }
    Ok(value)
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

fn is_time(text: &str) -> bool {
    if text == "0" {
        return true;
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        let Ok(number) = digits.parse::<f64>() else { return false };
        let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let Some((unit, factor)) = units.into_iter().find(|(unit, _)| after.starts_with(unit)) else { return false };
        seconds += number * factor;
        rest = after.strip_prefix(unit).unwrap_or_default();
    }
    !text.is_empty() && seconds <= 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(wrong: &[Wrong]) -> String {
        wrong.iter().map(|wrong| wrong.problem.as_str()).collect::<Vec<_>>().join("; ")
    }

    fn text(phase: Phase, text: &str) -> Result<Vec<String>, String> {
        check(&Flags::Text(text.to_owned()), phase, "env/prod").map_err(|wrong| told(&wrong))
    }

    #[test]
    fn what_is_allowed_passes_in_one_spelling() {
        let init = |flags| text(Phase::Init, flags).unwrap();
        assert_eq!(init(""), [""; 0]);
        assert_eq!(
            init("-upgrade -backend-config=bucket=my-tfstate"),
            ["-upgrade", "-backend-config=bucket=my-tfstate"]
        );
        assert_eq!(
            init("--upgrade  -backend-config \"bucket=my state\""),
            ["-upgrade", "-backend-config=bucket=my state"]
        );
        assert_eq!(
            init(r"-backend-config='key=a#b' -backend-config=key=a\ b"),
            ["-backend-config=key=a#b", "-backend-config=key=a b"]
        );
        assert_eq!(init("-backend-config=../prod.s3.tfbackend"), ["-backend-config=../prod.s3.tfbackend"]);
        assert_eq!(init("-backend-config=path=state/x.tfstate"), ["-backend-config=path=state/x.tfstate"]);
        assert_eq!(
            init("-reconfigure -lockfile=readonly -lock-timeout=1m30s -get=false"),
            ["-reconfigure", "-lockfile=readonly", "-lock-timeout=1m30s", "-get=false"]
        );
        let plan = |flags| text(Phase::Plan, flags).unwrap();
        assert_eq!(plan("-compact-warnings -parallelism=10"), ["-compact-warnings", "-parallelism=10"]);
        assert_eq!(plan("-parallelism 10 -refresh=false"), ["-parallelism=10", "-refresh=false"]);
        assert_eq!(
            plan(r#"-target='module.a["x y"]' -var 'a=b=c' -var=n="#),
            [r#"-target=module.a["x y"]"#, "-var=a=b=c", "-var=n="]
        );
        assert_eq!(text(Phase::Plan, "-var=x=#1 #c").unwrap_err(), "`#c` is not a flag");
    }

    #[test]
    fn variable_files_keep_their_place_among_the_variables() {
        let checked = text(Phase::Plan, "-var=a=1 --var-file ../common.tfvars -refresh=false -var=a=2").unwrap();
        assert_eq!(checked, ["-var=a=1", "-var-file=../common.tfvars", "-refresh=false", "-var=a=2"]);
        assert_eq!(var_files(&checked).collect::<Vec<_>>(), [PathBuf::from("../common.tfvars")]);
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for (phase, flags, named) in [
            (Phase::Init, "-plugin-dir=/tmp/x", "-plugin-dir"),
            (Phase::Init, "-from-module=git::https://x", "-from-module"),
            (Phase::Init, "-backend-config=path=../../x", "-backend-config"),
            (Phase::Init, "-backend-config=path=/etc/x", "-backend-config"),
            (Phase::Init, "-backend-config=workspace_dir=../x", "-backend-config"),
            (Phase::Init, "-backend-config=../../../x.hcl", "-backend-config"),
            (Phase::Init, "-backend-config=/etc/passwd", "-backend-config"),
            (Phase::Init, "-backend-config=secret_key=x", "secret_key"),
            (Phase::Init, "-backend-config=headers.Authorization=x", "headers.Authorization"),
            (Phase::Init, "-backend-config", "-backend-config"),
            (Phase::Init, "-backend=false", "-backend"),
            (Phase::Init, "-chdir=/", "-chdir"),
            (Phase::Init, "--chdir=/", "-chdir"),
            (Phase::Init, "-upgrade=maybe", "-upgrade"),
            (Phase::Init, "-upgrade '-plugin-dir=/tmp/x'", "-plugin-dir"),
            (Phase::Init, "-backend-config=bucket=a -plugin-dir=/x", "-plugin-dir"),
            (Phase::Init, "-lockfile=update", "-lockfile"),
            (Phase::Init, "-lock-timeout=-1s", "-lock-timeout"),
            (Phase::Init, "-lock-timeout=900h", "-lock-timeout"),
            (Phase::Init, "-lock=false", "-lock"),
            (Phase::Init, "-target=x", "-target"),
            (Phase::Init, "-migrate-state", "-migrate-state"),
            (Phase::Plan, "-out=x", "-out"),
            (Phase::Plan, "-out x", "-out"),
            (Phase::Plan, "-state=/x", "-state"),
            (Phase::Plan, "-var-file=/etc/x.tfvars", "-var-file"),
            (Phase::Plan, "-var-file=../../../x.tfvars", "-var-file"),
            (Phase::Plan, "-generate-config-out=x.tf", "-generate-config-out"),
            (Phase::Plan, "-destroy", "-destroy"),
            (Phase::Plan, "-destroy=true", "-destroy"),
            (Phase::Plan, "-json", "-json"),
            (Phase::Plan, "-input=true", "-input"),
            (Phase::Plan, "-auto-approve", "-auto-approve"),
            (Phase::Plan, "-parallelism=0", "-parallelism"),
            (Phase::Plan, "-parallelism=1e3", "-parallelism"),
            (Phase::Plan, "-target=", "-target"),
            (Phase::Plan, "-var x", "-var"),
            (Phase::Plan, "-var =x", "-var"),
            (Phase::Plan, "-refresh false", "false"),
            (Phase::Plan, "-upgrade", "-upgrade"),
            (Phase::Plan, "plan.out", "plan.out"),
            (Phase::Plan, "-", "-"),
            (Phase::Plan, "--", "--"),
            (Phase::Plan, "---destroy", "-destroy"),
            (Phase::Plan, "-DESTROY", "-DESTROY"),
            (Phase::Plan, "'-refresh=false", "quote"),
            (Phase::Plan, "-refresh=false; touch x", "-refresh"),
            (Phase::Plan, "-refresh=false\n-destroy", "line break"),
            (Phase::Plan, "$(touch x)", "$(touch"),
        ] {
            let refused = text(phase, flags).unwrap_err();
            assert!(refused.contains(named), "{flags}: {refused}");
        }
        let listed = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            told(&check(&Flags::List(words), Phase::Plan, ".").unwrap_err())
        };
        assert!(listed(&["-target=a b", "-out=x"]).contains("-out"));
        assert!(listed(&["-target=a\n-out=x"]).contains("line break"));
        assert!(listed(&["-target", "a\0b"]).contains("`-target` has a value with a line break"));
    }

    #[test]
    fn all_that_is_refused_is_told_with_its_place() {
        let places = |words: &[&str]| -> Vec<Option<usize>> {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            let wrong = check(&Flags::List(words), Phase::Plan, ".").unwrap_err();
            wrong.into_iter().map(|wrong| wrong.index).collect()
        };
        assert_eq!(places(&["-out=x", "-refresh=false", "-destroy", "-var-file=/etc/x"]), [Some(0), Some(2), Some(3)]);
        assert_eq!(places(&["-out", "x", "-destroy", "-parallelism", "0"]), [Some(0), Some(2), Some(3)]);
        assert_eq!(places(&["-refresh", "false", "-json"]), [Some(1), Some(2)], "a switch has no further word");
        assert_eq!(places(&["x"; 1000]).len(), MOST);
        let wrong = check(&Flags::Text("-out=x -refresh=false -destroy".to_owned()), Phase::Plan, ".").unwrap_err();
        assert_eq!(wrong.iter().map(|wrong| wrong.index).collect::<Vec<_>>(), [None, None]);
        assert!(told(&wrong).contains("-out") && told(&wrong).contains("-destroy"), "{wrong:?}");
        let told = text(Phase::Init, "-backend-config=secret_key=abc def ghi -chdir=/ -upgrade").unwrap_err();
        assert!(told.contains("secret_key") && told.contains("-chdir") && !told.contains("def"), "{told}");
    }

    #[test]
    fn files_of_init_are_found() {
        let arguments = ["-upgrade", "-backend-config=a=b", "-backend-config=x.hcl"].map(str::to_owned);
        assert_eq!(files(&arguments).collect::<Vec<_>>(), [PathBuf::from("x.hcl")]);
    }
}
