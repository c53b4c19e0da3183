//! One server with a bucket, and short ways to what the tests do all the time.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use db_operator::agent::protocol::result::{Done, Part, digest};
use db_operator::agent::protocol::signed_parts::SignedParts;
use db_operator::agent::protocol::task::Flavour;
use db_operator::api::destination::S3;
use db_operator::store::{
    BackupId, Keys, Manifest, Restore, SourceServer, Store, StoreConfig, UID_METADATA,
};
use e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use jiff::Timestamp;
use kube::{Client, Config};
use md5::{Digest, Md5};

pub(crate) const BUCKET: &str = "backups";
pub(crate) const UID: &str = "0f1e2d3c-aaaa-bbbb-cccc-000000000000";
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// What S3 wants of every part but the last.
pub(crate) const SMALLEST_PART: usize = 5 << 20;

/// A server with an empty bucket.
pub(crate) fn server() -> S3Server {
    let server = S3Server::start().unwrap();
    server.make_bucket(BUCKET).unwrap();
    server
}

/// Runs a test on this thread, which the servers' processes end with.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

pub(crate) fn keys() -> Keys {
    Keys::Static {
        access_key_id: ACCESS_KEY_ID.to_owned(),
        secret_access_key: SECRET_ACCESS_KEY.into(),
        session_token: None,
    }
}

/// The store as the operator opens it.
pub(crate) async fn store_of(s3: S3, ca: Option<&str>) -> Store {
    let ca = ca.map(|ca| ca.as_bytes().to_vec());
    Store::open(StoreConfig {
        s3,
        keys: keys(),
        ca,
    })
    .await
    .unwrap()
}

pub(crate) async fn store(server: &S3Server) -> Store {
    let ca = server.certificates.as_ref().map(|all| all.ca.as_str());
    store_of(server.s3(BUCKET).unwrap(), ca).await
}

/// A client without keys: the backup pod's.
pub(crate) fn anybody(server: &S3Server, endpoint: &str) -> Client {
    let mut config = Config::new(endpoint.parse().unwrap());
    if let Some(certificates) = &server.certificates {
        // Between the lines of PEM is the certificate.
        let der: String = certificates
            .ca
            .lines()
            .filter(|line| !line.starts_with("---"))
            .collect();
        config.root_cert = Some(vec![BASE64_STANDARD.decode(der).unwrap()]);
    }
    Client::try_from(config).unwrap()
}

/// Sends a signed request; its status, and the ETag without quotes.
pub(crate) async fn send(
    client: &Client,
    method: &str,
    url: &str,
    body: &[u8],
    content_md5: Option<&str>,
) -> (u16, String) {
    let (_, rest) = url.split_once("://").unwrap();
    let (_, path) = rest.split_once('/').unwrap();
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("/{path}"));
    if let Some(content_md5) = content_md5 {
        request = request.header("content-md5", content_md5);
    }
    let request = request
        .body(kube::client::Body::from(body.to_vec()))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    let etag = answer.headers().get("etag");
    let etag = etag.map_or("", |etag| etag.to_str().unwrap());
    (answer.status().as_u16(), etag.trim_matches('"').to_owned())
}

pub(crate) fn md5_of(body: &[u8]) -> String {
    BASE64_STANDARD.encode(Md5::digest(body))
}

/// Begins an upload as the operator does.
pub(crate) async fn begin(store: &Store, key: &str) -> String {
    let metadata = BTreeMap::from([(UID_METADATA.to_owned(), UID.to_owned())]);
    store
        .begin(key, &metadata, "application/zstd")
        .await
        .unwrap()
}

/// Uploads as the backup pod does: what it reports is what it saw.
pub(crate) async fn upload(
    store: &Store,
    client: &Client,
    key: &str,
    upload_id: &str,
    parts: &[Vec<u8>],
) -> Done {
    let count = u32::try_from(parts.len()).unwrap();
    let batch = store.sign(key, upload_id, 1, count, HOUR).await.unwrap();
    let window = SignedParts {
        batches: vec![batch],
    };
    let mut seen = Vec::new();
    for (number, body) in (1..).zip(parts) {
        let url = window.part(number).unwrap().url;
        let (status, etag) = send(client, "PUT", &url, body, Some(&md5_of(body))).await;
        assert_eq!(status, 200, "part {number}");
        let size = body.len() as u64;
        seen.push(Part { number, size, etag });
    }
    Done {
        parts: count,
        bytes: seen.iter().map(|part| part.size).sum(),
        sha256: "00".repeat(32),
        parts_digest: digest(&seen),
        dumped_bytes: 1,
        tool_version: "pg_dump (PostgreSQL) 17.6".to_owned(),
        totals: None,
        warnings: Vec::new(),
    }
}

/// Two parts of an object.
pub(crate) fn two_parts() -> [Vec<u8>; 2] {
    [vec![7; SMALLEST_PART], b"the end".to_vec()]
}

pub(crate) fn manifest(store: &Store, key: &str, done: &Done) -> Manifest {
    let destination = store.destination(key);
    Manifest {
        version: Manifest::VERSION,
        restore: Restore::new(Flavour::Postgresql, &destination, None, "orders", None),
        object: destination,
        bytes: done.bytes,
        sha256: done.sha256.clone(),
        parts: done.parts,
        dumped_bytes: done.dumped_bytes,
        source: SourceServer {
            instance: "shared".to_owned(),
            database: "orders".to_owned(),
            server_version: "17.6".to_owned(),
            flavour: Flavour::Postgresql,
            series: None,
            user: None,
        },
        contents: None,
        totals: None,
        warnings: Vec::new(),
        tool_version: done.tool_version.clone(),
        backup: BackupId {
            namespace: "team-a".to_owned(),
            name: "nightly".to_owned(),
            uid: UID.to_owned(),
        },
        database_object: "orders".to_owned(),
        cluster_id: "c1".to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::now(),
    }
}
