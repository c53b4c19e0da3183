//! How long the operator's passes hold the threads that all of them share, as its metrics tell.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Request;
use kube::{Api, Client, ResourceExt};

use crate::operator::DEPLOYMENT;
use crate::servers::OPERATOR_NAMESPACE;

const METRIC: &str = "db_operator_longest_poll_seconds";
/// The longest that is allowed, as the histogram has it.
const ALLOWED: &str = "le=\"0.01\"";

/// How many passes there were since the operator began, and how many of them held a thread for more than 10 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polls {
    /// All passes.
    pub passes: u64,
    /// Those that held a thread for too long.
    pub long: u64,
}

impl Polls {
    /// Those of the leader. Nobody leads only while the lease changes hands.
    pub async fn of_the_leader(client: &Client) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        let named = ListParams::default().labels(&format!("app.kubernetes.io/name={DEPLOYMENT}"));
        for pod in pods.list(&named).await.unwrap() {
            let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods");
            let name = format!("{}:8080", pod.name_any());
            let request = Request::new(path).get_subresource("proxy/metrics", &name);
            // One that is just going answers no more.
            let page = client.request_text(request.unwrap()).await;
            let page = page.unwrap_or_default();
            if page.contains("\ndb_operator_leader 1\n") {
                return Self::of(&page);
            }
        }
        panic!("no replica leads");
    }

    fn of(page: &str) -> Self {
        let sum = |begin: &str, with: &str| -> u64 {
            let lines = page.lines().filter(|line| line.starts_with(begin));
            let values = lines.filter(|line| line.contains(with)).map(|line| {
                let value = line.rsplit(' ').next().unwrap();
                value.parse::<u64>().unwrap()
            });
            values.sum()
        };
        let passes = sum(&format!("{METRIC}_count"), "");
        let short = sum(&format!("{METRIC}_bucket"), ALLOWED);
        Self {
            passes,
            long: passes - short,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use db_operator::metrics::Metrics;
    use std::time::Duration;

    #[test]
    fn the_metric_is_the_operators() {
        let metrics = Metrics::new();
        for milliseconds in [1, 10, 11, 2000] {
            metrics.polled("Database", Duration::from_millis(milliseconds));
        }
        metrics.polled("Backup", Duration::from_millis(30));
        let polls = Polls::of(&metrics.render().unwrap());
        assert_eq!((polls.passes, polls.long), (5, 3));
    }
}
