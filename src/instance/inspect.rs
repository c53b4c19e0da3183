//! The act `Inspect`: ask the server what it is, and have its databases compared with what they should be.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::observe::Observation;
use super::pass::Pass;
use super::{observe, status, transition};
use crate::api::InstanceReason;
use crate::controller::trigger::Surveyed;
use crate::controller::{Context, Error};
use crate::metrics::Metrics;
use crate::provider::{Inspection, Provider, ProviderError};
use crate::server::access::Access;
use crate::server::breaker::Breaker;
use crate::server::connections::Answer;
use crate::server::refusal::SpecFingerprint;
use crate::server::{self, Server, ServerError};

/// Asks the server, and notes what it said in `seen`. The first inspection of a server makes the operator's own database
/// there. Server required.
pub(super) async fn inspect(pass: &Pass<'_>, seen: &mut Observation) {
    seen.facts.asked = true;
    if let observe::Way::Complete(access) = &seen.way {
        let access = Access::clone(access);
        let (answer, server) = ask(pass, access, seen.known.answer.take()).await;
        seen.known.answer = Some(answer);
        seen.known.fresh = server;
    }
}

/// What the server says, and the server if it may be used. `before` is what it said last.
async fn ask(
    pass: &Pass<'_>,
    access: Access,
    before: Option<Answer>,
) -> (Answer, Option<Arc<Server>>) {
    let (context, name) = (pass.context, pass.name());
    let connections = &context.connections;
    let ca = access.ca.clone();
    let (provider, breaker) = connections.open(&name, access, context.fence()).await;
    let (fingerprint, now) = (SpecFingerprint::of(&pass.object), Instant::now());
    let acknowledged = transition::acknowledged(&pass.object);
    let mut status = pass.next_status();
    provider.expect(transition::expected(acknowledged, &status));
    match question(&name, provider.as_ref(), &breaker, &context.metrics).await {
        Ok(found) => {
            let finding = transition::inspected(&found, acknowledged, &mut status);
            let answer = Answer::Inspected(found.clone());
            connections.note(&name, answer.clone(), &finding, fingerprint, now);
            // What was acknowledged is known by now, or waits for the next inspection.
            provider.expect(transition::expected(None, &status));
            if finding.0 != InstanceReason::Connected {
                connections.withdraw(&name);
                return (answer, None);
            }
            let server = connections.hand_out(&name, &found, ca, &context.metrics);
            survey(&name, Arc::clone(&server), context).await;
            (answer, Some(server))
        }
        Err(ServerError::Failed { source, .. }) => {
            if source.ends_process() {
                context.end_superseded(&source);
            }
            let finding = status::of_failure(&source);
            let answer = Answer::Failed(finding.clone());
            connections.note(&name, answer.clone(), &finding, fingerprint, now);
            (answer, None)
        }
        Err(ServerError::Paused { .. }) => {
            let finding = transition::paused(before.as_ref(), acknowledged, &status);
            let answer = Answer::Failed(finding);
            connections.note_pause(&name, answer.clone());
            (answer, None)
        }
    }
}

async fn question(
    name: &str,
    provider: &dyn Provider,
    breaker: &Mutex<Breaker>,
    metrics: &Metrics,
) -> Result<Inspection, ServerError> {
    fn inspect(provider: &dyn Provider) -> BoxFuture<'_, Result<Inspection, ProviderError>> {
        provider.inspect()
    }
    server::ask(name, provider, breaker, metrics, "inspect", inspect).await
}

/// One catalog query for all databases of a server; their controller looks at each one that differs from it.
async fn survey(instance: &str, server: Arc<Server>, context: &Context) {
    let about = ("Survey", String::new(), instance.to_owned());
    match server.take_survey().await {
        Ok(survey) => {
            context.failure_log.worked(&about);
            context.triggers.surveys.send(Surveyed {
                instance: instance.to_owned(),
                server,
                survey,
            });
        }
        // The databases ask for themselves then.
        Err(error) => {
            let error = Error::Server(error);
            context.failure_log.failed(&about, error.reason(), &error);
        }
    }
}
