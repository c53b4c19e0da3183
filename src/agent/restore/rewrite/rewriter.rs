//! The stream: a definition is held until its end, rows pass as they come.

use std::io::Write;

use super::edit::{self, Edit};
use super::error::{Problem, RewriteError};
use super::names::Wanted;
use super::report::Report;
use super::scan::{Found, LONGEST_DELIMITER, Looking, Scanner, begins_with};
use super::session::Session;
use super::statement::{self, Fate};
use super::token::{Kind, Tokens};
use crate::printable::printable;

/// The longest statement other than rows, in bytes: it is held as a whole. A routine cannot be longer than the packet it is
/// made with, 16 MiB on MariaDB unless it is configured.
const LONGEST_DEFINITION: usize = 16 * 1024 * 1024;

/// The longest line with `DELIMITER`.
pub(crate) const LONGEST_COMMAND: usize = 256;

/// Rewrites a dump that comes in pieces of any size, with at most one definition in memory.
///
/// After an error it is of no use any more, nor is what was written.
#[derive(Debug)]
pub struct Rewriter {
    wanted: Wanted,
    session: Session,
    scanner: Scanner,
    report: Report,
    state: State,
    /// What is not written yet, from the first byte of what is held.
    buffer: Vec<u8>,
    /// How much of it was looked at.
    at: usize,
    /// How many bytes of the dump came before the buffer.
    before: u64,
    longest: usize,
}

/// Where in the dump it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two statements.
    Between,
    /// In a statement that is held.
    Definition,
    /// In the head of an `INSERT`, which is held.
    RowsHead,
    /// In rows, which pass.
    Rows,
}

impl Rewriter {
    /// For a dump of one database.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        Self::with_longest(wanted, LONGEST_DEFINITION)
    }

    pub(super) fn with_longest(wanted: Wanted, longest: usize) -> Self {
        Self {
            wanted,
            session: Session::default(),
            scanner: Scanner::new(),
            report: Report::default(),
            state: State::Between,
            buffer: Vec::new(),
            at: 0,
            before: 0,
            longest,
        }
    }

    /// Takes the next bytes of the dump, and writes what is decided.
    pub fn push(&mut self, bytes: &[u8], out: &mut impl Write) -> Result<(), RewriteError> {
        self.buffer.extend_from_slice(bytes);
        self.advance(false, out)
    }

    /// Writes the rest, after the last byte of the dump.
    pub fn finish(mut self, out: &mut impl Write) -> Result<Report, RewriteError> {
        self.advance(true, out)?;
        if self.state != State::Between || self.scanner.is_inside() {
            return Err(RewriteError::Truncated);
        }
        Ok(self.report)
    }

    fn advance(&mut self, last: bool, out: &mut impl Write) -> Result<(), RewriteError> {
        // The first byte that is not written yet.
        let mut start = 0;
        loop {
            let looking = match self.state {
                State::Between => Looking::Start,
                State::RowsHead => Looking::Parenthesis,
                State::Definition | State::Rows => Looking::End,
            };
            let rules = self.session.rules();
            let found = self
                .scanner
                .next(&self.buffer, &mut self.at, looking, rules, last);
            let found = found.map_err(|problem| self.at_byte(problem))?;
            match found {
                Found::More => break,
                Found::Start => {
                    out.write_all(&self.buffer[start..self.at])?;
                    start = self.at;
                    if !self.begin(last)? {
                        break;
                    }
                    if self.state == State::Between {
                        out.write_all(&self.buffer[start..self.at])?;
                        start = self.at;
                    }
                }
                Found::Parenthesis => {
                    if self.rows_head(start, out)? {
                        start = self.at;
                    }
                }
                Found::Delimiter(length) => {
                    self.end(start, length, false, out)?;
                    start = self.at;
                }
                Found::HiddenDelimiter(length) => {
                    self.end(start, length, true, out)?;
                    start = self.at;
                }
            }
        }
        match self.state {
            State::Between | State::Rows => {
                out.write_all(&self.buffer[start..self.at])?;
                start = self.at;
            }
            State::Definition | State::RowsHead => {
                if self.at - start > self.longest {
                    return Err(self.in_statement(start, Problem::TooLong(self.longest)));
                }
            }
        }
        self.buffer.drain(..start);
        self.at -= start;
        self.before += start as u64;
        Ok(())
    }

    /// At the first byte of a statement, or of a command of the client, which is passed. `false` if more bytes are needed.
    fn begin(&mut self, last: bool) -> Result<bool, RewriteError> {
        let rest = &self.buffer[self.at..];
        if begins_with(rest, "DELIMITER") {
            if self.scanner.is_commented() {
                return Err(self.at_byte(Problem::CommentBeforeDelimiter));
            }
            let line = rest
                .iter()
                .take(LONGEST_COMMAND)
                .position(|&byte| byte == b'\n');
            let line = match line {
                Some(end) => &rest[..end],
                None if last || rest.len() >= LONGEST_COMMAND => rest,
                None => return Ok(false),
            };
            let delimiter = delimiter(line).ok_or_else(|| self.at_byte(Problem::Delimiter))?;
            self.scanner.set_delimiter(delimiter);
            self.at += line.len();
            return Ok(true);
        }
        let rows = begins_with(rest, "INSERT") || begins_with(rest, "REPLACE");
        self.state = if rows {
            State::RowsHead
        } else {
            State::Definition
        };
        Ok(true)
    }

    /// At a parenthesis in the head of an `INSERT`: rows begin, or, with `false`, a list of columns, of which the parenthesis is passed.
    fn rows_head(&mut self, start: usize, out: &mut impl Write) -> Result<bool, RewriteError> {
        let head = &self.buffer[start..self.at];
        let edits = statement::rows(head, &self.session, &self.wanted, &mut self.report);
        let Some(edits) = edits.map_err(|problem| self.in_statement(start, problem))? else {
            self.at += 1;
            return Ok(false);
        };
        write(head, &edits, out)?;
        self.state = State::Rows;
        Ok(true)
    }

    /// After the delimiter of a statement, which may be hidden in a comment.
    fn end(
        &mut self,
        start: usize,
        delimiter: usize,
        hidden: bool,
        out: &mut impl Write,
    ) -> Result<(), RewriteError> {
        self.scanner.forget_comments();
        let dollars = self.scanner.take_dollars();
        if dollars && self.state != State::Definition {
            return Err(self.in_statement(start, Problem::DollarQuote));
        }
        let whole = &self.buffer[start..self.at];
        let mut text = &whole[..whole.len() - delimiter];
        if hidden {
            text = without_mark(text);
        }
        match self.state {
            State::Between | State::Rows => out.write_all(whole)?,
            State::RowsHead => return Err(self.in_statement(start, Problem::Unknown)),
            State::Definition => {
                let risky = self.session.risky_character_set();
                if let Some(name) = risky.filter(|_| hides_quotes(text)) {
                    let problem = Problem::CharacterSet(name.to_owned());
                    return Err(self.in_statement(start, problem));
                }
                // What hides the delimiter is mended, by a line break in front of it.
                let mended = hidden.then(|| [text, b"\n"].concat());
                let fate = statement::fate(
                    mended.as_deref().unwrap_or(text),
                    self.scanner.delimiter(),
                    &mut self.session,
                    &self.wanted,
                    &mut self.report,
                );
                match fate.map_err(|problem| self.in_statement(start, problem))? {
                    Fate::Passes(mut edits) => {
                        if hidden {
                            self.report.mended += 1;
                            edits.push(Edit {
                                start: text.len(),
                                end: text.len(),
                                with: "\n".to_owned(),
                            });
                        }
                        write(whole, &edits, out)?;
                    }
                    Fate::LeftOut => {}
                }
            }
        }
        self.state = State::Between;
        Ok(())
    }

    fn at_byte(&self, problem: Problem) -> RewriteError {
        RewriteError::Byte {
            at: self.before + self.at as u64,
            problem,
        }
    }

    fn in_statement(&self, start: usize, problem: Problem) -> RewriteError {
        RewriteError::Statement {
            what: first_words(&self.buffer[start..self.at], &self.session),
            at: self.before + start as u64,
            problem,
        }
    }
}

fn write(text: &[u8], edits: &[Edit], out: &mut impl Write) -> Result<(), RewriteError> {
    for piece in edit::pieces(text, edits) {
        out.write_all(piece)?;
    }
    Ok(())
}

/// A body that ends in a comment, without what `mysqldump` wrote after it: the end of the executable comment that it began.
fn without_mark(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_end();
    if !text.starts_with(b"/*!") {
        return text;
    }
    text.strip_suffix(b"*/")
        .map_or(text, <[u8]>::trim_ascii_end)
}

/// The argument of `DELIMITER`, as the clients take it.
pub(crate) fn delimiter(line: &[u8]) -> Option<&[u8]> {
    let argument = line["DELIMITER".len()..].trim_ascii();
    let length = argument
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(argument.len());
    let delimiter = &argument[..length];
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"'\"`\\".contains(byte);
    let fits = (1..=LONGEST_DELIMITER).contains(&length);
    (fits && delimiter.iter().all(plain)).then_some(delimiter)
}

/// Whether a backslash or a backtick follows a byte beyond ASCII, of which it may be a part.
pub(crate) fn hides_quotes(text: &[u8]) -> bool {
    text.windows(2)
        .any(|pair| pair[0] >= 0x80 && matches!(pair[1], b'\\' | b'`'))
}

/// What a statement begins with, for a message: words and names, no literals.
fn first_words(text: &[u8], session: &Session) -> String {
    const MOST: usize = 12;
    let words = Tokens::new(&text[..text.len().min(1024)], session.rules())
        .take(MOST)
        .take_while(|token| {
            matches!(
                token.kind,
                Kind::Word | Kind::Name | Kind::Symbol(b'=' | b'@' | b'.')
            )
        });
    let mut said = String::new();
    for token in words {
        let symbol = matches!(token.kind, Kind::Symbol(_));
        if !symbol && !said.is_empty() && !said.ends_with(['=', '@', '.']) {
            said.push(' ');
        }
        said.push_str(&printable(&String::from_utf8_lossy(token.text)));
    }
    if said.is_empty() {
        "a text that is no SQL".clone_into(&mut said);
    }
    said
}
