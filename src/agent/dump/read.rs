//! Reads what the tool writes, on a thread of its own: it is checked for completeness, counted, compressed, and handed on in pieces.
//! The last pieces are handed on only once the dump is known to be good: of a small one that fails, the store sees nothing.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use nix::fcntl::{FcntlArg, fcntl};
use tokio::sync::mpsc::UnboundedSender;

use super::buffers::{Buffers, Piece};
use super::completeness::Completeness;
use super::compress::Compressor;
use super::split::{OutOfParts, Splitter, Totals};
use crate::agent::meter::Meter;
use crate::agent::protocol::contents;
use crate::agent::protocol::part_sizes::PartSizes;
use crate::agent::upload::Part;

/// How many bytes are read at a time: few enough to stay in the processor's cache until they are compressed.
const CHUNK: usize = 256 * 1024;

/// Dump tools write 4 KiB at a time, and waking up for each write costs both sides more than the reading. After a read that
/// brought less than this, the next one waits a moment, until there is more.
const LITTLE: usize = CHUNK / 4;

/// How long it waits. Below 2 GB/s a large pipe does not fill up in this time, so the tool does not have to wait.
const NAP: Duration = Duration::from_micros(500);

/// From which size on a pipe is large, in bytes.
const LARGE: i32 = 1024 * 1024;

/// Why reading ended early.
#[derive(Debug)]
pub(super) enum Ended {
    /// The pipe failed, or zstd did.
    Failed(io::Error),
    /// The data is no longer wanted; whatever stopped wanting it says why.
    Unwanted,
}

/// What was read to the end, but not handed on to the end.
pub(super) struct Whole {
    /// What was seen of its completeness.
    pub completeness: Completeness,
    compressor: Compressor,
    pieces: SyncSender<Bytes>,
}

/// Reads the tool's output to its end, after what comes `before` it.
pub(super) fn read(
    mut stdout: File,
    before: &[u8],
    mut completeness: Completeness,
    mut compressor: Compressor,
    pieces: SyncSender<Bytes>,
    meter: &Meter,
) -> Result<Whole, Ended> {
    let mut chunk = vec![0; CHUNK];
    let large = fcntl(&stdout, FcntlArg::F_GETPIPE_SZ).is_ok_and(|size| size >= LARGE);
    let sink = |piece: Piece| pieces.send(piece.freeze()).is_ok();
    meter
        .dumped
        .fetch_add(before.len() as u64, Ordering::Relaxed);
    wanted(compressor.feed(before, sink))?;
    let mut expects = false;
    loop {
        match stdout.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                meter.dumped.fetch_add(count as u64, Ordering::Relaxed);
                completeness.observe(&chunk[..count]);
                if !expects && let Some(tables) = completeness.tables() {
                    meter.tables.expect(tables);
                    expects = true;
                }
                wanted(compressor.feed(&chunk[..count], sink))?;
                if large && count < LITTLE {
                    thread::sleep(NAP);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Ended::Failed(error)),
        }
    }
    Ok(Whole {
        completeness,
        compressor,
        pieces,
    })
}

/// What was counted, or why it was not.
pub(super) type Counted = Result<contents::Totals, String>;

impl Whole {
    /// Hands on the rest, and behind it what was counted table by table.
    pub(super) fn finish(mut self) -> Result<Counted, Ended> {
        let sink = |piece: Piece| self.pieces.send(piece.freeze()).is_ok();
        wanted(self.compressor.finish(sink))?;
        let finished = match self.completeness.figures() {
            Ok(figures) => figures.finish(),
            Err(why) => return Ok(Err(why)),
        };
        if let Some(frame) = finished.frame {
            wanted(Ok(self.compressor.append(&frame, sink)))?;
        }
        Ok(Ok(finished.totals))
    }
}

fn wanted(wanted: io::Result<bool>) -> Result<(), Ended> {
    match wanted {
        Ok(true) => Ok(()),
        Ok(false) => Err(Ended::Unwanted),
        Err(error) => Err(Ended::Failed(error)),
    }
}

/// Hashes all pieces and splits them into parts, on another thread.
pub(super) fn split(
    pieces: &Receiver<Bytes>,
    sizes: PartSizes,
    buffers: Buffers,
    parts: &UnboundedSender<Part>,
) -> Result<Totals, OutOfParts> {
    let mut splitter = Splitter::new(sizes, buffers);
    // If there is no receiver, the upload has failed and says so itself.
    let sink = |part| {
        let _ = parts.send(part);
    };
    for piece in pieces {
        splitter.add(piece, &sink)?;
    }
    Ok(splitter.finish(&sink))
}
