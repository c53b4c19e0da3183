//! The figures as a zstd skippable frame behind the dump: `zstd -dc` passes over it, and so does every other decoder.
//!
//! ```text
//! 0x184D2A5D, size of what follows    four bytes each, lowest first
//! "dbo-cont"                          other programs write skippable frames, too
//! JSON, compressed by zstd
//! ```

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};
use zstd::stream::write::Encoder;

/// Of the sixteen numbers that skippable frames may begin with, one that no program in use has for itself.
pub(super) const MAGIC: u32 = 0x184D_2A5D;

/// What the content begins with.
pub(super) const MARK: [u8; 8] = *b"dbo-cont";

/// What comes before the mark.
pub(super) const HEAD: usize = 8;

/// The most bytes of a frame.
pub(super) const LONGEST: usize = 16 * 1024 * 1024;

/// The most bytes of the JSON in it.
pub(super) const LONGEST_JSON: u64 = 32 * 1024 * 1024;

/// The frame, and the SHA-256 of its JSON; `None` where it would be too long.
pub(super) fn written(contents: &impl Serialize) -> Option<(String, Vec<u8>)> {
    let (digest, mut frame) = compressed(contents).ok()?;
    let size = u32::try_from(frame.len() - HEAD).ok()?;
    frame[4..HEAD].copy_from_slice(&size.to_le_bytes());
    (frame.len() <= LONGEST).then_some((digest, frame))
}

/// The SHA-256 of the JSON.
pub(super) fn digest(contents: &impl Serialize) -> String {
    let text = serde_json::to_vec(contents).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}

fn compressed(contents: &impl Serialize) -> io::Result<(String, Vec<u8>)> {
    let mut frame = MAGIC.to_le_bytes().to_vec();
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&MARK);
    let mut encoder = Encoder::new(frame, zstd::DEFAULT_COMPRESSION_LEVEL)?;
    encoder.include_checksum(true)?;
    let mut json = BufWriter::new(Hashed {
        to: encoder,
        sha256: Sha256::new(),
        left: LONGEST_JSON,
    });
    serde_json::to_writer(&mut json, contents)?;
    let hashed = json.into_inner().map_err(io::IntoInnerError::into_error)?;
    let frame = hashed.to.finish()?;
    Ok((hex::encode(hashed.sha256.finalize()), frame))
}

/// Hashes what is written, of which there may be so much.
struct Hashed<W> {
    to: W,
    sha256: Sha256,
    left: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("too long"))?;
        self.to.write_all(bytes)?;
        self.sha256.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
