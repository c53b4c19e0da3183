//! What came of it: the termination message of the pod, at most 4 KiB of JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What came of a dump, as the pod sees it. It becomes the truth only after the operator compared it with the store.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum Report {
    /// The tool ended well, its output was whole, and every part arrived.
    Done(Done),
    /// It did not work.
    Failed(Failed),
}

/// What was uploaded.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Parts of the object.
    pub parts: u32,
    /// Bytes of the object.
    pub bytes: u64,
    /// SHA-256 of the object, in lower case hexadecimal digits.
    pub sha256: String,
    /// [`digest`] over the parts.
    pub parts_digest: String,
    /// Bytes that the dump tool wrote.
    pub dumped_bytes: u64,
    /// What the tool says that it is: `pg_dump (PostgreSQL) 17.6`.
    pub tool_version: String,
}

/// Why it did not work.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The kind of failure.
    pub cause: Cause,
    /// For a person, and what to do about it.
    pub message: String,
    /// The last lines that the tool wrote to its standard error, cut so that the whole fits.
    pub last_lines: Vec<String>,
    /// What the tool says that it is, if it was asked already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
}

/// The kinds of failure that a pod can tell.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Cause {
    /// The tool is older than the server, or one for another kind of server.
    ToolMismatch,
    /// The tool ended with an error, or was killed.
    DumpFailed,
    /// The tool ended well, but its output is not whole.
    DumpIncomplete,
    /// The dump does not fit into the parts that the store allows.
    TooLarge,
    /// Nothing moved for too long.
    NoProgress,
    /// Parts could not be uploaded.
    UploadFailed,
    /// The pod was asked to end.
    Terminated,
    /// The pod's own files are not as they should be: a template that lacks something, mostly.
    Misconfigured,
}

/// A part as the store has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// Its number, from one.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// What the store calls it, with its quotes taken off. Not always a checksum.
    pub etag: String,
}

/// The most bytes of a termination message that a kubelet passes on.
pub const LIMIT: usize = 4096;

impl Report {
    /// The termination message: JSON that fits, with the tool's newest lines first to stay.
    #[must_use]
    pub fn message(&self) -> String {
        let mut report = self.clone();
        loop {
            let text = serde_json::to_string(&report).unwrap_or_default();
            if text.len() <= LIMIT || !report.shrink() {
                return text;
            }
        }
    }

    /// Takes away what matters least; false when there is nothing left to take.
    fn shrink(&mut self) -> bool {
        let Self::Failed(failed) = self else {
            return false;
        };
        if failed.last_lines.len() > 1 {
            failed.last_lines.remove(0);
            return true;
        }
        let longest = match failed.last_lines.first_mut() {
            Some(line) if line.len() > failed.message.len() => line,
            _ => &mut failed.message,
        };
        let keep = longest.chars().count() * 3 / 4;
        if keep == 0 {
            return false;
        }
        *longest = longest.chars().take(keep).collect();
        true
    }
}

/// SHA-256 over one line a part (`number size etag`), in lower case hexadecimal digits: equal on both sides only where
/// both saw the same parts.
#[must_use]
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a Part>) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(format!("{} {} {}\n", part.number, part.size, part.etag));
    }
    hexadecimal(&hash.finalize())
}

/// Lower case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let failed = Report::Failed(Failed {
            cause: Cause::DumpFailed,
            message: "x".to_owned(),
            last_lines: vec!["y".to_owned()],
            tool_version: None,
        });
        let text = serde_json::to_string(&failed).unwrap();
        assert!(
            text.contains(r#""outcome":"failed""#) && text.contains(r#""cause":"DumpFailed""#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), failed);
    }

    #[test]
    fn a_termination_message_always_fits_and_keeps_the_newest_lines() {
        let lines = |count: usize, of: &str| -> Vec<String> {
            (0..count).map(|number| format!("{number} {of}")).collect()
        };
        for (message, last_lines) in [
            ("short".to_owned(), lines(20, &"\u{1}\"é".repeat(100))),
            ("long é".repeat(3000), Vec::new()),
            ("long".repeat(3000), lines(3, &"x".repeat(9000))),
        ] {
            let failed = Failed {
                cause: Cause::DumpFailed,
                message: message.clone(),
                last_lines: last_lines.clone(),
                tool_version: Some("pg_dump (PostgreSQL) 17.6".to_owned()),
            };
            let text = Report::Failed(failed).message();
            assert!(text.len() <= LIMIT, "{}", text.len());
            let Report::Failed(read) = serde_json::from_str(&text).unwrap() else {
                panic!("{text}");
            };
            assert!(message.starts_with(&read.message) && !read.message.is_empty());
            if let Some(newest) = last_lines.last() {
                assert!(newest.starts_with(read.last_lines.last().unwrap()));
            }
        }
    }

    #[test]
    fn the_digest_tells_parts_apart() {
        let part = |number, size, etag: &str| Part {
            number,
            size,
            etag: etag.to_owned(),
        };
        let one = digest(&[part(1, 5, "a"), part(2, 3, "b")]);
        assert_eq!(one.len(), 64);
        for other in [
            vec![part(1, 5, "a")],
            vec![part(1, 5, "a"), part(2, 3, "c")],
            vec![part(1, 3, "a"), part(2, 5, "b")],
        ] {
            assert_ne!(digest(&other), one);
        }
    }
}
