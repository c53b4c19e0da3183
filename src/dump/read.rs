//! Takes what the tool writes, on a thread of its own: watched for its end, compressed, and handed on in pieces.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use nix::fcntl::{FcntlArg, fcntl};
use tokio::sync::mpsc::UnboundedSender;

use super::buffers::Buffers;
use super::compress::Compressor;
use super::cut::{Cut, Cutter, Full, Part};
use super::meter::Meter;
use super::parts::Schedule;
use super::whole::Whole;

/// Bytes that are read at a time: small enough to stay in a processor's cache until they are compressed.
const CHUNK: usize = 256 * 1024;

/// Dump tools write 4 KiB at a time, and waking up for each costs both sides more than the reading. After a read that
/// brought less than this, the next one waits until there is more.
const LITTLE: usize = CHUNK / 4;

/// A large pipe does not fill in this time below 2 GB/s, so the tool does not wait for it.
const NAP: Duration = Duration::from_micros(500);

/// A pipe from this size on is large, in bytes.
const LARGE: i32 = 1024 * 1024;

/// Why reading ended early.
#[derive(Debug)]
pub enum Ended {
    /// The pipe, or zstd.
    Failed(io::Error),
    /// Nobody wants the data any more; whoever stopped wanting it says why.
    Unwanted,
}

/// Reads to the end of the tool's output. What the watcher saw is the result.
pub fn read(
    mut stdout: File,
    mut whole: Whole,
    mut compressor: Compressor,
    pieces: &SyncSender<Bytes>,
    meter: &Meter,
) -> Result<Whole, Ended> {
    let mut chunk = vec![0; CHUNK];
    let large = fcntl(&stdout, FcntlArg::F_GETPIPE_SZ).is_ok_and(|size| size >= LARGE);
    let sink = |piece: super::buffers::Piece| pieces.send(piece.freeze()).is_ok();
    let wanted = |wanted| match wanted {
        Ok(true) => Ok(()),
        Ok(false) => Err(Ended::Unwanted),
        Err(error) => Err(Ended::Failed(error)),
    };
    loop {
        match stdout.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                meter.dumped.fetch_add(count as u64, Ordering::Relaxed);
                whole.pass(&chunk[..count]);
                wanted(compressor.feed(&chunk[..count], sink))?;
                if large && count < LITTLE {
                    thread::sleep(NAP);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Ended::Failed(error)),
        }
    }
    wanted(compressor.finish(sink))?;
    Ok(whole)
}

/// Hashes and cuts all pieces, on another thread.
pub fn cut(
    pieces: &Receiver<Bytes>,
    schedule: Schedule,
    buffers: Buffers,
    parts: &UnboundedSender<Part>,
) -> Result<Cut, Full> {
    let mut cutter = Cutter::new(schedule, buffers);
    // Without a receiver the upload has failed, and says so itself.
    let sink = |part| {
        let _ = parts.send(part);
    };
    for piece in pieces {
        cutter.add(piece, &sink)?;
    }
    Ok(cutter.finish(&sink))
}
