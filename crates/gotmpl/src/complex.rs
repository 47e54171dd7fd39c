//! Complex constants, which Go's language has and nothing but printing does anything with.

use crate::number::float::format;
use crate::value::{Object, Value};

#[derive(Debug, PartialEq)]
struct Complex {
    real: f64,
    imaginary: f64,
}

pub(crate) fn value(real: f64, imaginary: f64) -> Value {
    Value::Object(std::rc::Rc::new(Complex { real, imaginary }))
}

impl Object for Complex {
    fn type_name(&self) -> &'static str {
        "complex128"
    }

    fn kind(&self) -> &'static str {
        "complex128"
    }

    fn text(&self) -> String {
        let imaginary = format(self.imaginary, 'g', None);
        let sign = if imaginary.starts_with(['+', '-']) { "" } else { "+" };
        format!("({}{sign}{imaginary}i)", format(self.real, 'g', None))
    }

    fn equals(&self, other: &dyn Object) -> bool {
        let other: &dyn std::any::Any = other;
        other.downcast_ref::<Complex>() == Some(self)
    }
}
