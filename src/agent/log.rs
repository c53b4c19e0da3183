//! Log lines for people, on standard output, each with its date and time in UTC.

use std::fmt::Display;
use std::io::Write;

use jiff::Timestamp;

/// Writes a line. If that fails the line is lost: no backup should fail for its log.
pub(super) fn say(line: impl Display) {
    let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let _ = writeln!(std::io::stdout().lock(), "{time} {line}");
}
