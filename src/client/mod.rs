//! The clients of the Kubernetes API.
//!
//! Neither retries by itself. Retrying is left to the caller, who knows whether that is
//! safe: a repeated create would be answered that its own object already exists.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::util::MapRequestLayer;

mod error;
mod led;
pub mod lenient;
mod reply;
mod timed;

use crate::leader::{Leadership, Precondition};
use crate::metrics::Metrics;
pub use error::ApiError;
use led::LedLayer;
pub use led::NotLeading;
use reply::ReplyLayer;
use timed::TimedLayer;

/// The longest that a request may take until its answer is there. Of a list or a watch it is the beginning that counts.
const LIMIT: Duration = Duration::from_secs(15);

/// Finds the API server, as kubectl or a pod does.
pub async fn infer() -> Result<Config, kube::config::InferConfigError> {
    let mut config = Config::infer().await?;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(config)
}

/// The client for everything that only the leader does: it sends nothing once the lease ran out.
pub fn for_leader(
    config: Config,
    leadership: Leadership,
    metrics: &Metrics,
) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?
        .with_layer(&ReplyLayer)
        .with_layer(&TimedLayer::new(LIMIT, metrics.clone()))
        .with_layer(&LedLayer::new(leadership))
        .build())
}

/// The client for the lease: its writes carry `precondition`. A request, and making a connection, may take up to `limit`;
/// whoever asks bounds them by what is left of the lease, too.
pub fn for_lease(
    mut config: Config,
    precondition: Precondition,
    limit: Duration,
    metrics: &Metrics,
) -> Result<Client, kube::Error> {
    let conditional = MapRequestLayer::new(move |request| precondition.apply(request));
    config.connect_timeout = Some(limit);
    Ok(ClientBuilder::try_from(config)?
        .with_layer(&TimedLayer::new(limit, metrics.clone()))
        .with_layer(&conditional)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;

    #[tokio::test]
    async fn nothing_is_sent_without_leading() {
        // Nobody listens there: a request that was sent would end in another error.
        let config = Config::new(http::Uri::from_static("http://127.0.0.1:1"));
        let client = for_leader(config, Leadership::new(), &Metrics::new()).unwrap();
        let error = Api::<Namespace>::all(client).get("x").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("ServiceError: {NotLeading}"),
            "{error:?}"
        );
    }
}
