//! What templates can call.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::builtin;
use crate::exec::Item;
use crate::limits::{Limit, Meter};
use crate::value::{Type, Value};

/// What a function takes and returns. Arguments are checked against it in Go's words before the function is called.
#[derive(Clone, Debug)]
pub struct Signature {
    pub(crate) params: Vec<Type>,
    pub(crate) rest: Option<Type>,
    pub(crate) result: Type,
}

impl Signature {
    /// A fixed number of parameters.
    pub fn new(params: &[Type], result: Type) -> Signature {
        Signature { params: params.to_vec(), rest: None, result }
    }

    /// Any number of arguments of this type may follow.
    pub fn with_rest(mut self, rest: Type) -> Signature {
        self.rest = Some(rest);
        self
    }

    /// The type of the argument at that place.
    pub(crate) fn param(&self, at: usize) -> Type {
        self.params.get(at).copied().or(self.rest).unwrap_or(Type::Any)
    }
}

/// Why a function did not return a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionError {
    /// It refused; the message is told with the place of the call.
    Refused(String),
    /// It would have taken too much.
    Limit(Limit),
}

impl From<String> for FunctionError {
    fn from(message: String) -> FunctionError {
        FunctionError::Refused(message)
    }
}

impl From<&str> for FunctionError {
    fn from(message: &str) -> FunctionError {
        FunctionError::Refused(message.to_owned())
    }
}

impl From<Limit> for FunctionError {
    fn from(limit: Limit) -> FunctionError {
        FunctionError::Limit(limit)
    }
}

/// What a function returns.
pub type Outcome = Result<Value, FunctionError>;

type Plain = Arc<dyn Fn(&mut Meter, &[Value]) -> Outcome + Send + Sync>;
pub(crate) type Raw = fn(&mut Meter, &[Item]) -> Result<Item, FunctionError>;

/// A function with its name.
pub(crate) struct Function {
    name: Arc<str>,
    pub(crate) signature: Signature,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Plain(Plain),
    /// Takes values as they are found, whatever their type (a `reflect.Value` in Go).
    Raw(Raw),
    /// These two do not evaluate what they do not need.
    And,
    Or,
    /// Calls a value that is a function, of which there are none.
    Call,
}

impl Function {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the arguments are taken as they are found.
    pub(crate) fn takes_anything(&self) -> bool {
        !matches!(self.body, Body::Plain(_))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Function {}", self.name)
    }
}

/// The functions that a template may call. Starts with those of the language.
#[derive(Clone)]
pub struct Functions {
    functions: HashMap<Arc<str>, Arc<Function>>,
}

impl Default for Functions {
    fn default() -> Functions {
        let mut functions = Functions { functions: HashMap::new() };
        builtin::add(&mut functions);
        functions
    }
}

impl Functions {
    /// Adds a function, in place of any other of its name. It gets as many arguments as the signature says, of its types.
    pub fn add(
        &mut self,
        name: &str,
        signature: Signature,
        call: impl Fn(&mut Meter, &[Value]) -> Outcome + Send + Sync + 'static,
    ) {
        self.insert(name, signature, Body::Plain(Arc::new(call)));
    }

    /// Whether there is a function of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    pub(crate) fn insert(&mut self, name: &str, signature: Signature, body: Body) {
        let name: Arc<str> = Arc::from(name);
        self.functions.insert(name.clone(), Arc::new(Function { name, signature, body }));
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.functions.get(name).cloned()
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} functions", self.functions.len())
    }
}
