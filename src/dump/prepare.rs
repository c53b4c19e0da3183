//! Everything that must be right before the tool is started.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::child;
use super::credentials::{self, Environment};
use super::errand::{Errand, Flavour, paths};
use super::failure::Failure;
use super::log;
use super::meter::Meter;
use super::report::Cause;
use super::run::Folders;
use super::signatures::Signatures;
use super::store::Store;
use super::tool::Tool;
use super::upload::Uploader;

/// A first start from a cold disk takes time.
const VERSION_WITHIN: Duration = Duration::from_mins(1);

/// What a dump needs.
pub struct Ready {
    /// What is asked for.
    pub errand: Errand,
    /// What the tool calls itself.
    pub name: String,
    /// What it gets to see.
    pub environment: Environment,
    /// Takes its output away.
    pub uploader: Uploader,
    /// What moves.
    pub meter: Arc<Meter>,
}

/// Reads the errand, asks the tool what it is (`version` tells that to the report), and writes its files.
pub async fn prepare(
    folders: &Folders,
    command: &[OsString],
    version: &mut Option<String>,
) -> Result<Ready, Failure> {
    let errand = errand(&folders.errand)?;
    let program = command
        .first()
        .ok_or_else(|| Failure::misconfigured("the template gives no dump tool after \"--\""))?;
    let source = &errand.source;
    log::say(format_args!(
        "dumping the database {:?} of {} {} at {}:{} to {}",
        source.database,
        server(source.flavour),
        source.server_version,
        source.host,
        source.port,
        errand.destination
    ));
    let plain = Environment(credentials::base(&folders.work, "db-operator"));
    let printed = child::version(program, &plain, VERSION_WITHIN)
        .await
        .map_err(|error| cannot_start(program, &error))?;
    let mismatch = |error| Failure::new(Cause::ToolMismatch, error);
    let tool = Tool::parse(&printed).map_err(mismatch)?;
    *version = Some(tool.version.clone());
    tool.fits(source).map_err(mismatch)?;
    log::say(format_args!("the tool is {}", tool.version));

    let environment = credentials::prepare(source, &tool, &folders.credentials, &folders.work)
        .map_err(Failure::misconfigured)?;
    let meter = Arc::new(Meter::default());
    let uploader = uploader(folders, &errand, &meter)?;
    Ok(Ready {
        name: tool_name(program),
        environment,
        uploader,
        meter,
        errand,
    })
}

fn errand(folder: &Path) -> Result<Errand, Failure> {
    let path = folder.join(paths::ERRAND_KEY);
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::misconfigured(format!(
            "cannot read {}: {error}; the Secret that the operator writes for this Job must be mounted there",
            path.display()
        ))
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::misconfigured(format!(
            "cannot understand {}: {error}; the operator and this image must be of one release",
            path.display()
        ))
    })
}

/// The program cannot be started.
pub fn cannot_start(program: &OsString, error: &std::io::Error) -> Failure {
    Failure::misconfigured(format!(
        "cannot start {}: {error}; the image must have that program (spec.backup.job.image of the instance)",
        program.display()
    ))
}

/// The last element of its path, which is what it calls itself.
fn tool_name(program: &OsString) -> String {
    Path::new(program)
        .file_name()
        .map_or_else(|| "tool".to_owned(), |name| name.display().to_string())
}

fn server(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Postgresql => "PostgreSQL",
        Flavour::Mysql => "MySQL",
        Flavour::Mariadb => "MariaDB",
    }
}

fn uploader(folders: &Folders, errand: &Errand, meter: &Arc<Meter>) -> Result<Uploader, Failure> {
    let stall = Duration::from_secs(errand.stall_seconds);
    let patience = (stall / 4).clamp(Duration::from_secs(2), Duration::from_mins(1));
    let authorities = folders.errand.join(paths::STORE_CA_KEY);
    Ok(Uploader {
        store: Store::new(&authorities, patience, Arc::clone(meter))
            .map_err(Failure::misconfigured)?,
        signatures: Signatures::new(
            folders.errand.join(paths::WINDOW_KEY),
            Duration::from_secs(errand.sign_seconds),
            Arc::clone(meter),
        ),
        stall,
        meter: Arc::clone(meter),
    })
}
