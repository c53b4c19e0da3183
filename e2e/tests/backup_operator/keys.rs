//! Keys as a process gets them from where it runs, for an hour or less, and then others: from EKS pod identity (and ECS), from
//! STS for a web identity (IRSA), from the metadata service of its node.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use e2e::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Less than the operator wants to be left of a signature, so that it asks for others as soon as it may.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(14);

/// Who asks has to show this, which lies in a file.
const PROOF: &str = "canary-of-the-pods-identity";

/// What the metadata service gives out to be shown again (IMDSv2).
const VISIT: &str = "canary-of-a-visit";

/// Where keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Identity {
    Pod,
    Web,
    Instance,
}

type Given = Arc<Mutex<BTreeMap<Identity, u32>>>;

/// Gives keys out, each time with another session token.
pub(crate) struct Giver {
    address: SocketAddr,
    proof: PathBuf,
    given: Given,
    task: JoinHandle<std::io::Result<()>>,
}

impl Giver {
    pub(crate) async fn start(folder: &Path) -> Self {
        let proof = folder.join("proof");
        std::fs::write(&proof, PROOF).unwrap();
        let given = Given::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let roles = "/latest/meta-data/iam/security-credentials/";
        let router = Router::new()
            .route("/keys", routing::get(to_a_pod))
            .route("/", routing::post(to_a_web_identity))
            .route("/latest/api/token", routing::put(visit))
            .route(roles, routing::get(async || "backups"))
            .route(&format!("{roles}backups"), routing::get(to_an_instance))
            .with_state(Arc::clone(&given));
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            proof,
            given,
            task,
        }
    }

    /// What says in a process's environment whom to ask: what EKS sets in a pod. The last is there by itself on a node.
    pub(crate) fn environment(&self, identity: Identity) -> Vec<(String, String)> {
        let here = format!("http://{}", self.address);
        let proof = self.proof.display().to_string();
        let set = match identity {
            Identity::Pod => vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{here}/keys")),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", proof),
            ],
            Identity::Web => vec![
                ("AWS_ROLE_ARN", "arn:aws:iam::1:role/backups".to_owned()),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", proof),
                ("AWS_ENDPOINT_URL_STS", here),
            ],
            Identity::Instance => vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", here)],
        };
        set.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// How many were given out.
    pub(crate) fn given(&self, identity: Identity) -> u32 {
        let given = self.given.lock();
        given.get(&identity).copied().unwrap_or_default()
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A session token, and when it ends.
fn next(given: &Given, identity: Identity) -> (String, String) {
    let mut given = given.lock();
    let number = given.entry(identity).or_default();
    *number += 1;
    let token = format!("{identity:?}-{number}");
    (token, (Timestamp::now() + GOOD_FOR).to_string())
}

async fn to_a_pod(State(given): State<Given>, headers: HeaderMap) -> Response {
    if !shows(&headers, header::AUTHORIZATION.as_str(), PROOF) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let (token, end) = next(&given, Identity::Pod);
    json!({
        "AccessKeyId": ACCESS_KEY_ID, "SecretAccessKey": SECRET_ACCESS_KEY, "Token": token, "Expiration": end,
    })
    .to_string()
    .into_response()
}

async fn to_a_web_identity(State(given): State<Given>, form: String) -> Response {
    let asks = form.contains("Action=AssumeRoleWithWebIdentity");
    if !asks || !form.contains(&format!("WebIdentityToken={PROOF}")) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (token, end) = next(&given, Identity::Web);
    format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{ACCESS_KEY_ID}</AccessKeyId>\
         <SecretAccessKey>{SECRET_ACCESS_KEY}</SecretAccessKey><SessionToken>{token}</SessionToken>\
         <Expiration>{end}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>"
    )
    .into_response()
}

async fn visit() -> Response {
    ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], VISIT).into_response()
}

async fn to_an_instance(State(given): State<Given>, headers: HeaderMap) -> Response {
    if !shows(&headers, "x-aws-ec2-metadata-token", VISIT) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let (token, end) = next(&given, Identity::Instance);
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": Timestamp::now().to_string(),
        "AccessKeyId": ACCESS_KEY_ID, "SecretAccessKey": SECRET_ACCESS_KEY, "Token": token, "Expiration": end,
    })
    .to_string()
    .into_response()
}

fn shows(headers: &HeaderMap, name: &str, what: &str) -> bool {
    headers.get(name).is_some_and(|shown| shown == what)
}
