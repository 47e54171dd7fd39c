//! What one caller sees, the same on both engines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use piton_model::{
    AttemptNo, Backoff, By, Decision, Digest, Event, FailureClass, JobState, JobStatus, Name, Origin, Outcome,
    OutcomeKind, Phase, Projection, Record, Resume, Run, RunState, SkipReason, Subject, SubjectKind,
};
use piton_store::{
    Error, FileHold, Fire, FireResult, Guard, Options, RecordError, Room, RunQuery, Scope, SkipQuery, Store, Submitted,
};

use crate::fixture::{
    Fixture, at, cancel, claim_one, cron_run, deployment, done, end, failed, gate_digest, guard, job, keyed_run,
    locked_run, new_run, on_both_engines, submit_one, to_the_gate, worker, workspace,
};

on_both_engines!(
    every_statement_is_accepted,
    hot_statements_go_through_an_index_whatever_the_statistics_say,
    a_run_moves_from_submission_to_history,
    a_census_tells_in_one_answer_what_is_so,
    a_key_and_an_id_make_one_run,
    claims_follow_priority_then_due_time,
    a_retry_keeps_its_place_in_the_queue_of_its_lock,
    a_gate_keeps_the_lock,
    a_lost_attempt_is_fenced_off,
    a_claim_cannot_be_recorded,
    a_renewed_lease_is_read_back,
    next_due_ignores_what_is_blocked,
    deployments_wait_in_a_line_of_their_own,
    repositories_of_blueprints_wait_in_a_lane_of_their_own,
    a_fire_moves_the_cursor_once,
    due_times_without_a_run_are_found_again,
    a_follower_moves_once,
    suspensions_are_kept,
    since_when_a_file_holds_a_job_back_is_kept,
    an_import_overwrites_nothing,
    pages_cover_everything_once,
    retention_keeps_the_ledger_sound,
    retention_waits_for_followers,
    what_is_removed_stays_told,
    progress_is_kept_with_the_run,
    a_key_outlives_its_run_while_its_fire_may_come_again,
    an_operation_that_cannot_be_written_fails_alone,
    a_closed_store_says_so,
    a_reopened_store_knows_everything,
    a_newer_schema_is_refused,
    another_migration_is_refused,
    changes_wake_the_one_who_waits,
);

async fn every_statement_is_accepted(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_eq!(piton_store::refused_statements(&store).await.unwrap(), Vec::<String>::new());
}

async fn hot_statements_go_through_an_index_whatever_the_statistics_say(fixture: &Fixture) {
    // The tables are empty, and the statistics say so: the best reason there is to read them from end to end.
    let store = fixture.open().await;
    for (sql, plan) in piton_store::hot_plans(&store).await.unwrap() {
        // The list of priorities is made on the fly: `p` and what is made from it are no tables, and `s` is one row.
        let scans = |line: &str| line.starts_with("SCAN") && !line.contains("INDEX");
        let reads_all = plan.contains("Seq Scan")
            || plan
                .lines()
                .any(|line| scans(line) && !matches!(line, "SCAN p" | "SCAN d" | "SCAN s" | "SCAN CONSTANT ROW"));
        let sorts = plan.contains("Sort") || plan.contains("TEMP B-TREE");
        assert!(!reads_all && !sorts, "{sql}\n{plan}");
    }
}

async fn a_run_moves_from_submission_to_history(fixture: &Fixture) {
    let store = fixture.open().await;
    let (subject, me) = (job("backup"), worker("me"));
    let run = submit_one(&store, locked_run(&subject, at(0)), at(0)).await;
    assert_eq!(store.run(run.id).await.unwrap(), Some(run.clone()));
    assert_eq!(store.active_of(&subject).await.unwrap(), vec![run.clone()]);

    assert_eq!(store.claim(&me, 10, at(30), at(-1), None).await.unwrap(), [], "it is not due yet");
    let running = claim_one(&store, &me, at(1)).await;
    assert_eq!(running.id, run.id);
    assert_eq!(store.held_by(&me).await.unwrap(), vec![running.clone()]);
    assert_eq!(store.live().await.unwrap(), vec![running.clone()]);
    assert_eq!(store.census(Scope::Runs).await.unwrap().begun, vec![running.clone()]);

    let ended = end(&store, &running, at(2)).await;
    assert_eq!(ended.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(store.run(run.id).await.unwrap(), Some(ended.clone()));
    assert_eq!(store.live().await.unwrap(), []);
    assert_eq!(store.latest_of(&subject).await.unwrap(), Some(ended));

    let entries = store.entries_of(run.id).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(entries, store.entries(0, 10).await.unwrap());
    assert_eq!(store.head().await.unwrap(), 3);
    let Some(Projection::Job(state)) = store.projection(&subject).await.unwrap() else { panic!("no status") };
    assert_eq!((state.status, state.run_count, state.success_count), (JobStatus::Success, 1, 1));

    let again = store.record(run.id, done(), Guard::Any, at(3)).await;
    assert!(matches!(again, Err(RecordError::Illegal(_))), "{again:?}");
    let unknown = new_run(&subject, at(0)).id;
    assert_eq!(store.record(unknown, done(), Guard::Any, at(3)).await, Err(RecordError::NotFound(unknown)));
    assert_eq!(store.run(unknown).await.unwrap(), None);
}

async fn a_census_tells_in_one_answer_what_is_so(fixture: &Fixture) {
    let store = fixture.open().await;
    let (subject, me) = (job("backup"), worker("me"));
    submit_one(&store, locked_run(&subject, at(0)), at(0)).await;
    let running = claim_one(&store, &me, at(1)).await;
    submit_one(&store, locked_run(&subject, at(3)), at(1)).await;
    submit_one(&store, new_run(&workspace("web"), at(9)), at(1)).await;
    let seen = store.census(Scope::Provisions).await.unwrap();
    assert_eq!(seen.begun, vec![running]);
    assert_eq!((seen.head, seen.provisions), (store.head().await.unwrap(), Some(BTreeMap::new())));
    assert_eq!(seen.jobs, store.projections(SubjectKind::Job).await.unwrap());
    assert!(seen.jobs.contains_key(&subject), "{:?}", seen.jobs);
    for kind in SubjectKind::ALL {
        let waiting = seen.waiting.iter().find(|waiting| waiting.kind == kind).unwrap();
        let wanted = match kind {
            SubjectKind::Job => (1, Some(at(3))),
            SubjectKind::Workspace => (1, Some(at(9))),
            SubjectKind::Deployment | SubjectKind::Provision | SubjectKind::Scaffold => (0, None),
        };
        assert_eq!((waiting.count, waiting.since), wanted, "{kind:?}");
    }
    assert_eq!(store.census(Scope::Runs).await.unwrap().provisions, None);
    store.close().await;
}

async fn a_key_and_an_id_make_one_run(fixture: &Fixture) {
    let store = fixture.open().await;
    let subject = job("backup");
    let (one, two) = (keyed_run(&subject, at(0), "k"), keyed_run(&subject, at(0), "k"));
    let other = keyed_run(&subject, at(0), "other");
    let submitted = store.submit(vec![one.clone(), two.clone(), other.clone()], at(0)).await.unwrap();
    assert!(matches!(&submitted[0], Submitted::New(run) if run.id == one.id));
    assert_eq!(submitted[1], Submitted::Existing(one.id));
    assert_eq!(submitted[2].id(), other.id);
    assert_eq!(store.submit(vec![two.clone()], at(1)).await.unwrap(), [Submitted::Existing(one.id)]);
    // The same submission once more, as after an answer that was lost.
    let plain = new_run(&subject, at(0));
    submit_one(&store, plain.clone(), at(1)).await;
    assert_eq!(store.submit(vec![plain.clone()], at(2)).await.unwrap(), [Submitted::Existing(plain.id)]);
    for run in store.claim(&worker("me"), 10, at(30), at(3), None).await.unwrap() {
        end(&store, &run, at(3)).await;
    }
    let later = store.submit(vec![two, plain.clone()], at(4)).await.unwrap();
    assert_eq!(later, [Submitted::Existing(one.id), Submitted::Existing(plain.id)]);
    assert_eq!(store.head().await.unwrap(), 9);
}

async fn claims_follow_priority_then_due_time(fixture: &Fixture) {
    let store = fixture.open().await;
    let subject = job("backup");
    let run = |due, priority| {
        let mut run = new_run(&subject, at(due));
        run.priority = priority;
        run
    };
    let runs = vec![run(5, 0), run(3, 0), run(9, 7), run(100, 9), run(4, -2), run(8, 7)];
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    store.submit(runs, at(0)).await.unwrap();
    let me = worker("me");
    let first: Vec<_> = store.claim(&me, 3, at(60), at(50), None).await.unwrap().iter().map(|run| run.id).collect();
    assert_eq!(first, [ids[5], ids[2], ids[1]]);
    let rest: Vec<_> = store.claim(&me, 9, at(60), at(50), None).await.unwrap().iter().map(|run| run.id).collect();
    assert_eq!(rest, [ids[0], ids[4]]);
    assert_eq!(store.next_due(at(50)).await.unwrap(), Some(at(60)), "the leases end first");
}

async fn a_retry_keeps_its_place_in_the_queue_of_its_lock(fixture: &Fixture) {
    let store = fixture.open().await;
    let (subject, me) = (job("backup"), worker("me"));
    let retry = Backoff { max_attempts: 3, first: Duration::from_secs(60), cap: Duration::from_secs(60) };
    let mut first = locked_run(&subject, at(0));
    first.retry = retry;
    let mut second = locked_run(&subject, at(1));
    second.priority = 5;
    let tomorrow = locked_run(&subject, at(86_400));
    let (first_id, second_id) = (first.id, second.id);
    store.submit(vec![tomorrow, first, second], at(2)).await.unwrap();

    let run = claim_one(&store, &me, at(2)).await;
    assert_eq!(run.id, first_id, "what is due tomorrow blocks nothing, and a priority does not overtake on a lock");
    let back = store.record(run.id, failed(FailureClass::Transient), guard(&run), at(3)).await.unwrap();
    assert!(matches!(back.state, RunState::Pending { resume: Resume::Backoff { .. }, .. }));
    assert_eq!(store.claim(&me, 10, at(30), at(4), None).await.unwrap(), []);
    assert_eq!(store.next_due(at(4)).await.unwrap(), Some(at(63)));

    let run = claim_one(&store, &me, at(63)).await;
    assert_eq!((run.id, run.attempts), (first_id, 2));
    end(&store, &run, at(64)).await;
    assert_eq!(claim_one(&store, &me, at(65)).await.id, second_id);
}

async fn a_gate_keeps_the_lock(fixture: &Fixture) {
    let store = fixture.open().await;
    let me = worker("me");
    let run = submit_one(&store, deployment("web", at(0)), at(0)).await;
    let next = submit_one(&store, deployment("web", at(1)), at(1)).await;
    let running = claim_one(&store, &me, at(1)).await;
    let gated = to_the_gate(&store, &running, at(2)).await;
    assert_eq!(gated.phase(), Phase::Gated);
    assert_eq!(store.claim(&me, 10, at(30), at(3), None).await.unwrap(), []);
    assert_eq!(store.held_by(&me).await.unwrap(), [], "nobody holds a gated run");
    assert_eq!(store.overdue(at(3602), 10).await.unwrap(), [gated]);

    let by = By::User("ann".to_owned());
    let approve = Event::Decided { decision: Decision::Approve { digest: gate_digest() }, by };
    store.record(run.id, approve, Guard::Any, at(4)).await.unwrap();
    let resumed = claim_one(&store, &me, at(5)).await;
    assert_eq!((resumed.id, resumed.attempts), (run.id, 2));
    end(&store, &resumed, at(6)).await;
    assert_eq!(claim_one(&store, &me, at(7)).await.id, next.id);
}

async fn a_lost_attempt_is_fenced_off(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut new = deployment("web", at(0));
    new.retry = Backoff { max_attempts: 5, first: Duration::ZERO, cap: Duration::ZERO };
    submit_one(&store, new, at(0)).await;
    let (slow, quick) = (worker("slow"), worker("quick"));
    let lost = claim_one(&store, &slow, at(0)).await;
    assert_eq!(store.overdue(at(14), 10).await.unwrap(), []);
    assert_eq!(store.overdue(at(15), 10).await.unwrap(), vec![lost.clone()]);
    store.record(lost.id, Event::LeaseLost, guard(&lost), at(15)).await.unwrap();

    let nobody = store.record(lost.id, done(), guard(&lost), at(16)).await;
    assert_eq!(nobody, Err(RecordError::Fenced { run: lost.id, holder: None }));
    let taken = claim_one(&store, &quick, at(16)).await;
    let late = store.record(lost.id, done(), guard(&lost), at(17)).await;
    assert_eq!(late, Err(RecordError::Fenced { run: lost.id, holder: Some(AttemptNo::after(1)) }));
    assert_eq!(store.renew(&slow, at(60), at(17)).await.unwrap(), []);
    assert_eq!(store.renew(&quick, at(60), at(17)).await.unwrap(), [taken.id]);
    end(&store, &taken, at(18)).await;
    let over = store.record(lost.id, done(), guard(&taken), at(19)).await;
    assert_eq!(over, Err(RecordError::Fenced { run: lost.id, holder: None }));
}

async fn a_claim_cannot_be_recorded(fixture: &Fixture) {
    let store = fixture.open().await;
    let run = submit_one(&store, new_run(&job("backup"), at(0)), at(0)).await;
    let claimed = Event::Claimed { worker: worker("me"), attempt: AttemptNo::FIRST, lease_until: at(9), uptime: None };
    let refused = store.record(run.id, claimed, Guard::Any, at(1)).await;
    assert!(matches!(refused, Err(RecordError::Illegal(_))), "{refused:?}");
    assert_eq!(store.head().await.unwrap(), 1);
}

async fn a_renewed_lease_is_read_back(fixture: &Fixture) {
    let store = fixture.open().await;
    let me = worker("me");
    let run = submit_one(&store, deployment("web", at(0)), at(0)).await;
    let running = claim_one(&store, &me, at(0)).await;
    assert_eq!(store.renew(&me, at(100), at(5)).await.unwrap(), [run.id]);
    let until = |run: &Run| run.lease().map(|lease| lease.until);
    let read = store.run(run.id).await.unwrap().unwrap();
    assert_eq!(until(&read), Some(at(100)));
    assert_eq!(store.next_due(at(5)).await.unwrap(), Some(at(100)));
    // What is written next does not bring the old end back.
    let asked = store.record(run.id, cancel(), Guard::Any, at(6)).await.unwrap();
    assert_eq!(until(&asked), Some(at(100)));
    assert_eq!(until(&store.held_by(&me).await.unwrap()[0]), Some(at(100)));
    store.record(run.id, failed(FailureClass::Interrupted), guard(&running), at(7)).await.unwrap();
    assert_eq!(store.renew(&me, at(200), at(8)).await.unwrap(), []);
    assert_eq!(store.head().await.unwrap(), 4, "a renewal is no entry");
}

async fn next_due_ignores_what_is_blocked(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.next_due(at(0)).await.unwrap(), None);
    let (subject, me) = (job("backup"), worker("me"));
    let mut urgent = locked_run(&subject, at(50));
    urgent.priority = 3;
    store.submit(vec![locked_run(&subject, at(10)), urgent], at(0)).await.unwrap();
    assert_eq!(store.next_due(at(0)).await.unwrap(), Some(at(10)));
    assert_eq!(store.next_due(at(20)).await.unwrap(), Some(at(20)), "what is late is due at once");
    let run = store.claim(&me, 10, at(1000), at(20), None).await.unwrap().remove(0);
    assert_eq!(store.next_due(at(60)).await.unwrap(), Some(at(1000)), "the second waits for the lock");
    end(&store, &run, at(61)).await;
    assert_eq!(store.next_due(at(40)).await.unwrap(), Some(at(50)));
}

async fn repositories_of_blueprints_wait_in_a_lane_of_their_own(fixture: &Fixture) {
    let store = fixture.open().await;
    let me = worker("me");
    let scaffold = |name: &str| Subject::Scaffold(name.parse().unwrap());
    let mut asked = Vec::new();
    for name in ["a", "b", "c"] {
        asked.push(submit_one(&store, new_run(&scaffold(name), at(0)), at(0)).await.id);
    }
    let jobs = [submit_one(&store, new_run(&job("j"), at(1)), at(1)).await.id];
    let ids = |runs: Vec<Run>| runs.iter().map(|run| run.id).collect::<Vec<_>>();
    let room = |runs, scaffolds| Room { runs, deployments: runs, scaffolds };

    assert_eq!(store.next_claim(at(5), room(0, 0)).await.unwrap(), None);
    assert_eq!(store.next_claim(at(0), room(1, 0)).await.unwrap(), Some(at(1)));
    assert_eq!(store.next_claim(at(0), room(0, 1)).await.unwrap(), Some(at(0)));
    assert_eq!(ids(store.claim_into(&me, room(9, 0), at(60), at(2), None).await.unwrap()), jobs);
    assert_eq!(ids(store.claim_into(&me, room(0, 2), at(60), at(2), None).await.unwrap()), asked[..2]);
    let late = submit_one(&store, new_run(&job("k"), at(3)), at(3)).await.id;
    // All lines together are no longer than what was asked for.
    assert_eq!(ids(store.claim(&me, 1, at(60), at(4), None).await.unwrap()), [late]);
    assert_eq!(ids(store.claim(&me, 9, at(60), at(4), None).await.unwrap()), asked[2..]);
    assert_eq!(store.next_claim(at(5), room(0, 1)).await.unwrap(), None);
}

async fn a_fire_moves_the_cursor_once(fixture: &Fixture) {
    let store = fixture.open().await;
    let subject = job("backup");
    let fire = |expect, cursor: i64| Fire {
        subject: subject.clone(),
        expect,
        cursor: at(cursor),
        submit: vec![cron_run(&subject, at(cursor))],
        cancel: Vec::new(),
        skipped: Vec::new(),
    };
    let FireResult::Fired(first) = store.fire(fire(None, 10), at(10)).await.unwrap() else { panic!("moved") };
    assert_eq!(store.fire(fire(None, 20), at(20)).await.unwrap(), FireResult::Moved(Some(at(10))));
    assert_eq!(store.fire(fire(Some(at(5)), 20), at(20)).await.unwrap(), FireResult::Moved(Some(at(10))));

    let skipped = Record::Skipped {
        subject: subject.clone(),
        due: at(15),
        line: "* * * * *".to_owned(),
        reason: SkipReason::TooLate,
        count: 1,
    };
    let mut replacing = fire(Some(at(10)), 20);
    let superseded = Event::CancelAsked { by: By::System, reason: None, superseded_by: Some(replacing.submit[0].id) };
    replacing.cancel = vec![(first[0].id(), superseded.clone()), (new_run(&subject, at(0)).id, superseded)];
    replacing.skipped = vec![skipped.clone()];
    let result = store.fire(replacing, at(20)).await.unwrap();
    assert!(matches!(&result, FireResult::Fired(runs) if runs.len() == 1), "{result:?}");
    let old = store.run(first[0].id()).await.unwrap().unwrap();
    assert_eq!(old.outcome().map(Outcome::kind), Some(OutcomeKind::Superseded));
    assert_eq!(store.cursors().await.unwrap(), [(subject.clone(), at(20))].into());

    store.skip(vec![skipped.clone()], at(21)).await.unwrap();
    assert_eq!(store.entries(4, 10).await.unwrap()[0].record, skipped);
    let entry = store.entries(0, 1).await.unwrap().remove(0);
    let misuse = store.skip(vec![entry.record], at(22)).await;
    assert!(matches!(misuse, Err(Error::Misuse(_))), "{misuse:?}");
    assert_eq!(store.head().await.unwrap(), 5);
}

async fn due_times_without_a_run_are_found_again(fixture: &Fixture) {
    let store = fixture.open().await;
    let skipped = |subject: &Subject, due| Record::Skipped {
        subject: subject.clone(),
        due: at(due),
        line: "* * * * *".to_owned(),
        reason: SkipReason::Suspended,
        count: 1,
    };
    let (one, two) = (job("one"), workspace("one"));
    for due in 0..4 {
        store.skip(vec![skipped(&one, due), skipped(&two, due)], at(due)).await.unwrap();
        submit_one(&store, locked_run(&one, at(due)), at(due)).await;
    }
    let seen = async |query: SkipQuery| -> Vec<(i64, Record)> {
        store.skips(&query).await.unwrap().into_iter().map(|entry| (entry.seq, entry.record)).collect()
    };
    let all = SkipQuery { limit: 100, ..SkipQuery::default() };
    let found = seen(all.clone()).await;
    assert_eq!(found.len(), 8);
    assert!(found.windows(2).all(|pair| pair[0].0 > pair[1].0), "the newest first: {found:?}");
    let of_one = SkipQuery { subject: Some(one.clone()), limit: 2, ..SkipQuery::default() };
    let first = seen(of_one.clone()).await;
    assert_eq!(first.iter().map(|(_, record)| record).collect::<Vec<_>>(), [&skipped(&one, 3), &skipped(&one, 2)]);
    let rest = seen(SkipQuery { before: Some(first[1].0), ..of_one.clone() }).await;
    assert_eq!(rest.iter().map(|(_, record)| record).collect::<Vec<_>>(), [&skipped(&one, 1), &skipped(&one, 0)]);
    assert_eq!(seen(SkipQuery { since: Some(at(3)), ..all }).await.len(), 2);
    assert_eq!(seen(SkipQuery { subject: Some(job("other")), ..of_one }).await, []);
}

async fn a_follower_moves_once(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.follow_cursor("events").await.unwrap(), 0);
    submit_one(&store, new_run(&job("a"), at(0)), at(0)).await;
    assert!(store.advance("events", 0, 1, vec![keyed_run(&job("b"), at(1), "event:1")], vec![], at(1)).await.unwrap());
    assert!(
        !store.advance("events", 0, 1, vec![keyed_run(&job("c"), at(1), "event:1c")], vec![], at(1)).await.unwrap()
    );
    assert_eq!(store.follow_cursor("events").await.unwrap(), 1);
    assert_eq!(store.live().await.unwrap().len(), 2);
}

async fn suspensions_are_kept(fixture: &Fixture) {
    let store = fixture.open().await;
    let (web, backup) = (workspace("web"), job("backup"));
    store.suspend(&web, &By::System, at(0)).await.unwrap();
    store.suspend(&backup, &By::User("ann".to_owned()), at(0)).await.unwrap();
    store.suspend(&web, &By::System, at(1)).await.unwrap();
    assert_eq!(store.suspended().await.unwrap(), BTreeSet::from([web.clone(), backup.clone()]));
    store.resume(&web).await.unwrap();
    assert_eq!(store.suspended().await.unwrap(), BTreeSet::from([backup]));
}

async fn since_when_a_file_holds_a_job_back_is_kept(fixture: &Fixture) {
    let store = fixture.open().await;
    let (load, other) = (job("load"), job("other"));
    let (first, second) = (Digest::of(b"first"), Digest::of(b"second"));
    let hold =
        |declaration: &Digest, holds, since| Some(FileHold { declaration: declaration.clone(), holds, at: at(since) });
    store.release_by_file(&load, &first, at(1)).await.unwrap();
    assert_eq!(store.file_hold(&load).await.unwrap(), None, "it never did");
    store.hold_by_file(&load, &first, at(2)).await.unwrap();
    store.hold_by_file(&load, &second, at(3)).await.unwrap();
    assert_eq!(store.file_hold(&load).await.unwrap(), hold(&second, true, 2));
    store.release_by_file(&load, &first, at(4)).await.unwrap();
    store.release_by_file(&load, &second, at(5)).await.unwrap();
    assert_eq!(store.file_hold(&load).await.unwrap(), hold(&first, false, 4));
    store.hold_by_file(&load, &first, at(6)).await.unwrap();
    store.hold_by_file(&other, &second, at(7)).await.unwrap();
    let all = BTreeMap::from([
        (load.clone(), hold(&first, true, 6).unwrap()),
        (other.clone(), hold(&second, true, 7).unwrap()),
    ]);
    assert_eq!(store.file_holds().await.unwrap(), all);
    store.forget_hold(&other).await.unwrap();
    assert_eq!(store.file_holds().await.unwrap().into_keys().collect::<Vec<_>>(), [load]);
}

async fn an_import_overwrites_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let (known, unknown) = (job("known"), job("unknown"));
    submit_one(&store, new_run(&known, at(0)), at(0)).await;
    let before = store.projection(&known).await.unwrap();
    let old = Projection::Job(JobState { run_count: 41, ..JobState::default() });
    store.import(vec![(known.clone(), old.clone()), (unknown.clone(), old.clone())], at(1)).await.unwrap();
    assert_eq!(store.projection(&known).await.unwrap(), before);
    assert_eq!(store.projection(&unknown).await.unwrap(), Some(old));
    submit_one(&store, new_run(&unknown, at(2)), at(2)).await;
    let me = worker("me");
    for run in store.claim(&me, 9, at(30), at(3), None).await.unwrap() {
        end(&store, &run, at(3)).await;
    }
    let jobs = store.projections(SubjectKind::Job).await.unwrap();
    let Some(Projection::Job(state)) = jobs.get(&unknown) else { panic!("{jobs:?}") };
    assert_eq!((state.run_count, state.success_count), (42, 1));
    assert!(store.projections(SubjectKind::Workspace).await.unwrap().is_empty());
}

async fn pages_cover_everything_once(fixture: &Fixture) {
    let store = fixture.open().await;
    let web_job = Subject::Job { workspace: Some(Name::parse("web").unwrap()), name: Name::parse("backup").unwrap() };
    let mut all = Vec::new();
    for number in 0..30 {
        let subject = [&job("backup"), &web_job, &workspace("web"), &workspace("web-2")][number % 4].clone();
        let run = submit_one(&store, new_run(&subject, at(number as i64)), at(number as i64)).await;
        all.push(run.id);
    }
    let me = worker("me");
    for run in store.claim(&me, 10, at(1000), at(100), None).await.unwrap() {
        end(&store, &run, at(101)).await;
    }
    let pages = async |query: RunQuery| {
        let (mut query, mut found) = (query, Vec::new());
        loop {
            let page = store.runs(&query).await.unwrap();
            assert!(page.runs.len() <= 7);
            found.extend(page.runs);
            query.before = page.next;
            if page.next.is_none() {
                return found;
            }
        }
    };
    let base = RunQuery { limit: 7, ..RunQuery::default() };
    let ids: Vec<_> = pages(base.clone()).await.iter().map(|run| run.id).collect();
    assert_eq!(ids, all.iter().rev().copied().collect::<Vec<_>>());

    let count = async |query: RunQuery| pages(query).await.len();
    assert_eq!(count(RunQuery { kind: Some(SubjectKind::Workspace), ..base.clone() }).await, 14);
    assert_eq!(count(RunQuery { kind: Some(SubjectKind::Job), ..base.clone() }).await, 16);
    let web = Some(Name::parse("web").unwrap());
    assert_eq!(count(RunQuery { workspace: web.clone(), ..base.clone() }).await, 15);
    assert_eq!(count(RunQuery { workspace: web, kind: Some(SubjectKind::Job), ..base.clone() }).await, 8);
    assert_eq!(count(RunQuery { subject: Some(job("backup")), ..base.clone() }).await, 8);
    assert_eq!(count(RunQuery { phase: Some(Phase::Ended), ..base.clone() }).await, 10);
    assert_eq!(count(RunQuery { phase: Some(Phase::Pending), ..base.clone() }).await, 20);
    assert_eq!(count(RunQuery { phase: Some(Phase::Gated), ..base.clone() }).await, 0);
    assert_eq!(count(RunQuery { outcome: Some(OutcomeKind::Succeeded), ..base.clone() }).await, 10);
    assert_eq!(count(RunQuery { outcome: Some(OutcomeKind::Failed), ..base.clone() }).await, 0);
    assert_eq!(count(RunQuery { since: Some(at(20)), ..base.clone() }).await, 10);
}

/// Lets `count` runs of a subject happen, one each second from `from` on.
async fn past(store: &Store, subject: &Subject, from: i64, count: i64) {
    for second in from..from + count {
        submit_one(store, cron_run(subject, at(second)), at(second)).await;
        let run = claim_one(store, &worker("me"), at(second)).await;
        end(store, &run, at(second)).await;
    }
}

async fn retention_keeps_the_ledger_sound(fixture: &Fixture) {
    let store = fixture.open().await;
    let (busy, rare) = (job("busy"), job("rare"));
    past(&store, &rare, 0, 2).await;
    past(&store, &busy, 10, 30).await;
    let waiting = submit_one(&store, new_run(&job("later"), at(9_999)), at(20)).await;
    past(&store, &busy, 100, 5).await;

    let removed = store.retain(at(50), 3, at(200)).await.unwrap();
    // Of the busy job, the newest three are young; of the rare one, both are among the newest three.
    assert_eq!(removed.runs.len(), 30);
    assert_eq!(removed.entries, 32 * 3 + 1);
    assert_eq!(store.audit().await.unwrap(), []);
    let left = store.runs(&RunQuery::default()).await.unwrap().runs;
    assert_eq!(left.len(), 2 + 5 + 1);
    assert!(store.run(removed.runs[0]).await.unwrap().is_none());
    assert!(store.run(waiting.id).await.unwrap().is_some());
    assert_eq!(store.entries(0, 1).await.unwrap()[0].seq, 98);

    let again = store.retain(at(50), 3, at(200)).await.unwrap();
    assert_eq!((again.runs.len(), again.entries), (0, 0));
    let all = store.retain(at(10_000), 0, at(10_000)).await.unwrap();
    assert_eq!(all.runs.len(), 6, "the newest entry stays, and so does its run");
    past(&store, &busy, 300, 1).await;
    assert_eq!(store.entries_of(waiting.id).await.unwrap(), []);
}

async fn retention_waits_for_followers(fixture: &Fixture) {
    let store = fixture.open().await;
    past(&store, &job("busy"), 0, 4).await;
    assert!(store.advance("slow", 0, 6, Vec::new(), Vec::new(), at(10)).await.unwrap());
    assert!(store.advance("of/one-node", 0, 1, Vec::new(), Vec::new(), at(10)).await.unwrap());
    let removed = store.retain(at(100), 0, at(100)).await.unwrap();
    assert_eq!((removed.runs.len(), removed.entries), (2, 6));
    assert_eq!(store.entries(0, 1).await.unwrap()[0].seq, 7);
}

async fn what_is_removed_stays_told(fixture: &Fixture) {
    let store = fixture.open().await;
    let (busy, other) = (job("busy"), job("other"));
    past(&store, &busy, 0, 3).await;
    past(&store, &other, 10, 1).await;
    let waiting = submit_one(&store, new_run(&busy, at(9_999)), at(20)).await;
    let ended = store.ended_of(&busy).await.unwrap();
    assert!(ended.is_sorted_by(|a, b| a.run.id > b.run.id && a.seq > b.seq));
    let oldest: Vec<_> = ended.iter().skip(1).map(|ended| ended.run.id).collect();
    // What has not ended cannot be removed.
    let asked = [oldest.clone(), vec![waiting.id]].concat();
    let mut removed = store.remove(asked, By::User("carol".to_owned()), at(30)).await.unwrap();
    removed.sort();
    assert_eq!(removed, oldest.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(store.ended_of(&busy).await.unwrap().len(), 1);
    assert!(store.run(waiting.id).await.unwrap().is_some());
    let last = store.entries(0, usize::MAX).await.unwrap().pop().unwrap();
    let Record::Removed { subject, runs, by } = last.record else { panic!("{last:?}") };
    assert_eq!((subject, runs.len(), by), (busy.clone(), 2, By::User("carol".to_owned())));
    assert_eq!(store.audit().await.unwrap(), []);
    let latest = store.latest_of_kind(SubjectKind::Job).await.unwrap();
    let found: Vec<_> = latest.iter().map(|run| (run.subject.clone(), run.phase())).collect();
    assert_eq!(found, [(busy, Phase::Pending), (other, Phase::Ended)]);
    assert_eq!(store.remove(oldest, By::System, at(40)).await.unwrap(), []);
    // A declared job is not run again because its run is gone.
    let origin = Origin::Change { digest: Digest::of(b"one") };
    let subject = job("declared");
    let key = origin.dedup_key(&subject);
    let declared = piton_model::NewRun { dedup_key: key.clone(), origin, ..new_run(&subject, at(50)) };
    let run = submit_one(&store, declared, at(50)).await;
    store.record(run.id, cancel(), Guard::Any, at(51)).await.unwrap();
    assert_eq!(store.remove(vec![run.id], By::System, at(52)).await.unwrap(), [run.id]);
    assert_eq!(store.run_of_key(&key.unwrap()).await.unwrap(), Some(run.id));
}

async fn progress_is_kept_with_the_run(fixture: &Fixture) {
    let store = fixture.open().await;
    submit_one(&store, new_run(&job("import"), at(0)), at(0)).await;
    let run = claim_one(&store, &worker("w"), at(1)).await;
    let counts = piton_model::BatchCounts { active: 3, ..Default::default() };
    let batch = Some(piton_model::BatchProgress { counts, ..Default::default() });
    let event = Event::Progressed { report: piton_model::Report { batch, ..Default::default() } };
    let told = store.record(run.id, event.clone(), guard(&run), at(2)).await.unwrap();
    assert_eq!((told.phase(), told.report.batch.unwrap().counts.active), (Phase::Running, 3));
    let other = Guard::Attempt(AttemptNo::after(run.attempts));
    let refused = store.record(run.id, event, other, at(3)).await;
    assert!(matches!(refused, Err(RecordError::Fenced { .. })), "{refused:?}");
}

async fn a_key_outlives_its_run_while_its_fire_may_come_again(fixture: &Fixture) {
    let store = fixture.open().await;
    let (settled, open) = (job("settled"), job("open"));
    for subject in [&settled, &open] {
        let fire = Fire {
            subject: subject.clone(),
            expect: None,
            cursor: if subject == &settled { at(5) } else { at(0) },
            submit: vec![cron_run(subject, at(5))],
            cancel: Vec::new(),
            skipped: Vec::new(),
        };
        store.fire(fire, at(5)).await.unwrap();
    }
    for run in store.claim(&worker("me"), 9, at(30), at(6), None).await.unwrap() {
        end(&store, &run, at(6)).await;
    }
    past(&store, &job("other"), 50, 1).await;
    assert_eq!(store.retain(at(40), 0, at(60)).await.unwrap().runs.len(), 2);
    let again = store.submit(vec![cron_run(&settled, at(5)), cron_run(&open, at(5))], at(61)).await.unwrap();
    assert!(matches!(again.as_slice(), [Submitted::New(_), Submitted::Existing(_)]), "{again:?}");
}

async fn an_operation_that_cannot_be_written_fails_alone(fixture: &Fixture) {
    let store = fixture.open().await;
    // PostgreSQL has no index of anything so long. SQLite does not mind.
    let long = (0..4_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_string()).collect::<String>();
    let bad = store.submit(vec![keyed_run(&job("bad"), at(0), &long)], at(0));
    let (one, two) = (new_run(&job("good"), at(0)), new_run(&job("good"), at(0)));
    let good = async { tokio::join!(store.submit(vec![one], at(0)), store.submit(vec![two], at(0))) };
    let (bad, (one, two)) = tokio::join!(bad, good);
    assert!(matches!(&one.unwrap()[0], Submitted::New(_)));
    assert!(matches!(&two.unwrap()[0], Submitted::New(_)));
    match store.dialect() {
        piton_store::Dialect::Sqlite => assert!(bad.is_ok(), "{bad:?}"),
        piton_store::Dialect::Postgres => assert!(matches!(bad, Err(Error::Refused(_))), "{bad:?}"),
    }
}

async fn a_closed_store_says_so(fixture: &Fixture) {
    let store = fixture.open().await;
    let clone = store.clone();
    store.close().await;
    assert_eq!(clone.submit(Vec::new(), at(0)).await, Err(Error::Closed));
    assert_eq!(clone.head().await, Err(Error::Closed));
}

async fn a_reopened_store_knows_everything(fixture: &Fixture) {
    let store = fixture.open().await;
    past(&store, &job("busy"), 0, 3).await;
    let running = {
        submit_one(&store, deployment("web", at(5)), at(5)).await;
        claim_one(&store, &worker("me"), at(5)).await
    };
    store.close().await;
    let store = fixture.open().await;
    assert_eq!(*store.changes().borrow(), 11);
    assert_eq!(store.held_by(&worker("me")).await.unwrap(), vec![running.clone()]);
    end(&store, &running, at(6)).await;
}

async fn a_newer_schema_is_refused(fixture: &Fixture) {
    fixture.open().await.close().await;
    raw(fixture, "INSERT INTO migrations (version, checksum) VALUES (999, 'x')").await;
    let refused = Store::open(&fixture.url, Options::default()).await.unwrap_err();
    assert!(matches!(refused, Error::NewerSchema { found: 999, known: 1..999 }), "{refused:?}");
    assert!(refused.hint().is_some());
    raw(fixture, "DELETE FROM migrations WHERE version = 999").await;
}

async fn another_migration_is_refused(fixture: &Fixture) {
    fixture.open().await.close().await;
    raw(fixture, "UPDATE migrations SET checksum = 'x' || checksum").await;
    let refused = Store::open(&fixture.url, Options::default()).await.unwrap_err();
    assert_eq!(refused, Error::OtherMigration { version: 1 });
    raw(fixture, "UPDATE migrations SET checksum = substr(checksum, 2)").await;
}

/// A statement of somebody else.
pub async fn raw(fixture: &Fixture, sql: &'static str) {
    use sqlx::{ConnectOptions as _, Connection as _};
    if fixture.url.starts_with("sqlite:") {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(fixture.file());
        let mut conn = options.connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    } else {
        let options: sqlx::postgres::PgConnectOptions = fixture.url.parse().unwrap();
        let mut conn = options.options([("search_path", "piton,public")]).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }
}

async fn changes_wake_the_one_who_waits(fixture: &Fixture) {
    let nodes = fixture.nodes().await;
    let (writes, waits) = (&nodes[0], nodes.last().unwrap());
    let mut changes = waits.changes();
    // Whether another node already listens cannot be seen; the second entry at the latest is heard.
    for second in 0..2 {
        submit_one(writes, new_run(&job("a"), at(second)), at(second)).await;
        let woken = tokio::time::timeout(Duration::from_secs(30), changes.wait_for(|head| *head > second)).await;
        assert!(woken.is_ok(), "nobody was woken");
    }
    for node in nodes {
        node.close().await;
    }
}

async fn deployments_wait_in_a_line_of_their_own(fixture: &Fixture) {
    let store = fixture.open().await;
    let me = worker("me");
    let asked = |who: &str| {
        let mut new = deployment("x", at(0));
        new.subject = Subject::Deployment(new.id);
        new.lock_key = Some(new.subject.lock_key());
        new.origin = Origin::call(By::User(who.to_owned()));
        new
    };
    let many: Vec<_> = (0..4).map(|_| asked("many")).collect();
    let many_ids: Vec<_> = many.iter().map(|run| run.id).collect();
    // Some in one transaction, some in others.
    let mut many = many.into_iter();
    store.submit(many.by_ref().take(3).collect(), at(0)).await.unwrap();
    store.submit(many.collect(), at(0)).await.unwrap();
    let one = submit_one(&store, asked("one"), at(1)).await.id;
    let job = submit_one(&store, new_run(&job("j"), at(0)), at(1)).await.id;
    let waiting = async |who: &str| store.waiting_deployments(&By::User(who.to_owned())).await.unwrap();
    assert_eq!((waiting("many").await, waiting("one").await, waiting("none").await), ((5, 4), (5, 1), (5, 0)));
    assert_eq!(store.deployments_before(one).await.unwrap(), Some(1));
    assert_eq!(store.deployments_before(many_ids[3]).await.unwrap(), Some(4));
    assert_eq!(store.deployments_before(job).await.unwrap(), None);

    let ids = |runs: Vec<Run>| runs.iter().map(|run| run.id).collect::<Vec<_>>();
    let room = |runs, deployments| Room { runs, deployments, scaffolds: 0 };
    let none = store.claim_into(&me, room(1, 0), at(60), at(2), None).await.unwrap();
    assert_eq!(ids(none), [job], "the line is not looked at where there is no room for it");
    assert_eq!(store.next_claim(at(2), room(1, 0)).await.unwrap(), None);
    assert_eq!(store.next_claim(at(2), room(1, 1)).await.unwrap(), Some(at(2)));
    let first = store.claim_into(&me, room(9, 2), at(60), at(2), None).await.unwrap();
    assert_eq!(ids(first.clone()), [many_ids[0], one]);
    assert_eq!(store.deployments_before(one).await.unwrap(), None);

    // Who waits for a person has had its turn: it goes on before the others.
    let gated = to_the_gate(&store, &first[0], at(3)).await;
    let by = By::User("ann".to_owned());
    let approve = Event::Decided { decision: Decision::Approve { digest: gate_digest() }, by };
    store.record(gated.id, approve, Guard::Any, at(4)).await.unwrap();
    let rest = store.claim_into(&me, room(9, 9), at(60), at(5), None).await.unwrap();
    assert_eq!(ids(rest.clone()), [many_ids[0], many_ids[1], many_ids[2], many_ids[3]]);
    for run in rest.iter().chain([&first[1]]) {
        end(&store, run, at(6)).await;
    }
    assert_eq!(waiting("many").await, (0, 0));
}
