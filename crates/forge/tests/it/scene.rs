//! What the tests have in common.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Once;

use piton_forge::{Commit, Forge, Identity, Kind, Limits, Owner, Settings, Tree, Visibility, Wanted, Words};
use piton_model::Secret;
use piton_testkit::forges::{self, Flavour, TOKEN};
use piton_testkit::repository::git;
use tempfile::TempDir;

pub const RUN: &str = "0192aa7e-3f4b-7cc1-9c1d-3f1f5f6b7a01";

/// A forge that is played, and the one that is tested.
pub struct Scene {
    pub server: forges::Forge,
    pub forge: Forge,
    pub dir: TempDir,
}

impl Scene {
    /// With a group `team`, whose number is 123, and `company/team`, 124.
    pub fn new(flavour: Flavour) -> Scene {
        Scene::with(flavour, TOKEN)
    }

    pub fn with(flavour: Flavour, token: &str) -> Scene {
        prepare();
        let dir = tempfile::tempdir().unwrap();
        let server = forges::Forge::start(flavour, dir.path()).unwrap();
        server.add_group(123, "team");
        if flavour == Flavour::GitLab {
            server.add_group(124, "company/team");
        }
        let forge = hosted(flavour, &server.url(), token);
        Scene { server, forge, dir }
    }

    /// What git finds in a repository.
    pub fn clone(&self, full_name: &str) -> Clone {
        Clone::of(self.server.repository(full_name).to_str().unwrap())
    }
}

pub fn hosted(flavour: Flavour, url: &str, token: &str) -> Forge {
    let kind = match flavour {
        Flavour::GitLab => Kind::GitLab,
        Flavour::GitHub => Kind::GitHub,
        Flavour::Gitea => Kind::Gitea,
    };
    Forge::hosted(kind, url, &Secret::new(token.to_owned()), Settings::default()).unwrap()
}

/// As the binary does.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
}

pub fn wanted(owner: &str, name: &str) -> Wanted {
    Wanted {
        name: name.parse().unwrap(),
        owner: owner.parse::<Owner>().unwrap(),
        visibility: Visibility::Private,
        description: "A service".to_owned(),
        run: RUN.parse().unwrap(),
        branch: "main".parse().unwrap(),
        topics: Vec::new(),
        adopt_empty: false,
    }
}

/// A run that is not ours.
pub fn of_another(wanted: &Wanted) -> Wanted {
    Wanted { run: "0192aa7e-ffff-7cc1-9c1d-3f1f5f6b7a02".parse().unwrap(), ..wanted.clone() }
}

pub fn words(run: &str) -> Words {
    Words {
        author: Identity::new("Piton", "piton@example.org").unwrap(),
        committer: Identity::new("Piton", "piton@example.org").unwrap(),
        date: "2026-03-04T05:06:07Z".parse().unwrap(),
        message: "Begin".to_owned(),
        run: run.parse().unwrap(),
    }
}

/// Files of every kind that there is.
pub fn tree() -> Tree {
    let mut tree = Tree::new(Limits::default());
    tree.file("README.md", "# A service\n", false).unwrap();
    tree.file("bin/run", "#!/bin/sh\n", true).unwrap();
    tree.file("src/main.rs", "fn main() {}\n", false).unwrap();
    tree.file("src-2/lib.rs", "", false).unwrap();
    tree.file("src.d/x", "\0\u{ff}", false).unwrap();
    tree.file(".github/workflows/ci.yml", "on: push\n", false).unwrap();
    tree.link("docs/readme", "../README.md").unwrap();
    tree
}

pub fn commit() -> Commit {
    Commit::build(&tree(), &words(RUN)).unwrap()
}

/// What git found.
pub struct Clone {
    pub head: String,
    pub branch: String,
    pub message: String,
    pub author: String,
    pub commits: usize,
    /// Mode and content, by path.
    pub files: BTreeMap<String, (String, String)>,
}

impl Clone {
    /// Clones with git, which checks everything that it takes.
    pub fn of(address: &str) -> Clone {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        git(at, ["-c", "transfer.fsckObjects=true", "clone", "-q", "--no-local", address, "c"]).unwrap();
        let at = at.join("c");
        let said = |args: &[&str]| git(&at, args).unwrap().trim_end().to_owned();
        let listed = said(&["ls-tree", "-r", "HEAD"]);
        let files = listed.lines().map(|line| {
            let (head, path) = line.split_once('\t').unwrap();
            let mode = head.split(' ').next().unwrap().to_owned();
            (path.to_owned(), (mode, content(&at.join(path))))
        });
        let files = files.collect();
        Clone {
            head: said(&["rev-parse", "HEAD"]),
            branch: said(&["rev-parse", "--abbrev-ref", "HEAD"]),
            message: said(&["log", "-1", "--format=%B"]),
            author: said(&["log", "-1", "--format=%an <%ae> %at %cn <%ce> %ct"]),
            commits: said(&["rev-list", "--count", "--all"]).parse().unwrap(),
            files,
        }
    }
}

fn content(path: &Path) -> String {
    match std::fs::read_link(path) {
        Ok(target) => target.to_str().unwrap().to_owned(),
        Err(_) => {
            let executable = std::fs::metadata(path).unwrap().permissions().mode() & 0o111 != 0;
            let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
            if executable { format!("x {text}") } else { text }
        }
    }
}

/// The first commit is there as it should be, and nothing else.
pub fn check(found: &Clone) {
    let file = |path: &str, mode: &str, content: &str| (path.to_owned(), (mode.to_owned(), content.to_owned()));
    let expected = BTreeMap::from([
        file(".github/workflows/ci.yml", "100644", "on: push\n"),
        file("README.md", "100644", "# A service\n"),
        file("bin/run", "100755", "x #!/bin/sh\n"),
        file("docs/readme", "120000", "../README.md"),
        file("src-2/lib.rs", "100644", ""),
        file("src.d/x", "100644", "\0\u{ff}"),
        file("src/main.rs", "100644", "fn main() {}\n"),
    ]);
    assert_eq!(found.files, expected);
    assert_eq!(found.head, commit().id().to_string());
    assert_eq!(found.commits, 1);
    assert_eq!(found.message, format!("Begin\n\nRun-Id: {RUN}"));
    assert_eq!(found.author, "Piton <piton@example.org> 1772600767 Piton <piton@example.org> 1772600767");
}

/// The branch is somebody else's now, though the repository still has what was there.
pub fn replace(repository: &Path) {
    let other = git(repository, ["commit-tree", "-m", "From the beginning", "HEAD^{tree}"]).unwrap();
    git(repository, ["update-ref", "refs/heads/main", other.trim()]).unwrap();
}

/// Adds a commit to a bare repository, as a person would, and answers with it.
pub fn develop(repository: &Path, branch: &str, file: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), ["clone", "-q", repository.to_str().unwrap(), "c"]).unwrap();
    let at = dir.path().join("c");
    std::fs::write(at.join(file), "by a person").unwrap();
    git(&at, ["checkout", "-q", "-B", branch]).unwrap();
    git(&at, ["add", "-A"]).unwrap();
    git(&at, ["commit", "-q", "-m", "By a person"]).unwrap();
    git(&at, ["push", "-q", "origin", branch]).unwrap();
    git(&at, ["rev-parse", "HEAD"]).unwrap().trim().to_owned()
}
