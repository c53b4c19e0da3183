//! Whether what was fetched is what the manifest says, and a whole dump; and what it holds, table by table.

use std::io;

use super::decode::Decoded;
use super::failure::Failure;
use crate::agent::dump::completeness::Completeness;
use crate::agent::log;
use crate::agent::protocol::contents::Contents;
use crate::agent::protocol::restore::{RestoreCause, RestoreTask};

/// A dump cannot be decompressed at all.
#[expect(
    clippy::needless_pass_by_value,
    reason = "an error ends here, as words"
)]
pub(super) fn cannot_decode(error: io::Error) -> Failure {
    Failure::misconfigured(format!("cannot read the dump: {error}"))
}

/// Compares what was fetched with the manifest. That comes before what the tool says: of damaged bytes it says anything.
/// Returns the figures of each table, if the object holds them.
pub(super) fn check(
    task: &RestoreTask,
    decoded: Decoded,
    tool: Option<&Failure>,
) -> Result<Option<Contents>, Failure> {
    let also = tool.map_or_else(String::new, |failure| format!("; {}", failure.message));
    if decoded.bytes != task.bytes || decoded.sha256 != task.sha256 {
        return Err(Failure::new(
            RestoreCause::ObjectMismatch,
            format!(
                "{} is not what its manifest says: {} bytes with the SHA-256 {} instead of {} with {}{also}",
                task.object, decoded.bytes, decoded.sha256, task.bytes, task.sha256
            ),
        ));
    }
    log::say("the object is the one of its manifest: the SHA-256 is the same");
    if let Some(why) = decoded.broken {
        return Err(Failure::new(
            RestoreCause::NotADump,
            format!("{} cannot be decompressed: {why}{also}", task.object),
        ));
    }
    let Some(totals) = &task.totals else {
        return Ok(None);
    };
    decoded.contents.finish(totals).map_err(|error| {
        Failure::new(
            RestoreCause::NotADump,
            format!(
                "the figures in {} are not those of its manifest: {error}",
                task.object
            ),
        )
    })
}

/// Whether the dump was complete.
pub(super) fn is_whole(walker: &Completeness) -> Result<(), Failure> {
    walker.check().map_err(|what| {
        Failure::new(
            RestoreCause::NotADump,
            format!("this is not a whole dump: {what}"),
        )
    })
}

/// What the dump holds: as the object says; of an older one, as it was counted while it passed.
pub(super) fn figures(walker: Completeness, of_object: Option<Contents>) -> Option<Contents> {
    of_object.or_else(|| match walker.figures() {
        Ok(figures) => figures.contents(),
        Err(why) => {
            log::say(format_args!("rows cannot be counted: {why}"));
            None
        }
    })
}
