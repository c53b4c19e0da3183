//! What pods said that are gone by now. An evicted pod ends and is deleted in one go, which can be faster than the next
//! look at its backup.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;

use super::pod::has_ended;

/// How many are kept: far more than end between two looks.
const KEPT: usize = 64;

/// The pods that ended before they were deleted, the latest last.
#[derive(Default)]
pub struct LastWords(Mutex<VecDeque<Pod>>);

impl LastWords {
    /// Hears what the watch of pods says. One that was deleted while it ran said nothing.
    pub fn hear(&self, event: &Event<Pod>) {
        let Event::Delete(pod) = event else {
            return;
        };
        if !has_ended(pod) {
            return;
        }
        let mut pods = self.lock();
        if pods.len() == KEPT {
            pods.pop_front();
        }
        pods.push_back(pod.clone());
    }

    /// The latest of those that are wanted.
    pub fn find(&self, wanted: impl Fn(&Pod) -> bool) -> Option<Pod> {
        self.lock().iter().rev().find(|pod| wanted(pod)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Pod>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::ResourceExt;
    use serde_json::json;

    fn pod(name: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name}, "status": {"phase": phase}}))
            .unwrap()
    }

    #[test]
    fn only_what_ended_before_it_was_deleted_is_remembered() {
        let words = LastWords::default();
        words.hear(&Event::Apply(pod("lives", "Failed")));
        words.hear(&Event::Delete(pod("forced", "Running")));
        assert!(words.find(|_| true).is_none());
        words.hear(&Event::Delete(pod("evicted", "Failed")));
        words.hear(&Event::Delete(pod("other", "Succeeded")));
        let found = words.find(|pod| pod.name_any() == "evicted").unwrap();
        assert!(has_ended(&found));
    }

    #[test]
    fn few_are_kept() {
        let words = LastWords::default();
        for number in 0..=KEPT {
            words.hear(&Event::Delete(pod(&number.to_string(), "Failed")));
        }
        assert_eq!(words.lock().len(), KEPT);
        assert!(words.find(|pod| pod.name_any() == "0").is_none());
    }
}
