//! The dump tool.

use db_operator::api::{Backup, BackupState};
use e2e::testing::{Fixture, Server, with_fixture};
use serde_json::{Value, json};

use crate::case::{Case, Ground, LIMIT, all, process};
use crate::template;

const MIB: u64 = 1 << 20;

/// Runs a case with a tool that does this, and gives back how its backup failed; then without that tool.
async fn with_tool(ground: &Ground<'_>, script: &Script<'_>) {
    let tool = if ground.fixture.server.is_postgres() {
        "pg_dump"
    } else {
        "mariadb-dump"
    };
    let job = ground.tool(script.name, tool, script.does).await;
    let case = ground.case(script.name, MIB, job, script.s3.clone()).await;
    let backup = case.back_up(script.limits.clone()).await;
    let status = case.fails(&backup, script.reason, script.words).await;
    assert!(status.tool_version.is_some(), "{status:?}");
    case.without_job().await;
    case.next_works().await;
}

struct Script<'a> {
    name: &'a str,
    does: &'a str,
    s3: Value,
    limits: Value,
    reason: &'a str,
    words: &'a [&'a str],
}

impl<'a> Script<'a> {
    fn new(name: &'a str, does: &'a str, reason: &'a str, words: &'a [&'a str]) -> Self {
        Self {
            name,
            does,
            s3: Value::Null,
            limits: json!({}),
            reason,
            words,
        }
    }
}

/// Killed on the node, by its number, while it waits for a lock.
async fn killed(ground: &Ground<'_>) {
    let case: Case<'_> = ground.case("killed", MIB, Value::Null, Value::Null).await;
    let holder = case.hold().await;
    let backup = case.back_up(json!({})).await;
    let pod = case.pod(&backup).await;
    process(&pod, "pg_dump").await.kill().unwrap();
    case.fails(&backup, "DumpFailed", &["killed by signal 9"])
        .await;
    holder.close().await;
    case.next_works().await;
}

async fn with(server: Server, test: impl AsyncFn(&Ground<'_>)) {
    with_fixture(server, async |fixture: &Fixture| {
        let ground = Ground::new(fixture).await;
        test(&ground).await;
        template::clear(fixture).await;
    })
    .await;
}

#[tokio::test]
async fn a_tool_that_ends_badly_is_known_by_its_status_its_words_or_its_output() {
    with(Server::Postgres, async |ground| {
        let early = Script::new(
            "early",
            "pg_dump \"$@\" | head -c 200000",
            "DumpIncomplete",
            &["not a whole dump"],
        );
        let nothing = Script::new("nothing", "exit 0", "DumpIncomplete", &["not a whole dump"]);
        let words = Script::new(
            "words",
            "pg_dump --no-such-option \"$@\"",
            "DumpFailed",
            &["no-such-option", "lastLines"],
        );
        // All of it, and then no good end: an exit status after a whole dump.
        let status = Script::new(
            "status",
            "pg_dump \"$@\"; exit 3",
            "DumpFailed",
            &["exit status 3"],
        );
        all(vec![
            Box::pin(killed(ground)),
            Box::pin(with_tool(ground, &early)),
            Box::pin(with_tool(ground, &nothing)),
            Box::pin(with_tool(ground, &words)),
            Box::pin(with_tool(ground, &status)),
        ])
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_tool_that_needs_too_much_or_never_ends_is_stopped() {
    with(Server::Postgres, async |ground| {
        let memory = Script::new(
            "memory",
            "tail /dev/zero",
            "OutOfMemory",
            &["memory", "limit"],
        );
        let endless = Script {
            limits: json!({"deadlineSeconds": 60, "stallSeconds": 30}),
            ..Script::new(
                "endless",
                "while :; do head -c 100000 /dev/urandom; sleep 1; done",
                "DeadlineExceeded",
                &["deadlineSeconds (60 s)"],
            )
        };
        // One part, of eight MiB.
        let large = Script {
            s3: json!({"maxParts": 1}),
            ..Script::new(
                "large",
                "pg_dump \"$@\"; head -c 40000000 /dev/urandom",
                "TooLarge",
                &["part"],
            )
        };
        all(vec![
            Box::pin(with_tool(ground, &memory)),
            Box::pin(with_tool(ground, &endless)),
            Box::pin(with_tool(ground, &large)),
            Box::pin(stalled(ground)),
            Box::pin(noisy(ground)),
        ])
        .await;
    })
    .await;
}

/// A lock that is held in the server.
async fn stalled(ground: &Ground<'_>) {
    let case = ground.case("stalled", MIB, Value::Null, Value::Null).await;
    let holder = case.hold().await;
    let backup = case.back_up(json!({"stallSeconds": 30})).await;
    case.fails(&backup, "NoProgress", &["30 s"]).await;
    holder.close().await;
    case.next_works().await;
}

#[tokio::test]
async fn mariadbs_tool_that_ends_too_early_is_known_by_its_output() {
    with(Server::Mariadb, async |ground| {
        let early = Script::new(
            "early",
            // The rest goes nowhere: a closed pipe would be an error that the tool tells.
            "mariadb-dump \"$@\" | { head -c 200000; cat > /dev/null; }",
            "DumpIncomplete",
            &["not a whole dump"],
        );
        Box::pin(with_tool(ground, &early)).await;
    })
    .await;
}

/// A tool that says so much that no line about progress can be seen: what the store has is shown.
async fn noisy(ground: &Ground<'_>) {
    let does = "( while :; do i=0; while [ $i -lt 60 ]; do echo noise >&2; i=$((i + 1)); done; sleep 0.2; done ) &\n\
        head -c 20000000 /dev/urandom; sleep 30; kill $!; exit 3";
    let job = ground.tool("noisy", "pg_dump", does).await;
    let case = ground.case("noisy", MIB, job, Value::Null).await;
    let backup = case.back_up(json!({})).await;
    let shown = |found: &Backup| {
        let progress = found.status.as_ref().and_then(|s| s.progress.as_ref());
        found.state() == Some(BackupState::BackingUp)
            && progress.is_some_and(|progress| progress.bytes_uploaded >= 16 << 20)
    };
    let fixture = ground.fixture;
    fixture
        .backup_until(&backup, "two parts are shown", LIMIT, shown)
        .await;
    case.fails(&backup, "DumpFailed", &["exit status 3"]).await;
}
