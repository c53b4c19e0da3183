//! An object that is not the one of its manifest, and a store that fails in passing or for good.

use std::time::Duration;

use db_operator::agent::protocol::restore::RestoreCause;
use db_operator::agent::protocol::result::Done;

use crate::dump::{Fixture, run};
use crate::fixture::{Breaking, Restore, compress, decompress, object, remove};
use crate::postgresql::{RESTORE, Server};

/// About 20 MiB that do not compress.
async fn large() -> (Server, Fixture, Done) {
    let server = Server::start();
    server.as_owner(
        "orders=x",
        "CREATE TABLE a AS SELECT i, md5(i::text) || md5((-i)::text) || md5((i + 0.5)::text) AS t FROM generate_series(1, 300000) i",
    );
    let (from, done) = server.dumped(&[]).await;
    assert!(done.bytes > 3 * 4 * 1024 * 1024, "{done:?}");
    (server, from, done)
}

#[test]
fn whatever_is_cut_off_or_altered_is_seen() {
    run(async {
        let (server, from, done) = large().await;
        let whole = object(&from);
        let restore = server.restore(&from, &done, "scratch");
        let try_with = async |bytes: &[u8]| {
            std::fs::write(from.server.object_path("backups", crate::dump::KEY), bytes).unwrap();
            server.sql("postgres", "DROP DATABASE scratch WITH (FORCE)");
            server.scratch("scratch");
            restore.sign(Duration::from_hours(1));
            restore
                .run(&RESTORE)
                .await
                .failed(RestoreCause::ObjectMismatch)
        };
        let size = whole.len();
        for length in [1, 1000, size / 2, size - 1] {
            let failed = try_with(&whole[..length]).await;
            assert!(failed.message.contains("bytes instead of"), "{failed:?}");
        }
        for at in [3, size / 3, size - 200] {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            let failed = try_with(&altered).await;
            assert!(failed.message.contains("SHA-256"), "{failed:?}");
        }
        // The right bytes load.
        std::fs::write(from.server.object_path("backups", crate::dump::KEY), &whole).unwrap();
        server.sql("postgres", "DROP DATABASE scratch WITH (FORCE)");
        server.scratch("scratch");
        restore.sign(Duration::from_hours(1));
        assert_eq!(restore.run(&RESTORE).await.done().rows, 300_000);
    });
}

/// The manifest is of what is there, and what is there was cut before it was stored.
#[test]
fn an_archive_that_was_cut_before_it_was_stored_is_no_dump() {
    run(async {
        let (server, from, done) = large().await;
        let dump = decompress(&object(&from));
        let size = dump.len();
        for (number, length) in [20, 3000, size / 2, size - 1].into_iter().enumerate() {
            let mut restore = server.restore(&from, &done, &format!("cut{number}"));
            let cut = compress(&dump[..length]);
            restore.replace(&from.server, &cut);
            let failed = restore.run(&RESTORE).await.failed(RestoreCause::NotADump);
            assert!(failed.message.contains("not a whole dump"), "{failed:?}");
        }
        let mut restore = server.restore(&from, &done, "none");
        restore.replace(&from.server, &[0x55; 5000]);
        let failed = restore.run(&RESTORE).await.failed(RestoreCause::NotADump);
        assert!(
            failed.message.contains("cannot be decompressed"),
            "{failed:?}"
        );
    });
}

/// What the platform's limit was compared with.
#[test]
fn no_more_is_loaded_than_the_manifest_says() {
    run(async {
        let (server, from, done) = large().await;
        let mut restore = server.restore(&from, &done, "more");
        restore.task.dumped_bytes = done.dumped_bytes / 2;
        let failed = restore.run(&RESTORE).await.failed(RestoreCause::NotADump);
        assert!(failed.message.contains("(dumpedBytes)"), "{failed:?}");
    });
}

#[test]
fn an_object_that_is_swapped_while_it_is_read_is_seen() {
    run(async {
        let (server, from, done) = large().await;
        let restore = server.restore(&from, &done, "scratch");
        // The tool reads nothing until the file is there: all that fits into memory is fetched meanwhile.
        let go = restore.folder.0.join("go");
        let tool = restore.tool(
            "pg_restore (PostgreSQL) 15.18",
            &format!(
                "case \"$*\" in *section=data*) while [ ! -e {} ]; do sleep 0.1; done;; esac\nexec pg_restore \"$@\"",
                go.display()
            ),
        );
        let mut larger = server.restore(&from, &done, "unused");
        let whole = object(&from);
        // Large enough that not all of it is fetched before the tool reads.
        let mut padded = whole.clone();
        while padded.len() < 48 * 1024 * 1024 {
            padded.extend(skippable(8 * 1024 * 1024));
        }
        larger.replace(&from.server, &padded);
        let mut restore = restore;
        restore.task.bytes = larger.task.bytes;
        restore.task.sha256.clone_from(&larger.task.sha256);
        restore.task.totals = None;
        restore.sign(Duration::from_hours(1));
        let pod = restore.start(&[&tool]);
        pod.says("loading: fetched").await;
        let other = vec![7; padded.len()];
        std::fs::write(from.server.object_path("backups", "prod/other"), &other).unwrap();
        std::fs::rename(
            from.server.object_path("backups", "prod/other"),
            from.server.object_path("backups", crate::dump::KEY),
        )
        .unwrap();
        std::fs::write(&go, "").unwrap();
        pod.ended().await.failed(RestoreCause::ObjectMismatch);
    });
}

/// A zstd frame that is passed over.
fn skippable(length: usize) -> Vec<u8> {
    let mut frame = vec![0x50, 0x2a, 0x4d, 0x18];
    frame.extend(u32::try_from(length).unwrap().to_le_bytes());
    frame.extend(vec![0; length]);
    frame
}

#[test]
fn a_store_that_breaks_off_is_asked_for_the_rest() {
    run(async {
        let (server, from, done) = large().await;
        for (number, bytes) in [0, 300, 1_500_000].into_iter().enumerate() {
            let mut restore = server.restore(&from, &done, &format!("scratch{number}"));
            let proxy = Breaking::to(&from.server, 5, bytes).await;
            restore.through(proxy.port);
            let ended = restore.run(&RESTORE).await;
            assert!(ended.log.contains("trying again in"), "{}", ended.log);
            ended.done();
            let connections = proxy.connections.load(std::sync::atomic::Ordering::SeqCst);
            assert!(connections > 5, "{connections}");
        }
    });
}

#[test]
fn an_object_that_is_gone_and_a_store_that_never_answers_end_it() {
    run(async {
        let (server, from, done) = large().await;
        let mut restore = server.restore(&from, &done, "scratch");
        // Longer than all pauses together.
        restore.task.stall_seconds = 300;
        let proxy = Breaking::to(&from.server, u32::MAX, 0).await;
        restore.through(proxy.port);
        let failed = restore
            .run(&RESTORE)
            .await
            .failed(RestoreCause::FetchFailed);
        assert!(failed.message.contains("in 12 attempts"), "{failed:?}");
        let restore = server.restore(&from, &done, "gone");
        remove(&from);
        let failed = restore
            .run(&RESTORE)
            .await
            .failed(RestoreCause::FetchFailed);
        assert!(failed.message.contains("404"), "{failed:?}");
    });
}

#[test]
fn a_request_that_was_refused_is_waited_for_until_it_is_signed_again() {
    run(async {
        let (server, from, done) = large().await;
        let restore = server.restore(&from, &done, "scratch");
        restore.sign_wrongly();
        let pod = restore.start(&RESTORE);
        pod.says("waits for the operator to sign its request").await;
        assert!(pod.log().contains("403"), "{}", pod.log());
        restore.sign(Duration::from_hours(1));
        assert_eq!(pod.ended().await.done().rows, 300_000);

        let mut restore = server.restore(&from, &done, "refused");
        restore.task.stall_seconds = 4;
        restore.sign_wrongly();
        let failed = restore
            .run(&RESTORE)
            .await
            .failed(RestoreCause::FetchFailed);
        assert!(failed.message.contains("403"), "{failed:?}");
    });
}

#[test]
fn what_it_holds_in_memory_is_bounded() {
    run(async {
        let server = Server::start();
        server.as_owner(
            "orders=x",
            "CREATE TABLE a AS SELECT i, md5(i::text) || md5((-i)::text) || md5((i + 0.5)::text) || md5((i + 0.7)::text) AS t FROM generate_series(1, 900000) i",
        );
        let (from, done) = server.dumped(&[]).await;
        assert!(done.bytes > 40 * 1024 * 1024, "{done:?}");
        let restore: Restore = server.restore(&from, &done, "scratch");
        // The server is slower than the store.
        let tool = restore.tool(
            "pg_restore (PostgreSQL) 15.18",
            "case \"$*\" in *section=data*) sleep 2;; esac\nexec pg_restore \"$@\"",
        );
        let mut pod = restore.start(&[&tool]);
        let mut most = 0;
        while pod.is_running() {
            most = pod.resident().unwrap_or_default().max(most);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        pod.ended().await.done();
        println!("{} MiB at most", most / 1024);
        assert!(most < 64 * 1024, "{most} KiB");
    });
}
