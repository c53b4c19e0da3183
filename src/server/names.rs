//! The SQL names of a Database.

use crate::api::Database;
use crate::provider::ident::InvalidName;
use crate::provider::{Names, SqlName};

/// The SQL names of a Database. The API server refuses what is no name; this is for objects from before a rule.
pub fn names(database: &Database) -> Result<Names, InvalidName> {
    Ok(Names {
        database: SqlName::new(database.sql_name())?,
        role: SqlName::new(database.sql_user())?,
    })
}
