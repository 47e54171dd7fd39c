//! What happens to workspaces, told by the ledger.

use crate::site::{assert_story, begin, hours, monday, told, workspace};

const DAILY: &str = r#"{"deploy_schedule": "0 9 * * *", "destroy_schedule": "0 18 * * *"}"#;

#[tokio::test]
async fn a_daemon_that_was_away_does_the_latest_line_once() {
    let mut simulation = begin(monday("08:00:00"), |s| workspace(s, "everest", DAILY)).await;
    simulation.run_for(hours(2)).await.unwrap();
    simulation.kill(0).await;
    simulation.clock.set(monday("12:00:00") + hours(48));
    simulation.start("one").await.unwrap();
    simulation.run_for(hours(1)).await.unwrap();
    assert_story(&told(&simulation).await, "");
}
