//! One stream from the tool to the store: everything at once, and bounded.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::buffers::Buffers;
use super::child::{self, Output, Running};
use super::compress::Compressor;
use super::cut::Cut;
use super::errand::Errand;
use super::failure::Failure;
use super::messages::{self, Said, lock};
use super::meter::Meter;
use super::read::{self, Ended};
use super::report::{self, Cause};
use super::upload::Uploader;
use super::whole::Whole;

/// After the tool has ended, what it has started may hold its standard error open.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);

/// One stream from the tool to the store.
pub struct Work<'a> {
    /// What is asked for.
    pub errand: &'a Errand,
    /// What the tool calls itself.
    pub name: &'a str,
    /// The memory between.
    pub buffers: Buffers,
    /// What moves.
    pub meter: Arc<Meter>,
    /// What the tool says.
    pub said: Arc<Mutex<Said>>,
}

impl Work<'_> {
    /// Everything at once, until all of it is done or one of it has failed.
    pub async fn stream(
        self,
        running: &mut Running,
        output: Output,
        uploader: &Uploader,
    ) -> Result<(Cut, Vec<report::Part>), Failure> {
        let (pieces, cut_from) = mpsc::sync_channel(64);
        let (parts, upload_from) = tokio::sync::mpsc::unbounded_channel();
        let compressor = Compressor::new(
            self.errand.compression_level,
            threads(),
            self.buffers.clone(),
        )
        .map_err(|error| Failure::misconfigured(format!("cannot compress: {error}")))?;
        let whole = Whole::new(self.errand.source.flavour);

        let reading = spawn_blocking({
            let meter = Arc::clone(&self.meter);
            move || read::read(output.stdout, whole, compressor, &pieces, &meter)
        });
        let cutting = spawn_blocking({
            let (schedule, buffers) = (self.errand.schedule.clone(), self.buffers.clone());
            move || read::cut(&cut_from, schedule, buffers, &parts)
        });
        let at_once = usize::try_from(self.errand.uploads).unwrap_or(1);

        let dumping = async {
            let hearing = messages::hear(
                output.stderr,
                self.name,
                self.errand.source.flavour,
                &self.said,
            );
            let ((), whole) = tokio::join!(self.last_words(hearing, running), reading);
            match whole? {
                Ok(whole) => self.verdict(&whole, running).await,
                Err(Ended::Failed(error)) => Err(Failure::new(
                    Cause::DumpFailed,
                    format!("cannot read what {} writes: {error}", self.name),
                )),
                // Whoever stopped wanting it says why.
                Err(Ended::Unwanted) => std::future::pending().await,
            }
        };
        let cutting = async {
            cutting
                .await?
                .map_err(|full| Failure::new(Cause::TooLarge, full))
        };
        let uploading = async { Ok(uploader.all(upload_from, at_once).await?) };
        let ((), cut, uploaded) = tokio::try_join!(dumping, cutting, uploading)?;
        check(&cut, &uploaded)?;
        Ok((cut, uploaded))
    }

    /// Hears the tool out: to the end of its messages, or a little longer than it lives.
    async fn last_words(&self, hearing: impl Future<Output = ()>, running: &mut Running) {
        tokio::pin!(hearing);
        tokio::select! {
            () = &mut hearing => {}
            _ = running.wait() => {
                let _ = timeout(LAST_WORDS_WITHIN, hearing).await;
            }
        }
    }

    /// The exit status, the messages and the output decide together.
    async fn verdict(&self, whole: &Whole, running: &mut Running) -> Result<(), Failure> {
        let failed = |message| Err(Failure::new(Cause::DumpFailed, message));
        let name = self.name;
        let said = || lock(&self.said).clone();
        match running.wait().await {
            Err(error) => return failed(format!("cannot tell how {name} ended: {error}")),
            Ok(status) if !status.success() => {
                let said = said();
                if let Some(line) = said.lock(self.errand.source.flavour) {
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
        whole.verdict().map_err(|what| {
            Failure::new(
                Cause::DumpIncomplete,
                format!(
                    "{name} ended as if all were well, but what it wrote is not a whole dump: {what}"
                ),
            )
        })
    }
}

/// Each part that was cut is there, once.
fn check(cut: &Cut, uploaded: &[report::Part]) -> Result<(), Failure> {
    let bytes: u64 = uploaded.iter().map(|part| part.size).sum();
    let in_order = (1..=cut.parts).eq(uploaded.iter().map(|part| part.number));
    if in_order && bytes == cut.bytes {
        return Ok(());
    }
    Err(Failure::new(
        Cause::UploadFailed,
        format!(
            "{} parts with {bytes} bytes were uploaded in the place of {} with {}; please report this",
            uploaded.len(),
            cut.parts,
            cut.bytes
        ),
    ))
}

/// Threads of zstd: as many as the pod may use, but each holds memory.
fn threads() -> u32 {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(threads).unwrap_or(1).clamp(1, 4)
}
