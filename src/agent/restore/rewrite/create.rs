//! Heads of `CREATE`: definer, kind and name, up to where a person's text begins.

use super::definition::{self, Definition};
use super::edit::Edit;
use super::error::Problem;
use super::names::{Edits, Whose, qualified};
use super::report::Report;
use super::token::{Kind, Token, Tokens};

/// The kinds of objects inside a database that a dump creates, or drops first.
pub(super) const KINDS: [&str; 9] = [
    "TABLE",
    "VIEW",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "SEQUENCE",
    "PACKAGE",
    "LIBRARY",
];

/// A `CREATE` statement, after that word.
pub(super) fn create(
    tokens: &mut Tokens,
    edits: &mut Edits,
    report: &mut Report,
) -> Result<(), Problem> {
    let kind = options(tokens, edits, report)?;
    let package_body = kind.is("PACKAGE") && tokens.keyword("BODY");
    let _ = tokens.keywords(&["IF", "NOT", "EXISTS"]);
    if kind.is("DATABASE") || kind.is("SCHEMA") {
        let name = tokens.take_if(Token::is_identifier);
        let name = name.ok_or(Problem::Form("a database without a name"))?;
        return edits.database(&name, report);
    }
    let name = edits.object(tokens, report)?;
    let label = if package_body {
        "PACKAGE BODY"
    } else {
        &kind.display().to_ascii_uppercase()
    };
    let object = format!("{label} {name:?}");
    match label {
        "TABLE" => definition::names(tokens.clone(), &Definition::table(&name), edits, report),
        "VIEW" => definition::names(tokens.clone(), &Definition::view(&name), edits, report),
        "SEQUENCE" => Ok(()),
        "FUNCTION" | "PROCEDURE" => {
            libraries(tokens.clone(), &object, edits, report)?;
            body(tokens.clone(), object, edits, report);
            Ok(())
        }
        "TRIGGER" => {
            trigger(tokens, edits, report)?;
            body(tokens.clone(), object, edits, report);
            Ok(())
        }
        "EVENT" => {
            if edits.wanted().hold_events {
                hold(tokens.clone(), edits, report)?;
            }
            body(tokens.clone(), object, edits, report);
            Ok(())
        }
        _ => {
            body(tokens.clone(), object, edits, report);
            Ok(())
        }
    }
}

/// An event, after its name: it is made so that it does not run yet. Servers write its state before the body.
fn hold(mut tokens: Tokens, edits: &mut Edits, report: &mut Report) -> Result<(), Problem> {
    const FORM: Problem = Problem::Form("an event without a state before its body");
    loop {
        let token = tokens.next().ok_or(FORM)?;
        if token.is("DO") {
            return Err(FORM);
        }
        if token.is("ENABLE") {
            report.events_held += 1;
            edits.push(Edit {
                start: token.start,
                end: token.end(),
                with: "DISABLE ON SLAVE".to_owned(),
            });
            return Ok(());
        }
        if token.is("DISABLE") {
            let mut end = token.end();
            if tokens.keyword("ON")
                && let Some(of) = tokens.next()
            {
                report.events_of_replicas += 1;
                end = of.end();
            }
            edits.push(Edit {
                start: token.start,
                end,
                with: "DISABLE".to_owned(),
            });
            return Ok(());
        }
    }
}

/// What stands between `CREATE` and the kind, which is returned.
fn options<'a>(
    tokens: &mut Tokens<'a>,
    edits: &mut Edits,
    report: &mut Report,
) -> Result<Token<'a>, Problem> {
    loop {
        let token = tokens.next().ok_or(Problem::Unknown)?;
        if token.is("DEFINER") {
            definer(&token, tokens, edits, report)?;
        } else if token.is("ALGORITHM") {
            let value = tokens.symbol(b'=').then(|| tokens.next()).flatten();
            value.ok_or(Problem::Form("an ALGORITHM without a value"))?;
        } else if token.is("SQL") {
            let value = tokens.keyword("SECURITY").then(|| tokens.next()).flatten();
            value.ok_or(Problem::Form("SQL SECURITY without a value"))?;
        } else if token.is("OR") {
            if !tokens.keyword("REPLACE") {
                return Err(Problem::Unknown);
            }
        } else if !(token.is("AGGREGATE") || token.is("TEMPORARY")) {
            let mut known = KINDS.iter().chain(&["DATABASE", "SCHEMA"]);
            let is_known = known.any(|kind| token.is(kind));
            return is_known.then_some(token).ok_or(Problem::Unknown);
        }
    }
}

/// A definer, after that word: left out or replaced if it is not the account that may stay.
fn definer(
    first: &Token,
    tokens: &mut Tokens,
    edits: &mut Edits,
    report: &mut Report,
) -> Result<(), Problem> {
    const FORM: Problem = Problem::Form("a DEFINER that is no account");
    if !tokens.symbol(b'=') {
        return Err(FORM);
    }
    let user = tokens.next().ok_or(FORM)?;
    if matches!(user.kind, Kind::Symbol(_) | Kind::Dollar) {
        return Err(FORM);
    }
    let current = ["CURRENT_USER", "CURRENT_ROLE", "SESSION_USER"];
    if current.iter().any(|word| user.is(word)) {
        if tokens.symbol(b'(') && !tokens.symbol(b')') {
            return Err(FORM);
        }
        return Ok(());
    }
    let mut end = user.end();
    let mut host = None;
    if tokens.symbol(b'@') {
        let (text, after) = self::host(tokens).ok_or(FORM)?;
        host = Some(text);
        end = after;
    }
    let Some(definers) = &edits.wanted().definers else {
        return Ok(());
    };
    if definers.account.is(&user.value(), host.as_deref()) {
        return Ok(());
    }
    report.definers += 1;
    let former = definers.former.as_ref();
    let was_owner = former.is_some_and(|former| *user.value() == *former.as_bytes());
    report.definers_of_others += u64::from(!was_owner);
    edits.push(if definers.replace {
        Edit {
            start: user.start,
            end,
            with: definers.account.quoted(),
        }
    } else {
        Edit {
            start: first.start,
            end,
            with: String::new(),
        }
    });
    Ok(())
}

/// A host, with where it ends. Without quotes it may hold dots.
fn host(tokens: &mut Tokens) -> Option<(Vec<u8>, usize)> {
    let first = tokens.next()?;
    let mut text = first.value().into_owned();
    let mut end = first.end();
    match first.kind {
        Kind::Symbol(_) | Kind::Dollar => return None,
        Kind::Name | Kind::Text => return Some((text, end)),
        Kind::Word => {}
    }
    let part = |token: &Token, end| {
        token.start == end && (token.is_symbol(b'.') || token.kind == Kind::Word)
    };
    while let Some(next) = tokens.take_if(|token| part(token, end)) {
        text.extend_from_slice(next.text);
        end = next.end();
    }
    Some((text, end))
}

/// A trigger, after its name: which table it belongs to, up to `FOR EACH ROW`. MariaDB keeps this as it was written.
fn trigger(tokens: &mut Tokens, edits: &mut Edits, report: &mut Report) -> Result<(), Problem> {
    let timed = tokens.keyword("BEFORE") || tokens.keyword("AFTER");
    while tokens.take_if(|token| !token.is("ON")).is_some() {}
    if !(timed && tokens.keyword("ON")) {
        return Err(Problem::Form("a trigger without a time and a table"));
    }
    edits.object(tokens, report)?;
    if !tokens.keywords(&["FOR", "EACH", "ROW"]) {
        return Err(Problem::Form("a trigger without FOR EACH ROW"));
    }
    Ok(())
}

/// What a person wrote: it stays. Whether it names the former database is noted.
fn body(mut tokens: Tokens, object: String, edits: &Edits, report: &mut Report) {
    let Some(rename) = &edits.wanted().rename else {
        return;
    };
    if rename.from == rename.to {
        return;
    }
    // In another language, wherever the name stands. What else there is was written by the server.
    if let Some(text) = tokens.clone().find(|token| token.kind == Kind::Dollar) {
        let from = rename.from.as_bytes();
        if text
            .text
            .windows(from.len().max(1))
            .any(|part| part == from)
        {
            report.body(object);
        }
        return;
    }
    loop {
        let mut ahead = tokens.clone();
        if let Some(name) = qualified(&mut ahead)
            && let Some(qualifier) = name.qualifier
        {
            if edits.whose(&qualifier) == Some(Whose::Ours) {
                report.body(object);
                return;
            }
            tokens = ahead;
        } else if tokens.next().is_none() {
            return;
        }
    }
}

/// Whether a statement makes a routine or a library whose body is in another language than SQL, which MySQL 9 writes between dollar
/// quotes at its end: `LANGUAGE JAVASCRIPT AS $$ … $$`.
pub(crate) fn is_in_another_language(mut tokens: Tokens) -> bool {
    if !tokens.keyword("CREATE") || !to_language(&mut tokens) {
        return false;
    }
    while !tokens.keyword("AS") {
        let known = if tokens.keyword("USING") {
            tokens.symbol(b'(') && {
                while tokens.take_if(|token| !token.is_symbol(b')')).is_some() {}
                tokens.symbol(b')')
            }
        } else if tokens.keyword("COMMENT") {
            tokens.take_if(|token| token.kind == Kind::Text).is_some()
        } else {
            CHARACTERISTICS.iter().any(|word| tokens.keyword(word))
        };
        if !known {
            return false;
        }
    }
    let body = tokens.next();
    body.is_some_and(|body| body.kind == Kind::Dollar) && tokens.next().is_none()
}

/// What may stand between the language of a routine and its body, besides a comment and libraries.
const CHARACTERISTICS: [&str; 11] = [
    "DETERMINISTIC",
    "NOT",
    "CONTAINS",
    "NO",
    "READS",
    "MODIFIES",
    "SQL",
    "DATA",
    "SECURITY",
    "DEFINER",
    "INVOKER",
];

/// Takes all up to the language, and that. There is none, or SQL, where it is `false`.
fn to_language(tokens: &mut Tokens) -> bool {
    while let Some(token) = tokens.next() {
        if token.kind == Kind::Dollar || token.is("BEGIN") {
            return false;
        }
        if token.is("LANGUAGE") {
            let language = tokens.take_if(|token| token.kind == Kind::Word && !token.is("SQL"));
            return language.is_some();
        }
    }
    false
}

/// The libraries that a routine uses, by their full names: ``USING (`wiki`.`lib` AS `l`)``.
fn libraries(
    mut tokens: Tokens,
    object: &str,
    edits: &mut Edits,
    report: &mut Report,
) -> Result<(), Problem> {
    let is_in_another = tokens.clone().any(|token| token.kind == Kind::Dollar);
    if edits.wanted().rename.is_none() || !is_in_another || !to_language(&mut tokens) {
        return Ok(());
    }
    while tokens
        .take_if(|token| !(token.is("USING") || token.is("AS")))
        .is_some()
    {}
    if !(tokens.keyword("USING") && tokens.symbol(b'(')) {
        return Ok(());
    }
    while let Some(name) = qualified(&mut tokens) {
        match name.qualifier.map(|of| (of, edits.whose(&of))) {
            Some((of, Some(Whose::Ours))) => edits.rename(&of, report),
            Some((of, Some(Whose::Alike))) => {
                let (of, name) = (of.display(), name.name.display());
                return Err(Problem::Ambiguous(format!("{object} uses {of:?}.{name:?}")));
            }
            Some((_, Some(Whose::Other) | None)) | None => {}
        }
        if tokens.keyword("AS") {
            let _ = tokens.next();
        }
        if !tokens.symbol(b',') {
            break;
        }
    }
    Ok(())
}
