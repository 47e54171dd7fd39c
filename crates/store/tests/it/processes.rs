//! What is remembered of processes, on both engines.

use std::collections::BTreeMap;

use piton_store::{ProcessEvent, Store};

use crate::fixture::{Fixture, at, on_both_engines};

on_both_engines!(
    wishes_are_kept_for_each_node,
    what_happened_is_told_latest_first,
    only_so_much_of_what_happened_is_kept,
);

fn wishes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(process, wish)| ((*process).to_owned(), (*wish).to_owned())).collect()
}

async fn wishes_are_kept_for_each_node(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.wishes("one").await.unwrap(), wishes(&[]));
    store.save_wish("one", "web", Some("{\"instances\":2}".to_owned())).await.unwrap();
    store.save_wish("one", "api", Some("{}".to_owned())).await.unwrap();
    store.save_wish("two", "web", Some("{\"instances\":9}".to_owned())).await.unwrap();
    store.save_wish("one", "web", Some("{\"instances\":3}".to_owned())).await.unwrap();
    for store in [&store, &fixture.open().await] {
        assert_eq!(store.wishes("one").await.unwrap(), wishes(&[("api", "{}"), ("web", "{\"instances\":3}")]));
        assert_eq!(store.wishes("two").await.unwrap(), wishes(&[("web", "{\"instances\":9}")]));
    }
    store.save_wish("one", "web", None).await.unwrap();
    store.save_wish("one", "never-seen", None).await.unwrap();
    assert_eq!(store.wishes("one").await.unwrap(), wishes(&[("api", "{}")]));
    assert_eq!(store.wishes("two").await.unwrap().len(), 1);
}

fn event(second: i64, name: &str, process: &str, status: &str) -> ProcessEvent {
    ProcessEvent {
        at: at(second),
        name: name.to_owned(),
        process: process.to_owned(),
        pid: (status == "running").then_some(4321),
        status: status.to_owned(),
        error: (status == "exited").then(|| "exit status 3".to_owned()),
    }
}

async fn seen(store: &Store, name: Option<&str>, before: Option<i64>, limit: usize) -> Vec<(i64, ProcessEvent)> {
    store.process_events(name, before, 0, limit).await.unwrap()
}

async fn what_happened_is_told_latest_first(fixture: &Fixture) {
    let store = fixture.open().await;
    let events = [
        event(0, "web-1", "web", "starting"),
        event(1, "web-1", "web", "running"),
        event(2, "web-2", "web", "running"),
        event(3, "api", "api", "exited"),
    ];
    store.record_process_events("one", events[..2].to_vec()).await.unwrap();
    store.record_process_events("one", events[2..].to_vec()).await.unwrap();
    store.record_process_events("one", vec![]).await.unwrap();
    let all = seen(&store, None, None, 10).await;
    assert_eq!(all.iter().map(|(_, event)| event).rev().collect::<Vec<_>>(), events.iter().collect::<Vec<_>>());
    assert!(all.is_sorted_by(|a, b| a.0 > b.0), "{all:?}");
    let first = seen(&store, None, None, 3).await;
    assert_eq!(first, all[..3]);
    assert_eq!(seen(&store, None, Some(first[2].0), 3).await, all[3..], "the next page goes on where this one ends");
    assert_eq!(store.process_events(None, None, 1, 2).await.unwrap(), all[1..3], "some are passed over");
    assert_eq!(store.process_events(Some("web"), Some(all[1].0), 1, 10).await.unwrap(), all[3..]);
    assert_eq!(store.process_events(None, None, usize::MAX, 1).await.unwrap(), []);
    let names = |found: Vec<(i64, ProcessEvent)>| found.into_iter().map(|(_, event)| event.name).collect::<Vec<_>>();
    assert_eq!(names(seen(&store, Some("web"), None, 10).await), ["web-2", "web-1", "web-1"]);
    assert_eq!(names(seen(&store, Some("web-1"), None, 10).await), ["web-1", "web-1"]);
    assert_eq!(names(seen(&store, Some("we"), None, 10).await), Vec::<String>::new());
    store.forget_process_events(at(2)).await.unwrap();
    assert_eq!(names(seen(&store, None, None, 10).await), ["api", "web-2"]);
}

async fn only_so_much_of_what_happened_is_kept(fixture: &Fixture) {
    let store = fixture.open().await;
    let many: Vec<ProcessEvent> = (0..10_500).map(|second| event(second, "web", "web", "running")).collect();
    for _ in 0..5 {
        store.record_process_events("one", many.clone()).await.unwrap();
    }
    let left = seen(&store, None, None, usize::MAX).await;
    assert!((50_000..51_000).contains(&left.len()), "{}", left.len());
    assert_eq!(left[0].0, 52_500, "the latest stay");
}
