//! Where statements begin and end, as the command-line client sees it that loads the dump.
//!
//! `mysql` and `mariadb` cut their input at the delimiter, wherever it stands outside quotes and comments; an executable comment is
//! no comment to them. Where client and server read the same bytes differently, nothing good comes of loading them: that is an error.

use super::error::Problem;
use super::token::{dollar_tag, executable_mark, is_sandbox_mark, is_word, opens_line_comment};

/// How bytes are read, as the session of the client has it at this point of the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `"` encloses a name (`ANSI_QUOTES`), not a literal.
    pub ansi_quotes: bool,
    /// A backslash in a literal is an escape (no `NO_BACKSLASH_ESCAPES`).
    pub backslash_escapes: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ansi_quotes: false,
            backslash_escapes: true,
        }
    }
}

impl Rules {
    /// Whether a backslash is an escape between these quotes.
    pub(crate) fn escapes_in(self, quote: u8) -> bool {
        self.backslash_escapes && (quote == b'\'' || quote == b'"' && !self.ansi_quotes)
    }
}

/// What bytes are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Code,
    Quotes(u8),
    /// `$$ … $$`, a text to MySQL's client from version 9 on.
    Dollars,
    LineComment,
    BlockComment,
    /// `/*+ … */`, which is a comment to MariaDB's client, and none to MySQL's.
    Hint,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing: more bytes are needed to go on.
    More,
    /// The first byte of a statement, which is not passed.
    Start,
    /// An opening parenthesis, which is not passed.
    Parenthesis,
    /// The delimiter, which is passed; it has this many bytes.
    Delimiter(usize),
    /// The same at the end of a comment, where the client does not see it: a body that ends in a comment, as `mysqldump` writes it.
    HiddenDelimiter(usize),
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looking {
    /// The next statement.
    Start,
    /// The end of this one.
    End,
    /// A parenthesis, or the end of the statement.
    Parenthesis,
}

/// How many bytes decide what the first of them is: the longest mark is `/*M!999999\-`, the longest delimiter has 15.
pub(crate) const AHEAD: usize = 16;

/// What `mysqldump` writes after the line on which a body ends: of a routine or trigger, and of an event.
///
/// A body may go on like the latter, too: ``UPDATE t -- ;;`` and on the next line ``/*!50003 SET time_zone  = 1 */``. It is then cut after
/// the comment, in the middle of a statement, which the server refuses; what follows is looked at like any other statement.
const AFTER_A_BODY: [&[u8]; 2] = [b"DELIMITER ;\n", b"/*!50003 SET time_zone  "];

/// The longest mark of a text between dollar quotes, in bytes. Servers write the name of a language there.
const LONGEST_TAG: usize = 66;

/// The longest delimiter that the clients take, in bytes.
pub(super) const LONGEST_DELIMITER: usize = 15;

/// Finds statements in bytes that come piece by piece.
#[derive(Debug)]
pub(crate) struct Scanner {
    within: Within,
    delimiter: Vec<u8>,
    /// The mark that ends a text between dollar quotes.
    tag: Vec<u8>,
    /// There was such a text in this statement.
    dollars: bool,
    /// A comment that is none of the client's was passed before this statement.
    commented: bool,
    /// Bytes of code that may mean something.
    stops: [bool; 256],
}

impl Scanner {
    /// With the delimiter that clients begin with.
    pub(crate) fn new() -> Self {
        let mut scanner = Self {
            within: Within::Code,
            delimiter: Vec::new(),
            tag: Vec::new(),
            dollars: false,
            commented: false,
            stops: [false; 256],
        };
        scanner.set_delimiter(b";");
        scanner
    }

    /// From here on, this ends a statement.
    pub(crate) fn set_delimiter(&mut self, delimiter: &[u8]) {
        delimiter.clone_into(&mut self.delimiter);
        self.stops = [false; 256];
        for &byte in b"\\'\"`#-/($".iter().chain(delimiter.first()) {
            self.stops[usize::from(byte)] = true;
        }
    }

    /// What ends a statement here.
    pub(super) fn delimiter(&self) -> &[u8] {
        &self.delimiter
    }

    /// Whether it is inside quotes or a comment that has to be closed.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(
            self.within,
            Within::Quotes(_) | Within::Dollars | Within::BlockComment | Within::Hint
        )
    }

    /// Whether the statement that has just ended has a text between dollar quotes. The next one begins without.
    pub(crate) fn take_dollars(&mut self) -> bool {
        std::mem::take(&mut self.dollars)
    }

    /// Whether a comment was passed since the last statement.
    pub(super) fn is_commented(&self) -> bool {
        self.commented
    }

    /// A statement has ended.
    pub(super) fn forget_comments(&mut self) {
        self.commented = false;
    }

    /// Goes on from `at`, to what is looked for. `last` says that no bytes follow these.
    pub(crate) fn next(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        looking: Looking,
        rules: Rules,
        last: bool,
    ) -> Result<Found, Problem> {
        loop {
            let known = match self.within {
                Within::Code => match self.code(bytes, at, looking, last)? {
                    Step::On => true,
                    Step::Found(found) => return Ok(found),
                },
                Within::Quotes(quote) => self.quotes(bytes, at, quote, rules, last)?,
                Within::Dollars => self.dollars(bytes, at),
                Within::LineComment => match self.line_comment(bytes, at, looking, last) {
                    Step::On => true,
                    Step::Found(found) => return Ok(found),
                },
                Within::BlockComment => self.block_comment(bytes, at, last),
                Within::Hint => self.hint(bytes, at, last)?,
            };
            if !known {
                return Ok(Found::More);
            }
        }
    }

    /// In code: passes bytes up to the next that means something, and that one.
    fn code(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        looking: Looking,
        last: bool,
    ) -> Result<Step, Problem> {
        let begun = looking != Looking::Start;
        let rest = &bytes[*at..];
        let stop = if begun {
            rest.iter().position(|&byte| self.stops[usize::from(byte)])
        } else {
            rest.iter().position(|byte| !byte.is_ascii_whitespace())
        };
        *at += stop.unwrap_or(rest.len());
        let rest = &bytes[*at..];
        if rest.is_empty() || !last && rest.len() < AHEAD {
            return Ok(Step::Found(Found::More));
        }
        if rest.starts_with(&self.delimiter) {
            *at += self.delimiter.len();
            return Ok(Step::Found(Found::Delimiter(self.delimiter.len())));
        }
        match *rest {
            [b'-', b'-', byte, ..] if is_doubtful_after_dashes(byte) => {
                return Err(Problem::ClientComment);
            }
            [b'#' | b'-', ..] if opens_line_comment(rest) => self.within = Within::LineComment,
            [b'/', b'*', b'+', ..] if begun => {
                *at += 3;
                self.within = Within::Hint;
            }
            // To MySQL's client a statement begins here, to the server and MariaDB's client none.
            [b'/', b'*', b'+', ..] => return Err(Problem::Hint),
            [b'/', b'*', ..] if is_sandbox_mark(rest) || executable_mark(rest).is_none() => {
                *at += 2;
                self.commented |= !begun && !is_sandbox_mark(rest);
                self.within = Within::BlockComment;
            }
            _ if !begun => return Ok(Step::Found(Found::Start)),
            [b'\\', ..] => return Err(Problem::ClientCommand),
            [quote @ (b'\'' | b'"' | b'`'), ..] => {
                *at += 1;
                self.within = Within::Quotes(quote);
            }
            [b'(', ..] if looking == Looking::Parenthesis => {
                return Ok(Step::Found(Found::Parenthesis));
            }
            [b'$', ..] => return self.dollar(bytes, at, last),
            _ => *at += 1,
        }
        Ok(Step::On)
    }

    /// At a dollar: passes it, or the mark that it begins. MySQL's client from version 9 on looks at nothing else but the byte before.
    fn dollar(&mut self, bytes: &[u8], at: &mut usize, last: bool) -> Result<Step, Problem> {
        let rest = &bytes[*at..];
        if at
            .checked_sub(1)
            .is_some_and(|before| is_word(bytes[before]))
        {
            *at += 1;
            return Ok(Step::On);
        }
        let tag = &rest[1..];
        let ends = tag.iter().any(|&byte| byte == b'$' || !is_word(byte));
        match dollar_tag(rest) {
            Some(length) if length > LONGEST_TAG => return Err(Problem::DollarQuote),
            Some(length) => {
                rest[..length].clone_into(&mut self.tag);
                self.dollars = true;
                self.within = Within::Dollars;
                *at += length;
            }
            None if ends || last => *at += 1,
            None if rest.len() > LONGEST_TAG => return Err(Problem::DollarQuote),
            None => return Ok(Step::Found(Found::More)),
        }
        Ok(Step::On)
    }

    /// Between dollar quotes: passes them to their end. `false` if that is not there yet.
    fn dollars(&mut self, bytes: &[u8], at: &mut usize) -> bool {
        let rest = &bytes[*at..];
        let length = self.tag.len();
        if let Some(end) = rest.windows(length).position(|text| text == self.tag) {
            *at += end + length;
            self.within = Within::Code;
            return true;
        }
        *at += rest.len().saturating_sub(length - 1);
        false
    }

    /// In quotes: passes them to their end. `false` if that is not there yet. Doubled quotes are left and entered again.
    fn quotes(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        quote: u8,
        rules: Rules,
        last: bool,
    ) -> Result<bool, Problem> {
        let escapes = rules.escapes_in(quote);
        loop {
            let rest = &bytes[*at..];
            let special = |&byte: &u8| byte == quote || byte == b'\\' && quote != b'`';
            let Some(found) = rest.iter().position(special) else {
                *at = bytes.len();
                return Ok(false);
            };
            *at += found;
            if bytes[*at] == quote {
                *at += 1;
                self.within = Within::Code;
                return Ok(true);
            }
            match bytes.get(*at + 1) {
                None if !last => return Ok(false),
                // The client takes it for an escape, the server does not.
                Some(b'"') if quote == b'"' && rules.ansi_quotes && rules.backslash_escapes => {
                    return Err(Problem::BackslashInName);
                }
                Some(_) if escapes => *at += 2,
                _ => *at += 1,
            }
        }
    }

    /// In a comment to the end of the line: passes it, or finds that it hides the end of the statement.
    fn line_comment(&mut self, bytes: &[u8], at: &mut usize, looking: Looking, last: bool) -> Step {
        let Some(line) = bytes[*at..].iter().position(|&byte| byte == b'\n') else {
            *at = bytes.len();
            return Step::Found(Found::More);
        };
        *at += line;
        let hides = looking == Looking::End
            && self.delimiter != b";"
            && bytes[..*at].ends_with(&self.delimiter);
        let after = &bytes[*at + 1..];
        if hides && !last && after.len() < AFTER_A_BODY[1].len() {
            return Step::Found(Found::More);
        }
        self.within = Within::Code;
        if hides && AFTER_A_BODY.iter().any(|text| after.starts_with(text)) {
            return Step::Found(Found::HiddenDelimiter(self.delimiter.len()));
        }
        *at += 1;
        Step::On
    }

    /// In a comment: passes it to its end. `false` if that is not there yet.
    fn block_comment(&mut self, bytes: &[u8], at: &mut usize, last: bool) -> bool {
        loop {
            let Some(star) = bytes[*at..].iter().position(|&byte| byte == b'*') else {
                *at = bytes.len();
                return false;
            };
            *at += star;
            match bytes.get(*at + 1) {
                Some(b'/') => {
                    *at += 2;
                    self.within = Within::Code;
                    return true;
                }
                None if !last => return false,
                _ => *at += 1,
            }
        }
    }

    /// In a hint: passes it to its end, if it has nothing in it that clients read differently. `false` if the end is not there yet.
    fn hint(&mut self, bytes: &[u8], at: &mut usize, last: bool) -> Result<bool, Problem> {
        loop {
            let special =
                |&byte: &u8| matches!(byte, b'*' | b'\n') || self.stops[usize::from(byte)];
            let Some(found) = bytes[*at..].iter().position(special) else {
                *at = bytes.len();
                return Ok(false);
            };
            *at += found;
            let rest = &bytes[*at..];
            if !last && rest.len() < AHEAD {
                return Ok(false);
            }
            match rest {
                _ if rest.starts_with(&self.delimiter) => return Err(Problem::Hint),
                [b'*', b'/', ..] => {
                    *at += 2;
                    self.within = Within::Code;
                    return Ok(true);
                }
                [b'\\' | b'\n' | b'\'' | b'"' | b'`' | b'#', ..]
                | [b'-', b'-', ..]
                | [b'/', b'*', ..] => return Err(Problem::Hint),
                _ => *at += 1,
            }
        }
    }
}

/// Whether server and clients may differ on `--` before this byte. Control characters make it a comment to the server alone; beyond ASCII
/// it depends on the character set what is white space, and that of the client may be another one.
fn is_doubtful_after_dashes(byte: u8) -> bool {
    let space = matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    !byte.is_ascii() || byte.is_ascii_control() && !space
}

/// How code goes on.
enum Step {
    On,
    Found(Found),
}

/// Whether a statement begins with a keyword. There have to be [`AHEAD`] bytes of it, or all.
pub(crate) fn begins_with(statement: &[u8], word: &str) -> bool {
    statement
        .split_at_checked(word.len())
        .is_some_and(|(first, rest)| {
            first.eq_ignore_ascii_case(word.as_bytes())
                && !rest.first().copied().is_some_and(is_word)
        })
}
