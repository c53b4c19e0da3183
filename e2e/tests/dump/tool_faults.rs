//! A dump tool that fails in all the ways that tools have: what is reported, and that nothing becomes visible.

use std::time::Duration;

use db_operator::agent::protocol::part_sizes::PartSizes;
use db_operator::agent::protocol::progress::Progress;
use db_operator::agent::protocol::result::Cause;
use db_operator::agent::protocol::task::Flavour;
use nix::sys::signal::Signal;

use crate::fixture::{Fixture, run};

const MYSQLDUMP: &str = "mysqldump  Ver 10.1.0 for Linux on x86_64 (MySQL Community Server - GPL)";
const PG_DUMP: &str = "pg_dump (PostgreSQL) 10.23";

/// SQL text of about so many MiB that does not compress well.
fn text(mebibytes: u32) -> String {
    format!("head -c {}K /dev/urandom | base64", mebibytes * 750)
}

#[test]
fn a_whole_dump_arrives_in_several_parts() {
    run(async {
        let mut fixture = Fixture::new(Flavour::Mysql).await;
        fixture.task.estimated_bytes = 60 << 20;
        let tool = fixture.tool(
            MYSQLDUMP,
            &format!("echo 'mysqldump: [Warning] all is well' >&2; echo \"INSERT INTO t VALUES (1),('\"; {}; echo \"');\"; echo '-- Dump completed on 2026-11-24  2:10:31'", text(60)),
        );
        let ended = fixture.run(&[&tool, "orders"]).await;
        assert!(ended.log.contains("Z mysqldump: [Warning] all is well"));
        assert!(ended.log.contains("100 %"), "{}", ended.log);
        let done = ended.done();
        assert!(done.parts > 3, "{done:?}");
        assert_eq!(done.tool_version, MYSQLDUMP.replace("  ", " "));
        assert_eq!(done.warnings, ["all is well"]);
        let dump = fixture.complete(&done).await;
        assert!(dump.ends_with(b"-- Dump completed on 2026-11-24  2:10:31\n"));
        let [table] = &fixture.contents(&done).tables[..] else {
            panic!("{done:?}");
        };
        assert_eq!((&*table.name, table.rows), ("t", 2));
        assert!(table.bytes > 60_000_000, "{table:?}");
    });
}

#[test]
fn a_tool_that_fails_or_ends_early_makes_no_backup() {
    run(async {
        let fixture = Fixture::new(Flavour::Mysql).await;
        let end = "echo '-- Dump completed'";
        let cases = [
            (
                format!(
                    "{}; echo 'mysqldump: Lost connection' >&2; exit 3",
                    text(20)
                ),
                Cause::DumpFailed,
                "exit status 3; it said: Lost connection",
            ),
            (
                format!("{}; kill -9 $$", text(9)),
                Cause::DumpFailed,
                "signal 9, perhaps because the pod's memory limit",
            ),
            (format!("{end}; exit 2"), Cause::DumpFailed, "exit status 2"),
            (text(9), Cause::DumpIncomplete, "-- Dump completed"),
            (
                "exit 0".to_owned(),
                Cause::DumpIncomplete,
                "not a whole dump",
            ),
            (
                format!("echo 'mysqldump: Error: denied for column_masking_policy' >&2; {end}"),
                Cause::DumpFailed,
                "column_masking_policy",
            ),
        ];
        for (does, cause, why) in cases {
            let tool = fixture.tool(MYSQLDUMP, &does);
            let failed = fixture.run(&[&tool]).await.failed(cause);
            assert!(failed.message.contains(why), "{does}: {failed:?}");
            assert!(failed.tool_version.is_some());
            fixture.nothing_is_visible();
        }
    });
}

#[test]
fn a_flood_of_messages_is_bounded_and_the_newest_are_reported() {
    run(async {
        let fixture = Fixture::new(Flavour::Mysql).await;
        let tool = fixture.tool(MYSQLDUMP, "seq -f 'message %.0f' 1 200000 >&2; exit 1");
        let ended = fixture.run(&[&tool]).await;
        assert!(ended.log.len() < 500_000, "{}", ended.log.len());
        let failed = ended.failed(Cause::DumpFailed);
        assert_eq!(failed.last_lines.last().unwrap(), "message 200000");
        assert_eq!(failed.last_lines.len(), 20);
    });
}

#[test]
fn a_tool_of_another_kind_or_age_is_refused_before_it_runs() {
    run(async {
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        fixture.task.source.series = "17".to_owned();
        fixture.task.source.server_version = "17.6".to_owned();
        for (version, why) in [
            (PG_DUMP, "older than the server, 17.6"),
            (MYSQLDUMP, "no tool for a server of PostgreSQL"),
            ("sh 1.0", "cannot tell"),
        ] {
            let tool = fixture.tool(version, "touch \"$HOME/ran\"");
            let failed = fixture.run(&[&tool]).await.failed(Cause::ToolMismatch);
            assert!(failed.message.contains(why), "{failed:?}");
        }
        assert!(!fixture.folder.0.join("work/ran").exists());
        let failed = fixture
            .run(&["/no/such/tool"])
            .await
            .failed(Cause::Misconfigured);
        assert!(
            failed.message.contains("cannot start /no/such/tool"),
            "{failed:?}"
        );
    });
}

#[test]
fn a_tool_that_hangs_is_a_stall_and_ends_with_what_it_started() {
    run(async {
        let mut fixture = Fixture::new(Flavour::Mysql).await;
        fixture.task.stall_seconds = 3;
        let mark = format!("81{}", std::process::id());
        let tool = fixture.tool(MYSQLDUMP, &format!("echo x; sleep {mark} & sleep {mark}"));
        let failed = fixture.run(&[&tool]).await.failed(Cause::NoProgress);
        assert!(failed.message.contains("for 3 seconds"), "{failed:?}");
        assert!(!is_running(&format!("sleep\0{mark}")));
    });
}

#[test]
fn a_pod_that_is_asked_to_end_stops_the_tool_and_says_so() {
    run(async {
        let fixture = Fixture::new(Flavour::Mysql).await;
        let mark = format!("82{}", std::process::id());
        let tool = fixture.tool(
            MYSQLDUMP,
            &format!("trap 'echo told >&2; exit 1' TERM; echo here >&2; sleep {mark} & wait"),
        );
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let pod = fixture.start(&[&tool]);
            pod.says("tool: here").await;
            pod.signal(signal);
            let failed = pod.ended().await.failed(Cause::Terminated);
            assert!(failed.message.contains(signal.as_str()), "{failed:?}");
            assert!(!is_running(&format!("sleep\0{mark}")));
        }
    });
}

#[test]
fn a_dump_larger_than_all_parts_is_refused_when_it_turns_out() {
    run(async {
        let mut fixture = Fixture::new(Flavour::Mysql).await;
        fixture.task.part_sizes = PartSizes {
            first: 5 << 20,
            settled: 5 << 20,
            largest: 5 << 20,
            equal: true,
            max_parts: 2,
        };
        let tool = fixture.tool(
            MYSQLDUMP,
            &format!("{}; echo '-- Dump completed'", text(100)),
        );
        let failed = fixture.run(&[&tool]).await.failed(Cause::TooLarge);
        assert!(failed.message.contains("10485760"), "{failed:?}");
        fixture.nothing_is_visible();
    });
}

/// A small dump is one part, which is not sent before the tool has ended well.
#[test]
fn of_a_small_dump_that_fails_the_store_sees_nothing() {
    run(async {
        let fixture = Fixture::new(Flavour::Mysql).await;
        let tool = fixture.tool(MYSQLDUMP, &format!("{}; exit 2", text(2)));
        fixture.run(&[&tool]).await.failed(Cause::DumpFailed);
        assert_eq!(fixture.uploaded().await, []);
    });
}

/// Two hundred tables that are nearly empty, of 16 KiB each as the server counts.
#[test]
fn many_small_tables_move_evenly() {
    run(async {
        let mut fixture = Fixture::new(Flavour::Mysql).await;
        fixture.task.estimated_bytes = 200 * 17_384;
        let tool = fixture.tool(
            MYSQLDUMP,
            "for i in $(seq 200); do echo \"-- Retrieving table structure for table t$i...\" >&2; echo \"CREATE TABLE t$i\"; sleep 0.05; done; \
             echo '-- Dump completed'",
        );
        let ended = fixture.run(&[&tool]).await;
        let lines = ended.log.lines();
        let seen: Vec<Progress> = lines.filter_map(|line| line.parse().ok()).collect();
        let percent: Vec<u8> = seen.iter().filter_map(|seen| seen.percent).collect();
        assert!(
            percent.iter().any(|at| (20..80).contains(at)),
            "{percent:?}"
        );
        assert!(ended.log.contains("Z at table "), "{}", ended.log);
        assert!(!ended.log.contains("Retrieving"), "{}", ended.log);
        ended.done();
    });
}

/// Half a gigabyte that does not compress: memory stays as it was planned, whatever passes.
#[test]
fn memory_is_bounded_however_much_passes() {
    run(async {
        let fixture = Fixture::new(Flavour::Mysql).await;
        let tool = fixture.tool(
            MYSQLDUMP,
            "head -c 600000000 /dev/urandom; echo; echo '-- Dump completed'",
        );
        let mut pod = fixture.start(&[&tool]);
        let mut most = 0;
        while pod.is_running() {
            most = pod.resident().unwrap_or(most).max(most);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let done = pod.ended().await.done();
        assert!(done.bytes > 600_000_000);
        println!("most resident: {most} KiB");
        // With 12 MiB of code these are the 64 MiB that are promised.
        assert!(most < 52 * 1024, "{most} KiB");
    });
}

/// Whether a process with these words in its command line is there.
fn is_running(words: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(words))
    })
}
