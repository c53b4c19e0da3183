//! What a backup pod can do with its signed requests, and what it cannot.

use std::time::{Duration, Instant};

use db_operator::agent::protocol::signed_parts::SignedParts;

use crate::fixture::{BUCKET, HOUR, anybody, begin, md5_of, run, send, server, store};

#[test]
fn a_signature_is_good_for_its_own_part_and_nothing_else() {
    let server = server();
    run(async {
        let store = store(&server).await;
        let client = anybody(&server, &server.endpoint());
        let upload_id = begin(&store, "c1/a/mine").await;
        let other_id = begin(&store, "c1/a/other").await;
        let batch = store
            .sign("c1/a/mine", &upload_id, 3, 2, HOUR)
            .await
            .unwrap();
        assert!(batch.url.starts_with(&server.endpoint()), "{}", batch.url);
        let window = SignedParts {
            batches: vec![batch],
        };
        assert!(window.part(2).is_none() && window.part(5).is_none());
        let url = window.part(3).unwrap().url;
        assert_eq!(send(&client, "PUT", &url, b"x", None).await.0, 200);

        let changed = |from: &str, to: &str| {
            assert!(url.contains(from), "{url} has no {from}");
            url.replace(from, to)
        };
        for (method, url) in [
            ("PUT", changed("partNumber=3", "partNumber=5")),
            ("PUT", changed("/mine?", "/other?")),
            ("PUT", changed(&upload_id, &other_id)),
            ("PUT", changed(&format!("/{BUCKET}/"), "/another/")),
            ("PUT", changed("X-Amz-Expires=3600", "X-Amz-Expires=7200")),
            ("PUT", changed("X-Amz-Signature=", "X-Amz-Signature=0")),
            ("GET", url.clone()),
            ("POST", url.clone()),
            ("DELETE", url.clone()),
        ] {
            let (status, _) = send(&client, method, &url, b"y", None).await;
            assert!((400..500).contains(&status), "{method} {url}: {status}");
        }
        assert_eq!(store.parts("c1/a/mine", &upload_id).await.unwrap().len(), 1);
        assert_eq!(store.parts("c1/a/other", &other_id).await.unwrap(), []);
    });
}

#[test]
fn a_part_that_was_changed_on_its_way_is_refused() {
    let server = server();
    run(async {
        let store = store(&server).await;
        let client = anybody(&server, &server.endpoint());
        let upload_id = begin(&store, "c1/a/k").await;
        let batch = store.sign("c1/a/k", &upload_id, 1, 1, HOUR).await.unwrap();
        let window = SignedParts {
            batches: vec![batch],
        };
        let url = window.part(1).unwrap().url;
        let wrong = md5_of(b"what was sent");
        let (status, _) = send(&client, "PUT", &url, b"what came", Some(&wrong)).await;
        assert_eq!(status, 400);
        assert_eq!(store.parts("c1/a/k", &upload_id).await.unwrap(), []);
        let right = md5_of(b"what came");
        let (status, _) = send(&client, "PUT", &url, b"what came", Some(&right)).await;
        assert_eq!(status, 200);
    });
}

#[test]
fn a_signature_ends_when_the_window_says() {
    let server = server();
    run(async {
        let store = store(&server).await;
        let client = anybody(&server, &server.endpoint());
        let upload_id = begin(&store, "c1/a/k").await;
        let short = Duration::from_secs(2);
        let batch = store.sign("c1/a/k", &upload_id, 1, 1, short).await.unwrap();
        let window = SignedParts {
            batches: vec![batch],
        };
        let part = window.part(1).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let asked = jiff::Timestamp::now();
            let (status, _) = send(&client, "PUT", &part.url, b"x", None).await;
            if status == 403 {
                let left = part.expires_at.duration_since(jiff::Timestamp::now());
                assert!(left.as_secs() <= 0, "ended {left:?} before the window says");
                break;
            }
            assert_eq!(status, 200);
            let late = asked.duration_since(part.expires_at);
            assert!(late.as_secs() <= 1, "still good {late:?} after its end");
            assert!(Instant::now() < deadline, "it never ends");
        }
    });
}
