//! One server as the controllers use it: its provider behind its breaker, and the latest survey of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::breaker::{Breaker, Permit};
use crate::metrics::Metrics;
use crate::provider::{
    Fingerprint, Flavour, Names, Observed, Provider, ProviderError, Sign, SqlName, Survey, Verifier,
};
use crate::queue::caller::Caller;
use crate::queue::keyed::Keyed;

/// A server that was reached and may be used. Shared by everything that refers to its instance.
pub struct Server {
    instance: String,
    flavour: Flavour,
    version: Version,
    identity: String,
    ca: Option<String>,
    provider: Arc<dyn Provider>,
    breaker: Arc<Mutex<Breaker>>,
    survey: Mutex<Option<Taken>>,
    guards: Keyed<(Arc<str>, SqlName)>,
    /// What the server stored for each role's password when it was last inspected.
    passwords: Mutex<HashMap<SqlName, Fingerprint>>,
    metrics: Metrics,
}

/// Which version a server is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// As it says it: `17.6`.
    pub full: String,
    /// The number that a client tool has to match: `17`, `11.8`, `9.7`.
    pub series: String,
}

/// A survey and when it was taken.
#[derive(Clone)]
struct Taken {
    at: Instant,
    survey: Arc<Survey>,
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It failed too often just now, so it was not asked.
    #[error("the server of instance {instance} does not answer; it is retried in {} s", wait.as_secs() + 1)]
    Paused {
        /// The instance's name.
        instance: String,
        /// When it may be asked again.
        wait: Duration,
    },
    /// It was asked.
    #[error("{}", told(.instance, .source))]
    Failed {
        /// The instance's name.
        instance: String,
        /// What came of it.
        source: ProviderError,
    },
}

/// A fault inside one database is not reported as a fault of its instance.
fn told(instance: &str, source: &ProviderError) -> String {
    match source {
        ProviderError::InDatabase { .. } => source.to_string(),
        of_the_server => format!("instance {instance}: {of_the_server}"),
    }
}

impl ServerError {
    /// What the server or the way to it answered, if it was asked.
    #[must_use]
    pub fn provider(&self) -> Option<&ProviderError> {
        match self {
            Self::Paused { .. } => None,
            Self::Failed { source, .. } => Some(source),
        }
    }
}

/// Asks a provider behind a breaker, and counts the answer.
pub async fn ask<'a, T>(
    instance: &str,
    provider: &'a dyn Provider,
    breaker: &Mutex<Breaker>,
    metrics: &Metrics,
    operation: &'static str,
    question: impl FnOnce(&'a dyn Provider) -> BoxFuture<'a, Result<T, ProviderError>>,
) -> Result<T, ServerError> {
    let lock = || breaker.lock();
    if let Permit::Refused(wait) = lock().ask(Instant::now()) {
        return Err(ServerError::Paused {
            instance: instance.to_owned(),
            wait,
        });
    }
    let started = Instant::now();
    let answer = question(provider).await;
    let failure = answer.as_ref().err();
    let sign = failure.map_or(Sign::Answers, ProviderError::sign);
    lock().heard(sign, Instant::now(), rand::random());
    metrics.asked(
        instance,
        operation,
        started.elapsed(),
        failure.map(ProviderError::category),
    );
    answer.map_err(|source| ServerError::Failed {
        instance: instance.to_owned(),
        source,
    })
}

impl Server {
    #[expect(clippy::too_many_arguments, reason = "its fields, in their order")]
    pub(super) fn new(
        instance: String,
        flavour: Flavour,
        version: Version,
        identity: String,
        ca: Option<String>,
        provider: Arc<dyn Provider>,
        breaker: Arc<Mutex<Breaker>>,
        metrics: Metrics,
    ) -> Self {
        Self {
            instance,
            flavour,
            version,
            identity,
            ca,
            provider,
            breaker,
            survey: Mutex::default(),
            guards: Keyed::default(),
            passwords: Mutex::default(),
            metrics,
        }
    }

    /// Which engine it is.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Which version it is of.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// What only this server has; recorded with every claim.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The server's certificate authority in PEM, where the instance names one.
    #[must_use]
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    pub(super) fn is(
        &self,
        flavour: Flavour,
        version: &Version,
        identity: &str,
        ca: Option<&str>,
    ) -> bool {
        self.flavour == flavour
            && self.version == *version
            && self.identity == identity
            && self.ca() == ca
    }

    /// Its provider, for what asks no server.
    #[must_use]
    pub fn provider(&self) -> &dyn Provider {
        self.provider.as_ref()
    }

    /// Waits until nobody else works on this database for the same namespace, and keeps it so. What one does there for a
    /// moment (a privilege that a session inside needs) another one would take for drift.
    ///
    /// An object of another namespace that names it is refused by its claim, and must not be waited for.
    pub async fn alone(&self, names: &Names) -> OwnedMutexGuard<()> {
        let tenant = Arc::clone(Caller::current().tenant());
        self.guards.lock((tenant, names.database.clone())).await
    }

    /// Asks the server, unless its breaker is open. `operation` is the metric's label.
    pub async fn ask<'a, T>(
        &'a self,
        operation: &'static str,
        question: impl FnOnce(&'a dyn Provider) -> BoxFuture<'a, Result<T, ProviderError>>,
    ) -> Result<T, ServerError> {
        ask(
            &self.instance,
            self.provider.as_ref(),
            &self.breaker,
            &self.metrics,
            operation,
            question,
        )
        .await
    }

    /// What stands on the server under these names, as of a moment not before `since`.
    ///
    /// A survey that is young enough answers for all databases of the server with one statement.
    pub async fn observe(
        &self,
        names: &Names,
        since: Option<Instant>,
    ) -> Result<Observed, ServerError> {
        let taken = self.survey.lock().clone();
        match (taken, since) {
            (Some(taken), Some(since)) if taken.at >= since => Ok(taken.survey.of(names)),
            (_, _) => {
                self.ask("observe", |provider| provider.observe(names))
                    .await
            }
        }
    }

    /// Whether a role's password on the server is another one than we set or saw last. What is seen first is taken for what
    /// it should be: a login checks that where a pass is deep.
    pub fn has_password_moved(&self, role: &SqlName, now: Option<Fingerprint>) -> bool {
        let Some(now) = now else { return false };
        let mut known = self.passwords.lock();
        *known.entry(role.clone()).or_insert(now) != now
    }

    /// Notes the password that a role is known to have, or that whatever it has by now is what it should be.
    pub fn note_password(&self, role: &SqlName, verifier: Option<&Verifier>) {
        let mut known = self.passwords.lock();
        match verifier {
            Some(verifier) => known.insert(role.clone(), verifier.fingerprint(self.flavour)),
            None => known.remove(role),
        };
    }

    /// Takes a survey, for [`Server::observe`] to answer from.
    pub async fn take_survey(&self) -> Result<Arc<Survey>, ServerError> {
        let at = Instant::now();
        let survey = Arc::new(self.ask("survey", |provider| provider.survey()).await?);
        *self.survey.lock() = Some(Taken {
            at,
            survey: Arc::clone(&survey),
        });
        Ok(survey)
    }
}
