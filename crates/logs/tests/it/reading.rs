//! Reading pieces and tails.

use std::fs;

use proptest::prelude::*;

use crate::scene::Scene;

#[tokio::test]
async fn pieces_are_read_at_offsets() {
    let scene = Scene::new();
    let log = scene.open().await;
    scene.finished(&log, "a", b"0123456789").await;
    let read = |from, max| scene.store.read(scene.run, from, max);
    let chunk = read(6, 3).await.unwrap();
    assert_eq!((chunk.offset, chunk.bytes.as_slice(), chunk.end, chunk.next()), (6, b"234".as_slice(), 15, 9));
    assert_eq!(read(10, 1000).await.unwrap().bytes, b"6789\n");
    for nothing in [read(15, 10).await, read(1000, 10).await, read(0, 0).await] {
        let nothing = nothing.unwrap();
        assert!(nothing.bytes.is_empty());
        assert_eq!(nothing.end, 15);
    }
}

#[tokio::test]
async fn a_log_that_does_not_exist_is_empty() {
    let scene = Scene::new();
    assert_eq!(scene.store.read(scene.run, 0, 10).await.unwrap().end, 0);
    assert_eq!(scene.store.tail(scene.run, 10).await.unwrap().end, 0);
    let log = scene.open().await;
    log.note("k", "piton: hello").await.unwrap();
    assert_eq!(scene.store.read(scene.run, 0, 100).await.unwrap().bytes, b"piton: hello\n");
}

#[tokio::test]
async fn a_tail_is_bounded_even_without_lines() {
    let scene = Scene::new();
    let log = scene.open().await;
    scene.finished(&log, "a", &vec![b'x'; 9 << 20]).await;
    let tail = scene.store.tail(scene.run, 5).await.unwrap();
    assert_eq!(tail.bytes.len() as u64, piton_logs::TAIL_LIMIT);
    assert_eq!(tail.next(), tail.end);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_tail_is_the_last_lines(lines in prop::collection::vec(0usize..40_000, 0..12), count in 0usize..14, ended in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut text: Vec<u8> = lines.iter().flat_map(|len| [vec![b'x'; *len], vec![b'\n']].concat()).collect();
        if !ended { text.pop(); }
        let scene = Scene::new();
        let tail = runtime.block_on(async {
            scene.store.prepare(scene.run).await.unwrap();
            fs::write(scene.log_path(), &text).unwrap();
            scene.store.tail(scene.run, count).await.unwrap()
        });
        let all: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let expected = all[all.len().saturating_sub(count)..].concat();
        prop_assert!(tail.bytes == expected);
        prop_assert_eq!(tail.offset, (text.len() - expected.len()) as u64);
        prop_assert_eq!(tail.end, text.len() as u64);
    }
}

#[tokio::test]
async fn parts_say_whose_bytes_are_where() {
    let scene = Scene::new();
    assert_eq!(scene.store.parts(scene.run).await.unwrap(), []);
    let log = scene.open().await;
    log.note("r/1/checkout/fetch", "piton: fetching").await.unwrap();
    scene.finished(&log, "r/1/init/init", b"done\n").await;
    scene.pump_until(&log, "r/1/plan/plan", b"$ r/1/plan/plan\n").await;
    log.note("r/1/plan/note", "piton: hm").await.unwrap();
    scene.finished(&log, "r/1/plan/plan", b"planned\n").await;
    let (parts, text) = (scene.store.parts(scene.run).await.unwrap(), scene.log());
    let shown: Vec<(&str, &str)> = parts
        .iter()
        .map(|part| {
            let bytes = &text[usize::try_from(part.start).unwrap()..usize::try_from(part.end).unwrap()];
            (part.token.as_str(), std::str::from_utf8(bytes).unwrap())
        })
        .collect();
    let wanted = [
        ("r/1/checkout/fetch", "piton: fetching\n"),
        ("r/1/init/init", "$ r/1/init/init\ndone\n"),
        ("r/1/plan/plan", "$ r/1/plan/plan\n"),
        ("r/1/plan/note", "piton: hm\n"),
        ("r/1/plan/plan", "planned\n"),
    ];
    assert_eq!(shown, wanted);
}
