//! How long whoever asks waits for a database that is away.
//!
//! A loop in the background tries for as long as it takes. Whoever has sent a request is better served by an answer, and
//! can send it again. Which of the two a call is made for goes with its task: no function between the door and the
//! database has a use for it. The hurry is about a database that is away; what takes one long that answers may.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Error;
use crate::db::Address;

/// How long a database that lives may take to let somebody in.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// So much of it there is where hardly any time is left: one that lives must not be taken for dead.
const LEAST: Duration = Duration::from_millis(250);

tokio::task_local! {
    static HURRY: Hurry;
}

struct Hurry {
    budget: Duration,
    /// When the calls give up that have not been answered yet.
    until: Mutex<Option<Instant>>,
}

/// Awaits `work`, for whose calls of a store the database may be away for `budget`, all of them together; then they
/// fail with [`Error::Unavailable`], and have done nothing. Each answer of the database begins it anew.
pub async fn hurried<F: Future>(budget: Duration, work: F) -> F::Output {
    HURRY.scope(Hurry { budget, until: Mutex::default() }, work).await
}

/// Until when the call that begins now is to be answered by a database that is away; none where nobody is in a hurry.
pub(crate) fn deadline() -> Option<Instant> {
    let until = |hurry: &Hurry| *lock(&hurry.until).get_or_insert_with(|| Instant::now() + hurry.budget);
    HURRY.try_with(until).ok()
}

/// The database has answered.
pub(crate) fn answered() {
    // Outside of a hurry there is nothing to be noted.
    let _ = HURRY.try_with(|hurry| *lock(&hurry.until) = None);
}

/// Waits for an answer, for as long as the database lives. Whether it does is asked apart, in the last part of the
/// time until `give_up`: whoever has so much patience for a database that is away waits no longer to learn that it
/// is.
pub(crate) async fn attended<T>(
    address: &Address,
    give_up: Instant,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut work = std::pin::pin!(work);
    let left = give_up.saturating_duration_since(Instant::now());
    let sign_of_life = SIGN_OF_LIFE.min(left / 2).max(LEAST);
    let doubt = give_up.checked_sub(sign_of_life).unwrap_or(give_up);
    if let Ok(answer) = timeout_at(doubt, &mut work).await {
        return answer;
    }
    tokio::select! {
        answer = &mut work => answer,
        lives = timeout(sign_of_life, address.answers()) => {
            if lives.unwrap_or(false) { work.await } else { Err(silent()) }
        }
    }
}

pub(crate) fn silent() -> Error {
    Error::Unavailable("it does not answer".to_owned())
}

/// Where an operation stands that waits to be written. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place(Arc<Mutex<Standing>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    /// Nothing of it is written.
    #[default]
    Waits,
    /// It is being written at this moment.
    Tried,
    /// Its caller has gone, and it must never be written.
    GivenUp,
}

impl Place {
    /// Begins to write it; whether that is still wanted.
    pub(crate) fn begin(&self) -> bool {
        let mut standing = lock(&self.0);
        let wanted = *standing != Standing::GivenUp;
        if wanted {
            *standing = Standing::Tried;
        }
        wanted
    }

    /// Nothing was written: it waits again.
    pub(crate) fn undo(&self) {
        let mut standing = lock(&self.0);
        if *standing == Standing::Tried {
            *standing = Standing::Waits;
        }
    }

    /// Waits until it is past `deadline` and the database is `away`, and gives the operation up: it has not been
    /// written, and will not be.
    pub(crate) async fn given_up(&self, deadline: Instant, mut away: watch::Receiver<bool>) {
        // It only passes the time.
        let _ = timeout_at(deadline, std::future::pending::<()>()).await;
        while away.wait_for(|away| *away).await.is_ok() {
            if self.give_up() {
                return;
            }
            // It is being tried; how that ends is told.
            if away.changed().await.is_err() {
                break;
            }
        }
        // The writer has ended, which its callers learn otherwise.
        std::future::pending::<()>().await;
    }

    fn give_up(&self) -> bool {
        let mut standing = lock(&self.0);
        let waits = *standing == Standing::Waits;
        if waits {
            *standing = Standing::GivenUp;
        }
        waits
    }
}

/// What is guarded is whole after each statement.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[tokio::test(start_paused = true)]
    async fn a_silent_database_is_given_up_in_the_time_there_is_for_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://nobody@{}/nothing", listener.local_addr().unwrap());
        let address = Address::parse(&url, &Options::default()).unwrap();
        for budget in [2, 5, 10].map(Duration::from_secs) {
            let begun = Instant::now();
            let nothing = std::future::pending::<Result<(), Error>>();
            assert_eq!(attended(&address, begun + budget, nothing).await, Err(silent()));
            let took = begun.elapsed();
            assert!(took >= budget && took < budget + Duration::from_millis(100), "{took:?} of {budget:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_and_lives_is_waited_for() {
        let address = Address::parse("sqlite:nowhere.db", &Options::default()).unwrap();
        let slow = async {
            let _ = timeout(Duration::from_secs(60), std::future::pending::<()>()).await;
            Ok(7)
        };
        assert_eq!(attended(&address, Instant::now() + Duration::from_secs(2), slow).await, Ok(7));
    }

    #[test]
    fn what_is_given_up_is_never_begun_and_what_is_begun_not_given_up() {
        let place = Place::default();
        assert!(place.begin());
        assert!(!place.give_up(), "it may be written at this moment");
        place.undo();
        assert!(place.give_up());
        assert!(!place.begin());
        place.undo();
        assert!(!place.begin(), "nobody waits for it any more");
    }

    #[tokio::test]
    async fn all_calls_share_one_budget_until_one_is_answered() {
        assert!(deadline().is_none(), "nobody is in a hurry");
        let budget = Duration::from_secs(3600);
        hurried(budget, async {
            let first = deadline().unwrap();
            assert!(first <= Instant::now() + budget);
            assert_eq!(deadline(), Some(first));
            answered();
            let second = deadline().unwrap();
            assert!(second >= first);
            hurried(Duration::ZERO, async { assert!(deadline().unwrap() < second) }).await;
        })
        .await;
    }

    #[tokio::test]
    async fn an_operation_is_given_up_only_while_the_database_is_away() {
        let (place, away) = (Place::default(), watch::Sender::new(false));
        let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let mut given_up = std::pin::pin!(place.given_up(past, away.subscribe()));
        assert!(futures_util::poll!(&mut given_up).is_pending(), "it answers");
        assert!(place.begin());
        away.send_replace(true);
        assert!(futures_util::poll!(&mut given_up).is_pending(), "it is being written");
        place.undo();
        away.send_replace(true);
        given_up.await;
        assert!(!place.begin());
    }
}
