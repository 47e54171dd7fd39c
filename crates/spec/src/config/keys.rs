//! Every key of the configuration: its kind, its default, its variables, its sentence. Reading, the schema, the example
//! file and the reference page all come from this table.

use super::kind::Kind;

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Sections and name, joined with dots.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// The default as text of its kind, where it is a fixed one.
    pub(crate) default: Option<&'static str>,
    /// The default in words, where it depends on something.
    pub(crate) otherwise: &'static str,
    /// Variables that other programs document for it, beside `PITON_SECTION__KEY`.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) mask: Mask,
    /// Whether a change takes effect at once: what is about processes is read again when the file changes.
    pub(crate) read_again: bool,
    pub(crate) doc: &'static str,
}

/// What of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mask {
    Open,
    Whole,
    /// Only the password within a URL is hidden.
    UrlPassword,
}

const fn key(path: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { path, kind, default: None, otherwise: "", aliases: &[], mask: Mask::Open, read_again: false, doc }
}

impl Key {
    const fn default(self, text: &'static str) -> Key {
        Key { default: Some(text), ..self }
    }
    const fn otherwise(self, words: &'static str) -> Key {
        Key { otherwise: words, ..self }
    }
    const fn aliases(self, aliases: &'static [&'static str]) -> Key {
        Key { aliases, ..self }
    }
    const fn secret(self) -> Key {
        Key { mask: Mask::Whole, ..self }
    }
    const fn url_with_password(self) -> Key {
        Key { mask: Mask::UrlPassword, ..self }
    }
    const fn read_again(self) -> Key {
        Key { read_again: true, ..self }
    }

    /// `PITON_SECTION__KEY`.
    pub(crate) fn variable(&self) -> String {
        format!("PITON_{}", self.path.replace('.', "__").to_ascii_uppercase())
    }
}

/// What the sections are for, in the order in which they are shown.
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("data", "Where Piton keeps everything that it writes."),
    ("store", "The database of runs and events."),
    ("database", "PostgreSQL in parts, in place of `store.url`."),
    ("server", "The HTTP API."),
    ("server.tls", "HTTPS."),
    ("server.tls.auto_gen", "What a generated certificate says."),
    ("server.auth", "The same as `auth`."),
    ("server.auth.jwt", "The same as `auth.jwt`."),
    ("server.auth.admin", "The same as `auth.admin`."),
    ("auth", "Who may use the API."),
    ("auth.jwt", "Tokens."),
    ("auth.admin", "The first administrator."),
    ("scheduler", "When things are done."),
    ("iac", "OpenTofu and Terraform."),
    ("archive", "Where logs of ended runs are copied to."),
    ("logging", "The daemon's own log."),
    ("git", "How code is fetched for deployments."),
    ("security", "What outgoing connections may reach, and how secrets are kept."),
    ("provisioning", "Delayed provisioning."),
    ("provisioning.webhooks", "Targets of single types of delayed provisions, in place of `provisioning.api_url`."),
    ("provisioning.providers.google", "Google Workspace, without a target in between."),
    ("provisioning.providers.microsoft", "Microsoft 365, without a target in between."),
    ("worker", "The queue worker."),
    ("gitlab", "Where scaffolded repositories are created."),
    ("github", "The same for GitHub."),
    ("gitea", "The same for Gitea and Forgejo."),
    ("git_remote", "The same for servers that know nothing but git."),
    ("control_plane", "Where workers report, and with which key they do so here."),
    ("metrics", "Prometheus metrics."),
    ("metrics.process_metrics", "Measurements of supervised processes."),
    ("log", "Output of supervised processes."),
    ("daemon", "provisr's names for two keys of `[server]`."),
];

const PORT: Kind = Kind::Integer(1, 65_535);
const COUNT: Kind = Kind::Integer(0, 1_000_000_000);
const POSITIVE: Kind = Kind::Integer(1, 1_000_000);
const WEB: Kind = Kind::Url(&["http", "https"]);
const LEVELS: Kind = Kind::Choice(&["error", "warn", "info", "debug", "trace"]);
const DATABASES: Kind = Kind::Choice(&["sqlite", "sqlite3", "postgres", "postgresql"]);

/// Every key, by section.
pub(crate) const KEYS: &[Key] = &[
    key("data.dir", Kind::Path, "Directory of the database, logs, deployments and templates; mode 0700.")
        .otherwise("`.piton` below the directory; `/var/lib/piton` for the superuser outside of one, where there is `/etc/piton`")
        .aliases(&["PROVISIONER_STATE_DIR"]),
    key("store.url", Kind::Url(&["sqlite", "postgres", "postgresql"]), "Database: `sqlite:PATH` or `postgres://…`.")
        .otherwise("`sqlite:` with `piton.db` in `data.dir`")
        .url_with_password(),
    key("database.host", Kind::Text, "Host of PostgreSQL.").otherwise("localhost").aliases(&["DATABASE_HOST"]),
    key("database.port", PORT, "Port of PostgreSQL.").otherwise("5432").aliases(&["DATABASE_PORT"]),
    key("database.user", Kind::Text, "User of PostgreSQL.").otherwise("postgres").aliases(&["DATABASE_USER"]),
    key("database.password", Kind::Text, "Password of PostgreSQL.").aliases(&["DATABASE_PASSWORD"]).secret(),
    key("database.dbname", Kind::Text, "Database of PostgreSQL.")
        .otherwise("oneclick")
        .aliases(&["DATABASE_NAME", "DATABASE_DBNAME"]),
    key(
        "database.sslmode",
        Kind::Choice(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
        "How the connection to PostgreSQL is encrypted.",
    )
    .otherwise("prefer")
    .aliases(&["DATABASE_SSLMODE"]),
    key("server.listen", Kind::Listen, "Address and port of the HTTP API.").default("127.0.0.1:8080"),
    key("server.base_path", Kind::BasePath, "Path below which the API lies.").default("/api"),
    key("server.allowed_origins", Kind::Texts, "Web origins that may call the API; `*` for any page, on the routes of deployments only.")
        .default("")
        .aliases(&["ALLOWED_ORIGINS"]),
    key("server.allow_credentials", Kind::Bool, "Let pages of those origins send cookies and certificates; not with `*`.")
        .default("false"),
    key("server.allowed_hosts", Kind::Texts, "Host names by which clients call this server, such as that of a proxy.")
        .default(""),
    key("server.max_connections", POSITIVE, "Connections at once.").default("10000"),
    key("server.max_connections_per_address", POSITIVE, "Connections at once from one address.").default("6000"),
    key("server.max_streams", POSITIVE, "Streams of logs and events that one caller reads at once.").default("256"),
    key("server.rate_limit", COUNT, "Requests that one caller may make in a second, and twice that in a burst; 0 for no limit.")
        .default("1000"),
    key("server.drain_timeout", Kind::Duration, "How long requests, and calls of scheduled provisions, that are under way may take when the daemon ends.")
        .default("10s"),
    key(
        "server.shutdown_delay",
        Kind::Duration,
        "How long `/readyz` says that the daemon ends before it does, so that a balancer sends nobody any more.",
    )
    .otherwise("none"),
    key("server.insecure", Kind::Bool, "Allow listening beyond this host without authentication.").default("false"),
    key("server.enabled", Kind::Bool, "Accepted for provisr's sake; `piton serve` always serves."),
    key("server.pidfile", Kind::Path, "File that receives the daemon's process id."),
    key("server.logfile", Kind::Path, "File that receives the daemon's log when it is daemonized."),
    key("server.tls_min_version", Kind::Text, "The same as `min_version` in `[server.tls]`."),
    key("server.tls_max_version", Kind::Text, "The same as `max_version` there."),
    key("server.tls.enabled", Kind::Bool, "Serve HTTPS."),
    key("server.tls.cert_file", Kind::Path, "Certificate, PEM."),
    key("server.tls.key_file", Kind::Path, "Private key, PEM."),
    key("server.tls.dir", Kind::Path, "Directory with `tls.crt`, `tls.key` and `tls_ca.crt`."),
    key("server.tls.auto_generate", Kind::Bool, "Make a self-signed certificate in `dir` when there is none."),
    key("server.tls.min_version", Kind::Text, "Lowest TLS version.").otherwise("1.2"),
    key("server.tls.max_version", Kind::Text, "Highest TLS version.").otherwise("1.3"),
    key("server.tls.client_ca_file", Kind::Path, "Who signs the certificates of clients, PEM.")
        .otherwise("`tls_ca.crt` in `dir`, where it is"),
    key("server.tls.client_auth", Kind::Choice(&["none", "optional", "required"]), "Whether clients show a certificate.")
        .otherwise("`optional` where `client_ca_file` or `tls_ca.crt` is, else `none`"),
    key("server.tls.auto_gen.common_name", Kind::Text, "Common name."),
    key("server.tls.auto_gen.organization", Kind::Text, "Organization."),
    key("server.tls.auto_gen.dns_names", Kind::Texts, "Host names."),
    key("server.tls.auto_gen.ip_addresses", Kind::Texts, "Addresses.").default("127.0.0.1,::1"),
    key("server.tls.auto_gen.valid_days", Kind::Integer(-1, 100_000), "Days until it expires."),
    key("server.auth.enabled", Kind::Bool, "Require authentication."),
    key("server.auth.jwt_secret", Kind::Text, "Secret that signs tokens.").secret(),
    key("server.auth.token_ttl", Kind::Duration, "How long a token is valid."),
    key("server.auth.bcrypt_cost", Kind::Integer(4, 31), "Accepted for provisr's sake; passwords go through argon2id."),
    key("server.auth.database_path", Kind::Path, "File of the database of users."),
    key("server.auth.database_type", DATABASES, "Kind of the database of users."),
    key("server.auth.jwt.secret", Kind::Text, "Secret that signs tokens.").secret(),
    key("server.auth.jwt.expires_in", Kind::Duration, "How long a token is valid."),
    key("server.auth.admin.auto_create", Kind::Bool, "Create the first administrator at the first start."),
    key("server.auth.admin.username", Kind::Text, "Name of the first administrator."),
    key("server.auth.admin.password", Kind::Text, "Password of the first administrator.").secret(),
    key("server.auth.admin.email", Kind::Text, "Mail address of the first administrator."),
    key("server.auth.store", Kind::Table, "Database of users, as provisr has it.").secret(),
    key("auth.enabled", Kind::Bool, "Require authentication.").otherwise("`false`"),
    key("auth.jwt_secret", Kind::Text, "The same as `auth.jwt.secret`.").secret(),
    key("auth.token_ttl", Kind::Duration, "The same as `auth.jwt.expires_in`."),
    key("auth.bcrypt_cost", Kind::Integer(4, 31), "Accepted for provisr's sake; passwords go through argon2id."),
    key("auth.database_path", Kind::Path, "File of the database of users.").otherwise("users live in Piton's own"),
    key("auth.database_type", DATABASES, "Kind of the database of users: `sqlite` or `postgresql`.")
        .otherwise("`sqlite`"),
    key("auth.jwt.secret", Kind::Text, "Secret that signs tokens, 32 bytes or more.")
        .otherwise("random keys of Piton's own")
        .secret(),
    key("auth.jwt.expires_in", Kind::Duration, "How long a token is valid.").otherwise("`24h`"),
    key("auth.admin.auto_create", Kind::Bool, "Create the first administrator at the first start.")
        .otherwise("`true`"),
    key("auth.admin.username", Kind::Text, "Name of the first administrator.").otherwise("`admin`"),
    key("auth.admin.password", Kind::Text, "Password of the first administrator.")
        .otherwise("a random one, printed once")
        .secret(),
    key("auth.admin.email", Kind::Text, "Mail address of the first administrator."),
    key("auth.store", Kind::Table, "Database of users in parts: `type`, `path`, or `host`, `port`, `database`, …")
        .secret(),
    key("scheduler.timezone", Kind::Zone, "Zone of schedules that name none.")
        .otherwise("the system's zone")
        .aliases(&["SCHEDULER_TIMEZONE"]),
    key("scheduler.check_interval", Kind::Cron, "When everything is looked over, in case a wake-up was missed.")
        .default("* * * * *")
        .aliases(&["SCHEDULER_INTERVAL", "SCHEDULER_CHECK_INTERVAL"]),
    key(
        "scheduler.catch_up",
        Kind::Choice(&["latest", "skip"]),
        "What workspaces do about lines that came due while the daemon was down.",
    )
    .default("latest"),
    key("scheduler.max_concurrent_runs", POSITIVE, "How many runs may be active at once.")
        .otherwise("four for each core")
        .aliases(&["SCHEDULER_MAX_CONCURRENT_RUNS"]),
    key(
        "scheduler.lease",
        Kind::Duration,
        "How long daemons that share a database wait for one that says nothing before they give up its runs; it stops them before that.",
    )
    .default("30s"),
    key("iac.tool", Kind::Choice(&["auto", "tofu", "terraform"]), "Which tool runs infrastructure code.")
        .default("auto"),
    key("iac.version", Kind::Text, "Version of the tool, exact or a constraint.")
        .otherwise("what the code requires, else the newest"),
    key("iac.timeout", Kind::Duration, "How long one attempt of a deploy or destroy may take.").default("60m"),
    key("iac.approval_timeout", Kind::Duration, "How long a plan waits for approval.").default("24h"),
    key("iac.retention", Kind::Duration, "How long working directories of ended runs are kept.").default("24h"),
    key("iac.plugin_cache", Kind::Bool, "Share downloaded providers between deployments.").default("true"),
    key(
        "iac.confine",
        Kind::Choice(&["auto", "always", "never"]),
        "Keep deployed code from what Piton keeps: `auto` where the kernel can and the data directory is apart from the declarations, `always` or not at all.",
    )
    .default("auto"),
    key("iac.registry_host", Kind::Text, "Private registry of modules and providers.").aliases(&["REGISTRY_HOST"]),
    key(
        "iac.mirror",
        Kind::Url(&["http", "https"]),
        "Where the tools themselves are downloaded from; `http` on this host only.",
    )
        .otherwise("the makers' release servers"),
    key("iac.max_concurrent_deployments", POSITIVE, "How many deployments that people ask for may run at once.")
        .otherwise("half of `scheduler.max_concurrent_runs`"),
    key("iac.max_queued_deployments", POSITIVE, "How many of them may wait for their turn.").default("1000"),
    key("iac.max_queued_deployments_each", POSITIVE, "How many of those that wait may be one requester's.").default("500"),
    key("iac.self_approval", Kind::Bool, "Whether whoever asked for a run may approve its plan.").default("true"),
    key(
        "archive.url",
        Kind::Url(&["s3", "az", "file"]),
        "`s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `file:///DIRECTORY`; logs stay here, too.",
    ),
    key(
        "archive.endpoint",
        Kind::Url(&["http", "https"]),
        "The server, where it speaks like S3 or Azure but is none of theirs.",
    ),
    key("archive.region", Kind::Text, "The region of S3.").otherwise("`AWS_REGION`, else `us-east-1`"),
    key("archive.account", Kind::Text, "Id of the access key of S3, or the account of Azure.")
        .otherwise("the daemon's environment"),
    key("archive.key", Kind::Text, "The secret access key of S3, or the key of the account of Azure.")
        .otherwise("the daemon's environment, else the identity of the host")
        .secret(),
    key("logging.level", LEVELS, "How much the daemon says.").default("info").aliases(&["LOG_LEVEL"]),
    key("logging.format", Kind::Choice(&["text", "json"]), "How it says it.").default("text").aliases(&["LOG_FORMAT"]),
    key("logging.output", Kind::Text, "`stderr`, `stdout` or a file.").default("stderr").aliases(&["LOG_OUTPUT"]),
    key(
        "git.known_hosts",
        Kind::Path,
        "SSH hosts and their keys, in the format of `known_hosts`, for requests that bring none of their own.",
    ),
    key(
        "git.allow_http",
        Kind::Bool,
        "Whether credentials of requests may travel over plain HTTP, and not just within this host.",
    )
    .default("false"),
    key("security.blocked_networks", Kind::Networks, "Networks that outgoing requests must not reach.").default(""),
    key(
        "security.encryption_key",
        Kind::Texts,
        "Keys for the secrets of runs in the database: the first seals, all of them open. 32 random bytes each, in \
         hexadecimal digits or base64.",
    )
    .otherwise("those of `security.encryption_key_file`")
    .secret(),
    key(
        "security.encryption_key_file",
        Kind::Path,
        "File with such keys, one to a line; mode 0600. Daemons that share a database need the same.",
    )
    .otherwise("`vault.key` in `data.dir`, made at the first start"),
    key("provisioning.api_url", Kind::Url(&["http", "https"]), "The provisioning API.")
        .aliases(&["PROVISIONING_API_URL"]),
    key("provisioning.timeout", Kind::Seconds, "How long a call may take.")
        .default("300")
        .aliases(&["PROVISIONING_TIMEOUT"]),
    key("provisioning.retry_attempts", COUNT, "How often a failed call is tried again.")
        .default("3")
        .aliases(&["PROVISIONING_RETRY_ATTEMPTS"]),
    key("provisioning.retry_delay", Kind::Seconds, "Time before the first further try; each later one takes twice as long.")
        .default("60")
        .aliases(&["PROVISIONING_RETRY_DELAY"]),
    key("provisioning.retry_max_delay", Kind::Seconds, "Longest time between two tries, unless the target asks for more.")
        .default("3600"),
    key("provisioning.headers", Kind::Table, "Headers of every call.").secret(),
    key("provisioning.secret", Kind::Text, "Secret that signs calls.").aliases(&["PROVISIONING_SECRET"]).secret(),
    key("provisioning.max_concurrent", POSITIVE, "How many provisions may be under way at once.").default("256"),
    key("provisioning.concurrency", POSITIVE, "How many calls to one host may be under way at once.").default("16"),
    key("provisioning.rate", POSITIVE, "How many calls to one host may begin in a second.").otherwise("any number"),
    key("provisioning.allow_past", Kind::Bool, "Take requests for a time that has passed, and execute them at once.")
        .default("false"),
    key(
        "provisioning.approval_required",
        Kind::Texts,
        "Types that somebody has to approve before they are executed, such as `terminate`.",
    )
    .default(""),
    key("provisioning.webhooks.provision", WEB, "Makes accounts."),
    key("provisioning.webhooks.terminate", WEB, "Removes accounts for good.").aliases(&["TERMINATION_API_URL"]),
    key("provisioning.webhooks.suspend", WEB, "Locks accounts."),
    key("provisioning.webhooks.reactivate", WEB, "Unlocks accounts."),
    key("provisioning.webhooks.modify_groups", WEB, "Changes the groups of accounts."),
    key("provisioning.webhooks.modify_license", WEB, "Changes the licences of accounts."),
    key("provisioning.webhooks.modify_role", WEB, "Changes the roles of accounts."),
    key("provisioning.webhooks.password_reset", WEB, "Gives accounts new passwords."),
    key("provisioning.webhooks.transfer_ownership", WEB, "Gives what an account owns to another one."),
    key("provisioning.providers.google.credentials", Kind::Path, "File with the key of the service account, as Google made it."),
    key("provisioning.providers.google.admin", Kind::Text, "Administrator for whom the service account acts."),
    key("provisioning.providers.google.domain", Kind::Text, "The only domain whose accounts are touched.").otherwise("any"),
    key("provisioning.providers.google.customer", Kind::Text, "Id of the customer.")
        .otherwise("that of the administrator"),
    key("provisioning.providers.google.api_url", WEB, "Address of the APIs.").otherwise("Google's own"),
    key("provisioning.providers.google.token_url", WEB, "Address that gives tokens.")
        .otherwise("the one in `credentials`"),
    key("provisioning.providers.microsoft.tenant_id", Kind::Text, "Id of the directory, or one of its domains."),
    key("provisioning.providers.microsoft.client_id", Kind::Text, "Id of the application."),
    key("provisioning.providers.microsoft.client_secret", Kind::Text, "Secret of the application.").secret(),
    key(
        "provisioning.providers.microsoft.usage_location",
        Kind::Text,
        "Where people are that are not told to be elsewhere: two letters, which licences need.",
    ),
    key("provisioning.providers.microsoft.api_url", WEB, "Address of Microsoft Graph, for national clouds.")
        .otherwise("`https://graph.microsoft.com/v1.0`"),
    key("provisioning.providers.microsoft.token_url", WEB, "Address that gives tokens, for national clouds.")
        .otherwise("that of `login.microsoftonline.com`"),
    key("worker.id", Kind::Text, "Name of this worker.").aliases(&["WORKER_ID"]),
    key("worker.rabbitmq_url", Kind::Url(&["amqp", "amqps"]), "The message broker.")
        .aliases(&["RABBITMQ_URL"])
        .url_with_password(),
    key("worker.queue", Kind::Text, "Queue of job messages.").default("provisioning-jobs").aliases(&["RABBITMQ_QUEUE"]),
    key("worker.prefetch", POSITIVE, "Messages that are in hand and not kept yet.")
        .default("1")
        .aliases(&["RABBITMQ_PREFETCH_COUNT"]),
    key("worker.retry_delay", Kind::Seconds, "Time before what failed for a while is tried again; each further time is twice as long.")
        .default("5")
        .aliases(&["RABBITMQ_RETRY_DELAY"]),
    key("worker.concurrency", POSITIVE, "Messages worked on at once.").default("5").aliases(&["WORKER_CONCURRENCY"]),
    key("worker.types", Kind::Texts, "Kinds of job that this worker takes: `system`, `component`.")
        .otherwise("all")
        .aliases(&["WORKER_TYPES"]),
    key("worker.batch", POSITIVE, "Messages after which `piton worker` ends.")
        .otherwise("it does not end by itself")
        .aliases(&["WORKER_BATCH"]),
    key("worker.workspace_dir", Kind::Path, "Directory of what a job needs on a disk; files are rendered in memory.")
        .otherwise("`scaffold` in `data.dir`")
        .aliases(&["WORKSPACE_DIR"]),
    key("worker.template_cache_dir", Kind::Path, "Directory of further blueprints, looked into after `blueprints`.")
        .aliases(&["TEMPLATE_CACHE_DIR"]),
    key("worker.max_template_size", Kind::Size, "Largest template.").default("10MB").aliases(&["MAX_TEMPLATE_SIZE"]),
    key("worker.max_workspace_size", Kind::Size, "All files of a job together.")
        .default("500MB")
        .aliases(&["MAX_WORKSPACE_SIZE"]),
    key("worker.max_job_duration", Kind::Duration, "Longest job.").default("10m").aliases(&["MAX_JOB_DURATION"]),
    key("worker.forge_timeout", Kind::Duration, "Longest silence of a forge before what was asked of it is tried again.")
        .default("1m"),
    key("worker.provider", Kind::Choice(&["gitlab", "github", "gitea", "git"]), "Who hosts the repository where a message does not say.")
        .default("gitlab"),
    key("worker.branch", Kind::Text, "Branch that is pushed.").default("main"),
    key("worker.author_name", Kind::Text, "Who makes the first commit.").default("Piton"),
    key("worker.author_email", Kind::Text, "Their address.").default("piton@localhost"),
    key("gitlab.url", Kind::Url(&["http", "https"]), "GitLab's address.")
        .default("https://gitlab.com")
        .aliases(&["GITLAB_URL"]),
    key("gitlab.token", Kind::Text, "Access token.").aliases(&["GITLAB_TOKEN"]).secret(),
    key("gitlab.group_id", Kind::Raw, "Group in which repositories are created.").aliases(&["GITLAB_GROUP_ID"]),
    key("github.url", WEB, "GitHub's address.").default("https://github.com"),
    key("github.token", Kind::Text, "Access token.").secret(),
    key("github.owner", Kind::Text, "Organisation in which repositories are created.").otherwise("the token's owner"),
    key("gitea.url", WEB, "Address of Gitea or Forgejo."),
    key("gitea.token", Kind::Text, "Access token.").secret(),
    key("gitea.owner", Kind::Text, "Organisation in which repositories are created.").otherwise("the token's owner"),
    key(
        "git_remote.url",
        Kind::Text,
        "Pattern of addresses, such as `https://git.example.org/{namespace}/{name}.git`.",
    ),
    key("git_remote.username", Kind::Text, "Who asks."),
    key("git_remote.password", Kind::Text, "Password or token.").secret(),
    key("git_remote.ssh_key", Kind::Path, "File with the key, for addresses of SSH."),
    key("control_plane.url", Kind::Url(&["http", "https"]), "Address of the control plane.")
        .aliases(&["CONTROL_PLANE_URL"]),
    key("control_plane.api_key", Kind::Text, "Key with which this worker reports, and those do that report here.").aliases(&["CONTROL_PLANE_API_KEY"]).secret(),
    key("metrics.public", Kind::Bool, "Let everybody read `/metrics`, also where the rest takes a login.").default("false"),
    key("metrics.enabled", Kind::Bool, "Serve metrics on an address of their own too.").default("false"),
    key("metrics.listen", Kind::Listen, "That address. Nobody has to log in there."),
    key("metrics.process_metrics.enabled", Kind::Bool, "Measure processes: processor, memory, threads and files.")
        .default("true"),
    key("metrics.process_metrics.interval", Kind::Duration, "Time between two measurements.").default("5s"),
    key("metrics.process_metrics.max_history", COUNT, "Measurements kept of each process.").default("100"),
    key("metrics.process_metrics.history_size", COUNT, "The same as `max_history`."),
    key(
        "history",
        Kind::Table,
        "Sinks of the history of processes, as provisr has them. `sqlite` and `postgres` mean Piton's own database; \
         ClickHouse and OpenSearch are refused unless they are switched off.",
    )
    .secret(),
    key("log.dir", Kind::Path, "Directory of log files.")
        .otherwise("`logs` in `data.dir`")
        .aliases(&["PROVISIONER_LOG_DIR"])
        .read_again(),
    key("log.stdout", Kind::Path, "File for the standard output of every process that names none.")
        .otherwise("`NAME.stdout.log` in `log.dir`")
        .read_again(),
    key("log.stderr", Kind::Path, "File for the standard error of every process that names none.")
        .otherwise("`NAME.stderr.log` in `log.dir`")
        .read_again(),
    key("log.max_size_mb", COUNT, "MiB at which such a file is put aside; 0 for never.").default("10").read_again(),
    key("log.max_backups", COUNT, "Files put aside that are kept; 0 for all.").default("3").read_again(),
    key("log.max_age_days", Kind::Integer(0, 36_500), "Days that they are kept; 0 for ever.").default("7").read_again(),
    key("log.compress", Kind::Bool, "Compress them.").default("false").read_again(),
    key("log.level", Kind::Text, "Accepted for provisr's sake; see `logging.level`.").read_again(),
    key("log.format", Kind::Text, "Accepted for provisr's sake; see `logging.format`.").read_again(),
    key("log.color", Kind::Bool, "Accepted for provisr's sake.").read_again(),
    key("log.timestamps", Kind::Bool, "Accepted for provisr's sake. A process has a `log.timestamps` of its own.")
        .read_again(),
    key("log.source", Kind::Bool, "Accepted for provisr's sake.").read_again(),
    key("daemon.pid_file", Kind::Path, "The same as `server.pidfile`."),
    key("daemon.log_file", Kind::Path, "The same as `server.logfile`."),
    key(
        "env",
        Kind::Texts,
        "Environment of every process and job of tasks, `NAME=VALUE` each; `${NAME}` and `${NAME:-VALUE}` are filled in.",
    )
    .secret()
    .read_again(),
    key("env_files", Kind::Texts, "Files with more of it, a `NAME=VALUE` to a line; a later one wins.").read_again(),
    key("use_os_env", Kind::Bool, "Whether they inherit the whole environment of the daemon below that.")
        .default("false")
        .read_again(),
    key("pid_dir", Kind::Path, "Directory of pid files, `NAME.pid` each.").otherwise("`pids` in `data.dir`"),
    key("programs_directory", Kind::Path, "Directory of files that declare a process, job or cronjob each.")
        .otherwise("`programs` in the directory, or beside the configuration file"),
    key("processes", Kind::Tables, "Processes and cronjobs, `type` and `spec` each, as in files of their own.")
        .secret()
        .read_again(),
    key("groups", Kind::Tables, "Groups of processes: `name` and `members`.").read_again(),
    key("cronjobs", Kind::Tables, "Cronjobs, each what is the `spec` of a file of its own.")
        .secret()
        .read_again(),
];

/// The key with this path.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The words that may follow `section` (empty for the top level).
pub(crate) fn children(section: &str) -> Vec<&'static str> {
    let below = |key: &'static Key| match section {
        "" => Some(key.path),
        section => key.path.strip_prefix(section)?.strip_prefix('.'),
    };
    let mut words: Vec<&str> = KEYS.iter().filter_map(below).filter_map(|rest| rest.split('.').next()).collect();
    words.dedup();
    words
}
