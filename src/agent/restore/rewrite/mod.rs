//! Rewrites a dump of MySQL or MariaDB as it passes, so that another user can load it into a database of another name.
//!
//! What is rewritten is what the server or the dump tool wrote: definers, names at the head of a statement, and the qualified
//! names in the definitions of tables and views, which the server stores as it understood them. What people wrote stays as it
//! is: rows, literals, comments, and the bodies of routines, triggers and events. Whatever is not understood ends the rewriting.
//!
//! In the order in which bytes pass:
//!
//! | file | its one job |
//! |---|---|
//! | `copy.rs` | from a reader to a writer |
//! | `rewriter.rs` | the stream: holds a definition until its end, lets rows through |
//! | `scan.rs` | where statements begin and end, as the command-line client sees it |
//! | `client.rs` | where the client ends a statement, if it does so elsewhere than the server |
//! | `session.rs` | what `SET` statements change in how the following bytes are read |
//! | `statement.rs` | which statement it is, and what becomes of it |
//! | `create.rs` | heads of `CREATE`: definer, kind, name |
//! | `definition.rs` | qualified names in the definitions of tables and views |
//! | `names.rs` | the former name and the new one; which account stays a definer |
//! | `token.rs` | the tokens of one statement |
//! | `edit.rs` | what to put in the place of what |
//! | `report.rs`, `error.rs` | what was done; why it could not be done |

mod client;
mod copy;
mod create;
mod definition;
mod edit;
mod error;
mod names;
mod report;
mod rewriter;
mod scan;
mod session;
mod statement;
mod token;

#[cfg(test)]
mod tests;

pub use copy::copy;
pub use error::{Problem, RewriteError};
pub use names::{Account, Definers, Rename, Wanted};
pub use report::Report;
pub use rewriter::Rewriter;

// For the counting of rows, which reads the same dumps.
pub(crate) use create::is_in_another_language;
pub(crate) use rewriter::{LONGEST_COMMAND, delimiter, hides_quotes};
pub(crate) use scan::{AHEAD, Found, Looking, Rules, Scanner, begins_with};
pub(crate) use session::Session;
pub(crate) use token::{Token, Tokens};
