//! The text of a job message becomes a [`Job`], or a list of what is wrong with it.
//!
//! Pure. Whatever the bytes are, reading them ends, with every mistake named by its path in the text. A message that is
//! refused stays refused: trying it again cannot help.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole message.
    pub bytes: usize,
    /// Characters of a name.
    pub name: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 1024 * 1024, name: 200 }
    }
}

/// The name of a run, chosen by whoever sent the message. The same name means the same run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    const LONGEST: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no [`RunId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} characters of A-Z a-z 0-9 . _ : -", RunId::LONGEST)]
pub struct InvalidRunId;

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<RunId, InvalidRunId> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
        let valid = !text.is_empty() && text.len() <= RunId::LONGEST && text.chars().all(fine);
        valid.then(|| RunId(text.to_owned())).ok_or(InvalidRunId)
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(text: String) -> Result<RunId, InvalidRunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0
    }
}

/// Words of a message that stand for one of a few things.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$meaning])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word in messages.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The one that a word stands for.
            pub fn from_word(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    };
}

words! {
    /// What is provisioned.
    JobType {
        /// A system.
        System = "system",
        /// A component of one.
        Component = "component",
    }
}

words! {
    /// Who hosts the repository.
    Provider {
        /// GitLab.
        Gitlab = "gitlab",
        /// GitHub.
        Github = "github",
        /// Gitea.
        Gitea = "gitea",
        /// Forgejo.
        Forgejo = "forgejo",
        /// A server that knows nothing but git.
        Git = "git",
    }
}

words! {
    /// Who may see the repository.
    Visibility {
        /// Its members.
        Private = "private",
        /// Everybody who is logged in.
        Internal = "internal",
        /// Everybody.
        Public = "public",
    }
}

/// A job, as its message says it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// The run that it is.
    pub run_id: RunId,
    /// What is provisioned.
    #[serde(rename = "type")]
    pub job_type: JobType,
    /// What is made of what.
    pub blueprint: Blueprint,
    /// Where it goes.
    pub git_config: GitConfig,
}

/// What is made of what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blueprint {
    /// The name of the template.
    pub template: String,
    /// The name of what is made.
    pub name: String,
    /// The group it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What the template is given.
    pub values: Map<String, Value>,
}

/// Where the repository is made. What is missing is the worker's to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GitConfig {
    /// Who hosts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// The group there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Who may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

/// A message that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The job.
    pub job: Job,
    /// Paths of fields that mean nothing here. They are ignored.
    pub unknown: Vec<String>,
}

/// Why a message is no job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is larger than what is read.
    #[error("the message has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        limit: usize,
    },
    /// It is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// Fields are missing or wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields(Vec<Mistake>),
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {problem}")]
pub struct Mistake {
    /// Where, as `blueprint.name`.
    pub path: String,
    /// What.
    pub problem: String,
}

/// Reads a message.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Read, Refusal> {
    if bytes.len() > limits.bytes {
        return Err(Refusal::TooLarge { bytes: bytes.len(), limit: limits.bytes });
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| Refusal::NotJson(error.to_string()))?;
    let Value::Object(fields) = value else {
        return Err(Refusal::NotJson("the message is not an object".to_owned()));
    };
    let mut reader = Reader { limits, mistakes: Vec::new(), unknown: Vec::new() };
    let job = reader.job(fields);
    let Reader { mistakes, unknown, .. } = reader;
    match job {
        Some(job) if mistakes.is_empty() => Ok(Read { job, unknown }),
        _ => Err(Refusal::Fields(mistakes)),
    }
}

/// The kind of job that a message says it is, without reading the rest. None if it says nothing that is understood:
/// then whoever takes it will say what is wrong.
pub fn peek_type(bytes: &[u8]) -> Option<JobType> {
    #[derive(Deserialize)]
    struct Peek {
        #[serde(rename = "type")]
        job_type: JobType,
    }
    serde_json::from_slice(bytes).ok().map(|peek: Peek| peek.job_type)
}

/// The run that a message says it is, without reading the rest.
pub fn peek_run_id(bytes: &[u8]) -> Option<RunId> {
    #[derive(Deserialize)]
    struct Peek {
        run_id: RunId,
    }
    serde_json::from_slice(bytes).ok().map(|peek: Peek| peek.run_id)
}

struct Reader {
    limits: Limits,
    mistakes: Vec<Mistake>,
    unknown: Vec<String>,
}

impl Reader {
    fn job(&mut self, mut fields: Map<String, Value>) -> Option<Job> {
        let run_id = self.run_id(fields.remove("run_id"));
        let job_type = self.required(fields.remove("type"), "type").and_then(|value| self.job_type(&value));
        let blueprint = match fields.remove("blueprint") {
            Some(Value::Object(fields)) => self.blueprint(fields),
            other => self.no_object(other.as_ref(), "blueprint"),
        };
        let git_config = match fields.remove("git_config") {
            None | Some(Value::Null) => Some(GitConfig::default()),
            Some(Value::Object(fields)) => Some(self.git_config(fields)),
            other => self.no_object(other.as_ref(), "git_config"),
        };
        self.rest(&fields, "");
        Some(Job { run_id: run_id?, job_type: job_type?, blueprint: blueprint?, git_config: git_config? })
    }

    fn run_id(&mut self, value: Option<Value>) -> Option<RunId> {
        let text = self.required(value, "run_id").and_then(|value| self.text(value, "run_id"))?;
        text.parse().map_err(|InvalidRunId| self.mistake("run_id", InvalidRunId.to_string())).ok()
    }

    fn job_type(&mut self, value: &Value) -> Option<JobType> {
        self.word(value, "type", JobType::from_word, JobType::ALL.iter().map(|one| one.as_str()))
    }

    fn blueprint(&mut self, mut fields: Map<String, Value>) -> Option<Blueprint> {
        let template = self.name(fields.remove("template"), "blueprint.template");
        let name = self.name(fields.remove("name"), "blueprint.name");
        let namespace = match fields.remove("namespace") {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) if text.is_empty() => Some(None),
            given => self.name(given, "blueprint.namespace").map(Some),
        };
        let values = match fields.remove("values") {
            None | Some(Value::Null) => Some(Map::new()),
            Some(Value::Object(values)) => {
                for (key, value) in &values {
                    self.without_nul(value, key, &format!("blueprint.values.{key}"));
                }
                Some(values)
            }
            other => self.no_object(other.as_ref(), "blueprint.values"),
        };
        self.rest(&fields, "blueprint.");
        Some(Blueprint { template: template?, name: name?, namespace: namespace?, values: values? })
    }

    fn git_config(&mut self, mut fields: Map<String, Value>) -> GitConfig {
        let provider = given(fields.remove("provider")).and_then(|value| {
            let words = Provider::ALL.iter().map(|one| one.as_str());
            self.word(&value, "git_config.provider", Provider::from_word, words)
        });
        let visibility = given(fields.remove("visibility")).and_then(|value| {
            let words = Visibility::ALL.iter().map(|one| one.as_str());
            self.word(&value, "git_config.visibility", Visibility::from_word, words)
        });
        let group_id = match given(fields.remove("group_id")) {
            // GitLab's own API answers with numbers.
            Some(Value::Number(number)) if number.is_u64() => Some(number.to_string()),
            Some(Value::String(text)) if text.is_empty() => None,
            Some(value) => self.name(Some(value), "git_config.group_id"),
            None => None,
        };
        self.rest(&fields, "git_config.");
        GitConfig { provider, group_id, visibility }
    }

    fn required(&mut self, value: Option<Value>, path: &str) -> Option<Value> {
        let value = given(value);
        if value.is_none() {
            self.mistake(path, "is missing");
        }
        value
    }

    fn text(&mut self, value: Value, path: &str) -> Option<String> {
        match value {
            Value::String(text) => Some(text),
            other => {
                self.mistake(path, format!("must be text, not {}", kind(&other)));
                None
            }
        }
    }

    fn name(&mut self, value: Option<Value>, path: &str) -> Option<String> {
        let text = self.required(value, path).and_then(|value| self.text(value, path))?;
        let problem = if text.trim().is_empty() {
            "is empty".to_owned()
        } else if text.chars().count() > self.limits.name {
            format!("has more than {} characters", self.limits.name)
        } else if text.chars().any(char::is_control) {
            "has control characters".to_owned()
        } else {
            return Some(text);
        };
        self.mistake(path, problem);
        None
    }

    fn word<'a, T>(
        &mut self,
        value: &Value,
        path: &str,
        from_word: impl Fn(&str) -> Option<T>,
        words: impl Iterator<Item = &'a str>,
    ) -> Option<T> {
        let found = value.as_str().and_then(from_word);
        if found.is_none() {
            let words: Vec<&str> = words.collect();
            self.mistake(path, format!("must be one of {}", words.join(", ")));
        }
        found
    }

    fn no_object<T>(&mut self, value: Option<&Value>, path: &str) -> Option<T> {
        match value {
            None | Some(Value::Null) => self.mistake(path, "is missing"),
            Some(other) => self.mistake(path, format!("must be an object, not {}", kind(other))),
        }
        None
    }

    /// No database keeps NUL in JSON; better said here than by one.
    fn without_nul(&mut self, value: &Value, key: &str, path: &str) {
        let fine = match value {
            Value::String(text) => !text.contains('\0'),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.without_nul(item, "", &format!("{path}[{index}]"));
                }
                true
            }
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.without_nul(value, key, &format!("{path}.{key}"));
                }
                true
            }
            _ => true,
        };
        if !fine || key.contains('\0') {
            self.mistake(&path.replace('\0', "\u{fffd}"), "has the character NUL");
        }
    }

    fn rest(&mut self, fields: &Map<String, Value>, prefix: &str) {
        self.unknown.extend(fields.keys().map(|key| format!("{prefix}{key}")));
    }

    fn mistake(&mut self, path: &str, problem: impl Into<String>) {
        self.mistakes.push(Mistake { path: path.to_owned(), problem: problem.into() });
    }
}

fn given(value: Option<Value>) -> Option<Value> {
    value.filter(|value| !value.is_null())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
