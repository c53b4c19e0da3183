//! One run of `pg_restore` for each section of an archive.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::Sender;

use tokio::sync::oneshot;

use super::only::{Choice, Look};
use super::selection::{Fate, Selection, missing_role, text};
use super::toc::{Toc, TocError};
use super::{open, server};
use crate::agent::protocol::restore::{Only, RestoreCause};
use crate::agent::restore::failure::Failure;
use crate::agent::restore::load::Load;
use crate::agent::restore::pulse::with_pulse;

/// The file with the entries that are loaded.
const LIST: &str = "list";

/// Loads what comes before the rows, and the rows, which are on their way to the tool that is handed to `tool`.
pub(super) async fn definitions_and_rows(
    load: &Load,
    toc: &Path,
    known: oneshot::Receiver<Result<(), Failure>>,
    tool: Sender<File>,
) -> Result<Selection, Failure> {
    match known.await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => return Err(failure),
        // The thread that reads it has failed, and says so itself.
        Err(_) => return Err(Failure::misconfigured("the dump was not read")),
    }
    let mut session = open(load).await?;
    let (schemas, roles) = (session.schemas().await, session.roles().await);
    session.close().await;
    let schemas = schemas.map_err(|error| server("see which schemas there are", &error))?;
    let roles = roles.map_err(|error| server("see which roles there are", &error))?;
    let mut selection = Selection::new(schemas);
    if let Some(only) = &load.task.only {
        selection = selection.only(choose(toc, only)?);
    }
    let selection = select(toc, &load.work.join(LIST), selection, &roles)?;
    let mut before = arguments(load, "pre-data");
    before.push(toc.into());
    // Nobody takes rows meanwhile, so nothing else moves. While they are loaded, a session is at work whatever comes.
    with_pulse(&load.login, &load.meter, load.tool.run(before, drop)).await?;
    let rows = arguments(load, "data");
    load.tool
        .run(rows, |stdin| {
            // If nobody takes it, reading has failed and says so itself.
            let _ = tool.send(stdin);
        })
        .await?;
    Ok(selection)
}

/// Makes what comes after the rows.
pub(super) async fn indexes(load: &Load, toc: &Path) -> Result<(), Failure> {
    let mut after = arguments(load, "post-data");
    after.push(format!("--jobs={}", load.task.jobs.max(1)).into());
    after.push(toc.into());
    with_pulse(&load.login, &load.meter, load.tool.run(after, drop)).await
}

/// What no load may be without.
fn arguments(load: &Load, section: &str) -> Vec<OsString> {
    let target = &load.task.target;
    let mut all: Vec<OsString> = ["--no-owner", "--no-acl", "--no-tablespaces", "--verbose"]
        .map(OsString::from)
        .into();
    if !load.tool.forgives {
        all.push("--exit-on-error".into());
    }
    all.push(format!("--section={section}").into());
    all.push(format!("--role={}", target.owner).into());
    all.push(format!("--dbname={}", connection(&target.database)).into());
    let mut list = OsString::from("--use-list=");
    list.push(load.work.join(LIST));
    all.push(list);
    all
}

/// A database's name as a connection string, so that no name is taken for one.
fn connection(database: &str) -> String {
    let escaped = database.replace('\\', "\\\\").replace('\'', "\\'");
    format!("dbname='{escaped}'")
}

/// Chooses what the Restore asks for.
fn choose(path: &Path, only: &Only) -> Result<Choice, Failure> {
    Choice::of(only, |look: &mut Look<'_>| -> Result<(), Failure> {
        let mut toc = Toc::open(path).map_err(odd)?;
        while let Some(looked) = toc
            .next(|entry| look(entry.id, &entry.item, &mut entry.depends_on.clone()))
            .map_err(odd)?
        {
            looked?;
        }
        Ok(())
    })
}

/// Writes the list of the entries that are loaded.
fn select(
    toc: &Path,
    list: &Path,
    mut selection: Selection,
    roles: &HashSet<String>,
) -> Result<Selection, Failure> {
    let cannot = |error: io::Error| {
        Failure::misconfigured(format!("cannot write {}: {error}", list.display()))
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(list);
    let mut out = BufWriter::new(file.map_err(cannot)?);
    let mut toc = Toc::open(toc).map_err(odd)?;
    let mut ids = HashSet::new();
    while let Some(decided) = toc
        .next(|entry| {
            let missing = missing_role(&entry.item, roles);
            let missing = missing.map(|role| no_role(&text(entry.item.name), &role));
            let fate = selection.add(&entry.item, entry.has_data);
            (entry.id, fate, missing)
        })
        .map_err(odd)?
    {
        let (id, fate, missing) = decided;
        // The list goes by numbers: it would choose both, also the one that was not looked at.
        if !ids.insert(id) {
            return Err(odd(TocError::Broken(format!(
                "two entries have the number {id}"
            ))));
        }
        match fate.map_err(|refused| Failure::new(RestoreCause::NotADump, refused))? {
            Fate::Loaded => match missing {
                Some(failure) => return Err(failure),
                None => writeln!(out, "{id};").map_err(cannot)?,
            },
            Fate::Granted | Fate::LeftOut => {}
        }
    }
    out.flush().map_err(cannot)?;
    Ok(selection)
}

fn no_role(policy: &str, role: &str) -> Failure {
    Failure::new(
        RestoreCause::LoadFailed,
        format!(
            "the policy {policy} is for the role {role:?}, which is not on this server: have an administrator create it (CREATE ROLE … NOLOGIN is \
             enough), and restore again"
        ),
    )
}

pub(super) fn odd(error: TocError) -> Failure {
    match error {
        TocError::Read(_) => Failure::misconfigured(error),
        TocError::Broken(_) => Failure::new(RestoreCause::NotADump, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: u32) -> Vec<u8> {
        [&[0][..], &value.to_le_bytes()].concat()
    }

    fn string(text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [int(length), text.into()].concat()
    }

    /// A table of contents, by number, kind and definition.
    fn toc(entries: &[(u32, &str, &str)]) -> Vec<u8> {
        let mut bytes = b"PGDMP\x01\x10\x00\x04\x08\x01\x00".to_vec();
        bytes.extend((0..7).flat_map(|_| int(1)));
        bytes.extend((0..3).flat_map(|_| string("")));
        bytes.extend(int(u32::try_from(entries.len()).unwrap()));
        for &(id, kind, definition) in entries {
            bytes.extend([int(id), int(0)].concat());
            bytes.extend(["1259", "16384", "t p", kind].map(string).concat());
            bytes.extend(int(2));
            bytes.extend(
                [definition, "", "", "public", "", "heap"]
                    .map(string)
                    .concat(),
            );
            bytes.extend(int(0));
            bytes.extend(["orders", "false"].map(string).concat());
            // No dependencies, and no data.
            bytes.extend([1, 1, 0, 0, 0, 3]);
            bytes.extend([0; 8]);
        }
        bytes
    }

    fn selected(entries: &[(u32, &str, &str)]) -> Result<String, Failure> {
        let number = entries.iter().map(|(id, ..)| id.to_string());
        let name = format!(
            "sections-{}-{}",
            std::process::id(),
            number.collect::<String>()
        );
        let path = std::env::temp_dir().join(name);
        let list = path.with_extension("list");
        std::fs::write(&path, toc(entries)).unwrap();
        let roles = HashSet::from(["orders".to_owned()]);
        let chosen = select(&path, &list, Selection::new(HashSet::new()), &roles);
        let text = std::fs::read_to_string(&list).unwrap();
        for file in [&path, &list] {
            std::fs::remove_file(file).unwrap();
        }
        chosen.map(|_| text)
    }

    #[test]
    fn what_is_not_looked_at_is_not_in_the_list() {
        let table = (7, "TABLE", "CREATE TABLE public.t ();");
        let extension = |id| (id, "EXTENSION", "DROP DATABASE orders");
        assert_eq!(selected(&[table, extension(8)]).unwrap(), "7;\n");
        let failure = selected(&[table, extension(7)]).unwrap_err();
        assert!(failure.message.contains("the number 7"), "{failure:?}");
        let policy = (
            9,
            "POLICY",
            "CREATE POLICY p ON public.t TO gone USING (true);",
        );
        let failure = selected(&[policy]).unwrap_err();
        assert_eq!(failure.cause, RestoreCause::LoadFailed);
        assert!(failure.message.contains("\"gone\""), "{failure:?}");
    }

    #[test]
    fn a_name_is_no_connection_string() {
        assert_eq!(connection("a'b\\c host=x"), "dbname='a\\'b\\\\c host=x'");
    }
}
