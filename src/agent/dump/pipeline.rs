//! One stream from the tool to the store: everything runs at once, in bounded memory.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::buffers::Buffers;
use super::child::{self, Output, Running};
use super::completeness::Completeness;
use super::compress::Compressor;
use super::messages::{self, Said, lock};
use super::read::{self, Ended};
use super::split::Totals;
use crate::agent::failure::Failure;
use crate::agent::meter::Meter;
use crate::agent::protocol::result::{self, Cause};
use crate::agent::protocol::task::Task;
use crate::agent::upload::Uploader;

/// How long to go on listening after the tool has ended: what it has started may hold its standard error open.
const LISTEN_ON: Duration = Duration::from_secs(2);

/// One stream from the tool to the store.
pub struct Pipeline<'a> {
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
}

impl Pipeline<'_> {
    /// Runs everything at once, until all of it is done or any of it has failed. Returns what was made and what the store has.
    pub async fn stream(
        self,
        running: &mut Running,
        output: Output,
        uploader: &Uploader,
    ) -> Result<(Totals, Vec<result::Part>), Failure> {
        let (pieces, split_from) = mpsc::sync_channel(64);
        let (parts, upload_from) = tokio::sync::mpsc::unbounded_channel();
        let compressor =
            Compressor::new(self.task.compression_level, threads(), self.buffers.clone())
                .map_err(|error| Failure::misconfigured(format!("cannot compress: {error}")))?;
        let completeness = Completeness::new(self.task.source.flavour);

        let reading = spawn_blocking({
            let meter = Arc::clone(&self.meter);
            move || read::read(output.stdout, completeness, compressor, &pieces, &meter)
        });
        let splitting = spawn_blocking({
            let (sizes, buffers) = (self.task.part_sizes.clone(), self.buffers.clone());
            move || read::split(&split_from, sizes, buffers, &parts)
        });
        let at_once = usize::try_from(self.task.uploads).unwrap_or(1);

        let dumping = async {
            let hearing = messages::hear(
                output.stderr,
                self.name,
                self.task.source.flavour,
                &self.said,
            );
            let ((), read) = tokio::join!(self.hear_out(hearing, running), reading);
            match read? {
                Ok(completeness) => self.check(&completeness, running).await,
                Err(Ended::Failed(error)) => Err(Failure::new(
                    Cause::DumpFailed,
                    format!("cannot read what {} writes: {error}", self.name),
                )),
                // Whatever stopped wanting it says why.
                Err(Ended::Unwanted) => std::future::pending().await,
            }
        };
        let splitting = async {
            splitting
                .await?
                .map_err(|full| Failure::new(Cause::TooLarge, full))
        };
        let uploading = async { Ok(uploader.all(upload_from, at_once).await?) };
        let ((), totals, uploaded) = tokio::try_join!(dumping, splitting, uploading)?;
        compare(&totals, &uploaded)?;
        Ok((totals, uploaded))
    }

    /// Hears the tool out: to the end of its messages, or until a little after it has ended.
    async fn hear_out(&self, hearing: impl Future<Output = ()>, running: &mut Running) {
        tokio::pin!(hearing);
        tokio::select! {
            () = &mut hearing => {}
            _ = running.wait() => {
                let _ = timeout(LISTEN_ON, hearing).await;
            }
        }
    }

    /// Decides whether the dump is good: by the tool's exit status, its messages and its output.
    async fn check(
        &self,
        completeness: &Completeness,
        running: &mut Running,
    ) -> Result<(), Failure> {
        let failed = |message| Err(Failure::new(Cause::DumpFailed, message));
        let name = self.name;
        let said = || lock(&self.said).clone();
        match running.wait().await {
            Err(error) => return failed(format!("cannot tell how {name} ended: {error}")),
            Ok(status) if !status.success() => {
                let said = said();
                if let Some(line) = said.lock(self.task.source.flavour) {
                    return Err(Failure::new(
                        Cause::NoProgress,
                        format!(
                            "{name} waited too long for a lock that another session holds in the database: {line}"
                        ),
                    ));
                }
                let last = said
                    .complaint()
                    .map_or_else(String::new, |line| format!("; it said: {line}"));
                return failed(format!("{name} {}{last}", child::ended(status)));
            }
            Ok(_) => {}
        }
        if let Some(error) = said().error {
            return failed(format!(
                "{name} ended as if all were well, but it said: {error}"
            ));
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
