//! Why a dump cannot be rewritten.

use std::io;

use super::copy::LAST_LINE;

/// Why a dump cannot be rewritten. What was written until then is not to be used.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// A statement that is not understood, or not one for this.
    #[error("{what}, in the statement at byte {at} of the dump: {problem}")]
    Statement {
        /// Its first words.
        what: String,
        /// Where it begins.
        at: u64,
        /// What is wrong with it, and what to do.
        problem: Problem,
    },
    /// Bytes that are not understood.
    #[error("at byte {at} of the dump: {problem}")]
    Byte {
        /// Where.
        at: u64,
        /// What is wrong there, and what to do.
        problem: Problem,
    },
    /// It ends within a statement, a literal or a comment.
    #[error("the dump ends in the middle of a statement: it was cut; use a complete one")]
    Truncated,
    /// Its last line is not that of a complete dump.
    #[error(
        "the last line of the dump is not \"{LAST_LINE}\": it was cut, or made with --compact or --skip-comments; use a complete one"
    )]
    Incomplete,
    /// The dump cannot be read.
    #[error("cannot read the dump: {0}")]
    Read(#[source] io::Error),
    /// The rewritten dump cannot be written.
    #[error("cannot write the rewritten dump: {0}")]
    Write(#[from] io::Error),
}

/// What is wrong with a place of a dump, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not a statement of a dump of one database.
    #[error(
        "this is not a statement that a dump of one database consists of; take it out of the dump if it is not needed"
    )]
    Unknown,
    /// The statement is of a kind that is known, but not of the known form.
    #[error("its form is not known: {0}; please report this")]
    Form(&'static str),
    /// It concerns another database than the one that was named.
    #[error(
        "it concerns the database {0:?}, which is not the one that is loaded: name the database as the dump does, and dump one database at a time"
    )]
    OtherDatabase(String),
    /// It would drop the database that it is loaded into.
    #[error(
        "it drops the database; make the dump without --add-drop-database, or take this statement out"
    )]
    DropsDatabase,
    /// A name that may be the former database or something else.
    #[error(
        "{0}: it cannot be told whether this names the former database; load this dump into a database of the same name, or change \
         the definition and dump again"
    )]
    Ambiguous(String),
    /// A statement that is too large to be held.
    #[error("it is longer than {0} bytes, which is more than is held of one definition")]
    TooLong(usize),
    /// A backslash outside a literal, which the command-line client takes for a command of its own.
    #[error(
        "a backslash outside quotes is a command to the client that loads the dump; take it out"
    )]
    ClientCommand,
    /// A quoted name that client and server read differently.
    #[error(
        "a backslash before the closing double quote of a name: the client that loads the dump would not see where the name ends; rename \
         the object and dump again"
    )]
    BackslashInName,
    /// What the client that loads the dump takes for the end of a comment, and the server does not, or the other way round.
    #[error(
        "\"*/\" stands in a literal, a name or a comment, where the client that loads the dump would take it for the end of another comment, \
         or \"/*/\", \"/*!\" or \"/*+\" inside a comment, of which it would not see the end: take it out of the object, and dump again"
    )]
    CommentInComment,
    /// What is a comment to the server, and not to the client that loads the dump.
    #[error(
        "\"--\" outside quotes is followed by a control character or one beyond ASCII, so that the server and the client that loads the dump \
         may differ on whether a comment begins: put a space after it in the object, and dump again"
    )]
    ClientComment,
    /// A hint that clients read differently.
    #[error(
        "a hint (/*+ */) has a quote, a backslash, a line break, a comment or the delimiter in it, or stands outside a statement: the clients \
         that load dumps differ on where it ends; take it out of the object, and dump again"
    )]
    Hint,
    /// A text in a character set where a byte of a character can look like a quote.
    #[error(
        "a text in {0:?}, in which part of a character can look like a quote or a backslash: create the object again with SET NAMES utf8mb4, \
         and dump again with --default-character-set=utf8mb4"
    )]
    CharacterSet(String),
    /// The argument of `DELIMITER`.
    #[error("DELIMITER needs a delimiter of 1 to 15 characters without quotes and backslashes")]
    Delimiter,
    /// What is a quote to MySQL 9 and its client, and part of a name to others.
    #[error(
        "\"$\" begins a name or a text outside quotes, where clients and servers differ on which it is: put the name in backticks, and dump \
         again (only the whole body of a routine or a library in another language than SQL may be between such quotes)"
    )]
    DollarQuote,
    /// A comment that keeps MariaDB's client from seeing a command.
    #[error(
        "a comment (/* */) stands before DELIMITER, which MariaDB's client then takes for SQL: take the comment out"
    )]
    CommentBeforeDelimiter,
    /// A value for `sql_mode` that says nothing of how the following statements are read.
    #[error(
        "it sets sql_mode to something other than plain names of modes or a value that was kept before"
    )]
    Mode,
}
