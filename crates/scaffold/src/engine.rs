//! The two template languages behind one face.

mod go;
mod jinja;
mod origin;
mod sink;

use serde::Deserialize;

use crate::blueprint::Settings;
use crate::data::Data;
use crate::declaration::Delimiters;
use crate::error::{Error, Problem};
use crate::limits::Budget;

pub(crate) use origin::Origin;

/// A template language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Go's `text/template` with sprig.
    #[default]
    Go,
    /// Jinja2.
    Jinja,
}

/// What an undefined value is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// A mistake.
    #[default]
    Error,
    /// Go: the zero of the map's elements. Jinja2: nothing.
    Zero,
    /// What the language makes of it when nobody says. Go: `<no value>`. Jinja2: nothing.
    Default,
}

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Program {
    origin: Origin,
    code: Code,
}

#[derive(Debug)]
enum Code {
    Go(Box<go::Template>),
    /// It lies in the environment, under the name of its origin.
    Jinja,
}

/// Compiles the templates of a blueprint, which may call one another.
pub(crate) struct Compiler {
    go: go::Compiler,
    jinja: jinja::Compiler,
}

impl Compiler {
    pub(crate) fn new(missing: Missing, settings: &Settings) -> Compiler {
        Compiler { go: go::Compiler::new(missing, settings), jinja: jinja::Compiler::new(missing, settings) }
    }

    /// Makes a text known to all templates of its language; in Go, to those that are compiled later.
    pub(crate) fn add_partial(&mut self, engine: Engine, path: &str, text: &str) -> Result<(), Problem> {
        let origin = Origin::File(path.to_owned());
        match engine {
            Engine::Go => self.go.add_partial(&origin, text),
            Engine::Jinja => self.jinja.compile(&origin, text, None),
        }
    }

    pub(crate) fn compile(
        &mut self,
        engine: Engine,
        origin: Origin,
        text: &str,
        delimiters: Option<&Delimiters>,
    ) -> Result<Program, Problem> {
        let code = match engine {
            Engine::Go => Code::Go(Box::new(self.go.compile(&origin, text, delimiters)?)),
            Engine::Jinja => {
                self.jinja.compile(&origin, text, delimiters)?;
                Code::Jinja
            }
        };
        Ok(Program { origin, code })
    }

    pub(crate) fn finish(self) -> Engines {
        Engines { jinja: self.jinja.finish() }
    }
}

/// What compiled templates run in.
#[derive(Debug)]
pub(crate) struct Engines {
    jinja: jinja::Engine,
}

impl Engines {
    /// Renders a template into at most as many bytes as are left. Each rendering starts with fresh data, so none sees
    /// what another did to it.
    pub(crate) fn render(&self, program: &Program, data: &Data, budget: &Budget<'_>) -> Result<Vec<u8>, Problem> {
        budget.check()?;
        match &program.code {
            Code::Go(template) => template.render(&program.origin, data, budget),
            Code::Jinja => self.jinja.render(&program.origin, data, budget),
        }
    }

    pub(crate) fn render_text(&self, program: &Program, data: &Data, budget: &Budget<'_>) -> Result<String, Problem> {
        let bytes = self.render(program, data, budget)?;
        // Go can cut characters in half.
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}

/// Renders one text over `data`, which is Go's dot, and whose fields are Jinja2's variables.
pub fn eval(engine: Engine, text: &str, data: &Data, missing: Missing, settings: &Settings) -> Result<Vec<u8>, Error> {
    let mut compiler = Compiler::new(missing, settings);
    let program = compiler.compile(engine, Origin::Text, text, None)?;
    let budget = Budget::new(&settings.limits);
    Ok(compiler.finish().render(&program, data, &budget)?)
}
