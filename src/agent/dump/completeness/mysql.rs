//! If all went well, the last line that `mysqldump` and `mariadb-dump` write is `-- Dump completed`.

/// The end of a dump in SQL.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    end: Vec<u8>,
}

/// How the last line begins. It is `-- Dump completed on 2026-11-24  2:10:31`; with `--skip-dump-date` it has no date.
const LAST_LINE: &str = "-- Dump completed";

/// How many bytes are kept: more than the last two lines have.
const KEPT: usize = 256;

impl Tail {
    /// Takes the next bytes.
    pub(crate) fn observe(&mut self, bytes: &[u8]) {
        let new = &bytes[bytes.len().saturating_sub(KEPT)..];
        self.end.extend_from_slice(new);
        let surplus = self.end.len().saturating_sub(KEPT);
        self.end.drain(..surplus);
    }

    /// Says what is missing, after the last byte.
    pub(crate) fn check(&self) -> Result<(), String> {
        let text = String::from_utf8_lossy(&self.end);
        let complete = text
            .strip_suffix('\n')
            .map(|text| text.rsplit('\n').next().unwrap_or_default())
            .is_some_and(|line| line.starts_with(LAST_LINE));
        if complete {
            return Ok(());
        }
        Err(format!(
            "its last line is not \"{LAST_LINE}\"; the template must not give the tool --compact or --skip-comments"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(chunks: &[&str]) -> bool {
        let mut tail = Tail::default();
        for chunk in chunks {
            tail.observe(chunk.as_bytes());
        }
        tail.check().is_ok()
    }

    #[test]
    fn only_the_last_line_counts() {
        assert!(check(&["x\n-- Dump completed on 2026-11-24  2:10:31\n"]));
        assert!(check(&["x\n-- Dump comp", "leted", "\n"]));
        assert!(!check(&[]));
        assert!(!check(&["-- Dump completed"]), "cut before its end");
        assert!(!check(&["-- Dump completed on 2026\nINSERT\n"]));
        assert!(!check(&["INSERT INTO t VALUES ('-- Dump completed');\n"]));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_it_is_split(cuts in proptest::collection::vec(1..700_usize, 0..20)) {
            let dump = format!("{}\n-- Dump completed\n", "é".repeat(2000));
            let mut tail = Tail::default();
            let mut rest = dump.as_bytes();
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                tail.observe(now);
                rest = later;
                if !rest.is_empty() {
                    prop_assert!(tail.check().is_err());
                }
            }
            tail.observe(rest);
            prop_assert!(tail.check().is_ok());
        }
    }
}
