//! The pod's memory limit, for the message about a tool that was killed.

use std::fs;

use super::protocol::progress::Size;
use super::tables::Place;

/// Where a container sees its own limit: cgroup v2, then v1.
const FILES: &[&str] = &[
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// What is known of a tool that was killed: a dump tool holds a row at a time, several times over.
#[must_use]
pub(super) fn about(place: Option<&Place>, largest_row: Option<u64>) -> String {
    let limit = FILES
        .iter()
        .find_map(|path| limit(&fs::read_to_string(path).ok()?));
    told(limit, place, largest_row)
}

/// A limit in bytes; `None` if there is none. Version 1 writes a number that no machine has.
fn limit(written: &str) -> Option<u64> {
    let bytes = written.trim().parse().ok()?;
    (bytes < 1 << 60).then_some(bytes)
}

fn told(limit: Option<u64>, place: Option<&Place>, largest_row: Option<u64>) -> String {
    let limit = limit.map_or_else(String::new, |bytes| format!(" of {}", Size(bytes)));
    let table = place.map_or_else(
        || "a row".to_owned(),
        |place| format!("a row of the table {}", place.table()),
    );
    let before = largest_row.map_or_else(String::new, |bytes| {
        format!(" (the largest one before had {})", Size(bytes))
    });
    format!(
        ", perhaps because the pod's memory limit{limit} was reached: {table} may be too large for it, since the tool holds a whole row in memory, more than once{before}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tables::Tables;

    #[test]
    fn a_limit_is_read_in_both_versions() {
        assert_eq!(limit("268435456\n"), Some(256 << 20));
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
    }

    #[test]
    fn what_is_known_is_told() {
        let tables = Tables::new(0);
        tables.begin("public.images", 0);
        let text = told(Some(256 << 20), tables.place().as_ref(), Some(3 << 20));
        for words in [
            "limit of 256.0 MiB",
            "a row of the table public.images",
            "the largest one before had 3.0 MiB",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(told(None, None, None).contains("memory limit was reached: a row may"));
    }
}
