//! Events at a bounded rate: whatever happens to an object, neither the API server nor the reader is flooded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, Recorder};
use parking_lot::Mutex;

use super::pace::{Pace, Paced};

/// The Events of one object, as client-go has it.
const OF_AN_OBJECT: Pace = Pace {
    burst: 25,
    every: Duration::from_mins(5),
};
/// The Events of one namespace. The recorder keeps each for some minutes.
const OF_A_NAMESPACE: Pace = Pace {
    burst: 500,
    every: Duration::from_secs(1),
};

/// Publishes Events. Clones count together.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    limits: Arc<Mutex<Limits>>,
}

struct Limits {
    objects: Paced<String>,
    namespaces: Paced<String>,
}

impl Limits {
    fn allow(&mut self, object: &ObjectReference, now: Instant) -> bool {
        let uid = object.uid.clone().unwrap_or_default();
        let namespace = object.namespace.clone().unwrap_or_default();
        self.objects.take(uid, now) && self.namespaces.take(namespace, now)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            objects: Paced::new(OF_AN_OBJECT),
            namespaces: Paced::new(OF_A_NAMESPACE),
        }
    }
}

impl Events {
    /// Publishes by this recorder.
    #[must_use]
    pub fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            limits: Arc::default(),
        }
    }

    /// Publishes an Event about an object, unless there were too many. The log has all.
    pub async fn publish(&self, event: &Event, about: &ObjectReference) -> Result<(), kube::Error> {
        let allowed = {
            let mut limits = self.limits.lock();
            limits.allow(about, Instant::now())
        };
        if !allowed {
            tracing::debug!(reason = event.reason, "an Event too many was not published");
            return Ok(());
        }
        self.recorder.publish(event, about).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(namespace: &str, uid: u32) -> ObjectReference {
        ObjectReference {
            namespace: Some(namespace.to_owned()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        }
    }

    #[test]
    fn an_object_that_changes_all_the_time_leaves_the_others_theirs() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let mut published = |namespace, uid, seconds| {
            limits.allow(&object(namespace, uid), now + Duration::from_secs(seconds))
        };
        let of_one = (0..3600).filter(|second| published("a", 0, *second));
        assert!(of_one.count() <= 25 + 12);
        let of_many = (0..10_000).filter(|uid| published("a", *uid, 3600));
        assert!(of_many.count() <= 500);
        assert!(published("b", 20_000, 3600));
    }
}
