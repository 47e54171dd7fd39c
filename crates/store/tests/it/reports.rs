//! What workers elsewhere report, on both engines.

use piton_model::{
    By, Event, Failure, FailureClass, Outcome, OutcomeKind, Phase, RemoteNews, RemoteStatus, RemoteWord, Run,
};
use piton_store::{Guard, RunQuery, Store};

use crate::fixture::{Fixture, at, on_both_engines, run_id, worker};

on_both_engines!(
    what_is_reported_is_kept_and_nobody_here_can_take_it,
    reports_that_race_make_one_run,
    who_falls_silent_is_lost_and_who_speaks_is_not,
);

fn word(status: RemoteStatus, second: i64) -> RemoteWord {
    let news = RemoteNews { worker: "worker-001".to_owned(), attempt: 2, said_at: at(second) };
    RemoteWord { run_id: "abc-123".parse().unwrap(), status, news, by: By::Client("worker".to_owned()) }
}

fn failed() -> RemoteStatus {
    RemoteStatus::Failed { failure: Failure::new(FailureClass::Permanent, "template_failed", "no") }
}

/// Heard at a second, with an hour of patience.
async fn hear(store: &Store, word: RemoteWord, second: i64) -> (Run, bool) {
    let heard = store.hear(word, run_id(at(second)), at(second + 3_600), at(second)).await.unwrap();
    (heard.run, heard.is_news)
}

async fn what_is_reported_is_kept_and_nobody_here_can_take_it(fixture: &Fixture) {
    let store = fixture.open().await;
    let (run, is_news) = hear(&store, word(RemoteStatus::Running, 1), 10).await;
    assert_eq!((run.phase(), is_news), (Phase::Running, true));
    let own = worker("worker-001");
    assert_eq!(store.claim(&own, 10, at(100), at(50), None).await.unwrap(), []);
    assert_eq!(store.held_by(&own).await.unwrap(), [], "not even who is called the same");
    assert_eq!(store.renew(&own, at(9_000), at(50)).await.unwrap(), []);
    let other = fixture.open().await;
    assert_eq!(other.run(run.id).await.unwrap(), Some(run.clone()));
    let (same, is_news) = hear(&other, word(RemoteStatus::Running, 1), 11).await;
    assert_eq!((same, is_news), (run.clone(), false));
    let (over, is_news) = hear(&other, word(RemoteStatus::Succeeded { repository: None }, 2), 12).await;
    assert_eq!((over.id, over.outcome(), is_news), (run.id, Some(&Outcome::Succeeded), true));
    let (still, is_news) = hear(&store, word(failed(), 3), 13).await;
    assert_eq!((still, is_news), (over, false));
    assert_eq!(store.runs(&RunQuery::default()).await.unwrap().runs.len(), 1);
}

async fn reports_that_race_make_one_run(fixture: &Fixture) {
    let nodes = fixture.nodes().await;
    let mut hearing = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = nodes[number % nodes.len()].clone();
        hearing.spawn(async move { hear(&store, word(failed(), 1), 10).await });
    }
    let heard = hearing.join_all().await;
    assert_eq!(heard.iter().filter(|(_, is_news)| *is_news).count(), 1);
    assert!(heard.iter().all(|(run, _)| run.id == heard[0].0.id && run.phase() == Phase::Ended));
    let (again, _) = hear(&nodes[0], word(RemoteStatus::Running, 5), 11).await;
    assert_eq!((again.retry_of, again.phase()), (Some(heard[0].0.id), Phase::Running));
}

async fn who_falls_silent_is_lost_and_who_speaks_is_not(fixture: &Fixture) {
    let store = fixture.open().await;
    let (run, _) = hear(&store, word(RemoteStatus::Running, 1), 0).await;
    assert_eq!(store.overdue(at(3_599), 10).await.unwrap().len(), 0);
    hear(&store, word(RemoteStatus::Running, 2), 3_000).await;
    assert_eq!(store.overdue(at(6_599), 10).await.unwrap().len(), 0, "it has spoken");
    let silent = store.overdue(at(6_600), 10).await.unwrap();
    assert_eq!(silent.iter().map(|run| run.id).collect::<Vec<_>>(), [run.id]);
    let attempt = silent[0].lease().unwrap().attempt;
    let lost = store.record(run.id, Event::LeaseLost, Guard::Attempt(attempt), at(6_600)).await.unwrap();
    assert_eq!(lost.outcome().map(Outcome::kind), Some(OutcomeKind::Indeterminate));
}
