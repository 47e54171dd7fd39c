//! What people are told about programs that are wrong, and requests that are.

use piton_spec::provisr::{Surroundings, parse_cronjob, parse_job, parse_process};
use piton_spec::{Catalog, provisr};
use serde_json::{Value as Json, json};

use crate::site::{Site, shown};

/// What somebody with this file is told.
fn told(file: &str, text: impl AsRef<[u8]>) -> String {
    let site = Site::new();
    site.write(&format!("programs/{file}"), text);
    shown(&site.load().1)
}

/// A process with this line more.
fn line(line: &str) -> String {
    told("a.toml", format!("type = 'process'\n[spec]\nname = 'a'\ncommand = 'x'\n{line}\n"))
}

#[test]
fn the_shape_of_a_file() {
    insta::assert_snapshot!(told("a.toml", "type = 'proces'\nspec = {}\n"), @r#"
    programs/a.toml:1:8: error: type: `proces` is not one of process, job, cronjob, cron
      hint: did you mean `process`?
    "#);
    insta::assert_snapshot!(told("a.toml", "name = 'web'\ncommand = 'x'\n"), @r#"
    programs/a.toml:1:1: error: a program needs a `type`: process, job or cronjob
      hint: and what it is below `spec`
    programs/a.toml:1:1: error: a program needs a `spec`
      hint: put what is here into the table `spec`
    "#);
    insta::assert_snapshot!(told("a.toml", "type = 'process'\n[spec]\ncomand = 'x'\nname = 'a b'\n[spc]\n"), @r#"
    programs/a.toml:2:1: error: spec: a `command` is needed
    programs/a.toml:3:1: error: spec: unknown field `comand`
      hint: did you mean `command`?
    programs/a.toml:4:8: error: spec.name: `a b` is not a valid name: only letters, digits, `.`, `_` and `-` are allowed
      hint: a name has 1 to 100 of the characters A-Z a-z 0-9 . _ - and starts with a letter, a digit or `_`
    programs/a.toml:5:2: error: unknown field `spc`
      hint: did you mean `spec`?
    "#);
}

#[test]
fn keys_of_a_process() {
    for (text, words) in [
        ("instances = 10001", ":5:13: error: spec.instances: 10001 is out of range, it goes from 0 to 10000"),
        ("instances = '2'", "expected a whole number, found text"),
        ("retry_interval = 5", "hint: write `\"5s\"` for seconds"),
        ("restart_interval = 'soon'", "`soon` is not a duration"),
        ("restart = 'allways'", "did you mean `always`?"),
        ("restart = 'never'\nauto_restart = true", "`auto_restart` says the opposite"),
        ("auto_restart = true\nautorestart = true", "this is the same as `auto_restart`"),
        ("restart_backoff = 0.5", "a number from 1 to 100"),
        ("restart_interval = '1m'\nrestart_max_interval = '1s'", "shorter than `restart_interval`"),
        ("success_codes = [0, 256]", "256 is out of range"),
        ("stop_signal = 'SIGTREM'", "did you mean `SIGTERM`?"),
        ("stop_signal = 15", "write its name"),
        ("stop_timeout = '100000h'", "a day at most"),
        ("stop_sequence = []", "1 to 10 signals"),
        ("stop_signal = 'TERM'\nstop_sequence = [{signal = 'INT'}]", "error: spec.stop_signal: `stop_sequence` says"),
        ("env = ['A']", "expected `NAME=VALUE`"),
        ("env = ['A B=1']", "`A B` cannot be the name"),
        ("env = ['A=${MISSING}']", "warning: spec.env[0]: `A` refers to `MISSING`"),
        ("args = ['y']", "`args` replaces `command`"),
        ("work_dir = ''", "must not be empty"),
        ("depends_on = ['a']", "cannot depend on itself"),
        ("depends_on = [{name = 'b', condition = 'ready'}]", "is not one of started, healthy, completed"),
        ("detached = true\nlog = {dir = 'x'}", "a detached process has no log"),
        ("detectors = [{type = 'pidfile'}]", "this detector needs a `path`"),
        ("instances = 2\npid_file = 'x.pid'", "warning: spec.pid_file: all 2 instances would write to this file"),
        ("instances = 2\nlog = {stdout = 'x.log'}", "warning: spec.log: all 2 instances would write"),
        ("user = 'a b'", "cannot be the name of a user"),
        ("umask = 22", "octal digits in quotes, found a number"),
        ("umask = 0o37", "write the mask as it is, in quotes and without a prefix, such as `\"027\"`"),
        ("umask = '888'", "is not a mask"),
        ("nice = 20", "out of range"),
        ("memory_max = '10 elephants'", "is not a size"),
        ("memory_max = 0", "nothing runs without memory"),
        ("cpu = 0", "a share of the processor"),
        ("limits = {nofiles = 1}", "did you mean `nofile`?"),
        ("limits = {nofile = '2:1'}", "higher than the hard one"),
        ("limits = {nofile = 'many'}", "this is no limit"),
        ("readiness_probe = {}", "one of `exec`, `http` and `tcp`"),
        ("readiness_probe = {tcp = 1, http = 'http://x'}", "2 of them are there"),
        ("readiness_probe = {http = 'ftp://x'}", "is not the URL of a web server"),
        ("readiness_probe = {tcp = 'localhost:0'}", "is not a host and a port"),
        ("liveness_probe = {tcp = 80, success_threshold = 2}", "`success_threshold` is 1 for startup and liveness"),
        ("readiness_probe = {tcp = 80, periods = '1s'}", "did you mean `period`?"),
        ("lifecycle = {pre_start = [{command = 'x'}]}", "a hook needs a `name`"),
        ("lifecycle = {prestart = []}", "did you mean `pre_start`?"),
        ("lifecycle = {pre_start = [{name = 'x', command = 'cat ../y'}]}", "`../y` leads out of its directory"),
        ("lifecycle = {pre_start = [{name = 'x', command = 'y', timeout = '61m'}]}", "not longer than 1h"),
        ("lifecycle = {pre_start = [{name = 'x', command = 'y', env = ['PROVISR_X=1']}]}", "is reserved"),
        (
            "lifecycle = {pre_start = [{name = 'x', command = 'y'}], post_stop = [{name = 'x', command = 'y'}]}",
            "two hooks with the name `x`",
        ),
    ] {
        let told = line(text);
        assert!(told.starts_with("programs/a.toml:") && told.contains(words), "{text}\n{told}");
    }
    for command in ["", "  ", "echo 'x", "'' a"] {
        let told = told("a.toml", format!("type = 'process'\nspec = {{name = 'a', command = \"{command}\"}}\n"));
        assert!(told.contains("error: spec"), "{command}: {told}");
    }
    let many: String = (0..51).map(|n| format!("{{name = 'h{n}', command = 'x'}}, ")).collect();
    assert!(line(&format!("lifecycle = {{pre_start = [{many}]}}")).contains("there are 51 hooks in this phase"));
    let phase = |word: &str| {
        let hooks: String = (0..50).map(|n| format!("{{name = '{word}{n}', command = 'x'}}, ")).collect();
        format!("{word} = [{hooks}]")
    };
    let three = format!("lifecycle = {{{}, {}, {}}}", phase("pre_start"), phase("post_start"), phase("pre_stop"));
    assert!(line(&three).contains("there are 150 hooks, and 100 is the limit"));
}

/// Each at its own line, as it is with everything else.
#[test]
fn entries_of_the_environment() {
    insta::assert_snapshot!(line("env = [\n  'A=1',\n  'B',\n  'C D=1',\n  'E=${MISSING}',\n]"), @r#"
    programs/a.toml:7:3: error: spec.env[1]: expected `NAME=VALUE`, and here is no `=`
      hint: `NAME=${NAME}` passes a variable of the daemon on
    programs/a.toml:8:3: error: spec.env[2]: `C D` cannot be the name of an environment variable
    programs/a.toml:9:3: warning: spec.env[3]: `E` refers to `MISSING`, which is not set
      hint: it stays empty; `${MISSING:-VALUE}` says what to take instead
    "#);
    insta::assert_snapshot!(line("[spec.env]\nA = '1'\n'B C' = '1'\nD = '${MISSING}'"), @r#"
    programs/a.toml:7:9: error: spec.env.B C: `B C` cannot be the name of an environment variable
    programs/a.toml:8:5: warning: spec.env.D: `D` refers to `MISSING`, which is not set
      hint: it stays empty; `${MISSING:-VALUE}` says what to take instead
    "#);
    let hook = "[[spec.lifecycle.pre_start]]\nname = 'x'\ncommand = 'y'\nenv = ['A=1',\n'B=${MISSING}']";
    insta::assert_snapshot!(line(hook), @r#"
    programs/a.toml:9:1: warning: spec.lifecycle.pre_start[0].env[1]: `B` refers to `MISSING`, which is not set
      hint: it stays empty; `${MISSING:-VALUE}` says what to take instead
    "#);
}

#[test]
fn ports_of_probes() {
    insta::assert_snapshot!(line("readiness_probe = {http = 'http://127.0.0.1:99999/health'}"), @r#"
    programs/a.toml:5:27: error: spec.readiness_probe.http: `99999` is not a port
      hint: a port is a number from 1 to 65535
    "#);
    let told_of_zero = line("liveness_probe = {http = {port = 0}}");
    let out_of_range = "spec.liveness_probe.http.port: 0 is out of range, it goes from 1 to 65535";
    assert_eq!(told_of_zero, format!("programs/a.toml:5:34: error: {out_of_range}"));
    for bad in [
        "http = 'http://web.example:0'",
        "http = 'https://web.example:65536/x'",
        "http = 'http://user:secret@web.example:x/'",
        "http = 'http://[::1]:70000'",
        "http = 'http://web.example:+80'",
        "http = {url = 'http://web.example:99999'}",
        "http = {port = 99999}",
        "http = {port = -1}",
        "http = {host = 'web.example:80', port = 81}",
        "tcp = 99999",
        "tcp = 0",
        "tcp = 'web.example:99999'",
        "tcp = '0'",
        "tcp = {port = 99999}",
    ] {
        let told = line(&format!("readiness_probe = {{{bad}}}"));
        assert!(
            told.starts_with("programs/a.toml:5:") && told.contains(": error: spec.readiness_probe"),
            "{bad}\n{told}"
        );
        assert!(told.contains("from 1 to 65535"), "{bad}\n{told}");
        assert!(!told.contains("needs a `url`"), "{bad}\n{told}");
    }
    for good in [
        "http = 'http://web.example'",
        "http = 'http://web.example:/x:99999'",
        "http = 'http://user:99999@web.example:65535/?a=b:0'",
        "http = 'http://[::1]/'",
        "http = 'https://[::1]:1'",
        "http = {port = 65535}",
        "tcp = 1",
    ] {
        assert_eq!(line(&format!("readiness_probe = {{{good}}}")), "", "{good}");
    }
    let told = line("readiness_probe = {http = {path = '/x'}}");
    assert!(told.contains("this needs a `url` or a `port`"), "{told}");
}

#[test]
fn keys_of_jobs() {
    let job = |text: &str| told("a.toml", format!("type = 'job'\n[spec]\nname = 'a'\ncommand = 'x'\n{text}\n"));
    for (text, words) in [
        ("parallelism = 0", "out of range"),
        ("completions = -1", "out of range"),
        ("completion_mode = 'indexed'", "did you mean `Indexed`?"),
        ("restart_policy = 'Always'", "is not one of Never, OnFailure"),
        ("active_deadline_seconds = 0", "out of range"),
        ("backoff_limit_per_index = 1", "for numbered tasks only"),
        ("max_failed_indexes = 1", "this needs `backoff_limit_per_index`"),
        ("success_policy = {rules = []}", "for numbered tasks only"),
        ("completion_mode = 'Indexed'\ncompletions = 'any'", "numbered tasks need a number"),
        (
            "completion_mode = 'Indexed'\ncompletions = 3\nsuccess_policy = {rules = [{succeeded_indexes = '0-3'}]}",
            "fewer completions",
        ),
        ("completion_mode = 'Indexed'\nsuccess_policy = {rules = [{}]}", "a rule needs"),
        ("pod_failure_policy = {}", "this needs `rules`"),
        (
            "pod_failure_policy = {rules = [{action = 'FailIndex', on_exit_codes = {operator = 'In', values = [1]}}]}",
            "`FailIndex` needs",
        ),
        (
            "pod_failure_policy = {rules = [{action = 'Ignore', on_exit_codes = {operator = 'In', values = [0]}}]}",
            "0 is out of range",
        ),
        (
            "restart_policy = 'OnFailure'\npod_failure_policy = {rules = [{action = 'Count', on_exit_codes = {operator = 'In', values = [1]}}]}",
            "needs the restart policy `Never`",
        ),
        ("pod_failure_policy = {rules = [{action = 'Ignore'}]}", "needs `on_exit_codes` or `on_pod_conditions`"),
        (
            "pod_failure_policy = {rules = [{action = 'Ignore', on_pod_conditions = [{type = 'DisruptionTarget'}], \
             on_exit_codes = {operator = 'In', values = [1]}}]}",
            "not at both",
        ),
        ("pod_failure_policy = {rules = [{action = 'Ignore', on_pod_conditions = []}]}", "1 to 20 conditions"),
        (
            "pod_failure_policy = {rules = [{action = 'Ignore', on_pod_conditions = [{type = 'ConfigIssue'}]}]}",
            "no task ever has the condition `ConfigIssue`",
        ),
        ("log = {dir = 'x'}", "warning: spec.log: what the tasks of a job say"),
        ("schedule = '* * * * *'", "unknown field `schedule`"),
    ] {
        let told = job(text);
        assert!(told.contains(words), "{text}\n{told}");
    }
    let cron = |text: &str| told("a.toml", format!("type = 'cronjob'\n[spec]\nname = 'a'\n{text}\n"));
    let template = "job_template = {command = 'x'}";
    for (text, words) in [
        (template.to_owned(), "a cronjob needs a `schedule`"),
        ("schedule = '@daily'".to_owned(), "a cronjob needs a `job_template`"),
        (format!("schedule = '61 * * * *'\n{template}"), "61 is out of range"),
        (format!("schedule = '@every never'\n{template}"), "error: spec.schedule"),
        (format!("schedule = []\n{template}"), "this names no time"),
        (format!("schedule = '@daily'\ntime_zone = 'Mars'\n{template}"), "unknown time zone `Mars`"),
        (format!("schedule = '@daily'\nconcurrency_policy = 'forbid'\n{template}"), "did you mean `Forbid`?"),
        (
            "schedule = '@daily'\nlifecycle = {pre_start = [{name = 'x', command = 'y'}]}\njob_template = {command = 'x', lifecycle = {pre_start = [{name = 'x', command = 'y'}]}}".to_owned(),
            "two hooks with the name `x`",
        ),
    ] {
        let told = cron(&text);
        assert!(told.contains(words), "{text}\n{told}");
    }
}

#[test]
fn requests_take_absolute_paths_and_nanoseconds() {
    let around = Surroundings::default();
    let process = |extra: Json| {
        let mut json = json!({"name": "web", "command": "sleep 1"});
        json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        parse_process(&json, &around).map(|(process, _)| process).map_err(|found| shown(&found))
    };
    let web = process(json!({"work_dir": "/srv/web", "restart_interval": 5_000_000_000_u64, "stop_timeout": "2s"}));
    let web = web.unwrap();
    assert_eq!((web.restart.delay.as_secs(), web.stop.stages[0].wait.as_secs()), (5, 2));
    for (extra, words) in [
        (json!({"work_dir": "srv"}), "request: error: work_dir: `srv` is not an absolute path without detours"),
        (json!({"work_dir": "/srv/../etc"}), "without detours"),
        (json!({"work_dir": "/srv//x"}), "without detours"),
        (json!({"pid_file": "web.pid"}), "error: pid_file"),
        (json!({"log": {"file": {"dir": "logs"}}}), "error: log.file.dir"),
        (json!({"name": "../x"}), "error: name"),
        (json!({"name": ""}), "error: name"),
        (json!({"instanses": 2}), "did you mean `instances`?"),
        (json!({"restart_interval": -1}), "no number of nanoseconds"),
    ] {
        let told = process(extra.clone()).unwrap_err();
        assert!(told.starts_with("request: error") && told.contains(words), "{extra}\n{told}");
    }
    for bad in [json!([]), json!(1), json!(null), json!("x")] {
        assert!(parse_process(&bad, &around).is_err() && parse_job(&bad, &around).is_err());
        assert!(parse_cronjob(&bad, &around).is_err());
    }
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert!(parse_process(&json!({"name": "a", "command": deep}), &around).is_err());
}

#[test]
fn what_a_process_needs_must_be_there() {
    let site = Site::new();
    site.write("programs/db.toml", "type = 'process'\nspec = {name = 'db', command = 'x', depends_on = []}\n");
    site.write("programs/web.toml", "type = 'process'\nspec = {name = 'web', command = 'x', instances = 3}\n");
    site.write("programs/api.toml", "type = 'process'\nspec = {name = 'api', command = 'x', depends_on = ['db']}\n");
    let catalog = site.load_clean();
    let check = |json: Json, catalog: &Catalog| {
        shown(&provisr::check_in(&parse_process(&json, catalog.surroundings()).unwrap().0, catalog))
    };
    assert_eq!(check(json!({"name": "x", "command": "x", "depends_on": ["db"]}), &catalog), "");
    let told = check(json!({"name": "x", "command": "x", "depends_on": ["web", "bd"]}), &catalog);
    assert!(told.contains("request: error: depends_on[1]: there is no process `bd`"), "{told}");
    assert!(told.contains("did you mean `db`?"), "{told}");
    let told = check(json!({"name": "db", "command": "x", "depends_on": ["api"]}), &catalog);
    assert!(told.contains("in a circle: db → api → db"), "{told}");
    let told = check(json!({"name": "web-2", "command": "x"}), &catalog);
    assert!(told.contains("`web-2` is the name of an instance of `web`"), "{told}");
    let told = check(json!({"name": "d", "command": "x"}), &catalog);
    assert_eq!(told, "");
}

proptest::proptest! {
    /// Any text in any format is a catalog and diagnostics.
    #[test]
    fn no_text_panics(text in "(type|spec|name|command|env|lifecycle|limits|[=:{}\\[\\]\"',\n -]|[a-z0-9]|\\PC){0,60}") {
        let site = Site::new();
        for file in ["a.toml", "a.yaml", "a.json"] {
            site.write(&format!("programs/{file}"), &text);
        }
        site.load();
    }

    /// Any value under any key is one, too.
    #[test]
    fn no_value_panics(key in proptest::sample::select(KEYS), value in values()) {
        let around = Surroundings::default();
        for template in [json!({"name": "a", "command": "x"}), json!({"name": "a", "schedule": "@daily", "job_template": {"command": "x"}})] {
            let mut json = template;
            json[key] = value.clone();
            let _ = parse_process(&json, &around);
            let _ = parse_job(&json, &around);
            let _ = parse_cronjob(&json, &around);
        }
    }
}

const KEYS: &[&str] = &[
    "name",
    "command",
    "args",
    "env",
    "environment",
    "work_dir",
    "pid_file",
    "priority",
    "retry_count",
    "retry_interval",
    "start_duration",
    "auto_restart",
    "restart",
    "restart_interval",
    "restart_backoff",
    "success_codes",
    "instances",
    "depends_on",
    "detectors",
    "log",
    "lifecycle",
    "readiness_probe",
    "stop_signal",
    "stop_sequence",
    "stop_command",
    "user",
    "umask",
    "nice",
    "limits",
    "memory_max",
    "cpu",
    "parallelism",
    "completions",
    "pod_failure_policy",
    "success_policy",
    "schedule",
    "time_zone",
    "job_template",
    "active_deadline_seconds",
    "concurrency_policy",
];

fn values() -> impl proptest::strategy::Strategy<Value = Json> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,20}".prop_map(Json::from),
        "[0-9]{1,20}(s|m|h|MiB|:|-|,)[0-9]{0,20}".prop_map(Json::from),
    ];
    let keys = prop_oneof![
        proptest::sample::select(vec![
            "rules",
            "pre_start",
            "exec",
            "http",
            "tcp",
            "port",
            "signal",
            "wait",
            "file",
            "type"
        ])
        .prop_map(str::to_owned),
        proptest::sample::select(KEYS).prop_map(str::to_owned),
        "\\PC{0,5}",
    ];
    leaf.prop_recursive(3, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            proptest::collection::btree_map(keys.clone(), inner, 0..5)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}
