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

/// Functions with the kinds of their arguments: text, integer, float, list, dictionary, boolean, anything.
const TYPED: &[&str] = &[
    "upper t",
    "lower t",
    "title t",
    "untitle t",
    "trunc it",
    "trim t",
    "trimAll tt",
    "trimSuffix tt",
    "trimPrefix tt",
    "substr iit",
    "nospace t",
    "initials t",
    "swapcase t",
    "snakecase t",
    "camelcase t",
    "kebabcase t",
    "wrap it",
    "wrapWith itt",
    "abbrev it",
    "abbrevboth iit",
    "contains tt",
    "hasPrefix tt",
    "hasSuffix tt",
    "quote aa",
    "squote aa",
    "cat aaa",
    "indent it",
    "nindent it",
    "replace ttt",
    "plural tti",
    "sha256sum t",
    "adler32sum t",
    "toString a",
    "atoi t",
    "int a",
    "int64 a",
    "float64 a",
    "seq ii",
    "seq iii",
    "toDecimal a",
    "split tt",
    "splitList tt",
    "splitn tit",
    "toStrings l",
    "until i",
    "untilStep iii",
    "add1 a",
    "add aaa",
    "sub aa",
    "div aa",
    "mod aa",
    "mul aaa",
    "add1f f",
    "addf fff",
    "subf ff",
    "divf fff",
    "mulf fff",
    "max aaa",
    "min aaa",
    "maxf ff",
    "minf ff",
    "ceil f",
    "floor f",
    "round fi",
    "join tl",
    "sortAlpha l",
    "default aa",
    "empty a",
    "coalesce aaa",
    "all aa",
    "any aa",
    "compact l",
    "fromJson j",
    "mustFromJson j",
    "toJson a",
    "toPrettyJson a",
    "toRawJson a",
    "ternary aab",
    "deepCopy a",
    "typeOf a",
    "kindOf a",
    "deepEqual aa",
    "base t",
    "dir t",
    "clean t",
    "ext t",
    "isAbs t",
    "b64enc t",
    "b64dec t",
    "b32enc t",
    "b32dec t",
    "list aaa",
    "dict tata",
    "get dt",
    "set dta",
    "unset dt",
    "hasKey dt",
    "pluck tdd",
    "pick dtt",
    "omit dtt",
    "merge dd",
    "mergeOverwrite dd",
    "append la",
    "prepend la",
    "first l",
    "rest l",
    "last l",
    "initial l",
    "reverse l",
    "uniq l",
    "without la",
    "has al",
    "concat ll",
    "dig ttad",
    "chunk il",
    "semver v",
    "semverCompare cv",
    "regexMatch rt",
    "regexFindAll rti",
    "regexFind rt",
    "regexReplaceAll rtt",
    "regexSplit rti",
    "regexQuoteMeta t",
    "urlParse u",
    "urlJoin d",
    "duration t",
    "durationRound t",
    "len l",
    "len t",
    "len d",
    "index li",
    "index dt",
    "index ti",
    "slice lii",
    "slice li",
    "not a",
    "and aa",
    "or aa",
    "eq ii",
    "eq tt",
    "ne ff",
    "lt ii",
    "le ff",
    "gt tt",
    "ge ii",
    "html a",
    "js a",
    "urlquery aa",
    "print aaa",
    "println aa",
    "printf ta",
    "printf paa",
    "printf pi",
    "printf pf",
    "printf pt",
    "printf pl",
];

fn typed_call(dice: &mut Dice, depth: usize) -> String {
    let (name, kinds) = dice.pick(TYPED).split_once(' ').unwrap();
    let mut out = name.to_owned();
    for kind in kinds.chars() {
        out.push(' ');
        out += &typed(dice, kind, depth);
    }
    out
}

fn typed(dice: &mut Dice, kind: char, depth: usize) -> String {
    if depth > 0 && dice.below(4) == 0 {
        return match kind {
            't' => format!(
                "({} {})",
                dice.pick(&["upper", "title", "print", "snakecase", "printf \"%v\""]),
                typed(dice, 't', depth - 1)
            ),
            'i' => format!("(len {})", typed(dice, 'l', depth - 1)),
            'f' => format!("(addf {} {})", typed(dice, 'f', depth - 1), typed(dice, 'f', depth - 1)),
            'l' => format!("(list {} {})", typed(dice, 'a', depth - 1), typed(dice, 'a', depth - 1)),
            'd' => format!("(dict {} {})", typed(dice, 't', depth - 1), typed(dice, 'a', depth - 1)),
            'a' => format!("({})", typed_call(dice, depth - 1)),
            _ => typed(dice, kind, 0),
        };
    }
    let all: &[&str] = match kind {
        't' => &[
            "\"\"",
            "\"abc\"",
            "\"a b  c\"",
            "\"é日本 x\"",
            ".s",
            "\"a,b,c\"",
            "\",\"",
            "\"FooBar baz_qux\"",
            "\"HTTPServer2go\"",
            "\"x1y22\"",
            "\"ABC-def GHI\"",
            "\"a\"",
            "\"b\"",
            "\"2h3m\"",
            "\"12\"",
            "\"1.50\"",
            "\"-7\"",
            "\"/a/../b//c.txt\"",
            "\"${1}x$1\"",
            "\"<a>&'\"",
            "\"aGk=\"",
            "\"NBUQ====\"",
            "\"the quick brown fox jumps\"",
            "\"\\xff\\x00é\"",
            "\"l\\nm\"",
        ],
        'i' => &["0", "1", "2", "3", "-1", "-4", "7", "12", ".n", ".neg"],
        'f' => &["0.1", "0.2", "1.5", "-2.75", ".f", "3", "1e21", "1e-7", "100.005", "\"2.5\"", ".n"],
        'l' => &[
            ".l",
            ".strs",
            "(list)",
            "(list 1 2 1 \"a\")",
            "(splitList \",\" \"b,a,b\")",
            "(until 3)",
            "(list nil 0 \"\")",
        ],
        'd' => &[
            ".m",
            ".empty",
            "(dict \"a\" 1 \"b\" (dict \"c\" 2))",
            ".",
            "(dict \"m\" (dict \"deep\" 1) \"s\" (list 1))",
            "(dict \"host\" \"h:1\" \"path\" \"/a b\" \"scheme\" \"http\")",
        ],
        'b' => &["true", "false", ".b"],
        'j' => &[
            "\"{\\\"a\\\": [1, 2.5, null, true, \\\"x\\\"]}\"",
            "`[1e3, {\"k\":\"\\u00e9\\n\"}]`",
            "`{\"a\" 1}`",
            "`[1,]`",
            "`tru`",
            "`\"x`",
            "`1 2`",
            "` `",
        ],
        'v' => &[
            "\"1.2.3\"",
            "\"v2.0.0-rc.1+b\"",
            "\"1.2\"",
            "\"0.3.1\"",
            "\"01.2.3\"",
            "\"x\"",
            "\"1.0.0-alpha.beta\"",
            "\"1.10.0\"",
        ],
        'c' => &[
            "\"^1.2\"",
            "\"~1.2.3\"",
            "\">=1 <2\"",
            "\"1.x || >2.0.0-0\"",
            "\"!=1.2.x\"",
            "\"1.2 - 1.4\"",
            "\"*\"",
            "\"^0.3\"",
            "\"<=1\"",
            "\"=1.2.3\"",
            "\"bad\"",
            "\"~0\"",
            "\">1.9\"",
            "\"^0.0.3, <2\"",
        ],
        'r' => &[
            "\"[a-c]+\"",
            "\"(a)(b)?\"",
            "`\\d+`",
            "`\\b\\w`",
            "\"x*\"",
            "\"\"",
            "\",\"",
            "\"(?i)ABC\"",
            "`\\s+`",
            "\"^.\"",
            "\"[\"",
            "\"(\"",
            "\"a{2,1}\"",
            "\"*\"",
            "`\\pL+`",
            "\"(?P<n>b)\"",
            "\"é\"",
        ],
        'u' => &[
            "\"http://u:p@h:80/p/a%20b?q=1#f\"",
            "\"mailto:a@b\"",
            "\"/a/b?c\"",
            "\"//h/x\"",
            "\"http://[::1]:80/\"",
            "\"a:b:c\"",
            "\":x\"",
            "\"http://h:x/\"",
            "\"%zz\"",
            "\"\"",
            "\"http://h/é?\"",
            "\"http://a b/\"",
        ],
        'p' => &[
            "\"%d|%5d|%-5d|%05d|%+d\"",
            "\"%x %X %#x %o %b %c %q %U\"",
            "\"%e %8.3f %g %G %.3g\"",
            "\"%s|%10s|%-10.2s|%q\"",
            "\"%v %+v %#v %T\"",
            "\"%[1]v %[1]T %[2]v\"",
            "\"%*d\"",
            "\"%t %5t\"",
            "\"%#g %#.3x % d\"",
            "\"%6.2f%%\"",
            "\"%!\"",
            "\"%08.3f|%+.2e\"",
            "\"% x|%#X|%+q\"",
        ],
        _ => return dice.pick(if dice.below(2) == 0 { CONSTANTS } else { DATA }).to_owned(),
    };
    dice.pick(all).to_owned()
}

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
    match dice.below(8) {
        0 | 1 => return operand(dice, depth),
        2..7 => return typed_call(dice, depth),
        _ => {}
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
    for _ in 0..dice.below(8).saturating_sub(6) {
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
            2..5 => out += &format!("{open}{}{close}", pipeline(dice, 2)),
            5 => out += &format!("{open}$v {} {}{close}", dice.pick(&[":=", "="]), pipeline(dice, 1)),
            choice => {
                let word = ["if", "with", "range", "range $i, $e :=", "range $v ="][choice - 6];
                out += &format!("{open}{word} {}{close}", pipeline(dice, 1));
                nodes(dice, depth - 1, out);
                if word.starts_with("range") && dice.below(3) == 0 {
                    out.push_str(dice.pick(&["{{break}}", "{{continue}}", "{{$i}}{{$e}}"]));
                }
                if dice.below(2) == 0 {
                    out += &format!("{open}else{close}");
                    nodes(dice, depth - 1, out);
                }
                out += &format!("{open}end{close}");
            }
        }
    }
}

fn template(dice: &mut Dice) -> String {
    let mut out = String::from("{{$v := 1}}");
    nodes(dice, 2, &mut out);
    // Some are no templates.
    if dice.below(8) == 0 {
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
        "m": {"a": 1, "b": "x", "m": {"deep": "d"}}, "empty": {}, "big": 1234,
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
    let lines = requests.iter().map(Json::to_string).collect::<Vec<_>>().join("\n") + "\n";
    let mut stdin = go.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = go.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), requests.len(), "Go did not answer all");
    let mut differences = 0;
    let mut rendered = 0;
    for (request, answer) in requests.iter().zip(answers.lines()) {
        let theirs: Json = serde_json::from_str(answer).unwrap();
        let ours = render(request);
        rendered += usize::from(theirs["error"] == "");
        if ours != theirs {
            differences += 1;
            eprintln!("{}\n  missingkey {}\n  go  {theirs}\n  we  {ours}", request["template"], request["missingkey"]);
        }
    }
    eprintln!("{rendered} of {rounds} render");
    assert!(rendered * 20 > requests.len(), "too few of the templates render for a comparison that says something");
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
