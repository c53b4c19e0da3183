//! What a running backup's Secret is good for, and what it is not; the store's keys and the administrator's password.

use base64::Engine;
use db_operator::agent::protocol::signed_parts::{SignedPart, SignedParts};
use db_operator::agent::protocol::task::paths::SIGNED_PARTS_KEY;
use db_operator::api::destination::SECRET_ACCESS_KEY_KEY;
use e2e::servers::{BUCKET, OPERATOR_NAMESPACE};
use e2e::testing::{BACKED_UP, Bucket, Server, eventually};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};

use crate::scene::{Scene, played, played_on_every_server};

/// A backup that is held up, with what the team finds in its Secret.
async fn window(scene: &Scene<'_>, backup: &str) -> (SignedParts, String) {
    let running = scene.team.backing_up(backup).await;
    let upload = running.status.unwrap().upload.unwrap();
    let secret = scene
        .team
        .secrets()
        .get(&upload.job_name.unwrap())
        .await
        .unwrap();
    let window = &secret.data.unwrap()[SIGNED_PARTS_KEY];
    (serde_json::from_slice(&window.0).unwrap(), upload.key)
}

fn part(window: &SignedParts, number: u32) -> String {
    let SignedPart { url, .. } = window.part(number).unwrap();
    url
}

/// Another object's URL with the same signature.
fn at(url: &str, key: &str, other: &str) -> String {
    let there = url.replacen(key, other, 1);
    assert_ne!(url, there);
    there
}

/// A method, an address, and headers.
type Attempt<'a> = (&'a str, String, &'a [(&'static str, &'a str)]);

#[tokio::test]
async fn signed_requests_write_the_parts_of_their_own_upload_and_nothing_else() {
    played(Server::Postgres, async |scene| {
        let bucket = Bucket::open(&scene.admin.client).await;
        let theirs = scene.rival.back_up("theirs", &scene.owner, json!({})).await;
        let theirs = scene
            .rival
            .completed(&theirs)
            .await
            .status
            .unwrap()
            .upload
            .unwrap()
            .key;
        let before = bucket.get(&theirs).await.unwrap();

        let own = scene
            .team
            .make_usable("own", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = scene.admin.hold_up(&own).await;
        let backup = scene.team.back_up("b", &own, json!({})).await;
        let (window, key) = window(scene, &backup).await;
        let url = part(&window, 1);
        let (base, _) = url.split_once('?').unwrap();
        let (host, _) = base.split_once(&format!("/{BUCKET}/")).unwrap();
        let other_part = url.replace("partNumber=1&", "partNumber=9999&");
        let upload = url
            .split("uploadId=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        let other_upload = url.replace(upload, "00000000-0000-0000-0000-000000000000");
        let copy = format!("/{BUCKET}/{theirs}");
        let without_signature = url.split_once("&X-Amz-Signature").unwrap().0.to_owned();
        let attempts: [Attempt<'_>; 15] = [
            ("GET", url.clone(), &[]),
            ("HEAD", url.clone(), &[]),
            ("DELETE", url.clone(), &[]),
            ("POST", url.clone(), &[]),
            ("GET", at(&url, &key, &theirs), &[]),
            ("PUT", at(&url, &key, &theirs), &[]),
            ("DELETE", at(&url, &key, &theirs), &[]),
            ("GET", format!("{host}/{BUCKET}?list-type=2"), &[]),
            ("GET", format!("{host}/{BUCKET}?uploads"), &[]),
            ("PUT", other_part, &[]),
            ("PUT", other_upload, &[]),
            ("PUT", without_signature, &[]),
            ("PUT", base.to_owned(), &[]),
            // The object itself in the place of a part, and somebody else's object as a part.
            (
                "PUT",
                url.replace("partNumber=1&", "")
                    .replace(&format!("uploadId={upload}&"), ""),
                &[],
            ),
            ("PUT", url.clone(), &[("x-amz-copy-source", &copy)]),
        ];
        for (method, url, headers) in attempts {
            let (status, words) = bucket.send(method, &url, headers, b"x").await;
            assert!(
                (400..500).contains(&status),
                "{method} {url}: {status} {words}"
            );
        }
        assert_eq!(bucket.keys(&key).await, Vec::<String>::new());
        assert_eq!(bucket.uploads(&key).await.len(), 1);
        assert_eq!(bucket.get(&theirs).await.unwrap(), before);

        // What it is for works, and spoils nothing but the team's own backup.
        let (status, words) = bucket.send("PUT", &part(&window, 2), &[], b"x").await;
        assert_eq!(status, 200, "{words}");
        holder.close().await;
        let failure = scene.team.failed(&backup, BACKED_UP).await;
        assert_eq!(failure.reason, "UploadMismatch", "{}", failure.message);
        assert_eq!(bucket.keys(&key).await, Vec::<String>::new());
        // Once it is over, they are good for nothing. What failed is said before the upload is aborted.
        eventually("the upload is aborted", BACKED_UP, async || {
            match bucket.uploads(&key).await.len() {
                0 => Ok(()),
                open => Err(format!("{open} are open")),
            }
        })
        .await;
        let (status, words) = bucket.send("PUT", &url, &[], b"x").await;
        assert_eq!(status, 404, "{words}");
    })
    .await;
}

/// All that the team can read in its namespace, Secrets as they are and in plain.
async fn readable(scene: &Scene<'_>) -> String {
    let own = &scene.team.namespace;
    let mut all = String::new();
    for kind in [
        "api/v1 secrets",
        "api/v1 pods",
        "api/v1 configmaps",
        "api/v1 events",
        "apis/batch/v1 jobs",
        "apis/events.k8s.io/v1 events",
        "apis/db-operator.dev/v1alpha1 databases",
        "apis/db-operator.dev/v1alpha1 backups",
    ] {
        let (group, kind) = kind.split_once(' ').unwrap();
        let path = format!("/{group}/namespaces/{own}/{kind}");
        let (status, text) = scene.team.ask("GET", &path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {text}");
        if kind == "secrets" {
            let list: kube::core::ObjectList<Secret> = serde_json::from_str(&text).unwrap();
            for value in list.into_iter().filter_map(|secret| secret.data).flatten() {
                all += &String::from_utf8_lossy(&value.1.0);
            }
        }
        if kind == "pods" {
            let list: kube::core::ObjectList<k8s_openapi::api::core::v1::Pod> =
                serde_json::from_str(&text).unwrap();
            for pod in list {
                let volumes = pod.spec.unwrap().volumes.unwrap();
                assert!(
                    volumes
                        .iter()
                        .all(|volume| volume.host_path.is_none() && volume.projected.is_none()),
                    "{volumes:?}"
                );
                let path = format!(
                    "/api/v1/namespaces/{own}/pods/{}/log?container=dump",
                    pod.metadata.name.unwrap()
                );
                // The container begins a moment after its Job.
                let text = eventually("the pod has a log", BACKED_UP, async || {
                    match scene.team.ask("GET", &path, &Value::Null).await {
                        (200, text) => Ok(text),
                        (status, text) => Err(format!("{path}: {status} {text}")),
                    }
                });
                let text: String = text.await;
                all += &text;
            }
        }
        all += &text;
    }
    all
}

#[tokio::test]
async fn neither_the_administrators_password_nor_the_stores_key_is_anywhere_to_be_read() {
    played_on_every_server(async |scene| {
        let own = scene
            .team
            .make_usable("own", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = scene.admin.hold_up(&own).await;
        let backup = scene.team.back_up("b", &own, json!({})).await;
        scene.team.backing_up(&backup).await;
        let mut all = readable(scene).await;
        holder.close().await;
        scene.team.completed(&backup).await;
        all += &readable(scene).await;
        // What must be there shows that it was looked for in the right places.
        let secret = scene.admin.secret(&own).await;
        for expected in [&secret["password"], &own, "X-Amz-Credential", "SHA-256"] {
            assert!(all.contains(expected), "{expected}");
        }
        let secrets: Api<Secret> = Api::namespaced(scene.admin.client.clone(), OPERATOR_NAMESPACE);
        let administrator = format!("{}-admin", scene.rival.server.instance());
        for (name, key) in [
            (administrator.as_str(), "password"),
            ("backups-s3", SECRET_ACCESS_KEY_KEY),
        ] {
            let data = secrets.get(name).await.unwrap().data.unwrap();
            let value = String::from_utf8(data[key].0.clone()).unwrap();
            let encoded = base64::prelude::BASE64_STANDARD.encode(&value);
            assert!(
                value.len() > 8 && !all.contains(&value) && !all.contains(&encoded),
                "{name} {key}"
            );
        }
    })
    .await;
}
