//! What real processes use.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use piton_supervisor::measure::Sampler;
use rustix::time::{ClockId, clock_gettime};

use crate::children::{Children, kill, lives, until};

pub(crate) async fn a_process_and_its_descendants() {
    let children = Children::new();
    let busy = "while :; do :; done";
    let script = format!("sh -c '{busy}' & sh -c 'sleep 1000 & echo $! >> pids; wait' & echo $$ >> pids; wait");
    let root = children.script("a", &script).await.identity.pid;
    children.numbers_in("pids", 2).await;
    let idle = children.script("b", "exec sleep 1000").await.identity.pid;
    let instances = [("tree", root), ("idle", idle), ("gone", 2_147_483_647)];
    let mut sampler = Sampler::new().unwrap();
    let at = Timestamp::from_second(7).unwrap();
    let first: Vec<_> = sampler.sample(at, &instances);
    assert_eq!(first.iter().map(|(name, _)| **name).collect::<Vec<_>>(), ["tree", "idle"]);
    let tree = first[0].1;
    assert_eq!((tree.at, tree.threads), (at, 4));
    assert!(tree.rss > 1 << 20 && tree.vms > tree.rss, "{tree:?}");
    assert!(tree.fds.unwrap() >= 12 && tree.read_bytes.is_some() && tree.written_bytes.is_some(), "{tree:?}");
    assert!(tree.cpu_percent.abs() < f64::EPSILON);
    let mut last = first;
    let begun = Instant::now();
    until("a share of the processor", || {
        if begun.elapsed().as_millis() < 300 {
            return false;
        }
        last = sampler.sample(at, &instances);
        last[0].1.cpu_percent > 5.0
    })
    .await;
    assert!(last[0].1.cpu_percent < 110.0, "one thread works: {}", last[0].1.cpu_percent);
    assert!(last[1].1.cpu_percent < 5.0, "nobody works: {}", last[1].1.cpu_percent);
    kill(idle);
    until("its death", || !lives(idle)).await;
    assert_eq!(sampler.sample(at, &instances).len(), 1);
}

pub(crate) async fn a_thousand_take_little_time() {
    let children = Children::new();
    let script = "i=0; while [ $i -lt 1000 ]; do sleep 1000 & echo $! >> pids; i=$((i+1)); done; wait";
    children.script("a", script).await;
    let pids = children.numbers_in("pids", 1000).await;
    let instances: Vec<(u32, u32)> = pids.iter().map(|pid| (*pid, *pid)).collect();
    let mut sampler = Sampler::new().unwrap();
    let mut least = Duration::MAX;
    for _ in 0..10 {
        let begun = worked();
        assert_eq!(sampler.sample(Timestamp::UNIX_EPOCH, &instances).len(), 1000);
        least = least.min(worked().saturating_sub(begun));
    }
    // Some 60 ms unoptimised, most of it the kernel's.
    assert!(least < Duration::from_millis(250), "{least:?}");
}

/// How long this thread has worked: others may need the processor as well.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}
