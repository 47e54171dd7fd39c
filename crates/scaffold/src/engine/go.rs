//! Go's templates: the seam to `piton-gotmpl`.

use piton_gotmpl::{ExecError, Functions, Limit, Limits, MissingKey, Options, ParseError, Place, Value};

use super::{Missing, Origin};
use crate::blueprint::Settings;
use crate::data::Data;
use crate::declaration::Delimiters;
use crate::error::{Problem, Trouble};
use crate::limits::{Budget, too_much};

/// Bytes of the values that one template may make.
const MEMORY: usize = 256 << 20;

/// A compiled template, with the partials that it may call.
#[derive(Debug)]
pub(super) struct Template {
    template: piton_gotmpl::Template,
    name: String,
}

pub(super) struct Compiler {
    options: Options,
    /// What is known to every template.
    base: Option<piton_gotmpl::Template>,
}

impl Compiler {
    pub(super) fn new(missing: Missing, settings: &Settings) -> Compiler {
        let missing_key = match missing {
            Missing::Error => MissingKey::Error,
            Missing::Zero => MissingKey::Zero,
            Missing::Default => MissingKey::Default,
        };
        let functions = Functions::sprig(&settings.surroundings);
        Compiler { options: Options { functions, missing_key, ..Options::default() }, base: None }
    }

    pub(super) fn add_partial(&mut self, origin: &Origin, text: &str) -> Result<(), Problem> {
        self.base = Some(self.with(origin, text, &self.options)?);
        Ok(())
    }

    pub(super) fn compile(
        &mut self,
        origin: &Origin,
        text: &str,
        delimiters: Option<&Delimiters>,
    ) -> Result<Template, Problem> {
        let template = match delimiters {
            None => self.with(origin, text, &self.options)?,
            Some(Delimiters { left, right }) => {
                let options = Options { left: left.clone(), right: right.clone(), ..self.options.clone() };
                self.with(origin, text, &options)?
            }
        };
        Ok(Template { template, name: origin.name() })
    }

    fn with(&self, origin: &Origin, text: &str, options: &Options) -> Result<piton_gotmpl::Template, Problem> {
        let name = origin.name();
        let parsed = match &self.base {
            None => piton_gotmpl::Template::parse(&name, text, options),
            Some(base) => {
                let mut template = base.clone();
                template.add(&name, text, options).map(|()| template)
            }
        };
        parsed.map_err(|error| syntax(origin, error))
    }
}

fn syntax(origin: &Origin, error: ParseError) -> Problem {
    let place = Place { name: error.name, line: error.line, column: 0 };
    let mut problem = origin.tell(Problem::new(Trouble::Syntax, error.message), Some(place));
    // The parser knows no columns.
    problem.column = None;
    problem
}

impl Template {
    pub(super) fn render(&self, origin: &Origin, data: &Data, budget: &Budget<'_>) -> Result<Vec<u8>, Problem> {
        let limits = budget.limits;
        let limits = Limits {
            steps: limits.fuel,
            output: usize::try_from(budget.bytes_left()).unwrap_or(usize::MAX),
            memory: MEMORY.min(usize::try_from(limits.fuel.saturating_mul(64)).unwrap_or(MEMORY)),
            depth: limits.depth,
            interrupt: Some(budget.interrupt()),
        };
        let mut bytes = Vec::new();
        match self.template.render_named(&self.name, &Value::from(&data.go), &mut bytes, &limits) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(failed(origin, error, budget)),
        }
    }
}

fn failed(origin: &Origin, error: ExecError, budget: &Budget<'_>) -> Problem {
    match error {
        ExecError::Failed { place, context, message, .. } => {
            let hint = message.contains("map has no entry for key").then_some("declare it, or give it a value");
            let problem = Problem::new(Trouble::Rendering, format!("<{context}>: {message}"));
            let problem = match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            };
            origin.tell(problem, Some(place))
        }
        ExecError::Limit { place, limit, context, .. } => match limit {
            Limit::Output => origin.tell(too_much(budget.limits.workspace_size), Some(place)),
            Limit::Interrupted => match budget.check() {
                Err(problem) => origin.tell(problem, Some(place)),
                Ok(()) => origin.tell(Problem::new(Trouble::Interrupted, "the rendering was interrupted"), Some(place)),
            },
            limit => origin.tell(Problem::new(Trouble::Budget, format!("<{context}>: {limit}")), Some(place)),
        },
        error @ (ExecError::Unknown { .. } | ExecError::Write(_)) => {
            origin.tell(Problem::new(Trouble::Rendering, error.to_string()), None)
        }
    }
}
