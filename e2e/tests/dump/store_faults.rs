//! A store that fails in passing, or for good.

use std::time::{Duration, Instant};

use db_operator::agent::protocol::result::Cause;
use db_operator::agent::protocol::task::Flavour;

use crate::bed::{Bed, Ended, HOUR, run, server};
use crate::front::{Fault, Front, Plan};

const MYSQLDUMP: &str = "mysqldump  Ver 10.1.0 for Linux on x86_64 (MySQL Community Server - GPL)";

/// Dumps about 40 MiB through a proxy with this plan.
async fn through(plan: Plan, stall_seconds: u64) -> (Bed, Front, Ended) {
    let server = server();
    let front = Front::before(&server, plan).await;
    let mut bed = Bed::at(Flavour::Mysql, server, &front.endpoint()).await;
    bed.errand.stall_seconds = stall_seconds;
    bed.sign(1, 100, HOUR).await;
    let tool = bed.tool(
        MYSQLDUMP,
        "head -c 40000000 /dev/urandom; echo; echo '-- Dump completed'",
    );
    let ended = bed.run(&[&tool]).await;
    (bed, front, ended)
}

#[test]
fn what_passes_is_tried_again_until_the_part_is_there() {
    run(async {
        let (bed, front, ended) = through(
            |number, attempt| match (number, attempt) {
                (1, 1) => Some(Fault::Answer(500, "InternalError")),
                (1, 2) | (2, 1..=3) => Some(Fault::Answer(503, "SlowDown")),
                (3, 1) => Some(Fault::Reset),
                (3, 2) => Some(Fault::Lost),
                (4, 1) => Some(Fault::Flipped),
                (5, 1) => Some(Fault::Answer(429, "TooManyRequests")),
                (5, 2) => Some(Fault::Slow(Duration::from_secs(2))),
                _ => None,
            },
            60,
        )
        .await;
        assert!(ended.log.contains("SlowDown"), "{}", ended.log);
        assert!(ended.log.contains("BadDigest"), "{}", ended.log);
        let done = ended.done();
        let dump = bed.complete(&done).await;
        assert!(dump.ends_with(b"-- Dump completed\n"));
        let attempts = front.attempts();
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
        let (bed, front, ended) = through(
            |number, attempt| {
                (number == 2 && attempt == 1).then_some(Fault::Slow(Duration::from_secs(60)))
            },
            12,
        )
        .await;
        assert!(ended.log.contains("has not moved for 3s"), "{}", ended.log);
        bed.complete(&ended.done()).await;
        assert_eq!(front.attempts()[&2], 2);
        assert!(start.elapsed() < Duration::from_secs(40));
    });
}

#[test]
fn what_the_store_means_is_final_and_said_in_its_words() {
    run(async {
        let (bed, front, ended) = through(
            |number, _| (number == 2).then_some(Fault::Answer(404, "NoSuchUpload")),
            60,
        )
        .await;
        let failed = ended.failed(Cause::UploadFailed);
        assert!(
            failed
                .message
                .contains("part 2: 404 Not Found NoSuchUpload a test"),
            "{failed:?}"
        );
        assert_eq!(front.attempts()[&2], 1);
        bed.nothing_is_visible();
    });
}

#[test]
fn a_part_without_a_name_is_no_part() {
    run(async {
        for plan in [
            (|number, _| (number == 1).then_some(Fault::Named(None))) as Plan,
            |number, _| (number == 1).then_some(Fault::Named(Some("\"\""))),
        ] {
            let (bed, _front, ended) = through(plan, 60).await;
            let failed = ended.failed(Cause::UploadFailed);
            assert!(failed.message.contains("ETag"), "{failed:?}");
            bed.nothing_is_visible();
        }
    });
}

/// Another name than the store's own: the digest is another one, too, and the operator refuses the report.
#[test]
fn a_wrong_name_shows_in_the_digest() {
    run(async {
        let (bed, _front, ended) = through(
            |number, _| (number == 2).then_some(Fault::Named(Some("\"0123\""))),
            60,
        )
        .await;
        let done = ended.done();
        let parts = bed.uploaded().await;
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
        let (_bed, front, ended) = through(|_, _| Some(Fault::Answer(503, "SlowDown")), 60).await;
        let failed = ended.failed(Cause::UploadFailed);
        assert!(
            failed.message.contains("in 12 attempts; the last one: 503"),
            "{failed:?}"
        );
        assert_eq!(front.attempts().values().max(), Some(&12));
    });
}
