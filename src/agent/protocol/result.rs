//! The result of a task: the pod's termination message, at most 4 KiB of JSON.

use serde::{Deserialize, Serialize};

use super::contents::Totals;

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
    /// What was counted in the dump. `None` from earlier agents, and where it could not be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// What the dump lacks, or what its restore needs, a sentence each. As [`TaskResult::message`] writes them: at most
    /// [`WARNINGS`] of at most [`WARNING_LENGTH`] characters, of which the last one may count those that are only in the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why it failed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The kind of failure.
    pub cause: Cause,
    /// For people: what is wrong, and what to do about it.
    pub message: String,
    /// Another attempt may succeed without anybody doing anything: a connection limit that is used up, a table that
    /// changed while it was dumped, a server that restarts. The agent has tried again itself, unless parts were on their way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passing: bool,
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

/// The most warnings that a result has.
pub const WARNINGS: usize = 8;

/// The most characters that a warning has.
pub const WARNING_LENGTH: usize = 200;

impl TaskResult {
    /// The termination message: JSON, shortened until it fits. Of a failure, the tool's newest lines are the last to go; of a
    /// success, its first warnings.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Done(done) => done.message(),
            Self::Failed(_) => self.clone().shortened(),
        }
    }

    fn shortened(mut self) -> String {
        loop {
            let text = serde_json::to_string(&self).unwrap_or_default();
            if text.len() <= LIMIT || !self.shrink() {
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

impl Done {
    fn message(&self) -> String {
        let mut shown = self.warnings.len().min(WARNINGS);
        loop {
            let result = TaskResult::Done(Self {
                warnings: first(&self.warnings, shown),
                ..self.clone()
            });
            let text = serde_json::to_string(&result).unwrap_or_default();
            if text.len() <= LIMIT || shown == 0 {
                return text;
            }
            shown -= 1;
        }
    }
}

/// The first warnings, in so many lines; if there are more, the last line counts them.
pub(super) fn first(warnings: &[String], lines: usize) -> Vec<String> {
    let shown = if warnings.len() > lines {
        lines.saturating_sub(1)
    } else {
        lines
    };
    let mut first: Vec<String> = warnings[..shown]
        .iter()
        .map(|warning| cut(warning, WARNING_LENGTH))
        .collect();
    match warnings.len() - shown {
        0 => {}
        more => first.push(format!("and {more} more, see the log")),
    }
    first
}

/// A text of at most so many characters.
fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept = text.chars().take(length.saturating_sub(1));
    kept.chain(std::iter::once('…')).collect()
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
            passing: false,
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
                passing: true,
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
    fn what_an_older_agent_wrote_is_read() {
        let done = r#"{"outcome":"done","parts":1,"bytes":2,"sha256":"","partsDigest":"","dumpedBytes":3,"toolVersion":""}"#;
        let failed = r#"{"outcome":"failed","cause":"DumpFailed","message":"x","lastLines":[]}"#;
        let TaskResult::Done(done) = serde_json::from_str(done).unwrap() else {
            panic!("not done");
        };
        assert!(done.warnings.is_empty() && done.totals.is_none());
        let TaskResult::Failed(failed) = serde_json::from_str(failed).unwrap() else {
            panic!("not failed");
        };
        assert!(!failed.passing);
    }

    #[test]
    fn warnings_fit_and_those_that_are_left_out_are_counted() {
        let done = |warnings: &[String]| Done {
            parts: 10_000,
            bytes: u64::MAX,
            sha256: "0".repeat(64),
            parts_digest: "0".repeat(64),
            dumped_bytes: u64::MAX,
            tool_version: "x".repeat(200),
            totals: Some(Totals {
                tables: u64::MAX,
                rows: u64::MAX,
                large_objects: u64::MAX,
                digest: "0".repeat(64),
                has_tables: false,
            }),
            warnings: warnings.to_vec(),
        };
        let read = |warnings: &[String]| {
            let text = TaskResult::Done(done(warnings)).message();
            assert!(text.len() <= LIMIT, "{}", text.len());
            match serde_json::from_str(&text).unwrap() {
                TaskResult::Done(done) => done.warnings,
                TaskResult::Failed(failed) => panic!("{failed:?}"),
            }
        };
        let few = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(read(&few), few);
        assert_eq!(read(&[]), Vec::<String>::new());
        let many: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        let shown = read(&many);
        assert_eq!((shown.len(), &shown[..7]), (8, &many[..7]));
        assert_eq!(shown[7], "and 5 more, see the log");
        let long = vec!["\u{1}".repeat(300); 8];
        let shown = read(&long);
        assert!(
            shown.len() < 8 && shown[0].chars().count() == 200,
            "{shown:?}"
        );
        assert_eq!(
            shown.last().unwrap(),
            &format!("and {} more, see the log", 9 - shown.len())
        );
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
