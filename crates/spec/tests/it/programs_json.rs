//! What is written is read again, and means the same; files of programs are written as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use piton_model::{
    Confinement, Dependency, DependencyCondition, Detector, FailureMode, Hook, Hooks, Name, OutputPolicy, Probe,
    ProbeCheck, Probes, Process, Program, RestartPolicy, RestartWhen, Rlimit, RunMode, Secret, StartPolicy, StopPolicy,
    StopStage,
};
use piton_spec::provisr::{
    Kind, Secrets, Surroundings, WriteError, cronjob_to_json, job_to_json, mask, parse_cronjob, parse_job,
    parse_process, process_to_json, program_file, put_back, read_program, remove_program, rewrite_program,
    write_program,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde_json::json;

use crate::site::{Site, shown};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn names() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9._-]{0,3}[a-z0-9]".prop_filter_map("not a name", |text| Name::parse(&text).ok())
}

fn spans() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), (0..100_000_u64).prop_map(Duration::from_millis)]
}

fn positive() -> impl Strategy<Value = Duration> {
    (1..3_600_000_u64).prop_map(Duration::from_millis)
}

fn paths() -> impl Strategy<Value = PathBuf> {
    "(/[a-z ]{1,5}){1,3}".prop_map(PathBuf::from)
}

fn programs() -> impl Strategy<Value = Program> {
    prop_oneof![
        vec("\\PC{1,8}", 1..4)
            .prop_filter("a program has a name", |argv| !argv[0].trim().is_empty())
            .prop_map(|argv| Program::Exec { argv }),
        // A line is trimmed, since nobody means the spaces around it.
        "[a-z] [a-z|;$*']{0,6}[|;$*][a-z]".prop_filter_map("quotes", |line| {
            (line.matches('\'').count() % 2 == 0).then_some(Program::Shell { line })
        }),
    ]
}

fn env() -> impl Strategy<Value = BTreeMap<String, Secret<String>>> {
    btree_map("[A-Z_]{1,4}", "[^\0]{0,8}".prop_map(Secret::new), 0..4)
}

fn hooks() -> impl Strategy<Value = Hooks> {
    let modes = prop_oneof![Just(FailureMode::Fail), Just(FailureMode::Ignore), Just(FailureMode::Retry)];
    let runs = prop_oneof![Just(RunMode::Blocking), Just(RunMode::Async)];
    let hook = (names(), "[a-z] [a-z|]{1,5}", modes, runs, positive(), env(), proptest::option::of(paths()));
    vec((hook, 0..4_usize), 0..5).prop_map(|all| {
        let mut hooks = Hooks::default();
        let mut seen = BTreeSet::new();
        for ((name, command, failure_mode, run_mode, timeout, env, work_dir), phase) in all {
            if seen.insert(name.clone()) {
                let list = match phase {
                    0 => &mut hooks.pre_start,
                    1 => &mut hooks.post_start,
                    2 => &mut hooks.pre_stop,
                    _ => &mut hooks.post_stop,
                };
                list.push(Hook { name, command, failure_mode, run_mode, timeout, env, work_dir });
            }
        }
        hooks
    })
}

fn probes() -> impl Strategy<Value = Option<Probe>> {
    let check = prop_oneof![
        programs().prop_map(|program| ProbeCheck::Exec { program }),
        Just(ProbeCheck::Http { url: "https://[::1]:8443/health?x=1".to_owned() }),
        (1..=65_535_u16).prop_map(|port| ProbeCheck::Tcp { address: format!("db:{port}") }),
    ];
    proptest::option::of((check, spans(), positive(), positive(), 1..100_u32).prop_map(
        |(check, initial_delay, period, timeout, failure_threshold)| Probe {
            check,
            initial_delay,
            period,
            timeout,
            success_threshold: 1,
            failure_threshold,
        },
    ))
}

fn restarts() -> impl Strategy<Value = RestartPolicy> {
    let when = prop_oneof![Just(RestartWhen::Always), Just(RestartWhen::OnFailure), Just(RestartWhen::Never)];
    (
        when,
        btree_set(0..256_i32, 0..3),
        spans(),
        100..1000_u32,
        positive(),
        spans(),
        proptest::option::of(0..9_u32),
        positive(),
    )
        .prop_map(|(when, success_codes, delay, growth_percent, cap, reset_after, flap_limit, flap_window)| {
            let delay_cap = delay + cap;
            RestartPolicy {
                when,
                success_codes,
                delay,
                growth_percent,
                delay_cap,
                reset_after,
                flap_limit,
                flap_window,
            }
        })
}

fn stops() -> impl Strategy<Value = StopPolicy> {
    let signal = prop_oneof![Just("SIGTERM"), Just("SIGINT"), Just("SIGKILL")].prop_map(str::to_owned);
    let stage = (signal, spans()).prop_map(|(signal, wait)| StopStage { signal, wait });
    (proptest::option::of(programs()), vec(stage, 1..4)).prop_map(|(command, stages)| StopPolicy { command, stages })
}

fn outputs() -> impl Strategy<Value = OutputPolicy> {
    let path = || proptest::option::of(paths());
    (path(), path(), path(), 0..50_u64, 0..5_u32, 0..30_u64, any::<bool>(), any::<bool>()).prop_map(
        |(dir, stdout, stderr, size, max_backups, days, compress, timestamps)| OutputPolicy {
            dir,
            stdout,
            stderr,
            max_size: size << 20,
            max_backups,
            max_age: Duration::from_secs(days * 86_400),
            compress,
            timestamps,
        },
    )
}

fn confinements() -> impl Strategy<Value = Confinement> {
    let limit = (proptest::option::of(0..9_u64), proptest::option::of(9..99_u64))
        .prop_filter("the soft one is lower", |(soft, hard)| soft.is_some() || hard.is_none())
        .prop_map(|(soft, hard)| Rlimit { soft, hard });
    let ids = proptest::option::of("[a-z0-9]{1,5}");
    (
        (ids.clone(), ids, proptest::option::of(0..=0o777_u32), proptest::option::of(-20..20_i32)),
        (proptest::option::of(-1000..=1000_i32), any::<bool>(), proptest::option::of(paths())),
        btree_map(prop_oneof![Just("nofile".to_owned()), Just("core".to_owned())], limit, 0..3),
        (proptest::option::of(1..u64::MAX / 4), proptest::option::of(1..5000_u32), proptest::option::of(1..99_u32)),
    )
        .prop_map(
            |((user, group, umask, nice), (oom_score_adj, no_new_privileges, stdin), rlimits, group_limits)| {
                let (memory_max, cpu_percent, pids_max) = group_limits;
                Confinement {
                    user,
                    group,
                    umask,
                    nice,
                    oom_score_adj,
                    no_new_privileges,
                    stdin,
                    rlimits,
                    memory_max,
                    cpu_percent,
                    pids_max,
                }
            },
        )
}

fn processes() -> impl Strategy<Value = Process> {
    let conditions = prop_oneof![
        Just(DependencyCondition::Started),
        Just(DependencyCondition::Healthy),
        Just(DependencyCondition::CompletedSuccessfully),
    ];
    let dependencies = btree_map(names(), conditions, 0..3)
        .prop_map(|all| all.into_iter().map(|(name, condition)| Dependency { name, condition }).collect::<Vec<_>>());
    let detectors = vec(
        prop_oneof![
            paths().prop_map(|path| Detector::PidFile { path }),
            programs().prop_map(|program| Detector::Command { program }),
        ],
        0..3,
    );
    let optional = || proptest::option::of(paths());
    (
        (programs(), optional(), env(), 0..=1_u32, any::<i32>(), any::<bool>()),
        (spans(), 0..9_u32, spans(), restarts(), stops(), dependencies),
        (probes(), probes(), probes(), detectors),
        (hooks(), optional(), outputs(), confinements()),
    )
        .prop_map(|(base, run, probes, rest)| {
            let (program, work_dir, env, instances, priority, auto_start) = base;
            let (duration, retries, retry_interval, restart, stop, depends_on) = run;
            let (startup, readiness, liveness, detectors) = probes;
            let (hooks, pid_file, output, confinement) = rest;
            Process {
                work_dir,
                env,
                instances,
                priority,
                auto_start,
                start: StartPolicy { duration, retries, retry_interval },
                restart,
                stop,
                depends_on,
                probes: Probes { startup, readiness, liveness },
                detectors,
                hooks,
                pid_file,
                output,
                confinement,
                ..Process::new(name("UPPER"), program)
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_process_that_is_written_is_read_again(process in processes()) {
        let around = Surroundings::default();
        let json = process_to_json(&process, &around, Secrets::Shown);
        let (read, found) = parse_process(&json, &around).map_err(|found| {
            TestCaseError::fail(format!("{}\n{json:#}", shown(&found)))
        })?;
        prop_assert_eq!(shown(&found), "");
        prop_assert_eq!(&read, &process, "{:#}", json);
        // Nobody would see a secret.
        let masked = process_to_json(&process, &around, Secrets::Masked);
        let mut by_hand = json;
        mask(&mut by_hand);
        prop_assert_eq!(masked, by_hand);
    }
}

#[test]
fn jobs_that_are_written_are_read_again() {
    let around = Surroundings::default();
    for json in [
        json!({"name": "a", "command": "true"}),
        json!({"name": "a", "args": ["a", "b c"], "env": ["A=1"], "parallelism": 3, "completions": "any", "suspend": true,
            "backoff_limit": 0, "restart_policy": "OnFailure", "active_deadline_seconds": 60,
            "ttl_seconds_after_finished": 0, "user": "nobody", "limits": {"nofile": 10},
            "lifecycle": {"post_stop": [{"name": "x", "command": "y", "run_mode": "async"}]}}),
        json!({"name": "a", "command": "a | b", "completion_mode": "Indexed", "completions": 9, "work_dir": "/srv",
            "backoff_limit_per_index": 2, "max_failed_indexes": 3,
            "pod_failure_policy": {"rules": [{"action": "FailIndex", "on_exit_codes": {"operator": "NotIn", "values": [0, 3]}},
                {"action": "Ignore", "on_pod_conditions": [{"type": "DisruptionTarget"}]}]},
            "success_policy": {"rules": [{"succeeded_indexes": "1-3,5", "succeeded_count": 2}, {"succeeded_count": 1}]}}),
    ] {
        let (job, _) = parse_job(&json, &around).map_err(|found| shown(&found)).unwrap();
        let written = job_to_json(&job, &around, Secrets::Shown);
        let (again, _) = parse_job(&written, &around).map_err(|found| shown(&found)).unwrap();
        assert_eq!((&again.work, &again.rules), (&job.work, &job.rules), "{written:#}");

        let cron = json!({"name": "c", "schedule": ["@every 5m", "0 2 * * *"], "time_zone": "Europe/Berlin",
            "concurrency_policy": "Replace", "starting_deadline_seconds": 10, "catch_up": "skip",
            "successful_jobs_history_limit": 7, "failed_jobs_history_limit": 0, "suspend": true,
            "lifecycle": {"pre_start": [{"name": "outer", "command": "z"}]},
            "job_template": {"command": "true", "env": {"B": "2"}, "lifecycle": {"pre_start": [{"name": "inner", "command": "z"}]}}});
        let (job, _) = parse_cronjob(&cron, &around).map_err(|found| shown(&found)).unwrap();
        let written = cronjob_to_json(&job, &around, Secrets::Shown);
        let (again, _) = parse_cronjob(&written, &around).map_err(|found| shown(&found)).unwrap();
        assert_eq!(again, job, "{written:#}");
        assert!(!cronjob_to_json(&job, &around, Secrets::Masked).to_string().contains("B=2"));
    }
}

/// Who holds a job back does not declare another one.
#[test]
fn to_suspend_a_job_is_no_other_declaration() {
    let around = Surroundings::default();
    let digest = |json: &serde_json::Value| {
        let (job, _) = parse_job(json, &around).map_err(|found| shown(&found)).unwrap();
        job.declared().unwrap().clone()
    };
    let plain = digest(&json!({"name": "a", "command": "true"}));
    assert_eq!(digest(&json!({"name": "a", "command": "true", "suspend": true})), plain);
    assert_eq!(digest(&json!({"name": "a", "suspend": false, "command": "true"})), plain);
    assert_ne!(digest(&json!({"name": "a", "command": "false"})), plain);
}

#[test]
fn what_programs_leave_without_a_type_is_a_process() {
    let site = Site::new();
    site.write("programs/web.json", r#"{"name": "web", "command": "x", "instances": 2}"#);
    assert_eq!(site.load_clean().processes[&name("web")].process.instances, 2);
    let (kind, spec) = read_program(&site.path("programs/web.json")).unwrap();
    assert_eq!((kind, spec), (Kind::Process, json!({"name": "web", "command": "x", "instances": 2})));
}

#[test]
fn programs_write_empty_text_for_what_nobody_said() {
    let around = Surroundings::default();
    let cron = json!({"name": "c", "schedule": "@hourly", "time_zone": "", "job_template": {"command": "true"}});
    let (job, _) = parse_cronjob(&cron, &around).map_err(|found| shown(&found)).unwrap();
    assert_eq!(job.time_zone, jiff::tz::TimeZone::UTC);
    let log = json!({"name": "a", "command": "x", "log": {"file": {"dir": "rel"}}});
    let found = parse_process(&log, &around).unwrap_err();
    assert_eq!(found.len(), 1, "it is said once: {}", shown(&found));
}

#[test]
fn programs_write_zero_instances_for_what_nobody_said() {
    let json = json!({"name": "web", "command": "./web", "instances": 0});
    let (process, _) = parse_process(&json, &Surroundings::default()).unwrap();
    assert_eq!(process.instances, 1);
    let json = json!({"name": "web", "command": "./web", "instances": "0"});
    let (process, _) = parse_process(&json, &Surroundings::default()).unwrap();
    assert_eq!(process.instances, 0);
    let site = Site::new();
    site.write("programs/web.json", r#"{"type": "process", "spec": {"name": "web", "command": "x", "instances": 0}}"#);
    // Who writes by hand means what they write.
    site.write("programs/none.toml", "type = 'process'\nspec = {name = 'none', command = 'x', instances = 0}\n");
    let processes = site.load_clean().processes;
    let instances = |of: &str| processes[&name(of)].process.instances;
    assert_eq!((instances("web"), instances("none")), (1, 0));
}

#[test]
fn what_the_api_shows() {
    let json = json!({"name": "web", "command": "./web", "env": ["TOKEN=hunter2"], "auto_restart": true});
    let (process, _) = parse_process(&json, &Surroundings::default()).unwrap();
    assert_eq!(
        process_to_json(&process, &Surroundings::default(), Secrets::Masked),
        json!({"name": "web", "command": "./web", "env": ["TOKEN=***"], "priority": 0, "retry_count": 0,
            "retry_interval": 1_000_000_000, "start_duration": 0, "auto_restart": true, "restart": "always",
            "restart_interval": 3_000_000_000_u64, "instances": 1, "detached": false, "auto_start": true,
            "stop_signal": "SIGTERM", "stop_timeout": 3_000_000_000_u64})
    );
}

#[test]
fn files_of_programs_are_written_and_removed() {
    let site = Site::new();
    let directory = site.path("programs");
    let spec = |command: &str| json!({"name": "web", "command": command, "restart_interval": 5_000_000_000_u64});
    let (file, text) = program_file(Kind::Process, &name("web"), &spec("a"));
    assert_eq!(file, "web.json");
    assert!(text.ends_with("}\n"));
    let path = write_program(&directory, Kind::Process, &name("web"), &spec("a")).unwrap();
    assert_eq!(path, directory.join("web.json"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read_program(&path).unwrap(), (Kind::Process, spec("a")));
    assert_eq!(site.load_clean().processes[&name("web")].process.restart.delay, Duration::from_secs(5));

    let again = write_program(&directory, Kind::Process, &name("web"), &spec("b"));
    assert!(matches!(again, Err(WriteError::Taken(_))), "{again:?}");
    assert_eq!(read_program(&path).unwrap().1, spec("a"));
    let around = Surroundings::default();
    rewrite_program(&directory, &path, Kind::Process, &spec("b"), &around).unwrap();
    assert_eq!(read_program(&path).unwrap().1, spec("b"));
    write_program(&directory, Kind::Job, &name("web"), &json!({"name": "web", "command": "x"})).unwrap();
    assert_eq!(site.load_clean().jobs.len(), 1);

    // A file in another format stays what it is, and comes back where the change was a mistake, for nobody's eyes but
    // its owner's.
    let before = "type = 'process' # ours\nspec = {name = 'db', command = 'x'}\n";
    site.write("programs/other.toml", before);
    let toml = directory.join("other.toml");
    let db = json!({"name": "db", "command": "y"});
    rewrite_program(&directory, &toml, Kind::Process, &db, &around).unwrap();
    assert_eq!(std::fs::read_to_string(&toml).unwrap(), before.replace("'x'", "\"y\""));
    assert!(!directory.join("db.json").exists());
    put_back(&directory, &toml, before.as_bytes()).unwrap();
    assert_eq!(std::fs::read_to_string(&toml).unwrap(), before);
    assert_eq!(std::fs::metadata(&toml).unwrap().permissions().mode() & 0o777, 0o600);
    let elsewhere = put_back(&directory, &site.path("other.toml"), before.as_bytes());
    assert!(matches!(elsewhere, Err(WriteError::Outside(_))), "{elsewhere:?}");

    // Nothing outside is touched.
    let outside = site.path("outside.json");
    std::fs::write(&outside, "{}").unwrap();
    symlink(&outside, directory.join("link.json")).unwrap();
    std::fs::create_dir(directory.join("dir.json")).unwrap();
    for bad in
        [outside.clone(), directory.join("../outside.json"), directory.join("link.json"), directory.join("dir.json")]
    {
        assert!(matches!(remove_program(&directory, &bad), Err(WriteError::Outside(_))), "{bad:?}");
        let written = rewrite_program(&directory, &bad, Kind::Process, &spec("c"), &around);
        assert!(matches!(written, Err(WriteError::Outside(_))), "{bad:?}: {written:?}");
    }
    let through = write_program(&directory, Kind::Process, &name("link"), &spec("c"));
    assert!(matches!(through, Err(WriteError::Taken(_))), "{through:?}");
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "{}");
    remove_program(&directory, &path).unwrap();
    remove_program(&directory, &path).unwrap();
    assert!(!path.exists());
    let left: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|file| !file.to_string_lossy().starts_with('.')), "{left:?}");
}
