//! Only what was uploaded becomes an object, once, whatever happens to the answers.

use std::collections::BTreeMap;
use std::time::Duration;

use db_operator::agent::protocol::result::Done;
use db_operator::store::{
    CommitError, CommitState, Committed, Manifest, Store, StoreError, UID_METADATA, commit,
    find_committed,
};
use e2e::fault_proxy::store::completes;
use e2e::fault_proxy::{Effect, Fault, Faults, Moment, S3Proxy};
use e2e::s3::{S3Server, s3_at};
use kube::Client;

use crate::fixture::{
    BUCKET, UID, anybody, begin, manifest, run, send, server, store, store_of, two_parts, upload,
};

const KEY: &str = "c1/team-a/orders/x.dump.zst";

/// An upload that is all there.
struct Uploaded {
    store: Store,
    client: Client,
    upload_id: String,
    done: Done,
    manifest: Manifest,
}

impl Uploaded {
    async fn to(store: Store, client: Client) -> Self {
        let upload_id = begin(&store, KEY).await;
        let done = upload(&store, &client, KEY, &upload_id, &two_parts()).await;
        let manifest = manifest(&store, KEY, &done);
        Self {
            store,
            client,
            upload_id,
            done,
            manifest,
        }
    }

    async fn commit(&self) -> Result<Committed, CommitError> {
        commit(
            &self.store,
            KEY,
            &self.upload_id,
            &self.done,
            &self.manifest,
        )
        .await
    }

    async fn find(&self) -> CommitState {
        let found = find_committed(&self.store, KEY, UID, &self.done);
        found.await.unwrap()
    }

    /// The object is there, whole, with its manifest, and no upload is open.
    async fn assert_committed(&self, server: &S3Server) {
        let object = self.store.head(KEY).await.unwrap().unwrap();
        assert_eq!(object.size, self.done.bytes);
        let content = std::fs::read(server.object_path(BUCKET, KEY)).unwrap();
        assert!(content == two_parts().concat(), "another content");
        let written = std::fs::read(server.object_path(BUCKET, &Manifest::key(KEY))).unwrap();
        assert_eq!(
            serde_json::from_slice::<Manifest>(&written).unwrap(),
            self.manifest
        );
        assert_eq!(self.store.uploads("").await.unwrap(), []);
    }

    /// Nothing is there, and the upload is still open.
    async fn assert_open(&self, server: &S3Server) {
        assert_eq!(self.store.head(KEY).await.unwrap(), None);
        assert!(!server.object_path(BUCKET, KEY).exists());
        assert!(!server.object_path(BUCKET, &Manifest::key(KEY)).exists());
        assert_eq!(self.store.uploads("").await.unwrap().len(), 1);
    }
}

async fn uploaded(server: &S3Server) -> Uploaded {
    Uploaded::to(store(server).await, anybody(server, &server.endpoint())).await
}

/// An upload through a proxy in which completions go wrong.
async fn faulty(server: &S3Server, faults: &Faults) -> (S3Proxy, Uploaded) {
    let proxy = S3Proxy::to(server, faults.clone(), completes)
        .await
        .unwrap();
    let endpoint = proxy.endpoint();
    let store = store_of(s3_at(&endpoint, BUCKET).unwrap(), None).await;
    let uploaded = Uploaded::to(store, anybody(server, &endpoint)).await;
    (proxy, uploaded)
}

fn at_completion(moment: Moment, effect: Effect) -> Fault {
    Fault {
        at: 1,
        moment,
        effect,
    }
}

#[test]
fn a_commit_that_is_called_again_changes_nothing() {
    let server = server();
    run(async {
        let uploaded = uploaded(&server).await;
        let first = uploaded.commit().await.unwrap();
        let before = uploaded.store.head(KEY).await.unwrap();
        assert_eq!(uploaded.commit().await.unwrap(), first);
        assert_eq!(uploaded.store.head(KEY).await.unwrap(), before);
        uploaded.assert_committed(&server).await;

        // As after a crash before the manifest was written.
        std::fs::remove_file(server.object_path(BUCKET, &Manifest::key(KEY))).unwrap();
        assert_eq!(uploaded.commit().await.unwrap(), first);
        uploaded.assert_committed(&server).await;
    });
}

#[test]
fn what_a_commit_has_left_is_found_and_not_changed() {
    let server = server();
    run(async {
        let mut uploaded = uploaded(&server).await;
        assert_eq!(uploaded.find().await, CommitState::Nothing);
        uploaded.assert_open(&server).await;

        let committed = uploaded.commit().await.unwrap();
        let found = CommitState::Committed(Box::new(uploaded.manifest.clone()));
        assert_eq!(uploaded.find().await, found);
        // A second upload of the same backup does not hide the object.
        let second = begin(&uploaded.store, KEY).await;
        assert_eq!(uploaded.find().await, found);
        uploaded.store.abort(KEY, &second).await.unwrap();

        // As after a crash before the manifest was written, or in the middle of it.
        let manifest = server.object_path(BUCKET, &Manifest::key(KEY));
        let written = std::fs::read(&manifest).unwrap();
        let without = CommitState::WithoutManifest(committed);
        for half in [Some(&written[..written.len() / 2]), None] {
            match half {
                Some(half) => std::fs::write(&manifest, half).unwrap(),
                None => std::fs::remove_file(&manifest).unwrap(),
            }
            assert_eq!(uploaded.find().await, without);
        }
        assert!(!manifest.exists());

        // An object of another size or of another backup is not this one's.
        uploaded.done.bytes += 1;
        assert_eq!(uploaded.find().await, CommitState::Nothing);
        uploaded.done.bytes -= 1;
        let another = find_committed(&uploaded.store, KEY, "another", &uploaded.done);
        assert_eq!(another.await.unwrap(), CommitState::Nothing);
        uploaded.commit().await.unwrap();
        uploaded.assert_committed(&server).await;

        let gone = store_of(server.s3("no-such-bucket").unwrap(), None).await;
        let gone = find_committed(&gone, KEY, UID, &uploaded.done);
        assert_eq!(gone.await.unwrap(), CommitState::Nothing);
    });
}

#[test]
fn what_differs_from_the_report_is_not_completed() {
    let server = server();
    run(async {
        let mut uploaded = uploaded(&server).await;
        let truth = uploaded.done.clone();
        let mut digest = truth.parts_digest.clone();
        digest.replace_range(0..1, if digest.starts_with('0') { "1" } else { "0" });
        for lie in [
            Done {
                parts: 3,
                ..truth.clone()
            },
            Done {
                bytes: truth.bytes + 1,
                ..truth.clone()
            },
            Done {
                parts_digest: digest,
                ..truth.clone()
            },
        ] {
            uploaded.done = lie;
            let error = uploaded.commit().await.unwrap_err();
            assert!(matches!(error, CommitError::Mismatch { .. }), "{error:?}");
            assert!(!error.is_retryable());
            uploaded.assert_open(&server).await;
        }

        // One part more than the pod knows of, or another content in the place of one.
        uploaded.done = truth.clone();
        let batch = uploaded
            .store
            .sign(KEY, &uploaded.upload_id, 2, 2, crate::fixture::HOUR);
        let window = db_operator::agent::protocol::signed_parts::SignedParts {
            batches: vec![batch.await.unwrap()],
        };
        for number in [3, 2] {
            let url = window.part(number).unwrap().url;
            let (status, _) = send(&uploaded.client, "PUT", &url, b"THE END", None).await;
            assert_eq!(status, 200);
            let error = uploaded.commit().await.unwrap_err();
            assert!(matches!(error, CommitError::Mismatch { .. }), "{error:?}");
            uploaded.assert_open(&server).await;
        }
    });
}

#[test]
fn a_lost_answer_to_a_completion_is_settled_by_looking() {
    let server = server();
    run(async {
        let faults = Faults::new(|| ());
        let (_proxy, uploaded) = faulty(&server, &faults).await;
        faults.arm(Some(at_completion(Moment::After, Effect::Cut)));
        uploaded.commit().await.unwrap();
        assert!(faults.happened());
        assert_eq!(faults.disarm().len(), 1, "completed more than once");
        uploaded.assert_committed(&server).await;
    });
}

#[test]
fn an_answer_to_a_completion_that_is_an_error_is_settled_by_looking() {
    let server = server();
    run(async {
        let faults = Faults::new(|| ());
        let (_proxy, uploaded) = faulty(&server, &faults).await;
        faults.arm(Some(at_completion(Moment::After, Effect::Answer(500))));
        uploaded.commit().await.unwrap();
        assert!(faults.happened());
        uploaded.assert_committed(&server).await;
    });
}

#[test]
fn a_completion_that_failed_is_not_taken_for_one_and_can_be_tried_again() {
    let server = server();
    run(async {
        let faults = Faults::new(|| ());
        let (_proxy, uploaded) = faulty(&server, &faults).await;
        for effect in [
            // 200, and the error in the body.
            Effect::Answer(200),
            Effect::Answer(500),
            Effect::Answer(503),
            Effect::Cut,
        ] {
            faults.arm(Some(at_completion(Moment::Before, effect)));
            let error = uploaded.commit().await.unwrap_err();
            assert!(faults.happened());
            assert_eq!(faults.disarm().len(), 1, "{effect:?}: completed by a retry");
            assert!(error.is_retryable(), "{effect:?}: {error:?}");
            uploaded.assert_open(&server).await;
        }
        faults.arm(Some(at_completion(Moment::Before, Effect::Answer(403))));
        let error = uploaded.commit().await.unwrap_err();
        let refused = StoreError::Refused {
            code: "AccessDenied".to_owned(),
            message: "this fault is a test".to_owned(),
            status: 403,
        };
        assert_eq!(error, CommitError::Refused(refused));
        let _ = faults.disarm();
        uploaded.assert_open(&server).await;
        uploaded.commit().await.unwrap();
        uploaded.assert_committed(&server).await;
    });
}

#[test]
fn an_object_that_is_there_is_not_given_up_for_its_manifest() {
    let server = server();
    run(async {
        let faults = Faults::new(|| ());
        let writes = |method: &http::Method, uri: &http::Uri| {
            *method == http::Method::PUT && !uri.query().unwrap_or_default().contains("uploadId")
        };
        let proxy = S3Proxy::to(&server, faults.clone(), writes).await.unwrap();
        let endpoint = proxy.endpoint();
        let store = store_of(s3_at(&endpoint, BUCKET).unwrap(), None).await;
        let uploaded = Uploaded::to(store, anybody(&server, &endpoint)).await;
        faults.arm(Some(at_completion(Moment::Before, Effect::Answer(403))));
        let error = uploaded.commit().await.unwrap_err();
        assert!(faults.happened());
        let _ = faults.disarm();
        assert!(matches!(error, CommitError::NoManifest(_)), "{error:?}");
        assert!(error.is_retryable(), "{error:?}");
        assert!(uploaded.store.head(KEY).await.unwrap().is_some());
        uploaded.commit().await.unwrap();
        uploaded.assert_committed(&server).await;
    });
}

#[test]
fn what_could_not_be_looked_at_afterwards_does_not_come_into_being() {
    let server = server();
    run(async {
        let faults = Faults::new(|| ());
        let looks = |method: &http::Method, _: &http::Uri| *method == http::Method::HEAD;
        let proxy = S3Proxy::to(&server, faults.clone(), looks).await.unwrap();
        let endpoint = proxy.endpoint();
        let store = store_of(s3_at(&endpoint, BUCKET).unwrap(), None).await;
        let uploaded = Uploaded::to(store, anybody(&server, &endpoint)).await;
        faults.arm(Some(at_completion(Moment::Before, Effect::Answer(403))));
        let error = uploaded.commit().await.unwrap_err();
        assert!(!error.is_retryable(), "{error:?}");
        assert!(faults.happened());
        let _ = faults.disarm();
        uploaded.assert_open(&server).await;
        uploaded.commit().await.unwrap();
        uploaded.assert_committed(&server).await;
    });
}

#[test]
fn a_late_answer_to_a_completion_is_waited_for() {
    let server = server();
    run(async {
        let faults = Faults::new(|| ());
        let (_proxy, uploaded) = faulty(&server, &faults).await;
        // Longer than any other request may take.
        let late = Effect::Delay(Duration::from_secs(14));
        faults.arm(Some(at_completion(Moment::After, late)));
        uploaded.commit().await.unwrap();
        assert!(faults.happened());
        uploaded.assert_committed(&server).await;
    });
}

#[test]
fn an_object_that_is_there_is_not_overwritten() {
    let server = server();
    run(async {
        let uploaded = uploaded(&server).await;
        uploaded
            .store
            .put(KEY, b"somebody else's".to_vec(), "text/plain")
            .await
            .unwrap();
        let error = uploaded.commit().await.unwrap_err();
        assert_eq!(error, CommitError::Refused(StoreError::Exists));
        let content = std::fs::read(server.object_path(BUCKET, KEY)).unwrap();
        assert_eq!(content, b"somebody else's");
        assert!(!server.object_path(BUCKET, &Manifest::key(KEY)).exists());

        // Where the store does not know conditions, the operator was told to do without.
        let mut s3 = server.s3(BUCKET).unwrap();
        s3.conditional_writes = false;
        let unconditional = Uploaded {
            store: store_of(s3, None).await,
            ..uploaded
        };
        unconditional.commit().await.unwrap();
        unconditional.assert_committed(&server).await;
    });
}

#[test]
fn a_second_upload_of_the_same_backup_is_not_left_open() {
    let server = server();
    run(async {
        let first = uploaded(&server).await;
        let second = uploaded(&server).await;
        first.commit().await.unwrap();
        assert_eq!(first.store.uploads("").await.unwrap().len(), 1);
        second.commit().await.unwrap();
        second.assert_committed(&server).await;
    });
}

#[test]
fn an_upload_that_is_gone_without_an_object_is_an_error() {
    let server = server();
    run(async {
        let uploaded = uploaded(&server).await;
        uploaded
            .store
            .abort(KEY, &uploaded.upload_id)
            .await
            .unwrap();
        let error = uploaded.commit().await.unwrap_err();
        assert_eq!(error, CommitError::Refused(StoreError::NoUpload));

        // An object of another backup is not this one's, whatever its size.
        let metadata = BTreeMap::from([(UID_METADATA.to_owned(), "another".to_owned())]);
        let other = uploaded.store.begin(KEY, &metadata, "x").await.unwrap();
        let done = upload(&uploaded.store, &uploaded.client, KEY, &other, &two_parts()).await;
        assert_eq!(done.bytes, uploaded.done.bytes);
        let parts = uploaded.store.parts(KEY, &other).await.unwrap();
        uploaded.store.complete(KEY, &other, &parts).await.unwrap();
        let error = uploaded.commit().await.unwrap_err();
        assert_eq!(error, CommitError::Refused(StoreError::Exists));
    });
}
