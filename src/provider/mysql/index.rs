//! The rows of a whole catalog by name, so that a survey of many databases does not go through all of it for each.

use std::collections::HashMap;

use super::catalog::grantee;
use super::dialect::Dialect;
use super::exposure;
use super::rows::{Account, Grant, Power, Schema};
use crate::provider::SqlName;

/// The rows of the catalog that facts are derived from. There may be more of them than necessary.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) schemas: Vec<Schema>,
    pub(super) accounts: Vec<Account>,
    pub(super) grants: Vec<Grant>,
    pub(super) powers: Vec<Power>,
}

/// A whole catalog by name.
pub(super) struct Index<'c> {
    schemas: HashMap<&'c str, &'c Schema>,
    accounts: HashMap<&'c str, Vec<&'c Account>>,
    grants_of: HashMap<&'c str, Vec<&'c Grant>>,
    grants_on: HashMap<&'c str, Vec<&'c Grant>>,
    /// Those that may reach schemas which they do not name.
    broad: Vec<&'c Grant>,
    powers: HashMap<&'c str, Vec<&'c Power>>,
}

impl<'c> Index<'c> {
    pub(super) fn new(dialect: &Dialect, catalog: &'c Catalog) -> Self {
        fn by<'c, T>(
            rows: &'c [T],
            key: impl Fn(&'c T) -> &'c str,
        ) -> HashMap<&'c str, Vec<&'c T>> {
            let mut map: HashMap<&str, Vec<&T>> = HashMap::new();
            for row in rows {
                map.entry(key(row)).or_default().push(row);
            }
            map
        }
        Self {
            schemas: catalog
                .schemas
                .iter()
                .map(|schema| (schema.name.as_str(), schema))
                .collect(),
            accounts: by(&catalog.accounts, |account| &account.user),
            grants_of: by(&catalog.grants, |grant| &grant.user),
            grants_on: by(&catalog.grants, |grant| &grant.pattern),
            broad: catalog
                .grants
                .iter()
                .filter(|grant| exposure::is_broad(dialect, grant))
                .collect(),
            powers: by(&catalog.powers, |power| &power.grantee),
        }
    }

    /// The rows that concern one schema and one user.
    pub(super) fn of(&self, dialect: &Dialect, schema: &SqlName, user: &SqlName) -> Catalog {
        fn owned<T: Clone>(rows: Option<&Vec<&T>>) -> Vec<T> {
            rows.into_iter()
                .flatten()
                .map(|row| T::clone(row))
                .collect()
        }
        let pattern = dialect.grant_pattern(schema);
        let mut grants: Vec<Grant> = owned(self.grants_of.get(user.as_str()));
        let mut patterns = vec![pattern.as_str(), schema.as_str()];
        patterns.dedup();
        for pattern in patterns {
            let others = owned(self.grants_on.get(pattern));
            grants.extend(
                others
                    .into_iter()
                    .filter(|grant| grant.user != user.as_str()),
            );
        }
        let named = grants.len();
        for grant in &self.broad {
            if grant.user != user.as_str()
                && dialect.reaches(&grant.pattern, schema.as_str())
                && !grants[..named].contains(grant)
            {
                grants.push(Grant::clone(grant));
            }
        }
        Catalog {
            schemas: self
                .schemas
                .get(schema.as_str())
                .map(|schema| Schema::clone(schema))
                .into_iter()
                .collect(),
            accounts: owned(self.accounts.get(user.as_str())),
            grants,
            powers: owned(self.powers.get(grantee(user.as_str()).as_str())),
        }
    }
}
