//! Takes the times of managed fields out of the answers to single requests.
//!
//! Whoever may patch an object may store a time there that Go reads and our types do not. Then a Secret, a Job or a namespace
//! could not be read, and a write of ours would be taken for one that failed, although it was done. What the API server
//! answers to a list or a watch is not touched: [`lenient`](super::lenient) reads that.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::value::{RawValue, to_raw_value};
use tower::{BoxError, Layer, Service};

use super::timed;

/// The entries that are kept begin so: what we wrote last to a Secret is found there.
const OURS: &str = "db-operator";

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct ReplyLayer;

impl<S> Layer<S> for ReplyLayer {
    type Service = Reply<S>;

    fn layer(&self, inner: S) -> Reply<S> {
        Reply { inner }
    }
}

/// See [`ReplyLayer`].
#[derive(Clone, Debug)]
pub(super) struct Reply<S> {
    inner: S,
}

/// An answer that may have been changed.
type Body = UnsyncBoxBody<Bytes, BoxError>;

impl<S, In, Out> Service<Request<In>> for Reply<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    Out: http_body::Body<Data = Bytes> + Send + 'static,
    Out::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let verb = timed::verb(request.method(), request.uri());
        let single = matches!(verb, "get" | "create" | "update" | "patch" | "delete");
        let answer = self.inner.call(request);
        Box::pin(async move {
            let (mut head, body) = answer.await.map_err(Into::into)?.into_parts();
            let is_json = head
                .headers
                .get(CONTENT_TYPE)
                .and_then(|kind| kind.to_str().ok())
                .is_some_and(|kind| kind.starts_with("application/json"));
            if !(single && is_json) {
                let body = body.map_err(Into::into).boxed_unsync();
                return Ok(Response::from_parts(head, body));
            }
            let text = body.collect().await.map_err(Into::into)?.to_bytes();
            let text = match without_times(&text) {
                Some(shorter) => {
                    head.headers.remove(CONTENT_LENGTH);
                    Bytes::from(shorter)
                }
                None => text,
            };
            Ok(Response::from_parts(head, whole(text)))
        })
    }
}

fn whole(text: Bytes) -> Body {
    Full::new(text)
        .map_err(|never| match never {})
        .boxed_unsync()
}

type Fields<'a> = BTreeMap<String, Cow<'a, RawValue>>;

/// The object with nothing but our own managed fields, and without their times; `None` if it has no managed fields.
fn without_times(object: &[u8]) -> Option<Vec<u8>> {
    let mut object: Fields<'_> = fields(object)?;
    let text = object.remove("metadata")?;
    let mut metadata: Fields<'_> = fields(text.get().as_bytes())?;
    let entries = metadata.remove("managedFields")?;
    let kept: Vec<Fields<'_>> = serde_json::from_str::<Vec<&RawValue>>(entries.get())
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| fields(entry.get().as_bytes()))
        .filter(is_ours)
        .map(|mut entry| {
            entry.remove("time");
            entry
        })
        .collect();
    if !kept.is_empty() {
        metadata.insert(
            "managedFields".to_owned(),
            Cow::Owned(to_raw_value(&kept).ok()?),
        );
    }
    object.insert(
        "metadata".to_owned(),
        Cow::Owned(to_raw_value(&metadata).ok()?),
    );
    serde_json::to_vec(&object).ok()
}

fn fields(text: &[u8]) -> Option<Fields<'_>> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(text).ok()?;
    let borrowed = fields.into_iter();
    Some(
        borrowed
            .map(|(name, text)| (name, Cow::Borrowed(text)))
            .collect(),
    )
}

fn is_ours(entry: &Fields<'_>) -> bool {
    let manager = entry.get("manager");
    manager
        .and_then(|text| serde_json::from_str::<String>(text.get()).ok())
        .is_some_and(|manager| manager.starts_with(OURS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Secret;
    use kube::ResourceExt;
    use serde_json::{Value, json};

    fn secret() -> Value {
        let entry = |manager: &str| {
            json!({
                "manager": manager, "operation": "Apply", "time": "9999-12-31T23:59:59Z",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:password": {}}},
            })
        };
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "a", "managedFields": [entry("kubectl"), entry("db-operator-secret")]},
            "data": {"password": "eA=="},
        })
    }

    #[test]
    fn an_object_with_such_a_time_is_read_and_keeps_what_we_wrote() {
        let text = secret().to_string();
        serde_json::from_str::<Secret>(&text).unwrap_err();
        let shorter = without_times(text.as_bytes()).unwrap();
        let secret: Secret = serde_json::from_slice(&shorter).unwrap();
        let managers: Vec<_> = secret
            .managed_fields()
            .iter()
            .map(|entry| (entry.manager.as_deref(), entry.fields_v1.is_some()))
            .collect();
        assert_eq!(managers, [(Some("db-operator-secret"), true)]);
        assert_eq!(secret.data.unwrap()["password"].0, b"x");
    }

    #[test]
    fn what_has_no_managed_fields_stays_as_it_is() {
        for text in [
            r#"{"kind":"Status","metadata":{},"code":404}"#,
            r#"{"metadata":5}"#,
            "[]",
            "not JSON",
            "",
        ] {
            assert_eq!(without_times(text.as_bytes()), None, "{text}");
        }
        // Whatever stands there: it is taken away.
        for odd in [json!(7), json!([5, {"manager": 3}]), json!({"a": 1})] {
            let text = json!({"metadata": {"name": "a", "managedFields": odd}}).to_string();
            let shorter = without_times(text.as_bytes()).unwrap();
            let object: Value = serde_json::from_slice(&shorter).unwrap();
            assert_eq!(object, json!({"metadata": {"name": "a"}}), "{text}");
        }
    }

    async fn answered(method: &str, uri: &str) -> Value {
        let inner = tower::service_fn(|_: Request<()>| async {
            let answer = Response::builder().header(CONTENT_TYPE, "application/json");
            let body = whole(secret().to_string().into());
            Ok::<_, BoxError>(answer.body(body).unwrap())
        });
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let answer = ReplyLayer.layer(inner).call(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn answers_to_single_requests_alone_are_changed() {
        let one = "/api/v1/namespaces/n/secrets/a";
        for (method, uri) in [
            ("GET", one),
            ("PATCH", one),
            ("DELETE", one),
            ("POST", "/api/v1/namespaces/n/secrets"),
        ] {
            let answer = answered(method, uri).await;
            let kept = &answer["metadata"]["managedFields"];
            assert_eq!(kept.as_array().unwrap().len(), 1, "{method}");
            assert!(kept[0]["time"].is_null(), "{method}");
        }
        for uri in ["/api/v1/pods", "/api/v1/pods?watch=true"] {
            assert_eq!(answered("GET", uri).await, secret(), "{uri}");
        }
    }
}
