//! Jobs of several tasks: starts and stops them as the rules of the model say.

mod crew;
mod journal;
mod workplace;

use piton_model::{Batch, Failure, HookPhase, Report};

use crate::pass::{Pass, with_unwritten};
use crate::step::Passed;
use crew::Crew;
use workplace::Workplace;

/// The hooks before the start. Those for which nobody waits go on while the tasks run.
pub(crate) async fn pre_start(pass: &Pass<'_>, batch: &Batch) -> Result<Passed, Failure> {
    let place = Workplace::of(pass, batch).await?;
    let hooks = place.hooks();
    let stop = pass.input.stop.child_token();
    let beside = hooks.beside(HookPhase::PreStart, &stop);
    let blocking = hooks.blocking(HookPhase::PreStart, &stop);
    tokio::pin!(beside, blocking);
    let mut ended = false;
    let result = loop {
        tokio::select! {
            biased;
            () = &mut beside, if !ended => ended = true,
            result = &mut blocking => break result,
        }
    };
    if result.is_err() && !ended {
        stop.cancel();
        beside.await;
    }
    result.map(|()| Passed::Next(Report::default()))
}

/// Runs the tasks until it is decided how the job ends and none runs any more.
pub(crate) async fn execute(pass: &Pass<'_>, batch: &Batch) -> Result<Passed, Failure> {
    let place = Workplace::of(pass, batch).await?;
    let hooks = place.hooks();
    let mut crew = Crew::assemble(&place, &hooks).await?;
    let end = crew.work().await;
    let exited_at = end.as_ref().ok().and_then(|end| crew.ended_with(end));
    let unwritten = crew.unwritten();
    drop(crew);
    hooks.all(HookPhase::PostStop).await;
    match end?.failure() {
        Some(failure) => {
            Err(with_unwritten(Failure { exited_at: exited_at.map(Box::new), ..failure }, unwritten.as_deref()))
        }
        None => Ok(Passed::Done(Report { exit_code: Some(0), exited_at, unwritten, ..Report::default() })),
    }
}
