//! How long it takes: a template of 42 files and some 200 KB, at a forge on this machine.

use std::time::Instant;

use piton_forge::{Commit, Limits, Pushed, Tree};
use piton_testkit::forges::Flavour;

use crate::scene::{RUN, Scene, wanted, words};

fn template() -> Tree {
    let mut tree = Tree::new(Limits::default());
    for number in 0..42 {
        let line = format!("line of file {number}: the quick brown fox jumps over the lazy dog\n");
        tree.file(&format!("src/{}/{number}.go", number % 7), line.repeat(4900 / line.len()), number == 0).unwrap();
    }
    tree
}

/// The bound is loose, since tests are built without optimisation and run beside others; the figures are printed.
#[tokio::test]
async fn a_usual_template_is_a_matter_of_milliseconds() {
    let scene = Scene::new(Flavour::GitLab);
    let tree = template();
    for number in 0..5 {
        let wanted = wanted("123", &format!("a{number}"));
        let start = Instant::now();
        let commit = Commit::build(&tree, &words(RUN)).unwrap();
        let built = start.elapsed();
        let repository = scene.forge.ensure_repository(&wanted, commit.id()).await.unwrap();
        let ensured = start.elapsed();
        assert_eq!(scene.forge.push(&repository, &wanted, &commit).await.unwrap(), Pushed::Made);
        let pushed = start.elapsed();
        println!("built {built:?} ({} bytes), there after {ensured:?}, pushed after {pushed:?}", commit.pack().len());
        assert!(pushed.as_secs() < 5, "{pushed:?}");
    }
    assert_eq!(scene.clone("team/a0").files.len(), 42);
}
