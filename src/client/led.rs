//! Sends requests only while this process leads.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tower::{BoxError, Layer, Service};

use crate::leader::Leadership;

/// Refuses what only a leader may do.
#[derive(Debug, thiserror::Error)]
#[error("this process does not lead any more")]
pub struct NotLeading;

/// Asks the clock before a request begins, and again before each step of it until its answer begins: one that was
/// waiting for its connection when the process was frozen is not sent when it wakes up.
#[derive(Clone, Debug)]
pub(super) struct LedLayer(Leadership);

impl LedLayer {
    pub(super) fn new(leadership: Leadership) -> Self {
        Self(leadership)
    }
}

impl<S> Layer<S> for LedLayer {
    type Service = Led<S>;

    fn layer(&self, inner: S) -> Led<S> {
        Led {
            inner,
            leadership: self.0.clone(),
        }
    }
}

/// See [`LedLayer`].
#[derive(Clone, Debug)]
pub(super) struct Led<S> {
    inner: S,
    leadership: Leadership,
}

impl<S, In, Out> Service<Request<In>> for Led<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = Response<Out>;
    type Error = BoxError;
    type Future = Answer<Out>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<In>) -> Answer<Out> {
        let answer = self.leadership.is_held().then(|| {
            let answer = self.inner.call(request);
            let boxed: BoxFuture<'static, _> =
                Box::pin(async move { answer.await.map_err(Into::into) });
            boxed
        });
        Answer {
            answer,
            leadership: self.leadership.clone(),
        }
    }
}

/// The answer, as long as this process leads.
pub(super) struct Answer<Out> {
    /// Dropped, and with it what of the request was not sent yet, once this process does not lead.
    answer: Option<BoxFuture<'static, Result<Response<Out>, BoxError>>>,
    leadership: Leadership,
}

impl<Out> Future for Answer<Out> {
    type Output = Result<Response<Out>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.leadership.is_held() {
            self.answer = None;
        }
        match &mut self.answer {
            Some(answer) => answer.as_mut().poll(context),
            None => Poll::Ready(Err(NotLeading.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use futures::FutureExt;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_request_that_waits_is_not_sent_once_the_lease_ran_out() {
        let leadership = Leadership::new();
        leadership.extend(Instant::now(), Duration::from_secs(60));
        let sent = Arc::new(AtomicBool::new(false));
        let (connected, connection) = oneshot::channel::<()>();
        let mut waiting = Some((Arc::clone(&sent), connection));
        let inner = tower::service_fn(move |_: Request<()>| {
            let (sent, connection) = waiting.take().unwrap();
            async move {
                connection.await.unwrap();
                sent.store(true, Ordering::SeqCst);
                Ok::<_, BoxError>(Response::new(()))
            }
        });
        let mut client = LedLayer::new(leadership.clone()).layer(inner);
        let mut answer = client.call(Request::new(()));
        assert!((&mut answer).now_or_never().is_none());

        leadership.end();
        connected.send(()).unwrap();
        let error = answer.await.unwrap_err();
        assert!(error.is::<NotLeading>(), "{error}");
        assert!(!sent.load(Ordering::SeqCst));
    }
}
