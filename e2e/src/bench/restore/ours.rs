//! The process of a pod, from its task to its report.

use std::path::Path;

use db_operator::agent::protocol::restore::{
    Level, Origin, RestoreResult, RestoreTask, SIGNED_OBJECT_KEY, TASK_KEY, Target as Into,
};
use db_operator::agent::protocol::result::Done;

use super::super::backup::meter::{self, Measured};
use super::super::backup::ours::{HOUR, KEY, Pod, failed};
use super::super::backup::source::{DATABASE, Engine, Source};
use super::super::backup::target::Target;
use super::pipe;
use crate::{Error, Result};

/// The database that is restored into.
pub(super) const RESTORED: &str = "restored";

/// Indexes that are built at the same time: a Restore's default.
const JOBS: u32 = 2;

/// What is in the store.
pub(super) struct Object {
    pub(super) done: Done,
}

/// A new, empty database in the place of the last one, whose pages are not written at the next one's cost.
pub(super) async fn make_room(source: &Source) -> Result<()> {
    let drop = match source.engine {
        Engine::Postgresql => format!("DROP DATABASE IF EXISTS {RESTORED} WITH (FORCE)"),
        Engine::Mariadb => format!("DROP DATABASE IF EXISTS {RESTORED}"),
    };
    source.run(&drop).await?;
    source.run(&format!("CREATE DATABASE {RESTORED}")).await?;
    match source.engine {
        Engine::Postgresql => source.run("CHECKPOINT").await,
        Engine::Mariadb => Ok(()),
    }
}

/// Runs it once.
pub(super) async fn run(
    source: &Source,
    target: &Target,
    binary: &Path,
    object: &Object,
    check: Level,
) -> Result<Measured> {
    let pod = Pod::new(target, source)?;
    let store = target.store().await?;
    let signed = store.sign_object(KEY, HOUR).await;
    pod.write_json(
        &format!("errand/{SIGNED_OBJECT_KEY}"),
        &signed.map_err(failed("sign the object"))?,
    )?;
    let task = task(source, store.destination(KEY), &object.done, check);
    pod.write_json(&format!("errand/{TASK_KEY}"), &task)?;
    let mut command = pod.command(binary, "restore", &words(source, &pod.work()));
    // The process itself, with all that it may start but the tool.
    let counts = |name: &str, _: bool| name != pipe::tool(source);
    let measured = meter::run(&mut command, &target.folder.join("ours.log"), counts)?;
    match pod.report()? {
        RestoreResult::Done(loaded) if loaded.checked == check => Ok(measured),
        RestoreResult::Done(loaded) => Err(Error::trial("check what was restored")(format!(
            "{:?} was asked for, and {:?} done",
            check, loaded.checked
        ))),
        RestoreResult::Failed(failed) => Err(Error::trial("restore")(failed.message)),
    }
}

fn task(source: &Source, location: String, done: &Done, check: Level) -> RestoreTask {
    let of = source.task();
    let user = source.user().0.to_owned();
    RestoreTask {
        source: Origin {
            flavour: of.flavour,
            tool_version: done.tool_version.clone(),
            database: DATABASE.to_owned(),
            user: Some(user.clone()),
        },
        target: Into {
            flavour: of.flavour,
            series: of.series,
            server_version: of.server_version,
            host: of.host,
            port: of.port,
            tls: of.tls,
            database: RESTORED.to_owned(),
            owner: user,
        },
        object: location,
        bytes: done.bytes,
        sha256: done.sha256.clone(),
        dumped_bytes: done.dumped_bytes,
        totals: done.totals.clone(),
        check,
        queries: Vec::new(),
        jobs: JOBS,
        accepts_extension_data: false,
        roles: Vec::new(),
        only: None,
        events_stay_off: false,
        stall_seconds: 600,
    }
}

/// The tool, as the template says.
fn words(source: &Source, work: &Path) -> Vec<String> {
    match source.engine {
        Engine::Postgresql => vec![source.program("pg_restore"), "--no-password".to_owned()],
        Engine::Mariadb => vec![
            "mariadb".to_owned(),
            format!(
                "--defaults-extra-file={}",
                work.join("client.cnf").display()
            ),
            "--default-character-set=utf8mb4".to_owned(),
            "--max-allowed-packet=1G".to_owned(),
        ],
    }
}
