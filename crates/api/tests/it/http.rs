//! Plain HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use piton_api::{Client, Credentials, Error, Http, LogItem, LogStart, Problem, ServerUrl, TlsOptions};
use serde_json::{Value, json};

use crate::server::{Reply, Server};

fn client(url: &str) -> Client {
    Client::of_server(http(url))
}

fn http(url: &str) -> Http {
    Http::new(ServerUrl::parse(url).unwrap(), &TlsOptions::default()).unwrap()
}

fn ok() -> Reply {
    Reply::Whole(200, "content-type: application/json\r\n", "{\"ok\":true}".to_owned())
}

#[tokio::test]
async fn requests_share_a_connection_and_carry_what_they_must() {
    let server = Server::plain(|_| ok()).await;
    let with = http(&server.url()).with(&Credentials::Bearer("t0ken".into())).unwrap();
    let client = Client::of_server(with);
    let answer: Value = client.post("/things", &json!({ "a": 1 })).await.unwrap();
    assert_eq!(answer, json!({ "ok": true }));
    let _: Value = client.get("/things?x=1").await.unwrap();
    let _: Value = client.at_root().get("/health").await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.iter().map(|asked| asked.connection).collect::<Vec<_>>(), [0, 0, 0]);
    assert!(asked[0].head.starts_with("POST /api/things HTTP/1.1\n"), "{}", asked[0].head);
    assert!(asked[0].head.contains("\nauthorization: bearer t0ken\n"), "{}", asked[0].head);
    assert!(asked[0].head.contains(&format!("\nhost: {}\n", server.address)), "{}", asked[0].head);
    assert!(asked[0].head.contains("\ncontent-type: application/json\n"), "{}", asked[0].head);
    assert!(!asked[0].head.contains("x-piton-user"), "who asks is told by the token: {}", asked[0].head);
    assert_eq!(asked[0].body, "{\"a\":1}");
    assert!(asked[1].head.starts_with("GET /api/things?x=1 HTTP/1.1\n"), "{}", asked[1].head);
    assert!(asked[2].head.starts_with("GET /health HTTP/1.1\n"), "{}", asked[2].head);
}

/// What creates something is asked for again, as the same thing, where the answer was lost; and only there.
#[tokio::test]
async fn what_is_created_is_created_once() {
    let key = |asked: &crate::server::Asked| {
        asked.head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap().to_owned()
    };
    let in_flight = r#"{"type":"x","title":"x","status":409,"code":"idempotency_in_flight","detail":"x","error":"x"}"#;
    let count = AtomicUsize::new(0);
    let server = Server::plain(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Cut(String::new()),
        1 => Reply::Cut("HTTP/1.1 202 X\r\ncontent-length: 100\r\n\r\n{".to_owned()),
        2 => Reply::Whole(409, "content-type: application/problem+json\r\n", in_flight.to_owned()),
        3 => Reply::Whole(503, "", String::new()),
        _ => ok(),
    })
    .await;
    let answer: Value = client(&server.url()).create("/things", &json!({ "a": 1 })).await.unwrap();
    assert_eq!(answer, json!({ "ok": true }));
    let asked = server.asked();
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(asked.iter().all(|one| key(one) == key(&asked[0]) && one.body == asked[0].body), "{asked:?}");
    let _: Value = client(&server.url()).create("/things", &json!({ "a": 1 })).await.unwrap();
    assert_ne!(key(&server.asked()[5]), key(&asked[0]), "asked for by itself, it is another thing");

    // Nothing is created where nobody is, or where it is refused.
    let refusing = Server::plain(|_| Reply::Whole(503, "", String::new())).await;
    assert!(client(&refusing.url()).create::<Value>("/things", &json!({})).await.is_err());
    assert_eq!(refusing.asked().len(), 1);
    let nobody = client("http://127.0.0.1:1").create::<Value>("/things", &json!({})).await;
    assert!(matches!(nobody, Err(Error::Unreachable { .. })), "{nobody:?}");
}

#[tokio::test]
async fn a_path_before_the_api_stays_before_everything() {
    let server = Server::plain(|_| ok()).await;
    let client = client(&format!("{}/tools/piton/", server.url()));
    let _: Value = client.get("/runs").await.unwrap();
    let _: Value = client.at_root().get("/deploy").await.unwrap();
    let lines: Vec<String> = server.asked().iter().map(|it| it.head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["GET /tools/piton/runs HTTP/1.1", "GET /tools/deploy HTTP/1.1"]);
}

#[tokio::test]
async fn a_name_and_a_password_go_as_basic() {
    let server = Server::plain(|_| ok()).await;
    let credentials = Credentials::Basic { username: "ada".into(), password: "l\u{f6}ve:1".into() };
    assert_eq!(format!("{credentials:?}"), "Basic");
    let with = http(&server.url()).with(&credentials).unwrap();
    assert!(!format!("{with:?}").contains("YWRh"));
    let _: Value = Client::of_server(with).get("/x").await.unwrap();
    // base64 of ada:löve:1, in lower case as the server keeps it.
    assert!(server.asked()[0].head.contains("\nauthorization: basic ywrhomz"), "{}", server.asked()[0].head);
    let broken = http(&server.url()).with(&Credentials::Bearer("a\nb: c".into())).unwrap_err();
    assert!(matches!(broken, Error::Credentials) && !broken.to_string().contains("b: c"));
}

#[tokio::test]
async fn what_the_server_says_is_what_is_told() {
    let server = Server::plain(|asked| {
        let path = asked.head.split(' ').nth(1).unwrap();
        let problem = Problem::new(409, "busy", "it is busy", Some("wait".into()));
        match path {
            "/api/problem" => Reply::Whole(
                409,
                "content-type: application/problem+json\r\n",
                serde_json::to_string(&problem).unwrap(),
            ),
            "/api/proxy" => Reply::Whole(502, "", "<html>\n  <h1>Bad\x1b[2J Gateway</h1>".to_owned()),
            "/api/elsewhere" => Reply::Whole(307, "location: http://evil.example/api/x\r\n", String::new()),
            _ => Reply::Whole(200, "", "not json".to_owned()),
        }
    })
    .await;
    let client = client(&server.url());
    let Error::Problem(problem) = client.get::<Value>("/problem").await.unwrap_err() else { panic!("no problem") };
    assert_eq!((problem.status, problem.code.as_str(), problem.hint.as_deref()), (409, "busy", Some("wait")));
    let error = client.get::<Value>("/proxy").await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 502, .. }) && error.may_pass(), "{error:?}");
    let error = client.get::<Value>("/elsewhere").await.unwrap_err();
    assert!(matches!(&error, Error::Redirected { target, .. } if target == "http://evil.example/api/x"), "{error:?}");
    let error = client.get::<Value>("/other").await.unwrap_err();
    assert!(matches!(error, Error::Unexpected(_)) && !error.may_pass(), "{error:?}");
    assert_eq!(server.asked().len(), 4, "a redirect is not followed");
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_different() {
    let server = Server::plain(|_| Reply::Silence).await;
    let slow = client(&server.url()).with_patience(Duration::from_millis(50));
    let error = slow.get::<Value>("/x").await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }) && error.may_pass(), "{error:?}");
    let url = server.url();
    drop(server);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&nobody).get::<Value>("/x").await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { place, .. } if *place == nobody), "{error:?}");
    assert!(error.to_string().starts_with(&format!("cannot reach piton at {nobody}: ")), "{error}");
    assert_ne!(url, nobody);
}

#[tokio::test]
async fn a_name_without_address_is_unreachable() {
    let error = client("http://piton.invalid:1").get::<Value>("/x").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let server = Server::plain(|asked| match asked.connection {
        0 => Reply::Cut("HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}".to_owned()),
        _ => ok(),
    })
    .await;
    let client = client(&server.url());
    let _: Value = client.get("/one").await.unwrap();
    let _: Value = client.get("/two").await.unwrap();
    assert_eq!(server.asked().last().unwrap().connection, 1);
}

#[tokio::test]
async fn a_log_that_is_cut_off_is_broken_not_ended() {
    let head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let first = format!("{head}{}", chunk(": hello\n\nevent: log\nid: 4\ndata: one\n\nevent: log\nid: 8\nda"));
    let second = format!("{head}{}0\r\n\r\n", chunk("event: log\nid: 8\ndata: two\n\nevent: end\ndata: succeeded\n\n"));
    let server =
        Server::plain(move |asked| Reply::Cut(if asked.connection == 0 { &first } else { &second }.clone())).await;
    let client = client(&server.url());
    let mut items: Vec<_> = client.follow_log("r", LogStart::At(0)).await.unwrap().collect().await;
    let broken = items.pop().unwrap().unwrap_err();
    assert!(matches!(broken, Error::Broken(_)), "{broken:?}");
    let line = |text: &str, offset| LogItem::Line { text: text.to_owned(), offset };
    assert_eq!(items.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [line("one", 4)]);
    let items: Vec<_> = client.follow_log("r", LogStart::At(4)).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(items, [line("two", 8), LogItem::End("succeeded".to_owned())]);
    assert!(server.asked()[1].head.contains("\nlast-event-id: 4\n"), "{}", server.asked()[1].head);
    assert!(server.asked()[1].head.contains("\naccept: text/event-stream\n"), "{}", server.asked()[1].head);
}

#[tokio::test]
async fn a_line_without_its_place_is_not_passed_over() {
    let text = "HTTP/1.1 200 X\r\n\r\nevent: log\ndata: one\n\n".to_owned();
    let server = Server::plain(move |_| Reply::Cut(text.clone())).await;
    let items: Vec<_> = client(&server.url()).follow_log("r", LogStart::At(0)).await.unwrap().collect().await;
    assert!(matches!(items[..], [Err(Error::Unexpected(_))]), "{items:?}");
}
