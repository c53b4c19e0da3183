//! On whose behalf a connection is requested. A pass says so once, and the pools of all servers read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

tokio::task_local! {
    static CALLER: Arc<Caller>;
}

/// Work that belongs to no namespace: inspections of whole servers.
static OPERATOR: LazyLock<Arc<Caller>> =
    LazyLock::new(|| Arc::new(Caller::new(Arc::from(""), false)));

/// Longer than a healthy server needs for anything that is done in one go.
const LONG: Duration = Duration::from_secs(3);

/// On whose behalf connections are requested.
#[derive(Debug)]
pub struct Caller {
    tenant: Arc<str>,
    suspect: bool,
    /// The longest time for which this pass held a connection, in milliseconds.
    longest: AtomicU64,
}

impl Caller {
    /// A pass for this namespace. `suspect`: its passes recently held slots for long.
    #[must_use]
    pub fn new(tenant: Arc<str>, suspect: bool) -> Self {
        Self {
            tenant,
            suspect,
            longest: AtomicU64::new(0),
        }
    }

    /// The caller that the current task works for; the operator itself by default.
    #[must_use]
    pub fn current() -> Arc<Self> {
        CALLER
            .try_with(Arc::clone)
            .unwrap_or_else(|_| Arc::clone(&OPERATOR))
    }

    /// Runs `work` on behalf of this caller.
    pub async fn scope<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        CALLER.scope(self, work).await
    }

    /// The namespace; empty for the operator itself.
    #[must_use]
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// Whether its passes recently held slots for long.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Records how long a connection was held.
    pub fn held(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.longest.fetch_max(time, Ordering::Relaxed);
    }

    /// The longest time for which a connection was held.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_millis(self.longest.load(Ordering::Relaxed))
    }

    /// Whether a connection was held for longer than a healthy server needs for anything.
    #[must_use]
    pub fn held_long(&self) -> bool {
        self.longest() >= LONG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pass_is_for_its_namespace_and_everything_else_for_the_operator() {
        assert!(Caller::current().tenant().is_empty());
        let caller = Arc::new(Caller::new(Arc::from("team"), true));
        let inside = Arc::clone(&caller);
        inside
            .scope(async {
                let current = Caller::current();
                assert!(&**current.tenant() == "team" && current.is_suspect());
                current.held(Duration::from_secs(2));
                current.held(Duration::from_secs(1));
            })
            .await;
        assert_eq!(caller.longest(), Duration::from_secs(2));
        assert!(Caller::current().tenant().is_empty());
    }
}
