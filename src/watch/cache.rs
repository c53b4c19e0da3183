//! The cached objects of a kind, and waiting until all of them were read.

use std::hash::Hash;
use std::time::Duration;

use futures::FutureExt;
use kube::runtime::reflector::{Lookup, Store};
use tokio::time::sleep;

/// The objects of a kind once all were read; `None` where their controller ended, maybe before it read them.
#[must_use]
pub fn read<K>(store: &Store<K>) -> Option<&Store<K>>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    matches!(store.wait_until_ready().now_or_never(), Some(Ok(()))).then_some(store)
}

/// How often it is looked whether all objects were read.
const GLANCE: Duration = Duration::from_millis(50);

/// Waits until all objects of a kind were read, or never will be.
///
/// It looks again and again: of several that wait for a store, the store wakes only the one that looked last, and who only
/// looks ([`read`]) counts as one of them. A stream that waits beside others would wait for ever.
pub async fn until_read<K>(store: &Store<K>)
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    while store.wait_until_ready().now_or_never().is_none() {
        sleep(GLANCE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Backup;
    use crate::client::lenient::Readable;
    use futures::stream::FuturesUnordered;
    use futures::{StreamExt, poll};
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;

    #[tokio::test]
    async fn who_waits_for_a_store_is_woken_though_others_look_at_it() {
        let (store, mut writer) = reflector::store::<Readable<Backup>>();
        // Each future in here is polled when it was woken, and only then.
        let mut waiting: FuturesUnordered<_> = [until_read(&store)].into_iter().collect();
        assert!(poll!(waiting.next()).is_pending());
        assert!(read(&store).is_none());
        writer.apply_watcher_event(&Event::InitDone);
        tokio::time::timeout(Duration::from_secs(10), waiting.next())
            .await
            .unwrap();
    }
}
