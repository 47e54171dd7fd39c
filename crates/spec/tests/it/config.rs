//! `piton.toml`, the environment and the command line.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use piton_model::{Backoff, JobType, ToolChoice};
use piton_spec::{
    CatchUp, ClientAuth, Config, Diagnostic, LogFormat, LogOutput, Origin, Sources, TlsIdentity, TlsVersion,
};

use crate::site::{Site, shown};

fn sources(site: &Site) -> Sources {
    Sources { current_dir: site.root().to_path_buf(), system_dir: Some(site.path("etc")), ..Sources::default() }
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn good(sources: &Sources) -> Config {
    let (config, warnings) = Config::load(sources).map_err(|found| shown(&found)).unwrap();
    assert_eq!(shown(&warnings), "");
    config
}

/// What somebody with this `piton.toml` is told.
fn told(text: &str) -> String {
    let site = Site::new();
    site.write("piton.toml", text);
    let found = match Config::load(&sources(&site)) {
        Ok((_, warnings)) => warnings,
        Err(found) => found,
    };
    shown(&found)
}

fn explained(config: &Config, key: &str) -> (String, String) {
    let explained = config.explain().into_iter().find(|explained| explained.key == key).unwrap();
    (explained.value, explained.origin.to_string())
}

#[test]
fn without_anything() {
    let site = Site::new();
    let config = good(&sources(&site));
    assert_eq!(config.file, None);
    assert_eq!(config.data_dir, site.path(".piton"));
    assert_eq!(config.log_dir, site.path(".piton/logs"));
    assert_eq!(config.store_url.expose(), &format!("sqlite:{}", site.path(".piton/piton.db").display()));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.base_path, "/api");
    assert!(config.server.allowed_origins.is_empty() && !config.auth.enabled && config.exposure().is_none());
    assert_eq!(config.scheduler.time_zone, None);
    assert_eq!(config.scheduler.catch_up, CatchUp::Latest);
    assert_eq!(config.scheduler.check_interval.expression(), "* * * * *");
    assert_eq!(config.iac.tool, ToolChoice::Auto);
    assert_eq!(config.iac.timeout, Duration::from_secs(3600));
    assert_eq!(config.iac.approval_timeout, Duration::from_secs(86_400));
    assert_eq!(config.iac.retention, Duration::from_secs(86_400));
    assert!(config.iac.plugin_cache);
    assert_eq!(config.logging.output, LogOutput::Stderr);
    let layout = config.layout(TimeZone::UTC);
    assert_eq!(layout.workspaces, site.path("workspaces"));
    assert_eq!(layout.registry(), site.path(".piton/templates/registry.json"));

    let root = good(&Sources { superuser: true, ..sources(&site) });
    assert_eq!(root.data_dir, Path::new("/var/lib/piton"));
}

#[test]
fn precedence_and_origins() {
    let site = Site::new();
    site.write("piton.toml", "[server]\nlisten = '127.0.0.1:1'\n[iac]\ntimeout = '2h'\n[data]\ndir = 'state'\n");
    let mut sources = sources(&site);
    let config = good(&sources);
    assert_eq!(
        explained(&config, "server.listen"),
        ("127.0.0.1:1".into(), format!("{}:2", site.path("piton.toml").display()))
    );
    assert_eq!(explained(&config, "iac.approval_timeout"), ("24h".into(), "default".into()));
    assert_eq!(config.data_dir, site.path("state"));

    sources.environment =
        variables(&[("PITON_SERVER__LISTEN", "127.0.0.1:2"), ("PROVISIONER_STATE_DIR", "/srv/state")]);
    let config = good(&sources);
    assert_eq!(explained(&config, "server.listen"), ("127.0.0.1:2".into(), "$PITON_SERVER__LISTEN".into()));
    assert_eq!(config.data_dir, Path::new("/srv/state"));

    sources.flags = variables(&[("server.listen", "127.0.0.1:3")]);
    let config = good(&sources);
    assert_eq!(config.server.listen.port, 3);
    let listen = config.explain().into_iter().find(|explained| explained.key == "server.listen").unwrap();
    assert_eq!(listen.origin, Origin::Flag);
}

#[test]
fn variables_of_the_seeds() {
    let site = Site::new();
    let mut sources = sources(&site);
    sources.environment = variables(&[
        ("PROVISIONER_CONFIG_DIR", "conf"),
        ("PROVISIONER_LOG_DIR", "/var/log/provisioner"),
        ("SCHEDULER_TIMEZONE", "America/Los_Angeles"),
        ("SCHEDULER_INTERVAL", "*/5 * * * *"),
        ("LOG_FORMAT", "json"),
        ("LOG_LEVEL", ""),
        ("ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ("REGISTRY_HOST", "http://registry.example:9080"),
        ("PROVISIONING_TIMEOUT", "300"),
        ("PROVISIONING_API_URL", "http://n8n.example/provision"),
        ("TERMINATION_API_URL", "http://n8n.example/terminate"),
        ("RABBITMQ_URL", "amqp://guest:guest@rabbit.example:5672/"),
        ("RABBITMQ_RETRY_DELAY", "5s"),
        ("GITLAB_GROUP_ID", "42"),
        ("MAX_TEMPLATE_SIZE", "10MB"),
        ("MAX_JOB_DURATION", "10m"),
        ("GITLAB_TOKEN", "hunter2"),
        ("WORKER_CONCURRENCY", "5"),
        ("PITON_CONFORMANCE_DIR", "/elsewhere"),
        ("PATH", "/bin"),
    ]);
    let config = good(&sources);
    assert_eq!(config.root, site.path("conf"));
    assert_eq!(config.log_dir, Path::new("/var/log/provisioner"));
    assert_eq!(config.scheduler.time_zone, Some(TimeZone::get("America/Los_Angeles").unwrap()));
    assert_eq!(config.logging.format, LogFormat::Json);
    assert_eq!(config.server.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.value("worker.max_template_size"), Some(&serde_json::json!(10 << 20)));
    assert_eq!(config.value("provisioning.timeout"), Some(&serde_json::json!("300s")));
    assert_eq!(config.scheduler.check_interval.expression(), "*/5 * * * *");
    assert_eq!(config.provisioning.api_url.as_deref(), Some("http://n8n.example/provision"));
    assert_eq!(config.provisioning.webhooks[&JobType::Terminate], "http://n8n.example/terminate");
    assert_eq!(explained(&config, "gitlab.token"), ("***".into(), "$GITLAB_TOKEN".into()));
    assert_eq!(explained(&config, "worker.rabbitmq_url").0, "amqp://guest:***@rabbit.example:5672/");
}

#[test]
fn databases() {
    let site = Site::new();
    let mut sources = sources(&site);
    sources.environment =
        variables(&[("DATABASE_HOST", "db"), ("DATABASE_PASSWORD", "a/b@c"), ("DATABASE_NAME", "one")]);
    let config = good(&sources);
    assert_eq!(config.store_url.expose(), "postgres://postgres:a%2Fb%40c@db:5432/one?sslmode=prefer");
    assert_eq!(explained(&config, "store.url").0, "postgres://postgres:***@db:5432/one?sslmode=prefer");
    assert!(!format!("{:?}", config.store_url).contains("a%2Fb"));

    // As the container of the Go scheduler is started.
    sources.environment = variables(&[("DATABASE_HOST", "postgres"), ("DATABASE_PASSWORD", "password")]);
    assert_eq!(good(&sources).store_url.expose(), "postgres://postgres:password@postgres:5432/oneclick?sslmode=prefer");

    site.write("piton.toml", "[store]\nurl = 'sqlite:my.db'\n");
    let (config, warnings) = Config::load(&sources).unwrap();
    assert_eq!(config.store_url.expose(), &format!("sqlite:{}", site.path("my.db").display()));
    insta::assert_snapshot!(shown(&warnings), @"environment: warning: database.host: this has no effect, because `store.url` says which database is used");
}

#[test]
fn files_of_the_seeds_are_read_as_they_are() {
    let site = Site::new();
    site.write(
        "config.yaml",
        r#"
database:
  host: db.example
  port: 5432
  user: postgres
  password: password
  dbname: oneclick

scheduler:
  check_interval: "*/1 * * * *"  # Check every minute
  timezone: "America/Los_Angeles"

provisioning:
  api_url: "http://n8n.example:3000/api/provision-n8n"
  timeout: 300  # 5 minutes
  retry_attempts: 3
  retry_delay: 60  # seconds

logging:
  level: info
  format: json
  output: /var/log/oneclick-scheduler.log
"#,
    );
    let config = good(&Sources { file: Some("config.yaml".into()), ..sources(&site) });
    assert_eq!(config.store_url.expose(), "postgres://postgres:password@db.example:5432/oneclick?sslmode=prefer");
    assert_eq!(config.logging.output, LogOutput::File("/var/log/oneclick-scheduler.log".into()));
    assert_eq!(config.logging.format, LogFormat::Json);
    assert_eq!(config.scheduler.time_zone, Some(TimeZone::get("America/Los_Angeles").unwrap()));
    let provisioning = &config.provisioning;
    assert_eq!(provisioning.api_url.as_deref(), Some("http://n8n.example:3000/api/provision-n8n"));
    assert_eq!((provisioning.timeout, provisioning.retry_attempts), (Duration::from_secs(300), 3));
    let cap = Duration::from_secs(3600);
    assert_eq!(provisioning.retry(), Backoff { max_attempts: 4, first: Duration::from_secs(60), cap });

    site.write(
        "config.toml",
        r#"
use_os_env = true
env = ["A=1"]
env_files = [".env"]
pid_dir = "run"
programs_directory = "programs"
[server]
enabled = true
listen = ":8080"
base_path = "/api"
pidfile = "/var/run/provisr.pid"
logfile = "/var/log/provisr.log"
[server.tls]
enabled = true
dir = "./tls"
auto_generate = true
[server.tls.auto_gen]
common_name = "localhost"
dns_names = ["localhost"]
ip_addresses = ["127.0.0.1"]
valid_days = 365
[auth]
enabled = true
database_path = "auth.db"
database_type = "sqlite"
[auth.jwt]
secret = "your-secret-key"
expires_in = "24h"
[auth.admin]
auto_create = true
username = "admin"
password = "admin"
email = "admin@localhost"
[log]
dir = "logs"
max_size_mb = 10
[metrics]
enabled = true
listen = ":9090"
[[processes]]
type = "process"
[processes.spec]
name = "web"
command = "sh -c 'sleep 1'"
[[groups]]
name = "webstack"
members = ["web"]
[[cronjobs]]
name = "x"
"#,
    );
    site.write(".env", "B=2\n");
    let config = good(&Sources { file: Some("config.toml".into()), ..sources(&site) });
    assert!(config.auth.enabled && config.exposure().is_none());
    assert_eq!(config.value("processes").unwrap()[0]["spec"]["name"], "web");
    assert!(!format!("{config:?}").contains("your-secret-key"));
    for secret in ["auth.jwt.secret", "auth.admin.password", "processes", "env"] {
        assert_eq!(explained(&config, secret).0, "***");
    }
}

#[test]
fn what_is_wrong_with_a_file() {
    insta::assert_snapshot!(told("[server]\nlistn = ':80'\nlisten = 'nonsense'\n[colour]\na = 1\n"), @r#"
    piton.toml:2:1: error: server.listn: unknown key `listn` in [server]
      hint: did you mean `listen`?
    piton.toml:3:10: error: server.listen: `nonsense` is not an address to listen on
      hint: write `127.0.0.1:8080` for this host only, `:8080` for every address
    piton.toml:4:2: error: colour: unknown key `colour` at the top level
      hint: `piton config schema` lists every key
    "#);
    insta::assert_snapshot!(told("[server]\nlisten = ':99999'\n[metrics]\nlisten = '127.0.0.1:65536'\n"), @r#"
    piton.toml:2:10: error: server.listen: `:99999` is not an address to listen on: port must be 0-65535
      hint: 0 lets the system choose a port
    piton.toml:4:10: error: metrics.listen: `127.0.0.1:65536` is not an address to listen on: port must be 0-65535
      hint: 0 lets the system choose a port
    "#);
    insta::assert_snapshot!(told("[iac]\ntool = 'tufo'\ntimeout = 60\nplugin_cache = 'on'\n"), @r#"
    piton.toml:2:8: error: iac.tool: `tufo` is not one of auto, tofu, terraform
    piton.toml:3:11: error: iac.timeout: expected duration such as `90s`, `60m`, `1h30m`, found a number
      hint: write `60s` for seconds or `60m` for minutes, in quotes
    piton.toml:4:16: error: iac.plugin_cache: expected true or false, found text
    "#);
    insta::assert_snapshot!(told("[scheduler]\ntimezone = 'Mars'\ncheck_interval = '99 * * * *'\nmax_concurrent_runs = 0\n"), @r#"
    piton.toml:2:12: error: scheduler.timezone: unknown time zone `Mars`
      hint: use a name of the IANA database, for example `Europe/Berlin` or `UTC`
    piton.toml:3:18: error: scheduler.check_interval: minute: 99 is out of range, it goes from 0 to 59
      hint: the full hour is minute 0
    piton.toml:4:23: error: scheduler.max_concurrent_runs: 0 is out of range, it goes from 1 to 1000000
    "#);
    insta::assert_snapshot!(told("[store]\nurl = 'mysql://a:hunter2@b/c'\n[security]\nblocked_networks = ['10.0.0.0/99']\n"), @r#"
    piton.toml:2:7: error: store.url: a URL that begins with `mysql:` is not possible here
      hint: it begins with `sqlite`, `postgres`, `postgresql`
    piton.toml:4:21: error: security.blocked_networks[0]: `10.0.0.0/99` is not a network
      hint: for example `10.0.0.0/8` or `fd00::/8`
    "#);
    insta::assert_snapshot!(told("server = 1\n\"server.listen\" = ':80'\n"), @r#"
    piton.toml:1:10: error: server: expected a table, found a number
    piton.toml:2:1: error: server.listen: unknown key `server.listen` at the top level
      hint: `piton config schema` lists every key
    "#);
    insta::assert_snapshot!(told("[server\n"), @"piton.toml:1:8: error: invalid TOML: unclosed table, expected `]`");
}

#[test]
fn what_is_wrong_about_processes() {
    insta::assert_snapshot!(told("env = ['A=1', 'B']\nenv_files = ['none.env']\n"), @r#"
    piton.toml:1:15: error: env[1]: expected `NAME=VALUE`, and here is no `=`
      hint: `NAME=${NAME}` passes a variable of the daemon on
    none.env: error: the file cannot be read: No such file or directory (os error 2)
      hint: check that it exists and that its permissions allow this user to read it
    "#);
    insta::assert_snapshot!(told("env = [\n  'A=1',\n  'B C=1',\n]\n"), @r#"
    piton.toml:3:3: error: env[1]: `B C` cannot be the name of an environment variable
      hint: a name has no spaces in it and is not empty
    "#);
    let told_of_number = told("env = [\n  'A=1',\n  2,\n]\n");
    assert_eq!(told_of_number, "piton.toml:3:3: error: env[1]: expected text, found a number");
    let told_of_group = told("groups = [\n  { name = 'a' },\n  7,\n]\n");
    assert_eq!(told_of_group, "piton.toml:3:3: error: groups[1]: expected a table, found a number");
    let on =
        "enabled = true\n[history.stores.sqlite]\nenabled = true\nretention = '24h'\n[history.stores.clickhouse]\n";
    insta::assert_snapshot!(told(&format!("[history]\n{on}enabled = true\ndns = 'x'\n")), @r#"
    piton.toml:1: error: history.stores.clickhouse.dns: unknown key `dns` in [history.stores.clickhouse]
      hint: did you mean `dsn`?
    piton.toml:1: error: history.stores.clickhouse: the history of processes is kept in Piton's own database; it is not sent to clickhouse
      hint: switch it off with `enabled = false`, or read `/api/history`
    "#);
    assert_eq!(told(&format!("[history]\n{on}enabled = false\n")), "");
    assert_eq!(told("[history]\nenabled = false\nopensearch_url = 'http://x'\n"), "");
    assert!(told("[history]\nopensearch_url = 'http://x'\n").contains("history.opensearch_url"));

    let site = Site::new();
    let mut sources = sources(&site);
    sources.environment =
        variables(&[("PITON_PROCESSES", "[{}]"), ("PITON_ENV", "A=1,B=2"), ("PITON_USE_OS_ENV", "yes")]);
    assert!(shown(&Config::load(&sources).unwrap_err()).contains("can only be declared in a file"));
    let debug = format!("{sources:?}");
    assert!(debug.contains("PITON_ENV") && !debug.contains("A=1"), "{debug}");
    sources.environment.remove("PITON_PROCESSES");
    let config = good(&sources);
    assert_eq!((config.processes.defaults.env.len(), config.processes.defaults.inherit_env), (2, true));
}

#[test]
fn programs_lie_beside_the_configuration() {
    let site = Site::new();
    site.write("etc/piton/piton.toml", "[daemon]\npid_file = 'x.pid'\n[metrics.process_metrics]\nhistory_size = 7\n");
    let config = good(&sources(&site));
    assert_eq!(config.processes.programs, site.path("etc/piton/programs"));
    assert_eq!(config.processes.defaults.base, site.path("etc/piton"));
    assert_eq!(config.server.pidfile, Some(site.path("etc/piton/x.pid")));
    assert_eq!(config.processes.metrics.history, 7);
    site.write("programs/a.json", "{}");
    assert_eq!(good(&sources(&site)).processes.programs, site.path("programs"), "those of the directory come first");
    let watched = good(&sources(&site)).layout(TimeZone::UTC).watched();
    assert!(watched.contains(&site.path("programs")) && watched.contains(&site.path("etc/piton/piton.toml")));
}

#[test]
fn what_is_wrong_outside_files() {
    let site = Site::new();
    let mut sources = sources(&site);
    sources.environment = variables(&[("PITON_SERVER__LISTN", ":80"), ("PITON_IAC__TIMEOUT", "soon")]);
    sources.flags = variables(&[("data.dir", " ")]);
    insta::assert_snapshot!(shown(&Config::load(&sources).unwrap_err()), @r#"
    environment: error: PITON_IAC__TIMEOUT: `soon` is not a duration: a number is expected
      hint: write a number and a unit (h, m, s), for example `60m` or `90s`
    environment: error: PITON_SERVER__LISTN: unknown key `server.listn`
      hint: did you mean `PITON_SERVER__LISTEN`?
    command line: error: data.dir: this must not be empty
    "#);
    sources.file = Some("none.toml".into());
    insta::assert_snapshot!(shown(&Config::load(&sources).unwrap_err()), @r#"
    none.toml: error: there is no such configuration file
      hint: check `--config` and `PITON_CONFIG`; `piton config init` writes an example
    "#);
}

#[test]
fn lookup() {
    let site = Site::new();
    let mut sources = sources(&site);
    sources.environment = variables(&[("HOME", site.path("home").to_str().unwrap())]);
    for file in ["etc/piton/piton.toml", "home/.config/piton/piton.toml", "piton.json", "piton.toml", "chosen.toml"] {
        let text = if file.ends_with("json") { "{}" } else { "" };
        site.write(file, text);
        if file == "chosen.toml" {
            sources.environment.insert("PITON_CONFIG".into(), "chosen.toml".into());
        }
        let (config, _) = Config::load(&sources).unwrap();
        assert_eq!(config.file, Some(site.path(file)));
    }
    sources.environment.remove("PITON_CONFIG");
    let (_, warnings) = Config::load(&sources).unwrap();
    assert!(shown(&warnings).starts_with("piton.json: warning: this file is ignored"), "{}", shown(&warnings));
}

/// With the defaults there would be another database, for one.
#[test]
fn a_configuration_that_cannot_be_read_is_not_taken_for_none() {
    let site = Site::new();
    std::os::unix::fs::symlink("nowhere", site.path("piton.toml")).unwrap();
    insta::assert_snapshot!(shown(&Config::load(&sources(&site)).unwrap_err()), @r"
    piton.toml: error: the file cannot be read: No such file or directory (os error 2)
      hint: check that it exists and that its permissions allow this user to read it
    ");
    site.remove("piton.toml");
    std::fs::create_dir(site.path("piton.toml")).unwrap();
    let told = shown(&Config::load(&sources(&site)).unwrap_err());
    assert_eq!(told, "piton.toml: error: this is not a regular file");
    // Also one of which cannot be seen whether it is there: this directory is a link to itself.
    site.remove("piton.toml");
    std::fs::create_dir_all(site.path("etc")).unwrap();
    std::os::unix::fs::symlink("piton", site.path("etc/piton")).unwrap();
    let told = shown(&Config::load(&sources(&site)).unwrap_err());
    let expected = "etc/piton/piton.toml: error: whether there is a configuration file cannot be seen: ";
    assert!(told.starts_with(expected), "{told}");
    let named = Sources { file: Some("etc/piton/piton.toml".into()), ..sources(&site) };
    let told = shown(&Config::load(&named).unwrap_err());
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn files_that_nobody_names_are_told_of() {
    let site = Site::new();
    site.write("config.yaml", "server: {listen: ':9999'}\n");
    let (config, warnings) = Config::load(&sources(&site)).map_err(|found| shown(&found)).unwrap();
    assert_eq!(config.file, None);
    let warned = shown(&warnings);
    assert!(warned.contains("config.yaml") && warned.contains("`piton --config config.yaml`"), "{warned}");
    site.write("piton.toml", "");
    good(&sources(&site));
}

#[test]
fn levels_go_by_both_of_their_names() {
    let site = Site::new();
    let config = good(&Sources { environment: variables(&[("LOG_LEVEL", "warning")]), ..sources(&site) });
    assert_eq!(explained(&config, "logging.level").0, "warn");
}

#[test]
fn an_open_door_is_named() {
    let site = Site::new();
    site.write("piton.toml", "[server]\nlisten = ':8080'\n");
    let config = good(&sources(&site));
    insta::assert_snapshot!(config.exposure().unwrap(), @r#"
    piton.toml:2: error: server.listen: `:8080` can be reached from other hosts, but nobody has to log in
      hint: listen on 127.0.0.1, set `auth.enabled = true`, or accept it with `server.insecure = true`
    "#);
    let with = |pairs| good(&Sources { flags: variables(pairs), ..sources(&site) }).exposure();
    assert_eq!(with(&[("server.insecure", "true")]), None);
    assert_eq!(with(&[("auth.enabled", "true")]), None);
    assert_eq!(with(&[("server.listen", "[::1]:80")]), None);
}

#[test]
fn the_example_is_a_valid_file_with_and_without_its_comments() {
    assert_eq!(told(&Config::init()), "");
    let is_key =
        |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let uncommented: String = Config::init()
        .lines()
        .filter_map(|line| line.strip_prefix("# ").filter(|line| is_key(line)))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(uncommented.contains("[iac]\n") && uncommented.contains("approval_timeout = \"24h\"\n"), "{uncommented}");
    // Both ways to name a database are in it, which is the only thing to say about it.
    let told = told(&uncommented);
    assert!(told.contains("`store.url` says which database is used") && !told.contains("error"), "{told}");
}

#[test]
fn the_schema_knows_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&Config::schema()).unwrap();
    let listen = &schema["properties"]["server"]["properties"]["listen"];
    assert_eq!((&listen["type"], &listen["default"]), (&"string".into(), &"127.0.0.1:8080".into()));
    assert_eq!(schema["properties"]["server"]["additionalProperties"], false);
    assert_eq!(schema["properties"]["server"]["properties"]["tls"]["properties"]["dir"]["type"], "string");
}

/// The page is written by hand around tables that come from the same place as everything else.
#[test]
fn the_reference_page_is_up_to_date() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once("<!-- keys -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of keys -->").unwrap();
    let expected = format!("{before}<!-- keys -->\n\n{}<!-- end of keys -->{after}", Config::reference());
    if std::env::var_os("PITON_BLESS").is_some() {
        std::fs::write(&page, &expected).unwrap();
    }
    assert!(text == expected || std::env::var_os("PITON_BLESS").is_some(), "run the tests with PITON_BLESS=1");
}

#[test]
fn diagnostics_are_serialised_for_programs() {
    let diagnostic = Diagnostic::error("piton.toml", "unknown_key", "unknown key `x`").hint("did you mean `y`?");
    let json = serde_json::to_value(&diagnostic).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"severity": "error", "file": "piton.toml", "message": "unknown key `x`",
        "hint": "did you mean `y`?", "code": "unknown_key"})
    );
}

#[test]
fn certificates_come_from_where_the_configuration_says() {
    let site = Site::new();
    let tls = |text: &str| {
        site.write("piton.toml", format!("[server.tls]\nenabled = true\n{text}"));
        good(&sources(&site)).server.tls.unwrap()
    };
    let all = "dir = 'tls'\nauto_generate = true\ncert_file = 'a.crt'\nkey_file = 'a.key'\n";
    assert!(matches!(tls(all).identity, TlsIdentity::Files { .. }), "files win");
    let generated = tls("dir = 'tls'\nauto_generate = true\n[server.tls.auto_gen]\nvalid_days = -1\n");
    let TlsIdentity::Generated { directory, subject } = generated.identity else { panic!("{generated:?}") };
    assert_eq!((directory, subject.valid_days), (site.path("tls"), 5 * 365));
    let plain = tls("dir = 'tls'\nmin_version = '1.3'\n");
    assert!(matches!(plain.identity, TlsIdentity::Directory(_)));
    assert_eq!((plain.min_version, plain.client_auth), (TlsVersion::V13, ClientAuth::None));
    site.write("tls/tls_ca.crt", "");
    assert_eq!(tls("dir = 'tls'\n").client_auth, ClientAuth::Optional, "there is a CA for clients");
    assert_eq!(tls("dir = 'tls'\nclient_auth = 'required'\n").client_auth, ClientAuth::Required);

    for (text, place, words) in [
        ("[server.tls]\nenabled = true\n", "piton.toml:2", "where the certificate is"),
        ("[server.tls]\nenabled = true\ncert_file = 'x'\n", "piton.toml:3", "`key_file` is missing"),
        ("[server.tls]\nenabled = true\ndir = 'x'\nmin_version = '1.1'\n", "piton.toml:4", "no version of TLS"),
        (
            "[server.tls]\nenabled = true\ndir = 'x'\nmin_version = '1.3'\nmax_version = '1.2'\n",
            "piton.toml:4",
            "higher",
        ),
        ("[server]\nallowed_origins = ['*']\nallow_credentials = true\n", "piton.toml:3", "cannot go with"),
        ("[server]\nallowed_origins = ['app.example.org']\n", "piton.toml:2", "not a web origin"),
    ] {
        let told = told(text);
        assert!(told.contains(place) && told.contains("error") && told.contains(words), "{text}{told}");
    }
}

#[test]
fn provisioning() {
    let site = Site::new();
    let plain = good(&sources(&site)).provisioning;
    assert_eq!((plain.max_concurrent, plain.rate, plain.allow_past), (256, None, false));
    assert!(plain.webhooks.is_empty() && plain.approval_required.is_empty() && plain.headers.is_empty());
    assert_eq!((plain.google, plain.microsoft), (None, None));

    site.write(
        "piton.toml",
        r#"
[provisioning]
retry_attempts = 0
rate = 5
allow_past = true
approval_required = ["terminate", "modify_role"]
secret = "hunter2"
[provisioning.headers]
Authorization = "Bearer hunter2"
[provisioning.webhooks]
suspend = "https://n8n.example/suspend"
[provisioning.providers.google]
credentials = "google.json"
admin = "admin@example.org"
[provisioning.providers.microsoft]
tenant_id = "example.org"
client_id = "1"
client_secret = "hunter2"
"#,
    );
    let config = good(&sources(&site));
    let provisioning = &config.provisioning;
    assert_eq!(provisioning.retry().delay(1), None, "no retries means one attempt");
    assert_eq!(provisioning.rate.map(std::num::NonZeroU32::get), Some(5));
    assert_eq!(provisioning.approval_required.len(), 2);
    assert_eq!(provisioning.headers["Authorization"].expose(), "Bearer hunter2");
    assert_eq!(provisioning.google.as_ref().unwrap().credentials, site.path("google.json"));
    assert_eq!(provisioning.microsoft.as_ref().unwrap().client_secret.expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));

    insta::assert_snapshot!(told(
        "[provisioning]\napproval_required = ['terminat']\n[provisioning.headers]\nX = 1\n[provisioning.webhooks]\nsuspnd = 'http://x'\n[provisioning.providers.google]\nadmin = 'a@b.example'\n"
    ), @r#"
    piton.toml:6:1: error: provisioning.webhooks.suspnd: unknown key `suspnd` in [provisioning.webhooks]
      hint: did you mean `suspend`?
    piton.toml:3: error: provisioning.headers: the value of the header `X` must be text
    piton.toml:2: error: provisioning.approval_required: `terminat` is none of `provision`, `terminate`, `suspend`, `reactivate`, `modify_groups`, `modify_license`, `modify_role`, `password_reset`, `transfer_ownership`
    piton.toml:8: error: provisioning.providers.google.admin: `provisioning.providers.google.credentials` is missing
    "#);
}

#[test]
fn workers_are_configured_as_their_document_says() {
    let site = Site::new();
    let plain = good(&sources(&site));
    assert_eq!(
        (plain.worker.queue.as_str(), plain.worker.concurrency, plain.worker.prefetch),
        ("provisioning-jobs", 5, 1)
    );
    assert_eq!(plain.worker.max_job_duration, Duration::from_secs(600));
    assert_eq!((plain.worker.rabbitmq_url.is_none(), plain.control_plane.url), (true, None));
    assert_eq!((plain.forges.gitlab.url.as_str(), plain.forges.gitea), ("https://gitlab.com", None));

    let environment = variables(&[
        ("RABBITMQ_URL", "amqp://guest:guest@broker.example/"),
        ("RABBITMQ_QUEUE", "jobs"),
        ("RABBITMQ_PREFETCH_COUNT", "1"),
        ("RABBITMQ_RETRY_DELAY", "2s"),
        ("CONTROL_PLANE_URL", "http://control.example"),
        ("CONTROL_PLANE_API_KEY", "worker-api-key"),
        ("GITLAB_URL", "https://gitlab.example.org"),
        ("GITLAB_TOKEN", "glpat"),
        ("GITLAB_GROUP_ID", "123"),
        ("WORKER_ID", "worker-001"),
        ("WORKER_CONCURRENCY", "7"),
        ("WORKER_TYPES", "component"),
        ("WORKSPACE_DIR", "/tmp/w"),
        ("TEMPLATE_CACHE_DIR", "/tmp/t"),
        ("MAX_TEMPLATE_SIZE", "1MB"),
        ("MAX_JOB_DURATION", "5m"),
    ]);
    let config = good(&Sources { environment, ..sources(&site) });
    let worker = &config.worker;
    assert_eq!((worker.queue.as_str(), worker.prefetch, worker.concurrency), ("jobs", 1, 7));
    assert_eq!((worker.id.as_deref(), worker.types.len()), (Some("worker-001"), 1));
    let cap = Duration::from_secs(3600);
    assert_eq!(worker.retry(), Backoff { max_attempts: 4, first: Duration::from_secs(2), cap });
    assert_eq!(worker.workspace_dir.as_deref(), Some(Path::new("/tmp/w")));
    assert_eq!(worker.max_job_duration, Duration::from_secs(300));
    assert_eq!(config.forges.gitlab.owner.as_deref(), Some("123"));
    assert!(!format!("{config:?}").contains("glpat"));

    let told = told("[worker]\ntypes = ['planet']\nprovider = 'svn'\n[gitea]\ntoken = 'x'\n");
    for expected in ["`planet` is not one of system, component", "provider", "`gitea.url` is missing"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
