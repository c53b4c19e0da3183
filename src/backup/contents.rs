//! What a look at the database found when its backup began: told as warnings, and kept for the manifest.
//!
//! What a dump was made of can only be said then, and the manifest is written hours later, perhaps by another process
//! and perhaps when the Job, its Secret and the database are gone. So it is persisted with the state `STARTING`, in one
//! write, and taken out of the status when the manifest has it.

use serde::{Deserialize, Serialize};

use crate::agent::protocol::contents;
use crate::api::backup as api;
use crate::api::{BackupReason, BackupStatus};
use crate::job::outcome::Failure;
use crate::printable::shortened;
use crate::provider::Inventory;

/// The most warnings in a status.
const WARNINGS: usize = 20;
/// The most characters of a warning.
const LENGTH: usize = 300;
/// The most bytes of what is kept for the manifest: a status is written again with each progress.
const KEPT: usize = 12 * 1024;
const MIB: u64 = 1024 * 1024;
/// Where those are that do not fit.
const ELSEWHERE: &str =
    ": see contents in the manifest beside the object, and the log of the Job's pod";
/// Rows that are smaller on average do not fill the memory of a pod.
const WORTH_A_WORD: u64 = 8 * MIB;

/// What is kept for the manifest.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    /// The series of the server.
    pub series: String,
    /// The SQL user that dumps.
    pub user: String,
    /// What comes with the database.
    pub contents: Inventory,
}

impl Kept {
    /// As the status holds it.
    pub(super) fn write(self) -> Option<String> {
        let kept = Self {
            contents: self.contents.within(KEPT),
            ..self
        };
        serde_json::to_string(&kept).ok()
    }

    /// What was kept. A status that was edited may have nothing, and a backup that an older operator began has none.
    pub(super) fn read(status: &BackupStatus) -> Option<Self> {
        let text = status.upload.as_ref()?.inventory.as_ref()?;
        serde_json::from_str(text).ok()
    }
}

/// What was counted in the dump, as the status holds it; `None` where its digest is none: what a pod says may be anything.
pub(super) fn noted_totals(totals: &contents::Totals) -> Option<api::Totals> {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if totals.digest.len() != 64 || !totals.digest.bytes().all(is_digit) {
        return None;
    }
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Some(api::Totals {
        tables: number(totals.tables),
        rows: number(totals.rows),
        large_objects: number(totals.large_objects),
        digest: totals.digest.clone(),
        has_tables: totals.has_tables,
    })
}

/// The same for the manifest.
pub(super) fn totals(totals: &api::Totals) -> contents::Totals {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    contents::Totals {
        tables: number(totals.tables),
        rows: number(totals.rows),
        large_objects: number(totals.large_objects),
        digest: totals.digest.clone(),
        has_tables: totals.has_tables,
    }
}

/// Warnings among which one says so if nothing was counted. An earlier agent counts nothing, and does not say it.
pub(super) fn with_uncounted(mut warnings: Vec<String>, is_counted: bool) -> Vec<String> {
    let says_so = |warning: &String| warning.starts_with(contents::UNCOUNTED);
    if !is_counted && !warnings.iter().any(says_so) {
        let why = "the Job reported no figures, or none that were kept";
        let uncounted = contents::UNCOUNTED;
        warnings.push(format!(
            "{uncounted}, so a restore of this backup proves less: {why}"
        ));
    }
    warnings
}

/// Warnings that are known, and more of them: each once, on one line, in a number and length that a status can hold. What
/// a pod says may be anything. Both the catalog and the dump itself tell of event triggers, say: once is enough.
pub(super) fn merged(known: &[String], more: &[String]) -> Vec<String> {
    let kind = |warning: &str| Some(warning.split_once(": ")?.0.to_owned());
    let kinds: Vec<String> = known.iter().filter_map(|known| kind(known)).collect();
    let is_new = |warning: &&String| kind(warning).is_none_or(|kind| !kinds.contains(&kind));
    let mut merged: Vec<String> = Vec::new();
    // A list that was shortened before counts what it left out.
    let mut left_out: usize = known.iter().filter_map(|known| counted(known)).sum();
    let known = known.iter().filter(|known| counted(known).is_none());
    for warning in known.chain(more.iter().filter(is_new)) {
        let warning = shortened(warning, LENGTH);
        if !warning.is_empty() && !merged.contains(&warning) {
            merged.push(warning);
        }
    }
    let room = WARNINGS - usize::from(left_out > 0);
    if merged.len() > room {
        left_out += merged.len() - (WARNINGS - 1);
        merged.truncate(WARNINGS - 1);
    }
    if left_out > 0 {
        merged.push(format!("and {left_out} more{ELSEWHERE}"));
    }
    merged
}

/// How many warnings this one says that there are besides.
fn counted(warning: &str) -> Option<usize> {
    let number = warning.strip_prefix("and ")?.strip_suffix(ELSEWHERE)?;
    number.strip_suffix(" more")?.parse().ok()
}

/// A failure with what is known of the rows that a tool without enough memory had to hold.
pub(super) fn explained(failure: Failure, status: Option<&BackupStatus>) -> Failure {
    match status.and_then(largest_rows) {
        Some(rows) if failure.reason == BackupReason::OutOfMemory => Failure {
            message: format!("{}; {rows}", failure.message),
            ..failure
        },
        Some(_) | None => failure,
    }
}

/// The largest rows that a backup meets, as a sentence, if they are worth one.
fn largest_rows(status: &BackupStatus) -> Option<String> {
    let rows = Kept::read(status)?.contents.largest_rows?;
    (rows.average_bytes >= WORTH_A_WORD).then(|| {
        format!(
            "rows of {} average about {} MiB, according to the server's statistics",
            rows.table,
            rows.average_bytes / MIB
        )
    })
}

/// How a message says how many warnings there are.
pub(super) fn with_warnings(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => ", with 1 warning: see status.warnings".to_owned(),
        count => format!(", with {count} warnings: see status.warnings"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn warnings_are_few_and_short_and_on_one_line() {
        let known = ["a".to_owned(), "b\nc".to_owned()];
        let more = ["a".to_owned(), String::new(), "x".repeat(5_000)];
        let all = merged(&known, &more);
        assert_eq!(all[..2], ["a", "b\u{fffd}c"]);
        assert_eq!(all[2].chars().count(), LENGTH);
        // Once more makes no difference.
        assert_eq!(merged(&all, &more), all);
        let known = ["event triggers: 1 (a): only a superuser".to_owned()];
        let more = ["event triggers: a: no", "base types: t: no"].map(str::to_owned);
        assert_eq!(merged(&known, &more), [known[0].clone(), more[1].clone()]);
        let known = ["a".to_owned(), "b".to_owned()];
        let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let all = merged(&known, &many);
        assert_eq!(all.len(), WARNINGS);
        assert!(all[19].starts_with("and 83 more"), "{}", all[19]);
        // What a shortened list left out is still counted when more comes.
        assert!(merged(&all, &["z".to_owned()])[19].starts_with("and 84 more"));
    }

    #[test]
    fn where_nothing_was_counted_one_warning_says_so() {
        let known = vec!["a".to_owned()];
        assert_eq!(with_uncounted(known.clone(), true), known);
        let told = with_uncounted(known, false);
        assert_eq!(told.len(), 2);
        assert!(
            told[1].starts_with("rows could not be counted"),
            "{}",
            told[1]
        );
        assert_eq!(with_uncounted(told.clone(), false), told);
        // Also as a status holds it.
        assert_eq!(merged(&[], &told), told);
    }

    #[test]
    fn what_has_no_digest_was_not_counted() {
        let of = |digest: &str| {
            let totals = contents::Totals {
                digest: digest.to_owned(),
                ..contents::Totals::default()
            };
            noted_totals(&totals).map(|totals| totals.digest)
        };
        let digest = "09af".repeat(16);
        assert_eq!(of(&digest), Some(digest.clone()));
        for other in [
            "",
            &digest[1..],
            &format!("{digest}0"),
            &digest.to_uppercase(),
            &"x\n".repeat(32),
            &"é".repeat(32),
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn large_rows_are_worth_a_word_where_memory_was_short() {
        let of = |reason, bytes: u64| {
            let kept = json!({"series": "17", "user": "u", "contents": {
                "largestRows": {"table": "\"public\".\"scans\"", "averageBytes": bytes}}});
            let status =
                json!({"upload": {"bucket": "b", "key": "k", "inventory": kept.to_string()}});
            let status = serde_json::from_value(status).unwrap();
            explained(Failure::new(reason, "m"), Some(&status)).message
        };
        let memory = BackupReason::OutOfMemory;
        assert_eq!(of(memory, 1_000), "m");
        assert_eq!(of(BackupReason::DumpFailed, 200 * MIB), "m");
        let said = of(memory, 200 * MIB);
        assert!(
            said.starts_with("m; rows of \"public\".\"scans\" average about 200 MiB"),
            "{said}"
        );
        assert_eq!(explained(Failure::new(memory, "m"), None).message, "m");
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let kept: Kept = serde_json::from_value(json!({
            "series": "17", "user": "orders",
            "contents": {"comment": "ours", "createdWith": {"encoding": "UTF8"}},
        }))
        .unwrap();
        let status = |inventory: Option<String>| -> BackupStatus {
            serde_json::from_value(json!({
                "upload": {"bucket": "b", "key": "k", "inventory": inventory},
            }))
            .unwrap()
        };
        assert_eq!(Kept::read(&status(kept.clone().write())), Some(kept));
        assert_eq!(Kept::read(&status(None)), None);
        assert_eq!(Kept::read(&status(Some("{".to_owned()))), None);
        assert_eq!(Kept::read(&BackupStatus::default()), None);
    }
}
