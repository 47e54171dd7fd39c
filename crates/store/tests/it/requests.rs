//! Requests that are sent again, on both engines.

use piton_store::{Known, Request, Store};

use crate::fixture::{Fixture, at, on_both_engines};

on_both_engines!(
    a_request_is_begun_once_and_answered_each_time,
    what_came_to_nothing_may_be_asked_again,
    another_node_takes_over_in_time,
    keys_are_forgotten_after_a_day,
);

fn request(caller: &str, key: &str, digest: &str) -> Request {
    Request { caller: caller.to_owned(), key: key.to_owned(), digest: digest.to_owned() }
}

async fn begin(store: &Store, request: &Request, token: &str, node: &str, second: i64) -> Known {
    store.begin_request(request.clone(), token.to_owned(), node.to_owned(), at(second)).await.unwrap()
}

fn begun(token: &str) -> Known {
    Known::Begun { token: token.to_owned() }
}

async fn a_request_is_begun_once_and_answered_each_time(fixture: &Fixture) {
    let store = fixture.open().await;
    let mine = request("ann", "key", "digest");
    assert_eq!(begin(&store, &mine, "one", "node", 0).await, begun("one"));
    assert_eq!(begin(&store, &mine, "two", "node", 1).await, begun("one"), "after a crash it is the same one");
    assert_eq!(begin(&store, &request("ann", "key", "other"), "two", "node", 1).await, Known::Other);
    assert_eq!(begin(&store, &request("bob", "key", "other"), "bob's", "node", 1).await, begun("bob's"));
    store.answer_request(mine.clone(), "stale".to_owned(), "not this".to_owned()).await.unwrap();
    store.answer_request(mine.clone(), "one".to_owned(), "answer".to_owned()).await.unwrap();
    for store in [&store, &fixture.open().await] {
        assert_eq!(begin(store, &mine, "two", "node", 2).await, Known::Answered("answer".to_owned()));
    }
    store.abandon_request(mine.clone(), "one".to_owned()).await.unwrap();
    assert_eq!(begin(&store, &mine, "two", "node", 2).await, Known::Answered("answer".to_owned()), "an answer stays");
}

async fn what_came_to_nothing_may_be_asked_again(fixture: &Fixture) {
    let store = fixture.open().await;
    let mine = request("ann", "key", "digest");
    assert_eq!(begin(&store, &mine, "one", "node", 0).await, begun("one"));
    store.abandon_request(mine.clone(), "one".to_owned()).await.unwrap();
    let changed = request("ann", "key", "other");
    assert_eq!(begin(&store, &changed, "two", "node", 1).await, begun("two"));
}

async fn another_node_takes_over_in_time(fixture: &Fixture) {
    let store = fixture.open().await;
    let mine = request("ann", "key", "digest");
    assert_eq!(begin(&store, &mine, "one", "node", 0).await, begun("one"));
    assert_eq!(begin(&store, &mine, "two", "other", 10).await, Known::Elsewhere);
    assert_eq!(begin(&store, &mine, "two", "other", 301).await, begun("one"));
    assert_eq!(begin(&store, &mine, "three", "node", 302).await, Known::Elsewhere, "it is the other's now");
}

async fn keys_are_forgotten_after_a_day(fixture: &Fixture) {
    let store = fixture.open().await;
    let mine = request("ann", "key", "digest");
    assert_eq!(begin(&store, &mine, "one", "node", 0).await, begun("one"));
    store.answer_request(mine.clone(), "one".to_owned(), "answer".to_owned()).await.unwrap();
    let day = 24 * 60 * 60;
    assert_eq!(begin(&store, &mine, "two", "node", day).await, Known::Answered("answer".to_owned()));
    assert_eq!(begin(&store, &mine, "two", "node", day + 1).await, begun("two"));
}
