//! The functions that rows of the table ask for.

use piton_gotmpl::{Element, Functions, List, Map, Outcome, Signature, Text, Type, Value};

/// Adds one of them.
pub fn add(functions: &mut Functions, name: &str) -> Result<(), String> {
    use Type::{Any, Int, Text};
    let (signature, call): (Signature, fn(&[Value]) -> Outcome) = match name {
        "add" => (Signature::new(&[], Int).with_rest(Int), |args| {
            Ok(Value::Int(args.iter().map(|arg| if let Value::Int(number) = arg { *number } else { 0 }).sum()))
        }),
        "contains" => (Signature::new(&[Text, Text], Type::Bool), |args| {
            Ok(Value::Bool(text_of(args, 0).contains(&text_of(args, 1))))
        }),
        "count" => (Signature::new(&[Int], Type::List(Element::Text)), |args| {
            let count = if let [Value::Int(count)] = args { *count } else { 0 };
            let letters = ('a'..='z').take(usize::try_from(count).unwrap_or(0));
            Ok(Value::List(List::of_texts(letters.map(|letter| letter.to_string()))))
        }),
        "dddArg" => (Signature::new(&[Int], Text).with_rest(Text), |args| {
            let texts: Vec<String> = (1..args.len()).map(|at| text_of(args, at)).collect();
            Ok(Value::from(format!("{} [{}]\n", number_of(args), texts.join(" "))))
        }),
        "die" => (Signature::new(&[], Type::Bool), |_| Err("die".into())),
        "echo" => (Signature::new(&[Any], Any), |args| Ok(args.first().cloned().unwrap_or_default())),
        "makemap" => (Signature::new(&[], Type::Map(Element::Text)).with_rest(Text), |args| {
            let map = Map::new(Element::Text);
            for at in (0..args.len()).step_by(2) {
                map.insert(text_of(args, at).into(), Value::from(text_of(args, at + 1)));
            }
            Ok(Value::Map(map))
        }),
        "mapOfThree" => (Signature::new(&[], Any), |_| {
            let map = Map::new(Element::Any);
            map.insert(self::Text::from("three"), Value::Int(3));
            Ok(Value::Map(map))
        }),
        "oneArg" => (Signature::new(&[Text], Text), |args| Ok(Value::from(format!("oneArg={}", text_of(args, 0))))),
        "returnInt" => (Signature::new(&[], Int), |_| Ok(Value::Int(7))),
        "twoArgs" => (Signature::new(&[Text, Text], Text), |args| {
            Ok(Value::from(format!("twoArgs={}{}", text_of(args, 0), text_of(args, 1))))
        }),
        "typeOf" => (Signature::new(&[Any], Text), |args| {
            Ok(Value::from(args.first().map(Value::type_name).unwrap_or_default()))
        }),
        "valueString" => (Signature::new(&[Text], Text), |_| Ok(Value::from("value is ignored"))),
        "zeroArgs" => (Signature::new(&[], Text), |_| Ok(Value::from("zeroArgs"))),
        other => return Err(format!("unknown helper function {other}")),
    };
    functions.add(name, signature, move |_, args| call(args));
    Ok(())
}

fn text_of(args: &[Value], at: usize) -> String {
    if let Some(Value::Text(text)) = args.get(at) { text.to_string() } else { String::new() }
}

fn number_of(args: &[Value]) -> i64 {
    if let Some(Value::Int(number)) = args.first() { *number } else { 0 }
}
