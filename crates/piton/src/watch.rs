//! Following a run until it ends or waits for a person.
//!
//! The log is read from an offset on, and after a broken connection from the offset that was reached: no line is lost
//! and none is shown twice.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use piton_api::{CancelRequest, Client, Error, LogItem, LogStart, Run, Submitted};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed};
use crate::render;
use crate::routes;
use crate::session::Session;

/// How long a daemon that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of following.
pub enum Seen {
    /// It ended, or it waits for a person.
    Settled(Box<Run>),
    /// Somebody does not want to wait for it.
    Left,
}

/// Asks for a run and follows it, or leaves it alone.
pub async fn submit(
    context: &Context,
    session: &Session,
    path: &str,
    body: &impl Serialize,
    detach: bool,
) -> Result<Exit, Failure> {
    let submitted: Submitted = session.client().create(path, body).await?;
    if detach {
        return leave(context, session, &submitted, &submitted.run);
    }
    to_the_end(context, session, &submitted.run, LogStart::At(0)).await
}

/// Prints the id of what was begun, and leaves it alone.
pub fn leave(context: &Context, session: &Session, begun: &impl Serialize, id: &str) -> Result<Exit, Failure> {
    context.out.show(begun, || format!("{id}\n"))?;
    if session.is_local() {
        context.out.say("no daemon is running, so this command does the work itself and stays until it is done");
    }
    Ok(Exit::Ok)
}

/// Follows a run from somewhere in its log on, and prints how it came out.
pub async fn to_the_end(context: &Context, session: &Session, run: &str, start: LogStart) -> Result<Exit, Failure> {
    match follow(context, session, run, start).await? {
        Seen::Settled(run) => conclude(context, &run),
        Seen::Left => Ok(Exit::Interrupted),
    }
}

/// Prints how a run came out.
pub fn conclude(context: &Context, run: &Run) -> Result<Exit, Failure> {
    let exit = Exit::of_run(&run.state, run.outcome.as_deref());
    let clock = &context.clock;
    context.out.show(run, || match &run.gate {
        Some(gate) => {
            let plan = run.plan.as_ref().map(render::run::plan).unwrap_or_default();
            let until = clock.second(gate.expires_at);
            format!("{plan}\n{} (until {until})\n{}", gate.question, render::run::how_to_approve(run, &context.piton()))
        }
        None => render::run::result(run, clock),
    })?;
    if exit != Exit::Ok && context.out.is_table() {
        let failure = run.failure.as_ref();
        let message = failure.map(|failure| failure.message.clone()).or_else(|| run.message.clone());
        let hint = failure.and_then(|failure| failure.hint.clone());
        let hint = hint.unwrap_or_else(|| format!("{} run explain {}", context.piton(), run.id));
        let message = message.unwrap_or_else(|| "the run did not succeed".to_owned());
        context.out.report(&CommandError::new(exit, message).hint(hint).into());
    }
    Ok(exit)
}

/// Prints the log of a run from somewhere on until the run ends or waits for a person.
pub async fn follow(context: &Context, session: &Session, run: &str, start: LogStart) -> Result<Seen, Failure> {
    let interrupts = signal(SignalKind::interrupt());
    let interrupts = interrupts.map_err(|error| failed(format!("cannot listen for Ctrl-C: {error}")))?;
    let mut watch = Watch { context, session, run, start, interrupts, stopping: false, phases: Phases::new() };
    watch.run().await
}

struct Watch<'a> {
    context: &'a Context,
    session: &'a Session,
    run: &'a str,
    /// Where the next connection begins: behind what was printed.
    start: LogStart,
    interrupts: Signal,
    /// Whether Ctrl-C has asked the run to stop.
    stopping: bool,
    phases: Phases,
}

/// How one connection ended.
enum Broke {
    /// The run ended, or waits for a person.
    Settled,
    /// It is not the run that ended.
    Connection(String),
    /// Ctrl-C.
    Left,
}

impl Watch<'_> {
    async fn run(&mut self) -> Result<Seen, Failure> {
        let mut pause = FIRST_PAUSE;
        let mut since: Option<Instant> = None;
        loop {
            let before = self.start;
            match self.connection().await? {
                Broke::Left => return Ok(Seen::Left),
                Broke::Settled => match self.client().get::<Run>(&routes::run(self.run)).await {
                    Ok(run) => return Ok(Seen::Settled(Box::new(run))),
                    Err(error) => pass_over(error)?,
                },
                Broke::Connection(reason) => {
                    if self.session.is_local() {
                        return Err(failed(format!("the run can no longer be followed: {reason}")));
                    }
                }
            }
            if self.start != before {
                (pause, since) = (FIRST_PAUSE, None);
            }
            let since = *since.get_or_insert_with(|| {
                self.context.out.say("the connection to piton broke; trying again");
                Instant::now()
            });
            if since.elapsed() > PATIENCE {
                let error = CommandError::new(Exit::Unreachable, "piton does not answer any more");
                return Err(error.hint(format!("the run goes on without it; later: {}", self.look_again())).into());
            }
            tokio::select! {
                () = crate::pause::pause(pause) => {}
                _ = self.interrupts.recv() => return Ok(self.go_away()),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn client(&self) -> &Client {
        self.session.client()
    }

    /// Follows over one connection.
    async fn connection(&mut self) -> Result<Broke, Failure> {
        let stream = match self.client().follow_log(self.run, self.start).await {
            Ok(stream) => stream,
            Err(error) => {
                let reason = error.to_string();
                pass_over(error)?;
                return Ok(Broke::Connection(reason));
            }
        };
        let mut stream = pin!(stream);
        loop {
            tokio::select! {
                // Lines that are there are shown before Ctrl-C is heeded.
                biased;
                item = stream.next() => match item {
                    Some(Ok(LogItem::Begin(offset))) => {
                        if let LogStart::Last(0) = self.start {
                            self.context.out.say("following from here; what came before is not shown");
                        }
                        self.start = LogStart::At(offset);
                    }
                    Some(Ok(LogItem::Line { text, offset })) => {
                        self.start = LogStart::At(offset);
                        for line in text.split('\n') {
                            self.phases.note(self.context, line);
                            self.context.out.log_line(line)?;
                        }
                    }
                    // The daemon ends, not the run.
                    Some(Ok(LogItem::End(how))) if how == "interrupted" => return Ok(Broke::Connection(how)),
                    Some(Ok(LogItem::End(_))) => return Ok(Broke::Settled),
                    Some(Err(error)) => return Ok(Broke::Connection(error.to_string())),
                    None => return Ok(Broke::Connection("the log ended before the run did".to_owned())),
                },
                _ = self.interrupts.recv() => {
                    if !self.session.is_local() || self.stopping {
                        self.go_away();
                        return Ok(Broke::Left);
                    }
                    self.stop().await;
                }
            }
        }
    }

    /// Without a daemon there is nobody to leave the run to, so the run is asked to stop.
    async fn stop(&mut self) {
        self.stopping = true;
        self.context.out.talk("asking the run to stop; Ctrl-C again leaves it as it is");
        let request = CancelRequest { reason: Some("Ctrl-C".to_owned()) };
        let asked: Result<Run, Error> =
            self.client().post(&format!("{}/cancel", routes::run(self.run)), &request).await;
        if let Err(error) = asked {
            self.context.out.talk(&error.to_string());
        }
    }

    fn go_away(&self) -> Seen {
        let line = if self.session.is_local() {
            "not waiting any longer; `piton serve` takes over what still runs".to_owned()
        } else {
            let cancel = format!("{} run cancel {}", self.context.piton(), self.run);
            format!("the run goes on; to see it: {}, to stop it: {cancel}", self.look_again())
        };
        self.context.out.talk(&line);
        Seen::Left
    }

    fn look_again(&self) -> String {
        format!("{} run logs -f {}", self.context.piton(), self.run)
    }
}

/// Swallows an error that may pass.
fn pass_over(error: Error) -> Result<(), Failure> {
    if error.may_pass() { Ok(()) } else { Err(error.into()) }
}

/// Tells on a terminal which program runs, and how long it took to come there.
struct Phases {
    began: Instant,
}

impl Phases {
    fn new() -> Phases {
        Phases { began: Instant::now() }
    }

    fn note(&self, context: &Context, line: &str) {
        if let Some(phase) = phase(line)
            && context.out.is_watched()
        {
            context.out.say(&format!("\x1b[2m[{:>4} s] {phase}\x1b[0m", self.began.elapsed().as_secs()));
        }
    }
}

/// `tofu plan` of the log line `$ tofu plan -input=false`.
fn phase(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("$ ")?.split_whitespace();
    let program = words.next()?.rsplit('/').next()?.to_owned();
    match words.next().filter(|word| word.bytes().all(|b| b.is_ascii_lowercase())) {
        Some(verb) => Some(format!("{program} {verb}")),
        None => Some(program),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_a_program_and_what_it_does() {
        assert_eq!(phase("$ tofu plan -input=false -out=x").unwrap(), "tofu plan");
        assert_eq!(phase("$ /usr/bin/terraform apply plan").unwrap(), "terraform apply");
        assert_eq!(phase("$ ./script").unwrap(), "script");
        assert_eq!(phase("$ make -j2").unwrap(), "make");
        assert_eq!(phase("costs $ 5"), None);
        assert_eq!(phase("$ "), None);
    }
}
