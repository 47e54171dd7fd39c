//! Keeps the declarations of a directory loaded: watches the files, and publishes what is valid.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use piton_spec::{Catalog, Change, Diagnostic, Layout};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// Editors and deployments write several files: a load begins when nothing was written for this long.
const QUIET: Duration = Duration::from_millis(200);

/// A declaration must be gone for this long before it counts as removed, because a rename looks like a removal first.
const ABSENCE: Duration = Duration::from_millis(700);

/// A directory of declarations must be gone for this long: a deployment swaps it, or what it is mounted from is away.
const ABSENCE_OF_ALL: Duration = Duration::from_secs(10);

/// The declarations as they are, and what is wrong with the files.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The valid declarations.
    pub catalog: Catalog,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// Loads the declarations again whenever a file changes.
#[derive(Debug)]
pub struct Loader {
    layout: Layout,
    clock: Clock,
    interval: Duration,
    loaded: watch::Sender<Arc<Loaded>>,
    requests: mpsc::Receiver<oneshot::Sender<()>>,
    reload: Reload,
}

/// Asks the loader to look at the files at once.
#[derive(Debug, Clone)]
pub struct Reload(mpsc::Sender<oneshot::Sender<()>>);

impl Reload {
    /// Asks, and does not wait.
    pub fn soon(&self) {
        // Where a request waits already, that one is as good.
        let _ = self.0.try_send(oneshot::channel().0);
    }

    /// Asks, and waits until what the files say now is in force.
    pub async fn now(&self) {
        let (done, answer) = oneshot::channel();
        // Without a loader there is nothing to wait for.
        if self.0.send(done).await.is_ok() {
            let _ = answer.await;
        }
    }
}

impl Loader {
    /// Loads once, and keeps what it takes to load again. `interval` is the safety poll.
    pub fn new(layout: Layout, clock: Clock, interval: Duration) -> Loader {
        let (catalog, diagnostics) = piton_spec::load(&layout, None);
        report(&[], &diagnostics);
        let loaded = watch::Sender::new(Arc::new(Loaded { catalog, diagnostics }));
        let (reload, requests) = mpsc::channel(64);
        Loader { layout, clock, interval, loaded, requests, reload: Reload(reload) }
    }

    /// What is loaded, now and after each change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Loaded>> {
        self.loaded.subscribe()
    }

    /// Asks this loader to look at the files.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Loads again, and publishes what changed.
    pub async fn handle(&self) {
        let (mut catalog, mut diagnostics) = self.load().await;
        let before = self.loaded.borrow().clone();
        let removed = |catalog: &Catalog| {
            Catalog::diff(&before.catalog, catalog).iter().any(|change| matches!(change, Change::Removed(_)))
                || before.catalog.processes.keys().any(|name| !catalog.processes.contains_key(name))
        };
        if removed(&catalog) {
            self.clock.sleep(ABSENCE).await;
            self.until_directories_are_back(&before.catalog).await;
            (catalog, diagnostics) = self.load().await;
        }
        let changes = Catalog::diff(&before.catalog, &catalog);
        for change in &changes {
            match change {
                Change::Added(subject) => tracing::info!(%subject, "declaration added"),
                Change::Changed(subject) => tracing::info!(%subject, "declaration changed"),
                Change::Removed(subject) => tracing::info!(%subject, "declaration removed"),
            }
        }
        let same_processes = catalog.same_processes(&before.catalog);
        let same_surroundings = catalog.same_surroundings(&before.catalog);
        if changes.is_empty() && same_processes && same_surroundings && diagnostics == before.diagnostics {
            return;
        }
        report(&before.diagnostics, &diagnostics);
        self.loaded.send_replace(Arc::new(Loaded { catalog, diagnostics }));
    }

    /// Waits as long as a directory is gone in which something was declared, but not for ever.
    async fn until_directories_are_back(&self, before: &Catalog) {
        let is_gone = |directory: &PathBuf| !directory.exists() && before.declares_below(directory);
        let mut waited = ABSENCE;
        while waited < ABSENCE_OF_ALL
            && let Some(directory) = self.layout.watched().into_iter().find(is_gone)
        {
            if waited == ABSENCE {
                let directory = directory.display();
                tracing::warn!(%directory, "a directory is gone; what it declares stays for {ABSENCE_OF_ALL:?} more");
            }
            self.clock.sleep(ABSENCE).await;
            waited += ABSENCE;
        }
    }

    /// Watches until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let (touched, mut touches) = mpsc::channel(1);
        let mut watching = self.watched().await;
        let mut watcher = self.watch(&watching, &touched);
        // Nobody tells of what was written since the first load, before anything was watched.
        let _ = touched.try_send(());
        loop {
            let mut asked = vec![];
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = touches.recv() => self.until_quiet(&mut touches, &mut asked).await,
                Some(request) = self.requests.recv() => asked.push(request),
                () = self.clock.sleep(self.interval) => {}
            }
            while let Ok(request) = self.requests.try_recv() {
                asked.push(request);
            }
            // What is read may name further files, which are watched from then on and looked at once more.
            for _ in 0..2 {
                // A directory that has just appeared, or is another one now, must be watched before it is read.
                let now = self.watched().await;
                if now != watching || watcher.is_none() {
                    watching = now;
                    watcher = self.watch(&watching, &touched);
                }
                self.handle().await;
                if self.watched().await == watching {
                    break;
                }
            }
            for request in asked {
                let _ = request.send(());
            }
        }
    }

    /// What is to be watched now: declarations, the files that they name, and what links among them lead to.
    async fn watched(&self) -> Watched {
        let (layout, loaded) = (self.layout.clone(), self.loaded.borrow().clone());
        // Each file is asked whether it is a link, and a link may lead to a disk that does not answer.
        let found = tokio::task::spawn_blocking(move || Watched::find(&layout, &loaded.catalog));
        found.await.unwrap_or_else(|panic| {
            tracing::error!(%panic, "looking for what to watch failed");
            Watched { wanted: vec![], places: vec![] }
        })
    }

    fn watch(&self, watched: &Watched, touched: &mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
        let watcher = watch(watched, touched.clone());
        if let Err(error) = &watcher {
            let interval = self.interval;
            tracing::warn!(%error, ?interval, "cannot watch files, looking at them in intervals only");
        }
        watcher.ok()
    }

    async fn until_quiet(&mut self, touches: &mut mpsc::Receiver<()>, asked: &mut Vec<oneshot::Sender<()>>) {
        // Files that are written without a pause are loaded all the same after a while.
        for _ in 0..10 {
            tokio::select! {
                Some(()) = touches.recv() => self.clock.sleep(QUIET / 4).await,
                Some(request) = self.requests.recv() => {
                    asked.push(request);
                    return;
                }
                () = self.clock.sleep(QUIET) => return,
            }
        }
    }

    async fn load(&self) -> (Catalog, Vec<Diagnostic>) {
        let layout = self.layout.clone();
        let before = self.loaded.borrow().clone();
        let reader = before.clone();
        let read = tokio::task::spawn_blocking(move || piton_spec::load(&layout, Some(&reader.catalog)));
        read.await.unwrap_or_else(|panic| {
            tracing::error!(%panic, "loading the declarations failed");
            (before.catalog.clone(), before.diagnostics.clone())
        })
    }
}

fn report(before: &[Diagnostic], now: &[Diagnostic]) {
    for diagnostic in now.iter().filter(|diagnostic| !before.contains(diagnostic)) {
        if diagnostic.is_error() {
            tracing::error!("{diagnostic}");
        } else {
            tracing::warn!("{diagnostic}");
        }
    }
    if now.iter().all(|diagnostic| !diagnostic.is_error()) && before.iter().any(Diagnostic::is_error) {
        tracing::info!("all declarations are valid again");
    }
}

/// Directories and files in which changes matter, and what is watched on disk to hear of them.
#[derive(Debug, PartialEq)]
struct Watched {
    wanted: Vec<PathBuf>,
    places: Vec<Place>,
}

impl Watched {
    fn find(layout: &Layout, catalog: &Catalog) -> Watched {
        let mut wanted = layout.watched();
        for file in catalog.env_files() {
            if !wanted.contains(file) {
                wanted.push(file.clone());
            }
        }
        let mut linked = led_to(wanted.iter().cloned().chain(catalog.files()));
        linked.retain(|path| !wanted.contains(path));
        wanted.extend(linked);
        let places = places(&wanted);
        Watched { wanted, places }
    }
}

/// A directory to watch: what it is on disk, and whether all that is below matters.
type Place = (PathBuf, Option<u64>, RecursiveMode);

/// What links lead to. When that changes, nothing happens at the link.
fn led_to(paths: impl Iterator<Item = PathBuf>) -> BTreeSet<PathBuf> {
    paths.filter(|path| path.is_symlink()).filter_map(|path| path.canonicalize().ok()).collect()
}

fn places(wanted: &[PathBuf]) -> Vec<Place> {
    let place = |directory: &PathBuf| {
        // Where it is not there yet, the nearest directory above it tells when it appears.
        let path = directory.ancestors().find(|path| path.is_dir())?;
        let mode = if path == *directory { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        let inode = std::fs::metadata(path).ok().map(|metadata| metadata.ino());
        Some((path.to_owned(), inode, mode))
    };
    let mut places: Vec<Place> = wanted.iter().filter_map(place).collect();
    // What is watched last decides whether new directories in it are watched too: a file that lies among declarations
    // must not end that.
    places.sort_by_key(|(_, _, mode)| *mode == RecursiveMode::Recursive);
    places
}

fn watch(watched: &Watched, touched: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let wanted = watched.wanted.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access() && concerns(&wanted, &event.paths)) {
            // A full channel means that a load is about to begin anyway.
            let _ = touched.try_send(());
        }
    })?;
    let (mut heard, mut refused) = (false, None);
    for (path, _, mode) in &watched.places {
        match watcher.watch(path, *mode) {
            Ok(()) => heard = true,
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        // What one link leads to must not make all others wait.
        Some(error) if heard => {
            tracing::warn!(%error, "cannot watch all files, looking at the others in intervals only");
            Ok(watcher)
        }
        Some(error) => Err(error),
        None => Ok(watcher),
    }
}

/// Whether what happened at `paths` can change what is below `wanted`. In a directory above, everything else is touched
/// too: the database, for one, with every run.
fn concerns(wanted: &[PathBuf], paths: &[PathBuf]) -> bool {
    // No path means that events were lost.
    paths.is_empty() || paths.iter().any(|path| wanted.iter().any(|it| path.starts_with(it) || it.starts_with(path)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clock::VirtualClock;

    /// Lets time go by until the loader has looked; how long that took it.
    async fn handled(
        loader: &Loader,
        hand: &VirtualClock,
        meanwhile: impl Fn(jiff::SignedDuration),
    ) -> jiff::SignedDuration {
        let begun = hand.now();
        let work = loader.handle();
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                () = &mut work => return hand.now().duration_since(begun),
                () = tokio::task::yield_now() => {}
            }
            if let Some(next) = hand.next_wake() {
                hand.set(next);
                meanwhile(next.duration_since(begun));
            }
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_away_for_a_while_takes_nothing_with_it() {
        let site = tempfile::tempdir().unwrap();
        let (jobs, away) = (site.path().join("jobs"), site.path().join("away"));
        fs::create_dir(&jobs).unwrap();
        for name in ["a", "b"] {
            let job = format!(r#"{{ "name": "{name}", "type": "command", "command": "true" }}"#);
            fs::write(jobs.join(name).with_extension("json"), job).unwrap();
        }
        let hand = VirtualClock::at(jiff::Timestamp::UNIX_EPOCH);
        let loader = Loader::new(Layout::new(site.path(), &site.path().join("data")), hand.clock(), ABSENCE_OF_ALL);
        let declared = || loader.loaded.borrow().catalog.jobs.len();
        assert_eq!(declared(), 2);

        fs::rename(&jobs, &away).unwrap();
        let back_after = jiff::SignedDuration::from_secs(8);
        let took = handled(&loader, &hand, |elapsed| {
            if elapsed >= back_after && away.exists() {
                fs::rename(&away, &jobs).unwrap();
            }
        });
        assert!(took.await >= back_after);
        assert_eq!(declared(), 2);

        // One file is believed sooner, and a directory in the end.
        fs::remove_file(jobs.join("a.json")).unwrap();
        assert!(handled(&loader, &hand, |_| {}).await < jiff::SignedDuration::from_secs(1));
        assert_eq!(declared(), 1);
        fs::remove_dir_all(&jobs).unwrap();
        assert!(handled(&loader, &hand, |_| {}).await >= back_after);
        assert_eq!(declared(), 0);
    }

    #[tokio::test]
    async fn what_was_written_before_anything_was_watched_is_noticed() {
        let site = tempfile::tempdir().unwrap();
        fs::create_dir(site.path().join("jobs")).unwrap();
        let hand = VirtualClock::at(jiff::Timestamp::UNIX_EPOCH);
        let interval = Duration::from_secs(3600);
        let loader = Loader::new(Layout::new(site.path(), &site.path().join("data")), hand.clock(), interval);
        let job = r#"{ "type": "command", "command": "true" }"#;
        fs::write(site.path().join("jobs/a.json"), job).unwrap();
        let loaded = loader.subscribe();
        let work = loader.run(CancellationToken::new());
        tokio::pin!(work);
        let found = || !loaded.borrow().catalog.jobs.is_empty();
        while !found() {
            tokio::select! {
                biased;
                () = &mut work => panic!("it ended"),
                () = tokio::task::yield_now() => {}
            }
            if let Some(next) = hand.next_wake() {
                let waits = next >= jiff::Timestamp::UNIX_EPOCH + interval;
                assert!(found() || !waits, "nobody looks before the next round");
                hand.set(next);
            }
        }
    }

    /// The file need not have been good, nor been named when the daemon began.
    #[tokio::test]
    async fn files_that_the_configuration_names_are_watched() {
        let site = tempfile::tempdir().unwrap();
        let path = |name: &str| site.path().join(name);
        let process = "[[processes]]\ntype = 'process'\nspec = { name = 'web', command = 'x' }\n";
        fs::write(path("piton.toml"), process).unwrap();
        let sources = piton_spec::Sources {
            current_dir: site.path().to_path_buf(),
            system_dir: Some(path("etc")),
            file: Some(path("piton.toml")),
            ..piton_spec::Sources::default()
        };
        let (config, _) = piton_spec::Config::load(&sources).unwrap();
        let hand = VirtualClock::at(jiff::Timestamp::UNIX_EPOCH);
        let layout = config.layout(jiff::tz::TimeZone::UTC);
        let loader = Loader::new(layout, hand.clock(), ABSENCE_OF_ALL);
        assert!(!loader.watched().await.wanted.contains(&path("a.env")));

        fs::write(path("piton.toml"), format!("env_files = ['a.env']\n{process}")).unwrap();
        handled(&loader, &hand, |_| {}).await;
        assert!(loader.watched().await.wanted.contains(&path("a.env")), "{:?}", loader.loaded.borrow().diagnostics);
        assert!(loader.loaded.borrow().diagnostics.iter().any(|found| found.file.ends_with("a.env")));
        fs::write(path("a.env"), "A=1\n").unwrap();
        handled(&loader, &hand, |_| {}).await;
        let loaded = loader.loaded.borrow().clone();
        assert_eq!(loaded.diagnostics, []);
        let web = &loaded.catalog.processes[&piton_model::Name::parse("web").unwrap()].process;
        assert_eq!(web.env["A"].expose(), "1");
    }

    #[tokio::test]
    async fn what_links_among_declarations_lead_to_is_watched() {
        let site = tempfile::tempdir().unwrap();
        let root = site.path().canonicalize().unwrap();
        let job = r#"{ "type": "command", "command": "true" }"#;
        for (path, text) in [("elsewhere/web/main.tf", ""), ("elsewhere/web/config.json", "{}"), ("more/job.json", job)]
        {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        for (directory, name, to) in [("workspaces", "web", "elsewhere/web"), ("jobs", "a.json", "more/job.json")] {
            fs::create_dir(root.join(directory)).unwrap();
            std::os::unix::fs::symlink(root.join(to), root.join(directory).join(name)).unwrap();
        }
        let hand = VirtualClock::at(jiff::Timestamp::UNIX_EPOCH);
        let loader = Loader::new(Layout::new(&root, &root.join("data")), hand.clock(), ABSENCE_OF_ALL);
        let Watched { wanted, places } = loader.watched().await;
        for (path, expected) in [("elsewhere/web", RecursiveMode::Recursive), ("more", RecursiveMode::NonRecursive)] {
            let is_watched = places.iter().any(|(place, _, mode)| *place == root.join(path) && *mode == expected);
            assert!(is_watched, "{path}: {places:?}");
        }
        assert!(concerns(&wanted, &[root.join("elsewhere/web/config.json")]));
        assert!(concerns(&wanted, &[root.join("more/job.json")]));
        assert!(!concerns(&wanted, &[root.join("more/other.json")]));
    }

    #[test]
    fn a_file_among_declarations_leaves_their_directory_watched_with_all_below() {
        let site = tempfile::tempdir().unwrap();
        let places = places(&[site.path().to_path_buf(), site.path().join("a.env")]);
        let modes: Vec<_> = places.iter().map(|(path, _, mode)| (path.as_path(), *mode)).collect();
        assert_eq!(modes, [(site.path(), RecursiveMode::NonRecursive), (site.path(), RecursiveMode::Recursive)]);
    }

    #[test]
    fn only_what_is_on_the_way_to_a_declaration_or_below_matters() {
        let wanted = ["/peaks/workspaces", "/peaks/jobs", "/peaks/.piton/templates"].map(PathBuf::from);
        let matters = |path: &str| concerns(&wanted, &[path.into()]);
        assert!(matters("/peaks/workspaces/k2/config.json"));
        assert!(matters("/peaks/workspaces"));
        assert!(matters("/peaks/.piton"));
        assert!(matters("/peaks/.piton/templates/registry.json"));
        assert!(!matters("/peaks/.piton/piton.db-wal"));
        assert!(!matters("/peaks/.piton/templates.json"));
        assert!(concerns(&wanted, &[]));
    }
}
