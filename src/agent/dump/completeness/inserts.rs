//! Counts the rows of each table in the SQL of `mysqldump` and `mariadb-dump`, as it passes.
//!
//! Statements are told apart as a restore tells them apart (`restore/rewrite/`). Their beginnings are held, in bounded memory:
//! tables are known by their `CREATE TABLE`, rows by the head of their `INSERT`. This decides nothing about whether the dump
//! is complete. What it does not know ends the counting, not the dump.

use std::collections::HashMap;

use super::values::Values;
use crate::agent::contents::Figures;
use crate::agent::protocol::contents::MOST;
use crate::agent::restore::rewrite::{
    AHEAD, Found, LONGEST_COMMAND, Looking, Problem, Scanner, Session, Token, Tokens, begins_with,
    delimiter, hides_quotes, is_in_another_language,
};

/// How much of a statement is held, in bytes: all of a `SET`, and the names of anything else. More of it is not looked at
/// where it comes at once, either: what is counted does not depend on how the dump is cut.
const LONGEST: usize = 1024 * 1024;

/// Why nothing is counted where a dollar may be a quote.
const DOLLARS: &str =
    "\"$\" begins a name or a text outside quotes, and servers differ on which it is";

/// The most bytes of all tables' names.
const NAMES: usize = 4 * 1024 * 1024;

/// Counts as the dump passes.
#[derive(Debug)]
pub(in crate::agent) struct Inserts {
    session: Session,
    scanner: Scanner,
    /// Whether `;` ends a statement.
    is_usual: bool,
    state: State,
    /// What was not decided yet, and how much of it was looked at.
    held: Vec<u8>,
    at: usize,
    values: Values,
    tables: Tables,
    /// Why it cannot count.
    unknown: Option<String>,
}

/// Where in the dump it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Between two statements.
    Between,
    /// In a statement that is held.
    Held,
    /// In the rest of one that is too long to be held.
    Passing,
    /// In the head of an `INSERT`, which is held.
    Head,
    /// In its rows.
    Rows,
}

impl Default for Inserts {
    fn default() -> Self {
        Self {
            session: Session::default(),
            scanner: Scanner::new(),
            is_usual: true,
            state: State::Between,
            held: Vec::new(),
            at: 0,
            values: Values::default(),
            tables: Tables::default(),
            unknown: None,
        }
    }
}

impl Inserts {
    /// Takes the next bytes.
    pub(super) fn observe(&mut self, bytes: &[u8]) {
        if self.unknown.is_some() {
            return;
        }
        let counted = if self.held.is_empty() {
            self.advance(bytes, false).map(|decided| {
                self.held.extend_from_slice(&bytes[decided..]);
            })
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            self.advance(&held, false).map(|decided| {
                held.drain(..decided);
                self.held = held;
            })
        };
        if let Err(why) = counted {
            self.unknown = Some(why);
            self.held = Vec::new();
            self.tables = Tables::default();
        }
    }

    /// The figures, after the last byte; why there are none, where something could not be counted.
    pub(super) fn finish(mut self) -> Result<Figures, String> {
        if let Some(why) = self.unknown {
            return Err(why);
        }
        let held = std::mem::take(&mut self.held);
        self.advance(&held, true)?;
        if self.state != State::Between || self.scanner.is_inside() {
            return Err("the last statement has no end".to_owned());
        }
        self.tables.finish()
    }

    /// Goes on from where it was in these bytes; says how many of them are decided. `last` says that no bytes follow.
    fn advance(&mut self, bytes: &[u8], last: bool) -> Result<usize, String> {
        let mut start = 0;
        loop {
            let looking = match self.state {
                State::Between => Looking::Start,
                State::Held | State::Passing => Looking::End,
                State::Head => Looking::Parenthesis,
                State::Rows => {
                    let rules = self.session.rules();
                    let Some(length) = self.values.read(&bytes[self.at..], rules)? else {
                        self.at = bytes.len();
                        break;
                    };
                    self.at += length;
                    start = self.at;
                    let (rows, bytes) = self.values.take();
                    self.tables.add(rows, bytes);
                    self.state = State::Between;
                    continue;
                }
            };
            let rules = self.session.rules();
            let found = self.scanner.next(bytes, &mut self.at, looking, rules, last);
            match found.map_err(|problem| problem.to_string())? {
                Found::More => break,
                Found::Start => {
                    start = self.at;
                    if !self.begin(&bytes[start..], last)? {
                        break;
                    }
                }
                Found::Parenthesis => self.parenthesis(&bytes[start..self.at])?,
                Found::Delimiter(length) | Found::HiddenDelimiter(length) => {
                    self.end(&bytes[start..self.at], length)?;
                    start = self.at;
                }
            }
        }
        match self.state {
            State::Between | State::Rows => start = self.at,
            State::Held if self.at - start > LONGEST => {
                self.interpret(&bytes[start..start + LONGEST], false)?;
                self.state = State::Passing;
                start = self.at - AHEAD;
            }
            // The scanner looks back, too.
            State::Passing => start = start.max(self.at.saturating_sub(AHEAD)),
            State::Head if self.at - start > LONGEST => return Err(long_head()),
            State::Held | State::Head => {}
        }
        self.at -= start;
        Ok(start)
    }

    /// At the first byte of a statement, or of a command of the client, which is passed. `false` if more bytes are needed.
    fn begin(&mut self, rest: &[u8], last: bool) -> Result<bool, String> {
        if begins_with(rest, "DELIMITER") {
            let most = &rest[..rest.len().min(LONGEST_COMMAND)];
            let line = match memchr::memchr(b'\n', most) {
                Some(end) => &most[..end],
                None if last || rest.len() >= LONGEST_COMMAND => most,
                None => return Ok(false),
            };
            let delimiter = delimiter(line).ok_or_else(|| Problem::Delimiter.to_string())?;
            self.scanner.set_delimiter(delimiter);
            self.is_usual = delimiter == b";";
            self.at += line.len();
            return Ok(true);
        }
        let rows = begins_with(rest, "INSERT") || begins_with(rest, "REPLACE");
        self.state = if rows && self.is_usual {
            State::Head
        } else {
            State::Held
        };
        Ok(true)
    }

    /// At a parenthesis in the head of an `INSERT`: its rows begin, or a list of columns, of which the parenthesis is passed.
    fn parenthesis(&mut self, head: &[u8]) -> Result<(), String> {
        if head.len() > LONGEST {
            return Err(long_head());
        }
        let mut tokens = Tokens::new(head, self.session.rules());
        let table = table_of(&mut tokens).ok_or("an INSERT names no table")?;
        if tokens.peek().is_none() {
            self.at += 1;
            return Ok(());
        }
        if !tokens.last().is_some_and(|last| last.is("VALUES")) {
            return Err("an INSERT has no list of values".to_owned());
        }
        if self.scanner.take_dollars() {
            return Err(DOLLARS.to_owned());
        }
        self.tables.open(&table);
        self.state = State::Rows;
        Ok(())
    }

    /// At the end of a statement that has no rows. The delimiter, of this length, is the last of these bytes.
    fn end(&mut self, whole: &[u8], delimiter: usize) -> Result<(), String> {
        let text = &whole[..whole.len() - delimiter];
        let is_held = match self.state {
            State::Head => return Err("an INSERT has no list of values".to_owned()),
            State::Held => true,
            State::Between | State::Passing | State::Rows => false,
        };
        let is_whole = is_held && whole.len() <= LONGEST;
        // To a server that knows no such quotes, other statements may be between them.
        let tokens = Tokens::new(text, self.session.rules());
        if self.scanner.take_dollars() && !(is_whole && is_in_another_language(tokens)) {
            return Err(DOLLARS.to_owned());
        }
        // There the end of the statement may be elsewhere.
        if self.session.risky_character_set().is_some() && (!is_whole || hides_quotes(text)) {
            return Err("a text is in a character set that hides quotes".to_owned());
        }
        if is_held {
            self.interpret(&text[..text.len().min(LONGEST)], is_whole)?;
        }
        self.state = State::Between;
        Ok(())
    }

    /// Takes from a statement, or from its beginning, what it says of the session and of tables.
    fn interpret(&mut self, text: &[u8], is_whole: bool) -> Result<(), String> {
        let mut tokens = Tokens::new(text, self.session.rules());
        let Some(first) = tokens.next() else {
            return Ok(());
        };
        if first.is("SET") {
            if !is_whole {
                return Err("a SET has no end".to_owned());
            }
            self.session
                .set(tokens)
                .map_err(|problem| problem.to_string())?;
        } else if first.is("CREATE") && tokens.keyword("TABLE") {
            tokens.keywords(&["IF", "NOT", "EXISTS"]);
            self.tables.create(&name(&mut tokens).unwrap_or_default());
        } else if first.is("DROP") && tokens.keyword("TABLE") {
            tokens.keywords(&["IF", "EXISTS"]);
            self.tables.drop(&name(&mut tokens).unwrap_or_default())?;
        } else if first.is("ALTER") && tokens.keyword("TABLE") {
            let table = name(&mut tokens).unwrap_or_default();
            if tokens.keyword("DISABLE") {
                self.tables.begin(&table);
            }
        } else if (first.is("DO") || first.is("SELECT")) && tokens.keyword("SETVAL") {
            // One that cannot be kept, above 2^63, is left out.
            if let Some((name, value, is_called)) = position(&mut tokens) {
                self.tables.figures.sequence(b"", &name, value, is_called);
            }
        }
        Ok(())
    }
}

fn long_head() -> String {
    "the head of an INSERT has no end".to_owned()
}

/// The table that an `INSERT` or a `REPLACE` is for.
fn table_of(tokens: &mut Tokens) -> Option<Vec<u8>> {
    let _ = tokens.keyword("INSERT") || tokens.keyword("REPLACE");
    let words = ["DELAYED", "LOW_PRIORITY", "HIGH_PRIORITY", "IGNORE"];
    while words.iter().any(|word| tokens.keyword(word)) {}
    let _ = tokens.keyword("INTO");
    name(tokens)
}

/// A name, without that of a database before it.
fn name(tokens: &mut Tokens) -> Option<Vec<u8>> {
    let mut last = tokens.take_if(Token::is_identifier)?;
    while tokens.symbol(b'.') {
        last = tokens.take_if(Token::is_identifier)?;
    }
    Some(last.value().into_owned())
}

/// ``SETVAL(`numbers`, 7, 0)``, after the first word.
fn position(tokens: &mut Tokens) -> Option<(Vec<u8>, i64, bool)> {
    if !tokens.symbol(b'(') {
        return None;
    }
    let name = name(tokens)?;
    let mut next = || {
        if !tokens.symbol(b',') {
            return None;
        }
        let sign = if tokens.symbol(b'-') { "-" } else { "" };
        let number = format!("{sign}{}", tokens.next()?.display());
        number.parse::<i64>().ok()
    };
    Some((name, next()?, next()? != 0))
}

/// The tables that the dump has come to.
#[derive(Debug)]
struct Tables {
    /// By name, as long as they are few enough.
    known: HashMap<Vec<u8>, Table>,
    names: usize,
    is_named: bool,
    /// The one whose rows come, and what has come of it.
    open: Vec<u8>,
    rows: Table,
    /// All of them: created, and with a place for their rows.
    created: u64,
    begun: u64,
    sum: Table,
    figures: Figures,
}

#[derive(Clone, Copy, Debug, Default)]
struct Table {
    rows: u64,
    bytes: u64,
    /// The dump has come to the place where its rows are, if it has any.
    is_begun: bool,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            names: 0,
            is_named: true,
            open: Vec::new(),
            rows: Table::default(),
            created: 0,
            begun: 0,
            sum: Table::default(),
            figures: Figures::new(false),
        }
    }
}

impl Tables {
    fn table(&mut self, name: &[u8]) -> Option<&mut Table> {
        if !self.is_named {
            return None;
        }
        if !self.known.contains_key(name) {
            self.names += name.len();
            if self.known.len() == MOST || self.names > NAMES {
                self.is_named = false;
                self.known = HashMap::new();
                return None;
            }
        }
        Some(self.known.entry(name.to_owned()).or_default())
    }

    fn create(&mut self, name: &[u8]) {
        self.created += 1;
        self.table(name);
    }

    /// Before a table or view is created, or where older tools put a view in the place of the table that stood for it.
    fn drop(&mut self, name: &[u8]) -> Result<(), String> {
        let known = self.known.remove(name);
        if self.rows.rows > 0 && self.open == name || known.is_some_and(|table| table.is_begun) {
            return Err("a table is dropped after its rows".to_owned());
        }
        if known.is_some() {
            self.created = self.created.saturating_sub(1);
        }
        Ok(())
    }

    /// Its rows may follow.
    fn begin(&mut self, name: &[u8]) {
        self.begun += 1;
        if let Some(table) = self.table(name) {
            table.is_begun = true;
        }
    }

    /// Its rows follow.
    fn open(&mut self, name: &[u8]) {
        if self.open != name {
            self.close();
            name.clone_into(&mut self.open);
        }
    }

    fn add(&mut self, rows: u64, bytes: u64) {
        for sum in [&mut self.rows, &mut self.sum] {
            sum.rows += rows;
            sum.bytes += bytes;
        }
    }

    fn close(&mut self) {
        let came = std::mem::take(&mut self.rows);
        let name = std::mem::take(&mut self.open);
        if came.rows > 0
            && let Some(table) = self.table(&name)
        {
            table.rows += came.rows;
            table.bytes += came.bytes;
            table.is_begun = true;
        }
    }

    fn finish(mut self) -> Result<Figures, String> {
        self.close();
        let rows: u64 = self.known.values().map(|table| table.rows).sum();
        let bytes: u64 = self.known.values().map(|table| table.bytes).sum();
        if self.is_named && (rows, bytes) != (self.sum.rows, self.sum.bytes) {
            return Err("the rows of its tables are not all rows; please report this".to_owned());
        }
        // Of tables whose rows are elsewhere, the tool writes the definition alone.
        let all = self.begun == 0;
        if self.is_named {
            for (name, table) in self.known {
                if all || table.is_begun {
                    let id = self.figures.table(b"", &name);
                    self.figures.rows(id, table.rows, table.bytes, 0);
                }
            }
        } else {
            self.figures.forget();
            for _ in 0..if all { self.created } else { self.begun } {
                self.figures.table(b"", b"");
            }
            self.figures.rows(None, self.sum.rows, self.sum.bytes, 0);
        }
        Ok(self.figures)
    }
}

#[cfg(test)]
#[path = "inserts_tests.rs"]
mod tests;
