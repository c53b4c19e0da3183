//! Takes the bytes of an archive: first its table of contents into a file, then all of it into the tool.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot::Sender;

use crate::agent::dump::completeness::{Completeness, LONGEST_CONTENTS};
use crate::agent::protocol::restore::RestoreCause;
use crate::agent::protocol::task::Flavour;
use crate::agent::restore::decode::Sink;
use crate::agent::restore::failure::Failure;
use crate::agent::restore::meter::Meter;

/// Takes one archive.
pub(super) struct Intake {
    /// What is seen of it as it passes.
    pub walker: Completeness,
    path: PathBuf,
    stage: Stage,
    /// Gives the tool's standard input, once its table of contents was looked at; nothing if it is not to be loaded.
    tool: Receiver<File>,
    meter: Arc<Meter>,
}

/// What becomes of the bytes now.
enum Stage {
    /// They go into the file, until the table of contents is complete.
    Contents {
        file: File,
        length: u64,
        known: Sender<Result<(), Failure>>,
    },
    /// The tool takes them.
    Tool(File),
    /// Nobody wants them any more.
    Unwanted,
}

impl Intake {
    /// Into this file; `known` is told when the table of contents is complete, or why it never will be.
    pub(super) fn new(
        path: &Path,
        known: Sender<Result<(), Failure>>,
        tool: Receiver<File>,
        meter: Arc<Meter>,
    ) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            walker: Completeness::new(Flavour::Postgresql),
            path: path.to_owned(),
            stage: Stage::Contents {
                file,
                length: 0,
                known,
            },
            tool,
            meter,
        })
    }

    /// After the last byte: if the table of contents never was complete, whoever waits for it is told.
    pub(super) fn end(mut self) -> Completeness {
        if let Stage::Contents { known, .. } = std::mem::replace(&mut self.stage, Stage::Unwanted) {
            let why = self.walker.check().err();
            let why = why.unwrap_or_else(|| "it ends in its table of contents".to_owned());
            let _ = known.send(Err(not_whole(&why)));
        }
        self.walker
    }

    fn put(&mut self, bytes: &[u8], stage: Stage) -> Stage {
        // What this process does not understand, the tool would understand in its own way.
        if self.walker.is_broken() {
            if let (Stage::Contents { known, .. }, Err(why)) = (stage, self.walker.check()) {
                let _ = known.send(Err(not_whole(&why)));
            }
            return Stage::Unwanted;
        }
        match stage {
            Stage::Contents {
                mut file,
                length,
                known,
            } => {
                let length = length + bytes.len() as u64;
                let written = file.write_all(bytes);
                if let Err(error) = written {
                    let _ = known.send(Err(Failure::misconfigured(format!(
                        "cannot write the table of contents to {}: {error}",
                        self.path.display()
                    ))));
                    return Stage::Unwanted;
                }
                if self.walker.tables().is_some() {
                    let _ = known.send(Ok(()));
                    return self.begin();
                }
                if length > LONGEST_CONTENTS {
                    let _ = known.send(Err(too_long()));
                    return Stage::Unwanted;
                }
                Stage::Contents {
                    file,
                    length,
                    known,
                }
            }
            Stage::Tool(mut stdin) => match stdin.write_all(bytes) {
                Ok(()) => {
                    let count = bytes.len() as u64;
                    self.meter.loaded.fetch_add(count, Ordering::Relaxed);
                    Stage::Tool(stdin)
                }
                // The tool has ended: by itself after the last rows that it was to load, or with an error that it tells.
                Err(_) => Stage::Unwanted,
            },
            Stage::Unwanted => Stage::Unwanted,
        }
    }

    /// Waits for the tool, and gives it what is in the file: the beginning of the archive.
    fn begin(&self) -> Stage {
        let Ok(mut stdin) = self.tool.recv() else {
            return Stage::Unwanted;
        };
        let given = File::open(&self.path).and_then(|mut file| io::copy(&mut file, &mut stdin));
        match given {
            Ok(_) => Stage::Tool(stdin),
            Err(_) => Stage::Unwanted,
        }
    }
}

fn not_whole(why: &str) -> Failure {
    Failure::new(
        RestoreCause::NotADump,
        format!("this is not a whole dump: {why}"),
    )
}

fn too_long() -> Failure {
    Failure::new(
        RestoreCause::TooLarge,
        format!(
            "the dump's table of contents is longer than {} MiB, so many tables or large objects are in it: there is nothing wrong with it, \
             but only pg_restore by hand loads it",
            LONGEST_CONTENTS / (1024 * 1024)
        ),
    )
}

impl Sink for Intake {
    fn take(&mut self, bytes: &[u8]) {
        self.walker.observe(bytes);
        let stage = std::mem::replace(&mut self.stage, Stage::Unwanted);
        self.stage = self.put(bytes, stage);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;

    use tokio::sync::oneshot;

    use super::*;

    /// The head of an archive whose table of contents goes on for ever.
    fn endless() -> Vec<u8> {
        let int = |value: u32| [&[0][..], &value.to_le_bytes()].concat();
        let mut bytes = b"PGDMP\x01\x10\x00\x04\x08\x01\x00".to_vec();
        bytes.extend((0..7).flat_map(|_| int(1)));
        bytes.extend((0..3).flat_map(|_| int(0)));
        bytes.extend(int(u32::MAX >> 1));
        bytes
    }

    fn taken(pieces: &[&[u8]]) -> Failure {
        let folder =
            std::env::temp_dir().join(format!("intake-{}-{}", std::process::id(), pieces.len()));
        let (known, mut said) = oneshot::channel();
        let (_tool, from) = channel();
        let meter = Arc::new(Meter::new(1));
        let mut intake = Intake::new(&folder, known, from, meter).unwrap();
        for piece in pieces {
            intake.take(piece);
        }
        fs::remove_file(&folder).unwrap();
        said.try_recv().unwrap().unwrap_err()
    }

    #[test]
    fn why_a_table_of_contents_cannot_be_used_is_told_apart() {
        let failure = taken(&[b"no archive"]);
        assert_eq!(failure.cause, RestoreCause::NotADump);
        let head = endless();
        // An entry that has begun, with a name that has not ended.
        let name = [&[0, 1, 0, 0, 0][..], &[0; 15], &[0, 0, 0, 0, 8]].concat();
        let filler = vec![b'x'; 1024 * 1024];
        let mut pieces: Vec<&[u8]> = vec![&head, &name];
        pieces.extend((0..65).map(|_| &filler[..]));
        let failure = taken(&pieces);
        assert_eq!(failure.cause, RestoreCause::TooLarge, "{failure:?}");
        assert!(failure.message.contains("nothing wrong"), "{failure:?}");
    }
}
