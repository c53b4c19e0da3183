//! Events of MySQL and MariaDB that some builds of the dump tools never get past.
//!
//! Before they write an event, `mysqldump` and `mariadb-dump` look for a delimiter that does not stand in its text. The loop that does it
//! (`create_delimiter`) counts up the wrong variable: if the text has two semicolons in a row, `mysqldump` 9.7 and `mariadb-dump` 10.11
//! compute for ever, and write nothing. What other builds do is up to the compiler; `mariadb-dump` 11.8 ends. So where the catalog shows
//! such an event, the tool is tried first, without any rows: with so little to do, it computes for long only if it does nothing else.

use std::ffi::OsString;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::task::spawn_blocking;
use tokio::time::interval;

use super::views::with_options;
use crate::agent::failure::Failure;
use crate::agent::meter::Meter;
use crate::agent::protocol::result::Cause;
use crate::agent::tool::child;
use crate::agent::tool::credentials::Environment;

/// Only the events, whatever else fails; and a word on the way, which is a sign of life.
const OPTIONS: &[&str] = &[
    "--force",
    "--no-data",
    "--no-create-info",
    "--skip-triggers",
    "--skip-routines",
    "--verbose",
];

/// CPU time that the tool takes without a word when it does nothing else any more.
const IN_VAIN: Duration = Duration::from_secs(3);

/// How often that is looked at.
const POLL: Duration = Duration::from_millis(200);

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// Tries whether the tool gets past these events, and fails if it does not. Whatever else it fails with, the dump will say.
pub(crate) async fn check(
    command: &[OsString],
    events: &[String],
    environment: &Environment,
    meter: &Arc<Meter>,
) -> Result<(), Failure> {
    let ends = tool_ends(command, environment, meter)
        .await
        .map_err(|error| {
            let message = format!("cannot try whether the tool dumps the events: {error}");
            Failure::new(Cause::DumpFailed, message)
        })?;
    if ends {
        return Ok(());
    }
    Err(Failure::new(
        Cause::DumpFailed,
        format!(
            "the dump tool never gets past an event whose text has two semicolons in a row, which is a fault of the tool. Put a space between \
             them, or leave --events out of the template of this instance's Jobs, then make another Backup; the events are: {}",
            events.join(", ")
        ),
    ))
}

async fn tool_ends(
    command: &[OsString],
    environment: &Environment,
    meter: &Arc<Meter>,
) -> io::Result<bool> {
    let words = with_options(command, OPTIONS.iter().map(OsString::from));
    let (mut running, output) = child::start(&words, environment)?;
    let reading = spawn_blocking({
        let (meter, mut stdout) = (Arc::clone(meter), output.stdout);
        move || {
            let mut chunk = vec![0; CHUNK];
            while let Ok(read @ 1..) = stdout.read(&mut chunk) {
                meter.dumped.fetch_add(read as u64, Ordering::Relaxed);
            }
        }
    });
    let hearing = async {
        let (mut stderr, mut chunk) = (output.stderr, vec![0; CHUNK]);
        while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
            meter.dumped.fetch_add(read as u64, Ordering::Relaxed);
        }
        // From here on, the other branch ends it.
        std::future::pending::<()>().await;
    };
    let ending = async {
        let mut ticks = interval(POLL);
        let (mut position, mut spent) = (meter.position(), Duration::ZERO);
        loop {
            tokio::select! {
                ended = running.wait() => return ended.map(|_| true),
                _ = ticks.tick() => {}
            }
            let (at, cpu) = (meter.position(), running.cpu_time());
            if at != position {
                (position, spent) = (at, cpu);
            } else if cpu.saturating_sub(spent) >= IN_VAIN {
                return Ok(false);
            }
        }
    };
    let ends = tokio::select! {
        () = hearing => Ok(true),
        ends = ending => ends,
    };
    running.stop().await;
    reading.await?;
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn try_with(script: &str) -> Result<(), Failure> {
        let command = ["/bin/sh", "-c", script].map(OsString::from);
        let meter = Arc::default();
        let events = ["`e`".to_owned(), "`f`".to_owned()];
        check(&command, &events, &Environment(Vec::new()), &meter).await
    }

    #[tokio::test]
    async fn a_tool_that_computes_for_ever_is_told_from_one_that_waits_or_fails() {
        let failure = try_with("echo begun; while :; do :; done")
            .await
            .unwrap_err();
        assert_eq!(
            (failure.cause, failure.passing),
            (Cause::DumpFailed, false),
            "{failure:?}"
        );
        assert!(
            failure.message.ends_with("the events are: `e`, `f`"),
            "{failure:?}"
        );
        for ends in ["exit 2", "sleep 4", "echo x; echo y >&2"] {
            try_with(ends).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_the_tool_has_started_counts() {
        let wrapped = "(while :; do :; done) & wait";
        assert!(try_with(wrapped).await.is_err());
    }
}
