//! What people are told about a run.

use piton_model::FailureClass;
use piton_testkit::scripted::{Behaviour, Does};

use crate::site::{PLAN, SECOND, ana, begin, failing, hangs, hours, lasting, minutes, monday, workspace};

#[tokio::test]
async fn every_state_of_a_run_is_explained() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| hangs());
        workspace(s, "everest", r#"{"deploy_schedule": "0 9 * * *"}"#);
    })
    .await;
    let engine = simulation.node(0).clone();
    let first = crate::site::submitted(&simulation).await[0];
    let told = engine.explain(first).await.unwrap();
    assert_eq!(told.summary, "it is in `prepare` since the attempt began at 2026-03-02T08:00:00Z");
    assert!(told.reasons[0].contains("new or changed configuration"), "{told:?}");

    let second = engine.plan("everest", None, ana()).await.unwrap().id;
    let told = engine.explain(second).await.unwrap();
    assert_eq!(told.summary, "it waits for another run of the same subject");
    assert_eq!(told.hints, [format!("piton run show {first}")]);

    engine.cancel(first, ana(), None).await.unwrap();
    assert_eq!(engine.explain(first).await.unwrap().summary, "it is stopping during `prepare`, as ana asked");
    let gate = Behaviour { does: Does::Gate("summit"), lasts: Some(SECOND), heeds: true };
    simulation.scripted.play(move |task| if task.step == PLAN { gate } else { lasting(1) });
    simulation.run_for(minutes(10)).await.unwrap();
    assert_eq!(engine.explain(first).await.unwrap().summary, "it ended at 2026-03-02T08:00:00Z: cancelled by ana");
    let told = engine.explain(second).await.unwrap();
    assert_eq!(told.summary, "it waits for approval until 2026-03-03T08:02:01Z");
    assert_eq!(told.hints, [format!("piton run approve {second}"), format!("piton run reject {second}")]);

    engine.reject(second, ana(), None).await.unwrap();
    simulation.scripted.play(|_| failing(FailureClass::Transient));
    let third = engine.deploy("everest", None, ana()).await.unwrap().id;
    assert_eq!(engine.explain(third).await.unwrap().summary, "it waits for a worker to take it");
    simulation.settle().await.unwrap();
    assert_eq!(engine.explain(third).await.unwrap().summary, "it waits until 2026-03-02T08:10:10Z");
    simulation.run_for(hours(1)).await.unwrap();
    let told = engine.explain(third).await.unwrap();
    assert!(told.summary.ends_with(": failed"), "{told:?}");
    assert!(told.hints.contains(&format!("piton run logs {third}")), "{told:?}");
}

#[tokio::test]
async fn what_is_due_next_is_listed_in_order() {
    let simulation = begin(monday("12:00:00"), |s| {
        workspace(s, "everest", r#"{"deploy_schedule": "0 9 * * *", "destroy_schedule": "0 18 * * *"}"#);
    })
    .await;
    let upcoming = simulation.node(0).upcoming("everest", 3).await.unwrap();
    let lines: Vec<String> = upcoming.iter().map(|next| format!("{} {}", next.at, next.effect)).collect();
    assert_eq!(lines, ["2026-03-02T18:00:00Z destroy", "2026-03-03T09:00:00Z deploy", "2026-03-03T18:00:00Z destroy"]);
}
