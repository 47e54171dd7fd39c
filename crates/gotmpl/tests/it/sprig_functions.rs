//! The functions of sprig, with what Go prints for them.

use piton_gotmpl::{Functions, Limits, Options, Surroundings, Template, Value};
use serde_json::json;

use super::{check, rendered, sprig};

#[test]
fn strings() {
    check(
        &json!({}),
        &[
            (
                "{{snakecase \"HTTPServer2xx\"}} {{kebabcase \"FirstName\"}} {{camelcase \"http_server\"}}",
                "http_server_2xx first-name HttpServer",
            ),
            ("{{trunc 2 \"abc\"}}{{trunc -2 \"abc\"}}{{substr 1 2 \"abc\"}}{{abbrev 5 \"abcdefgh\"}}", "abbcbab..."),
            (
                "{{title \"a b-c\"}} {{untitle \"A B\"}} {{swapcase \"aB\"}} {{initials \"First Try\"}}",
                "A B-C a b Ab FT",
            ),
            ("{{quote \"a\" 1 nil}} {{squote 1}} {{cat 1 nil \"b\"}}", "\"a\" \"1\" '1' 1 b"),
            ("{{nindent 2 \"a\\nb\"}}{{replace \"a\" \"b\" \"aa\"}}{{plural \"one\" \"many\" 2}}", "\n  a\n  bbbmany"),
            (
                "{{join \"-\" (list 1 nil \"a\")}} {{splitList \",\" \"a,b\"}} {{(splitn \",\" 2 \"a,b,c\")._1}}",
                "1-a [a b] b,c",
            ),
            ("{{wrap 5 \"hello world\"}}|{{nospace \" a b \"}}|{{trimAll \"$\" \"$5$\"}}", "hello\nworld|ab|5"),
            (
                "{{substr 2 1 \"abc\"}}",
                "template: t:1:2: executing \"t\" at <substr 2 1 \"abc\">: error calling substr: runtime error: slice bounds out of range [2:1]",
            ),
        ],
    );
}

#[test]
fn numbers() {
    check(
        &json!({}),
        &[
            ("{{add 1 \"2\" 3.9}} {{sub 1 2}} {{mul 2 3}} {{div 7 2}} {{mod 7 2}} {{max 1 3 2}}", "6 -1 6 3 1 3"),
            (
                "{{addf 0.1 0.2}} {{divf 10 3}} {{mulf 1.1 1.1}} {{round 2.345 2}} {{floor 1.9}}",
                "0.3 3.3333333333333335 1.21 2.35 1",
            ),
            (
                "{{seq 3}} {{seq 0 2 6}} {{until 3}} {{untilStep 5 0 -2}} {{atoi \"7\"}} {{toDecimal \"17\"}}",
                "1 2 3 0 2 4 6 [0 1 2] [5 3 1] 7 15",
            ),
            ("{{int64 \"0x10\"}} {{int \"12.00\"}} {{float64 \"1.5\"}} {{typeOf (add 1)}}", "16 12 1.5 int64"),
        ],
    );
    assert!(rendered("{{div 1 0}}", &json!({})).ends_with("runtime error: integer divide by zero"));
}

#[test]
fn lists_and_dictionaries() {
    check(
        &json!({"m": {"a": 1}}),
        &[
            (
                "{{append (list 1) 2}} {{rest (list 1 2)}} {{reverse (list 1 2)}} {{uniq (list 1 1 2)}}",
                "[1 2] [2] [2 1] [1 2]",
            ),
            (
                "{{chunk 2 (list 1 2 3)}} {{has 1 (list 1)}} {{without (list 1 2) 1}} {{first (list)}}",
                "[[1 2] [3]] true [2] <no value>",
            ),
            (
                "{{sortAlpha (list \"c\" \"a\")}} {{concat (list 1) (list 2)}} {{slice (list 1 2 3) 1 2}}",
                "[a c] [1 2] [2]",
            ),
            (
                "{{set .m \"b\" 2}} {{.m.b}} {{unset .m \"a\"}} {{hasKey .m \"a\"}} {{get .m \"zz\"}}|",
                "map[a:1 b:2] 2 map[b:2] false |",
            ),
            ("{{merge (dict \"a\" (dict \"b\" 1)) (dict \"a\" (dict \"b\" 2 \"c\" 3))}}", "map[a:map[b:1 c:3]]"),
            (
                "{{mergeOverwrite (dict \"a\" 1) (dict \"a\" 2)}} {{dig \"a\" \"b\" \"no\" (dict \"a\" (dict))}}",
                "map[a:2] no",
            ),
            (
                "{{pick (dict \"a\" 1 \"b\" 2) \"a\"}} {{omit (dict \"a\" 1 \"b\" 2) \"a\"}} {{keys (dict \"b\" 1 \"a\" 2)}}",
                "map[a:1] map[b:2] [a b]",
            ),
            ("{{default 1 \"\"}} {{coalesce 0 \"\" 2}} {{ternary 1 2 false}} {{empty (list)}}", "1 2 2 true"),
        ],
    );
}

#[test]
fn encodings_and_digests() {
    check(
        &json!({"v": {"a": [1, 2.5, "<&>"], "e": {}}}),
        &[
            (
                "{{toJson .v}} {{toRawJson .v}}",
                "{\"a\":[1,2.5,\"\\u003c\\u0026\\u003e\"],\"e\":{}} {\"a\":[1,2.5,\"<&>\"],\"e\":{}}",
            ),
            ("{{toPrettyJson .v.e}} {{fromJson \"{\\\"a\\\": 1}\"}}", "{} map[a:1]"),
            (
                "{{mustFromJson \"[1,}\"}}",
                "template: t:1:2: executing \"t\" at <mustFromJson \"[1,}\">: error calling mustFromJson: invalid character '}' looking for beginning of value",
            ),
            (
                "{{b64enc \"hi\"}} {{b64dec \"aGk=\"}} {{b32enc \"hi\"}} {{b32dec \"NBUQ====\"}} {{b64dec \"!\"}}",
                "aGk= hi NBUQ==== hi illegal base64 data at input byte 0",
            ),
            ("{{adler32sum \"abc\"}} {{sha1sum \"abc\"}}", "38600999 a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                "{{urlJoin (dict \"scheme\" \"http\" \"host\" \"h\" \"path\" \"/a b\")}} {{(urlParse \"http://h:80/p?q\").hostname}}",
                "http://h/a%20b h",
            ),
            (
                "{{regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" \"${1}W$1W\"}} {{regexFindAll \"[a-c]\" \"xaybz\" -1}}",
                "-W-xxW- [a b]",
            ),
            ("{{dir \"a/b/c\"}} {{base \"a/b\"}} {{ext \"x.tar.gz\"}} {{clean \"/a/../b/.\"}}", "a/b b .gz /b"),
        ],
    );
}

#[test]
fn secrets() {
    check(
        &json!({}),
        &[
            ("{{derivePassword 1 \"long\" \"password\" \"user\" \"example.com\"}}", "ZedaFaxcZaso9*"),
            ("{{\"plain text\" | encryptAES \"key\" | decryptAES \"key\"}}", "plain text"),
            ("{{\"30tEfhuJSVRhpG97XCuWgz2okj7L8vQ1s6V9zVUPeDQ=\" | decryptAES \"secretkey\"}}", "plaintext"),
            ("{{uuidv4}} {{len (randAlphaNum 8)}} {{randInt 3 4}}", "07070707-0707-4707-8707-070707070707 8 3"),
        ],
    );
    let hash = rendered("{{htpasswd \"me\" \"secret\"}}", &json!({}));
    assert!(hash.starts_with("me:$2a$10$") && hash.len() == 63, "{hash}");
}

#[test]
fn versions() {
    check(
        &json!({}),
        &[
            (
                "{{$v := semver \"v1.2.3-rc.1+b\"}}{{$v.Major}}.{{$v.Minor}}.{{$v.Patch}} {{$v.Prerelease}} {{$v}}",
                "1.2.3 rc.1 1.2.3-rc.1+b",
            ),
            (
                "{{semverCompare \"^1.2\" \"1.9.0\"}} {{semverCompare \">=2 <3 || 1.x\" \"1.5.0\"}} {{semverCompare \"1.2 - 1.4\" \"1.5.0\"}}",
                "true true false",
            ),
            (
                "{{semverCompare \"~1.2.3\" \"1.2.9\"}} {{semverCompare \">1\" \"1.9.0\"}} {{semverCompare \"*\" \"1.0.0-rc.1\"}}",
                "true false false",
            ),
            ("{{(semver \"1.2.3\").Compare (semver \"1.3.0\")}} {{(semver \"1.2.3\").IncMinor}}", "-1 1.3.0"),
        ],
    );
}

#[test]
fn dates() {
    let in_berlin = |text: &str| {
        let functions = Functions::sprig(&Surroundings {
            now: std::sync::Arc::new(|| "2026-07-01T10:00:00Z".parse().unwrap()),
            zone: jiff::tz::TimeZone::get("Europe/Berlin").unwrap(),
            random: std::sync::Arc::new(|bytes| bytes.fill(7)),
        });
        let template = Template::parse("t", text, &Options { functions, ..Options::default() }).unwrap();
        template.render_text(&Value::Nil, &Limits::default()).unwrap_or_else(|error| error.to_string())
    };
    for (template, expected) in [
        ("{{now}}", "2026-07-01 12:00:00 +0200 CEST"),
        ("{{now | date \"Mon Jan _2 03:04:05PM 2006 Z07:00\"}}", "Wed Jul  1 12:00:00PM 2026 +02:00"),
        ("{{now.Year}} {{now.Month}} {{now.Weekday}} {{now.YearDay}}", "2026 July Wednesday 182"),
        ("{{dateInZone \"2006-01-02T15:04:05\" now \"UTC\"}} {{htmlDate 0}}", "2026-07-01T10:00:00 1970-01-01"),
        ("{{toDate \"2006-01-02\" \"2020-01-31\" | date_modify \"+24h\" | date \"02/01/06\"}}", "01/02/20"),
        ("{{(now.AddDate 0 1 0).Format \"2006-01-02\"}} {{unixEpoch now}}", "2026-08-01 1782900000"),
        (
            "{{ago (now | date_modify \"-1h30m\")}} {{durationRound \"2h10m\"}} {{duration \"3661\"}}",
            "1h30m0s 2h 1h1m1s",
        ),
        (
            "{{mustToDate \"2006-01-02\" \"nope\"}}",
            "template: t:1:2: executing \"t\" at <mustToDate \"2006-01-02\" \"nope\">: error calling mustToDate: parsing time \"nope\" as \"2006-01-02\": cannot parse \"nope\" as \"2006\"",
        ),
        (
            "{{mustToDate \"2006-01-02\" \"2020-13-01\"}}",
            "template: t:1:2: executing \"t\" at <mustToDate \"2006-01-02\" \"2020-13-01\">: error calling mustToDate: parsing time \"2020-13-01\": month out of range",
        ),
    ] {
        assert_eq!(in_berlin(template), expected, "{template}");
    }
}

#[test]
fn templates_learn_nothing_of_the_machine() {
    let functions = sprig();
    for absent in
        ["env", "expandenv", "getHostByName", "genPrivateKey", "genCA", "genSelfSignedCert", "buildCustomCert"]
    {
        assert!(!functions.contains(absent), "{absent}");
    }
    for there in ["date", "upper", "toJson", "printf", "mustRegexMatch", "osBase"] {
        assert!(functions.contains(there), "{there}");
    }
}
