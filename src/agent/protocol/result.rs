//! The result of a task: the pod's termination message, at most 4 KiB of JSON.

use serde::{Deserialize, Serialize};

/// What became of a task, as the agent sees it. The operator believes it only after comparing it with the store.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum TaskResult {
    /// The tool succeeded, its output was complete, and every part arrived.
    Done(Done),
    /// It failed.
    Failed(Failed),
}

/// What was uploaded.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// The object's number of parts.
    pub parts: u32,
    /// The object's size in bytes.
    pub bytes: u64,
    /// The object's SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
    /// The [`digest`] of its parts.
    pub parts_digest: String,
    /// How many bytes the dump tool wrote.
    pub dumped_bytes: u64,
    /// The tool's version in its own words: `pg_dump (PostgreSQL) 17.6`.
    pub tool_version: String,
}

/// Why it failed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The kind of failure.
    pub cause: Cause,
    /// For people: what is wrong, and what to do about it.
    pub message: String,
    /// The last lines that the tool wrote to its standard error, shortened until the message fits.
    pub last_lines: Vec<String>,
    /// The tool's version in its own words, if it got as far as being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
}

/// The kinds of failure that the agent can tell apart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Cause {
    /// The tool is older than the server, or made for another kind of server.
    ToolMismatch,
    /// The tool failed, or was killed.
    DumpFailed,
    /// The tool succeeded, but its output is incomplete.
    DumpIncomplete,
    /// The dump does not fit into as many parts as the store accepts.
    TooLarge,
    /// There was no progress for too long.
    NoProgress,
    /// Parts could not be uploaded.
    UploadFailed,
    /// The pod was asked to terminate.
    Terminated,
    /// The pod's files are not as they should be, usually because the template lacks something.
    Misconfigured,
}

/// A part as the store has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// Its number, from one.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The store's ETag for it, without quotes. Not always a checksum.
    pub etag: String,
}

/// The longest termination message that a kubelet passes on, in bytes.
pub const LIMIT: usize = 4096;

impl TaskResult {
    /// The termination message: JSON, shortened until it fits. The tool's newest lines are the last to go.
    #[must_use]
    pub fn message(&self) -> String {
        let mut result = self.clone();
        loop {
            let text = serde_json::to_string(&result).unwrap_or_default();
            if text.len() <= LIMIT || !result.shrink() {
                return text;
            }
        }
    }

    /// Drops what matters least; false when nothing is left to drop.
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

/// The SHA-256 of one line per part (`number size etag`), in lower-case hexadecimal digits: operator and agent get the same
/// one only if both saw the same parts.
#[must_use]
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a Part>) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(format!("{} {} {}\n", part.number, part.size, part.etag));
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let failed = TaskResult::Failed(Failed {
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
        assert_eq!(serde_json::from_str::<TaskResult>(&text).unwrap(), failed);
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
            let text = TaskResult::Failed(failed).message();
            assert!(text.len() <= LIMIT, "{}", text.len());
            let TaskResult::Failed(read) = serde_json::from_str(&text).unwrap() else {
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
