//! Random templates, rendered here and by Go itself.
//!
//! Runs where `PITON_TEST_GO` is set: to a number of rounds, or to anything for a few. It needs `go` on the `PATH` and,
//! the first time, the network for sprig. `PITON_TEST_GO_SEED` makes it do the same again.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use piton_gotmpl::{Limits, MissingKey, Options, Template, Value};
use serde_json::{Value as Json, json};

use super::{seed, sprig};

/// As random as a test has to be.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

const TEXTS: &[&str] = &["a", "text ", "\n", "  ", "é", "{", "}", "-", "日本\n  x", "\"", "\t"];
const CONSTANTS: &[&str] = &[
    "0",
    "1",
    "2",
    "-3",
    "7",
    "1.5",
    "-0.25",
    "1e6",
    "1e21",
    "2.0",
    "0x1F",
    "017",
    "0b11",
    "1_000",
    "'a'",
    "'\\n'",
    "true",
    "false",
    "\"\"",
    "\"abc\"",
    "\"a b\"",
    "\"é日\"",
    "`raw`",
    "\"1.50\"",
    "\"12\"",
    "\"2006-01-02\"",
    "\"\\x41\\u00e9\"",
    "\"a,b,c\"",
    "\"FooBar baz_qux\"",
    "\"HTTPServer2go\"",
    "nil",
    "\"%d\"",
    "\"%v|%5v|%-5v|\"",
    "\"%q %x\"",
    "\"[a-c]+\"",
    "\"1.2.3\"",
    "\"^1.2\"",
    "100000000000000000000",
    "1i",
    "\"/a/../b//c.txt\"",
    "\"http://u:p@h:80/p?q#f\"",
];
const DATA: &[&str] = &[
    ".",
    ".s",
    ".n",
    ".f",
    ".l",
    ".m",
    ".b",
    ".nil",
    ".none",
    ".m.a",
    ".m.x",
    ".m.m.deep",
    ".l.x",
    ".s.x",
    ".none.x",
    ".nil.x",
    "$",
    "$.n",
    "$.m.m",
    ".empty",
    ".big",
    ".strs",
    ".neg",
];
const FUNCTIONS: &[&str] = &[
    "print",
    "println",
    "printf \"%v\"",
    "printf \"%5.2f\"",
    "printf \"%T\"",
    "printf \"%#v\"",
    "printf \"%q\"",
    "printf \"%08.3f|%+d|%x\"",
    "printf \"%s\"",
    "printf \"%d\"",
    "printf \"%t\"",
    "printf",
    "len",
    "index",
    "slice",
    "not",
    "and",
    "or",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "html",
    "js",
    "urlquery",
    "call",
    // sprig
    "upper",
    "lower",
    "title",
    "untitle",
    "trunc",
    "trim",
    "trimAll",
    "trimSuffix",
    "trimPrefix",
    "substr",
    "nospace",
    "initials",
    "swapcase",
    "snakecase",
    "camelcase",
    "kebabcase",
    "wrap",
    "wrapWith",
    "abbrev",
    "abbrevboth",
    "contains",
    "hasPrefix",
    "hasSuffix",
    "quote",
    "squote",
    "cat",
    "indent",
    "nindent",
    "replace",
    "plural",
    "sha1sum",
    "adler32sum",
    "toString",
    "atoi",
    "int",
    "int64",
    "float64",
    "seq",
    "toDecimal",
    "split",
    "splitList",
    "splitn",
    "toStrings",
    "until",
    "untilStep",
    "add1",
    "add",
    "sub",
    "div",
    "mod",
    "mul",
    "add1f",
    "addf",
    "subf",
    "divf",
    "mulf",
    "max",
    "min",
    "maxf",
    "minf",
    "ceil",
    "floor",
    "round",
    "join",
    "sortAlpha",
    "default",
    "empty",
    "coalesce",
    "all",
    "any",
    "compact",
    "fromJson",
    "toJson",
    "toPrettyJson",
    "toRawJson",
    "mustFromJson",
    "ternary",
    "deepCopy",
    "typeOf",
    "typeIs",
    "kindOf",
    "kindIs",
    "deepEqual",
    "base",
    "dir",
    "clean",
    "ext",
    "isAbs",
    "b64enc",
    "b64dec",
    "b32enc",
    "b32dec",
    "list",
    "dict",
    "get",
    "set",
    "unset",
    "hasKey",
    "pluck",
    "pick",
    "omit",
    "merge",
    "mergeOverwrite",
    "append",
    "prepend",
    "first",
    "rest",
    "last",
    "initial",
    "reverse",
    "uniq",
    "without",
    "has",
    "concat",
    "dig",
    "chunk",
    "semver",
    "semverCompare",
    "regexMatch",
    "regexFindAll",
    "regexFind",
    "regexReplaceAll",
    "regexSplit",
    "regexQuoteMeta",
    "urlParse",
    "urlJoin",
    "duration",
    "durationRound",
    "toDate \"2006-01-02\"",
    "mustToDate \"Jan 2 2006\"",
    "repeat 2",
    "fail",
];

fn operand(dice: &mut Dice, depth: usize) -> String {
    match dice.below(12) {
        0..4 => dice.pick(CONSTANTS).to_owned(),
        4..8 => dice.pick(DATA).to_owned(),
        8 => "$v".to_owned(),
        9 if depth > 0 => format!("({}).{}", pipeline(dice, depth - 1), dice.pick(&["a", "x", "_0", "Major", "host"])),
        _ if depth > 0 => format!("({})", pipeline(dice, depth - 1)),
        _ => dice.pick(DATA).to_owned(),
    }
}

fn command(dice: &mut Dice, depth: usize) -> String {
    if dice.below(3) == 0 {
        return operand(dice, depth);
    }
    let mut out = dice.pick(FUNCTIONS).to_owned();
    for _ in 0..dice.below(4) {
        out.push(' ');
        out.push_str(&operand(dice, depth));
    }
    out
}

fn pipeline(dice: &mut Dice, depth: usize) -> String {
    let mut out = command(dice, depth);
    for _ in 0..dice.below(3) {
        out.push_str(" | ");
        out.push_str(&command(dice, depth));
    }
    out
}

fn nodes(dice: &mut Dice, depth: usize, out: &mut String) {
    for _ in 0..=dice.below(3) {
        let open = dice.pick(&["{{", "{{", "{{", "{{- "]);
        let close = dice.pick(&["}}", "}}", "}}", " -}}"]);
        match dice.below(if depth == 0 { 6 } else { 11 }) {
            0 | 1 => out.push_str(dice.pick(TEXTS)),
            2..5 => out.push_str(&format!("{open}{}{close}", pipeline(dice, 2))),
            5 => out.push_str(&format!("{open}$v {} {}{close}", dice.pick(&[":=", "="]), pipeline(dice, 1))),
            choice => {
                let word = ["if", "with", "range", "range $i, $e :=", "range $v ="][choice - 6];
                out.push_str(&format!("{open}{word} {}{close}", pipeline(dice, 1)));
                nodes(dice, depth - 1, out);
                if word.starts_with("range") && dice.below(3) == 0 {
                    out.push_str(dice.pick(&["{{break}}", "{{continue}}", "{{$i}}{{$e}}"]));
                }
                if dice.below(2) == 0 {
                    out.push_str(&format!("{open}else{close}"));
                    nodes(dice, depth - 1, out);
                }
                out.push_str(&format!("{open}end{close}"));
            }
        }
    }
}

fn template(dice: &mut Dice) -> String {
    let mut out = String::from("{{$v := 1}}");
    nodes(dice, 2, &mut out);
    // Some are no templates.
    if dice.below(5) == 0 {
        let at = (0..=dice.below(out.len())).rev().find(|at| out.is_char_boundary(*at)).unwrap_or(0);
        let insert = dice
            .pick(&["{{", "}}", "(", ")", "|", ",", ".", "$", "\"", "'", "-", "{{end}}", "{{else}}", ":=", "é", "\n"]);
        if dice.below(2) == 0 {
            out.insert_str(at, insert);
        } else {
            out.truncate(at);
        }
    }
    out
}

fn data() -> Json {
    json!({
        "s": "str", "n": 3, "neg": -7, "f": 2.5, "b": true, "l": [1, "two", 3.5, null, [4], {"k": "v"}], "nil": null,
        "m": {"a": 1, "b": "x", "m": {"deep": "d"}}, "empty": {}, "big": 1_234_567_890_123_i64,
        "strs": ["b", "a", "c", "a"],
    })
}

#[test]
#[expect(clippy::disallowed_methods, reason = "Go is what is compared with, not a child of the daemon")]
fn go_renders_random_templates_the_same() {
    let Ok(wanted) = std::env::var("PITON_TEST_GO") else { return };
    let rounds = wanted.parse().unwrap_or(2_000);
    let seed = seed("PITON_TEST_GO_SEED");
    eprintln!("PITON_TEST_GO_SEED={seed}");
    let mut dice = Dice(seed | 1);
    let requests: Vec<Json> = (0..rounds)
        .map(|_| {
            let missing_key = dice.pick(&["default", "default", "zero", "error"]);
            json!({"template": template(&mut dice), "data": data(), "missingkey": missing_key})
        })
        .collect();
    let mut go = Command::new("go")
        .args(["run", "."])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("PITON_TEST_GO is set, so `go` has to be on the PATH");
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let mut stdin = go.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = go.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), requests.len(), "Go did not answer all");
    let mut differences = 0;
    for (request, answer) in requests.iter().zip(answers.lines()) {
        let theirs: Json = serde_json::from_str(answer).unwrap();
        let ours = render(request);
        if ours != theirs {
            differences += 1;
            eprintln!("{}\n  missingkey {}\n  go  {theirs}\n  we  {ours}", request["template"], request["missingkey"]);
        }
    }
    assert_eq!(differences, 0, "of {rounds} templates, with PITON_TEST_GO_SEED={seed}");
}

fn render(request: &Json) -> Json {
    let missing_key = match request["missingkey"].as_str().unwrap() {
        "zero" => MissingKey::Zero,
        "error" => MissingKey::Error,
        _ => MissingKey::Default,
    };
    let options = Options { functions: sprig(), missing_key, ..Options::default() };
    let mut output = Vec::new();
    let data = Value::from(&request["data"]);
    let error = match Template::parse("t", request["template"].as_str().unwrap(), &options) {
        Ok(template) => template.render(&data, &mut output, &Limits::default()).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let output = piton_gotmpl::Text::from(output);
    json!({"output": output.to_str(), "error": error.unwrap_or_default()})
}
