//! Hundreds of instances.

use std::time::{Duration, Instant};

use piton_supervisor::{InstanceState, Selector};

use crate::scene::{Scene, idle, lives};

const COUNT: u32 = 300;

pub(crate) async fn three_hundred_instances() {
    let mut many = idle("many");
    (many.instances, many.auto_start) = (COUNT, false);
    let scene = Scene::with([many.clone()]).await;
    let all = scene.supervisor.start(&Selector::All).await.unwrap();
    assert!(all.len() == COUNT as usize && all.iter().all(|status| status.state == InstanceState::Running));
    let pids: Vec<u32> = all.iter().filter_map(|status| status.pid).collect();

    let scene = scene.come_back().await;
    scene.apply([many]).await;
    let again = scene.supervisor.status(&Selector::All).unwrap();
    assert_eq!(again.iter().filter_map(|status| status.pid).collect::<Vec<_>>(), pids);

    let since = Instant::now();
    let read = scene.supervisor.status(&Selector::All).unwrap();
    assert!(since.elapsed() < Duration::from_millis(100), "a board is read, nobody is asked");
    assert_eq!(read.len(), COUNT as usize);

    let stopped = scene.supervisor.stop(&Selector::All, None).await.unwrap();
    assert!(stopped.iter().all(|status| status.state == InstanceState::Stopped));
    assert!(!pids.iter().any(|pid| lives(*pid)));
}
