//! Loads an archive of PostgreSQL: its definitions and indexes from its table of contents alone, its rows from the stream.
//!
//! | file | its one job |
//! |---|---|
//! | `intake.rs` | the bytes of the archive: its table of contents into a file, all of it into the tool |
//! | `toc.rs` | the table of contents, entry by entry |
//! | `selection.rs` | which entries are loaded, and which are left out (pure) |
//! | `only/` | which of them a Restore asks for, if that is not all (pure) |
//! | `sections.rs` | one run of `pg_restore` for each section |
//! | `heads.rs` | whether what an entry runs is as `pg_dump` writes it (pure) |
//! | `grants.rs` | which privileges are given again (pure) |
//! | `privileges.rs` | gives them |
//! | `session.rs` | a session of this process, as the owner |

mod grants;
mod heads;
mod intake;
mod only;
mod privileges;
mod sections;
mod selection;
mod session;
mod toc;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use tokio::task::spawn_blocking;

use super::decode::{Decoded, decode};
use super::failure::Failure;
use super::load::{Dump, Load};
use super::object;
use super::pulse::with_pulse;
use crate::agent::dump::completeness::Completeness;
use crate::agent::log;
use crate::agent::protocol::contents::Contents;
use crate::agent::protocol::restore::{Phase, RestoreCause};
use crate::printable::several;
use intake::Intake;
use selection::Selection;

pub(super) use session::Session;

/// The file with the table of contents.
const TOC: &str = "toc";

/// Loads all of the archive, and says what it was. `phases` gets how many seconds the rows took.
pub(super) async fn load(load: &Load, phases: &mut Vec<u64>) -> Result<Dump, Failure> {
    let toc = load.work.join(TOC);
    let (pieces, decode_from) = tokio::sync::mpsc::channel(1);
    let (known, contents_known) = tokio::sync::oneshot::channel();
    let (tool, tool_from) = channel();
    let meter = Arc::clone(&load.meter);
    let mut intake = Intake::new(&toc, known, tool_from, Arc::clone(&meter)).map_err(|error| {
        Failure::misconfigured(format!(
            "cannot write {}: {error}; an emptyDir in memory must be mounted there",
            toc.display()
        ))
    })?;
    let most = load.task.dumped_bytes;
    let decoding = spawn_blocking(move || {
        let decoded = decode(decode_from, &mut intake, &meter, most)?;
        Ok::<_, std::io::Error>((decoded, intake.end()))
    });
    let loading = async {
        let loaded = sections::definitions_and_rows(load, &toc, contents_known, tool).await;
        if let Err(failure) = &loaded {
            log::say(format_args!(
                "{}; the rest of the object is fetched to see whether it is the one of its manifest",
                failure.message
            ));
        }
        let decoded = decoding.await?;
        Ok((loaded, decoded.map_err(object::cannot_decode)?))
    };
    let ((), (loaded, (decoded, walker))) = tokio::try_join!(load.fetch(pieces), loading)?;
    let (selection, figures) = decide(load, loaded, decoded, walker)?;
    let left_out_data = extension_data(load, &selection, figures.as_ref())?;
    let figures = figures.map(|figures| selection.figures(figures));
    phases.push(begin_indexes(load, selection.after_rows));
    sections::indexes(load, &toc).await?;
    let mut left_out = selection.left_out();
    left_out.extend(left_out_data);
    let others = with_pulse(&load.login, &load.meter, grant(load, &toc, &selection)).await?;
    left_out.extend(others);
    Ok(Dump {
        left_out,
        foreign: selection
            .foreign
            .into_iter()
            .map(|table| (table.schema, table.name))
            .collect(),
        figures,
    })
}

/// First whether it was the object, then whether the tool was content, then whether it was a whole archive.
fn decide(
    load: &Load,
    loaded: Result<Selection, Failure>,
    decoded: Decoded,
    walker: Completeness,
) -> Result<(Selection, Option<Contents>), Failure> {
    let contents = object::check(&load.task, decoded, loaded.as_ref().err())?;
    let is_whole = object::is_whole(&walker);
    let selection = match (loaded, is_whole) {
        (Ok(selection), Ok(())) => selection,
        // The tool says it in other words.
        (Ok(_) | Err(_), Err(failure)) | (Err(failure), Ok(())) => return Err(failure),
    };
    Ok((selection, object::figures(walker, contents)))
}

/// Rows of extensions' own tables, which are not the owner's to write: told, or refused.
fn extension_data(
    load: &Load,
    selection: &Selection,
    figures: Option<&Contents>,
) -> Result<Vec<String>, Failure> {
    let rows = |table: &selection::Foreign| {
        let figures = figures?;
        let mut all = figures.tables.iter();
        all.find(|known| known.schema == table.schema && known.name == table.name)
            .map(|known| known.rows)
    };
    let mut names: Vec<String> = selection
        .foreign
        .iter()
        .filter(|table| rows(table) != Some(0))
        .map(|table| match rows(table) {
            Some(rows) => format!("{}.{} ({rows} rows)", table.schema, table.name),
            None => format!("{}.{}", table.schema, table.name),
        })
        .collect();
    names.sort();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let listed = selection::listed(&names.into_iter().collect());
    if load.task.accepts_extension_data {
        return Ok(vec![format!("rows of extensions' own tables: {listed}")]);
    }
    Err(Failure::new(
        RestoreCause::ExtensionData,
        format!(
            "the dump holds rows of tables that belong to extensions, which the database's user may not write: {listed}; \
             have the administrator fill them after the restore, and accept: [ExtensionData]"
        ),
    ))
}

/// Gives the archive's privileges to the roles that are here. Returns what of them was left out.
async fn grant(load: &Load, toc: &Path, selection: &Selection) -> Result<Vec<String>, Failure> {
    let mut session = open(load).await?;
    let left_out = privileges::give(load, toc, selection, &mut session).await;
    session.close().await;
    left_out
}

/// A session as the owner.
pub(super) async fn open(load: &Load) -> Result<Session, Failure> {
    Session::open(&load.login, true)
        .await
        .map_err(|error| server("log in to the database", &error))
}

/// What the server says to this process itself.
fn server(doing: &str, error: &sqlx::Error) -> Failure {
    Failure::new(RestoreCause::LoadFailed, format!("cannot {doing}: {error}"))
}

/// The phase of indexes begins. Returns how many seconds the one before took.
fn begin_indexes(load: &Load, steps: u32) -> u64 {
    let took = load.meter.begin(Phase::Index, steps);
    log::say(format_args!(
        "rows are loaded, in {} s; making {}: indexes, constraints and the like",
        took.as_secs(),
        several(steps.into(), "object")
    ));
    took.as_secs()
}
