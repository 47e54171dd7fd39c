//! Repositories that messages ask for: once, however often they come.

use std::time::Duration;

use piton_engine::{Accepted, Sent};
use piton_model::{
    Backoff, Digest, FailureClass, GitProvider, OutcomeKind, RepositoryVisibility, Run, Scaffold, ScaffoldKind, Secret,
    Subject,
};
use piton_testkit::simulation::Simulation;

use crate::site::{begin, failing, lasting, minutes, monday};

fn scaffold(content: &str) -> Scaffold {
    Scaffold {
        run_id: "a".parse().unwrap(),
        job_type: ScaffoldKind::Component,
        template: "go-backend".to_owned(),
        name: "service".to_owned(),
        namespace: "team".to_owned(),
        values: Secret::default(),
        provider: GitProvider::Gitlab,
        group_id: None,
        visibility: RepositoryVisibility::Private,
        timeout: Duration::from_secs(600),
        asked_at: monday("08:00:00"),
        digest: Digest::of(content.as_bytes()),
    }
}

async fn submit(simulation: &Simulation, content: &str, sent: Sent) -> Accepted {
    simulation.node(0).submit_scaffold(scaffold(content), Backoff::NONE, sent).await.unwrap()
}

#[tokio::test]
async fn what_failed_is_tried_once_more_when_somebody_sends_it_again_and_not_when_the_broker_does() {
    let mut simulation = begin(monday("08:00:00"), |_| {}).await;
    simulation.scripted.play(|_| failing(FailureClass::Permanent));
    let Accepted::New(first) = submit(&simulation, "x", Sent::Now).await else { panic!("it is new") };
    assert_eq!(submit(&simulation, "x", Sent::Now).await, Accepted::Known(first));
    assert_eq!(submit(&simulation, "y", Sent::Now).await, Accepted::Other(first));
    simulation.settle().await.unwrap();
    assert_eq!(submit(&simulation, "x", Sent::Before).await, Accepted::Known(first));

    // Ids tell which run is later by their time.
    simulation.run_for(minutes(1)).await.unwrap();
    simulation.scripted.play(|_| lasting(1));
    let Accepted::New(second) = submit(&simulation, "x", Sent::Now).await else { panic!("it is tried again") };
    assert_eq!(simulation.node(0).run(second).await.unwrap().retry_of, Some(first));
    // While it goes on, and when it has gone well, it is that one.
    assert_eq!(submit(&simulation, "x", Sent::Now).await, Accepted::Known(second));
    simulation.run_for(minutes(2)).await.unwrap();
    assert_eq!(submit(&simulation, "x", Sent::Now).await, Accepted::Known(second));
    let latest = simulation.store().latest_of(&Subject::Scaffold("a".parse().unwrap())).await.unwrap().unwrap();
    assert_eq!((latest.id, latest.outcome().map(piton_model::Outcome::kind)), (second, Some(OutcomeKind::Succeeded)));
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}

/// Refuses a message a minute later than now; whether that was recorded.
async fn refuse(simulation: &mut Simulation, reason: &str) -> bool {
    simulation.run_for(minutes(1)).await.unwrap();
    simulation.node(0).refuse("a".parse().unwrap(), Some(ScaffoldKind::Component), reason).await.unwrap()
}

async fn latest(simulation: &Simulation) -> Run {
    simulation.node(0).scaffold("a").await.unwrap().unwrap()
}

#[tokio::test]
async fn a_message_that_is_refused_is_a_run_that_failed_once_and_in_nobodys_way() {
    let mut simulation = begin(monday("08:00:00"), |_| {}).await;
    simulation.scripted.play(|_| lasting(1));
    assert!(refuse(&mut simulation, "`template` is missing").await);
    assert!(!refuse(&mut simulation, "`template` is missing").await, "it came again");
    let first = latest(&simulation).await;
    assert_eq!(first.refused_by(), Some(simulation.node(0).worker().as_str()));
    assert_eq!(first.outcome().and_then(|outcome| outcome.failure()).unwrap().code, "invalid_message");
    assert!(refuse(&mut simulation, "`values` is missing").await, "that is another one");
    assert_eq!(latest(&simulation).await.retry_of, Some(first.id));

    simulation.run_for(minutes(1)).await.unwrap();
    let Accepted::New(mended) = submit(&simulation, "x", Sent::Now).await else {
        panic!("it is the first that can be done")
    };
    assert!(!refuse(&mut simulation, "`values` is missing").await, "that name is taken");
    simulation.run_for(minutes(2)).await.unwrap();
    assert_eq!(latest(&simulation).await.id, mended);
    assert_eq!(submit(&simulation, "x", Sent::Now).await, Accepted::Known(mended));
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}
