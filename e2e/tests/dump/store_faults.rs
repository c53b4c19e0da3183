//! A store that fails in passing, or for good.

use std::time::{Duration, Instant};

use db_operator::agent::protocol::result::Cause;
use db_operator::agent::protocol::task::Flavour;

use e2e::fault_proxy::store::Plan;
use e2e::fault_proxy::{Call, Effect, Moment, StoreProxy};

use crate::fixture::{Ended, Fixture, HOUR, run, server};

const MYSQLDUMP: &str = "mysqldump  Ver 10.1.0 for Linux on x86_64 (MySQL Community Server - GPL)";

/// Dumps about 40 MiB through a proxy with this plan.
async fn through(plan: Plan, stall_seconds: u64) -> (Fixture, StoreProxy, Ended) {
    let server = server();
    let proxy = StoreProxy::to(&server, plan).await.unwrap();
    let mut fixture = Fixture::at(Flavour::Mysql, server, &proxy.endpoint()).await;
    fixture.task.stall_seconds = stall_seconds;
    fixture.sign(1, 100, HOUR).await;
    let tool = fixture.tool(
        MYSQLDUMP,
        "head -c 40000000 /dev/urandom; echo; echo '-- Dump completed'",
    );
    let ended = fixture.run(&[&tool]).await;
    (fixture, proxy, ended)
}

/// The store does not see the request; this is the answer.
fn answered(status: u16, code: &'static str) -> (Moment, Effect) {
    (Moment::Before, Effect::AnswerAs(status, code))
}

fn late(seconds: u64) -> (Moment, Effect) {
    (Moment::Before, Effect::Delay(Duration::from_secs(seconds)))
}

/// The store's answer to this part calls it so.
fn named(call: Call, part: u32, etag: Option<&'static str>) -> Option<(Moment, Effect)> {
    (call == Call::Part(part)).then_some((Moment::After, Effect::Etag(etag)))
}

#[test]
fn what_passes_is_tried_again_until_the_part_is_there() {
    run(async {
        let (fixture, proxy, ended) = through(
            |call, attempt| match (call, attempt) {
                (Call::Part(1), 1) => Some(answered(500, "InternalError")),
                (Call::Part(1), 2) | (Call::Part(2), 1..=3) => Some(answered(503, "SlowDown")),
                (Call::Part(3), 1) => Some((Moment::Before, Effect::Reset)),
                (Call::Part(3), 2) => Some((Moment::After, Effect::Cut)),
                (Call::Part(4), 1) => Some((Moment::Before, Effect::Flip)),
                (Call::Part(5), 1) => Some(answered(429, "TooManyRequests")),
                (Call::Part(5), 2) => Some(late(2)),
                _ => None,
            },
            60,
        )
        .await;
        assert!(ended.log.contains("SlowDown"), "{}", ended.log);
        assert!(ended.log.contains("BadDigest"), "{}", ended.log);
        let done = ended.done();
        let dump = fixture.complete(&done).await;
        assert!(dump.ends_with(b"-- Dump completed\n"));
        let attempts = proxy.parts_tried();
        let expected = [(1, 3), (2, 4), (3, 3), (4, 2), (5, 2)];
        assert!(
            expected
                .iter()
                .all(|(number, tries)| attempts[number] == *tries),
            "{attempts:?}"
        );
    });
}

#[test]
fn a_store_that_does_not_move_is_left_and_tried_again() {
    run(async {
        let start = Instant::now();
        let (fixture, proxy, ended) = through(
            |call, attempt| match (call, attempt) {
                (Call::Part(2), 1) => Some(late(60)),
                _ => None,
            },
            12,
        )
        .await;
        assert!(ended.log.contains("has not moved for 3s"), "{}", ended.log);
        fixture.complete(&ended.done()).await;
        assert_eq!(proxy.parts_tried()[&2], 2);
        assert!(start.elapsed() < Duration::from_secs(40));
    });
}

#[test]
fn what_the_store_means_is_final_and_said_in_its_words() {
    run(async {
        let (fixture, proxy, ended) = through(
            |call, _| match call {
                Call::Part(2) => Some(answered(404, "NoSuchUpload")),
                _ => None,
            },
            60,
        )
        .await;
        let failed = ended.failed(Cause::UploadFailed);
        assert!(
            failed
                .message
                .contains("part 2: 404 Not Found NoSuchUpload this fault is a test"),
            "{failed:?}"
        );
        assert_eq!(proxy.parts_tried()[&2], 1);
        fixture.nothing_is_visible();
    });
}

#[test]
fn a_part_without_a_name_is_no_part() {
    run(async {
        for plan in [(|call, _| named(call, 1, None)) as Plan, |call, _| {
            named(call, 1, Some("\"\""))
        }] {
            let (fixture, _proxy, ended) = through(plan, 60).await;
            let failed = ended.failed(Cause::UploadFailed);
            assert!(failed.message.contains("ETag"), "{failed:?}");
            fixture.nothing_is_visible();
        }
    });
}

/// Another name than the store's own: the digest is another one, too, and the operator refuses the report.
#[test]
fn a_wrong_name_shows_in_the_digest() {
    run(async {
        let (fixture, _proxy, ended) =
            through(|call, _| named(call, 2, Some("\"0123\"")), 60).await;
        let done = ended.done();
        let parts = fixture.uploaded().await;
        assert_eq!(u32::try_from(parts.len()).unwrap(), done.parts);
        assert_ne!(
            db_operator::agent::protocol::result::digest(&parts),
            done.parts_digest
        );
    });
}

#[test]
fn a_store_that_never_works_ends_it_after_all_attempts() {
    run(async {
        let (_bed, proxy, ended) = through(
            |call, _| match call {
                Call::Part(_) => Some(answered(503, "SlowDown")),
                _ => None,
            },
            60,
        )
        .await;
        let failed = ended.failed(Cause::UploadFailed);
        assert!(
            failed.message.contains("in 12 attempts; the last one: 503"),
            "{failed:?}"
        );
        assert_eq!(proxy.parts_tried().values().max(), Some(&12));
    });
}
