//! What pods said that are gone by now. An evicted pod ends and is deleted in one go, which can be faster than the next
//! look at its backup.

use std::collections::VecDeque;

use kube::runtime::watcher::Event;
use parking_lot::{Mutex, MutexGuard};

use super::objects::{Pod, controller_uid};
use super::pod::has_ended;

/// How many are kept: far more than end between two looks.
const KEPT: usize = 64;
/// How many are kept of one namespace: a team that deletes many pods takes nobody else's words away.
const KEPT_OF_ONE: usize = 8;

/// The pods that ended before they were deleted, the latest last.
#[derive(Default)]
pub struct EndedPods(Mutex<VecDeque<Pod>>);

impl EndedPods {
    /// Hears what the watch of pods says. One that was deleted while it ran said nothing.
    pub fn hear(&self, event: &Event<Pod>) {
        let Event::Delete(pod) = event else {
            return;
        };
        if !has_ended(pod) {
            return;
        }
        let mut pods = self.lock();
        let namespace = &pod.metadata.namespace;
        let neighbours = |other: &Pod| other.metadata.namespace == *namespace;
        if pods.iter().filter(|other| neighbours(other)).count() == KEPT_OF_ONE
            && let Some(first) = pods.iter().position(neighbours)
        {
            pods.remove(first);
        }
        if pods.len() == KEPT {
            pods.pop_front();
        }
        pods.push_back(pod.clone());
    }

    /// The latest pod of a Job.
    pub fn find(&self, job_uid: &str) -> Option<Pod> {
        let pods = self.lock();
        let mut latest = pods.iter().rev();
        latest
            .find(|pod| controller_uid(*pod) == Some(job_uid))
            .cloned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Pod>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(namespace: &str, job: &str, phase: &str) -> Pod {
        let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": job, "controller": true});
        serde_json::from_value(json!({
            "metadata": {"name": job, "namespace": namespace, "ownerReferences": [owner]},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_ended_before_it_was_deleted_is_remembered() {
        let words = EndedPods::default();
        words.hear(&Event::Apply(pod("n", "lives", "Failed")));
        words.hear(&Event::Delete(pod("n", "forced", "Running")));
        assert!(words.find("lives").is_none() && words.find("forced").is_none());
        words.hear(&Event::Delete(pod("n", "evicted", "Failed")));
        words.hear(&Event::Delete(pod("n", "other", "Succeeded")));
        assert!(has_ended(&words.find("evicted").unwrap()));
    }

    #[test]
    fn few_are_kept() {
        let words = EndedPods::default();
        for number in 0..=KEPT {
            let namespace = format!("n{number}");
            words.hear(&Event::Delete(pod(
                &namespace,
                &number.to_string(),
                "Failed",
            )));
        }
        assert_eq!(words.lock().len(), KEPT);
        assert!(words.find("0").is_none());
    }

    #[test]
    fn one_namespace_takes_nobody_elses_words_away() {
        let words = EndedPods::default();
        words.hear(&Event::Delete(pod("quiet", "own", "Failed")));
        for number in 0..KEPT * 2 {
            let number = number.to_string();
            words.hear(&Event::Delete(pod("flood", &number, "Failed")));
        }
        assert!(words.find("own").is_some());
        assert_eq!(words.lock().len(), KEPT_OF_ONE + 1);
    }
}
