//! The worker that makes repositories of blueprints: how long a blueprint takes to render, how long until it is a repository
//! at a forge, and how many messages are taken from the queue.
//!
//! The forge is the stand-in of the tests, with git's own server behind it; the broker is RabbitMQ, on a disk. Go's engine
//! renders the same templates; cookiecutter and copier render the same project in Jinja2, as their commands do.

mod peers;
mod queue;
mod sample;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use piton_forge::{Commit, Forge, Identity, Kind, Owner, RunMark, Visibility, Wanted, Words};
use piton_model::Secret;
use piton_scaffold::{Blueprint, Cache, Limits, Meta, Mode, Order, Settings, Surroundings};
use piton_testkit::forges::{Flavour, Forge as Server, TOKEN};

use crate::databases::Databases;
use crate::report::{Figure, Goal, Table, say};
use crate::spread::Spread;
use peers::{Beside, Scaffolder};

/// How often each is done.
const ROUNDS: usize = 40;
/// The commands of others take a second each.
const SLOW_ROUNDS: usize = 5;

pub async fn measure(
    databases: &mut Databases,
    sources: &Path,
    binaries: &Path,
    with_peers: bool,
    table: &mut Table,
) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let sample = sample::Sample::write(dir.path())?;
    say(&format!("scaffold: {} files, {} KB", sample.files, sample.bytes / 1024));
    let go = with_peers.then(|| peers::go(sources, binaries, &sample.go, ROUNDS));
    rendering(&sample, go.as_ref(), table)?;
    pushing(&sample, sources, binaries, with_peers, table).await?;
    queue::measure(databases, table).await
}

fn milliseconds(value: f64) -> Figure {
    Figure { value, unit: "ms" }
}

/// How long something takes, each time, in milliseconds. The first time is left out.
fn times(rounds: usize, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Spread> {
    let mut times = Vec::with_capacity(rounds);
    for round in 0..=rounds {
        let begun = Instant::now();
        work()?;
        if round > 0 {
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(Spread::of(times))
}

fn rendering(sample: &sample::Sample, go: Option<&anyhow::Result<Beside>>, table: &mut Table) -> anyhow::Result<()> {
    let (settings, order) = (settings(), order(0));
    let cold = times(ROUNDS, || {
        let tree = Blueprint::load(&sample.go, &settings)?.render(&order)?;
        anyhow::ensure!(tree.entries().len() == sample.files, "files are missing");
        Ok(())
    })?;
    let blueprint = Blueprint::load(&sample.go, &settings)?;
    let warm = times(ROUNDS, || {
        blueprint.render(&order)?;
        Ok(())
    })?;
    let (parsed, executed) = match go {
        Some(Ok(go)) => (
            format!("Go's text/template {:.2} ms", Spread::of(go.parse_execute_ms.clone()).median()),
            format!("Go's text/template {:.2} ms", Spread::of(go.execute_ms.clone()).median()),
        ),
        Some(Err(error)) => (format!("Go: {error:#}"), String::new()),
        None => (String::new(), String::new()),
    };
    let note = |spread: &Spread| format!(" ({:.2} to {:.2})", spread.min(), spread.max());
    let what = format!("{} files read, compiled and rendered in memory", sample.files);
    table.add(&what, milliseconds(cold.median()), &note(&cold), Goal::AtMost(8.0), &parsed);
    table.add("rendered again, compiled already", milliseconds(warm.median()), &note(&warm), Goal::None, &executed);
    Ok(())
}

async fn pushing(
    sample: &sample::Sample,
    sources: &Path,
    binaries: &Path,
    with_peers: bool,
    table: &mut Table,
) -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    let server = Server::start(Flavour::GitLab, root.path())?;
    server.add_group(123, "my-team");
    let token = Secret::new(TOKEN.to_owned());
    let forge = Forge::hosted(Kind::GitLab, &server.url(), &token, piton_forge::Settings::default())?;
    let cache = Cache::new(settings(), 64 << 20);
    let (mut whole, mut rendered, mut packed) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let order = order(round);
        let tree = cache.directory(&sample.go)?.render(&order)?;
        let after_rendering = begun.elapsed();
        let commit = commit(&tree, &order)?;
        let after_packing = begun.elapsed();
        let wanted = wanted(&order)?;
        forge.publish(&wanted, &commit).await?;
        if round > 0 {
            whole.push(ms(begun.elapsed()));
            rendered.push(ms(after_rendering));
            packed.push(ms(after_packing.saturating_sub(after_rendering)));
        }
    }
    anyhow::ensure!(server.names().len() == ROUNDS + 1, "repositories are missing");
    let peers = if with_peers { peers::scaffolders(sources, binaries, sample, SLOW_ROUNDS) } else { Vec::new() };
    let beside: Vec<String> = peers
        .into_iter()
        .map(|(name, times)| match times {
            Ok(times) => format!("{name} {:.0} ms to render alone", Spread::of(times).median()),
            Err(why) => format!("{name}: {why}"),
        })
        .collect();
    let whole = Spread::of(whole);
    let note = format!(
        " (rendered {:.1}, committed {:.1}; 90 % within {:.1})",
        Spread::of(rendered).median(),
        Spread::of(packed).median(),
        whole.percentile(90.0)
    );
    let what = "rendered, committed, created at a forge and pushed over HTTP";
    table.add(what, milliseconds(whole.median()), &note, Goal::AtMost(100.0), &beside.join("; "));
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn settings() -> Settings {
    let surroundings = Surroundings {
        now: Arc::new(Timestamp::now),
        zone: TimeZone::UTC,
        // The sample asks for none.
        random: Arc::new(|bytes: &mut [u8]| bytes.fill(7)),
    };
    Settings { limits: Limits::default(), surroundings }
}

fn order(number: usize) -> Order {
    Order {
        name: format!("my-service-{number}"),
        namespace: "my-team".to_owned(),
        values: sample::values(),
        meta: Meta {
            timestamp: Timestamp::UNIX_EPOCH,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: format!("run-{number}"),
            template: "go-backend".to_owned(),
            commit: None,
            kind: "component".to_owned(),
        },
    }
}

/// As the worker makes it.
fn commit(tree: &piton_scaffold::Tree, order: &Order) -> anyhow::Result<Commit> {
    let mut files = piton_forge::Tree::new(piton_forge::Limits::default());
    for entry in tree.entries() {
        let (path, bytes) = (entry.path.as_str(), entry.bytes.to_vec());
        match entry.mode {
            Mode::Link => files.link(path, bytes)?,
            Mode::File => files.file(path, bytes, false)?,
            Mode::Executable => files.file(path, bytes, true)?,
        }
    }
    let author = Identity::new("Piton", "piton@example.org")?;
    let words = Words {
        author: author.clone(),
        committer: author,
        date: Timestamp::UNIX_EPOCH,
        message: format!("Create {}", order.name),
        run: order.meta.run_id.parse::<RunMark>()?,
    };
    Ok(Commit::build(&files, &words)?)
}

fn wanted(order: &Order) -> anyhow::Result<Wanted> {
    Ok(Wanted {
        name: order.name.parse()?,
        owner: "123".parse::<Owner>()?,
        visibility: Visibility::Private,
        description: "A service".to_owned(),
        run: order.meta.run_id.parse()?,
        branch: "main".parse()?,
        topics: Vec::new(),
        adopt_empty: false,
    })
}

/// What a project's generator from PyPI needs to render the sample.
fn scaffolder_of(sample: &sample::Sample) -> [Scaffolder<'_>; 2] {
    [
        Scaffolder { name: "cookiecutter", template: &sample.cookiecutter },
        Scaffolder { name: "copier", template: &sample.copier },
    ]
}
