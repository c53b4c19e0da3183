//! Qualified names in the definitions of tables and views.
//!
//! Servers store these definitions as they understood them, and write them out with each name in quotes and as short as can be:
//! tables and columns of the same database have no database's name before them, but
//!
//! - sequences and functions keep theirs (MariaDB: `nextval(`orders`.`s`)`; both: `` `orders`.`f`(1) ``), and
//! - on MariaDB, so does everything in a view that also uses another database.
//!
//! What a name of two parts means depends on where it stands: `` `a`.`b` `` is the table `b` of the database `a` after `FROM` and
//! `JOIN`, a function where a parenthesis follows, and the column `b` of a table or alias `a` elsewhere.

use super::error::Problem;
use super::names::{Edits, Whose};
use super::report::Report;
use super::token::{Token, Tokens};

/// How often the database may be named in one definition: what replaces the name is held.
const MOST_NAMES: usize = 100_000;

/// How deep parentheses may be nested. Servers end at a few hundred.
const DEEPEST: usize = 10_000;

/// What is defined.
#[derive(Debug)]
pub(super) struct Definition {
    kind: Kind,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Table,
    View,
}

impl Definition {
    pub(super) fn table(name: &str) -> Self {
        Self {
            kind: Kind::Table,
            name: name.to_owned(),
        }
    }

    pub(super) fn view(name: &str) -> Self {
        Self {
            kind: Kind::View,
            name: name.to_owned(),
        }
    }
}

/// What a pair of parentheses, or the whole, is about.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// It is a list of tables.
    tables: bool,
    /// The next name is a table's.
    table_next: bool,
    /// It holds the arguments of a function with keywords in them: `extract(year from …)`.
    keywords: bool,
}

/// Functions in whose arguments `FROM` is a word between values.
const WITH_FROM: [&str; 7] = [
    "EXTRACT",
    "TRIM",
    "SUBSTRING",
    "SUBSTR",
    "MID",
    "OVERLAY",
    "POSITION",
];

/// Functions whose first argument is a sequence.
const OF_SEQUENCES: [&str; 4] = ["NEXTVAL", "LASTVAL", "SETVAL", "PREVIOUS_VALUE"];

/// Rewrites the database's name in a definition, after the name of what is defined.
pub(super) fn names(
    mut tokens: Tokens,
    of: &Definition,
    edits: &mut Edits,
    report: &mut Report,
) -> Result<(), Problem> {
    if edits.wanted().rename.is_none() {
        return Ok(());
    }
    let mut reader = Reader::default();
    while let Some(token) = tokens.next() {
        let parts = parts(&token, &mut tokens);
        if parts.count > 1 {
            let calls = tokens.peek().is_some_and(|token| token.is_symbol(b'('));
            let is_object = parts.count > 2 || calls || reader.expects_object();
            match (edits.whose(&token), is_object) {
                (Some(Whose::Ours), true) if edits.len() < MOST_NAMES => {
                    edits.rename(&token, report);
                }
                (Some(Whose::Ours), true) => {
                    return Err(Problem::Form("it names the database too often"));
                }
                (Some(Whose::Alike), true) => return Err(ambiguous(of, &token, &parts.last)),
                // Servers write no table's or alias's name before a column in the definition of a table.
                (Some(Whose::Ours | Whose::Alike), false) if of.kind == Kind::Table => {
                    return Err(ambiguous(of, &token, &parts.last));
                }
                (Some(Whose::Ours | Whose::Alike | Whose::Other) | None, _) => {}
            }
            reader.name(parts.last);
        } else {
            reader.token(token)?;
        }
    }
    Ok(())
}

fn ambiguous(of: &Definition, first: &Token, last: &Token) -> Problem {
    let kind = match of.kind {
        Kind::Table => "table",
        Kind::View => "view",
    };
    let (name, first, last) = (&of.name, first.display(), last.display());
    Problem::Ambiguous(format!("the {kind} {name:?} uses {first:?}.{last:?}"))
}

/// A name of one or more parts.
struct Parts<'a> {
    count: usize,
    last: Token<'a>,
}

/// Takes the other parts of a name that begins with this token. The last may be `*`.
fn parts<'a>(first: &Token<'a>, tokens: &mut Tokens<'a>) -> Parts<'a> {
    let mut parts = Parts {
        count: 1,
        last: *first,
    };
    if !first.is_identifier() {
        return parts;
    }
    loop {
        let mut ahead = tokens.clone();
        let part = ahead
            .symbol(b'.')
            .then(|| ahead.take_if(|token| token.is_identifier() || token.is_symbol(b'*')))
            .flatten();
        let Some(part) = part else {
            return parts;
        };
        *tokens = ahead;
        parts.count += 1;
        parts.last = part;
    }
}

/// Knows what a name at this place is.
#[derive(Debug, Default)]
struct Reader<'a> {
    outer: Vec<Level>,
    level: Level,
    /// The three tokens before this place, the nearest first.
    before: [Option<Token<'a>>; 3],
}

impl<'a> Reader<'a> {
    /// Whether a name here is an object's of a database, not a column's.
    fn expects_object(&self) -> bool {
        let [first, second, third] = self.before;
        let is = |token: Option<Token>, word: &str| token.is_some_and(|token| token.is(word));
        let opens = first.is_some_and(|token| token.is_symbol(b'('));
        self.level.table_next
            || is(first, "REFERENCES")
            || opens && OF_SEQUENCES.iter().any(|word| is(second, word))
            // NEXT VALUE FOR s, PREVIOUS VALUE FOR s
            || is(first, "FOR") && is(second, "VALUE")
            // UNION=(a, b) of MERGE tables
            || opens && second.is_some_and(|token| token.is_symbol(b'=')) && is(third, "UNION")
    }

    /// Passes a name of several parts.
    fn name(&mut self, last: Token<'a>) {
        self.level.table_next = false;
        self.push(last);
    }

    /// Passes a token.
    fn token(&mut self, token: Token<'a>) -> Result<(), Problem> {
        let is = |words: &[&str]| words.iter().any(|word| token.is(word));
        if token.is_symbol(b'(') {
            if self.outer.len() == DEEPEST {
                return Err(Problem::Form("parentheses are nested too deeply"));
            }
            let before = self.before[0];
            let inner = Level {
                tables: self.level.table_next,
                table_next: self.level.table_next,
                keywords: before.is_some_and(|word| WITH_FROM.iter().any(|name| word.is(name))),
            };
            self.level.table_next = false;
            self.outer.push(self.level);
            self.level = inner;
        } else if token.is_symbol(b')') {
            self.level = self.outer.pop().unwrap_or_default();
        } else if token.is_symbol(b',') {
            self.level.table_next = self.level.tables;
        } else if is(&["JOIN", "STRAIGHT_JOIN"]) || token.is("FROM") && !self.level.keywords {
            self.level.tables = true;
            self.level.table_next = true;
        } else if is(&[
            "SELECT",
            "WHERE",
            "GROUP",
            "ORDER",
            "HAVING",
            "LIMIT",
            "UNION",
            "EXCEPT",
            "INTERSECT",
            "WINDOW",
            "WITH",
        ]) {
            self.level.tables = false;
            self.level.table_next = false;
        } else {
            self.level.table_next = false;
        }
        self.push(token);
        Ok(())
    }

    fn push(&mut self, token: Token<'a>) {
        self.before = [Some(token), self.before[0], self.before[1]];
    }
}
