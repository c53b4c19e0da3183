//! What `SET` statements of a dump change in how its following bytes are read, and which of them are not for a database's user.
//!
//! A dump sets `sql_mode` and the character set around each object, keeps the former value in a variable of its own, and puts it
//! back. Before the first of them the session's mode is the server's: it is taken for one without `ANSI_QUOTES` and
//! `NO_BACKSLASH_ESCAPES`, which dumps set before anything depends on it.

use std::collections::BTreeMap;

use super::error::Problem;
use super::scan::Rules;
use super::token::{Kind, Token, Tokens};

/// Modes with which `"` encloses a name. Servers write them out; older ones took the name of a group alone.
const ANSI_QUOTES: [&str; 7] = [
    "ANSI_QUOTES",
    "ANSI",
    "ORACLE",
    "MSSQL",
    "DB2",
    "POSTGRESQL",
    "MAXDB",
];

/// Character sets in which the second byte of a character can be a backslash or a backtick.
const LIKE_QUOTES: [&str; 5] = ["sjis", "cp932", "big5", "gbk", "gb18030"];

/// How many variables of its own a dump may keep. Tools use about a dozen.
const MOST_VARIABLES: usize = 100;

/// The longest value and name that are kept, in bytes.
const LONGEST: usize = 1024;

/// A character set that cannot be told.
const CHARACTER_SET: Problem =
    Problem::Form("a character set is neither a plain name nor a value that was kept before");

/// What becomes of a `SET` statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// It is passed on.
    Stays,
    /// It concerns the server's logs or replication: only administrators may run it.
    LeftOut,
}

/// What the session has at this point of the dump.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    rules: Rules,
    character_set: Option<String>,
    /// The dump's own variables that hold something of the above.
    kept: BTreeMap<String, Kept>,
}

/// A value that a variable holds.
#[derive(Clone, Debug)]
enum Kept {
    Rules(Rules),
    CharacterSet(Option<String>),
    Other,
}

/// The right side of an assignment.
enum Value<'a> {
    Literal(Token<'a>),
    /// A variable of the dump's own.
    Variable(String),
    /// A variable of the session, without `session.`.
    System(String),
    Other,
}

impl Session {
    /// How bytes are read.
    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// The character set of what follows, if part of a character can look like a quote in it.
    pub(crate) fn risky_character_set(&self) -> Option<&str> {
        self.character_set.as_deref()
    }

    /// Whether text is read as in the other session.
    pub(super) fn reads_like(&self, other: &Self) -> bool {
        self.rules == other.rules && self.character_set == other.character_set
    }

    /// Takes the assignments of a `SET` statement, after that word.
    pub(crate) fn set(&mut self, mut tokens: Tokens) -> Result<Setting, Problem> {
        if tokens.keyword("NAMES") || tokens.keywords(&["CHARACTER", "SET"]) {
            return names(tokens);
        }
        let (mut left_out, mut stays) = (0, 0);
        loop {
            let target = target(&mut tokens)?;
            if !(tokens.symbol(b'=') || tokens.symbol(b':') && tokens.symbol(b'=')) {
                return Err(Problem::Form("a SET without assignment"));
            }
            let value = value(&mut tokens);
            match target {
                Target::Variable(name) => {
                    self.keep(name, &value)?;
                    stays += 1;
                }
                Target::Replication => left_out += 1,
                Target::Session(name) => {
                    self.assign(&name, &value)?;
                    stays += 1;
                }
            }
            if !tokens.symbol(b',') {
                break;
            }
        }
        match (tokens.next(), left_out, stays) {
            (Some(_), ..) => Err(Problem::Form("a SET of several values")),
            (None, 0, _) => Ok(Setting::Stays),
            (None, _, 0) => Ok(Setting::LeftOut),
            (None, ..) => Err(Problem::Form(
                "a SET of variables of the session together with those of replication",
            )),
        }
    }

    fn assign(&mut self, name: &str, value: &Value) -> Result<(), Problem> {
        match name {
            "sql_mode" => self.rules = self.mode(value).ok_or(Problem::Mode)?,
            "character_set_client" => self.character_set = self.named(value)?,
            _ => {}
        }
        Ok(())
    }

    fn mode(&self, value: &Value) -> Option<Rules> {
        match value {
            Value::Literal(token) if token.is("DEFAULT") => Some(Rules::default()),
            Value::Literal(token) => plain(token).map(rules_of),
            Value::Variable(name) => match self.kept.get(name)? {
                Kept::Rules(rules) => Some(*rules),
                Kept::CharacterSet(_) | Kept::Other => None,
            },
            Value::System(name) if name == "sql_mode" => Some(self.rules),
            Value::System(_) | Value::Other => None,
        }
    }

    fn named(&self, value: &Value) -> Result<Option<String>, Problem> {
        match value {
            Value::Literal(token) => {
                let name = plain(token).ok_or(CHARACTER_SET)?;
                Ok(Some(name.to_owned()).filter(|name| looks_like_quotes(name)))
            }
            Value::Variable(name) => match self.kept.get(name) {
                Some(Kept::CharacterSet(name)) => Ok(name.clone()),
                Some(Kept::Rules(_) | Kept::Other) | None => Err(CHARACTER_SET),
            },
            Value::System(name) if name == "character_set_client" => Ok(self.character_set.clone()),
            Value::System(_) | Value::Other => Err(CHARACTER_SET),
        }
    }

    fn keep(&mut self, name: String, value: &Value) -> Result<(), Problem> {
        let kept = match value {
            Value::System(of) if of == "sql_mode" => Kept::Rules(self.rules),
            Value::System(of) if of == "character_set_client" => {
                Kept::CharacterSet(self.character_set.clone())
            }
            Value::Variable(of) => self.kept.get(of).cloned().unwrap_or(Kept::Other),
            Value::Literal(_) | Value::System(_) | Value::Other => Kept::Other,
        };
        self.kept.insert(name, kept);
        if self.kept.len() > MOST_VARIABLES {
            return Err(Problem::Form("more than 100 variables are set"));
        }
        Ok(())
    }
}

/// The rest of `SET NAMES` or `SET CHARACTER SET`: a name, perhaps a collation, and nothing more.
fn names<'a>(mut tokens: Tokens<'a>) -> Result<Setting, Problem> {
    let name =
        |token: Option<Token<'a>>| token.and_then(|token| plain(&token)).ok_or(CHARACTER_SET);
    let character_set = name(tokens.next())?;
    if tokens.keyword("COLLATE") {
        name(tokens.next())?;
    }
    if tokens.next().is_some() {
        return Err(Problem::Form("something follows the character set"));
    }
    // Rows are in it, too.
    if looks_like_quotes(character_set) {
        return Err(Problem::CharacterSet(character_set.to_owned()));
    }
    Ok(Setting::Stays)
}

/// What a word, a quoted name or a literal says, if it is a list of plain names. The server reads much else as names, too: escapes,
/// numbers, and letters that only its collation takes for others.
fn plain<'a>(token: &Token<'a>) -> Option<&'a str> {
    let text = match (token.kind, token.text) {
        (Kind::Name | Kind::Text, [_, inner @ .., _]) => inner,
        (Kind::Word, word) => word,
        (Kind::Name | Kind::Text | Kind::Dollar | Kind::Symbol(_), _) => return None,
    };
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.len() <= LONGEST)?;
    let is_name = |name: &str| {
        !name.starts_with(|char: char| char.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.split(',')
        .all(|name| is_name(name.trim_matches(' ')))
        .then_some(text)
}

/// The left side of an assignment.
enum Target {
    /// A variable of the dump's own.
    Variable(String),
    /// A variable of the session.
    Session(String),
    /// A variable of the server's logs or replication.
    Replication,
}

fn target(tokens: &mut Tokens) -> Result<Target, Problem> {
    if tokens.symbol(b'@') {
        if !tokens.symbol(b'@') {
            return Ok(Target::Variable(variable(tokens)?));
        }
        let (global, name) = scoped(tokens)?;
        return system(global, name);
    }
    let global = tokens.keyword("GLOBAL");
    let local = !global && (tokens.keyword("SESSION") || tokens.keyword("LOCAL"));
    let (scoped_global, name) = scoped(tokens)?;
    if local && scoped_global {
        return Err(Problem::Form("a SET with two scopes"));
    }
    system(global || scoped_global, name)
}

fn system(global: bool, name: String) -> Result<Target, Problem> {
    // Not a variable: the password of whoever loads, which is the database's own user.
    if name == "password" {
        return Err(Problem::Unknown);
    }
    let replication = name.starts_with("gtid_") || name == "sql_log_bin";
    match (global, replication) {
        (_, true) => Ok(Target::Replication),
        (true, false) => Err(Problem::Form("a variable of the whole server is set")),
        (false, false) => Ok(Target::Session(name)),
    }
}

/// The name of a variable, with its scope: `session.sql_mode`.
fn scoped(tokens: &mut Tokens) -> Result<(bool, String), Problem> {
    let first = name(tokens)?;
    if !tokens.symbol(b'.') {
        return Ok((false, first));
    }
    let scope = match first.as_str() {
        "global" => true,
        "session" | "local" => false,
        _ => return Err(Problem::Form("a variable of a component is set")),
    };
    Ok((scope, name(tokens)?))
}

/// The name of a variable of the dump's own, which may hold dots.
fn variable(tokens: &mut Tokens) -> Result<String, Problem> {
    let mut full = name(tokens)?;
    while tokens.symbol(b'.') {
        full = format!("{full}.{}", name(tokens)?);
        if full.len() > LONGEST {
            return Err(Problem::Form("the name of a variable is too long"));
        }
    }
    Ok(full)
}

fn name(tokens: &mut Tokens) -> Result<String, Problem> {
    let token = tokens
        .next()
        .filter(|token| !matches!(token.kind, Kind::Symbol(_)) && token.text.len() <= LONGEST);
    let token = token.ok_or(Problem::Form("a SET without a variable's name"))?;
    Ok(token.display().to_ascii_lowercase())
}

/// The right side, up to a comma or the end.
fn value<'a>(tokens: &mut Tokens<'a>) -> Value<'a> {
    let Some(first) = tokens.next() else {
        return Value::Other;
    };
    let value = if first.is_symbol(b'@') {
        if tokens.symbol(b'@') {
            scoped(tokens).map_or(Value::Other, |(global, name)| {
                if global {
                    Value::Other
                } else {
                    Value::System(name)
                }
            })
        } else {
            variable(tokens).map_or(Value::Other, Value::Variable)
        }
    } else {
        Value::Literal(first)
    };
    let mut depth = u32::from(first.is_symbol(b'('));
    let mut alone = true;
    while let Some(next) = tokens.take_if(|token| depth > 0 || !token.is_symbol(b',')) {
        alone = false;
        match next.kind {
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            Kind::Symbol(_) | Kind::Word | Kind::Name | Kind::Text | Kind::Dollar => {}
        }
    }
    if alone { value } else { Value::Other }
}

fn rules_of(mode: &str) -> Rules {
    let has = |name: &str| {
        mode.split(',')
            .any(|one| one.trim().eq_ignore_ascii_case(name))
    };
    Rules {
        ansi_quotes: ANSI_QUOTES.iter().any(|name| has(name)),
        backslash_escapes: !has("NO_BACKSLASH_ESCAPES"),
    }
}

fn looks_like_quotes(character_set: &str) -> bool {
    LIKE_QUOTES
        .iter()
        .any(|name| name.eq_ignore_ascii_case(character_set))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(session: &mut Session, assignments: &str) -> Result<Setting, Problem> {
        session.set(Tokens::new(assignments.as_bytes(), Rules::default()))
    }

    #[test]
    fn the_mode_is_followed_through_the_variables_that_keep_it() {
        let mut session = Session::default();
        let mut rules = |assignments: &str| {
            assert_eq!(set(&mut session, assignments), Ok(Setting::Stays));
            let rules = session.rules();
            (rules.ansi_quotes, rules.backslash_escapes)
        };
        assert_eq!(
            rules("@OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO'"),
            (false, true)
        );
        assert_eq!(rules("@saved = @@session.sql_mode"), (false, true));
        assert_eq!(
            rules("sql_mode = 'PIPES_AS_CONCAT,ANSI_QUOTES'"),
            (true, true)
        );
        assert_eq!(rules("@saved2 = @@sql_mode"), (true, true));
        assert_eq!(
            rules("SESSION sql_mode = 'no_backslash_escapes'"),
            (false, false)
        );
        assert_eq!(rules("@@LOCAL.sql_mode = @saved2"), (true, true));
        assert_eq!(rules("sql_mode := @OLD_SQL_MODE"), (false, true));
        assert_eq!(rules("sql_mode = ORACLE"), (true, true));
        assert_eq!(rules("sql_mode = DEFAULT"), (false, true));
    }

    #[test]
    fn a_mode_that_is_not_known_is_an_error() {
        for assignment in [
            "sql_mode = @nowhere",
            "sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')",
            "sql_mode = 4",
            "sql_mode = @@global.sql_mode",
            r"sql_mode = '\ANSI_QUOTES'",
            "sql_mode = 0x414E53495F51554F544553",
            "sql_mode = X'414E53495F51554F544553'",
            "sql_mode = '4'",
            "sql_mode = 'ÁNSI_QUOTES'",
            "sql_mode = 'STRICT_ALL_TABLES,\tANSI_QUOTES'",
            "sql_mode = 'ANSI_' 'QUOTES'",
        ] {
            let told = set(&mut Session::default(), assignment);
            assert_eq!(told, Err(Problem::Mode), "{assignment}");
        }
    }

    #[test]
    fn what_belongs_to_the_server_is_left_out_or_refused() {
        let set = |assignments: &str| set(&mut Session::default(), assignments);
        for assignment in [
            "@@SESSION.SQL_LOG_BIN= 0",
            "SESSION sql_log_bin = @MYSQLDUMP_TEMP_LOG_BIN",
            "@@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '855bfc7c-ec68-11f1-904e-02fc00000001:1-79'",
            "GLOBAL gtid_slave_pos='0-1-79'",
        ] {
            assert_eq!(set(assignment), Ok(Setting::LeftOut), "{assignment}");
        }
        assert_eq!(
            set("@MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN"),
            Ok(Setting::Stays)
        );
        for assignment in [
            "GLOBAL read_only = 0",
            "PASSWORD = 'x'",
            "PASSWORD := 'x'",
            "password = PASSWORD('x')",
            "@a = 1, PASSWORD = 'x'",
            "SESSION password = 'x'",
            "@@session.password = 'x'",
            "`password` = 'x'",
            "PASSWORD FOR orders@'%' = 'x'",
            "PASSWORD TO RANDOM",
            "ROLE admin",
        ] {
            assert!(set(assignment).is_err(), "{assignment}");
        }
    }

    #[test]
    fn character_sets_that_hide_quotes_are_known() {
        let mut session = Session::default();
        assert_eq!(set(&mut session, "NAMES utf8mb4"), Ok(Setting::Stays));
        for stays in [
            "NAMES 'utf8mb4'",
            "NAMES utf8mb4 COLLATE utf8mb4_bin",
            "CHARACTER SET latin1",
        ] {
            assert_eq!(set(&mut session, stays), Ok(Setting::Stays), "{stays}");
        }
        for refused in [
            "NAMES gbk",
            "NAMES",
            "NAMES utf8mb4 COLLATE",
            "NAMES utf8mb4, sql_mode = 'NO_BACKSLASH_ESCAPES'",
            "NAMES utf8mb4 COLLATE utf8mb4_bin, sql_mode = 'ANSI_QUOTES'",
            r"NAMES 'g\bk'",
            "NAMES 0x67626B",
            "character_set_client = 28",
            "character_set_client = 0x67626B",
            r"character_set_client = 'g\bk'",
            "character_set_client = CONCAT('g', 'bk')",
            "character_set_client = @nowhere",
            "character_set_client = @@character_set_connection",
        ] {
            assert!(set(&mut session, refused).is_err(), "{refused}");
        }
        set(&mut session, "@saved_cs_client = @@character_set_client").unwrap();
        set(&mut session, "character_set_client = cp932").unwrap();
        assert_eq!(session.risky_character_set(), Some("cp932"));
        set(&mut session, "character_set_client = @saved_cs_client").unwrap();
        assert_eq!(session.risky_character_set(), None);
    }
}
