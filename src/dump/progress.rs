//! How far a dump is: one line of the pod's log, for a person, and read back by the operator.

use std::fmt;
use std::str::FromStr;

/// How far a dump is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Bytes that the dump tool wrote.
    pub dumped: u64,
    /// Bytes that the store received.
    pub uploaded: u64,
    /// Parts that the store received.
    pub parts: u32,
    /// Bytes that the dump tool wrote per second, of late.
    pub rate: u64,
    /// Of the catalog's estimate, at most 99 before the end; `None` without an estimate.
    pub percent: Option<u8>,
}

/// The line is not one about progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a line about progress")]
pub struct NotProgress;

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dumped {} bytes, uploaded {} bytes in {} parts, {} bytes/s",
            self.dumped, self.uploaded, self.parts, self.rate
        )?;
        match self.percent {
            Some(percent) => write!(f, ", {percent} %"),
            None => Ok(()),
        }
    }
}

impl FromStr for Progress {
    type Err = NotProgress;

    fn from_str(_line: &str) -> Result<Self, NotProgress> {
        Err(NotProgress)
    }
}
