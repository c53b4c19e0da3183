//! The object store.

use std::fs;

use db_operator::api::{BACKUP_LABEL, Backup, BackupState};
use e2e::fault_proxy::{Call, Effect, Moment, StoreProxy};
use e2e::testing::{Server, condition, eventually, with_fixture};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::case::{BUCKET, Ground, LIMIT, all};

const MIB: u64 = 1 << 20;

/// The store does not see the request; this is the answer.
fn answered(status: u16, code: &'static str) -> (Moment, Effect) {
    (Moment::Before, Effect::AnswerAs(status, code))
}

/// Whatever happens to a part on its way, another attempt brings it there, whole.
async fn passing(ground: &Ground<'_>) {
    let case = ground.case("passing", MIB, Value::Null, Value::Null).await;
    case.proxy.plan(|call, attempt| match (call, attempt) {
        (Call::Part(1), 1) => Some(answered(500, "InternalError")),
        (Call::Part(1), 2) => Some(answered(503, "SlowDown")),
        (Call::Part(1), 3) => Some((Moment::Before, Effect::Reset)),
        (Call::Part(1), 4) => Some((Moment::After, Effect::Cut)),
        _ => None,
    });
    let backup = case.back_up(json!({})).await;
    case.completes(&backup).await;
    assert_eq!(case.proxy.asked(Call::Part(1)), 5);
    let log = case.log(&backup).await;
    assert!(log.contains("503 Service Unavailable SlowDown"), "{log}");
}

/// The store is away when the upload is to begin, when it is to end, and when the manifest is written.
async fn away(ground: &Ground<'_>) {
    let case = ground.case("away", MIB, Value::Null, Value::Null).await;
    // The operator's client tries three times each.
    case.proxy.plan(|call, attempt| match call {
        Call::Begin | Call::Parts | Call::Put if attempt <= 4 => Some(answered(503, "SlowDown")),
        Call::Head if attempt <= 2 => Some(answered(500, "InternalError")),
        _ => None,
    });
    let backup = case.back_up(json!({})).await;
    case.completes(&backup).await;
}

/// The store goes when the object is there and its manifest is not, and stays away until the Job is gone, too.
async fn away_for_longer_than_the_job(ground: &Ground<'_>) {
    let case = ground.case("longer", MIB, Value::Null, Value::Null).await;
    case.proxy
        .plan(|call, _| (call == Call::Put).then_some(answered(503, "SlowDown")));
    let backup = case.back_up(json!({})).await;
    asked(&case.proxy, Call::Put).await;
    case.proxy.plan(|_, _| Some(answered(503, "SlowDown")));
    let job = case.job(&case.read(&backup).await).await.unwrap();
    let fixture = ground.fixture;
    let jobs: Api<Job> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let now = DeleteParams::background().grace_period(0);
    jobs.delete(&job.name_any(), &now).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let mine = ListParams::default().labels(&format!("{BACKUP_LABEL}={backup}"));
    eventually("its pod is gone", LIMIT, async || {
        match pods.list(&mine).await.unwrap().items.len() {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        }
    })
    .await;
    // It was looked for once more and not found, which decides nothing.
    case.proxy.plan(|_, _| Some(answered(503, "SlowDown")));
    asked(&case.proxy, Call::Parts).await;
    let away = |found: &Backup| {
        let conditions = found.status.as_ref().map(|status| &status.conditions);
        let why = conditions.and_then(|conditions| condition(conditions, "Reconciling"));
        found.state() == Some(BackupState::BackingUp)
            && why.is_some_and(|why| why.reason == "StoreUnreachable")
    };
    fixture
        .backup_until(&backup, "waits for its store", LIMIT, away)
        .await;
    case.proxy.plan(|_, _| None);
    case.completes(&backup).await;
}

/// A part that the store calls otherwise than it told the pod.
async fn another_name(ground: &Ground<'_>) {
    let case = ground.case("etag", MIB, Value::Null, Value::Null).await;
    case.proxy.plan(|call, _| {
        let name = "\"0123456789abcdef0123456789abcdef\"";
        let named = (Moment::After, Effect::Etag(Some(name)));
        matches!(call, Call::Part(_)).then_some(named)
    });
    let backup = case.back_up(json!({})).await;
    case.fails(&backup, "UploadMismatch", &["other sizes or checksums"])
        .await;
    case.proxy.plan(|_, _| None);
    case.next_works().await;
}

/// 200, and an error in the body; then done, and the answer is lost.
async fn completion(ground: &Ground<'_>) {
    let case = ground.case("complete", MIB, Value::Null, Value::Null).await;
    case.proxy.plan(|call, attempt| match (call, attempt) {
        (Call::Complete, 1) => Some(answered(200, "InternalError")),
        (Call::Complete, 2) => Some((Moment::After, Effect::Cut)),
        _ => None,
    });
    let backup = case.back_up(json!({})).await;
    case.completes(&backup).await;
    assert_eq!(case.proxy.asked(Call::Complete), 2);
}

/// The store refuses to make an object of what it took.
async fn no_completion(ground: &Ground<'_>) {
    let case = ground.case("refusal", MIB, Value::Null, Value::Null).await;
    case.proxy
        .plan(|call, _| (call == Call::Complete).then_some(answered(400, "InvalidPart")));
    let backup = case.back_up(json!({})).await;
    case.fails(&backup, "StoreRefused", &["InvalidPart"]).await;
    case.proxy.plan(|_, _| None);
    case.next_works().await;
}

/// The bucket goes while the dump waits for a lock.
async fn no_bucket(ground: &Ground<'_>) {
    let own = Ground::new_in(ground.fixture, "gone").await;
    let case = own.case("bucket", MIB, Value::Null, Value::Null).await;
    let holder = case.hold().await;
    let backup = case.back_up(json!({})).await;
    ground.fixture.backing_up(&backup).await;
    let bucket = own.server.object_path(BUCKET, "");
    fs::remove_dir_all(&bucket).unwrap();
    holder.close().await;
    case.failed(&backup, "UploadFailed", &["NoSuchBucket"])
        .await;
    own.server.make_bucket(BUCKET).unwrap();
    let status = case.read(&backup).await.status.unwrap();
    case.leaves_nothing(&backup, &status).await;
    case.next_works().await;
}

/// The keys are not valid any more, for whatever the operator or the pod asks; then they are again.
async fn no_keys(ground: &Ground<'_>) {
    let case = ground.case("keys", MIB, Value::Null, Value::Null).await;
    let holder = case.hold().await;
    let backup = case.back_up(json!({"stallSeconds": 30})).await;
    ground.fixture.backing_up(&backup).await;
    case.proxy
        .plan(|_, _| Some(answered(403, "InvalidAccessKeyId")));
    holder.close().await;
    let status = case
        .failed(&backup, "UploadFailed", &["InvalidAccessKeyId"])
        .await;
    case.proxy.plan(|_, _| None);
    case.leaves_nothing(&backup, &status).await;
    case.next_works().await;
}

async fn asked(proxy: &StoreProxy, what: Call) {
    eventually(
        &format!("the store is asked: {what:?}"),
        LIMIT,
        async || match proxy.asked(what) {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        },
    )
    .await;
}

/// Parts grow where a store takes few.
async fn few_parts(ground: &Ground<'_>) {
    let s3 = json!({"maxParts": 5});
    let case = ground.case("few", 48 * MIB, Value::Null, s3).await;
    let backup = case.back_up(json!({})).await;
    let status = case.completes(&backup).await;
    let parts = status.upload.unwrap().parts.unwrap();
    assert!((2..=5).contains(&parts), "{parts} parts");
}

#[tokio::test]
async fn what_passes_is_overcome() {
    with_fixture(Server::Postgres, async |fixture| {
        let ground = &Ground::new(fixture).await;
        all(vec![
            Box::pin(passing(ground)),
            Box::pin(away(ground)),
            Box::pin(away_for_longer_than_the_job(ground)),
            Box::pin(completion(ground)),
            Box::pin(few_parts(ground)),
        ])
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_does_not_pass_is_told() {
    with_fixture(Server::Postgres, async |fixture| {
        let ground = &Ground::new(fixture).await;
        all(vec![
            Box::pin(another_name(ground)),
            Box::pin(no_completion(ground)),
            Box::pin(no_bucket(ground)),
            Box::pin(no_keys(ground)),
        ])
        .await;
    })
    .await;
}
