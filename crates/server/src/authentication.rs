//! Who may connect. Hashing a password takes milliseconds by design, so it happens on the blocking
//! pool, a few at a time and with a bounded queue: the data path never waits for it.

use crate::settings::Authentication;
use aldis_packet::ReasonCode;
use aldis_session::Violation;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Semaphore;

/// Logins that may wait for a hash; more are told that the broker is busy.
const WAITING: usize = 1024;

/// The one that says yes or no to a user name and a password.
pub(crate) struct Authenticator {
    // Read at each connect, written by a reload.
    settings: RwLock<Authentication>,
    hashing: Semaphore,
    waiting: AtomicUsize,
}

impl Authenticator {
    pub(crate) fn new(settings: Authentication) -> Authenticator {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        Authenticator {
            settings: RwLock::new(settings),
            hashing: Semaphore::new(at_once),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(crate) fn replace(&self, settings: Authentication) {
        *self.settings.write() = settings;
    }

    /// Whether a client may connect; `Ok(true)` if its user name was verified.
    pub(crate) async fn check(&self, user: Option<&str>, password: Option<&[u8]>) -> Result<bool, Violation> {
        let settings = self.settings.read().clone();
        match (user, settings.passwords) {
            (Some(user), Some(passwords)) => {
                let user = user.to_owned();
                let password = password.unwrap_or_default().to_owned();
                let good = self.hash(move || passwords.verify(&user, &password)).await?;
                if good { Ok(true) } else { Err(wrong_password()) }
            }
            _ if settings.allow_anonymous => Ok(false),
            (Some(_), None) => Err(wrong_password()),
            (None, _) => Err(Violation::new(
                ReasonCode::NotAuthorized,
                "",
                "it gave no user name, and auth.allow_anonymous is false",
            )),
        }
    }

    async fn hash(&self, work: impl FnOnce() -> bool + Send + 'static) -> Result<bool, Violation> {
        let _place = self.place()?;
        let Ok(_permit) = self.hashing.acquire().await else { return Ok(false) };
        // A panic while hashing is no yes.
        Ok(tokio::task::spawn_blocking(work).await.unwrap_or(false))
    }

    fn place(&self) -> Result<Place<'_>, Violation> {
        if self.waiting.fetch_add(1, Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Relaxed);
            let what = "more logins wait for their password check than this broker queues";
            return Err(Violation::new(ReasonCode::ServerBusy, "", what));
        }
        Ok(Place(&self.waiting))
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn wrong_password() -> Violation {
    Violation::new(ReasonCode::BadUserNameOrPassword, "", "wrong user name or password")
}

/// What everybody who authenticates shares.
pub(crate) type SharedAuthenticator = Arc<Authenticator>;
