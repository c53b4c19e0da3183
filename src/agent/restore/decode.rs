//! From the bytes of an object to those of the dump: hashed, looked at for its figures, decompressed. On a thread of its own.

use std::io;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Receiver;
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation, OutBuffer};

use super::meter::Meter;
use crate::agent::contents::ContentsReader;

/// How many bytes are decompressed at a time.
const CHUNK: usize = 128 * 1024;

/// The largest window of an object, as a power of two: 8 MiB. Those that were made here have one of 1 MiB.
const WINDOW_LOG: u32 = 23;

/// Takes the bytes of a dump.
pub(super) trait Sink: Send {
    /// Takes the next bytes.
    fn take(&mut self, bytes: &[u8]);
}

/// Decompresses one object.
struct Decoder {
    zstd: Zstd<'static>,
    out: Vec<u8>,
    sha256: Sha256,
    bytes: u64,
    /// How many bytes may come out.
    left: u64,
    contents: ContentsReader,
    /// A frame has begun and has not ended.
    is_open: bool,
    broken: Option<io::Error>,
}

/// What an object was.
pub(super) struct Decoded {
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Reads the figures that it holds.
    pub contents: ContentsReader,
    /// Why it cannot be decompressed.
    pub broken: Option<String>,
}

/// Decompresses all pieces into a sink, until no more come: at most as many bytes as the manifest says, which is what the
/// platform's limit and the room on the server were compared with.
pub(super) fn decode(
    mut pieces: Receiver<Bytes>,
    sink: &mut dyn Sink,
    meter: &Meter,
    most: u64,
) -> io::Result<Decoded> {
    let mut decoder = Decoder::new(most)?;
    while let Some(piece) = pieces.blocking_recv() {
        decoder.take(&piece, sink);
        meter
            .fetched
            .fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    Ok(decoder.finish())
}

impl Decoder {
    fn new(most: u64) -> io::Result<Self> {
        let mut zstd = Zstd::new()?;
        zstd.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self {
            zstd,
            out: vec![0; CHUNK],
            sha256: Sha256::new(),
            bytes: 0,
            left: most,
            contents: ContentsReader::new(),
            is_open: false,
            broken: None,
        })
    }

    /// Whatever is wrong with an object, it is hashed to its end: that tells a damaged one from one that never was a dump.
    fn take(&mut self, piece: &[u8], sink: &mut dyn Sink) {
        self.sha256.update(piece);
        self.bytes += piece.len() as u64;
        self.contents.observe(piece);
        if self.broken.is_none()
            && let Err(error) = self.decompress(piece, sink)
        {
            self.broken = Some(error);
        }
    }

    fn decompress(&mut self, piece: &[u8], sink: &mut dyn Sink) -> io::Result<()> {
        let mut input = InBuffer::around(piece);
        loop {
            let before = input.pos();
            let mut output = OutBuffer::around(&mut self.out[..]);
            let hint = self.zstd.run(&mut input, &mut output)?;
            let written = output.pos();
            // Of nothing, it only says what it would like to have for another frame.
            if input.pos() > before || written > 0 {
                self.is_open = hint != 0;
            }
            let left = self.left.checked_sub(written as u64);
            self.left = left.ok_or_else(|| {
                io::Error::other("more comes out of it than its manifest says (dumpedBytes)")
            })?;
            sink.take(&self.out[..written]);
            // What did not fit is still inside.
            if input.pos() == piece.len() && written < self.out.len() {
                return Ok(());
            }
        }
    }

    fn finish(self) -> Decoded {
        let cut = || {
            self.is_open
                .then(|| "it ends in the middle of a frame".to_owned())
        };
        Decoded {
            sha256: hex::encode(self.sha256.finalize()),
            bytes: self.bytes,
            contents: self.contents,
            broken: self.broken.as_ref().map(ToString::to_string).or_else(cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kept(Vec<u8>);

    impl Sink for Kept {
        fn take(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    fn decoded(object: &[u8], size: usize) -> (Vec<u8>, Decoded) {
        decoded_up_to(u64::MAX, object, size)
    }

    fn decoded_up_to(most: u64, object: &[u8], size: usize) -> (Vec<u8>, Decoded) {
        let (mut decoder, mut kept) = (Decoder::new(most).unwrap(), Kept(Vec::new()));
        for piece in object.chunks(size) {
            decoder.take(piece, &mut kept);
        }
        (kept.0, decoder.finish())
    }

    /// A dump, a frame to be skipped, and another dump.
    fn object(dump: &[u8]) -> Vec<u8> {
        let mut object = zstd::encode_all(dump, 1).unwrap();
        object.extend([0x5d, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        object.extend(zstd::encode_all(&b"end"[..], 1).unwrap());
        object
    }

    #[test]
    fn what_was_compressed_comes_out_and_frames_that_are_skipped_do_not() {
        let dump: Vec<u8> = (0..900_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        let object = object(&dump);
        for size in [1 << 20, 4096, 977] {
            let (out, decoded) = decoded(&object, size);
            assert_eq!(decoded.broken, None);
            assert_eq!(decoded.bytes, object.len() as u64);
            assert_eq!(decoded.sha256, hex::encode(Sha256::digest(&object)));
            assert!(out.strip_suffix(b"end") == Some(&dump[..]), "{size}");
        }
    }

    /// Also where what comes out fills the last buffer exactly.
    #[test]
    fn an_object_may_end_with_any_frame() {
        for size in [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK] {
            let mut object = zstd::encode_all(&vec![7; size][..], 1).unwrap();
            for _ in 0..2 {
                let (out, whole) = decoded(&object, 4096);
                assert_eq!((out.len(), whole.broken), (size, None));
                object.extend([0x5d, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
            }
            let (_, cut) = decoded(&object[..object.len() - 1], 4096);
            assert!(cut.broken.is_some(), "{size}");
        }
    }

    #[test]
    fn no_more_comes_out_than_the_manifest_says() {
        let dump = vec![0; 50 * CHUNK];
        let object = zstd::encode_all(&dump[..], 1).unwrap();
        let most = dump.len() as u64;
        let (out, decoded) = decoded_up_to(most, &object, 4096);
        assert_eq!((out.len(), decoded.broken), (dump.len(), None));
        let (out, decoded) = decoded_up_to(most - 1, &object, 4096);
        assert!(out.len() < dump.len());
        assert!(decoded.broken.unwrap().contains("dumpedBytes"));
        assert_eq!(decoded.sha256, hex::encode(Sha256::digest(&object)));
    }

    #[test]
    fn a_damaged_object_is_hashed_to_its_end() {
        let dump: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let whole = object(&dump);
        let (_, cut) = decoded(&whole[..whole.len() / 2], 4096);
        assert!(cut.broken.unwrap().contains("in the middle"));
        let mut altered = whole.clone();
        // A frame of no known kind: what is altered inside one is only found by the hash.
        altered[0] ^= 1;
        let (_, damaged) = decoded(&altered, 4096);
        assert!(damaged.broken.is_some());
        assert_eq!(damaged.sha256, hex::encode(Sha256::digest(&altered)));
        let (_, none) = decoded(b"no zstd at all", 4);
        assert!(none.broken.is_some());
    }
}
