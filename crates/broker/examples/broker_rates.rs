//! Prints how many messages per second go through a real broker: published and confirmed, and taken, accepted and
//! acknowledged, from a quorum queue.
//!
//! `broker_rates [MESSAGES] [PREFETCH] [SENDERS]`
#![expect(clippy::print_stdout, reason = "a program that prints a measurement")]

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::try_join_all;
use jiff::Timestamp;
use piton_broker::message::RunId;
use piton_broker::{Address, Delivery, Handler, Inlet, Ladder, Outgoing, Outlet, Settings, Topology, Verdict};
use piton_model::Secret;
use piton_testkit::rabbit::Rabbit;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Accepting;

impl Handler for Accepting {
    async fn take(&self, _: Delivery) -> Verdict {
        Verdict::Accept
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse::<u32>());
    let (messages, prefetch, senders) = (number(20_000)?, number(200)?, number(256)?);

    let rabbit = Rabbit::start()?;
    let address = Address::parse(&Secret::new(rabbit.url()))?;
    let topology = Topology::new("rates", Ladder::default())?;

    let (outlet, postman) = Outlet::start(address.clone(), topology, "rates".to_owned());
    outlet.enqueue(message(u32::MAX)?).await?;
    let began = Instant::now();
    try_join_all((0..senders).map(|sender| {
        let outlet = outlet.clone();
        async move {
            for n in (sender..messages).step_by(senders as usize) {
                outlet.enqueue(message(n)?).await?;
            }
            Ok::<(), Failure>(())
        }
    }))
    .await?;
    print("published and confirmed", messages, began);
    drop(outlet);
    postman.ended().await;

    let mut settings = Settings::new(address, "rates", Arc::new(now));
    settings.prefetch = u16::try_from(prefetch)?;
    settings.concurrency = prefetch as usize;
    let inlet = Inlet::new(settings, Accepting)?;
    let (mut status, stop) = (inlet.status(), CancellationToken::new());
    let running = tokio::spawn(inlet.run(stop.clone()));
    status.wait_for(|status| status.counts.accepted > 0).await?;
    let began = Instant::now();
    status.wait_for(|status| status.counts.accepted > u64::from(messages)).await?;
    print("taken and acknowledged", messages, began);
    stop.cancel();
    running.await?;
    Ok(())
}

fn message(number: u32) -> Result<Outgoing, Failure> {
    let run = format!("run-{number}");
    let body = format!(
        r#"{{"run_id": "{run}", "type": "system", "blueprint": {{"template": "go-backend", "name": "my-service", "namespace": "my-team", "values": {{"port": 8080, "database": "postgres"}}}}, "git_config": {{"provider": "gitlab", "group_id": "123", "visibility": "private"}}}}"#
    );
    Ok(Outgoing::job(&run.parse::<RunId>()?, body.into_bytes()))
}

fn print(what: &str, messages: u32, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    println!("{what}: {messages} in {seconds:.2} s, {:.0}/s", f64::from(messages) / seconds);
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, in real time")]
fn now() -> Timestamp {
    Timestamp::now()
}
