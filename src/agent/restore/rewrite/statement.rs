//! Which statement it is, and what becomes of it.

use super::definition::{self, Definition};
use super::edit::Edit;
use super::error::Problem;
use super::names::{Edits, Wanted};
use super::report::Report;
use super::session::{Session, Setting};
use super::token::{Kind, Token, Tokens, is_for_some_servers, runs_a_command};
use super::{client, create};

/// What becomes of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is passed on, with these edits.
    Passes(Vec<Edit>),
    /// It is left out, with its delimiter.
    LeftOut,
}

/// Decides what becomes of a whole statement, without its delimiter, which is given.
pub(super) fn fate(
    text: &[u8],
    delimiter: &[u8],
    session: &mut Session,
    wanted: &Wanted,
    report: &mut Report,
) -> Result<Fate, Problem> {
    let rules = session.rules();
    let mut tokens = Tokens::new(text, rules);
    let has_dollars = tokens.clone().any(|token| token.kind == Kind::Dollar);
    if has_dollars && !create::is_in_another_language(tokens.clone()) {
        return Err(Problem::DollarQuote);
    }
    if !client::ends_it_too(text, delimiter, has_dollars, rules)
        || text.starts_with(b"/*") && runs_a_command(text, rules)
    {
        return Err(Problem::CommentInComment);
    }
    let mut edits = Edits::new(wanted);
    let Some(first) = tokens.next() else {
        // Comments alone.
        return Ok(Fate::Passes(Vec::new()));
    };
    let word = match first.kind {
        Kind::Word => first.display().to_ascii_uppercase(),
        Kind::Name | Kind::Text | Kind::Dollar | Kind::Symbol(_) => return Err(Problem::Unknown),
    };
    let left_out = match word.as_str() {
        "SET" => set(text, tokens, session)? == Setting::LeftOut,
        "START" | "STOP" | "CHANGE" => replication(tokens)?,
        word => {
            rewrite(word, &mut tokens, &mut edits, report)?;
            false
        }
    };
    if left_out {
        report.left_out += 1;
        return Ok(Fate::LeftOut);
    }
    Ok(Fate::Passes(edits.into_inner()))
}

/// A `SET` statement, of which the text and the tokens after that word are given.
fn set(text: &[u8], tokens: Tokens, session: &mut Session) -> Result<Setting, Problem> {
    let before = session.clone();
    let setting = session.set(tokens)?;
    if !session.reads_like(&before) && is_for_some_servers(text) {
        return Err(Problem::Form(
            "on some servers alone, it changes how the following statements are read",
        ));
    }
    Ok(setting)
}

/// Rewrites a statement that begins with a word.
fn rewrite(
    word: &str,
    tokens: &mut Tokens,
    edits: &mut Edits,
    report: &mut Report,
) -> Result<(), Problem> {
    match word {
        "CREATE" => create::create(tokens, edits, report),
        "DROP" => drop(tokens, edits, report),
        "ALTER" => alter(tokens, edits, report),
        "USE" => use_(tokens, edits, report),
        "LOCK" => lock(tokens, edits, report),
        "ANALYZE" => analyze(tokens, edits, report),
        "DO" | "SELECT" => set_sequence(tokens, edits, report),
        "UNLOCK" if tokens.keyword("TABLES") => nothing_more(tokens.clone()),
        "COMMIT" => nothing_more(tokens.clone()),
        _ => Err(Problem::Unknown),
    }
}

/// The head of an `INSERT` or `REPLACE`, up to a parenthesis: the names in it; `None` if the parenthesis begins a list of columns.
pub(super) fn rows(
    head: &[u8],
    session: &Session,
    wanted: &Wanted,
    report: &mut Report,
) -> Result<Option<Vec<Edit>>, Problem> {
    const FORM: Problem = Problem::Form("rows that are not a list of values");
    let mut tokens = Tokens::new(head, session.rules());
    let mut edits = Edits::new(wanted);
    let _ = tokens.keyword("INSERT") || tokens.keyword("REPLACE");
    let words = ["DELAYED", "LOW_PRIORITY", "HIGH_PRIORITY", "IGNORE"];
    while words.iter().any(|word| tokens.keyword(word)) {}
    let _ = tokens.keyword("INTO");
    let mut renamed = Report::default();
    edits.object(&mut tokens, &mut renamed)?;
    if tokens.peek().is_none() {
        return Ok(None);
    }
    if tokens.symbol(b'(') {
        let column = |token: &Token| token.is_identifier() || token.is_symbol(b',');
        while tokens.take_if(column).is_some() {}
        if !tokens.symbol(b')') {
            return Err(FORM);
        }
    }
    let values = tokens.keyword("VALUES") || tokens.keyword("VALUE");
    if !values || tokens.next().is_some() {
        return Err(FORM);
    }
    report.names += renamed.names;
    Ok(Some(edits.into_inner()))
}

fn drop(tokens: &mut Tokens, edits: &mut Edits, report: &mut Report) -> Result<(), Problem> {
    if tokens.keyword("DATABASE") || tokens.keyword("SCHEMA") {
        return Err(Problem::DropsDatabase);
    }
    let _ = tokens.keyword("TEMPORARY");
    if !create::KINDS.iter().any(|kind| tokens.keyword(kind)) {
        return Err(Problem::Unknown);
    }
    let _ = tokens.keyword("BODY");
    let _ = tokens.keywords(&["IF", "EXISTS"]);
    edits.object(tokens, report)?;
    while tokens.symbol(b',') {
        edits.object(tokens, report)?;
    }
    nothing_more(tokens.clone())
}

fn alter(tokens: &mut Tokens, edits: &mut Edits, report: &mut Report) -> Result<(), Problem> {
    if tokens.keyword("DATABASE") || tokens.keyword("SCHEMA") {
        let name = tokens
            .take_if(Token::is_identifier)
            .ok_or(Problem::Form("a database without a name"))?;
        return edits.database(&name, report);
    }
    if tokens.keyword("TABLE") {
        let name = edits.object(tokens, report)?;
        return definition::names(tokens.clone(), &Definition::table(&name), edits, report);
    }
    Err(Problem::Unknown)
}

fn use_(tokens: &mut Tokens, edits: &mut Edits, report: &mut Report) -> Result<(), Problem> {
    let name = tokens
        .take_if(Token::is_identifier)
        .ok_or(Problem::Form("USE without a name"))?;
    edits.database(&name, report)?;
    nothing_more(tokens.clone())
}

fn lock(tokens: &mut Tokens, edits: &mut Edits, report: &mut Report) -> Result<(), Problem> {
    if !(tokens.keyword("TABLES") || tokens.keyword("TABLE")) {
        return Err(Problem::Unknown);
    }
    loop {
        edits.object(tokens, report)?;
        let _ = tokens.keyword("READ") || tokens.keyword("WRITE");
        let _ = tokens.keyword("LOCAL");
        if !tokens.symbol(b',') {
            return nothing_more(tokens.clone());
        }
    }
}

/// `ANALYZE TABLE t UPDATE HISTOGRAM ON c …`
fn analyze(tokens: &mut Tokens, edits: &mut Edits, report: &mut Report) -> Result<(), Problem> {
    if !tokens.keyword("TABLE") {
        return Err(Problem::Unknown);
    }
    edits.object(tokens, report).map(|_| ())
}

/// `DO SETVAL(s, 5, 0)`, the value of a sequence.
fn set_sequence(
    tokens: &mut Tokens,
    edits: &mut Edits,
    report: &mut Report,
) -> Result<(), Problem> {
    if !(tokens.keyword("SETVAL") && tokens.symbol(b'(')) {
        return Err(Problem::Unknown);
    }
    edits.object(tokens, report)?;
    let plain = |token: Token| matches!(token.kind, Kind::Word | Kind::Symbol(b',' | b'-' | b')'));
    if tokens.all(plain) {
        Ok(())
    } else {
        Err(Problem::Form("the value of a sequence"))
    }
}

/// Whether it is a statement of replication, which is left out: it concerns the server. `START TRANSACTION` is not.
fn replication(mut tokens: Tokens) -> Result<bool, Problem> {
    if tokens.keyword("TRANSACTION") {
        return Ok(false);
    }
    let _ = tokens.keyword("ALL");
    let of_it = ["MASTER", "SLAVE", "SLAVES", "REPLICA", "REPLICATION"];
    if of_it.iter().any(|word| tokens.keyword(word)) {
        return Ok(true);
    }
    Err(Problem::Unknown)
}

fn nothing_more(mut tokens: Tokens) -> Result<(), Problem> {
    match tokens.next() {
        None => Ok(()),
        Some(_) => Err(Problem::Form("something follows that is not part of it")),
    }
}
