//! Uploads that come to nothing are removed, and no others.

use std::time::Duration;

use db_operator::store::{Swept, cluster_prefix, sweep};

use crate::fixture::{anybody, begin, run, server, store, two_parts, upload};

#[test]
fn an_upload_is_aborted_with_its_parts_and_once_more_is_fine() {
    let server = server();
    run(async {
        let store = store(&server).await;
        let client = anybody(&server, &server.endpoint());
        let upload_id = begin(&store, "c1/a/k").await;
        upload(&store, &client, "c1/a/k", &upload_id, &two_parts()).await;
        store.abort("c1/a/k", &upload_id).await.unwrap();
        assert_eq!(store.uploads("").await.unwrap(), []);
        assert_eq!(store.head("c1/a/k").await.unwrap(), None);
        store.abort("c1/a/k", &upload_id).await.unwrap();
    });
}

#[test]
fn all_uploads_of_one_key_are_aborted() {
    let server = server();
    run(async {
        let store = store(&server).await;
        for key in ["c1/a/k", "c1/a/k", "c1/a/k.other", "c1/a/j"] {
            begin(&store, key).await;
        }
        assert_eq!(store.abort_all("c1/a/k").await.unwrap(), 2);
        let open = store.uploads("").await.unwrap();
        let mut keys: Vec<_> = open.iter().map(|upload| upload.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["c1/a/j", "c1/a/k.other"]);
    });
}

#[test]
fn a_sweep_takes_what_is_ours_and_unneeded() {
    let server = server();
    run(async {
        let store = store(&server).await;
        for key in [
            "prod/c1/a/forgotten",
            "prod/c1/a/running",
            "prod/c11/a/of-another-cluster",
            "c1/a/under-another-prefix",
            "somebody-elses",
        ] {
            begin(&store, key).await;
        }
        let prefix = cluster_prefix(Some("prod"), "c1");
        let needed = |key: &str| key.ends_with("/running");
        let young = sweep(&store, &prefix, Duration::from_secs(600), needed).await;
        assert_eq!(
            young,
            Ok(Swept {
                open: 2,
                aborted: 0
            })
        );
        let swept = sweep(&store, &prefix, Duration::ZERO, needed).await;
        assert_eq!(
            swept,
            Ok(Swept {
                open: 2,
                aborted: 1
            })
        );
        let open = store.uploads("").await.unwrap();
        assert_eq!(open.len(), 4);
        assert!(
            open.iter()
                .all(|upload| !upload.key.ends_with("/forgotten"))
        );
        let again = sweep(&store, &prefix, Duration::ZERO, needed).await;
        assert_eq!(
            again,
            Ok(Swept {
                open: 1,
                aborted: 0
            })
        );
    });
}
