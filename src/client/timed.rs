//! Times requests out, and measures them.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use tower::{BoxError, Layer, Service};

use crate::metrics::Metrics;
use crate::metrics::labels::ApiLabels;

/// Gives up on requests whose answer does not begin in time, and counts all of them.
#[derive(Clone, Debug)]
pub(super) struct TimedLayer {
    limit: Duration,
    metrics: Metrics,
}

impl TimedLayer {
    pub(super) fn new(limit: Duration, metrics: Metrics) -> Self {
        Self { limit, metrics }
    }
}

impl<S> Layer<S> for TimedLayer {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed {
            inner,
            layer: self.clone(),
        }
    }
}

/// See [`TimedLayer`].
#[derive(Clone, Debug)]
pub(super) struct Timed<S> {
    inner: S,
    layer: TimedLayer,
}

/// No answer came in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server gave no answer within {0:?}")]
struct NoAnswer(Duration);

impl<S, In, Out> Service<Request<In>> for Timed<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = Response<Out>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Out>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let verb = verb(request.method(), request.uri());
        let resource = resource(request.uri().path());
        let TimedLayer { limit, metrics } = self.layer.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let started = Instant::now();
            let answer = match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(BoxError::from(NoAnswer(limit))),
            };
            let code = match &answer {
                Ok(response) => response.status().as_str().to_owned(),
                Err(_) => "error".to_owned(),
            };
            metrics
                .api_seconds
                .get_or_create(&ApiLabels {
                    verb,
                    resource,
                    code,
                })
                .observe(started.elapsed().as_secs_f64());
            answer
        })
    }
}

/// The API's verb of a request. A GET without a name is a list, which the metrics do not tell from a
/// get: the resource's path does.
pub(super) fn verb(method: &Method, uri: &Uri) -> &'static str {
    let watches = || {
        uri.query()
            .is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"))
    };
    match *method {
        Method::GET if watches() => "watch",
        Method::GET if !is_named(uri.path()) => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

/// The parts of a path behind group, version and namespace: resource, name, subresource.
fn parts(path: &str) -> Vec<&str> {
    let mut parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let prefix = match parts.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        Some(_) | None => 0,
    };
    parts.drain(..prefix.min(parts.len()));
    if parts.len() > 2 && parts[0] == "namespaces" {
        parts.drain(..2);
    }
    parts
}

fn is_named(path: &str) -> bool {
    parts(path).len() > 1
}

fn resource(path: &str) -> String {
    match parts(path)[..] {
        [] => "other".to_owned(),
        [resource] | [resource, _] => resource.to_owned(),
        [resource, _, subresource, ..] => format!("{resource}/{subresource}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_resource() {
        for (path, expected) in [
            ("/api/v1/namespaces/a/secrets/s", "secrets"),
            ("/api/v1/namespaces/kube-system", "namespaces"),
            ("/api/v1/namespaces", "namespaces"),
            ("/apis/db-operator.dev/v1alpha1/databases", "databases"),
            (
                "/apis/db-operator.dev/v1alpha1/namespaces/a/databases/d/status",
                "databases/status",
            ),
            ("/", "other"),
        ] {
            assert_eq!(resource(path), expected, "{path}");
        }
    }

    #[test]
    fn requests_have_the_verbs_of_rbac() {
        let get = |uri: &'static str| verb(&Method::GET, &Uri::from_static(uri));
        assert_eq!(get("/api/v1/namespaces/a/secrets/s"), "get");
        assert_eq!(get("/api/v1/namespaces/a/secrets"), "list");
        assert_eq!(get("/apis/g/v1/things?limit=1&watch=true"), "watch");
        assert_eq!(
            verb(&Method::POST, &Uri::from_static("/api/v1/x")),
            "create"
        );
    }
}
