//! A part that is ready to be uploaded.

use bytes::Bytes;

/// A part that is ready to be uploaded.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its number, from one.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Its MD5 as the header `Content-MD5` has it.
    pub md5: String,
    /// Its content.
    pub content: Vec<Bytes>,
}
