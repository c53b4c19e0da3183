//! From a reader to a writer.

use std::io::{ErrorKind, Read, Write};

use super::error::RewriteError;
use super::names::Wanted;
use super::report::Report;
use super::rewriter::Rewriter;

/// How much is read at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// How the last line of a complete dump begins. The date that may follow has less than [`KEPT`] bytes.
pub(super) const LAST_LINE: &str = "-- Dump completed";

/// How many of the last bytes are kept.
const KEPT: usize = 128;

/// Rewrites the whole of a dump, which has to be complete. After an error, what was written is not to be used.
pub fn copy(
    wanted: Wanted,
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<Report, RewriteError> {
    let mut rewriter = Rewriter::new(wanted);
    let mut chunk = vec![0; CHUNK];
    let mut end = Vec::new();
    loop {
        match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => {
                let read = &chunk[..length];
                rewriter.push(read, output)?;
                end.extend_from_slice(&read[length.saturating_sub(KEPT)..]);
                end.drain(..end.len().saturating_sub(KEPT));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(RewriteError::Read(error)),
        }
    }
    let report = rewriter.finish(output)?;
    if !is_complete(&end) {
        return Err(RewriteError::Incomplete);
    }
    output.flush()?;
    Ok(report)
}

/// Whether the last bytes of a dump have the line that tools write when all went well.
fn is_complete(end: &[u8]) -> bool {
    let lines = end.strip_suffix(b"\n").unwrap_or(end);
    let last = lines.rsplit(|&byte| byte == b'\n').next();
    last.is_some_and(|line| line.starts_with(LAST_LINE.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(dump: &str) -> Result<String, RewriteError> {
        let mut out = Vec::new();
        copy(Wanted::default(), &mut dump.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_a_complete_dump_is_right() {
        for end in [
            "-- Dump completed on 2026-11-24  2:10:31\n",
            "-- Dump completed",
        ] {
            let dump = format!("{}{end}", "COMMIT;\n".repeat(50));
            assert_eq!(result(&dump).unwrap(), dump);
        }
        for dump in ["", "COMMIT;\n", "-- Dump completed\nCOMMIT;\n"] {
            let told = result(dump);
            assert!(matches!(told, Err(RewriteError::Incomplete)), "{dump}");
        }
        assert!(matches!(result("COMMIT"), Err(RewriteError::Truncated)));
    }
}
