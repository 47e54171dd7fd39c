//! The rules of CronJobs.

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use piton_cron::Schedule;
use piton_cron::cronjob::{Action, Because, ConcurrencyPolicy, CronJob, Deadline, Missed, Warning};

use crate::{instant, schedule};

fn hourly<'a>(schedule: &'a Schedule, zone: &'a TimeZone) -> CronJob<'a> {
    CronJob {
        schedule,
        zone,
        created: instant("2025-06-01T08:30:00Z"),
        last_scheduled: Some(instant("2025-06-01T09:00:00Z")),
        starting_deadline: None,
        suspended: false,
        concurrency: ConcurrencyPolicy::Allow,
    }
}

#[test]
fn only_the_latest_missed_start_is_made_up_for() {
    let (schedule, zone) = (schedule("0 * * * *"), TimeZone::UTC);
    let job = hourly(&schedule, &zone);
    let now = instant("2025-06-01T12:20:00Z");
    let decision = job.decide(now, &[]);
    assert_eq!(decision.action, Action::Start { scheduled: instant("2025-06-01T12:00:00Z"), replace: false });
    assert_eq!(decision.requeue_after, Some(SignedDuration::from_mins(40)));
    assert_eq!(job.most_recent(now, Deadline::Ignored).missed, Missed::Few);

    let strict = CronJob { starting_deadline: Some(SignedDuration::from_mins(10)), ..job };
    assert_eq!(strict.decide(now, &[]).action, Action::Wait(Because::NotDue));
    assert_eq!(strict.decide(now, &[]).requeue_after, Some(SignedDuration::from_mins(40)));
}

#[test]
fn an_active_job_is_left_alone_replaced_or_waited_for() {
    let (schedule, zone) = (schedule("0 * * * *"), TimeZone::UTC);
    let (now, due) = (instant("2025-06-01T10:00:05Z"), instant("2025-06-01T10:00:00Z"));
    let active = [instant("2025-06-01T09:00:00Z")];
    let action = |concurrency| CronJob { concurrency, ..hourly(&schedule, &zone) }.decide(now, &active).action;
    assert_eq!(action(ConcurrencyPolicy::Allow), Action::Start { scheduled: due, replace: false });
    assert_eq!(action(ConcurrencyPolicy::Replace), Action::Start { scheduled: due, replace: true });
    assert_eq!(action(ConcurrencyPolicy::Forbid), Action::Wait(Because::StillActive(due)));
    // The same start is never made twice.
    let again = hourly(&schedule, &zone).decide(now, &[due]);
    assert_eq!(again.action, Action::Wait(Because::AlreadyStarted(due)));
}

#[test]
fn suspension_and_warnings() {
    let (plain, zoned, zone) = (schedule("0 * * * *"), schedule("TZ=UTC 0 * * * *"), TimeZone::UTC);
    let now = instant("2025-06-11T10:20:00Z");
    let suspended = CronJob { suspended: true, ..hourly(&plain, &zone) }.decide(now, &[]);
    assert_eq!((suspended.action, suspended.requeue_after), (Action::Wait(Because::Suspended), None));
    let overdue = hourly(&zoned, &zone).decide(now, &[]);
    assert_eq!(overdue.warnings, [Warning::ZoneInExpression, Warning::TooManyMissed]);
}
