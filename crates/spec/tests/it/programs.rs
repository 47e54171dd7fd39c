//! What files of programs and the configuration declare.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use piton_model::{
    CompletionMode, DependencyCondition, Detector, FailureAction, FailureMode, HookPhase, Name, ProbeCheck, Process,
    Program, RestartWhen, Rlimit, RunMode, TaskRestart,
};
use piton_spec::{Catalog, CatchUp, ConcurrencyPolicy, Config, DeclaredIn, Diagnostic, JobTrigger, Sources, load};

use crate::site::{Site, shown};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn exec(words: &[&str]) -> Program {
    Program::Exec { argv: words.iter().map(|word| (*word).to_owned()).collect() }
}

fn shell(line: &str) -> Program {
    Program::Shell { line: line.to_owned() }
}

fn process(catalog: &Catalog, of: &str) -> Arc<Process> {
    Arc::clone(&catalog.processes[&name(of)].process)
}

/// A site whose configuration is `config.toml`.
struct Configured {
    site: Site,
    sources: Sources,
}

impl Configured {
    fn new(text: &str) -> Configured {
        let site = Site::new();
        site.write("config.toml", text);
        let sources = Sources {
            current_dir: site.root().to_path_buf(),
            system_dir: Some(site.path("etc")),
            file: Some("config.toml".into()),
            environment: [("HOME", "/srv/piton"), ("TOKEN", "hunter2")].map(|(a, b)| (a.into(), b.into())).into(),
            ..Sources::default()
        };
        Configured { site, sources }
    }

    fn config(&self) -> Config {
        Config::load(&self.sources).map_err(|found| shown(&found)).unwrap().0
    }

    fn load(&self, previous: Option<&Catalog>) -> (Catalog, Vec<Diagnostic>) {
        load(&self.config().layout(TimeZone::UTC), previous)
    }

    fn load_clean(&self) -> Catalog {
        let (catalog, found) = self.load(None);
        assert_eq!(shown(&found), "");
        catalog
    }
}

#[test]
fn everything_a_process_can_say() {
    let site = Site::new();
    site.write(
        "programs/web.toml",
        r#"
type = "process"
[spec]
name = "web"
command = "sh -c 'while true; do echo web; sleep 2; done'"
work_dir = "app/./x/../y"
env = ["A=1", "B=${A}2", "HOST=${NOWHERE:-localhost}"]
priority = 10
retry_count = 2
retry_interval = "500ms"
start_duration = "1s"
auto_restart = true
restart_interval = "1s"
restart_backoff = 1.5
restart_max_interval = "1m"
restart_reset_after = "30s"
max_restarts = 5
max_restarts_window = "2m"
success_codes = [0, 143]
instances = 3
auto_start = false
depends_on = ["db", {name = "cache", condition = "healthy"}]
detectors = [{type = "pidfile", path = "run/web.pid"}, {type = "command", command = "pgrep -f web"}]
stop_command = ["web-ctl", "stop"]
stop_sequence = [{signal = "int", wait = "5s"}, {signal = "SIGTERM"}]
user = "www-data"
group = 33
umask = "027"
nice = -5
oom_score_adj = 500
no_new_privileges = true
stdin = "/dev/zero"
memory_max = "512MiB"
cpu = 1.5
pids_max = 100
[spec.limits]
nofile = "1024:4096"
core = "unlimited"
memlock = "64MiB"
nproc = 100
[spec.log]
dir = "logs"
max_size_mb = 5
max_backups = 1
max_age_days = 2
compress = true
timestamps = true
[spec.startup_probe]
exec = "test -f ready"
failure_threshold = 30
[spec.readiness_probe]
http = { port = 8080, path = "health" }
initial_delay = "2s"
period = "5s"
timeout = "2s"
success_threshold = 2
[spec.liveness_probe]
tcp = 8080
"#,
    );
    site.write("programs/db.yaml", "type: process\nspec:\n  name: db\n  args: [postgres, -D, /var/lib/db]\n");
    site.write("programs/cache.json", r#"{"type": "process", "spec": {"name": "cache", "command": "redis-server"}}"#);
    let catalog = site.load_clean();
    let web = process(&catalog, "web");
    assert_eq!(web.program, shell("while true; do echo web; sleep 2; done"));
    assert_eq!(web.work_dir, Some(site.path("app/y")));
    let env: BTreeMap<&str, &str> = web.env.iter().map(|(n, v)| (n.as_str(), v.expose().as_str())).collect();
    assert_eq!(env, [("A", "1"), ("B", "12"), ("HOST", "localhost")].into());
    assert_eq!((web.priority, web.instances, web.auto_start, web.inherit_env), (10, 3, false, false));
    assert_eq!((web.start.retries, web.start.retry_interval), (2, Duration::from_millis(500)));
    assert_eq!(web.restart.when, RestartWhen::Always);
    assert_eq!((web.restart.growth_percent, web.restart.flap_limit), (150, Some(5)));
    assert_eq!((web.restart.delay, web.restart.delay_cap), (Duration::from_secs(1), Duration::from_secs(60)));
    assert_eq!(web.restart.success_codes, [0, 143].into());
    let depends: Vec<_> = web.depends_on.iter().map(|d| (d.name.as_str(), d.condition)).collect();
    assert_eq!(depends, [("db", DependencyCondition::Started), ("cache", DependencyCondition::Healthy)]);
    assert_eq!(web.detectors[0], Detector::PidFile { path: site.path("run/web.pid") });
    assert_eq!(web.detectors[1], Detector::Command { program: exec(&["pgrep", "-f", "web"]) });
    assert_eq!(web.stop.command, Some(exec(&["web-ctl", "stop"])));
    let stages: Vec<_> = web.stop.stages.iter().map(|stage| (stage.signal.as_str(), stage.wait.as_secs())).collect();
    assert_eq!(stages, [("SIGINT", 5), ("SIGTERM", 3)]);
    let confinement = &web.confinement;
    assert_eq!((confinement.user.as_deref(), confinement.group.as_deref()), (Some("www-data"), Some("33")));
    assert_eq!((confinement.umask, confinement.nice, confinement.oom_score_adj), (Some(0o27), Some(-5), Some(500)));
    assert_eq!(confinement.memory_max, Some(512 << 20));
    assert_eq!((confinement.cpu_percent, confinement.pids_max), (Some(150), Some(100)));
    assert_eq!(confinement.rlimits["nofile"], Rlimit { soft: Some(1024), hard: Some(4096) });
    assert_eq!(confinement.rlimits["core"], Rlimit { soft: None, hard: None });
    assert_eq!(confinement.rlimits["memlock"], Rlimit { soft: Some(64 << 20), hard: Some(64 << 20) });
    assert_eq!(web.output.dir, Some(site.path("logs")));
    assert_eq!((web.output.max_size, web.output.max_backups, web.output.timestamps), (5 << 20, 1, true));
    let startup = web.probes.startup.as_ref().unwrap();
    assert_eq!(startup.check, ProbeCheck::Exec { program: exec(&["test", "-f", "ready"]) });
    assert_eq!((startup.period, startup.timeout), (Duration::from_secs(10), Duration::from_secs(1)));
    let readiness = web.probes.readiness.as_ref().unwrap();
    assert_eq!(readiness.check, ProbeCheck::Http { url: "http://127.0.0.1:8080/health".to_owned() });
    assert_eq!((readiness.success_threshold, readiness.failure_threshold), (2, 3));
    let liveness = &web.probes.liveness.as_ref().unwrap().check;
    assert_eq!(*liveness, ProbeCheck::Tcp { address: "127.0.0.1:8080".to_owned() });
    let origin = &catalog.processes[&name("db")].origin;
    assert_eq!(*origin, DeclaredIn::Program(site.path("programs/db.yaml").as_path().into()));
    assert_eq!(process(&catalog, "db").program, exec(&["postgres", "-D", "/var/lib/db"]));
    assert_eq!(
        *process(&catalog, "cache"),
        Process { program: exec(&["redis-server"]), ..Process::new(name("cache"), exec(&[])) }
    );
}

#[test]
fn names_of_the_client_library_and_of_its_json() {
    let site = Site::new();
    site.write(
        "programs/web.json",
        r#"{"type": "process", "spec": {"name": "web", "command": "sleep 1", "work_dir": "", "env": null, "pid_file": "",
        "autorestart": true, "retries": 3, "environment": {"A": 1}, "retry_interval": 0, "start_duration": 2000000000,
        "restart_interval": 5000000000, "detectors": null, "detached": false,
        "log": {"file": {"dir": "/var/log/web", "stdoutPath": "", "stderrPath": "/var/log/web.err", "maxSizeMB": 0,
            "maxBackups": 7, "maxAgeDays": 30, "compress": true}, "slog": {"level": "info"}},
        "lifecycle": {"pre_start": [{"name": "x", "command": "true", "failure_mode": "", "timeout": 0}]}}}"#,
    );
    let web = process(&site.load_clean(), "web");
    assert_eq!(web.restart.when, RestartWhen::Always);
    assert_eq!((web.start.retries, web.start.retry_interval), (3, Duration::from_secs(1)));
    assert_eq!((web.start.duration, web.restart.delay), (Duration::from_secs(2), Duration::from_secs(5)));
    assert_eq!(web.env["A"].expose(), "1");
    assert_eq!(web.output.dir.as_deref().unwrap().to_str(), Some("/var/log/web"));
    assert_eq!(web.output.stderr.as_deref().unwrap().to_str(), Some("/var/log/web.err"));
    assert_eq!((web.output.max_size, web.output.max_backups, web.output.stdout.clone()), (10 << 20, 7, None));
    assert_eq!(web.hooks.pre_start[0].timeout, Duration::from_secs(30));
}

#[test]
fn hooks_of_every_phase() {
    let site = Site::new();
    site.write(
        "programs/app.toml",
        r#"
type = "process"
[spec]
name = "web-app"
command = "python app.py"
auto_restart = true
env = ["PORT=8000"]

[spec.lifecycle]
[[spec.lifecycle.pre_start]]
name = "check-dependencies"
command = "curl -f http://database:5432/health"
failure_mode = "fail"
run_mode = "blocking"
timeout = "30s"

[[spec.lifecycle.pre_start]]
name = "migrate"
command = "python manage.py migrate"
env = ["URL=http://app:${PORT}"]
work_dir = "app"

[[spec.lifecycle.post_start]]
name = "warmup"
command = "curl -X POST http://app.example/api/warmup"
failure_mode = "ignore"
run_mode = "async"

[[spec.lifecycle.pre_stop]]
name = "drain"
command = "sleep 1"
failure_mode = "retry"
timeout = "1h"

[[spec.lifecycle.post_stop]]
name = "backup-logs"
command = "tar -czf /backups/app-logs-$(date +%Y%m%d).tar.gz /var/log/app/"
"#,
    );
    let hooks = process(&site.load_clean(), "web-app").hooks.clone();
    let names = |phase| hooks.of(phase).iter().map(|hook| hook.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(HookPhase::PreStart), ["check-dependencies", "migrate"]);
    assert_eq!(hooks.pre_start[1].env["URL"].expose(), "http://app:8000");
    assert_eq!(hooks.pre_start[1].work_dir, Some(site.path("app")));
    assert_eq!(hooks.post_start[0].run_mode, RunMode::Async);
    assert_eq!(hooks.pre_stop[0].failure_mode, FailureMode::Retry);
    assert_eq!(hooks.pre_stop[0].timeout, Duration::from_secs(3600));
    assert_eq!(hooks.post_stop[0].failure_mode, FailureMode::Fail);
}

#[test]
fn jobs_and_cronjobs() {
    let site = Site::new();
    let job = r#"
type = "job"
[spec]
name = "data-processor"
command = "python process_data.py"
parallelism = 3
completions = 10
backoff_limit = 5
completion_mode = "NonIndexed"
restart_policy = "OnFailure"
active_deadline_seconds = 3600
ttl_seconds_after_finished = 300
[[spec.lifecycle.pre_start]]
name = "download"
command = "true"
"#;
    site.write("programs/job.toml", job);
    site.write(
        "programs/cron.toml",
        r#"
type = "cronjob"
[spec]
name = "daily-backup"
schedule = "0 2 * * *"
concurrency_policy = "Forbid"
starting_deadline_seconds = 60
[[spec.lifecycle.pre_start]]
name = "outer-before"
command = "true"
[[spec.lifecycle.post_stop]]
name = "outer-after"
command = "true"
[spec.job_template]
name = "backup-job"
command = "bash /scripts/backup.sh"
restart_policy = "OnFailure"
active_deadline_seconds = 7200
[[spec.job_template.lifecycle.pre_start]]
name = "inner-before"
command = "df -h | grep '/backup' | awk '{print $4}' | sed 's/%//' | awk '$1 < 90'"
[[spec.job_template.lifecycle.post_stop]]
name = "inner-after"
command = "true"
"#,
    );
    site.write(
        "programs/often.yaml",
        "type: cron\nspec:\n  name: often\n  schedule: '@every 30s'\n  time_zone: Europe/Berlin\n  suspend: true\n  \
         job_template: {command: 'true', completions: any, parallelism: 4}\n",
    );
    site.write(
        "programs/indexed.yaml",
        "type: job\nspec:\n  name: indexed\n  command: 'true'\n  completion_mode: Indexed\n  completions: 5\n  \
         backoff_limit_per_index: 1\n  max_failed_indexes: 2\n  pod_failure_policy:\n    rules:\n    - action: FailIndex\n      \
         on_exit_codes: {operator: In, values: [42, 1]}\n  success_policy:\n    rules:\n    - succeeded_indexes: 0-2,4\n      \
         succeeded_count: 2\n",
    );
    let catalog = site.load_clean();
    let of = |text: &str| Arc::clone(&catalog.jobs[&text.parse().unwrap()]);
    let job_declared = of("job/data-processor");
    let batch = job_declared.batch().unwrap();
    assert_eq!(batch.program, exec(&["python", "process_data.py"]));
    assert_eq!((batch.parallelism, batch.completions, batch.backoff_limit), (3, Some(10), 5));
    assert_eq!(batch.restart_policy, TaskRestart::OnFailure);
    assert_eq!(batch.active_deadline, Some(Duration::from_secs(3600)));
    assert_eq!(batch.ttl_after_finished, Some(Duration::from_secs(300)));
    assert!(job_declared.runs_once() && !job_declared.inline && job_declared.work.type_word() == "batch");

    let cron = of("job/daily-backup");
    assert_eq!(cron.triggers.iter().map(JobTrigger::text).collect::<Vec<_>>(), ["0 2 * * *"]);
    assert_eq!((cron.time_zone.clone(), cron.catch_up, cron.runs_once()), (TimeZone::UTC, CatchUp::Latest, false));
    assert_eq!(cron.rules.concurrency, ConcurrencyPolicy::Forbid);
    assert_eq!((cron.rules.successful_history, cron.rules.failed_history), (Some(3), Some(1)));
    assert_eq!(cron.rules.starting_deadline, Some(Duration::from_secs(60)));
    let hooks = &cron.batch().unwrap().hooks;
    let names = |phase| hooks.of(phase).iter().map(|hook| hook.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(HookPhase::PreStart), ["outer-before", "inner-before"]);
    assert_eq!(names(HookPhase::PostStop), ["inner-after", "outer-after"]);

    let often = of("job/often");
    assert!(often.rules.suspended && often.rules.concurrency == ConcurrencyPolicy::Allow);
    assert_eq!(often.time_zone, TimeZone::get("Europe/Berlin").unwrap());
    assert_eq!((often.batch().unwrap().completions, often.batch().unwrap().parallelism), (None, 4));

    assert!(often.is_scheduled() && cron.is_scheduled() && !job_declared.is_scheduled());

    let indexed = of("job/indexed");
    assert!(indexed.declared().is_some() && often.declared().is_none());
    let batch = indexed.batch().unwrap();
    assert_eq!((batch.completion_mode, batch.backoff_limit), (CompletionMode::Indexed, i32::MAX as u32));
    assert_eq!(batch.failure_policy[0].action, FailureAction::FailIndex);
    assert_eq!(batch.failure_policy[0].values, [1, 42]);
    assert_eq!(batch.success_policy[0].succeeded_indexes.as_deref(), Some("0-2,4"));

    // A declaration that says the same in other words is the same declaration; another one runs anew.
    let declared = |catalog: &Catalog| catalog.jobs[&"job/data-processor".parse().unwrap()].triggers.clone();
    site.write("programs/job.toml", format!("# said\n{job}"));
    assert_eq!(declared(&site.load_clean()), declared(&catalog));
    site.write("programs/job.toml", job.replace("completions = 10", "completions = 11"));
    assert_ne!(declared(&site.load_clean()), declared(&catalog));
}

const CONFIG: &str = r#"
use_os_env = false
env = ["GLOBAL=g", "BOTH=env", "HERE=${HOME}/x"]
env_files = ["a.env"]
pid_dir = "run"
[log]
dir = "logs"
max_size_mb = 2
[[processes]]
type = "process"
[processes.spec]
name = "api"
command = "./api"
env = ["OWN=${GLOBAL}/${FILE}", "BOTH=own"]
[[processes]]
type = "cronjob"
[processes.spec]
name = "nightly"
schedule = "0 2 * * *"
job_template = { command = "true" }
[[cronjobs]]
name = "hourly"
schedule = "@hourly"
job_template = { command = "true" }
[[groups]]
name = "webstack"
members = ["web", "api"]
"#;

#[test]
fn what_the_configuration_declares() {
    let configured = Configured::new(CONFIG);
    configured.site.write("a.env", "FILE=f\nBOTH=file\n");
    configured.site.write("programs/web.toml", "type = 'process'\n[spec]\nname = 'web'\ncommand = './web'\n");
    let config = configured.config();
    assert_eq!(config.processes.programs, configured.site.path("programs"));
    assert_eq!(config.processes.pid_dir, Some(configured.site.path("run")));
    assert_eq!((config.processes.metrics.interval, config.processes.metrics.history), (Duration::from_secs(5), 100));
    let catalog = configured.load_clean();
    let api = process(&catalog, "api");
    let env: BTreeMap<&str, &str> = api.env.iter().map(|(n, v)| (n.as_str(), v.expose().as_str())).collect();
    assert_eq!(env, [("BOTH", "own"), ("FILE", "f"), ("GLOBAL", "g"), ("HERE", "/srv/piton/x"), ("OWN", "g/f")].into());
    assert_eq!((api.output.dir.clone(), api.output.max_size), (Some(configured.site.path("logs")), 2 << 20));
    assert!(catalog.processes[&name("api")].origin.is_configuration());
    assert!(!catalog.processes[&name("web")].origin.is_configuration());
    assert_eq!(catalog.groups[&name("webstack")].members, [name("web"), name("api")]);
    let job = |text: &str| Arc::clone(&catalog.jobs[&text.parse().unwrap()]);
    assert!(job("job/nightly").inline && job("job/hourly").inline);
    assert_eq!(catalog.supervised().len(), 2);
}

#[test]
fn the_environment_of_the_daemon_is_only_named_where_it_is_inherited() {
    let configured = Configured::new(
        "[[processes]]\ntype = 'process'\nspec = {name = 'x', command = 'x', env = ['A=${TOKEN}', 'B=${HOME}']}\n",
    );
    let (catalog, found) = configured.load(None);
    assert!(
        shown(&found).contains("warning: processes[0].spec.env[0]: `A` refers to `TOKEN`, which is not set"),
        "{}",
        shown(&found)
    );
    let x = process(&catalog, "x");
    assert_eq!((x.env["A"].expose().as_str(), x.env["B"].expose().as_str()), ("", "/srv/piton"));
    let inherited = Configured::new(
        "use_os_env = true\n[[processes]]\ntype = 'process'\nspec = {name = 'x', command = 'x', env = ['A=${TOKEN}']}\n",
    );
    let x = process(&inherited.load_clean(), "x");
    assert_eq!((x.env["A"].expose().as_str(), x.inherit_env), ("hunter2", true));
}

#[test]
fn what_the_global_environment_refers_to_is_missed_at_its_line() {
    let configured = Configured::new("env = [\n  'A=1',\n  'B=${NOWHERE}',\n]\nenv_files = ['a.env']\n");
    configured.site.write("a.env", "C=1\nD=${NOWHERE}\n");
    let told = shown(&configured.load(None).1);
    for words in [
        "config.toml:3:3: warning: env: `B` refers to `NOWHERE`, which is not set",
        "a.env:2:1: warning: `D` refers to `NOWHERE`, which is not set",
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_configuration_that_changes_is_read_again() {
    let configured = Configured::new(CONFIG);
    configured.site.write("a.env", "FILE=f\n");
    configured.site.write("programs/web.toml", "type = 'process'\n[spec]\nname = 'web'\ncommand = './web'\n");
    let layout = configured.config().layout(TimeZone::UTC);
    let (first, _) = load(&layout, None);
    let (same, _) = load(&layout, Some(&first));
    assert!(same.same_processes(&first) && Arc::ptr_eq(&process(&same, "api"), &process(&first, "api")));

    configured.site.write("config.toml", CONFIG.replace("GLOBAL=g", "GLOBAL=new"));
    let (second, found) = load(&layout, Some(&first));
    assert_eq!(shown(&found), "");
    assert_eq!(process(&second, "api").env["OWN"].expose(), "new/f");
    assert_eq!(process(&second, "web").env["GLOBAL"].expose(), "new", "files of their own see it too");
    configured.site.write("a.env", "FILE=changed\n");
    let (second, _) = load(&layout, Some(&second));
    assert_eq!(process(&second, "web").env["FILE"].expose(), "changed");

    // What is broken keeps its last good version, and says so.
    configured.site.write("config.toml", "nonsense = 1\n");
    let (third, found) = load(&layout, Some(&second));
    assert!(shown(&found).contains("config.toml:1:1: error: nonsense: unknown key"), "{}", shown(&found));
    assert!(third.same_processes(&second));
    assert!(third.jobs.contains_key(&"job/nightly".parse().unwrap()));
    configured.site.write("a.env", "'\n").remove("config.toml");
    let (third, found) = load(&layout, Some(&third));
    assert!(shown(&found).contains("the configuration is gone"), "{}", shown(&found));
    assert!(shown(&found).contains("a.env:1:1: error: invalid environment file"), "{}", shown(&found));
    assert!(third.same_processes(&second));

    // One process of several.
    configured.site.write("a.env", "FILE=changed\n");
    configured.site.write("config.toml", CONFIG.replace("GLOBAL=g", "GLOBAL=new").replace("\"./api\"", "\"./api '\""));
    let (fourth, found) = load(&layout, Some(&third));
    assert_eq!(found.len(), 1, "{}", shown(&found));
    assert!(shown(&found).contains("config.toml:13:11: error: processes[0].spec.command"), "{}", shown(&found));
    assert!(fourth.same_processes(&second));
    // Who writes it anew empties it first.
    configured.site.write("config.toml", "\n");
    let (fourth, found) = load(&layout, Some(&fourth));
    let words = "config.toml: error: the configuration is empty; what it said about processes stays in force";
    assert!(found.len() == 1 && shown(&found).contains(words), "{}", shown(&found));
    assert!(fourth.same_processes(&second));
    configured.site.write("config.toml", "# Nothing.\n");
    let (fifth, found) = load(&layout, Some(&fourth));
    let words = "config.toml: warning: `pid_dir` changed, which takes effect after a restart of the daemon";
    assert!(found.len() == 1 && shown(&found).contains(words), "{}", shown(&found));
    assert_eq!(fifth.processes.keys().collect::<Vec<_>>(), [&name("web")]);
    assert!(fifth.groups.is_empty() && fifth.jobs.is_empty());
}

#[test]
fn an_environment_file_is_read_again_without_the_configuration() {
    let text = |words: &str| {
        format!(
            "{words}\n[[processes]]\ntype = 'process'\nspec = {{name = 'web', command = 'x', env = ['B=${{A}}']}}\n"
        )
    };
    let configured = Configured::new(&text("env_files = ['a.env']"));
    configured.site.write("a.env", "A=1\n");
    let layout = configured.config().layout(TimeZone::UTC);
    let (first, found) = load(&layout, None);
    assert_eq!(shown(&found), "");

    // Both at once: the configuration is good, and the file keeps its last good content.
    configured.site.write("a.env", "X=2\nnonsense\n");
    configured.site.write("config.toml", text("env_files = ['a.env']\nenv = ['C=3']"));
    let (second, found) = load(&layout, Some(&first));
    assert_eq!(found.len(), 1, "{}", shown(&found));
    assert!(shown(&found).starts_with("a.env:2:1: error: invalid environment file"), "{}", shown(&found));
    let web = process(&second, "web");
    assert_eq!(["A", "B", "C"].map(|name| web.env[name].expose().as_str()), ["1", "1", "3"]);
    configured.site.write("a.env", "A=2\n");
    let (third, found) = load(&layout, Some(&second));
    assert_eq!(shown(&found), "");
    assert_eq!(process(&third, "web").env["B"].expose(), "2");

    // One that never was takes nothing away from what runs, and is waited for.
    configured.site.write("config.toml", text("env_files = ['b.env']"));
    let (fourth, found) = load(&layout, Some(&third));
    insta::assert_snapshot!(shown(&found), @r#"
    b.env: error: this environment file is not there
      hint: restore it, or remove it from `env_files`
    config.toml: error: env_files: b.env cannot be used; what the configuration said about processes stays in force
      hint: mend that file, or remove it from `env_files`
    "#);
    assert!(fourth.same_processes(&third));
    assert_eq!(fourth.env_files(), [configured.site.path("b.env")]);
    configured.site.write("b.env", "A=4\n");
    let (fifth, found) = load(&layout, Some(&fourth));
    assert_eq!(shown(&found), "");
    assert_eq!(process(&fifth, "web").env["B"].expose(), "4");
}

#[test]
fn what_changes_for_the_next_start_only_is_named_until_it_is_put_back() {
    let begun = "[provisioning]\napi_url = 'https://a.example/'\nsecret = 'hunter1'\n";
    let configured = Configured::new(begun);
    let layout = configured.config().layout(TimeZone::UTC);
    let (first, found) = load(&layout, None);
    assert_eq!(shown(&found), "");

    let text = begun.replace("hunter1", "hunter2") + "retry_attempts = 9\n[log]\nmax_backups = 9\n";
    configured.site.write("config.toml", text);
    let (second, found) = load(&layout, Some(&first));
    assert!(found.len() == 1 && found[0].code == "restart_needed", "{}", shown(&found));
    let said = shown(&found);
    let all_named = ["`provisioning.retry_attempts`", "`provisioning.secret`"].iter().all(|key| said.contains(key));
    assert!(all_named && said.contains("after a restart"), "{said}");
    assert!(!said.contains("log.") && !said.contains("hunter"), "{said}");
    let (second, found) = load(&layout, Some(&second));
    assert_eq!(shown(&found), said, "it is so until the restart");

    configured.site.write("config.toml", format!("# as it was\n{begun}"));
    assert_eq!(shown(&load(&layout, Some(&second)).1), "");
}

#[test]
fn a_broken_file_keeps_its_last_good_version() {
    let site = Site::new();
    let good = "type = 'process'\n[spec]\nname = 'web'\ncommand = './web'\n";
    site.write("programs/web.toml", good);
    let first = site.load_clean();
    for broken in [
        "type = 'process'\n[spec]\nname = 'web'\n",
        "nonsense",
        "",
        "type = 'process'\n[spec]\nname = 'web'\ncommand = 'x'\ninstnces = 2\n",
    ] {
        site.write("programs/web.toml", broken);
        let (catalog, found) = site.reload(&first);
        assert!(catalog.same_processes(&first), "{broken}");
        assert!(found.iter().any(Diagnostic::is_error) && found.iter().all(|d| d.file.ends_with("programs/web.toml")));
    }
    site.remove("programs/web.toml");
    assert!(site.reload(&first).0.processes.is_empty());
}

#[test]
fn names_are_unique_over_files() {
    let site = Site::new();
    let text = |command: &str| format!("type = 'process'\n[spec]\nname = 'web'\ncommand = '{command}'\n");
    site.write("programs/a.toml", text("a")).write("programs/b.toml", text("b"));
    let (catalog, found) = site.load();
    insta::assert_snapshot!(shown(&found), @r#"
    programs/b.toml:3:8: error: spec.name: there is another process with the name `web`, in programs/a.toml
      hint: rename one of them
    "#);
    assert_eq!(process(&catalog, "web").program, exec(&["a"]));
    site.remove("programs/a.toml");
    assert_eq!(process(&site.load_clean(), "web").program, exec(&["b"]));

    let site = Site::new();
    site.write("jobs/backup.json", r#"{"type": "command", "command": "true"}"#);
    site.write("programs/backup.toml", "type = 'job'\nspec = {name = 'backup', command = 'x'}\n");
    let (catalog, found) = site.load();
    assert!(shown(&found).contains("programs/backup.toml:2:16: error: spec.name: there is another job with the name `backup`, in jobs/backup.json"), "{}", shown(&found));
    assert_eq!(catalog.jobs.len(), 1);

    let site = Site::new();
    site.write("programs/a.toml", "type = 'process'\nspec = {name = 'web', command = 'x', instances = 2}\n");
    site.write("programs/b.toml", "type = 'process'\nspec = {name = 'web-2', command = 'x'}\n");
    site.write("programs/c.toml", "type = 'process'\nspec = {name = 'web-3', command = 'x'}\n");
    let (catalog, found) = site.load();
    assert!(
        shown(&found).contains("`web-2` is the name of an instance of `web`, which has 2 of them"),
        "{}",
        shown(&found)
    );
    assert_eq!(catalog.processes.len(), 2);
}

/// A file that is broken goes on with what it declared, and so do its instances.
#[test]
fn instances_of_a_broken_file_keep_their_names() {
    let text = |name: &str, rest: &str| format!("type = 'process'\n[spec]\nname = '{name}'\ncommand = 'x'\n{rest}\n");
    let site = Site::new();
    site.write("programs/web.toml", text("web", "instances = 3"));
    let first = site.load_clean();
    site.write("programs/web.toml", "nonsense").write("programs/a.toml", text("web-2", ""));
    let (second, found) = site.reload(&first);
    let told = "programs/a.toml:3:8: error: spec.name: `web-2` is the name of an instance of `web`, which has 3 of them, \
                in programs/web.toml";
    assert!(shown(&found).contains(told), "{}", shown(&found));
    assert!(second.same_processes(&first));

    // The other way round.
    let site = Site::new();
    site.write("programs/a.toml", text("web-2", "")).write("programs/web.toml", text("web", ""));
    let first = site.load_clean();
    site.write("programs/a.toml", "nonsense").write("programs/web.toml", text("web", "instances = 3"));
    let (second, found) = site.reload(&first);
    let told = "programs/web.toml:3:8: error: spec.name: `web` has 3 instances, and `web-2` is the name of a process, in \
                programs/a.toml";
    assert!(shown(&found).contains(told), "{}", shown(&found));
    assert!(second.same_processes(&first));

    // What is kept for another reason counts as well.
    let site = Site::new();
    site.write("programs/web.toml", text("web", "instances = 3")).write("programs/db.toml", text("db", ""));
    let first = site.load_clean();
    site.write("programs/web.toml", text("web", "depends_on = ['none']")).write("programs/a.toml", text("web-2", ""));
    let (second, found) = site.reload(&first);
    let told = "`web-2` is the name of an instance of `web`, which has 3 of them, in programs/web.toml";
    assert!(shown(&found).contains(told), "{}", shown(&found));
    assert!(second.same_processes(&first));
}

/// What runs under a name is nobody else's, wherever another file stands in the order of files.
#[test]
fn a_name_stays_with_the_file_that_has_it() {
    let site = Site::new();
    let text =
        |name: &str, command: &str| format!("type = 'process'\n[spec]\nname = '{name}'\ncommand = '{command}'\n");
    site.write("programs/web.toml", text("web", "old"));
    let first = site.load_clean();
    site.write("programs/a.toml", text("web", "new"));
    let (second, found) = site.reload(&first);
    let taken = "programs/a.toml:3:8: error: spec.name: there is another process with the name `web`, in \
                 programs/web.toml\n  hint: rename one of them";
    assert_eq!(shown(&found), taken);
    assert!(second.same_processes(&first));
    // While its own file is broken, too.
    site.write("programs/web.toml", "nonsense");
    let (third, found) = site.reload(&second);
    assert!(shown(&found).contains(taken), "{}", shown(&found));
    assert!(third.same_processes(&first));
    // What gives a name up leaves it to others, also where two files swap theirs.
    site.write("programs/web.toml", text("api", "old"));
    let (fourth, found) = site.reload(&third);
    assert_eq!(shown(&found), "");
    let programs = |catalog: &Catalog| ["api", "web"].map(|name| process(catalog, name).program.clone());
    assert_eq!(programs(&fourth), [exec(&["old"]), exec(&["new"])]);
    site.write("programs/web.toml", text("web", "old")).write("programs/a.toml", text("api", "new"));
    let (fifth, found) = site.reload(&fourth);
    assert_eq!(shown(&found), "");
    assert_eq!(programs(&fifth), [exec(&["new"]), exec(&["old"])]);

    let job = |command: &str| format!("type = 'job'\n[spec]\nname = 'once'\ncommand = '{command}'\n");
    let site = Site::new();
    site.write("programs/once.toml", job("old"));
    let first = site.load_clean();
    site.write("programs/a.toml", job("new"));
    site.write("jobs/once.json", r#"{"type": "command", "command": "new"}"#);
    let (second, found) = site.reload(&first);
    let told = shown(&found);
    for file in ["programs/a.toml:3:8: error: spec.name", "jobs/once.json"] {
        assert!(told.contains(file), "{told}");
    }
    assert_eq!(told.matches("there is another job with the name `once`, in programs/once.toml").count(), 2, "{told}");
    site.write("programs/once.toml", "");
    assert_eq!(site.reload(&second).0.jobs, first.jobs);
}

#[test]
fn instances_take_no_name_of_a_process_that_is_there() {
    let site = Site::new();
    site.write("programs/one.toml", "type = 'process'\nspec = {name = 'web-2', command = 'x'}\n");
    let first = site.load_clean();
    site.write("programs/web.toml", "type = 'process'\nspec = {name = 'web', command = 'x', instances = 2}\n");
    let (second, found) = site.reload(&first);
    let words = "programs/web.toml:2:16: error: spec.name: `web` has 2 instances, and `web-2` is the name of a process, \
                 in programs/one.toml";
    assert!(found.len() == 1 && shown(&found).starts_with(words), "{}", shown(&found));
    assert!(second.same_processes(&first));
}

#[test]
fn dependencies_and_groups_are_joined() {
    let site = Site::new();
    let process = |name: &str, on: &str| {
        format!("type = 'process'\nspec = {{name = '{name}', command = 'x', depends_on = [{on}]}}\n")
    };
    site.write("programs/a.toml", process("a", "'b'")).write("programs/b.toml", process("b", "'a'"));
    site.write("programs/c.toml", process("c", "'databse'")).write("programs/database.toml", process("database", ""));
    let (catalog, found) = site.load();
    let told = shown(&found);
    assert!(told.contains("processes depend on each other in a circle: a → b → a"), "{told}");
    assert!(told.contains("there is no process `databse` to depend on\n  hint: did you mean `database`?"), "{told}");
    assert_eq!(catalog.processes.keys().collect::<Vec<_>>(), [&name("database")]);

    let groups = "[[groups]]\nname = 'all'\nmembers = ['web', 'wbe']\n[[groups]]\nname = 'twice'\nmembers = []\n[[groups]]\nname = 'twice'\nmembers = []\n";
    let configured = Configured::new(groups);
    configured.site.write("programs/web.toml", process("web", ""));
    let (catalog, found) = configured.load(None);
    insta::assert_snapshot!(shown(&found), @r#"
    config.toml:3:19: error: groups[0].members[1]: there is no process `wbe`
      hint: did you mean `web`?
    config.toml:8:8: error: groups[2].name: there is another group with the name `twice`
      hint: rename one of them
    "#);
    assert_eq!(catalog.groups.keys().collect::<Vec<_>>(), [&name("twice")]);
}

#[test]
fn ten_thousand_programs() {
    let site = Site::new();
    std::fs::create_dir_all(site.path("programs")).unwrap();
    for n in 0..2_000 {
        let text = format!("type = 'process'\n[spec]\nname = 'p{n}'\ncommand = 'sleep {n}'\n");
        std::fs::write(site.path(&format!("programs/p{n}.toml")), text).unwrap();
    }
    let start = std::time::Instant::now();
    let catalog = site.load_clean();
    println!("2,000 programs: {:?}", start.elapsed());
    assert_eq!(catalog.processes.len(), 2_000);
    assert!(start.elapsed().as_secs() < 20);
}
