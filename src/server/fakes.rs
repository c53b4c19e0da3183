//! For tests: a server that can be read and fails the test if anything would change it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::handle::{Server, Version};
use crate::metrics::Metrics;
use crate::provider::restore::{
    Ended, Leftover, Load, RestoreId, Restored, Scratch, Swapped, TargetFacts,
};
use crate::provider::{
    Assessment, Change, Claim, Desired, Expected, Flavour, Inspection, Inventory, LockWait, Login,
    Names, Observed, Provider, ProviderError, Removal, Removed, Survey, Usage, Verifier,
};

/// The identity of the server.
pub(crate) const IDENTITY: &str = "one";

/// A server on which this stands, whatever names are asked for.
pub(crate) fn server(observed: Observed) -> Arc<Server> {
    behind(ReadOnly {
        observed,
        silent: 0,
        is_down: false,
        logins: Arc::default(),
    })
}

/// A server that leaves so many logins of users without an answer, with the number of those that were tried. If it `is_down`,
/// the administrator gets none either.
pub(crate) fn silent_to_users(silent: u32, is_down: bool) -> (Arc<Server>, Arc<AtomicU32>) {
    let logins = Arc::<AtomicU32>::default();
    let server = behind(ReadOnly {
        observed: Observed::default(),
        silent,
        is_down,
        logins: Arc::clone(&logins),
    });
    (server, logins)
}

fn behind(provider: ReadOnly) -> Arc<Server> {
    let version = Version {
        full: "17.6".to_owned(),
        series: "17".to_owned(),
    };
    Arc::new(Server::new(
        "main".to_owned(),
        Flavour::Postgresql,
        version,
        IDENTITY.to_owned(),
        None,
        Arc::new(provider),
        Arc::default(),
        Metrics::new(),
    ))
}

struct ReadOnly {
    observed: Observed,
    /// How many logins get no answer.
    silent: u32,
    is_down: bool,
    logins: Arc<AtomicU32>,
}

#[async_trait]
impl Provider for ReadOnly {
    fn expect(&self, _expected: Expected) {
        panic!("the provider is told which server it may work on");
    }

    /// It makes the operator's own database.
    async fn inspect(&self) -> Result<Inspection, ProviderError> {
        panic!("the server is inspected");
    }

    async fn survey(&self) -> Result<Survey, ProviderError> {
        Ok(Survey::default())
    }

    async fn observe(&self, _names: &Names) -> Result<Observed, ProviderError> {
        if self.is_down {
            return Err(ProviderError::Unreachable {
                server: "host:1".to_owned(),
                detail: "no answer".to_owned(),
            });
        }
        Ok(self.observed.clone())
    }

    async fn validate(&self, _desired: &Desired) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn write_claim(
        &self,
        claim: &Claim,
        _standing: Option<&Claim>,
    ) -> Result<(), ProviderError> {
        panic!("a claim is written: {claim:?}");
    }

    async fn forget_claim(&self, claim: &Claim) -> Result<(), ProviderError> {
        panic!("a claim is removed: {claim:?}");
    }

    fn verifier(&self, _password: &SecretString) -> Verifier {
        panic!("a password is about to be set");
    }

    async fn ensure_role(
        &self,
        _desired: &Desired,
        _verifier: Option<&Verifier>,
    ) -> Result<Vec<Change>, ProviderError> {
        panic!("a role is made or changed");
    }

    async fn ensure_database(&self, _desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        panic!("a database is made or changed");
    }

    async fn ensure_contents(&self, _desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        panic!("the inside of a database is changed");
    }

    async fn assess(&self, _names: &Names) -> Result<Assessment, ProviderError> {
        Ok(Assessment {
            bytes: 0,
            unreadable: Vec::new(),
            has_broken_views: false,
            endless_events: Vec::new(),
        })
    }

    async fn lock_waits(&self, _names: &Names) -> Result<Vec<LockWait>, ProviderError> {
        Ok(Vec::new())
    }

    async fn take_inventory(&self, _names: &Names) -> Result<Inventory, ProviderError> {
        Ok(Inventory::default())
    }

    async fn login(&self, names: &Names, _password: &SecretString) -> Result<Login, ProviderError> {
        if self.logins.fetch_add(1, Ordering::SeqCst) < self.silent {
            let silence = ProviderError::Timeout {
                doing: "logging in".to_owned(),
                limit: Duration::from_secs(10),
            };
            return Err(silence.in_database(names.database.as_str()));
        }
        Ok(Login::Accepted)
    }

    async fn remove(&self, _removal: &Removal) -> Result<Removed, ProviderError> {
        panic!("something is dropped");
    }

    async fn restored(
        &self,
        _restore: &RestoreId,
        _take_over_from: &[String],
    ) -> Result<Option<Restored>, ProviderError> {
        Ok(None)
    }

    async fn look_at_target(&self, _load: &Load) -> Result<TargetFacts, ProviderError> {
        Ok(TargetFacts::default())
    }

    async fn make_scratch(
        &self,
        _load: &Load,
        _verifier: &Verifier,
    ) -> Result<Scratch, ProviderError> {
        panic!("a place to load into is made");
    }

    async fn swap(
        &self,
        _load: &Load,
        _scratch: &Scratch,
        _most: Duration,
    ) -> Result<Swapped, ProviderError> {
        panic!("databases are swapped");
    }

    async fn reopen(&self, _load: &Load) -> Result<(), ProviderError> {
        panic!("a database is opened");
    }

    async fn undo(&self, _load: &Load, _most: Duration) -> Result<Swapped, ProviderError> {
        panic!("databases are swapped back");
    }

    async fn drop_leftover(&self, _load: &Load, _which: Leftover) -> Result<Ended, ProviderError> {
        panic!("what a restore left is dropped");
    }

    async fn tests(&self, _clusters: &[String]) -> Result<Vec<RestoreId>, ProviderError> {
        Ok(Vec::new())
    }

    async fn drop_test(&self, _load: &Load) -> Result<Ended, ProviderError> {
        panic!("what a test left is dropped");
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }

    async fn close(&self) {}
}
