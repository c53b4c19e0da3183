//! What goes wrong is told apart, in time, and without a key in the message.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use db_operator::store::{Keys, Store, StoreConfig, StoreError};
use e2e::fault_proxy::{Effect, Fault, Faults, Moment, S3Proxy};
use e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY, s3_at};
use e2e::sql_servers::Certificates;

use crate::fixture::{BUCKET, begin, keys, run, server, store, store_of};

/// All kinds of calls, each of which must end with an error of this kind.
async fn assert_all_fail(store: &Store, expected: impl Fn(&StoreError) -> bool) {
    let begun = store.begin("c1/k", &BTreeMap::new(), "x").await.map(|_| ());
    let listed = store.parts("c1/k", "u").await.map(|_| ());
    let open = store.uploads("c1/").await.map(|_| ());
    let put = store.put("c1/k", b"x".to_vec(), "x").await;
    let head = store.head("c1/k").await.map(|_| ());
    for (call, result) in [
        ("begin", begun),
        ("parts", listed),
        ("uploads", open),
        ("put", put),
        ("head", head),
    ] {
        let error = result.unwrap_err();
        assert!(expected(&error), "{call}: {error:?}");
        let text = format!("{error} {error:?}");
        for secret in ["canary", "Signature=", ACCESS_KEY_ID, SECRET_ACCESS_KEY] {
            assert!(!text.contains(secret), "{call}: {text}");
        }
    }
}

#[test]
fn a_bucket_that_is_not_there() {
    let server = server();
    run(async {
        let store = store_of(server.s3("nobodys").unwrap(), None).await;
        assert_all_fail(&store, |error| *error == StoreError::NoBucket).await;
    });
}

#[test]
fn keys_that_are_wrong() {
    let server = server();
    run(async {
        for (access, secret, code) in [
            (ACCESS_KEY_ID, "wrong", "SignatureDoesNotMatch"),
            // versitygw's word for InvalidAccessKeyId.
            ("wrong", SECRET_ACCESS_KEY, "XAdminUserNotFound"),
        ] {
            let config = StoreConfig {
                s3: server.s3(BUCKET).unwrap(),
                keys: Keys::Static {
                    access_key_id: access.to_owned(),
                    secret_access_key: secret.into(),
                    session_token: None,
                },
                ca: None,
            };
            let store = Store::open(config).await.unwrap();
            let expected = |error: &StoreError| {
                matches!(error, StoreError::Refused { code: said, .. } if said == code)
                    && error.to_string().contains("credentialsSecretRef")
                    && !error.is_retryable()
            };
            assert_all_fail(&store, expected).await;
        }
    });
}

#[test]
fn no_identity_of_its_own() {
    let server = server();
    run(async {
        let config = StoreConfig {
            s3: server.s3(BUCKET).unwrap(),
            keys: Keys::OwnIdentity,
            ca: None,
        };
        let store = Store::open(config).await.unwrap();
        let begun = Instant::now();
        let error = store.head("c1/k").await.unwrap_err();
        assert!(
            matches!(error, StoreError::Keys(_) | StoreError::Unreachable(_)),
            "{error:?}"
        );
        assert!(error.to_string().contains("identity"), "{error}");
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn a_server_that_is_down_and_comes_back() {
    let mut server = server();
    server.stop().unwrap();
    run(async {
        let store = store(&server).await;
        let expected = |error: &StoreError| {
            matches!(error, StoreError::Unreachable(_)) && error.is_retryable()
        };
        assert_all_fail(&store, expected).await;
        server.start_again().unwrap();
        begin(&store, "c1/k").await;
    });
}

#[test]
fn a_server_that_never_answers() {
    run(async {
        // Connections are accepted by the kernel, and nobody reads them.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let store = store_of(s3_at(&endpoint, BUCKET).unwrap(), None).await;
        let begun = Instant::now();
        let error = store.head("c1/k").await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(32),
            "{:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn a_busy_server_is_asked_again() {
    let server = server();
    run(async {
        let faults = Faults::new(|| ());
        let proxy = S3Proxy::to(&server, faults.clone(), |_, _| true)
            .await
            .unwrap();
        let store = store_of(s3_at(&proxy.endpoint(), BUCKET).unwrap(), None).await;
        for effect in [Effect::Answer(503), Effect::Answer(500), Effect::Cut] {
            faults.arm(Some(Fault {
                at: 1,
                moment: Moment::Before,
                effect,
            }));
            assert_eq!(store.uploads("c1/").await, Ok(Vec::new()), "{effect:?}");
            assert_eq!(faults.disarm().len(), 2, "{effect:?}");
        }
    });
}

#[test]
fn certificates_that_are_not_trusted() {
    let server = S3Server::start_tls().unwrap();
    server.make_bucket(BUCKET).unwrap();
    let ca = server.certificates.clone().unwrap().ca;
    run(async {
        let untrusted = |error: &StoreError| {
            matches!(error, StoreError::Tls(_))
                && error.to_string().contains("caSecretRef")
                && !error.is_retryable()
        };
        let other = Certificates::new().unwrap().ca;
        let stranger = store_of(server.s3(BUCKET).unwrap(), Some(&other)).await;
        assert_all_fail(&stranger, untrusted).await;

        // The certificate is for localhost alone.
        let by_address = s3_at(&format!("https://127.0.0.1:{}", server.port), BUCKET).unwrap();
        assert_all_fail(&store_of(by_address, Some(&ca)).await, untrusted).await;

        let broken = StoreConfig {
            s3: server.s3(BUCKET).unwrap(),
            keys: keys(),
            ca: Some(b"not a certificate".to_vec()),
        };
        let error = Store::open(broken).await.unwrap_err();
        assert!(matches!(error, StoreError::Ca(_)), "{error:?}");
        begin(&store(&server).await, "c1/k").await;
    });
}
