//! What only a file can suffer.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use piton_store::{Error, Options, Store, hurried};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::fixture::{Fixture, at, job, new_run, submit_one};

async fn refused(fixture: &Fixture) -> Error {
    let before = std::fs::read(fixture.file()).unwrap();
    let error = Store::open(&fixture.url, Options::default()).await.unwrap_err();
    assert_eq!(std::fs::read(fixture.file()).unwrap(), before, "a file that is refused stays as it is");
    assert!(error.hint().is_some());
    error
}

async fn filled() -> Fixture {
    let fixture = Fixture::sqlite();
    let store = fixture.open().await;
    for second in 0..50 {
        submit_one(&store, new_run(&job("a"), at(second)), at(second)).await;
    }
    store.close().await;
    fixture
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let fixture = Fixture::sqlite();
    for text in ["{}", &"not a database, but long enough to look at its whole header. ".repeat(9)] {
        std::fs::write(fixture.file(), text).unwrap();
        let error = refused(&fixture).await;
        assert!(matches!(&error, Error::Corrupt { path, .. } if path.ends_with("piton.db")), "{error:?}");
    }
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_refused() {
    let fixture = filled().await;
    let length = std::fs::metadata(fixture.file()).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(fixture.file()).unwrap().set_len(length / 2).unwrap();
    let error = refused(&fixture).await;
    assert!(matches!(&error, Error::Corrupt { detail, .. } if detail.contains("bytes long")), "{error:?}");
}

#[tokio::test]
async fn damage_inside_is_found_by_a_check() {
    let fixture = filled().await;
    let mut file = std::fs::OpenOptions::new().write(true).open(fixture.file()).unwrap();
    // Every page but the first: what the opening reads is whole.
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length - 4096 * 3)).unwrap();
    file.write_all(&[0xa5; 4096 * 3]).unwrap();
    drop(file);
    match Store::open(&fixture.url, Options::default()).await {
        Ok(store) => {
            let found = store.check().await;
            let damaged = match &found {
                Ok(problems) => !problems.is_empty(),
                Err(error) => matches!(error, Error::Corrupt { .. } | Error::Refused(_)),
            };
            assert!(damaged, "{found:?}");
        }
        Err(error) => assert!(matches!(error, Error::Corrupt { .. }), "{error:?}"),
    }
}

#[tokio::test]
async fn an_empty_file_is_a_new_database_but_not_beside_a_log() {
    let fixture = Fixture::sqlite();
    std::fs::write(fixture.file(), "").unwrap();
    fixture.open().await.close().await;

    let fixture = Fixture::sqlite();
    std::fs::write(fixture.file(), "").unwrap();
    std::fs::write(fixture.file().with_file_name("piton.db-wal"), "something").unwrap();
    assert!(matches!(refused(&fixture).await, Error::Corrupt { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_in_a_hurry_has_given_up_is_never_written() {
    let fixture = Fixture::sqlite();
    let locks = Duration::from_millis(20);
    let options = Options { patience: Duration::from_secs(3600), lock_timeout: locks, ..Options::default() };
    let store = Store::open(&fixture.url, options).await.unwrap();
    let mut other = SqliteConnectOptions::new().filename(fixture.file()).connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    // A loop in the background goes on trying all the while.
    let patient = new_run(&job("patient"), at(0));
    let waits = tokio::spawn({
        let (store, patient) = (store.clone(), patient.clone());
        async move { store.submit(vec![patient], at(0)).await }
    });
    let hasty = new_run(&job("hasty"), at(0));
    let given_up = hurried(Duration::from_millis(200), store.submit(vec![hasty.clone()], at(0))).await;
    assert!(matches!(given_up, Err(Error::Unavailable(_))), "{given_up:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    waits.await.unwrap().unwrap();
    submit_one(&store, new_run(&job("later"), at(1)), at(1)).await;
    assert!(store.run(patient.id).await.unwrap().is_some());
    assert!(store.run(hasty.id).await.unwrap().is_none());
    store.close().await;
    fixture.audited().await;
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = Fixture::sqlite();
    let store = fixture.open().await;
    submit_one(&store, new_run(&job("a"), at(0)), at(0)).await;
    for name in ["piton.db", "piton.db-wal", "piton.db-shm"] {
        let mode = std::fs::metadata(fixture.file().with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_directory_and_a_missing_directory_are_not_available() {
    let fixture = Fixture::sqlite();
    std::fs::create_dir(fixture.file()).unwrap();
    for url in [fixture.url.clone(), format!("{}/missing/piton.db", fixture.url)] {
        let error = Store::open(&url, Options::default()).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn addresses_that_mean_nothing_are_refused() {
    for url in ["", "sqlite:", "mysql://me:secret@host/db", "piton.db"] {
        let error = Store::open(url, Options::default()).await.unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{error:?}");
        assert!(!error.to_string().contains("secret"));
    }
}
