//! A thousand services at once, without a cliff.

use std::fs;
use std::time::{Duration, Instant};

use piton_keeper::protocol::Target;
use piton_keeper::{ExitStatus, LogFile, Output, Signal, Spec};

use crate::nest::{Nest, lives, status_line, token, until, within};

const CROWD: usize = 1000;
/// The keeper under test is not optimised and shares its machine; what it takes when it is and does not is for the
/// example `scale` to say.
const GENEROUS: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_thousand_services_start_and_stop() {
    let nest = Nest::new();
    let client = nest.client().await;
    let log = |name: String| {
        Output::Log(LogFile { path: nest.file(&name), max_size: 1 << 20, max_backups: 2, timestamps: false })
    };
    let begun = Instant::now();
    let starting: Vec<_> = (0..CROWD)
        .map(|index| {
            let spec = Spec {
                argv: vec!["sleep".into(), "1000".into()],
                stdout: log(format!("{index}.out")),
                stderr: log(format!("{index}.err")),
                ..nest.script("")
            };
            let client = client.clone();
            tokio::spawn(async move { client.spawn(&token(&format!("service/{index}")), &spec).await.unwrap() })
        })
        .collect();
    let mut pids = Vec::new();
    for one in starting {
        pids.push(within(one).await.unwrap().identity.pid);
    }
    println!("started {CROWD} in {:?}", begun.elapsed());
    assert!(begun.elapsed() < GENEROUS);
    let keeper = client.keeper().keeper_pid;
    let kilobytes = |name| status_line(keeper, name).unwrap().trim_end_matches(" kB").parse::<u64>().unwrap();
    println!("keeper: {} kB resident, {} kB anonymous", kilobytes("VmRSS"), kilobytes("RssAnon"));
    assert!(kilobytes("RssAnon") < 8 * 1024);
    let journal = fs::metadata(nest.file("keeper/journal")).unwrap().len();
    assert!(journal < 4 << 20, "a journal of {journal} bytes");

    // An exit among a thousand is heard at once.
    let begun = Instant::now();
    client.signal(&token("service/0"), Signal::Kill, Target::Process).await.unwrap();
    assert_eq!(within(client.wait(&token("service/0"))).await.unwrap(), ExitStatus::Signal(9));
    println!("signal to exit event: {:?}", begun.elapsed());

    let begun = Instant::now();
    let stopping: Vec<_> = (1..CROWD)
        .map(|index| {
            let client = client.clone();
            tokio::spawn(async move {
                let token = token(&format!("service/{index}"));
                client.signal(&token, Signal::Term, Target::Tree).await.unwrap();
                assert_eq!(client.wait(&token).await.unwrap(), ExitStatus::Signal(15));
                assert_eq!(client.sweep(&token).await.unwrap().survivors, Vec::<u32>::new());
                client.acknowledge(&token).await.unwrap();
            })
        })
        .collect();
    for one in stopping {
        within(one).await.unwrap();
    }
    println!("stopped {CROWD} in {:?}", begun.elapsed());
    assert!(begun.elapsed() < GENEROUS);
    assert!(!pids.iter().any(|pid| lives(*pid)));
    client.acknowledge(&token("service/0")).await.unwrap();
    client.stop(true).await.unwrap();
    until("the keeper to end", || !lives(keeper)).await;
}
