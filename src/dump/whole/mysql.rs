//! `mysqldump` and `mariadb-dump` write `-- Dump completed` as their last line, if all went well.

/// The end of a dump as SQL.
#[derive(Debug, Default)]
pub struct Tail {
    end: Vec<u8>,
}

/// The last line is `-- Dump completed on 2026-11-24  2:10:31`, or less with `--skip-dump-date`.
const LAST_LINE: &str = "-- Dump completed";

/// More than the last line and the one before.
const KEPT: usize = 256;

impl Tail {
    /// Takes the next bytes.
    pub fn pass(&mut self, bytes: &[u8]) {
        let new = &bytes[bytes.len().saturating_sub(KEPT)..];
        self.end.extend_from_slice(new);
        let surplus = self.end.len().saturating_sub(KEPT);
        self.end.drain(..surplus);
    }

    /// After the last byte: fine, or what is missing.
    pub fn verdict(&self) -> Result<(), String> {
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

    fn verdict(chunks: &[&str]) -> bool {
        let mut tail = Tail::default();
        for chunk in chunks {
            tail.pass(chunk.as_bytes());
        }
        tail.verdict().is_ok()
    }

    #[test]
    fn only_the_last_line_counts() {
        assert!(verdict(&["x\n-- Dump completed on 2026-11-24  2:10:31\n"]));
        assert!(verdict(&["x\n-- Dump comp", "leted", "\n"]));
        assert!(!verdict(&[]));
        assert!(!verdict(&["-- Dump completed"]), "cut before its end");
        assert!(!verdict(&["-- Dump completed on 2026\nINSERT\n"]));
        assert!(!verdict(&["INSERT INTO t VALUES ('-- Dump completed');\n"]));
    }

    proptest! {
        #[test]
        fn however_it_is_cut(cuts in proptest::collection::vec(1..700_usize, 0..20)) {
            let dump = format!("{}\n-- Dump completed\n", "é".repeat(2000));
            let mut tail = Tail::default();
            let mut rest = dump.as_bytes();
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                tail.pass(now);
                rest = later;
                if !rest.is_empty() {
                    prop_assert!(tail.verdict().is_err());
                }
            }
            tail.pass(rest);
            prop_assert!(tail.verdict().is_ok());
        }
    }
}
