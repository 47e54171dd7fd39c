//! Scheduled provisions with the real loops, while only the clock stands still until it is moved.

use std::time::Duration;

use piton_engine::{Engine, ProvisionRules, Shutdown};
use piton_model::{
    Alteration, ApprovalStatus, Backoff, FailureClass, JobType, NewProvision, RunId, ScheduleId, ScheduleStatus,
    ScheduledProvision, Secret, Subject,
};
use piton_testkit::scripted::What;
use piton_testkit::simulation::Simulation;

use crate::site::{ana, failing, lasting, minutes, monday};

async fn site() -> Simulation {
    let mut simulation = Simulation::new(7, monday("08:00:00")).await.unwrap();
    simulation.configure = |config| {
        let minute = Duration::from_secs(60);
        let retry = Backoff { max_attempts: 3, first: minute, cap: minute * 60 };
        let provisions = ProvisionRules { max_concurrent: 2, retry, ahead: Duration::from_millis(25) };
        piton_engine::Config { provisions, ..config }
    };
    simulation.scripted.play(|_| lasting(1));
    simulation
}

fn wanted(number: u8, time: &str) -> NewProvision {
    NewProvision {
        id: RunId::new(monday("00:00:00"), [number; 10]).into(),
        job_type: JobType::Provision,
        employee: Secret::new(serde_json::json!({ "workEmail": format!("{number}@example.com") })),
        applications: Secret::new(serde_json::json!({ "google": true })),
        payload: None,
        schedule_time: monday(time),
        timezone: None,
        tags: vec!["to be created".to_owned()],
        target_user_email: None,
        requested_by: None,
        approval: ApprovalStatus::AutoApproved,
    }
}

/// Lets time go by until the row is in one of these states.
async fn until(engine: &Engine, simulation: &Simulation, id: ScheduleId, status: ScheduleStatus) -> ScheduledProvision {
    let search = async {
        loop {
            let row = engine.provision(id).await.unwrap();
            if row.status == status {
                return row;
            }
            // The loops have come to rest as far as one can tell from outside.
            tokio::time::timeout(Duration::from_millis(25), std::future::pending::<()>()).await.unwrap_err();
            let hand = &simulation.clock;
            if let Some(next) = hand.next_wake().filter(|next| *next > hand.now()) {
                hand.set(next);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), search).await.expect("it takes too long")
}

/// Which provisions were begun, in this order.
fn begun(simulation: &Simulation) -> Vec<ScheduleId> {
    let begun = simulation.scripted.effects().into_iter().filter(|effect| effect.what == What::Begun);
    begun
        .filter_map(|effect| match effect.subject {
            Subject::Provision(id) => Some(id),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn what_was_missed_is_executed_first_and_nothing_before_its_time() {
    let mut simulation = site().await;
    let engine = simulation.engine("one");
    let rows = [wanted(1, "07:30:00"), wanted(2, "07:00:00"), wanted(3, "09:00:00")];
    let ids: Vec<ScheduleId> = rows.iter().map(|row| row.id).collect();
    engine.schedule_provisions(rows.to_vec(), ana()).await.unwrap();
    engine.start().await.unwrap();
    let last = until(&engine, &simulation, ids[2], ScheduleStatus::Completed).await;
    assert_eq!(begun(&simulation), [ids[1], ids[0], ids[2]]);
    let effects = simulation.scripted.effects();
    let of_last = effects.iter().find(|effect| effect.subject == Subject::Provision(ids[2])).unwrap();
    assert_eq!((of_last.at, last.executed_at), (monday("09:00:00"), Some(monday("09:01:00"))));
    engine.shutdown(Shutdown::Drain).await;
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}

#[tokio::test]
async fn a_call_that_failed_is_made_again_until_there_were_enough() {
    let mut simulation = site().await;
    simulation.scripted.play(|_| failing(FailureClass::Transient));
    let engine = simulation.engine("one");
    engine.start().await.unwrap();
    let row = wanted(1, "08:00:00");
    engine.schedule_provisions(vec![row.clone()], ana()).await.unwrap();
    let failed = until(&engine, &simulation, row.id, ScheduleStatus::Failed).await;
    assert_eq!((begun(&simulation).len(), failed.retry_count, failed.next_attempt_at), (3, 2, None));
    let at: Vec<_> = simulation.scripted.effects().into_iter().filter(|effect| effect.what == What::Begun).collect();
    for (tries, longest) in at.windows(2).zip([minutes(1), minutes(2)]) {
        let waited = tries[1].at.duration_since(tries[0].at);
        assert!(longest / 2 <= waited && waited <= longest, "{waited:?}");
    }
    // Whoever is called knows all tries by one key; another execution has another one.
    let runs: Vec<_> = simulation.runs().await.unwrap().into_values().collect();
    let keys = |runs: &[piton_model::Run]| {
        let key = |run: &piton_model::Run| match &*run.action {
            piton_model::Action::Provision(provision) => provision.key,
            other => panic!("{other:?}"),
        };
        runs.iter().map(key).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(keys(&runs), 1);
    simulation.scripted.play(|_| lasting(1));
    engine.alter_provision(row.id, Alteration::Retry, ana()).await.unwrap();
    until(&engine, &simulation, row.id, ScheduleStatus::Completed).await;
    assert_eq!(keys(&simulation.runs().await.unwrap().into_values().collect::<Vec<_>>()), 2);
    engine.shutdown(Shutdown::Drain).await;
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}

#[tokio::test]
async fn nobody_else_repeats_what_is_under_way_and_what_is_refused_is_not_tried_again() {
    let mut simulation = site().await;
    simulation.scripted.play(|_| failing(FailureClass::Permanent).after(Duration::from_secs(600)));
    let (one, two) = (simulation.engine("one"), simulation.engine("two"));
    one.start().await.unwrap();
    two.start().await.unwrap();
    let row = wanted(1, "08:00:00");
    one.schedule_provisions(vec![row.clone()], ana()).await.unwrap();
    let failed = until(&one, &simulation, row.id, ScheduleStatus::Failed).await;
    assert_eq!((begun(&simulation).len(), failed.retry_count), (1, 0));
    one.shutdown(Shutdown::Drain).await;
    two.shutdown(Shutdown::Drain).await;
}

#[tokio::test]
async fn who_was_not_approved_waits() {
    let mut simulation = site().await;
    let engine = simulation.engine("one");
    engine.start().await.unwrap();
    let asked = NewProvision { approval: ApprovalStatus::PendingApproval, ..wanted(1, "08:00:00") };
    let other = wanted(2, "08:10:00");
    engine.schedule_provisions(vec![asked.clone(), other.clone()], ana()).await.unwrap();
    until(&engine, &simulation, other.id, ScheduleStatus::Completed).await;
    assert_eq!(begun(&simulation), [other.id]);
    let refused = engine.alter_provision(asked.id, Alteration::ExecuteNow, ana()).await.unwrap_err();
    assert_eq!(refused.code(), "approval_required");
    engine.alter_provision(asked.id, Alteration::Approve { by: "bo".to_owned(), reason: None }, ana()).await.unwrap();
    until(&engine, &simulation, asked.id, ScheduleStatus::Completed).await;
    engine.shutdown(Shutdown::Drain).await;
}
