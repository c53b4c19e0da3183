//! The former name of the database and the new one, and which account may stay a definer.

use crate::provider::ident::mysql_identifier;

use super::edit::Edit;
use super::error::Problem;
use super::report::Report;
use super::token::{Token, Tokens};

/// What is to be rewritten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The database gets another name.
    pub rename: Option<Rename>,
    /// The one database that statements may be about, where it keeps its name.
    pub only: Option<String>,
    /// Definers are changed.
    pub definers: Option<Definers>,
    /// Events that would run are made as those of a replica, which do not: so that none runs in the middle of a load.
    pub hold_events: bool,
}

/// Another name for the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// Its name in the dump.
    pub from: String,
    /// The name of the database that the dump is loaded into.
    pub to: String,
}

/// What becomes of definers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definers {
    /// The account that loads the dump, or that everything is to belong to. Where it is the definer, it stays.
    pub account: Account,
    /// The user whom the database belonged to: that it is no definer any more goes without saying.
    pub former: Option<String>,
    /// Another definer is replaced by the account, for which the one who loads needs a right that users have not. Otherwise it is
    /// left out: the definer is then the one who loads.
    pub replace: bool,
}

/// An account of MySQL or MariaDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its user name.
    pub user: String,
    /// Its host: `%` for any.
    pub host: String,
}

impl Account {
    /// Whether a definer is this account. A role, which has no host, is none.
    pub(super) fn is(&self, user: &[u8], host: Option<&[u8]>) -> bool {
        let same_host = |host: &[u8]| host.eq_ignore_ascii_case(self.host.as_bytes());
        user == self.user.as_bytes() && host.is_some_and(same_host)
    }

    /// For a statement.
    pub(super) fn quoted(&self) -> String {
        format!(
            "{}@{}",
            mysql_identifier(&self.user),
            mysql_identifier(&self.host)
        )
    }
}

/// Whose name qualifies another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The database's of the dump.
    Ours,
    /// It differs from that in upper and lower case alone: on some servers the same database, on others another one.
    Alike,
    /// Another database's.
    Other,
}

/// Collects the edits of one statement.
#[derive(Debug)]
pub(super) struct Edits<'w> {
    wanted: &'w Wanted,
    edits: Vec<Edit>,
}

impl<'w> Edits<'w> {
    pub(super) fn new(wanted: &'w Wanted) -> Self {
        Self {
            wanted,
            edits: Vec::new(),
        }
    }

    pub(super) fn wanted(&self) -> &'w Wanted {
        self.wanted
    }

    /// All of them, in order.
    pub(super) fn into_inner(self) -> Vec<Edit> {
        self.edits
    }

    pub(super) fn len(&self) -> usize {
        self.edits.len()
    }

    pub(super) fn push(&mut self, edit: Edit) {
        self.edits.push(edit);
    }

    /// Whose database this names; `None` if the database keeps its name, so that it does not matter.
    pub(super) fn whose(&self, name: &Token) -> Option<Whose> {
        let rename = self.wanted.rename.as_ref()?;
        let (named, from) = (name.value(), rename.from.as_bytes());
        Some(if *named == *from {
            Whose::Ours
        } else if named.eq_ignore_ascii_case(from) {
            Whose::Alike
        } else {
            Whose::Other
        })
    }

    /// Puts the new name in the place of the database's name.
    pub(super) fn rename(&mut self, name: &Token, report: &mut Report) {
        let Some(rename) = &self.wanted.rename else {
            return;
        };
        if rename.from != rename.to {
            report.names += 1;
            self.push(Edit {
                start: name.start,
                end: name.end(),
                with: mysql_identifier(&rename.to),
            });
        }
    }

    /// A token that names a database: the dump's, or the statement is not for this.
    pub(super) fn database(&mut self, name: &Token, report: &mut Report) -> Result<(), Problem> {
        match self.whose(name) {
            // Letter by letter: on most servers another case is another database.
            None => match &self.wanted.only {
                Some(only) if *name.value() != *only.as_bytes() => {
                    Err(Problem::OtherDatabase(name.display()))
                }
                Some(_) | None => Ok(()),
            },
            Some(Whose::Ours) => {
                self.rename(name, report);
                Ok(())
            }
            Some(Whose::Alike | Whose::Other) => Err(Problem::OtherDatabase(name.display())),
        }
    }

    /// Takes the name of an object of this database, which may be qualified; it is returned for messages.
    pub(super) fn object(
        &mut self,
        tokens: &mut Tokens,
        report: &mut Report,
    ) -> Result<String, Problem> {
        let name = qualified(tokens).ok_or(Problem::Form("a name is missing"))?;
        if let Some(qualifier) = name.qualifier {
            self.database(&qualifier, report)?;
        }
        Ok(name.name.display())
    }
}

/// A name, perhaps with its database's before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Qualified<'a> {
    pub qualifier: Option<Token<'a>>,
    pub name: Token<'a>,
}

/// Takes a name.
pub(super) fn qualified<'a>(tokens: &mut Tokens<'a>) -> Option<Qualified<'a>> {
    let first = tokens.take_if(Token::is_identifier)?;
    let mut ahead = tokens.clone();
    let second = ahead
        .symbol(b'.')
        .then(|| ahead.take_if(Token::is_identifier))
        .flatten();
    let Some(second) = second else {
        return Some(Qualified {
            qualifier: None,
            name: first,
        });
    };
    *tokens = ahead;
    Some(Qualified {
        qualifier: Some(first),
        name: second,
    })
}
