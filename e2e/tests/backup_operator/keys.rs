//! Keys as a pod gets them from where it runs (EKS pod identity, ECS): for an hour or less, and then others.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use e2e::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Less than the operator wants to be left of a signature, so that it asks for others as soon as it may.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(14);

/// Who asks has to show this, which lies in a file.
const AUTHORIZATION: &str = "canary-of-the-pods-identity";

/// Gives keys out, each time with another session token.
pub struct Giver {
    address: std::net::SocketAddr,
    authorization: PathBuf,
    given: Arc<AtomicU32>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Giver {
    pub async fn start(folder: &Path) -> Self {
        let authorization = folder.join("authorization");
        std::fs::write(&authorization, AUTHORIZATION).unwrap();
        let given = Arc::new(AtomicU32::new(0));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/keys", routing::get(give))
            .with_state(Arc::clone(&given));
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            authorization,
            given,
            task,
        }
    }

    /// What the kubelet of EKS sets in a pod.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            (
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                format!("http://{}/keys", self.address),
            ),
            (
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                self.authorization.display().to_string(),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// How many were given out.
    pub fn given(&self) -> u32 {
        self.given.load(Ordering::SeqCst)
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn give(State(given): State<Arc<AtomicU32>>, headers: HeaderMap) -> Response {
    let shown = headers.get(header::AUTHORIZATION);
    if shown.is_none_or(|shown| shown != AUTHORIZATION) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let number = given.fetch_add(1, Ordering::SeqCst) + 1;
    let keys = json!({
        "AccessKeyId": ACCESS_KEY_ID, "SecretAccessKey": SECRET_ACCESS_KEY,
        "Token": format!("session-{number}"), "Expiration": (Timestamp::now() + GOOD_FOR).to_string(),
    });
    keys.to_string().into_response()
}
