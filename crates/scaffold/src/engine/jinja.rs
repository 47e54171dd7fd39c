//! Jinja2: minijinja, taught what real templates use.

mod filters;
mod json;
mod layout;
mod methods;
mod python;
mod text;
mod yaml;

use std::error::Error as _;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use piton_gotmpl::Place;

use super::sink::Sink;
use super::stack::MOST_FUEL;
use super::{Missing, Origin};
use crate::blueprint::Settings;
use crate::data::Data;
use crate::declaration::Delimiters;
use crate::error::{Problem, Trouble};
use crate::limits::{Budget, too_much};

/// How much of minijinja's recursion limit an include takes.
const INCLUDE: usize = 10;

pub(super) struct Compiler {
    environment: Environment<'static>,
}

/// All templates, compiled.
#[derive(Debug)]
pub(super) struct Engine {
    environment: Environment<'static>,
}

impl Compiler {
    pub(super) fn new(missing: Missing, settings: &Settings) -> Compiler {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(match missing {
            Missing::Error => UndefinedBehavior::Strict,
            Missing::Zero | Missing::Default => UndefinedBehavior::Lenient,
        });
        // Files are not HTML.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(python::format);
        environment.set_unknown_method_callback(methods::call);
        environment.set_fuel(Some(settings.limits.fuel.min(MOST_FUEL)));
        // It would print what the engine knows of itself.
        environment.remove_global("debug");
        environment.set_recursion_limit(settings.limits.depth.saturating_mul(INCLUDE));
        // For the columns of errors.
        environment.set_debug(true);
        environment.set_path_join_callback(join);
        filters::add(&mut environment, &settings.surroundings);
        Compiler { environment }
    }

    pub(super) fn compile(
        &mut self,
        origin: &Origin,
        text: &str,
        delimiters: Option<&Delimiters>,
    ) -> Result<(), Problem> {
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(!matches!(origin, Origin::Condition { .. } | Origin::Default { .. }));
        if let Some(Delimiters { left, right }) = delimiters {
            syntax.variable_delimiters(left.clone(), right.clone());
        }
        let syntax = syntax.build().map_err(|error| failed(origin, &error, Trouble::Declaration))?;
        self.environment.set_syntax(syntax);
        let added = self.environment.add_template_owned(origin.name(), text.to_owned());
        added.map_err(|error| failed(origin, &error, Trouble::Syntax))
    }

    pub(super) fn finish(self) -> Engine {
        Engine { environment: self.environment }
    }
}

impl Engine {
    pub(super) fn render(&self, origin: &Origin, data: &Data, budget: &Budget<'_>) -> Result<Vec<u8>, Problem> {
        let template = self.environment.get_template(&origin.name());
        let template = template.map_err(|error| failed(origin, &error, Trouble::Rendering))?;
        let mut sink = Sink::new(budget.bytes_left(), budget.interrupt());
        let rendered = template.render_captured_to(data.jinja.clone(), &mut sink).map(drop);
        match rendered {
            Ok(()) => Ok(sink.into_bytes()),
            Err(_) if sink.full => Err(origin.tell(too_much(budget.limits.workspace_size), None)),
            Err(error) => {
                budget.check().map_err(|problem| origin.tell(problem, None))?;
                Err(failed(origin, &error, Trouble::Rendering))
            }
        }
    }
}

/// What is included by `./…` and `../…` lies beside the file that says so; all else is a path in the blueprint. Nothing
/// but templates of the blueprint is found by any of them.
fn join<'a>(name: &'a str, parent: &str) -> std::borrow::Cow<'a, str> {
    if !name.starts_with("./") && !name.starts_with("../") {
        return name.into();
    }
    let mut names: Vec<&str> =
        Path::new(parent).parent().and_then(Path::to_str).unwrap_or_default().split('/').collect();
    names.retain(|name| !name.is_empty());
    for part in name.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(names.pop()),
            part => names.push(part),
        }
    }
    names.join("/").into()
}

/// Tells what is innermost: an error in what was included, not that it was included.
fn failed(origin: &Origin, error: &minijinja::Error, trouble: Trouble) -> Problem {
    let mut innermost = error;
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(inner) = inner.downcast_ref::<minijinja::Error>() {
            innermost = inner;
        }
        source = inner.source();
    }
    let detail = innermost.detail().unwrap_or_default();
    let (trouble, hint) = match innermost.kind() {
        ErrorKind::OutOfFuel => (Trouble::Budget, Some("is there a loop without an end?")),
        ErrorKind::InvalidOperation if detail.contains("recursion limit") => (Trouble::Budget, None),
        ErrorKind::SyntaxError => (Trouble::Syntax, None),
        ErrorKind::UndefinedError => (trouble, Some("declare it, give it a value, or use the filter `default`")),
        ErrorKind::TemplateNotFound => {
            (trouble, Some("only templates of the blueprint can be included, by their path"))
        }
        _ => (trouble, None),
    };
    let message =
        if detail.is_empty() { innermost.kind().to_string() } else { format!("{}: {detail}", innermost.kind()) };
    let problem = Problem::new(trouble, message);
    let problem = match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    };
    let place = innermost.line().map(|line| {
        let name = innermost.name().map_or_else(|| origin.name(), str::to_owned);
        let text = innermost.template_source().unwrap_or_default();
        let start = innermost.range().map_or(0, |range| range.start).min(text.len());
        let before = &text.as_bytes()[..start];
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        Place { name, line, column }
    });
    origin.tell(problem, place)
}
