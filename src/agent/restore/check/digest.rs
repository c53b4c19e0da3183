//! Reads all rows again, as a dump that is stored nowhere, through the same counting as the backup.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use super::cannot;
use super::compare::Differences;
use crate::agent::dump::completeness::Completeness;
use crate::agent::protocol::contents::{Contents, Table};
use crate::agent::protocol::restore::RestoreCause;
use crate::agent::protocol::task::Flavour;
use crate::agent::restore::failure::Failure;
use crate::agent::restore::load::{Dump, Load};
use crate::agent::tool::lines::Line;
use crate::agent::tool::messages::{Listener, lock};
use crate::agent::tool::{Said, child};

/// How many bytes are read at a time.
const CHUNK: usize = 256 * 1024;

/// What the tool that dumps is called.
const DUMP: &str = "pg_dump";

/// Compares each table's digest with that of the backup.
pub(super) async fn compare(
    load: &Load,
    dump: &Dump,
    differences: &mut Differences,
) -> Result<(), Failure> {
    let expected: Vec<&Table> = dump.tables().collect();
    if dump.figures.is_none() || expected.iter().any(|table| table.digest.is_none()) {
        return Err(cannot(
            "compare digests",
            "the backup has none (level Rows is possible)",
        ));
    }
    let again = read(load).await?;
    let key = |table: &Table| (table.schema.clone(), table.name.clone());
    let found: HashMap<_, &Table> = again
        .tables
        .iter()
        .map(|table| (key(table), table))
        .collect();
    for table in expected {
        differences.digest(table, found.get(&key(table)).copied());
    }
    Ok(())
}

/// Dumps the rows, and counts what comes.
async fn read(load: &Load) -> Result<Contents, Failure> {
    let words = command(load);
    let (mut running, output) = child::start(&words, &load.tool.environment).map_err(|error| {
        Failure::misconfigured(format!(
            "cannot start {DUMP}: {error}; the image must have that program, too, for check level Digest"
        ))
    })?;
    let meter = Arc::clone(&load.meter);
    let mut stdout = output.stdout;
    let reading = spawn_blocking(move || {
        let mut walker = Completeness::new(Flavour::Postgresql);
        let mut chunk = vec![0; CHUNK];
        loop {
            match stdout.read(&mut chunk) {
                Ok(0) => return Ok(walker),
                Ok(count) => {
                    walker.observe(&chunk[..count]);
                    meter.received.fetch_add(count as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    let said = Mutex::<Said>::default();
    let listener = Listener {
        name: DUMP,
        flavour: Flavour::Postgresql,
        said: &said,
        hears: |line: Line<'_>| {
            if let Line::Table(table) = line {
                load.meter.at(format_args!("reading {table} again"));
            }
        },
    };
    let ended = async {
        child::hear_out(listener.hear(output.stderr), &mut running).await;
        running.wait().await
    };
    let status = tokio::select! {
        ended = ended => Some(ended),
        () = load.cancelled.cancelled() => None,
    };
    let Some(status) = status else {
        running.stop().await;
        return Err(Failure::new(
            RestoreCause::Terminated,
            format!("{DUMP} was ended"),
        ));
    };
    let status = status.map_err(|error| cannot("read the rows again", error))?;
    let walker = reading
        .await?
        .map_err(|error| cannot("read the rows again", error))?;
    if !status.success() {
        let said = lock(&said);
        let line = said.complaint().unwrap_or_default();
        let message = format!("{DUMP} {}; it said: {line}", child::ended(status));
        return Err(cannot("read the rows again", message));
    }
    walker
        .check()
        .map_err(|why| cannot("read the rows again", why))?;
    let figures = walker
        .figures()
        .map_err(|why| cannot("count the rows again", why))?;
    figures.contents().ok_or_else(|| {
        cannot(
            "compare digests",
            "there are too many tables to count each (level Rows is possible)",
        )
    })
}

/// The tool beside the one that loads.
fn command(load: &Load) -> Vec<OsString> {
    let program = load.tool.command.first().map(Path::new);
    let program = match program {
        Some(path) if path.components().count() > 1 => path.with_file_name(DUMP).into(),
        Some(_) | None => OsString::from(DUMP),
    };
    let mut words = vec![program];
    words.extend(
        [
            "--format=custom",
            "--compress=0",
            "--data-only",
            "--no-password",
            "--verbose",
        ]
        .map(OsString::from),
    );
    words.push(format!("--role={}", load.task.target.owner).into());
    words
}
