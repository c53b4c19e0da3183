//! zstd on several threads: takes slices of any length and gives pieces of one length.

use std::io;

use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

use super::buffers::{Buffers, PIECE, Piece};

/// How many bytes a thread compresses at a time. By default zstd uses twice as many at the lowest level, and far more at
/// higher ones, and it holds several of these blocks.
const JOB: u32 = 1024 * 1024;

/// The window at level 1 is 512 KiB; at higher levels it is larger, and each thread holds one.
const WINDOW_LOG: u32 = 20;

/// Compresses one stream.
pub(super) struct Compressor {
    encoder: Encoder<'static>,
    buffers: Buffers,
    piece: Option<Piece>,
}

impl Compressor {
    /// A compressor with this many threads.
    pub(super) fn new(level: i32, threads: u32, buffers: Buffers) -> io::Result<Self> {
        let mut encoder = Encoder::new(level)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        encoder.set_parameter(CParameter::NbWorkers(threads))?;
        encoder.set_parameter(CParameter::JobSize(JOB))?;
        if level > 1 {
            encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        }
        Ok(Self {
            encoder,
            buffers,
            piece: None,
        })
    }

    /// Compresses these bytes, and hands full pieces to `sink`. False when they are no longer wanted.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: impl Fn(Piece) -> bool) -> io::Result<bool> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            let Some(mut piece) = self.piece.take().or_else(|| self.buffers.take()) else {
                return Ok(false);
            };
            let filled = piece.bytes().len();
            let mut output = OutBuffer::around_pos(piece.bytes(), filled);
            self.encoder.run(&mut input, &mut output)?;
            if !self.keep_or_give(piece, &sink) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands the rest to `sink`, after the last bytes.
    pub(super) fn finish(&mut self, sink: impl Fn(Piece) -> bool) -> io::Result<bool> {
        loop {
            let Some(mut piece) = self.piece.take().or_else(|| self.buffers.take()) else {
                return Ok(false);
            };
            let filled = piece.bytes().len();
            let mut output = OutBuffer::around_pos(piece.bytes(), filled);
            let left = self.encoder.finish(&mut output, true)?;
            if left == 0 {
                return Ok(sink(piece));
            }
            if !self.keep_or_give(piece, &sink) {
                return Ok(false);
            }
        }
    }

    /// Hands these bytes to `sink` as they are, after the rest.
    pub(super) fn append(&mut self, bytes: &[u8], sink: impl Fn(Piece) -> bool) -> bool {
        bytes.chunks(PIECE).all(|chunk| {
            let Some(mut piece) = self.buffers.take() else {
                return false;
            };
            piece.bytes().extend_from_slice(chunk);
            sink(piece)
        })
    }

    fn keep_or_give(&mut self, piece: Piece, sink: &impl Fn(Piece) -> bool) -> bool {
        if piece.is_full() {
            return sink(piece);
        }
        self.piece = Some(piece);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_goes_in_comes_out_again_in_full_pieces() {
        let mut noise = 1_u64;
        let data: Vec<u8> = (0..6_000_000)
            .map(|index| {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                if index % 3 == 0 {
                    (noise >> 56) as u8
                } else {
                    b'x'
                }
            })
            .collect();
        for level in [1, 6] {
            let buffers = Buffers::new(64 * 1024 * 1024);
            let mut compressor = Compressor::new(level, 2, buffers).unwrap();
            let pieces = RefCell::new(Vec::new());
            let sink = |piece: Piece| {
                pieces.borrow_mut().push(piece.freeze());
                true
            };
            for chunk in data.chunks(70_001) {
                assert!(compressor.feed(chunk, sink).unwrap());
            }
            assert!(compressor.finish(sink).unwrap());
            let skipped = [
                &[0x50, 0x2A, 0x4D, 0x18, 0x48, 0xE8, 1, 0][..],
                &vec![7; 125_000],
            ]
            .concat();
            assert!(compressor.append(&skipped, sink));
            let pieces = pieces.into_inner();
            let (appended, pieces) = pieces.split_last().unwrap();
            assert_eq!(appended[..], skipped);
            let (last, full) = pieces.split_last().unwrap();
            assert!(full.iter().all(|piece| piece.len() == PIECE) && last.len() <= PIECE);
            assert!(full.len() > 2);
            let whole = [pieces.concat(), skipped].concat();
            assert_eq!(zstd::decode_all(&whole[..]).unwrap(), data);
        }
    }
}
