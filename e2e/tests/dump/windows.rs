//! Signed requests that come late, end, and are renewed while the process runs.

use std::time::Duration;

use db_operator::agent::protocol::result::Cause;
use db_operator::agent::protocol::task::Flavour;
use e2e::fault_proxy::{Call, Effect, Moment, StoreProxy};
use e2e::s3::S3Server;

use crate::fixture::{Fixture, HOUR, run, server};

const MYSQLDUMP: &str = "mysqldump  Ver 10.1.0 for Linux on x86_64 (MySQL Community Server - GPL)";
/// The store does not see the request; this is the answer.
const DENIED: (Moment, Effect) = (Moment::Before, Effect::AnswerAs(403, "AccessDenied"));
const FORTY: &str = "head -c 40000000 /dev/urandom; echo; echo '-- Dump completed'";

#[test]
fn parts_that_are_not_signed_yet_are_waited_for_and_that_is_no_stall() {
    run(async {
        let mut fixture = Fixture::new(Flavour::Mysql).await;
        fixture.task.stall_seconds = 4;
        fixture.sign(1, 2, HOUR).await;
        let tool = fixture.tool(MYSQLDUMP, FORTY);
        let pod = fixture.start(&[&tool]);
        pod.says("part 3 waits for the operator to sign its request")
            .await;
        // Longer than anything else may stand still.
        tokio::time::sleep(Duration::from_secs(6)).await;
        fixture.sign(1, 100, HOUR).await;
        pod.says("part 3 has its signed request").await;
        fixture.complete(&pod.ended().await.done()).await;
    });
}

#[test]
fn an_operator_that_never_signs_is_told_apart_from_a_stall() {
    run(async {
        let mut fixture = Fixture::new(Flavour::Mysql).await;
        fixture.task.sign_seconds = 4;
        fixture.sign(1, 2, HOUR).await;
        let tool = fixture.tool(MYSQLDUMP, FORTY);
        let failed = fixture.run(&[&tool]).await.failed(Cause::NoProgress);
        assert!(
            failed.message.contains("no signed request for part"),
            "{failed:?}"
        );
        fixture.nothing_is_visible();
    });
}

#[test]
fn a_request_that_has_ended_is_not_sent_but_waited_for() {
    run(async {
        let fixture = Fixture::new(Flavour::Mysql).await;
        fixture.sign(1, 100, Duration::from_secs(2)).await;
        let tool = fixture.tool(MYSQLDUMP, FORTY);
        let pod = fixture.start(&[&tool]);
        pod.says("part 1 waits for the operator to sign its request")
            .await;
        fixture.sign(1, 100, HOUR).await;
        fixture.complete(&pod.ended().await.done()).await;
    });
}

#[test]
fn a_refused_signature_is_replaced_by_a_newer_one() {
    run(async {
        let server = server();
        let proxy = StoreProxy::to(&server, |call, attempt| {
            (call == Call::Part(2) && attempt == 1).then_some(DENIED)
        })
        .await
        .unwrap();
        let fixture = Fixture::at(Flavour::Mysql, server, &proxy.endpoint()).await;
        fixture.sign(1, 100, HOUR).await;
        let tool = fixture.tool(MYSQLDUMP, FORTY);
        let pod = fixture.start(&[&tool]);
        pod.says("part 2: 403 Forbidden AccessDenied").await;
        // Another time of day, another signature.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        fixture.sign(1, 100, HOUR).await;
        fixture.complete(&pod.ended().await.done()).await;
        assert_eq!(proxy.parts_tried()[&2], 2);
    });
}

#[test]
fn a_signature_that_stays_refused_is_a_failure_in_the_stores_words() {
    run(async {
        let server = server();
        let proxy = StoreProxy::to(&server, |call, _| {
            matches!(call, Call::Part(_)).then_some(DENIED)
        })
        .await
        .unwrap();
        let mut fixture = Fixture::at(Flavour::Mysql, server, &proxy.endpoint()).await;
        fixture.task.stall_seconds = 4;
        fixture.sign(1, 100, HOUR).await;
        let tool = fixture.tool(MYSQLDUMP, FORTY);
        let failed = fixture.run(&[&tool]).await.failed(Cause::UploadFailed);
        assert!(
            failed.message.contains("403 Forbidden AccessDenied"),
            "{failed:?}"
        );
    });
}

#[test]
fn the_store_is_verified_with_its_own_authority_and_no_other() {
    run(async {
        let server = S3Server::start_tls().unwrap();
        server.make_bucket("backups").unwrap();
        let endpoint = server.endpoint();
        let mut fixture = Fixture::at(Flavour::Mysql, server, &endpoint).await;
        fixture.sign(1, 100, HOUR).await;
        let tool = fixture.tool(MYSQLDUMP, FORTY);
        fixture.complete(&fixture.run(&[&tool]).await.done()).await;

        fixture.task.stall_seconds = 4;
        let other = e2e::sql_servers::Certificates::new().unwrap();
        std::fs::write(fixture.folder.0.join("errand/store-ca.crt"), other.ca).unwrap();
        let pod = fixture.start(&[&tool]);
        pod.says("invalid peer certificate").await;
    });
}
