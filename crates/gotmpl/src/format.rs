//! Go's `fmt`: `print`, `println`, `printf`.
//!
//! Mistakes of a format are no errors but text in the output, such as `%!d(string=hi)`.

mod directive;
mod pad;

use crate::limits::{DEEPEST_VALUE, Limit, Meter};
use crate::value::{Element, Value};

pub(crate) use directive::sprintf_into;

/// Written in the place of nil.
const NIL: &[u8] = b"<nil>";

pub(crate) type Result<T = ()> = std::result::Result<T, Limit>;

/// What a directive asks for besides its verb.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`.
    plus_v: bool,
    /// `%#v`.
    sharp_v: bool,
}

/// Writes values into bytes.
pub(crate) struct Printer<'m> {
    out: Vec<u8>,
    meter: &'m mut Meter,
    flags: Flags,
    /// A value is being shown within the message about its wrong verb.
    erroring: bool,
    depth: usize,
}

impl<'m> Printer<'m> {
    pub(crate) fn into(out: Vec<u8>, meter: &'m mut Meter) -> Printer<'m> {
        Printer { out, meter, flags: Flags::default(), erroring: false, depth: 0 }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    fn write(&mut self, bytes: &[u8]) -> Result {
        self.make_room(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Refuses before it would be too much.
    fn make_room(&mut self, bytes: usize) -> Result {
        if self.out.len().saturating_add(bytes) > self.meter.memory_left() {
            return Err(Limit::Memory);
        }
        self.meter.spend(1 + bytes as u64 / 64)
    }

    fn bad_verb(&mut self, value: &Value, verb: char) -> Result {
        self.erroring = true;
        self.write(format!("%!{verb}(").as_bytes())?;
        if let Value::Nil = value {
            self.write(NIL)?;
        } else {
            self.write(value.type_name().as_bytes())?;
            self.write(b"=")?;
            self.value(value, 'v')?;
        }
        self.write(b")")?;
        self.erroring = false;
        Ok(())
    }

    /// Writes one argument.
    fn arg(&mut self, value: &Value, verb: char) -> Result {
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => self.pad(NIL),
            (Value::Nil, _) => self.bad_verb(value, verb),
            (_, 'T') => self.text(value.type_name().as_bytes()),
            // Addresses are nothing that a template should show.
            (_, 'p') => self.bad_verb(value, verb),
            _ => self.value(value, verb),
        }
    }

    fn value(&mut self, value: &Value, verb: char) -> Result {
        match value {
            Value::Nil => self.write(NIL),
            Value::Bool(flag) => match verb {
                't' | 'v' => self.pad(if *flag { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(number) | Value::Int64(number) => self.integer_verb(value, *number as u64, true, verb),
            Value::Byte(number) => self.integer_verb(value, u64::from(*number), false, verb),
            Value::Float(number) => self.float_verb(value, *number, verb),
            Value::Text(text) => self.text_verb(value, text.as_bytes(), verb),
            Value::Object(object) => match (verb, object.integer()) {
                ('v' | 's' | 'x' | 'X' | 'q', _) => self.text_verb(value, object.text().as_bytes(), verb),
                (_, Some(number)) => self.integer_verb(value, number as u64, true, verb),
                _ => self.bad_verb(value, verb),
            },
            Value::List(_) | Value::Map(_) => self.collection(value, verb),
        }
    }

    fn collection(&mut self, value: &Value, verb: char) -> Result {
        if verb == 'w' && !self.erroring {
            return self.bad_verb(value, verb);
        }
        if self.depth >= DEEPEST_VALUE {
            return Err(Limit::Depth);
        }
        self.depth += 1;
        match value {
            Value::List(list) => {
                self.open(value, b"[", list.is_nil())?;
                if !(self.flags.sharp_v && list.is_nil()) {
                    for (at, item) in list.items().iter().enumerate() {
                        self.separate(at)?;
                        self.element(item, list.element(), verb)?;
                    }
                    self.close()?;
                }
            }
            Value::Map(map) => {
                self.open(value, b"map[", false)?;
                for (at, (key, item)) in map.entries().iter().enumerate() {
                    self.separate(at)?;
                    self.text_verb(&Value::Text(key.clone()), key.as_bytes(), verb)?;
                    self.write(b":")?;
                    self.element(item, map.element(), verb)?;
                }
                self.close()?;
            }
            _ => {}
        }
        self.depth -= 1;
        Ok(())
    }

    fn open(&mut self, value: &Value, plain: &[u8], nil: bool) -> Result {
        if !self.flags.sharp_v {
            return self.write(plain);
        }
        self.write(value.type_name().as_bytes())?;
        self.write(if nil { b"(nil)" } else { b"{" })
    }

    fn separate(&mut self, at: usize) -> Result {
        match at {
            0 => Ok(()),
            _ if self.flags.sharp_v => self.write(b", "),
            _ => self.write(b" "),
        }
    }

    fn close(&mut self) -> Result {
        self.write(if self.flags.sharp_v { b"}" } else { b"]" })
    }

    fn element(&mut self, value: &Value, element: Element, verb: char) -> Result {
        if matches!(value, Value::Nil) && self.flags.sharp_v && element == Element::Any {
            return self.write(b"interface {}(nil)");
        }
        self.value(value, verb)
    }
}

/// Writes a value as `print` does.
pub(crate) fn print_value(printer: &mut Printer<'_>, value: &Value) -> Result {
    printer.flags = Flags::default();
    printer.arg(value, 'v')
}

/// `fmt.Sprint`: spaces between values neither of which is a string.
pub(crate) fn sprint(meter: &mut Meter, values: &[Value]) -> Result<Vec<u8>> {
    let mut printer = Printer::into(Vec::new(), meter);
    let mut after_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !is_text && !after_text {
            printer.write(b" ")?;
        }
        print_value(&mut printer, value)?;
        after_text = is_text;
    }
    Ok(printer.finish())
}

/// `fmt.Sprintln`: spaces between all values, and a newline.
pub(crate) fn sprintln(meter: &mut Meter, values: &[Value]) -> Result<Vec<u8>> {
    let mut printer = Printer::into(Vec::new(), meter);
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            printer.write(b" ")?;
        }
        print_value(&mut printer, value)?;
    }
    printer.write(b"\n")?;
    Ok(printer.finish())
}

/// A value as `%v` prints it.
pub(crate) fn shown(meter: &mut Meter, value: &Value) -> Result<Vec<u8>> {
    let mut printer = Printer::into(Vec::new(), meter);
    print_value(&mut printer, value)?;
    Ok(printer.finish())
}

/// `fmt.Sprintf`.
pub fn sprintf(meter: &mut Meter, format: &[u8], values: &[Value]) -> std::result::Result<Vec<u8>, Limit> {
    let mut printer = Printer::into(Vec::new(), meter);
    sprintf_into(&mut printer, format, values)?;
    Ok(printer.finish())
}
