//! Makes the lease's writes conditional.

use std::sync::Arc;

use futures::FutureExt;
use http::{Method, Request};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The version the Lease must still have for the next write to be accepted.
///
/// `kube-leader-election` sends its merge patches without one, so two candidates that saw the same
/// expired lease would both believe that they got it. A merge patch with `metadata.resourceVersion`
/// is answered 409 where the object has changed. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Precondition {
    version: Arc<Mutex<Option<String>>>,
}

impl Precondition {
    /// Sets the version that the following patches demand; `None` demands nothing.
    pub fn expect(&self, version: Option<String>) {
        *self.version.lock() = version;
    }

    /// Whether patches demand a version.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.version.lock().is_some()
    }

    /// Adds the demand to a request, if it is a patch.
    pub fn apply(&self, request: Request<Body>) -> Request<Body> {
        let version = self.version.lock().clone();
        match (request.method(), version) {
            (&Method::PATCH, Some(version)) => {
                let (head, body) = request.into_parts();
                let body = demand(body, &version);
                Request::from_parts(head, body)
            }
            _ => request,
        }
    }
}

/// The same patch with the version in it. A body that is not a complete JSON object is none of the
/// lease's patches; it is sent on as empty, which the API server refuses.
fn demand(body: Body, version: &str) -> Body {
    let patch = body
        .collect_bytes()
        .now_or_never()
        .and_then(Result::ok)
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    match patch {
        Some(Value::Object(mut patch)) => {
            let metadata = patch.entry("metadata").or_insert_with(|| json!({}));
            if let Value::Object(metadata) = metadata {
                metadata.insert("resourceVersion".to_owned(), json!(version));
            }
            Body::from(Value::Object(patch).to_string().into_bytes())
        }
        Some(_) | None => Body::empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(precondition: &Precondition, method: Method, body: &Value) -> Value {
        let request = Request::builder()
            .method(method)
            .body(Body::from(body.to_string().into_bytes()))
            .unwrap();
        let body = precondition.apply(request).into_body();
        let bytes = body.collect_bytes().now_or_never().unwrap().unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn patches_demand_the_version_seen() {
        let precondition = Precondition::default();
        let patch = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
        assert_eq!(sent(&precondition, Method::PATCH, &patch), patch);

        precondition.clone().expect(Some("42".to_owned()));
        assert_eq!(
            sent(&precondition, Method::PATCH, &patch),
            json!({"metadata": {"name": "l", "resourceVersion": "42"}, "spec": {"holderIdentity": "a"}})
        );
        assert_eq!(
            sent(&precondition, Method::PATCH, &json!({"spec": {}})),
            json!({"metadata": {"resourceVersion": "42"}, "spec": {}})
        );
        assert_eq!(sent(&precondition, Method::POST, &patch), patch);
    }
}
