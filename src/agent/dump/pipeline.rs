//! One stream from the tool to the store: everything runs at once, in bounded memory.

use std::process::ExitStatus;
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use super::buffers::Buffers;
use super::completeness::Completeness;
use super::compress::Compressor;
use super::read::{self, Ended};
use super::split::Totals;
use crate::agent::failure::Failure;
use crate::agent::memory;
use crate::agent::meter::Meter;
use crate::agent::protocol::contents;
use crate::agent::protocol::result::{self, Cause};
use crate::agent::protocol::task::{Flavour, Task};
use crate::agent::tool::Said;
use crate::agent::tool::child::{self, Output, Running};
use crate::agent::tool::lines::Line;
use crate::agent::tool::messages::{Listener, lock};
use crate::agent::upload::Uploader;

/// One stream from the tool to the store.
pub(crate) struct Pipeline<'a> {
    /// What the operator asks for.
    pub task: &'a Task,
    /// What the tool calls itself.
    pub name: &'a str,
    /// The memory in between.
    pub buffers: Buffers,
    /// Counts what moves.
    pub meter: Arc<Meter>,
    /// Collects what the tool says.
    pub said: Arc<Mutex<Said>>,
    /// What the object begins with, before what the tool writes.
    pub before: Vec<u8>,
}

/// What was made, and what the store has.
pub(crate) struct Streamed {
    /// All parts together.
    pub totals: Totals,
    /// Each part.
    pub uploaded: Vec<result::Part>,
    /// What was counted in it, if it could be.
    pub contents: Option<contents::Totals>,
    /// What the dump lacks, or what its restore needs.
    pub warnings: Vec<String>,
}

impl Pipeline<'_> {
    /// Runs everything at once, until all of it is done or any of it has failed.
    pub(crate) async fn stream(
        self,
        running: &mut Running,
        output: Output,
        uploader: &Uploader,
    ) -> Result<Streamed, Failure> {
        let (pieces, split_from) = mpsc::sync_channel(64);
        let (parts, upload_from) = tokio::sync::mpsc::unbounded_channel();
        let compressor =
            Compressor::new(self.task.compression_level, threads(), self.buffers.clone())
                .map_err(|error| Failure::misconfigured(format!("cannot compress: {error}")))?;
        let completeness = Completeness::new(self.task.source.flavour);

        let reading = spawn_blocking({
            let (meter, before) = (Arc::clone(&self.meter), self.before.clone());
            let stdout = output.stdout;
            move || read::read(stdout, &before, completeness, compressor, pieces, &meter)
        });
        let splitting = spawn_blocking({
            let (sizes, buffers) = (self.task.part_sizes.clone(), self.buffers.clone());
            move || read::split(&split_from, sizes, buffers, &parts)
        });
        let at_once = usize::try_from(self.task.uploads).unwrap_or(1);

        let dumping = async {
            let listener = Listener {
                name: self.name,
                flavour: self.task.source.flavour,
                said: &self.said,
                hears: |line: Line<'_>| self.meter.hear(line),
            };
            let hearing = listener.hear(output.stderr);
            let ((), read) = tokio::join!(child::hear_out(hearing, running), reading);
            let whole = self.read(read?).await?;
            self.check(&whole.completeness, running).await?;
            let mut warnings = whole.completeness.warnings();
            let counted = self
                .read(spawn_blocking(move || whole.finish()).await?)
                .await?;
            warnings.extend(counted.as_ref().err().map(|why| uncounted(why)));
            warnings.extend(lock(&self.said).warnings.iter().cloned());
            Ok((counted.ok(), warnings))
        };
        let splitting = async {
            splitting
                .await?
                .map_err(|full| Failure::new(Cause::TooLarge, full))
        };
        let uploading = async { Ok(uploader.all(upload_from, at_once).await?) };
        let ((contents, warnings), totals, uploaded) =
            tokio::try_join!(dumping, splitting, uploading)?;
        compare(&totals, &uploaded)?;
        Ok(Streamed {
            totals,
            uploaded,
            contents,
            warnings,
        })
    }

    /// What reading has come to.
    async fn read<T>(&self, read: Result<T, Ended>) -> Result<T, Failure> {
        match read {
            Ok(read) => Ok(read),
            Err(Ended::Failed(error)) => Err(Failure::new(
                Cause::DumpFailed,
                format!("cannot read what {} writes: {error}", self.name),
            )),
            // Whatever stopped wanting it says why.
            Err(Ended::Unwanted) => std::future::pending().await,
        }
    }

    fn flavour(&self) -> Flavour {
        self.task.source.flavour
    }

    /// Why the tool did not succeed.
    fn failed(&self, status: ExitStatus, said: &Said, largest_row: Option<u64>) -> Failure {
        let name = self.name;
        if let Some(line) = said.lock(self.flavour()) {
            return Failure::new(
                Cause::NoProgress,
                format!(
                    "{name} waited too long for a lock that another session holds in the database: {line}"
                ),
            );
        }
        let mut message = format!("{name} {}", child::ended(status));
        if child::was_killed(status) {
            message.push_str(&memory::about(
                self.meter.tables.place().as_ref(),
                largest_row,
            ));
        }
        if let Some(line) = said.complaint() {
            message.push_str("; it said: ");
            message.push_str(line);
        }
        dump_failed(message).passing(said.is_passing(self.flavour()))
    }

    /// Decides whether the dump is good: by the tool's exit status, its messages and its output.
    async fn check(
        &self,
        completeness: &Completeness,
        running: &mut Running,
    ) -> Result<(), Failure> {
        let name = self.name;
        let said = || lock(&self.said).clone();
        match running.wait().await {
            Err(error) => {
                return Err(dump_failed(format!(
                    "cannot tell how {name} ended: {error}"
                )));
            }
            Ok(status) if !status.success() => {
                return Err(self.failed(status, &said(), completeness.largest_row()));
            }
            Ok(_) => {}
        }
        let heard = said();
        if let Some(error) = &heard.error {
            let message = format!("{name} ended as if all were well, but it said: {error}");
            return Err(dump_failed(message).passing(heard.is_passing(self.flavour())));
        }
        completeness.check().map_err(|what| {
            Failure::new(
                Cause::DumpIncomplete,
                format!(
                    "{name} ended as if all were well, but what it wrote is not a whole dump: {what}"
                ),
            )
        })
    }
}

/// The dump is whole, but nobody can say how many rows it has.
fn uncounted(why: &str) -> String {
    format!(
        "{}, so a restore of this backup proves less: {why}",
        contents::UNCOUNTED
    )
}

fn dump_failed(message: String) -> Failure {
    Failure::new(Cause::DumpFailed, message)
}

/// Checks that each part was uploaded exactly once.
fn compare(totals: &Totals, uploaded: &[result::Part]) -> Result<(), Failure> {
    let bytes: u64 = uploaded.iter().map(|part| part.size).sum();
    let in_order = (1..=totals.parts).eq(uploaded.iter().map(|part| part.number));
    if in_order && bytes == totals.bytes {
        return Ok(());
    }
    Err(Failure::new(
        Cause::UploadFailed,
        format!(
            "{} parts with {bytes} bytes were uploaded in the place of {} with {}; please report this",
            uploaded.len(),
            totals.parts,
            totals.bytes
        ),
    ))
}

/// How many threads zstd gets: as many as the pod may use, within limits, as each holds memory.
fn threads() -> u32 {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(threads).unwrap_or(1).clamp(1, 4)
}
