//! From the first request to an object that can be read, in the clear and over TLS.

use db_operator::agent::protocol::result::digest;
use db_operator::agent::protocol::task::Flavour;
use db_operator::store::{Manifest, StoreError, UID_METADATA, commit, key};
use e2e::s3::S3Server;
use jiff::Timestamp;

use crate::fixture::{
    BUCKET, HOUR, UID, anybody, begin, manifest, run, send, server, store, two_parts, upload,
};

/// Everything, once.
async fn whole_life(server: &S3Server) {
    let store = store(server).await;
    let client = anybody(server, &server.endpoint());
    let key = key(
        Some("prod/databases"),
        "kube/system ä",
        "team-a",
        "orders",
        Timestamp::now(),
        "nightly",
        UID,
        Flavour::Postgresql,
    );
    assert_eq!(store.head(&key).await.unwrap(), None);
    let upload_id = begin(&store, &key).await;
    assert_eq!(store.parts(&key, &upload_id).await.unwrap(), []);
    let open = store.uploads("prod/databases/").await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0].key, &open[0].upload_id), (&key, &upload_id));
    let age = Timestamp::now().duration_since(open[0].initiated.unwrap());
    assert!((-5..60).contains(&age.as_secs()), "{age:?}");

    let parts = two_parts();
    let done = upload(&store, &client, &key, &upload_id, &parts).await;
    let listed = store.parts(&key, &upload_id).await.unwrap();
    assert_eq!(digest(&listed), done.parts_digest);
    assert_eq!(store.head(&key).await.unwrap(), None, "visible too early");
    assert!(!server.object_path(BUCKET, &key).exists());

    let manifest = manifest(&store, &key, &done);
    let committed = commit(&store, &key, &upload_id, &done, &manifest)
        .await
        .unwrap();
    assert_eq!((committed.parts, committed.bytes), (2, done.bytes));
    let object = store.head(&key).await.unwrap().unwrap();
    assert_eq!(object.size, done.bytes);
    assert_eq!(object.metadata.get(UID_METADATA).unwrap(), UID);
    let content = std::fs::read(server.object_path(BUCKET, &key)).unwrap();
    assert!(content == parts.concat(), "another content");
    let written = std::fs::read(server.object_path(BUCKET, &Manifest::key(&key))).unwrap();
    assert_eq!(
        serde_json::from_slice::<Manifest>(&written).unwrap(),
        manifest
    );
    assert_eq!(store.uploads("").await.unwrap(), []);
    assert_eq!(
        store.parts(&key, &upload_id).await,
        Err(StoreError::NoUpload)
    );
}

#[test]
fn an_object_from_begin_to_manifest() {
    let server = server();
    run(whole_life(&server));
}

#[test]
fn an_object_over_tls_with_an_authority_of_its_own() {
    let server = S3Server::start_tls().unwrap();
    server.make_bucket(BUCKET).unwrap();
    run(whole_life(&server));
}

#[test]
fn lists_of_many_pages_are_whole() {
    let server = server();
    run(async {
        let store = store(&server).await;
        let client = anybody(&server, &server.endpoint());
        let upload_id = begin(&store, "c1/many/parts").await;
        let batch = store.sign("c1/many/parts", &upload_id, 1, 1010, HOUR).await;
        let batch = batch.unwrap();
        let window = db_operator::agent::protocol::signed_parts::SignedParts {
            batches: vec![batch],
        };
        for number in 1..=1010 {
            let url = window.part(number).unwrap().url;
            let (status, _) = send(&client, "PUT", &url, b"x", None).await;
            assert_eq!(status, 200);
        }
        let parts = store.parts("c1/many/parts", &upload_id).await.unwrap();
        assert!(parts.iter().map(|part| part.number).eq(1..=1010));

        for number in 1..=1010 {
            begin(&store, &format!("c1/uploads/{number:04}")).await;
        }
        let open = store.uploads("c1/uploads/").await.unwrap();
        let mut keys: Vec<_> = open.iter().map(|upload| upload.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!((open.len(), keys.len()), (1010, 1010));
    });
}
